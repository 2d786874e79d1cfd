"""Physical constants and every unit conversion of the platform.

Constants are CODATA 2018 (exact since the SI redefinition of 2019, except the atomic
mass constant). Frequencies are ordinary frequencies in THz; angular ones, in rad/ps, only where
published figures are compared with, and then the name says so.
"""

from __future__ import annotations

import math

__all__ = [
    "AVOGADRO_PER_MOL",
    "BOLTZMANN_EV_PER_K",
    "BOLTZMANN_MEV_PER_K",
    "COULOMB_EV_ANGSTROM",
    "EV_PER_ANGSTROM3_TO_GPA",
    "EV_TO_JOULE",
    "EV_TO_MEV",
    "KBAR_TO_GPA",
    "KELVIN_PER_THZ",
    "MEV_TO_JOULE_PER_MOL",
    "PLANCK_MEV_PER_THZ",
    "RAD_PER_PS_PER_THZ",
    "SECONDS_PER_HOUR",
    "SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ",
    "THZ_TO_INVERSE_CM",
    "joule_per_mol_to_mev",
    "mev_to_joule_per_mol",
    "thz_to_inverse_cm",
    "thz_to_rad_per_ps",
]

EV_TO_JOULE = 1.602176634e-19
AVOGADRO_PER_MOL = 6.02214076e23
_BOLTZMANN_JOULE_PER_K = 1.380649e-23
_PLANCK_JOULE_S = 6.62607015e-34
_SPEED_OF_LIGHT_CM_PER_S = 2.99792458e10
_ATOMIC_MASS_KG = 1.66053906660e-27  # CODATA 2018

_VACUUM_PERMITTIVITY_FARAD_PER_M = 8.8541878128e-12  # CODATA 2018

EV_TO_MEV = 1000.0
BOLTZMANN_EV_PER_K = _BOLTZMANN_JOULE_PER_K / EV_TO_JOULE
BOLTZMANN_MEV_PER_K = BOLTZMANN_EV_PER_K * EV_TO_MEV
PLANCK_MEV_PER_THZ = _PLANCK_JOULE_S * 1e12 / EV_TO_JOULE * EV_TO_MEV
KELVIN_PER_THZ = PLANCK_MEV_PER_THZ / BOLTZMANN_MEV_PER_K
RAD_PER_PS_PER_THZ = 2.0 * math.pi
THZ_TO_INVERSE_CM = 1e12 / _SPEED_OF_LIGHT_CM_PER_S
MEV_TO_JOULE_PER_MOL = EV_TO_JOULE / EV_TO_MEV * AVOGADRO_PER_MOL
COULOMB_EV_ANGSTROM = (  # e^2 / (4 pi epsilon_0)
    EV_TO_JOULE / (4.0 * math.pi * _VACUUM_PERMITTIVITY_FARAD_PER_M) * 1e10
)
EV_PER_ANGSTROM3_TO_GPA = EV_TO_JOULE * 1e30 / 1e9
KBAR_TO_GPA = 0.1
SECONDS_PER_HOUR = 3600.0
SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ = (
    math.sqrt(EV_TO_JOULE / _ATOMIC_MASS_KG) * 1e10 / (2.0 * math.pi) * 1e-12
)


def mev_to_joule_per_mol(energy_mev: float) -> float:
    """Convert an energy or entropy per atom in meV (per K) to J/mol (per K) of atoms.

    Examples
    --------
    >>> round(mev_to_joule_per_mol(1.0), 4)
    96.4853
    """
    return energy_mev * MEV_TO_JOULE_PER_MOL


def joule_per_mol_to_mev(energy_joule_per_mol: float) -> float:
    """Convert J/mol of atoms (per K) to meV per atom (per K).

    Examples
    --------
    >>> round(joule_per_mol_to_mev(8.314462618), 6)
    0.086173
    """
    return energy_joule_per_mol / MEV_TO_JOULE_PER_MOL


def thz_to_inverse_cm(frequency_thz: float) -> float:
    """Convert a frequency in THz to wave numbers in 1/cm.

    Examples
    --------
    >>> round(thz_to_inverse_cm(1.0), 8)
    33.35640952
    """
    return frequency_thz * THZ_TO_INVERSE_CM


def thz_to_rad_per_ps(frequency_thz: float) -> float:
    """Convert an ordinary frequency in THz to an angular one in rad/ps.

    Examples
    --------
    >>> round(thz_to_rad_per_ps(SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ), 4)
    98.2269
    """
    return frequency_thz * RAD_PER_PS_PER_THZ
