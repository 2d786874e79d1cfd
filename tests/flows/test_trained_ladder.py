"""A trained model as the first step of a ladder: accepted, escalated, and never lost."""

import json
import math
from dataclasses import replace

import pytest
from jobflow import JobStore, run_locally
from pretended_calibrations import FixedWidth
from springy_models import HALF_WIDTH_MEV, WIDER

from flows.asking import RoutingOptions, work_of
from flows.deciding import judge_of
from flows.ladder import read_ladder
from flows.learned_intervals import LearnedFrom, learned_note, learned_uncertainty
from flows.local import Crew
from flows.makers import RoutedScreenMaker
from flows.planning import plan_work
from flows.predictors import cached_predictor
from flows.routing import route
from flows.training import TrainingTask, train_and_store
from flows.uncertainty import OwnSpread, Uncalibrated
from screening.errors import SettingError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.samples import sample_of
from stores.connect import open_database
from stores.documents import DecisionDocument, FailureDocument, StructureDocument
from stores.model_files import write_model

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
HERE = Crew(workers=0)
FREE_ENERGY = "free_energy at 300 K within 5 meV/atom"

pytestmark = pytest.mark.usefixtures("springs")


@pytest.fixture
def spec(uri, screened, tmp_path):  # noqa: ARG001 - what it is trained on
    """A model of copper and aluminium by EMT, in a database with nothing but structures."""
    model = train_and_store(uri, TrainingTask("rf-ifc", name="metals")).model
    with open_database(uri) as database:
        for name in ("predictions", "phonons", "vibrational"):
            database.collection(name).remove_docs({})
    return f"rf-ifc:{write_model(tmp_path / 'metals.psm', model)}"


def asked(spec, settings, question=FREE_ENERGY, fallback=(EMT,), **changes):
    options = RoutingOptions((question,), fallback=fallback, **changes)
    return work_of(options, spec, settings)


def tiers(uri):
    """Tiers of the decisions on each material, by formula."""
    found = {}
    with open_database(uri) as database:
        formulas = {x["material_id"]: x["formula_reduced"] for x in database.structures.query({})}
        for row in database.decisions.query({}, sort={"tier": 1}):
            one = DecisionDocument.load(row)
            found.setdefault(formulas[one.material_id], {}).setdefault(one.material_id, [])
            found[formulas[one.material_id]][one.material_id].append(one.tier)
    return {formula: sorted(by_name.values()) for formula, by_name in found.items()}


def test_the_tiers_ascend_from_zero(spec, quick):
    ladder = read_ladder(asked(spec, quick, fallback=(EMT, DFT)).ladder)
    assert [step.tier for step in ladder.steps] == [0, 1, 3]
    named = read_ladder(json.loads(json.dumps(ladder.named())))
    assert named.steps[0].predictor.training_source == EMT
    with pytest.raises(SettingError, match="is not above"):
        read_ladder(asked(EMT, quick, fallback=(spec,)).ladder)


def test_few_cells_start_from_the_potential_between(spec, quick):
    steps = asked(spec, quick, fallback=(EMT, f"few-cells:{DFT}", DFT)).ladder
    assert steps[2]["settings"]["few_cells"]["prior"] == EMT


def test_its_own_intervals_settle_what_they_can_and_a_refused_crystal_goes_up(
    uri, screened, spec, quick
):
    """No first principles: the potential that it learned from decides what is true."""
    report = route(uri, screened, asked(spec, quick), crew=HERE)
    assert tiers(uri) == {"Al": [[0], [0]], "Cu": [[0], [0]], "Ag": [[0, 1], [0, 1]]}
    assert [(one.tier, one.outcomes) for one in report.steps] == [
        (0, {"computed": 4, "failed": 2}),
        (1, {"computed": 2}),
    ]
    assert {one.code for one in failures(uri)} == set()  # the potential has a prediction of them
    decided = {one.material_id: one.decision for one in report.decided if one.standing.tier == 0}
    widths = {round(one.intervals[0].half_width, 2) for one in decided.values()}
    assert max(widths) < 5.0
    assert report.notes == (f"rf-ifc:metals: intervals are its own, and hold against {EMT} alone",)
    again = route(uri, screened, asked(spec, quick), crew=HERE)
    assert again.n_calculations == 0
    assert again.outcomes() == report.outcomes()


def failures(uri):
    with open_database(uri) as database:
        rows = database.failures.query({})
        return [one for row in rows if (one := FailureDocument.load(row)).tier != 0]


def test_too_wide_an_interval_escalates(uri, screened, spec, quick):
    question = "free_energy at 300 K within 1 meV/atom"
    route(uri, screened, asked(spec, quick, question), crew=HERE)
    assert all(one == [0, 1] for found in tiers(uri).values() for one in found)


def test_it_abstains_from_stability(uri, screened, spec, quick):
    route(uri, screened, asked(spec, quick, "stability"), crew=HERE)
    assert all(one == [0, 1] for found in tiers(uri).values() for one in found)


def test_its_error_adds_to_that_of_the_calibrated_potential(spec, quick, uri, screened):
    work = asked(spec, quick, fallback=(EMT, DFT))
    with open_database(uri) as database:
        judge = judge_of(database, work.ladder, work.questions, 0.1)
        found = learned_uncertainty(judge.ladder, 0, {1: FixedWidth({"Cu": 3.0})}, 0.1)
        known = judge.known_of(database, screened)
    assert isinstance(found, LearnedFrom)
    assert known
    sample = sample_of_copper(uri, spec, quick)
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    own = found.own.intervals(sample, (quantity,), 0.1)[0].half_width
    one = found.intervals(sample, (quantity,), 0.1)[0]
    assert one.half_width == pytest.approx(3.0 + WIDER * own)
    assert own == pytest.approx(HALF_WIDTH_MEV, rel=0.1)
    assert not found.intervals(sample, (quantity,), 0.05)[0].is_finite  # 0.01 is not calibrated
    assert one.coverage == pytest.approx(0.9)
    judged = found.stability(sample, 0.1)
    assert judged.verdict is Verdict.UNDETERMINED
    assert math.isinf(judged.stable_above_thz)


