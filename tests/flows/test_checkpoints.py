"""Force calls that are remembered: none is repeated, and the numbers are those of one run."""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from ase.calculators.emt import EMT

from flows import checkpoints
from flows.catalogue import crystal_of
from flows.checkpoints import Checkpointed, force_id_of, predict_resumably
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.materials import screen_material
from flows.run import screen
from screening.calculators import CheckedCalculator, DielectricResponse, ForceCalculator
from screening.calculators.ase import AseEngine
from screening.errors import CalculatorFailedError, DatabaseUnavailableError
from screening.predictors.contract import check_prediction
from screening.predictors.potential_phonons import PotentialPhonons
from stores.connect import open_database
from stores.documents import ForceDocument, PredictionDocument
from stores.documents.forces import ForceKind
from stores.query import by_field


@dataclass
class Counting:
    """An engine that counts its calls and fails after some."""

    fail_after: int = 10**9
    pause_seconds: float = 0.0
    spin_seconds: float = 0.0
    calls: list[int] = field(default_factory=list)

    def _count(self, numbers):
        if len(self.calls) >= self.fail_after:
            raise RuntimeError("the node went down")
        self.calls.append(len(numbers))
        time.sleep(self.pause_seconds)
        end = time.process_time() + self.spin_seconds
        while time.process_time() < end:
            pass
        return AseEngine(EMT())

    def forces(self, cell, positions, numbers):
        return self._count(numbers).forces(cell, positions, numbers)

    def energy(self, cell, positions, numbers):
        return self._count(numbers).energy(cell, positions, numbers)

    def energy_forces_stress(self, cell, positions, numbers):
        return self._count(numbers).energy_forces_stress(cell, positions, numbers)


def predictor_of(engine, settings):
    calculator = CheckedCalculator(engine, "counting", "c" * 64, is_first_principles=True)
    return PotentialPhonons(calculator, settings)


@pytest.fixture
def database(uri, names):
    assert names
    with open_database(uri) as opened:
        yield opened


@pytest.fixture
def crystal(database):
    rows = database.structures.query(by_field("formula_reduced", "Cu"))
    return crystal_of(database, max(rows, key=lambda one: one["space_group_number"])["material_id"])


def test_it_is_a_calculator_with_the_name_and_digest_of_the_one_inside(database):
    inner = CheckedCalculator(Counting(), "counting", "c" * 64, frozenset({29}), 0.02, ("soft",))
    outer = Checkpointed(inner, database)
    assert isinstance(outer, ForceCalculator)
    for name in ("name", "digest", "elements", "displacement_angstrom", "notes", "members"):
        assert getattr(outer, name) == getattr(inner, name)


def test_a_run_that_died_after_any_call_goes_on_with_the_next(database, crystal, small):
    whole = Counting()
    expected = predictor_of(whole, small).predict(crystal)
    n_calls = len(whole.calls)
    assert n_calls >= 4
    made = 0
    for done in range(1, n_calls):
        engine = Counting(fail_after=1)
        with pytest.raises(CalculatorFailedError, match="the node went down"):
            predict_resumably(predictor_of(engine, small), crystal, database)
        made += len(engine.calls)
        assert database.forces.count() == done == made
    last = Counting()
    found = predict_resumably(predictor_of(last, small), crystal, database)
    assert len(last.calls) == 1
    assert found.static_energy_ev_per_atom == expected.static_energy_ev_per_atom
    for name in ("forces_ev_per_angstrom", "displacements_angstrom"):
        expected_array = getattr(expected.force_data, name)
        assert np.array_equal(getattr(found.force_data, name), expected_array)
    assert np.array_equal(
        found.thermodynamics.free_energy_mev_per_atom,
        expected.thermodynamics.free_energy_mev_per_atom,
    )
    check_prediction(found)


def test_the_cost_of_a_resumed_prediction_is_that_of_all_its_calls(database, crystal, small):
    slow = predictor_of(Counting(), small)
    predict_resumably(slow, crystal, database)
    rows = list(database.forces.query({}))
    for row in rows:  # as if every call had taken an hour
        document = ForceDocument.load(row).replaced(wall_seconds=3600.0, cpu_seconds=14400.0)
        database.forces.update(document.to_store())
    again = Counting()
    found = predict_resumably(predictor_of(again, small), crystal, database)
    assert again.calls == []
    assert found.cost.force_calls == len(rows)
    assert found.cost.force_seconds == pytest.approx(3600.0 * found.cost.force_calls, rel=1e-3)
    assert found.cost.wall_seconds > found.cost.force_seconds
    assert found.cost.cpu_seconds == pytest.approx(14400.0 * found.cost.force_calls, rel=1e-3)


