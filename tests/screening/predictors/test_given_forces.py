from dataclasses import replace

import numpy as np
import pytest

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.prediction import ForceData, Verdict, frozen_array
from screening.predictors.contract import check_predictor
from screening.predictors.given_forces import GivenForces, force_data_digest
from screening.predictors.interface import Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import Crystal
from screening.thermodynamics import ThermodynamicsSettings


@pytest.fixture
def forces(fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings) -> ForceData:
    found = PotentialPhonons(fake(), quick_settings).predict(gold_copper).force_data
    assert found is not None
    return found


def test_same_forces_give_the_same_physics_as_their_calculator(
    fake: type, forces: ForceData, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    potential = PotentialPhonons(fake(), quick_settings).predict(gold_copper)
    given = GivenForces(forces, quick_settings, source="EMT").predict(gold_copper)
    np.testing.assert_allclose(
        given.thermodynamics.free_energy_mev_per_atom,
        potential.thermodynamics.free_energy_mev_per_atom,
        rtol=1e-12,
    )
    assert given.stability.verdict is potential.stability.verdict is Verdict.STABLE
    assert (given.method, given.tier, given.model) == ("given-forces", Tier.SYSTEMATIC_DFT, "EMT")
    assert given.cost.force_calls == 0
    assert given.static_energy_ev_per_atom is None
    assert given.static_energy_source is None


def test_it_keeps_the_contract(
    forces: ForceData, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    predictor = GivenForces(forces, quick_settings, static_energy_ev_per_atom=-3.2)
    check_predictor(predictor, gold_copper)
    found = predictor.predict(gold_copper)
    assert found.static_energy_ev_per_atom == -3.2
    assert found.static_energy_source == "given"


def test_another_crystal_is_refused(
    forces: ForceData, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    with pytest.raises(InconsistentDataError, match="another crystal"):
        GivenForces(forces, quick_settings).predict(copper)


def test_only_settings_that_matter_identify_the_result(
    forces: ForceData, quick_settings: ScreeningSettings
) -> None:
    reference = GivenForces(forces, quick_settings)
    moved = replace(quick_settings.phonons, displacement_angstrom=0.05)
    same = GivenForces(forces, replace(quick_settings, phonons=moved))
    assert same.settings_digest == reference.settings_digest
    thermo = ThermodynamicsSettings(temperatures_k=(0.0, 77.0))
    other = GivenForces(forces, replace(quick_settings, thermodynamics=thermo))
    assert other.settings_digest != reference.settings_digest


def test_every_number_is_in_the_digest(forces: ForceData) -> None:
    digests = {force_data_digest(forces), force_data_digest(forces, -1.0)}
    bumped = np.array(forces.forces_ev_per_angstrom)
    bumped[-1, -1, -1] += 1e-6
    digests.add(force_data_digest(replace(forces, forces_ev_per_angstrom=frozen_array(bumped))))
    charges = frozen_array(np.zeros((4, 3, 3)))
    digests.add(force_data_digest(replace(forces, born_charges_e=charges)))
    assert len(digests) == 4


def test_numbers_that_are_not_finite_are_refused(forces: ForceData) -> None:
    broken = np.array(forces.forces_ev_per_angstrom)
    broken[0, 0, 0] = np.nan
    with pytest.raises(NonFiniteInputError):
        GivenForces(replace(forces, forces_ev_per_angstrom=frozen_array(broken)))
    with pytest.raises(NonFiniteInputError):
        GivenForces(forces, static_energy_ev_per_atom=float("nan"))