def sample_of_copper(uri, spec, settings):
    with open_database(uri) as database:
        row = database.structures.query_one({"formula_reduced": "Cu"})
    crystal = StructureDocument.load(row).to_crystal()
    made = cached_predictor(spec, settings.as_dict()).predict(crystal)
    return sample_of(made, crystal.material_id)


def test_what_learned_from_an_uncalibrated_potential_settles_nothing_about_first_principles(
    spec, quick
):
    ladder = read_ladder(asked(spec, quick, fallback=(EMT, DFT)).ladder)
    assert isinstance(learned_uncertainty(ladder, 0, {}, 0.1), Uncalibrated)
    direct = read_ladder(asked(spec, quick, fallback=(DFT,)).ladder)
    assert isinstance(learned_uncertainty(direct, 0, {}, 0.1), Uncalibrated)
    alone = read_ladder(asked(spec, quick, fallback=()).ladder)
    assert isinstance(learned_uncertainty(alone, 0, {}, 0.1), OwnSpread)


def test_a_model_without_a_calibration_of_its_own_settles_nothing(spec, quick, monkeypatch):
    alone = read_ladder(asked(spec, quick, fallback=()).ladder)
    monkeypatch.delattr(alone.steps[0].predictor, "own_calibration")
    found = learned_uncertainty(alone, 0, {}, 0.1)
    assert isinstance(found, Uncalibrated)
    assert "carries no calibration" in learned_note(alone, 0, {}, 0.1)


def test_its_intervals_are_open_where_it_is_not_calibrated(uri, screened, spec, quick):  # noqa: ARG001 - what it is asked about
    alone = read_ladder(asked(spec, quick, fallback=()).ladder)
    own, sample = learned_uncertainty(alone, 0, {}, 0.1), sample_of_copper(uri, spec, quick)
    free, lowest = Quantity(Property.FREE_ENERGY, 300.0), Quantity(Property.LOWEST_FREQUENCY)
    widths = {
        alpha: own.intervals(sample, (free,), alpha)[0].half_width
        for alpha in (0.2, 0.1, 0.05, 0.02, 0.01)
    }
    assert widths[0.2] == widths[0.1] == pytest.approx(HALF_WIDTH_MEV, rel=0.1)
    assert widths[0.05] == widths[0.02] == pytest.approx(WIDER * widths[0.1])
    assert math.isinf(widths[0.01])
    assert not own.intervals(sample, (lowest,), 0.1)[0].is_finite
    many = (free, Quantity(Property.ENTROPY, 300.0), Quantity(Property.FREE_ENERGY, 100.0))
    assert all(one.is_finite for one in own.intervals(sample, many, 0.1))  # 0.033 each
    assert not any(one.is_finite for one in own.intervals(sample, many * 2, 0.1))


def test_risks_of_two_crystals_are_shared_and_their_errors_add(uri, screened, spec, quick):  # noqa: ARG001 - what it is asked about
    """Conformal half widths are no standard deviations: they do not add in squares."""
    alone = read_ladder(asked(spec, quick, fallback=()).ladder)
    own, one = learned_uncertainty(alone, 0, {}, 0.1), sample_of_copper(uri, spec, quick)
    pair = (one, replace(one, material_id="b"))
    kind = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
    [found] = own.differences(pair, (kind,), 0.2)[one.material_id, "b"]
    single = own.intervals(one, (Quantity(Property.FREE_ENERGY, 300.0),), 0.1)[0].half_width
    assert found.half_width == pytest.approx(2.0 * single)


def test_a_plan_of_it_asks_for_no_forces(uri, screened, spec, quick):
    work = asked(spec, quick)
    plan = plan_work(uri, screened, work.ladder, work.questions, work.alpha)
    assert (plan.steps[0].tier, plan.steps[0].n_force_calls) == (0, 0)
    assert plan.steps[0].core_hours == pytest.approx(6 * 0.01 / 3600)
    assert plan.steps[0].basis == "a trained model asks for no forces"


def test_the_same_runs_as_a_flow_with_the_potential_in_batches(uri, screened, spec, quick):
    work = asked(spec, quick, "free_energy at 300 K within 1 meV/atom")
    maker = RoutedScreenMaker(
        ladder=list(work.ladder), questions=[one.text for one in work.questions]
    )
    with open_database(uri) as database:
        store = JobStore(database.store("flow", key="uuid", unique=False))
        flow = maker.make(uri, screened)
        responses = run_locally(
            flow, store=store, log=False, ensure_success=True, raise_immediately=True
        )
    assert all(one == [0, 1] for found in tiers(uri).values() for one in found)
    assert len(responses) <= 6  # batch, decisions, one batch of the potential, decisions, summary


def test_a_model_of_the_zone_centre_alone_says_that_it_settles_nothing(spec, quick, monkeypatch):
    alone = read_ladder(asked(spec, quick, fallback=()).ladder)
    predictor = alone.steps[0].predictor
    monkeypatch.setattr(
        predictor, "own_calibration", replace(predictor.own_calibration, quantiles={})
    )
    assert isinstance(learned_uncertainty(alone, 0, {}, 0.1), Uncalibrated)
    said = learned_note(alone, 0, {}, 0.1)
    assert "settles nothing" in said
    assert "phonons of supercells" in said
