"""Symmetry of a supercell, composed from that of its primitive cell.

phonopy searches the operations of the supercell and finds one permutation of atoms after the
other: thousands for a cubic supercell. Here both are composed: every operation of the
supercell is one of the primitive cell, followed by a lattice translation. In integers of the
primitive basis this is exact and needs no search.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.symmetry import Symmetry
from pymatgen.core import Structure

from screening.errors import CellError, InconsistentDataError
from screening.prediction import FloatArray
from screening.symmetry_finder import symmetry_finder

__all__ = [
    "DEFAULT_SYMPREC_ANGSTROM",
    "LatticeIndex",
    "SupercellSymmetry",
    "locate_atoms",
    "phonopy_cell",
    "primitive_symmetry",
]

IntArray = NDArray[np.int64]

DEFAULT_SYMPREC_ANGSTROM = 1e-5
_INTEGER_TOLERANCE = 1e-6


def phonopy_cell(structure: Structure) -> PhonopyAtoms:
    """Return the cell as phonopy holds it, with phonopy's masses.

    Raises
    ------
    CellError
        If phonopy knows no mass of an element, which has no stable isotope.
    """
    numbers = [int(site.specie.Z) for site in structure]
    try:
        return PhonopyAtoms(
            numbers=numbers,
            cell=structure.lattice.matrix,
            scaled_positions=structure.frac_coords,
        )
    except RuntimeError as error:
        raise CellError(
            f"no mass is known: {error}",
            subject=structure.composition.reduced_formula,
            hint="Leave it out: its elements have no natural mixture of isotopes",
        ) from error


def primitive_symmetry(
    structure: Structure, symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM
) -> Symmetry:
    """Find the symmetry of the primitive cell.

    Raises
    ------
    CellError
        If no symmetry can be found, for example because atoms overlap.
    """
    return _symmetry(
        tuple(map(tuple, structure.lattice.matrix.tolist())),
        tuple(map(tuple, structure.frac_coords.tolist())),
        tuple(int(site.specie.Z) for site in structure),
        symprec_angstrom,
    )


_Rows = tuple[tuple[float, ...], ...]


@lru_cache(maxsize=32)  # one material asks several times, and a search takes up to 20 ms
def _symmetry(
    lattice: _Rows, positions: _Rows, numbers: tuple[int, ...], symprec_angstrom: float
) -> Symmetry:
    masses = [1.0] * len(numbers)  # phonopy knows none of some actinides; symmetry needs none
    cell = PhonopyAtoms(numbers=numbers, cell=lattice, scaled_positions=positions, masses=masses)
    spglib = symmetry_finder()
    try:
        return Symmetry(cell, symprec=symprec_angstrom)
    except (AssertionError, ValueError, spglib.SpglibError) as error:
        raise CellError(
            f"no symmetry found at {symprec_angstrom} Å",
            subject=" ".join(cell.symbols),
            hint="Check for overlapping atoms",
        ) from error


def locate_atoms(
    primitive: Structure,
    supercell_matrix: IntArray,
    scaled_positions: FloatArray,
    numbers: IntArray,
    tolerance_angstrom: float = 1e-2,
) -> tuple[IntArray, IntArray]:
    """Tell which site of the primitive cell every supercell atom repeats, and where.

    Returns
    -------
    sites, translations
        Index of the site, shape (atom,), and integer translation in primitive vectors,
        shape (atom, 3).

    Raises
    ------
    InconsistentDataError
        If the supercell is no repetition of the primitive cell.
    """
    in_primitive = scaled_positions @ supercell_matrix
    offsets = in_primitive[:, None] - primitive.frac_coords[None]
    shifts = np.rint(offsets)
    distances = np.linalg.norm((offsets - shifts) @ primitive.lattice.matrix, axis=2)
    site_numbers = np.array([int(site.specie.Z) for site in primitive])
    distances[numbers[:, None] != site_numbers[None]] = np.inf
    sites = distances.argmin(axis=1)
    atoms = np.arange(len(sites))
    expected = len(primitive) * abs(round(np.linalg.det(supercell_matrix)))
    if len(atoms) != expected or distances[atoms, sites].max(initial=0.0) > tolerance_angstrom:
        raise InconsistentDataError(
            f"the supercell of {len(atoms)} atoms does not repeat the primitive cell of"
            f" {len(primitive)} atoms {expected // len(primitive)} times",
            subject=primitive.composition.reduced_formula,
        )
    return sites, shifts[atoms, sites].astype(np.int64)


class SupercellSymmetry(Symmetry):
    """Symmetry of a supercell, composed from that of its primitive cell.

    Serves wherever phonopy asks for the symmetry of a supercell, through its public methods.

    Parameters
    ----------
    primitive
        Primitive cell.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    sites, translations
        Where every supercell atom lies, as returned by `locate_atoms`.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Attributes
    ----------
    rotations_cartesian
        Rotations of the primitive cell that keep the supercell, shape (rotation, 3, 3).
    """

    def __init__(  # all that the base class would search is composed below
        self,
        primitive: Structure,
        supercell_matrix: IntArray,
        sites: IntArray,
        translations: IntArray,
        symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
    ) -> None:
        self._matrix = supercell_matrix
        self._sites, self._cells = sites, translations
        self._symprec_angstrom = symprec_angstrom
        self._index = LatticeIndex(supercell_matrix, sites, translations)
        found = primitive_symmetry(primitive, symprec_angstrom)
        operations = found.symmetry_operations
        columns = supercell_matrix.T
        inside = np.linalg.inv(columns) @ operations["rotations"] @ columns
        kept = np.abs(inside - np.rint(inside)).max(axis=(1, 2)) < _INTEGER_TOLERANCE
        self._scaled_rotations = np.rint(inside[kept]).astype(np.int64)
        self._rotations = np.asarray(operations["rotations"][kept], dtype=np.int64)
        self._shifts = np.asarray(operations["translations"][kept], dtype=np.float64)
        self._images = np.asarray(found.atomic_permutations[kept], dtype=np.int64)
        basis = np.asarray(primitive.lattice.matrix).T
        self.rotations_cartesian = basis @ self._rotations @ np.linalg.inv(basis)
        self._jumps = self._whole_jumps(primitive.frac_coords)

    def _whole_jumps(self, positions: FloatArray) -> IntArray:
        """Whole translations by which an operation moves each site, shape (rotation, site, 3)."""
        moved = np.einsum("rab,sb->rsa", self._rotations, positions) + self._shifts[:, None]
        jumps: IntArray = np.rint(moved - positions[self._images]).astype(np.int64)
        return jumps

    @property
    def sites(self) -> IntArray:
        """Site of the primitive cell that each atom repeats, shape (atom,)."""
        return self._sites

    @property
    def tolerance(self) -> float:
        """Tolerance of the primitive cell's symmetry in Å."""
        return self._symprec_angstrom

    @cached_property
    def identity(self) -> int:
        """Index of the operation that turns nothing and moves no site.

        Raises
        ------
        InconsistentDataError
            If there are several, since the primitive cell repeats a smaller one.
        """
        same = np.isclose(self.rotations_cartesian, np.eye(3)).all(axis=(1, 2))
        found = np.flatnonzero(same)
        if len(found) > 1:
            raise InconsistentDataError(
                f"the primitive cell repeats a cell {len(found)} times smaller",
                subject="primitive",
                hint="Give the smallest cell that repeats",
            )
        return int(found[0])

    def images_of(self, rotation: int) -> tuple[IntArray, IntArray]:
        """Sites and translations that one operation sends the atoms to."""
        cells = self._cells @ self._rotations[rotation].T + self._jumps[rotation, self._sites]
        return self._images[rotation, self._sites], cells

    def permutation(self, rotation: int, start: int, end: int) -> IntArray:
        """Return where every atom goes under the operation that sends ``start`` to ``end``.

        Parameters
        ----------
        rotation
            Index of a rotation that sends the site of ``start`` to the site of ``end``.
        start, end
            Indices of supercell atoms; the lattice translation is chosen to match them.
        """
        sites, cells = self.images_of(rotation)
        return self._index.find(sites, cells + self._cells[end] - cells[start])

    def rotations_between(self, start: int, end: int) -> IntArray:
        """Return the indices of all rotations that send one atom's site to another's."""
        return np.flatnonzero(self._images[:, self._sites[start]] == self._sites[end])

    def opposite(self, atoms: IntArray) -> IntArray:
        """For rows i and all j, find the atom that sees ``i`` as ``i`` sees ``j``.

        Returns the index of the atom on the site of ``i`` whose translation relative to the
        row atom of ``j``'s site is opposite, shape (row, atom).
        """
        home = np.zeros((int(self._sites.max()) + 1, 3), dtype=np.int64)
        home[self._sites[atoms]] = self._cells[atoms]
        relative = self._cells[None] - self._cells[atoms][:, None]
        cells = home[self._sites][None] - relative
        sites = np.broadcast_to(self._sites[atoms][:, None], cells.shape[:2])
        return self._index.find(sites, cells)

    @cached_property
    def atomic_permutations(self) -> IntArray:
        """Permutations of all operations, translations outermost, shape (operation, atom)."""
        first = np.flatnonzero(self._sites == self._sites[0])
        translations = [
            self._index.find(self._sites, self._cells + self._cells[end] - self._cells[first[0]])
            for end in first
        ]
        rotations = [self._index.find(*self.images_of(r)) for r in range(len(self._rotations))]
        table = np.array(translations)[:, np.array(rotations)]
        return np.ascontiguousarray(table.reshape(-1, len(self._sites)))

    @cached_property
    def symmetry_operations(self) -> dict[str, NDArray[np.generic]]:  # type: ignore[override]
        """Rotations and translations in the supercell basis, in the order of permutations."""
        to_supercell = np.linalg.inv(self._matrix)
        first = np.flatnonzero(self._sites == self._sites[0])
        moves = (self._cells[first] - self._cells[first[0]]) @ to_supercell
        shifts = moves[:, None] + (self._shifts @ to_supercell)[None]
        return {
            "rotations": np.tile(self._scaled_rotations, (len(first), 1, 1)),
            "translations": shifts.reshape(-1, 3) % 1.0,
        }

    def get_independent_atoms(self) -> IntArray:
        """Return the first supercell atom of every symmetrically independent site."""
        orbits = self._images.min(axis=0)
        independent = np.flatnonzero(orbits == np.arange(len(orbits)))
        firsts = [np.flatnonzero(self._sites == site)[0] for site in independent]
        return np.sort(np.array(firsts, dtype=np.int64))

    def get_site_symmetry(self, atom_number: int) -> IntArray:
        """Return the rotations that leave an atom in place, in the supercell basis."""
        rotations: IntArray = self._scaled_rotations[
            self.rotations_between(atom_number, atom_number)
        ]
        return rotations


