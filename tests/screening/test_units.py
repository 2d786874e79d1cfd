import numpy as np
import pytest
from scipy import constants

from screening import units


def test_constants_are_those_of_the_stated_release() -> None:
    assert constants.e == units.EV_TO_JOULE
    assert units.AVOGADRO_PER_MOL == constants.N_A
    assert pytest.approx(constants.k / constants.e, rel=1e-15) == units.BOLTZMANN_EV_PER_K
    assert pytest.approx(constants.h / constants.e * 1e15, rel=1e-15) == units.PLANCK_MEV_PER_THZ
    assert pytest.approx(1e10 / constants.c, rel=1e-15) == units.THZ_TO_INVERSE_CM
    assert pytest.approx(constants.h * 1e12 / constants.k, rel=1e-15) == units.KELVIN_PER_THZ


@pytest.mark.parametrize(
    ("value", "published", "digits"),
    [
        (units.BOLTZMANN_MEV_PER_K, 0.08617333262, 1e-10),
        (units.PLANCK_MEV_PER_THZ, 4.135667696, 1e-9),
        (units.SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ, 15.63330, 1e-5),
        (units.THZ_TO_INVERSE_CM, 33.35640952, 1e-8),
        (units.MEV_TO_JOULE_PER_MOL, 96.4853, 1e-4),
        (units.EV_PER_ANGSTROM3_TO_GPA, 160.2176634, 1e-7),
        (units.KBAR_TO_GPA, constants.bar * 1e3 / 1e9, 1e-15),
        (units.SECONDS_PER_HOUR, constants.hour, 0.0),
    ],
)
def test_conversions_have_their_published_values(
    value: float, published: float, digits: float
) -> None:
    assert value == pytest.approx(published, abs=digits)


def test_older_constants_of_phonopy_are_closer_than_a_millionth() -> None:
    from phonopy.physical_units import get_physical_units

    theirs = get_physical_units()
    assert pytest.approx(units.BOLTZMANN_EV_PER_K, rel=1e-6) == theirs.KB
    assert theirs.THzToEv * 1e3 == pytest.approx(units.PLANCK_MEV_PER_THZ, rel=1e-6)
    assert theirs.DefaultToTHz == pytest.approx(units.SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ, rel=1e-6)
    assert pytest.approx(units.MEV_TO_JOULE_PER_MOL, rel=1e-6) == theirs.EvTokJmol


def test_conversions_are_inverse_and_per_mole_of_atoms() -> None:
    gas_constant = units.mev_to_joule_per_mol(units.BOLTZMANN_MEV_PER_K)
    assert gas_constant == pytest.approx(constants.R, rel=1e-12)
    assert units.joule_per_mol_to_mev(units.mev_to_joule_per_mol(3.7)) == pytest.approx(3.7)
    assert units.thz_to_inverse_cm(3.0) == pytest.approx(100.0692286, rel=1e-8)
    assert units.thz_to_rad_per_ps(1.0) == pytest.approx(2 * np.pi, rel=1e-15)


def test_a_diatomic_spring_vibrates_as_it_must() -> None:
    spring_ev_per_angstrom2, mass_amu = 10.0, 12.0
    angular = np.sqrt(spring_ev_per_angstrom2 * constants.e * 1e20 / (mass_amu * constants.u))
    frequency = units.SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ * np.sqrt(spring_ev_per_angstrom2 / mass_amu)
    assert frequency == pytest.approx(angular / (2 * np.pi) * 1e-12, rel=1e-9)


def test_coulomb_constant_is_hartree_times_bohr() -> None:
    hartree_ev, bohr_angstrom = 27.211386245988, 0.529177210903  # CODATA 2018
    assert pytest.approx(hartree_ev * bohr_angstrom, rel=1e-9) == units.COULOMB_EV_ANGSTROM