def test_what_is_remembered_is_described_and_holds_the_geometry(database, crystal, small):
    predict_resumably(predictor_of(Counting(), small), crystal, database)
    documents = [ForceDocument.load(row) for row in database.forces.query({})]
    assert {one.material_id for one in documents} == {crystal.material_id}
    assert {one.kind for one in documents} == {ForceKind.FORCES, ForceKind.ENERGY_FORCES_STRESS}
    for one in documents:
        arrays = database.blobs.get(one.blob.sha256)
        assert arrays["positions_angstrom"].shape == (one.n_atoms, 3)
        assert one.formula == f"Cu{one.n_atoms}"
        key = force_id_of(
            one.calculator_digest,
            one.kind,
            arrays["cell_angstrom"],
            arrays["positions_angstrom"],
            arrays["atomic_numbers"],
        )
        assert key == one.force_id


def test_lost_arrays_are_computed_again(database, crystal, small):
    predict_resumably(predictor_of(Counting(), small), crystal, database)
    n_calls = database.forces.count()
    assert database.blobs.delete_orphans([], min_age_s=-60.0) == n_calls
    again = Counting()
    predict_resumably(predictor_of(again, small), crystal, database)
    assert len(again.calls) == n_calls
    documents = [ForceDocument.load(row) for row in database.forces.query({})]
    assert all(one.blob.sha256 in database.blobs for one in documents)


def test_the_key_tells_geometries_and_calculators_apart_but_not_the_last_bit():
    cell, positions, numbers = np.eye(3) * 4.0, np.array([[0.0, 0.1, 0.3]]), np.array([29])

    def key(digest="c" * 64, kind=ForceKind.FORCES, shift=0.0, z=29):
        return force_id_of(digest, kind, cell, positions + shift, np.array([z]))

    assert (
        key()
        == key(shift=1e-12)
        == force_id_of("c" * 64, ForceKind.FORCES, cell, positions - 0.0, numbers)
    )
    others = {key(digest="d" * 64), key(kind=ForceKind.ENERGY), key(shift=1e-9), key(z=28)}
    assert len(others | {key()}) == 5


@dataclass
class Answering(Counting):
    """It also answers an electric field, or says why not."""

    refusal: str = ""
    asked: int = 0

    def dielectric_response(self, *geometry):
        self.asked += 1
        if self.refusal:
            return DielectricResponse(None, None, self.refusal)
        charges = np.tile(np.eye(3), (len(geometry[-1]), 1, 1))
        return DielectricResponse(3.0 * np.eye(3), charges)


def test_the_response_to_a_field_is_remembered_too(database, crystal):
    geometry = np.eye(3) * 4.0, np.array([[0.0, 0.1, 0.3]]), np.array([29])
    engine = Answering()
    calculator = CheckedCalculator(engine, "answering", "d" * 64, is_first_principles=True)
    first, second = (
        Checkpointed(calculator, database, crystal.material_id).dielectric_response(*geometry)
        for _ in range(2)
    )
    assert engine.asked == 1
    assert np.array_equal(first.born_charges_e, second.born_charges_e)
    assert np.array_equal(second.dielectric_constant, 3.0 * np.eye(3))
    metal = CheckedCalculator(Answering(refusal="a metal"), "metal", "e" * 64)
    assert Checkpointed(metal, database).dielectric_response(*geometry).refusal == "a metal"
    without = CheckedCalculator(Counting(), "counting", "c" * 64)
    assert Checkpointed(without, database).dielectric_response(*geometry) is None


def test_potentials_are_not_remembered(database, crystal, small):
    calculator = CheckedCalculator(Counting(), "cheap", "c" * 64)
    assert (
        screen_material(database, crystal, PotentialPhonons(calculator, small)).outcome
        == "computed"
    )
    assert database.forces.count() == 0


def test_a_worker_killed_half_way_repeats_no_call(uri, crystal, small, tmp_path):
    log = tmp_path / "calls"
    calculator = f"pretended_dft.DiesOnce(log={str(log)!r}, calls=3)"
    maker = ScreenBatchMaker(calculator=calculator, settings=small.as_dict())
    report = screen(uri, [crystal.material_id], maker, crew=Crew(workers=1))
    assert report.outcomes == {"computed": 1}
    lines = log.read_text().split()
    assert lines.count("died") == 1
    with open_database(uri) as opened:
        assert len(lines) - 1 == opened.forces.count()


