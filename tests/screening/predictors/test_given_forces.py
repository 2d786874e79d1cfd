from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.harmonic import frequencies_at, harmonic_from_forces
from screening.prediction import ForceData, Prediction, Verdict, frozen_array
from screening.predictors.assembly import knows_zone_centre_alone
from screening.predictors.contract import check_predictor
from screening.predictors.given_forces import GivenForces, force_data_digest
from screening.predictors.interface import Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.stability import ZONE_CENTRE
from screening.structure import Crystal
from screening.supercell import SupercellSettings
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


def in_one_cell(
    calculator: object, crystal: Crystal, settings: ScreeningSettings
) -> tuple[ForceData, Prediction]:
    """Forces of the primitive cell as it is, and what they give."""
    single = SupercellSettings(min_length_angstrom=1.0, min_atoms=1, max_atoms=crystal.n_atoms)
    settings = replace(settings, phonons=replace(settings.phonons, supercell=single))
    forces = PotentialPhonons(calculator, settings).predict(crystal).force_data
    assert forces is not None
    assert len(forces.supercell_numbers) == crystal.n_atoms
    return forces, GivenForces(forces, settings).predict(crystal)


def test_a_minimum_of_one_cell_is_not_called_unstable(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    """Beside the zone centre the force constants of a single cell are folded onto themselves."""
    forces, found = in_one_cell(fake(), gold_copper, quick_settings)
    harmonic = harmonic_from_forces(forces)
    modes = frequencies_at(harmonic, np.zeros((1, 3)))[0]
    assert found.stability.verdict is Verdict.UNDETERMINED
    assert set(found.stability.verdicts.values()) == {Verdict.UNDETERMINED}
    assert found.stability.lowest_frequency_region == ZONE_CENTRE
    assert found.stability.lowest_frequency_thz == pytest.approx(modes[3])
    assert modes[3] > 1.0
    assert any("the zone centre alone are known" in text for text in found.warnings)
    repeated = PotentialPhonons(fake(), quick_settings).predict(gold_copper)
    assert repeated.stability.verdict is Verdict.STABLE
    assert not any("single small cell" in text for text in repeated.warnings)


def test_one_cell_proves_an_instability_at_the_zone_centre(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    _, found = in_one_cell(fake(scale=-1.0), gold_copper, quick_settings)
    assert found.stability.verdict is Verdict.UNSTABLE
    assert found.stability.lowest_frequency_region == ZONE_CENTRE
    assert found.stability.lowest_frequency_thz < -1.0


def test_one_atom_alone_has_no_verdict(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    _, found = in_one_cell(fake(), copper, quick_settings)
    assert set(found.stability.verdicts.values()) == {Verdict.UNDETERMINED}


def test_a_cell_as_large_as_a_supercell_is_judged_like_one(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    forces, _ = in_one_cell(fake(), gold_copper, quick_settings)
    edge = gold_copper.structure.lattice.a
    for times, alone in ((1, True), (3, False)):
        cell = gold_copper.structure * (times, times, times)
        constants = np.zeros((len(cell), len(cell), 3, 3))
        harmonic = SimpleNamespace(
            primitive=cell,
            n_atoms=len(cell),
            supercell_matrix=np.eye(3, dtype=int),
            force_constants_ev_per_angstrom2=constants,
        )
        assert knows_zone_centre_alone(harmonic) is alone
        assert (times * edge < SupercellSettings().min_length_angstrom) is alone
    assert knows_zone_centre_alone(harmonic_from_forces(forces))
