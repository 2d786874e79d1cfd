"""A trained model that asks a potential whether crystals are at rest, and refuses the others."""

from types import SimpleNamespace

import numpy as np
import pytest

from flows.at_rest import RelaxedFirst
from flows.checked_forces import ForcesChecked, with_forces_checked
from flows.predicting import predict_stored
from flows.trained import method_of
from flows.training import TrainingTask, train_and_store
from screening.errors import CalculatorFailedError, OutOfDomainError, SettingError
from screening.structure import canonical_crystal
from stores.connect import open_database
from stores.documents import PredictionDocument

pytestmark = pytest.mark.usefixtures("springs", "screened")
EMT = "ase.calculators.emt.EMT"
GPA = 1.0 / 160.21766


@pytest.fixture
def model(uri):
    """What learned the springs of copper and aluminium, as EMT has them."""
    return train_and_store(uri, TrainingTask("rf-ifc", name="metals")).model


@pytest.fixture
def predictor(model):
    return method_of(model).predictor(model, None)


def potential(force=0.0, stress_gpa=0.0, name=EMT, digest="c0ffee"):
    """Pull at the first atom, and at the cell."""

    def energy_forces_stress(_, positions, __):
        forces = np.zeros_like(positions)
        forces[0, 1] = force
        return 0.0, forces, stress_gpa * GPA * np.eye(3)

    return SimpleNamespace(name=name, digest=digest, energy_forces_stress=energy_forces_stress)


@pytest.fixture
def crystal(fcc_copper):
    return canonical_crystal(fcc_copper)


@pytest.fixture
def fcc_copper():
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(3.61 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])),
                     ["Cu"], [[0, 0, 0]])  # fmt: skip


def test_what_is_at_rest_is_predicted_and_says_so(predictor, crystal):
    checked = ForcesChecked(predictor, potential(0.004, 0.02))
    found, plain = checked.predict(crystal), predictor.predict(crystal)
    assert found.warnings[-1] == f"at rest by {EMT}: forces up to 0.004 eV/Å, stress up to 0.02 GPa"
    assert found.settings["forces_checked"]["force_ev_per_angstrom"] == 0.01
    assert found.settings_digest == checked.settings_digest != plain.settings_digest
    np.testing.assert_array_equal(
        found.thermodynamics.free_energy_mev_per_atom, plain.thermodynamics.free_energy_mev_per_atom
    )


@pytest.mark.parametrize(("force", "stress"), [(0.02, 0.0), (0.0, 4.7), (0.0, -4.7), (np.nan, 0.0)])
def test_forces_and_stress_are_refused(predictor, crystal, force, stress):
    checked = ForcesChecked(predictor, potential(force, stress))
    with pytest.raises(OutOfDomainError, match="not at rest"):
        checked.predict(crystal)
    [found] = checked.predict_many([crystal])
    assert isinstance(found, OutOfDomainError)


def test_one_that_cannot_be_computed_does_not_stop_the_others(predictor, crystal):
    failing, calls = potential(), []

    def fail_once(_, positions, __):
        calls.append(1)
        if len(calls) == 1:
            raise CalculatorFailedError("no forces", subject="x")
        return 0.0, np.zeros_like(positions), np.zeros((3, 3))

    failing.energy_forces_stress = fail_once
    first, second = ForcesChecked(predictor, failing).predict_many([crystal, crystal])
    assert isinstance(first, CalculatorFailedError)
    assert second.structure_digest == crystal.digest


def test_minima_of_another_potential_are_not_asked_for(predictor):
    with pytest.raises(SettingError, match="has other minima than"):
        ForcesChecked(predictor, potential(name="chgnet:0.3.0"))


def test_a_relaxed_crystal_is_checked_where_it_was_relaxed_to(predictor, crystal):
    checked = ForcesChecked(predictor, potential())
    first = RelaxedFirst(checked, EMT, lambda names: dict.fromkeys(names, crystal.structure))
    found = first.predict(crystal)
    assert "at rest by" in found.warnings[-2]
    assert set(found.settings) >= {"forces_checked", "relaxed_by"}


def test_nothing_changes_where_no_potential_is_named(predictor):
    assert with_forces_checked(predictor, "") is predictor


def test_stored_structures_are_checked_on_request(uri, model, screened):
    """As imported the crystals are not at the volume of the potential."""
    plain = predict_stored(uri, model, screened)
    done = predict_stored(uri, model, screened, check_forces=EMT)
    assert sum(done.outcomes.values()) == sum(plain.outcomes.values())
    assert done.n_predicted == plain.n_predicted  # they have keys of their own
    with open_database(uri, read_only=True) as database:
        rows = database.predictions.query({"provenance.method": model.method})
        said = [PredictionDocument.load(row).warnings for row in rows]
    n_checked = sum(any("at rest by" in text for text in one) for one in said)
    assert n_checked == done.outcomes.get("computed", 0)
