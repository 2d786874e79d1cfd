"""A few displaced cells as the method between a potential and all displacements."""

import json
import math
from dataclasses import replace

import pytest
from jobflow import JobStore, run_locally
from pretended_calibrations import FixedWidth
from pymatgen.core import Lattice, Structure

from flows.asking import RoutingOptions, work_of
from flows.cli import ExitCode
from flows.deciding import judge_of
from flows.estimates import Estimator
from flows.ladder import read_ladder
from flows.local import Crew
from flows.makers import RoutedScreenMaker
from flows.routing import route
from flows.uncertainty import OwnSpread, Reference
from screening.errors import SettingError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import Thermodynamics, ThermodynamicsSpread, Verdict, frozen_array
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.uncertainty.samples import Sample
from stores.connect import open_database
from stores.documents import DecisionDocument, StructureDocument

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
FALLBACKS = (f"few-cells:{DFT}", DFT)
HERE = Crew(workers=0)
FEW_CELLS = {"n_samples": 4, "max_cells": 2, "prior_cells": 2, "fit": {"max_order": 2}}


@pytest.fixture
def file(tmp_path):
    """Settings of the better methods."""
    path = tmp_path / "dft.json"
    path.write_text(json.dumps({"few_cells": FEW_CELLS}))
    return path


@pytest.fixture
def fcc(uri, names):
    assert names
    with open_database(uri) as database:
        rows = database.structures.query({"space_group_number": 225})
        return {row["formula_reduced"]: row["material_id"] for row in rows}


def asked(settings, file, question="free_energy at 300 K within 0.5 meV/atom", **changes):
    options = RoutingOptions((question,), fallback=FALLBACKS, fallback_settings=file, **changes)
    return work_of(options, EMT, settings)


def decisions(uri, material_id):
    with open_database(uri) as database:
        rows = database.decisions.query({"material_id": material_id}, sort={"tier": 1})
        return [DecisionDocument.load(row) for row in rows]


def test_the_prefix_makes_the_second_tier_which_starts_from_the_potential(small, file):
    ladder = read_ladder(asked(small, file).ladder)
    assert [step.tier for step in ladder.steps] == [1, 2, 3]
    assert [step.calculator for step in ladder.steps] == [EMT, DFT, DFT]
    few, systematic = (ScreeningSettings.from_dict(one.settings) for one in ladder.steps[1:])
    assert few.few_cells == FewCellSettings(
        n_samples=4, max_cells=2, prior_cells=2, prior=EMT, fit=GaussianProcessSettings(max_order=2)
    )
    assert systematic.few_cells is None
    assert systematic == replace(few, few_cells=None)
    assert ladder.steps[1].name == f"few-cells:{ladder.steps[2].name}"
    named = read_ladder(json.loads(json.dumps(ladder.named())))
    assert [step.predictor.settings_digest for step in named.steps] == [
        step.predictor.settings_digest for step in ladder.steps
    ]


def test_where_the_screen_itself_is_from_first_principles_there_is_no_prior(small):
    options = RoutingOptions(("stability",), fallback=FALLBACKS)
    steps = work_of(options, DFT, small).ladder
    assert steps[1]["settings"]["few_cells"]["prior"] == ""


@pytest.mark.parametrize(
    ("fallbacks", "said"),
    [
        (FALLBACKS[::-1], "is not above"),
        ((f"few-cells:{EMT}",), "is not above"),
        (("few-cells:vasp",), "gp plan"),
        (("few-cells:",), "names no calculator|calculator"),
    ],
)
def test_what_cannot_be_a_step_is_refused(small, fallbacks, said):
    with pytest.raises(SettingError) as caught:
        read_ladder(work_of(RoutingOptions(("stability",), fallback=fallbacks), EMT, small).ladder)
    assert said.split("|")[-1] in str(caught.value)


def test_settings_of_cells_that_no_method_displaces_are_refused(small, file):
    options = RoutingOptions(("stability",), fallback=(DFT,), fallback_settings=file)
    with pytest.raises(SettingError, match="no method uses them"):
        work_of(options, EMT, small)


def test_a_screen_goes_up_tier_by_tier_as_far_as_it_must(uri, fcc, quick, file, monkeypatch):
    """Copper is settled by the potential, aluminium by two cells, and silver by neither."""
    calibration = FixedWidth({"Cu": 0.1})
    monkeypatch.setattr("flows.deciding.load_calibrations", lambda *_: {0: calibration})
    narrow = FixedWidth({"Al": 0.4, "Ag": 5.0})
    monkeypatch.setattr("flows.deciding.OwnSpread", lambda: narrow)
    report = route(uri, list(fcc.values()), asked(quick, file), crew=HERE)
    assert report.outcomes() == {"accept": 3}
    tiers = {name: [one.tier for one in decisions(uri, key)] for name, key in fcc.items()}
    assert tiers == {"Cu": [1], "Al": [1, 2], "Ag": [1, 2, 3]}
    assert [(step.tier, step.outcomes) for step in report.steps] == [
        (1, {"computed": 3}),
        (2, {"computed": 2}),
        (3, {"computed": 1}),
    ]
    last = decisions(uri, fcc["Ag"])
    assert [one.next_tier for one in last] == [2, 3, None]
    assert last[1].reason == "interval_too_wide"