class LatticeIndex:
    """Look-up of supercell atoms by site and translation, in exact integers.

    Parameters
    ----------
    matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    sites, translations
        Where every atom lies, as returned by `locate_atoms`.

    Raises
    ------
    InconsistentDataError
        If two atoms are the same.
    """

    def __init__(self, matrix: IntArray, sites: IntArray, translations: IntArray) -> None:
        self._volume = abs(round(np.linalg.det(matrix)))
        # t @ adjugate modulo the volume is the same for translations that differ by a
        # supercell vector
        self._adjugate = np.rint(np.linalg.inv(matrix) * self._volume).astype(np.int64)
        keys = self._keys(sites, translations)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]
        if np.any(np.diff(self._sorted) == 0):
            raise InconsistentDataError("two atoms of the supercell are the same atom")

    def _keys(self, sites: IntArray, translations: IntArray) -> IntArray:
        remainder = (translations @ self._adjugate) % self._volume
        base = self._volume ** np.arange(4)
        return np.asarray(remainder @ base[:3] + sites * base[3])

    def find(self, sites: IntArray, translations: IntArray) -> IntArray:
        """Return the indices of the atoms at these sites and translations."""
        keys = self._keys(sites, translations)
        return self._order[np.searchsorted(self._sorted, keys)]
