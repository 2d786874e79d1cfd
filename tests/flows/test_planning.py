"""Plans: exact numbers of displacements, learned times, worst and expected case."""

from types import SimpleNamespace

import ase.calculators.emt
import pytest

from flows.deciding import judge_of
from flows.estimates import DEFAULT_RELAXATION_CALLS, Estimator
from flows.ladder import read_ladder
from flows.local import Crew
from flows.planning import plan_screen, plan_work
from flows.routing import Work, route
from screening.calculators.ase import AseEngine
from screening.calculators.checks import CheckedCalculator
from screening.decisions.parsing import parse_questions
from screening.decisions.selection import Budget
from screening.predictors.first_principles import FirstPrinciplesPhonons
from screening.settings import ScreeningSettings
from stores.connect import open_database
from stores.documents import ForceDocument, PredictionDocument, StructureDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
QUESTION = parse_questions(["free_energy at 300 K within 5 meV/atom"])


@pytest.fixture
def ladder(small):
    settings = small.as_dict()
    return [{"calculator": EMT, "settings": settings}, {"calculator": DFT, "settings": settings}]


def planned(uri, names, ladder, questions=QUESTION, budget=None):
    return plan_work(uri, names, ladder, questions, 0.1, budget)


def test_before_anything_is_known_every_material_counts_and_the_basis_is_a_default(
    uri, names, ladder
):
    first, second = planned(uri, names, ladder).steps
    for step in (first, second):
        assert (step.n_materials, step.n_done, step.n_failed) == (6, 0, 0)
        assert step.basis.startswith("default: ")
        assert step.factor > 10.0
        assert step.supercell_atoms == (8, 16)
        assert step.expected_materials is None
    assert second.core_hours > 100.0 * first.core_hours


def test_the_number_of_force_calls_is_that_of_the_screen(uri, names, ladder):
    first, second = planned(uri, names, ladder).steps
    calls_that_relax = 6 * (DEFAULT_RELAXATION_CALLS + 1)
    route(uri, names, Work(ladder, QUESTION), crew=Crew(workers=0))
    with open_database(uri) as database:
        displaced = [row["n_displacements"] for row in database.phonons.query({})]
    assert first.n_force_calls - calls_that_relax == sum(displaced) / 2
    assert second.n_force_calls == first.n_force_calls


def test_what_is_done_is_not_planned_and_nothing_is_written(uri, names, ladder):
    route(
        uri, names, Work(ladder, QUESTION, budget=Budget(max_calculations=2)), crew=Crew(workers=0)
    )
    with open_database(uri) as database:
        before = {
            name: database.collection(name).count()
            for name in ("predictions", "decisions", "forces")
        }
    first, second = planned(uri, names, ladder).steps
    assert (first.n_done, first.n_materials) == (6, 0)
    assert (second.n_done, second.n_materials) == (2, 4)
    assert second.expected_materials == 4.0
    assert second.expected_core_hours == pytest.approx(second.core_hours)
    with open_database(uri) as database:
        assert before == {name: database.collection(name).count() for name in before}


def test_materials_not_predicted_yet_are_taken_to_be_like_the_others(
    uri, names, ladder, monkeypatch
):
    from pretended_calibrations import FixedWidth

    calibration = FixedWidth({"Al": 1.0, "Cu": 1.0, "Ag": 1.0})
    monkeypatch.setattr("flows.deciding.load_calibrations", lambda *_: {0: calibration})
    with open_database(uri) as database:
        rows = list(database.structures.query({"space_group_number": 225}))
        fcc = [row["material_id"] for row in rows]
    route(uri, fcc, Work(ladder[:1], QUESTION), crew=Crew(workers=0))
    _, second = planned(uri, names, ladder).steps
    assert second.n_materials == 6
    assert second.expected_materials == 0.0  # none of the three that were judged goes on
    wide = FixedWidth({"Al": 1.0, "Cu": 1.0, "Ag": 50.0})
    monkeypatch.setattr("flows.deciding.load_calibrations", lambda *_: {0: wide})
    _, second = planned(uri, names, ladder).steps
    assert second.expected_materials == pytest.approx(1.0 + 3 / 3)
    assert 0.0 < second.expected_core_hours < second.core_hours


def test_times_are_learned_from_remembered_calls(uri, names, ladder):
    route(uri, names[:2], Work(ladder, QUESTION), crew=Crew(workers=0))
    with open_database(uri) as database:
        for row in database.forces.query({}):
            # four cores for a quarter of an hour
            hour = ForceDocument.load(row).replaced(wall_seconds=900.0, cpu_seconds=3600.0)
            database.forces.update(hour.to_store())
        estimator = Estimator(database, read_ladder(ladder).steps[1])
        row = database.structures.query_one(by_field("material_id", names[2]))
        crystal = StructureDocument.load(row).to_crystal()
        found = estimator.of(crystal.structure)
    assert "measured" in estimator.times.basis
    assert found.core_hours == pytest.approx(found.n_force_calls, rel=0.6)
    assert found.factor < 3.0


