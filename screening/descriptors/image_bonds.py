"""Bonds of a crystal with every image named, and sums over images.

Between two atoms of a cell there are as many bonds as images lie within the cutoff. A bond is
directed: each is listed from both of its ends, and from an atom to its own images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import OverlapError, SettingError, TooLargeError
from screening.prediction import FloatArray

__all__ = [
    "BondedCrystal",
    "ImageBonds",
    "atomic_numbers",
    "fold_onto_pairs",
    "image_bonds",
    "mirrored",
    "smooth_switch",
    "structure_of",
    "sums_by_label",
    "symmetric_products",
    "symmetric_tensors",
]

IntArray = NDArray[np.int64]

MAX_BONDS = 5_000_000
"""More take gigabytes in every array that follows from them."""

_OVERLAP_ANGSTROM = 1e-6
_ROWS, _COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
_TENSOR = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


@dataclass(frozen=True, eq=False)
class ImageBonds:
    """Directed bonds within a cutoff, in the order of first and second atom.

    Attributes
    ----------
    n_atoms
        Atoms of the cell.
    first, second
        Index of the atom in the cell where the bond starts, and of the atom whose image it ends
        at, shape (bond,).
    images
        Lattice vector, in vectors of the cell, that is added to the second atom as the structure
        gives it, shape (bond, 3).
    vectors_angstrom, distances_angstrom
        From the first atom to the image of the second, shapes (bond, 3) and (bond,).
    """

    n_atoms: int
    first: IntArray
    second: IntArray
    images: IntArray
    vectors_angstrom: FloatArray
    distances_angstrom: FloatArray

    @property
    def directions(self) -> FloatArray:
        """Unit vectors along the bonds, shape (bond, 3)."""
        return self.vectors_angstrom / self.distances_angstrom[:, None]

    @property
    def pairs(self) -> IntArray:
        """Index of the ordered pair of atoms, first times the number of atoms plus second."""
        return self.first * self.n_atoms + self.second

    def chosen(self, mask: NDArray[np.bool_]) -> ImageBonds:
        """Only some of them."""
        return ImageBonds(
            self.n_atoms,
            self.first[mask],
            self.second[mask],
            self.images[mask],
            self.vectors_angstrom[mask],
            self.distances_angstrom[mask],
        )


@dataclass(frozen=True, eq=False)
class BondedCrystal:
    """A crystal whose numbers and bonds are found once for all that describe it.

    Attributes
    ----------
    structure
        The crystal; it must not change any more.
    reach_angstrom
        Bonds as long as this, in Å, are kept.
    """

    structure: Structure
    reach_angstrom: float

    def __len__(self) -> int:
        return len(self.structure)

    @cached_property
    def numbers(self) -> IntArray:
        """Atomic numbers of the sites, shape (site,)."""
        return atomic_numbers(self.structure)

    @cached_property
    def _bonds(self) -> ImageBonds:
        return image_bonds(self.structure, self.reach_angstrom)

    def within(self, cutoff_angstrom: float) -> ImageBonds:
        """Return what `image_bonds` does; a search where it is beyond the reach."""
        if not 0.0 < cutoff_angstrom <= self.reach_angstrom:
            return image_bonds(self.structure, cutoff_angstrom)
        if cutoff_angstrom == self.reach_angstrom:
            return self._bonds
        return self._bonds.chosen(self._bonds.distances_angstrom < cutoff_angstrom)


def image_bonds(crystal: Structure | BondedCrystal, cutoff_angstrom: float) -> ImageBonds:
    """List all bonds shorter than a cutoff.

    Parameters
    ----------
    crystal
        Its atoms need not lie inside of its cell.
    cutoff_angstrom
        In Å; it may be many times the size of the cell.

    Raises
    ------
    SettingError
        If the cutoff is not positive.
    TooLargeError
        If there would be more bonds than memory holds.
    OverlapError
        If two atoms are at one place: their bond has no direction.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> chain = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    >>> bonds = image_bonds(chain, 3.1)
    >>> len(bonds.first), bonds.distances_angstrom.tolist()
    (6, [3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    """
    if isinstance(crystal, BondedCrystal):
        return crystal.within(cutoff_angstrom)
    return _found_bonds(crystal, cutoff_angstrom)


def _found_bonds(structure: Structure, cutoff_angstrom: float) -> ImageBonds:
    from vesin import NeighborList

    _check_size(structure, cutoff_angstrom)
    finder = NeighborList(cutoff=cutoff_angstrom, full_list=True, sorted=False)
    first, second, images, distances, vectors = finder.compute(
        structure.cart_coords, structure.lattice.matrix, True, "ijSdD"
    )
    if len(distances) and distances.min() < _OVERLAP_ANGSTROM:
        raise OverlapError(
            "two atoms are at one place",
            subject=structure.composition.reduced_formula,
            hint="Remove one of them",
        )
    first, second = first.astype(np.int64), second.astype(np.int64)
    order = np.argsort(first * len(structure) + second, kind="stable")
    return ImageBonds(
        n_atoms=len(structure),
        first=first[order],
        second=second[order],
        images=images[order].astype(np.int64),
        vectors_angstrom=np.asarray(vectors[order], dtype=np.float64),
        distances_angstrom=np.asarray(distances[order], dtype=np.float64),
    )


def _check_size(structure: Structure, cutoff_angstrom: float) -> None:
    if not (np.isfinite(cutoff_angstrom) and cutoff_angstrom > 0.0):
        raise SettingError(
            f"{cutoff_angstrom} is no length in Å",
            subject="cutoff_angstrom",
            hint="Give a positive number, a few times the distance of neighbours",
        )
    sphere = 4.0 / 3.0 * np.pi * cutoff_angstrom**3
    expected = len(structure) ** 2 * sphere / structure.volume
    if expected > MAX_BONDS:
        raise TooLargeError(
            f"about {expected:.0f} bonds shorter than {cutoff_angstrom:g} Å",
            subject=structure.composition.reduced_formula,
            hint=f"At most {MAX_BONDS} fit: take a smaller cutoff or the primitive cell",
        )


def atomic_numbers(crystal: Structure | BondedCrystal) -> IntArray:
    """Atomic numbers of the sites, shape (site,)."""
    if isinstance(crystal, BondedCrystal):
        return crystal.numbers
    return np.array([site.specie.Z for site in crystal], dtype=np.int64)


def structure_of(crystal: Structure | BondedCrystal) -> Structure:
    """Return the crystal without its bonds."""
    return crystal.structure if isinstance(crystal, BondedCrystal) else crystal


def smooth_switch(
    distances_angstrom: FloatArray, cutoff_angstrom: float, width_angstrom: float
) -> FloatArray:
    """One at short distances, zero beyond the cutoff, twice differentiable in between.

    Parameters
    ----------
    distances_angstrom
        In Å, any shape.
    cutoff_angstrom, width_angstrom
        Where it reaches zero, and over which length before that it falls, in Å.

    Examples
    --------
    >>> smooth_switch(np.array([1.0, 3.0, 4.0]), 4.0, 2.0).tolist()
    [1.0, 0.5, 0.0]
    """
    x = np.clip(1.0 - (cutoff_angstrom - distances_angstrom) / width_angstrom, 0.0, 1.0)
    return np.asarray(1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2))


def fold_onto_pairs(bonds: ImageBonds, values: FloatArray) -> FloatArray:
    """Sum over the images of every pair of atoms: the zone centre.

    Parameters
    ----------
    bonds
        Bonds of a crystal, or some of them.
    values
        Shape (bond, ...).

    Returns
    -------
    ndarray
        Shape (first atom, second atom, ...); zero where there is no bond.
    """
    folded = sums_by_label(bonds.pairs, values, bonds.n_atoms**2)
    return folded.reshape(bonds.n_atoms, bonds.n_atoms, *values.shape[1:])


def sums_by_label(labels: IntArray, values: FloatArray, n_labels: int) -> FloatArray:
    """Sum the values of each label.

    Parameters
    ----------
    labels
        Not negative and ascending, shape (value,).
    values
        Shape (value, ...).
    n_labels
        How many labels there may be.

    Returns
    -------
    ndarray
        Shape (label, ...); zero where there is no value.
    """
    summed = np.zeros((n_labels, *values.shape[1:]), dtype=values.dtype)
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    if len(starts):
        summed[labels[starts]] = np.add.reduceat(values, starts, axis=0)
    return summed


def mirrored(upper: FloatArray) -> FloatArray:
    """Copy what stands above the diagonal of (atom, atom, ...) below it."""
    rows, columns = np.triu_indices(len(upper), 1)
    upper[columns, rows] = upper[rows, columns]
    return upper


def symmetric_products(vectors: FloatArray) -> FloatArray:
    """Products of the components of vectors (..., 3): xx, yy, zz, yz, xz, xy, shape (..., 6)."""
    return np.asarray(vectors[..., _ROWS] * vectors[..., _COLUMNS])


def symmetric_tensors(components: FloatArray) -> FloatArray:
    """Symmetric tensors (..., 3, 3) from xx, yy, zz, yz, xz, xy."""
    return np.asarray(components[..., _TENSOR])