def test_screening_remembers_calls_from_first_principles(database, crystal, small):
    broken = predictor_of(Counting(fail_after=3), small)
    assert screen_material(database, crystal, broken).outcome == "failed"
    assert database.forces.count() == 3
    database.failures.remove_docs({})
    rest = Counting()
    assert screen_material(database, crystal, predictor_of(rest, small)).outcome == "computed"
    prediction = PredictionDocument.load(database.predictions.query_one({}))
    assert prediction.cost.force_calls == 3 + len(rest.calls)


def test_calls_made_for_another_prediction_are_paid_there(database, crystal, small):
    spinning = Counting(spin_seconds=0.05)
    [first, second] = [
        predict_resumably(predictor_of(spinning, small), crystal, database, key)
        for key in ("1" * 64, "2" * 64)
    ]
    assert len(spinning.calls) == first.cost.force_calls == second.cost.force_calls
    least = 0.05 * len(spinning.calls)
    assert first.cost.cpu_seconds > least
    assert second.cost.cpu_seconds < first.cost.cpu_seconds - 0.9 * least
    again = predict_resumably(predictor_of(Counting(), small), crystal, database, "1" * 64)
    assert again.cost.cpu_seconds > least
    rows = [ForceDocument.load(row) for row in database.forces.query({})]
    assert {row.prediction_id for row in rows} == {"1" * 64}
    assert sum(row.cpu_seconds for row in rows) > least


def test_two_that_compute_the_same_make_every_call_once(uri, crystal, small, monkeypatch):
    monkeypatch.setattr(checkpoints, "_LOOK_SECONDS", 0.02)
    slow = Counting(pause_seconds=0.1)
    predictions = []

    def predict():
        with open_database(uri) as opened:
            predictions.append(predict_resumably(predictor_of(slow, small), crystal, opened))

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_database(uri) as opened:
        assert len(slow.calls) == opened.forces.count() >= 4
        assert opened.collection("claims").count() == 0
    first, second = predictions
    assert np.array_equal(
        first.force_data.forces_ev_per_angstrom, second.force_data.forces_ev_per_angstrom
    )
    # the time of every call counts once in each, that of waiting for it not
    for one in predictions:
        assert 0.1 * len(slow.calls) < one.cost.force_seconds < 0.19 * len(slow.calls)


def geometry_of(crystal):
    structure = crystal.structure
    numbers = np.array([site.specie.Z for site in structure])
    return np.array(structure.lattice.matrix), structure.cart_coords, numbers


@pytest.fixture
def claimed(database, crystal, monkeypatch):
    """A calculator whose energy of the crystal somebody is computing, and that one's claim."""
    monkeypatch.setattr(checkpoints, "_LOOK_SECONDS", 0.02)
    inner = CheckedCalculator(Counting(), "counting", "c" * 64, is_first_principles=True)
    key = force_id_of("c" * 64, ForceKind.ENERGY, *geometry_of(crystal))
    return Checkpointed(inner, database), database.claims.acquire(f"force:{key}")


def test_the_call_of_a_dead_process_is_made_again(database, crystal, claimed):
    calculator, claim = claimed
    store = database.collection("claims")
    stored = store.query_one({"key": claim.key})
    dead = stored["owner"] | {"start_time": "0"}
    store.update(stored | {"owner": dead})
    assert np.isfinite(calculator.energy(*geometry_of(crystal)))
    assert len(calculator.inner.engine.calls) == 1


def test_nobody_waits_for_ever(crystal, claimed, monkeypatch):
    calculator, claim = claimed
    monkeypatch.setattr(checkpoints, "PATIENCE_SECONDS", 0.1)
    started = time.monotonic()
    assert np.isfinite(calculator.energy(*geometry_of(crystal)))
    assert time.monotonic() - started > 0.1
    assert claim.still_mine()


def test_a_database_that_is_away_is_no_failure_of_the_material(
    database, crystal, small, monkeypatch
):
    def away(*_):
        raise DatabaseUnavailableError("cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointed, "_stored", away)
        with pytest.raises(DatabaseUnavailableError):
            screen_material(database, crystal, predictor_of(Counting(), small))
    assert database.failures.count() == 0
    found = screen_material(database, crystal, predictor_of(Counting(), small))
    assert found.outcome == "computed"