def test_times_of_potentials_are_learned_from_predictions(uri, names, ladder):
    route(uri, names, Work(ladder[:1], QUESTION), crew=Crew(workers=0))
    with open_database(uri) as database:
        estimator = Estimator(database, read_ladder(ladder[:1]).steps[0])
        spent = [row["cost"]["cpu_seconds"] for row in database.predictions.query({})]
        rows = list(database.structures.query({}))
        crystals = [StructureDocument.load(row).to_crystal() for row in rows]
        total = sum(estimator.of(one.structure).core_hours for one in crystals) * 3600.0
    assert estimator.times.basis == "6 measured, 8 to 16 atoms"
    assert sum(spent) / 10 < total < 10 * sum(spent)  # the clock of the processor is coarse


def test_a_core_time_that_is_not_known_teaches_nothing(uri, names, ladder):
    route(uri, names[:2], Work(ladder, QUESTION), crew=Crew(workers=0))
    with open_database(uri) as database:
        for row in list(database.forces.query({})):
            old = ForceDocument.load(row).replaced(cpu_seconds=0.0)
            database.forces.update(old.to_store())
        for row in list(database.predictions.query({})):
            document = PredictionDocument.load(row)
            cost = document.cost.model_copy(update={"cpu_seconds": 0.0})
            database.predictions.update(document.replaced(cost=cost).to_store())
        for step in read_ladder(ladder).steps:
            assert Estimator(database, step).times.basis.startswith("default: ")


def test_without_relaxation_only_the_energy_and_the_still_crystal_are_added(uri, names, small):
    settings = small.as_dict() | {"relaxation": None}
    with open_database(uri) as database:
        estimator = Estimator(
            database, read_ladder([{"calculator": EMT, "settings": settings}]).steps[0]
        )
        row = database.structures.query_one(by_field("material_id", names[0]))
        found = estimator.of(StructureDocument.load(row).to_crystal().structure)
    assert found.n_force_calls == found.n_displacements + 2


def first_principles_step(small, **settings):
    calculator = CheckedCalculator(
        AseEngine(ase.calculators.emt.EMT()),
        "dft:PBE",
        "d" * 64,
        is_first_principles=True,
        settings=settings,
    )
    predictor = FirstPrinciplesPhonons(calculator, small)
    return SimpleNamespace(tier=3, settings=small.as_dict(), predictor=predictor)


def test_the_default_of_first_principles_scales_with_cutoff_and_k_points(uri, names, small):
    with open_database(uri) as database:
        row = database.structures.query_one(by_field("material_id", names[0]))
        structure = StructureDocument.load(row).to_crystal().structure

        def estimated(**settings):
            estimator = Estimator(database, first_principles_step(small, **settings))
            return estimator.of(structure).core_hours, estimator.times.basis

        coarse, basis = estimated(ecut_ev=300.0, kpoint_spacing_per_angstrom=0.6)
        quadrupled, _ = estimated(ecut_ev=1200.0, kpoint_spacing_per_angstrom=0.6)
        fine, _ = estimated(ecut_ev=300.0, kpoint_spacing_per_angstrom=0.1)
        vasp, _ = estimated(energy_cutoff_ev=300.0, kpoint_spacing_per_angstrom=0.6)
        _, unknown = estimated()
    assert quadrupled == pytest.approx(8.0 * coarse)  # the power 3/2
    assert fine > 50.0 * coarse
    assert vasp == pytest.approx(coarse)
    assert basis.startswith("default: GPAW, 16 Si atoms, plane waves to 300 eV, 8 k points")
    assert "scaled to 300 eV and k points every 0.6" in basis
    assert unknown.endswith("cutoff and k points are not known")


def test_what_is_too_large_is_named(uri, names, ladder, small):
    tight = small.as_dict()
    tight["phonons"]["supercell"] = {
        "min_length_angstrom": 5.0,
        "min_atoms": 1,
        "max_atoms": 1,
    }
    rough = [ladder[0] | {"settings": ScreeningSettings.from_dict(tight).as_dict()}]
    with open_database(uri) as database:
        plan = plan_screen(database, names, judge_of(database, rough, (), 0.1), Budget())
    assert plan.questions == ()
    assert len(plan.steps) == 1
    assert plan.steps[0].n_materials == 6  # all have one atom: they fit
    assert plan.steps[0].supercell_atoms == (1, 1)


def test_without_a_question_only_the_first_method_would_run(uri, names, ladder):
    assert [step.tier for step in planned(uri, names, ladder, ()).steps] == [1]
