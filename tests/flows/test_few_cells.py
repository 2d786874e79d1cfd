"""Phonons from a few displaced cells in pieces: one job per cell, and no force call twice."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from jobflow import JobStore, Response, run_locally
from monty.json import MontyDecoder, MontyEncoder

from flows.catalogue import crystal_of
from flows.checkpoints import predict_resumably
from flows.events import MaterialEvent, Outcome
from flows.jobs import displaced_cell_job
from flows.ladder import read_ladder
from flows.makers import GaussianProcessMaker
from flows.predictors import ForcePredictor, cached_predictor
from flows.resources import Resource, all_jobs, resource_of
from flows.retrying import forget_failures
from screening.calculators import CheckedCalculator
from screening.calculators.ase import AseEngine
from screening.errors import CalculatorFailedError, DatabaseUnavailableError, SettingError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.predictors.gaussian_process import GaussianProcessPhonons
from stores.connect import open_database
from stores.documents import FailureDocument, PredictionDocument
from stores.query import by_field

POTENTIAL = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
N_CELLS = 3


@pytest.fixture
def settings(quick):
    """Harmonic constants of a small supercell, never sure enough before the third cell."""
    few_cells = FewCellSettings(
        max_cells=N_CELLS,
        tolerance=1e-9,
        n_samples=4,
        n_candidates=2,
        fit=GaussianProcessSettings(max_order=2),
    )
    phonons = replace(quick.phonons, mesh_length_angstrom=10.0)
    return replace(quick, phonons=phonons, few_cells=few_cells)


@pytest.fixture
def maker(settings, names):
    assert names  # imported
    return GaussianProcessMaker(calculator=DFT, settings=settings.as_dict())


@pytest.fixture
def copper(uri, names):
    assert names
    return id_of(uri, "Cu")


def id_of(uri, formula):
    with open_database(uri) as database:
        row = database.structures.query_one(
            {"formula_reduced": formula, "space_group_number": 225}, ["material_id"]
        )
    return row["material_id"]


def run(uri, flow):
    """Run a flow; returns its output and the names of the jobs that ran."""
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        run_locally(flow, store=store, log=False, ensure_success=True)
        jobs = sorted(row["name"] for row in store.query({}, ["name"]))
        return store.get_output(flow.jobs[0].uuid), jobs


@dataclass
class Counting:
    """An engine that counts its calls and fails after some."""

    fail_after: int = 10**9
    calls: list[int] = field(default_factory=list)

    def _count(self, numbers):
        if len(self.calls) >= self.fail_after:
            raise RuntimeError("the node went down")
        self.calls.append(len(numbers))
        return AseEngine(EMT())

    def forces(self, cell, positions, numbers):
        return self._count(numbers).forces(cell, positions, numbers)

    def energy(self, cell, positions, numbers):
        return self._count(numbers).energy(cell, positions, numbers)


def predictor_of(engine, settings):
    calculator = CheckedCalculator(engine, "counting", "c" * 64, is_first_principles=True)
    return GaussianProcessPhonons(calculator, settings)


def test_settings_with_few_cells_give_the_predictor_that_learns_from_them(settings):
    predictor = cached_predictor(DFT, settings.as_dict())
    assert isinstance(predictor, GaussianProcessPhonons)
    assert isinstance(predictor, ForcePredictor)
    assert predictor.tier == 2
    assert cached_predictor(POTENTIAL, settings.as_dict()).tier == 1
    plain = replace(settings, few_cells=None).as_dict()
    assert cached_predictor(DFT, plain).tier == 3
    expecting = replace(settings, few_cells=replace(settings.few_cells, prior=POTENTIAL))
    other = cached_predictor(DFT, expecting.as_dict())
    assert other.settings["prior_digest"] == cached_predictor(POTENTIAL, {}).model_digest
    assert other.settings_digest != predictor.settings_digest


def test_a_run_that_died_after_any_call_repeats_none(uri, copper, settings):
    whole = Counting()
    with open_database(uri) as database:
        crystal = crystal_of(database, copper)
        expected = predictor_of(whole, settings).predict(crystal)
        n_calls = len(whole.calls)
        assert whole.calls == [1, 1, 8, 8, 8]  # the energy, the residual forces, the cells
        for done in range(1, n_calls):
            engine = Counting(fail_after=1)
            with pytest.raises(CalculatorFailedError, match="the node went down"):
                predict_resumably(predictor_of(engine, settings), crystal, database)
            assert len(engine.calls) == 1
            assert database.forces.count() == done
        last = Counting()
        found = predict_resumably(predictor_of(last, settings), crystal, database)
    assert last.calls == [8]
    assert found.cost.force_calls == n_calls
    for one, other in (
        (found.displaced_cells, expected.displaced_cells),
        (found.force_constants, expected.force_constants),
    ):
        for name in ("displacements_angstrom", "second_order_ev_per_angstrom2"):
            if hasattr(one, name):
                assert np.array_equal(getattr(one, name), getattr(other, name))


def test_a_maker_survives_serialisation_and_needs_the_worker_for_its_calculator(uri, maker):
    assert MontyDecoder().decode(json.dumps(maker, cls=MontyEncoder)) == maker
    [only] = all_jobs(maker.make(uri, "m"))
    assert resource_of(only) is Resource.DFT
    [cheap] = all_jobs(replace(maker, calculator=POTENTIAL).make(uri, "m"))
    assert resource_of(cheap) is Resource.POTENTIAL


def test_a_job_for_every_cell_gives_the_prediction_of_one_process(uri, copper, maker):
    output, jobs = run(uri, maker.make(uri, copper))
    assert output == {"outcome": "computed", "detail": "stable"}
    assert jobs == [f"displaced cell {n} of Cu" for n in (2, 3)] + ["displaced_cell_job"]
    with open_database(uri) as database:
        document = PredictionDocument.load(database.predictions.query_one({}))
        crystal = crystal_of(database, copper)
        assert document.cost.force_calls == database.forces.count() == N_CELLS + 2
    assert (document.tier, document.provenance.method) == (2, "gaussian-process-phonons")
    alone = cached_predictor(maker.calculator, maker.settings).predict(crystal)
    curve = document.thermodynamics.free_energy_mev_per_atom
    assert np.array_equal(curve, alone.thermodynamics.free_energy_mev_per_atom)
    again, jobs = run(uri, maker.make(uri, copper))
    assert again == {"outcome": "already_done", "detail": ""}


def test_cells_that_are_enough_end_the_flow(uri, copper, maker, settings):
    easy = replace(settings, few_cells=replace(settings.few_cells, tolerance=50.0))
    output, jobs = run(uri, replace(maker, settings=easy.as_dict()).make(uri, copper))
    assert output["outcome"] == "computed"
    assert jobs == ["displaced_cell_job"]
    with open_database(uri) as database:
        assert database.forces.count() == 3


def test_no_job_follows_the_last_cell_that_is_allowed(uri, copper, maker, monkeypatch):
    asked = []

    def never_done(_database, crystal, _predictor, n_cells):
        asked.append(n_cells)
        return MaterialEvent(crystal.material_id, crystal.formula, Outcome.STARTED)

    monkeypatch.setattr("flows.few_cells.advance_material", never_done)
    arguments = (uri, copper, maker.calculator, maker.settings)
    assert isinstance(displaced_cell_job.original(*arguments, N_CELLS - 1), Response)
    for n_cells in (N_CELLS, N_CELLS + 5):
        output = displaced_cell_job.original(*arguments, n_cells)
        assert output["outcome"] == "failed"
        assert f"{N_CELLS} cells are all" in output["detail"]
    assert asked == [N_CELLS - 1, N_CELLS, N_CELLS]


def test_a_flow_that_is_submitted_again_goes_on_where_it_stopped(uri, copper, maker, tmp_path):
    log = tmp_path / "calls"
    logged = f"pretended_dft.DiesOnce(log={str(log)!r}, calls=1000)"
    arguments = (uri, copper, logged, maker.settings)
    for n_cells in (1, 2, 1):  # the last one comes late
        assert isinstance(displaced_cell_job.original(*arguments, n_cells), Response)
    output, _ = run(uri, replace(maker, calculator=logged).make(uri, copper))
    assert output["outcome"] == "computed"
    assert log.read_text().split() == ["1", "1", "8", "8", "8"]


def test_a_failed_cell_becomes_the_failure_of_its_material(uri, maker):
    silver = id_of(uri, "Ag")
    broken = replace(maker, calculator="pretended_dft.FailsForSilverSupercells")
    assert run(uri, broken.make(uri, silver))[0]["outcome"] == "failed"
    with open_database(uri) as database:
        failure = FailureDocument.load(database.failures.query_one({}))
        assert failure.code == "CALCULATOR_FAILED"
        assert failure.message.endswith("the density of silver does not converge")
        assert database.forces.count() == 2  # what went well is kept
    assert run(uri, broken.make(uri, silver))[0]["outcome"] == "failed_before"
    with open_database(uri) as database:
        assert forget_failures(database) == (silver,)
    assert run(uri, maker.make(uri, silver))[0]["outcome"] == "computed"


def test_settings_without_few_cells_are_refused_by_the_job_and_not_made_by_the_maker(
    uri, copper, maker, settings
):
    plain = replace(settings, few_cells=None).as_dict()
    with pytest.raises(SettingError, match="say nothing of displaced cells"):
        displaced_cell_job.original(uri, copper, DFT, plain)
    [first] = replace(maker, settings=plain).make(uri, copper).jobs
    assert first.function_args[3]["few_cells"] == {}


def test_another_program_or_prior_than_expected_is_a_failure_that_says_so(uri, copper, maker):
    for name in ("model_digest", "settings_digest"):
        output, _ = run(uri, replace(maker, **{name: "0" * 64}).make(uri, copper))
        assert output["outcome"] == "failed"
        assert "not those of the machine that launched" in output["detail"]
    step = read_ladder([{"calculator": DFT, "settings": maker.settings}]).steps[0]
    [first] = step.flow(uri, copper).jobs
    predictor = cached_predictor(DFT, maker.settings)
    assert first.function_kwargs["expected"] == [
        predictor.model_digest,
        predictor.settings_digest,
    ]


def test_a_database_that_is_away_is_left_to_the_engine(uri, copper, maker, monkeypatch):
    def away(*_):
        raise DatabaseUnavailableError("cannot be reached")

    monkeypatch.setattr("flows.checkpoints.Checkpointed._stored", away)
    with pytest.raises(DatabaseUnavailableError):
        displaced_cell_job.original(uri, copper, DFT, maker.settings)
    with open_database(uri) as database:
        assert database.failures.count() == 0


def test_the_crew_of_this_machine_predicts_it_too(uri, copper, settings):
    from flows.local import Crew
    from flows.makers import ScreenBatchMaker
    from flows.run import screen

    maker = ScreenBatchMaker(calculator=DFT, settings=settings.as_dict())
    report = screen(uri, [copper], maker, crew=Crew(workers=0))
    assert report.outcomes == {"computed": 1}
    with open_database(uri) as database:
        assert database.forces.count() == N_CELLS + 2
        row = database.phonons.query_one(by_field("material_id", copper))
    assert row["n_displaced_cells"] == N_CELLS
