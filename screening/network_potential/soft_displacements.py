r"""Pairs of cells displaced along what a guide finds soft, where random displacements say little.

Displacements at random move forces by stiff modes, while free energies count the logarithm of
every frequency. With :math:`u = H^{-1} \xi`, where :math:`H` is the Hessian of the supercell by a
potential that serves as guide and :math:`\xi` is normal noise, the forces :math:`-H u` of all
modes count alike: relative errors of forces are relative errors of force constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure
from scipy.linalg import helmert

from screening.calculators.checks import check_elements
from screening.calculators.interface import ForceCalculator
from screening.errors import NonFiniteForcesError, SettingError, TrainingSetError, WrongShapeError
from screening.network_potential.rattling import (
    RattledCell,
    RattlingSettings,
    displaced_cell,
    supercell_to_displace,
)
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces
from screening.prediction import FloatArray, frozen_array
from screening.supercell_hessian import supercell_hessian

__all__ = ["SoftPairSettings", "soft_cells", "soft_displacements"]

_NOTHING_EV_PER_ANGSTROM2 = 1e-4  # crystals of noble gases have a hundred times more
_DIGITS = 6  # of displacements in Å: machines differ by less, and no force is moved by it


@dataclass(frozen=True)
class SoftPairSettings:
    """How cells are displaced along soft modes.

    Attributes
    ----------
    n_pairs
        Pairs of cells of one crystal, displaced by u and by -u.
    root_mean_square_angstrom
        Root of the mean squared length by which the atoms of each cell are displaced.
    smallest_stiffness
        Modes softer than this fraction of the median, and unstable ones, are displaced as if
        they were as stiff as that.

    Raises
    ------
    SettingError
        If one is out of range.
    """

    n_pairs: int = 1
    root_mean_square_angstrom: float = 0.03
    smallest_stiffness: float = 0.06

    def __post_init__(self) -> None:
        if self.n_pairs < 1:
            raise SettingError(f"{self.n_pairs}", subject="n_pairs", hint="Give one or more")
        if not 0.0 < self.root_mean_square_angstrom < np.inf:
            raise SettingError(
                f"{self.root_mean_square_angstrom} Å",
                subject="root_mean_square_angstrom",
                hint="Give a positive length, usually 0.03",
            )
        if not 0.0 < self.smallest_stiffness <= 1.0:
            raise SettingError(
                f"{self.smallest_stiffness}",
                subject="smallest_stiffness",
                hint="Give a fraction of the median above zero, usually 0.06",
            )


def soft_cells(
    structure: Structure,
    rattling: RattlingSettings,
    soft: SoftPairSettings,
    material_id: str,
    guide: ForceCalculator,
) -> list[RattledCell]:
    """Make pairs of supercells of a crystal, displaced along what a guide finds soft.

    The same crystal, settings, name and guide give the same cells. They are not strained.

    Parameters
    ----------
    structure
        Crystal at rest.
    rattling
        How large, and the seed; the supercell is that of `rattled_cells`.
    soft
        How many and how far.
    material_id
        Name of the crystal.
    guide
        Computes the Hessian by finite displacements.

    Raises
    ------
    ElementNotInModelError
        If the guide does not know an element, before anything is computed.
    SettingError, TooLargeError
        As `rattled_cells` says.
    TrainingSetError
        If the guide finds nothing that holds the atoms, or the supercell holds one alone.
    NonFiniteForcesError, WrongShapeError
        If forces of the guide cannot be used.
    """
    check_elements(guide, structure.atomic_numbers, subject=material_id)
    supercell, matrix = supercell_to_displace(structure, rattling)
    forces = compute_forces(structure, guide, PhononSettings(), matrix)
    hessian = supercell_hessian(harmonic_from_forces(forces), supercell)
    generator = np.random.default_rng([*b"soft", rattling.seed, *material_id.encode()])
    steps = np.round(soft_displacements(hessian, soft, generator), _DIGITS)
    return [
        displaced_cell(supercell, frozen_array(sign * one), material_id, f"soft{index}")
        for index, one in enumerate(steps)
        for sign in (1.0, -1.0)
    ]


def soft_displacements(
    hessian: FloatArray, soft: SoftPairSettings, generator: np.random.Generator
) -> FloatArray:
    """Draw displacements whose forces have the same variance in every mode.

    Where several modes are equally stiff, it does not matter how they are told apart.

    Parameters
    ----------
    hessian
        Of a supercell, without masses, in eV/Å², shape (3 atom + axis, 3 atom + axis). What is
        not symmetric in it, and rigid translations, are removed.
    soft
        How many and how far.
    generator
        Where the noise comes from: more pairs begin with the same ones.

    Returns
    -------
    ndarray
        In Å, without translations, shape (pair, atom, 3).

    Raises
    ------
    WrongShapeError, NonFiniteForcesError
        If the Hessian is none.
    TrainingSetError
        If nothing holds the atoms, or there is one alone.
    """
    given = _checked(hessian)
    n_atoms = len(given) // 3
    basis = np.kron(helmert(n_atoms), np.eye(3))  # rows: all but the three translations
    values, modes = np.linalg.eigh(basis @ (0.5 * (given + given.T)) @ basis.T)
    modes = basis.T @ modes
    stiffness = _bounded(np.abs(values), soft.smallest_stiffness)
    noise = generator.normal(size=(soft.n_pairs, 3 * n_atoms)) @ modes
    steps = ((noise / stiffness) @ modes.T).reshape(-1, n_atoms, 3)
    lengths = np.sqrt((steps**2).sum(axis=2).mean(axis=1))
    return frozen_array(steps * (soft.root_mean_square_angstrom / lengths)[:, None, None])


def _checked(hessian: FloatArray) -> FloatArray:
    """Refuse what is no Hessian of several atoms."""
    given = np.asarray(hessian, dtype=np.float64)
    size = len(given) if given.ndim else 0
    if size == 0 or size % 3 or given.shape != (size, size):
        raise WrongShapeError(
            f"shape {given.shape}", subject="hessian", hint="Give three rows for every atom"
        )
    if not np.all(np.isfinite(given)):
        raise NonFiniteForcesError(
            "a component is not finite", subject="hessian", hint="Compute its forces again"
        )
    if size == 3:  # noqa: PLR2004 - the axes of one atom
        raise TrainingSetError(
            "one atom alone in the supercell has no modes but translations",
            subject="soft pairs",
            hint="Raise max_atoms, or ask for no soft pairs",
        )
    return given


def _bounded(stiffness: FloatArray, smallest: float) -> FloatArray:
    """Raise what is softer than a fraction of the median, in eV/Å²."""
    median = float(np.median(stiffness))
    if median <= _NOTHING_EV_PER_ANGSTROM2:
        raise TrainingSetError(
            f"half of the modes are softer than {_NOTHING_EV_PER_ANGSTROM2:g} eV/Å²: nothing holds"
            " the atoms",
            subject="soft pairs",
            hint="Choose another guide, or ask for no soft pairs",
        )
    return np.maximum(stiffness, smallest * median)
