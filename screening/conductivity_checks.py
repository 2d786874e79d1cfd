"""What makes a thermal conductivity meaningless, refused with the number that gives it away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import ForceConstants
from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    TooLargeError,
    WrongShapeError,
)
from screening.force_constants import acoustic_sum_error
from screening.prediction import FloatArray

__all__ = [
    "CUTOFF_THZ",
    "check_collision_memory",
    "check_force_constants",
    "check_frequencies",
    "check_scattered",
    "check_size",
]

CUTOFF_THZ = 1e-4
"""phono3py leaves out modes below."""

_SUM_RULE_TOLERANCE = 1e-2  # of the largest force constant
_SAME_CELL_ANGSTROM = 1e-4
_MAX_COLLISION_BYTES = 8 * 1024**3
_STANDING_ANGSTROM_PER_PS = 1e-6  # group velocities that symmetry makes zero stay below
_N_TRANSLATIONS = 3
_COLDEST_KELVIN = 100.0
_LARGEST_W_PER_M_K = 1e5  # diamond has 1e4 at 100 K


def check_force_constants(constants: ForceConstants, harmonic: ForceConstants) -> None:
    """Check that the third order of one and the second order of the other can be used.

    Raises
    ------
    WrongShapeError, NonFiniteInputError
        If an array does not fit the cells or holds no finite numbers.
    InconsistentDataError
        If there is no third order, the two are of different crystals, or a rigid translation
        is far from free.
    """
    third = constants.third_order_ev_per_angstrom3
    if third is None:
        raise InconsistentDataError(
            "there are no third-order force constants",
            subject="third_order_ev_per_angstrom3",
            hint="Fit them, or give those of another calculation",
        )
    if harmonic is not constants:
        _check_same_crystal(constants, harmonic)
    n_sites, n_atoms = len(constants.primitive), len(constants.supercell_numbers)
    n_others = len(harmonic.supercell_numbers)
    second = harmonic.second_order_ev_per_angstrom2
    _check_array("third_order_ev_per_angstrom3", third, (n_sites, n_atoms, n_atoms, 3, 3, 3))
    _check_array("second_order_ev_per_angstrom2", second, (n_sites, n_others, 3, 3))
    if not np.any(third):
        raise InconsistentDataError(
            "all third-order force constants are zero: phonons would never scatter",
            subject="third_order_ev_per_angstrom3",
            hint="Fit them, or give those of another calculation",
        )
    error = acoustic_sum_error(second)
    if error > _SUM_RULE_TOLERANCE * np.abs(second).max():
        raise InconsistentDataError(
            f"a rigid translation costs {error:.3g} eV/Å²",
            subject="second_order_ev_per_angstrom2",
            hint="Symmetrise the force constants first",
        )


def _check_array(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise WrongShapeError(
            f"shape {np.shape(values)} where {shape} is needed",
            subject=name,
            hint="Give the compact form: first atoms are the primitive cell's sites",
        )
    if not np.all(np.isfinite(values)):
        raise NonFiniteInputError(
            "a force constant is not finite",
            subject=name,
            hint="Fit or read the force constants again",
        )


def _check_same_crystal(constants: ForceConstants, harmonic: ForceConstants) -> None:
    ours, theirs = constants.primitive, harmonic.primitive
    same = ours.atomic_numbers == theirs.atomic_numbers and np.allclose(
        ours.lattice.matrix, theirs.lattice.matrix, rtol=0.0, atol=_SAME_CELL_ANGSTROM
    )
    if same:
        offsets = ours.frac_coords - theirs.frac_coords
        shifts = (offsets - np.rint(offsets)) @ ours.lattice.matrix
        same = bool(np.abs(shifts).max() < _SAME_CELL_ANGSTROM)
    if not same:
        raise InconsistentDataError(
            "second- and third-order force constants are of different primitive cells",
            subject=ours.composition.reduced_formula,
            hint="Give both in one primitive cell, sites in one order",
        )


def check_frequencies(frequencies_thz: FloatArray, q_points: FloatArray) -> None:
    """Refuse imaginary modes, and modes without restoring force other than translations.

    Parameters
    ----------
    frequencies_thz
        Ascending, imaginary ones negative, shape (q, branch).
    q_points
        Fractions of the reciprocal lattice, shape (q, 3).

    Raises
    ------
    InconsistentDataError
        If there is such a mode; the message holds the lowest frequency and where it is.
    """
    by_size = np.sort(np.abs(frequencies_thz), axis=1)
    lowest = frequencies_thz.min(axis=1)
    centre = ~np.any(q_points, axis=1)
    optical = by_size[centre, _N_TRANSLATIONS:].min(axis=1, initial=np.inf)
    lowest[centre] = np.where(lowest[centre] < -CUTOFF_THZ, lowest[centre], optical)
    worst = int(lowest.argmin())
    if lowest[worst] < CUTOFF_THZ:
        raise InconsistentDataError(
            f"the frequency {lowest[worst]:.3f} THz (imaginary where negative) at"
            f" {np.round(q_points[worst], 4).tolist()} allows no thermal conductivity",
            subject="second_order_ev_per_angstrom2",
            hint="Relax the crystal along this mode, or take a larger supercell",
        )


def check_collision_memory(n_modes: int, n_temperatures: int) -> None:
    """Refuse a direct solution whose collision matrices would not fit into memory.

    Raises
    ------
    TooLargeError
        If they need more than 8 GiB.
    """
    needed = (3 * n_modes) ** 2 * 8 * n_temperatures
    if needed > _MAX_COLLISION_BYTES:
        raise TooLargeError(
            f"the collision matrices of {n_modes} modes at {n_temperatures} temperatures take"
            f" {needed / 1024**3:.0f} GiB",
            subject="mesh",
            hint="Take a coarser mesh, fewer temperatures, or the method 'rta'",
        )


def check_scattered(
    frequencies_thz: FloatArray,
    velocities_angstrom_per_ps: FloatArray,
    heat_capacities_ev_per_k: FloatArray,
    linewidths_thz: FloatArray,
    q_points: NDArray[np.float64],
) -> None:
    """Refuse modes that would carry heat without resistance.

    Parameters
    ----------
    frequencies_thz, velocities_angstrom_per_ps, heat_capacities_ev_per_k, linewidths_thz, q_points
        As in `ThermalConductivity`.

    Raises
    ------
    InconsistentDataError
        If a mode with a group velocity has no linewidth.
    """
    speeds = np.linalg.norm(velocities_angstrom_per_ps, axis=2)
    moves = (frequencies_thz >= CUTOFF_THZ) & (speeds > _STANDING_ANGSTROM_PER_PS)
    carries = moves[None] & (heat_capacities_ev_per_k > 0.0)
    free = carries & ~(linewidths_thz > 0.0)
    if np.any(free):
        _, point, branch = np.argwhere(free)[0]
        raise InconsistentDataError(
            f"{free.sum()} of {carries.sum()} modes are never scattered, first that of"
            f" {frequencies_thz[point, branch]:.3f} THz at {np.round(q_points[point], 4).tolist()}",
            subject="linewidths_thz",
            hint="Take a denser mesh, or include isotopes or a boundary mean free path",
        )


def check_size(temperatures_k: FloatArray, conductivity_w_per_m_k: FloatArray) -> None:
    """Refuse conductivities that no crystal has.

    Parameters
    ----------
    temperatures_k
        Shape (temperature,).
    conductivity_w_per_m_k
        Shape (temperature, 3, 3).

    Raises
    ------
    InconsistentDataError
        If one is larger than ten times diamond's, where crystals are not so cold that boundaries
        alone limit them.
    """
    largest = np.abs(conductivity_w_per_m_k).max(axis=(1, 2))
    absurd = (largest > _LARGEST_W_PER_M_K) & (temperatures_k >= _COLDEST_KELVIN)
    if np.any(absurd):
        where = int(np.argmax(absurd))
        raise InconsistentDataError(
            f"a conductivity of {largest[where]:.2g} W/m/K at {temperatures_k[where]:g} K:"
            " third-order force constants near zero",
            subject="third_order_ev_per_angstrom3",
            hint="Check that the displacements are large enough to show third order in the forces",
        )