def test_its_own_interval_decides_and_says_where_it_comes_from(uri, fcc, quick, file):
    copper = fcc["Cu"]
    wide = route(uri, [copper], asked(quick, file, "free_energy at 300 K within 5"), crew=HERE)
    assert [one.tier for one in decisions(uri, copper)] == [1, 2]
    assert wide.notes[-1] == (
        "few-cells:pretended_dft.StifferEmt: intervals are those of its own posterior distribution"
    )
    accepted = decisions(uri, copper)[1]
    assert accepted.reason == "interval_within_tolerance"
    [interval] = accepted.intervals
    assert 0.5 < interval.upper - interval.value < 5.0
    assert not interval.calibration
    # and the method of all displacements gives a value inside it
    route(uri, [copper], asked(quick, file), crew=HERE)
    truth = decisions(uri, copper)[-1]
    assert truth.tier == 3
    assert interval.lower < truth.intervals[0].value < interval.upper


def test_as_the_last_method_it_is_the_reference(quick, file, uri, fcc):
    options = RoutingOptions(
        ("free_energy at 300 K within 0.5",), fallback=FALLBACKS[:1], fallback_settings=file
    )
    work = work_of(options, EMT, quick)
    with open_database(uri) as database:
        judge = judge_of(database, work.ladder, work.questions, 0.1)
    assert isinstance(judge.uncertainty(1), Reference)
    report = route(uri, [fcc["Cu"]], work, crew=HERE)
    assert [one.reason.value for one in report.decisive().values()] == ["reference_method"]


def test_a_workflow_takes_the_same_way(uri, fcc, quick, file, monkeypatch):
    narrow = FixedWidth({"Al": 0.4, "Ag": 5.0})
    monkeypatch.setattr("flows.deciding.OwnSpread", lambda: narrow)
    work = asked(quick, file)
    maker = RoutedScreenMaker(
        ladder=[dict(step) for step in work.ladder],
        questions=[question.text for question in work.questions],
    )
    wanted = [fcc["Al"], fcc["Ag"]]
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        run_locally(maker.make(uri, wanted), store=store, log=False, ensure_success=True)
        names = [row["name"] for row in store.query({}, ["name"])]
    assert names.count("displaced_cell_job") == 2
    assert names.count("prepare_phonons_job") == 1
    found = {name: [one.tier for one in decisions(uri, fcc[name])] for name in ("Al", "Ag")}
    assert found == {"Al": [1, 2], "Ag": [1, 2, 3]}


def test_the_estimate_is_of_the_cells_that_are_allowed(uri, names, small, file):
    _, few, systematic = read_ladder(asked(small, file).ladder).steps
    with open_database(uri) as database:
        row = database.structures.query_one({"material_id": names[0]})
        structure = StructureDocument.load(row).to_crystal().structure
        cheap, dear = (Estimator(database, one).of(structure) for one in (few, systematic))
    assert cheap.n_displacements == 2
    assert cheap.n_supercell_atoms == dear.n_supercell_atoms
    many = replace(small, few_cells=FewCellSettings(max_cells=40))
    step = read_ladder([{"calculator": DFT, "settings": many.as_dict()}]).steps[0]
    with open_database(uri) as database:
        dearest = Estimator(database, step).of(structure)
    assert dearest.core_hours > 5 * cheap.core_hours


def test_how_many_cells_are_enough_is_learned(uri, fcc, quick, file):
    asked_wide = asked(quick, file, "free_energy at 300 K within 5")
    _, few, systematic = read_ladder(asked_wide.ladder).steps
    with open_database(uri) as database:
        assert Estimator(database, few).n_cells == 2
    route(uri, [fcc["Cu"]], asked_wide, crew=HERE)
    with open_database(uri) as database:
        assert Estimator(database, few).n_cells == 1
        assert Estimator(database, systematic).n_cells == 0


def test_plan_screen_and_why_show_three_tiers(phonoscreen, quick, crystals, file, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(quick.as_dict()))
    fallbacks = [part for one in FALLBACKS for part in ("--fallback", one)]
    common = ("-c", EMT, "--settings", path, "--question", "stability", *fallbacks)
    common += ("--fallback-settings", file)
    copper = crystals / "Cu-fcc.cif"
    code, out, _ = phonoscreen("plan", copper, *common, "--json")
    assert code == ExitCode.DONE
    steps = json.loads(out)["steps"]
    assert [one["tier"] for one in steps] == [1, 2, 3]
    assert steps[1]["calculator"] == "few-cells:pretended_dft.StifferEmt"
    assert steps[1]["n_force_calls"] == 2 + 2  # two cells, the energy, the undisplaced crystal
    code, out, err = phonoscreen("screen", *common, "-w", 0, "--json")
    assert code == ExitCode.DONE
    assert "tier 2, few-cells:pretended_dft.StifferEmt" in err
    [decision] = json.loads(out)["decisions"]
    assert (decision["outcome"], decision["reason"]) == ("accept", "verdict_settled")
    _, out, _ = phonoscreen("why", decision["material_id"])
    assert "gaussian-process-phonons 1" in out
    assert "verdict_settled" in out


