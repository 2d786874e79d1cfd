r"""Hessians at the zone centre: what they come from, how they are checked and repaired.

The Hessian of a primitive cell at the zone centre sums the force constants over all images of
an atom, :math:`\Phi_{ij} = \sum_R \Phi(0i, Rj)` in eV/Å². A learned one obeys neither the
acoustic sum rule nor positivity; :func:`repair_hessian` gives it both. With
:math:`Q = \sum_t v_t v_t^T` the projector on rigid translations,
:math:`(v_t)_{is} = \delta_{st} / \sqrt N`, it projects with :math:`1 - Q` first and clips negative
eigenvalues second, which gives the nearest matrix that has both.

References
----------
F. Legrain et al., arXiv:1803.09827, section on the repair of Hessians: clips first.
N. J. Higham, Linear Algebra Appl. 103, 103 (1988): the nearest semidefinite matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from screening.descriptors.image_bonds import BondedCrystal, atomic_numbers
from screening.errors import SettingError, TrainingSetError
from screening.harmonic import Harmonic, signed_frequencies_thz
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.supercell_symmetry import phonopy_cell

__all__ = [
    "ZERO_MODE_FRACTION",
    "RepairOrder",
    "RepairedHessian",
    "TrainingTolerances",
    "ZoneCentreHessian",
    "atomic_masses_amu",
    "check_training_hessian",
    "on_site_from_sum_rule",
    "repair_hessian",
    "sum_rule_violation",
    "without_translations",
    "zone_centre_frequencies_thz",
    "zone_centre_hessian",
]

RepairOrder = Literal["project_then_clip", "clip_then_project"]

ZERO_MODE_FRACTION = 1e-2
"""Modes below this fraction of the highest frequency are zero modes."""

_N_RIGID = 3
_NOTHING_THZ = 1e-3  # below, a mode cannot be told from noise in forces
_ROUNDING = 1e-10  # of the largest eigenvalue: what diagonalisation leaves of a zero


@dataclass(frozen=True, eq=False)
class ZoneCentreHessian:
    """The Hessian of one material at the zone centre.

    Attributes
    ----------
    material_id
        Key of the material.
    structure
        The cell it belongs to.
    hessian_ev_per_angstrom2
        Second derivatives of the energy in eV/Å², shape (3 site + axis, 3 site + axis), in the
        order of the sites of the structure.
    residual_force_ev_per_angstrom
        Largest force on an atom of the undisplaced cell in eV/Å; None where it is not known.
    source
        What computed it, for instance the name of a potential.
    thermodynamics
        Of the modes of all wave vectors, as `screening.zone_centre_modes.mesh_thermodynamics`
        gives them; None where only the zone centre is known.
    """

    material_id: str
    structure: Structure
    hessian_ev_per_angstrom2: FloatArray
    residual_force_ev_per_angstrom: float | None
    source: str
    thermodynamics: Thermodynamics | None = None


@dataclass(frozen=True, eq=False)
class RepairedHessian:
    """A Hessian that obeys the sum rule and has no negative mode.

    Attributes
    ----------
    hessian
        In eV/Å², shape (3 site + axis, 3 site + axis).
    n_clipped
        Number of negative eigenvalues that were set to zero.
    relative_change
        Frobenius norm of what changed over that of the given Hessian.
    sum_rule_violation_before
        Largest component of the given Hessian's sums over columns, in eV/Å².
    """

    hessian: FloatArray
    n_clipped: int
    relative_change: float
    sum_rule_violation_before: float


@dataclass(frozen=True)
class TrainingTolerances:
    """What a Hessian may show of noise before it is no training datum.

    Attributes
    ----------
    residual_force_ev_per_angstrom
        Largest force in eV/Å on an atom of a cell that counts as relaxed.
    residual_stress_gpa
        Largest component in GPa of its stress, which strains a crystal by some 0.1 %.
    asymmetry
        Largest difference from the transpose, as a fraction of the largest component.
    zero_fraction
        Frequencies below this fraction of the highest one are zero.
    """

    residual_force_ev_per_angstrom: float = 0.01
    residual_stress_gpa: float = 0.1
    asymmetry: float = 1e-6
    zero_fraction: float = ZERO_MODE_FRACTION


def zone_centre_hessian(
    harmonic: Harmonic,
    *,
    material_id: str,
    residual_force_ev_per_angstrom: float | None = None,
    source: str = "",
    thermodynamics: Thermodynamics | None = None,
) -> ZoneCentreHessian:
    """Sum force constants over all images of every atom.

    Born charges take no part: the non-analytical term depends on a direction.

    Parameters
    ----------
    harmonic
        Force constants of the crystal.
    material_id, residual_force_ev_per_angstrom, source, thermodynamics
        Taken over.
    """
    matrix = harmonic.dynamical_matrices(np.zeros((1, 3)))[0].real
    roots = _roots_of_masses(atomic_masses_amu(harmonic.primitive))
    hessian = matrix * (roots[:, None] * roots)
    return ZoneCentreHessian(
        material_id=material_id,
        structure=harmonic.primitive,
        hessian_ev_per_angstrom2=frozen_array(0.5 * (hessian + hessian.T)),
        residual_force_ev_per_angstrom=residual_force_ev_per_angstrom,
        source=source,
        thermodynamics=thermodynamics,
    )


def atomic_masses_amu(structure: Structure | BondedCrystal) -> FloatArray:
    """Natural masses of the sites in amu, as phonopy has them, shape (site,)."""
    return np.array([_mass_amu(number) for number in atomic_numbers(structure).tolist()])


@cache
def _mass_amu(number: int) -> float:
    alone = Structure(Lattice.cubic(1.0), [Element.from_Z(number)], [[0.0, 0.0, 0.0]])
    return float(phonopy_cell(alone).masses[0])


def _roots_of_masses(masses_amu: FloatArray) -> FloatArray:
    """Square root of the mass that belongs to each row, shape (..., 3 site + axis)."""
    return np.repeat(np.sqrt(masses_amu), 3, axis=-1)


def zone_centre_frequencies_thz(hessian: FloatArray, masses_amu: FloatArray) -> FloatArray:
    """Frequencies of a Hessian in THz, imaginary ones negative, ascending.

    Parameters
    ----------
    hessian
        In eV/Å², shape (..., 3 site + axis, 3 site + axis); many cells of one size at once.
    masses_amu
        Masses of the sites in amu, shape (..., site).

    Returns
    -------
    ndarray
        Shape (..., 3 site).

    Examples
    --------
    >>> spring = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.diag([0.0, 0.0, 6.0]))
    >>> float(zone_centre_frequencies_thz(spring, np.array([12.0, 12.0])).max().round(4))
    15.6333
    """
    roots = _roots_of_masses(np.asarray(masses_amu, dtype=np.float64))
    weighted = hessian / (roots[..., :, None] * roots[..., None, :])
    return signed_frequencies_thz(np.asarray(np.linalg.eigvalsh(weighted), dtype=np.float64))


def sum_rule_violation(hessian: FloatArray) -> float:
    """Largest force in eV/Å² that a rigid translation of one Å would leave on an atom."""
    return float(np.abs(_column_sums(hessian)).max())


def _column_sums(hessian: FloatArray) -> FloatArray:
    """Sum over the atoms that move, shape (3 site + axis, axis)."""
    return np.asarray(hessian.reshape(len(hessian), -1, 3).sum(axis=1))


def without_translations(hessian: FloatArray) -> FloatArray:
    """Remove rigid translations from both sides of a Hessian, and what is not symmetric in it.

    Parameters
    ----------
    hessian
        In eV/Å², shape (3 site + axis, 3 site + axis).
    """
    rows = hessian - np.tile(_column_sums(hessian), len(hessian) // 3) * (3.0 / len(hessian))
    columns = rows.T - np.tile(_column_sums(rows.T), len(hessian) // 3) * (3.0 / len(hessian))
    return 0.5 * (columns + columns.T)


def _clipped(hessian: FloatArray) -> tuple[FloatArray, int]:
    """Set negative eigenvalues to zero, and count them."""
    shift = _ROUNDING * float(hessian.diagonal().max())
    try:  # mostly there are none, and this is ten times faster than to find eigenvalues
        np.linalg.cholesky(hessian + shift * np.eye(len(hessian)))
    except np.linalg.LinAlgError:
        return _without_negative(hessian)
    return hessian, 0


def _without_negative(hessian: FloatArray) -> tuple[FloatArray, int]:
    values, vectors = np.linalg.eigh(hessian)
    negative = values < -_ROUNDING * max(float(np.abs(values).max()), np.finfo(np.float64).tiny)
    kept = vectors * np.sqrt(np.maximum(values, 0.0))
    return kept @ kept.T, int(negative.sum())


def repair_hessian(
    hessian: FloatArray, order: RepairOrder = "project_then_clip"
) -> RepairedHessian:
    """Impose the acoustic sum rule and remove negative modes.

    Parameters
    ----------
    hessian
        In eV/Å², shape (3 site + axis, 3 site + axis). What is not symmetric in it is removed.
    order
        ``project_then_clip`` gives the nearest matrix in the Frobenius norm that has both
        properties; ``clip_then_project`` is the published order, which goes further than needed.

    Raises
    ------
    SettingError
        If the order is unknown.

    References
    ----------
    F. Legrain et al., arXiv:1803.09827. N. J. Higham, Linear Algebra Appl. 103, 103 (1988).

    Examples
    --------
    >>> repaired = repair_hessian(np.diag([1.0, 2.0, 3.0, -1.0, 1.0, 1.0]))
    >>> round(sum_rule_violation(repaired.hessian), 12), repaired.n_clipped
    (0.0, 0)
    """
    if order not in get_args(RepairOrder):
        raise SettingError(
            f"unknown order {order!r}",
            subject="order",
            hint=f"Choose one of {', '.join(get_args(RepairOrder))}",
        )
    given = 0.5 * (hessian + hessian.T)
    first = without_translations(given) if order == "project_then_clip" else given
    repaired, n_clipped = _clipped(first)
    repaired = without_translations(repaired)  # of what was projected, rounding only
    norm = float(np.linalg.norm(hessian))
    change = float(np.linalg.norm(repaired - hessian)) / norm if norm > 0.0 else 0.0
    return RepairedHessian(repaired, n_clipped, change, sum_rule_violation(hessian))


def on_site_from_sum_rule(hessian: FloatArray) -> FloatArray:
    """Replace the blocks on the diagonal by what the acoustic sum rule asks for.

    Parameters
    ----------
    hessian
        In eV/Å², shape (..., 3 site + axis, 3 site + axis), with the blocks of different sites;
        those on the diagonal are not read.

    Returns
    -------
    ndarray
        The same off the diagonal; on it minus the sum over the other sites, made symmetric.
    """
    n_sites = hessian.shape[-1] // 3
    found = hessian.reshape(*hessian.shape[:-2], n_sites, 3, n_sites, 3).copy()
    sites = np.arange(n_sites)
    blocks = found.swapaxes(-3, -2)
    blocks[..., sites, sites, :, :] = 0.0
    sums = -(found.reshape(hessian.shape) @ np.tile(np.eye(3), (n_sites, 1)))
    sums = sums.reshape(*found.shape[:-2], 3)
    blocks[..., sites, sites, :, :] = 0.5 * (sums + sums.swapaxes(-1, -2))
    return found.reshape(hessian.shape)


def check_training_hessian(
    one: ZoneCentreHessian, tolerances: TrainingTolerances | None = None
) -> None:
    """Refuse what is no second derivative at a minimum of the energy.

    Parameters
    ----------
    one
        A Hessian with its cell.
    tolerances
        What counts as noise.

    Raises
    ------
    TrainingSetError
        If the Hessian has another shape than the cell asks for, is not finite or not symmetric,
        the cell is known not to be relaxed or holds one atom alone, rigid translations are no
        zero modes, nothing holds the atoms, or a mode is negative.
    """
    tolerances = tolerances or TrainingTolerances()
    _check_matrix(one, tolerances)
    force = one.residual_force_ev_per_angstrom
    if force is not None and not 0.0 <= force <= tolerances.residual_force_ev_per_angstrom:
        _refuse(
            one,
            f"residual force {force:g} eV/Å, above {tolerances.residual_force_ev_per_angstrom:g}",
            "Relax the structure with the potential or functional that gives its Hessian",
        )
    _check_modes(one, tolerances)


def _refuse(one: ZoneCentreHessian, message: str, hint: str) -> None:
    raise TrainingSetError(message, subject=one.material_id, hint=hint)


def _check_matrix(one: ZoneCentreHessian, tolerances: TrainingTolerances) -> None:
    """Refuse by shape, finiteness and symmetry."""
    hessian = np.asarray(one.hessian_ev_per_angstrom2)
    size = 3 * len(one.structure)
    if hessian.shape != (size, size):
        _refuse(
            one,
            f"Hessian of shape {hessian.shape} for {len(one.structure)} sites",
            f"Give one of shape {(size, size)}, three rows for every site of the primitive cell",
        )
    if not np.all(np.isfinite(hessian)):
        _refuse(one, "a component of the Hessian is not finite", "Compute its forces again")
    skew = float(np.abs(hessian - hessian.T).max())
    if skew > tolerances.asymmetry * float(np.abs(hessian).max()):
        _refuse(
            one,
            f"the Hessian differs from its transpose by {skew:.3g} eV/Å²",
            "Take the mean of it and its transpose if that is noise, else check the order of sites",
        )


def _check_modes(one: ZoneCentreHessian, tolerances: TrainingTolerances) -> None:
    """Refuse translations that cost energy, and what is no minimum."""
    if len(one.structure) == 1:
        _refuse(
            one,
            "one atom alone in the cell has no modes at the zone centre but translations",
            "Learn from cells with several atoms, or from a mesh of wave vectors",
        )
    hessian = np.asarray(one.hessian_ev_per_angstrom2)
    masses = atomic_masses_amu(one.structure)
    frequencies = zone_centre_frequencies_thz(hessian, masses)
    highest = float(np.abs(frequencies).max())
    if highest <= _NOTHING_THZ:
        told = f"no mode is above {highest:.3g} THz: nothing holds the atoms"
        _refuse(one, told, "Compute its forces again, with atoms in reach of each other")
    zero_thz = max(tolerances.zero_fraction * highest, _NOTHING_THZ)
    rigid = np.sort(np.abs(frequencies))[:_N_RIGID]
    if rigid[-1] > zero_thz:
        _refuse(
            one,
            f"the three modes nearest to zero reach {rigid[-1]:.3g} THz: translations cost energy,"
            f" by up to {sum_rule_violation(hessian):.3g} eV/Å²",
            "Impose the acoustic sum rule on its force constants",
        )
    lowest = float(zone_centre_frequencies_thz(without_translations(hessian), masses)[0])
    if lowest < -zero_thz:
        _refuse(
            one,
            f"a negative mode of {lowest:.3g} THz: the structure is not at a minimum",
            "Leave it out, or follow the mode to the minimum (phonoscreen repair)",
        )