GRID_K = (0.0, 300.0, 1000.0)
CU = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])


def sample(name="a", std=2.0, lowest=1.0, verdict=Verdict.STABLE, n_members=5, static=-3.5):
    curves = Thermodynamics(
        temperatures_k=frozen_array(GRID_K),
        free_energy_mev_per_atom=frozen_array([20.0, 0.0, -190.0]),
        entropy_mev_per_k_per_atom=frozen_array([0.0, 0.15, 0.35]),
        heat_capacity_mev_per_k_per_atom=frozen_array([0.0, 0.2, 0.255]),
        internal_energy_mev_per_atom=frozen_array([20.0, 45.0, 160.0]),
        zero_point_energy_mev_per_atom=20.0,
        low_mode_policy="drop",
        cutoff_thz=0.1,
        dropped_weight=0.0,
        imaginary_weight=0.0,
        valid=True,
    )
    spread = ThermodynamicsSpread(
        free_energy_std_mev_per_atom=frozen_array([0.0, std, 3 * std]),
        entropy_std_mev_per_k_per_atom=frozen_array([0.0, 0.01, 0.02]),
        heat_capacity_std_mev_per_k_per_atom=frozen_array([0.0, 0.01, 0.02]),
        lowest_frequency_std_thz=0.1,
        n_members=n_members,
    )
    return Sample(name, "Cu", CU, curves, spread, lowest, verdict, static, "model")


def quantity(temperature_k=300.0, kind=Property.FREE_ENERGY):
    return Quantity(kind, temperature_k)


def test_its_own_interval_is_its_spread_and_what_displacements_leave():
    from scipy.stats import t

    [found] = OwnSpread().intervals(sample(), [quantity()], 0.1)
    assert found.value == 0.0
    assert found.half_width == pytest.approx(t.ppf(0.95, 4) * math.hypot(2.0, 0.5))
    assert found.coverage == 0.9
    two = OwnSpread().intervals(sample(), [quantity(), quantity(1000.0)], 0.1)
    assert two[0].half_width == pytest.approx(t.ppf(0.975, 4) * math.hypot(2.0, 0.5))
    assert two[1].half_width == pytest.approx(t.ppf(0.975, 4) * math.hypot(6.0, 0.5))
    bare = replace(sample(), spread=None)
    assert not OwnSpread().intervals(bare, [quantity()], 0.1)[0].is_finite


def test_more_draws_narrow_it_and_more_differences_widen_it():
    few, many = (
        OwnSpread().intervals(sample(n_members=n), [quantity()], 0.1)[0].half_width
        for n in (3, 300)
    )
    assert few > many
    kind = Property.RELATIVE_FREE_ENERGY
    pair = [sample("a"), sample("b", static=-3.4)]
    [found] = OwnSpread().differences(pair, [quantity(kind=kind)], 0.1)["a", "b"]
    assert found.value == pytest.approx(-100.0)
    single = OwnSpread().intervals(pair[0], [quantity()], 0.1)[0].half_width
    assert found.half_width == pytest.approx(math.sqrt(2.0) * single)
    three = [*pair, sample("c")]
    wider = OwnSpread().differences(three, [quantity(kind=kind)], 0.1)["a", "b"][0]
    assert wider.half_width > found.half_width


@pytest.mark.parametrize(
    ("lowest", "verdict", "expected"),
    [
        (1.0, Verdict.STABLE, Verdict.STABLE),
        (0.1, Verdict.STABLE, Verdict.UNDETERMINED),  # a few tenths might be missing
        (-1.0, Verdict.UNSTABLE, Verdict.UNSTABLE),
        (-0.3, Verdict.UNSTABLE, Verdict.UNDETERMINED),
        (-1.0, Verdict.UNDETERMINED, Verdict.UNDETERMINED),  # its own reasons count
    ],
)
def test_a_verdict_needs_a_frequency_that_is_sure_enough(lowest, verdict, expected):
    judged = OwnSpread().stability(sample(lowest=lowest, verdict=verdict), 0.1)
    assert judged.verdict is expected
    assert judged.unstable_below_thz < judged.stable_above_thz
    bare = replace(sample(lowest=lowest, verdict=verdict), spread=None)
    assert OwnSpread().stability(bare, 0.1).verdict is Verdict.UNDETERMINED
