"""Symmetry-adapted bases of force constants, and the forces that they give.

symfc builds a basis that obeys the space group and the order of differentiation. Each of its
columns lives on one orbit of pairs or triplets, so that the extent of the orbit is a property of
the column: that is what a prior on locality needs. The acoustic sum rule couples the columns; it
is kept apart as a set of constraints, which is small.

References
----------
A. Seko and A. Togo, Phys. Rev. B 110, 214302 (2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.sparse import csr_array

from screening.errors import InconsistentDataError, SettingError, WrongShapeError
from screening.gaussian_process.symfc_basis import IndependentColumns, SymfcSupercell
from screening.prediction import FloatArray, frozen_array
from screening.repeated_cell import RepeatedCell
from screening.supercell_symmetry import (
    DEFAULT_SYMPREC_ANGSTROM,
    SupercellSymmetry,
    locate_atoms,
)

__all__ = ["ForceConstantBasis", "OrderBasis", "force_constant_basis"]

IntArray = NDArray[np.int64]

_HARMONIC, _CUBIC = 2, 3
_SAME_ATOM_ANGSTROM = 1e-3
_BATCH_NUMBERS = 2**24  # of float64: 128 MiB at once


@dataclass(frozen=True, eq=False)
class OrderBasis:
    """Basis of the force constants of one order.

    Attributes
    ----------
    order
        Number of derivatives: 1, 2 or 3.
    columns
        Compact force constants of every column, shape (site ... component, column); the
        columns are orthonormal over the whole supercell.
    constraints
        Orthonormal combinations of columns that the acoustic sum rule forbids, shape
        (column, constraint).
    extents_angstrom
        Half the perimeter of the triangle that the atoms of the column span, in Å, shape
        (column,): the distance of two atoms.
    """

    order: int
    columns: csr_array
    constraints: FloatArray
    extents_angstrom: FloatArray

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.columns.shape[1])

    @property
    def n_unknowns(self) -> int:
        """Number of independent force constants."""
        return self.n_columns - int(self.constraints.shape[1])

    def allowed(self, amplitudes: FloatArray) -> FloatArray:
        """Remove from amplitudes, shape (column, ...), what the acoustic sum rule forbids."""
        return np.asarray(amplitudes - self.constraints @ (self.constraints.T @ amplitudes))


@dataclass(frozen=True, eq=False)
class ForceConstantBasis:
    """Bases of several orders for one supercell.

    Attributes
    ----------
    n_sites, n_atoms
        Atoms of the primitive cell and of the supercell.
    rows
        Supercell atom that stands for each site, shape (site,).
    translations
        Where every atom goes under each lattice translation, shape (translation, atom).
    orders
        The bases in ascending order; those without columns are left out.
    nearest_angstrom
        Distance of nearest neighbours in Å.
    third_order_cutoff_angstrom
        Largest distance in Å of two atoms of a triplet; None where there is no limit.
    """

    n_sites: int
    n_atoms: int
    rows: IntArray
    translations: IntArray
    orders: tuple[OrderBasis, ...]
    nearest_angstrom: float
    third_order_cutoff_angstrom: float | None = None

    @property
    def n_unknowns(self) -> int:
        """Number of independent force constants of all orders."""
        return sum(one.n_unknowns for one in self.orders)

    def order(self, order: int) -> OrderBasis:
        """Return the basis of one order.

        Raises
        ------
        SettingError
            If the basis has none.
        """
        for one in self.orders:
            if one.order == order:
                return one
        raise SettingError(f"the basis has no force constants of order {order}", subject="order")

    def expand(self, order: int, amplitudes: FloatArray) -> FloatArray:
        """Compact force constants of amplitudes of the columns.

        Parameters
        ----------
        order
            1, 2 or 3.
        amplitudes
            Shape (column,).

        Returns
        -------
        ndarray
            Shape (site, 3), (site, atom, 3, 3) or (site, atom, atom, 3, 3, 3).
        """
        values = self.order(order).columns @ amplitudes
        shape = (self.n_sites, *(self.n_atoms,) * (order - 1), *(3,) * order)
        return np.asarray(values, dtype=np.float64).reshape(shape)

    def project(self, order: int, force_constants: FloatArray) -> FloatArray:
        """Amplitudes of the columns nearest to compact force constants, shape (column,)."""
        columns = self.order(order).columns
        return np.asarray(columns.T @ force_constants.ravel()) * len(self.translations)

    def design(self, order: int, displacements_angstrom: FloatArray) -> FloatArray:
        """Return the forces in eV/Å that a unit amplitude of every column gives.

        Parameters
        ----------
        order
            1, 2 or 3.
        displacements_angstrom
            Shape (cell, atom, 3).

        Returns
        -------
        ndarray
            Shape (row, column), rows by (cell, atom, axis).

        Raises
        ------
        WrongShapeError
            If the displacements belong to another supercell.
        """
        if displacements_angstrom.shape[1:] != (self.n_atoms, 3):
            raise WrongShapeError(
                f"shape {displacements_angstrom.shape} where (cell, {self.n_atoms}, 3) is needed",
                subject="displacements_angstrom",
            )
        n_columns = self.order(order).n_columns
        found = np.empty((len(displacements_angstrom), self.n_atoms, 3, n_columns))
        for cells, atoms, forces in self._blocks(order, displacements_angstrom):
            found[cells[:, None], atoms] = forces
        return found.reshape(-1, n_columns)

    def _blocks(
        self, order: int, displacements: FloatArray
    ) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Yield the forces of a few translated cells at a time.

        Each is translated back to the first cell of the crystal, whose force constants are known:
        cells (row,), atoms (row, site) and forces (row, site, axis, column).
        """
        basis = self.order(order)
        contraction = _contraction(basis, self.n_sites, self.n_atoms)
        targets = self.translations[:, self.rows]
        n_rows = len(displacements) * len(self.translations)
        step = max(1, _BATCH_NUMBERS // max(contraction.shape))
        for start in range(0, n_rows, step):
            rows = np.arange(start, min(start + step, n_rows))
            cells, moves = np.divmod(rows, len(self.translations))
            moved = displacements[cells[:, None], self.translations[moves]]
            products = _powers(moved.reshape(len(rows), -1), order - 1)
            forces = (contraction @ products.T).T
            yield cells, targets[moves], forces.reshape(len(rows), self.n_sites, 3, -1)


def _powers(displacements: FloatArray, degree: int) -> FloatArray:
    """Products of displacements with themselves, shape (row, products)."""
    if degree == 0:
        return np.ones((len(displacements), 1))
    if degree == 1:
        return displacements
    products = displacements[:, :, None] * displacements[:, None, :]
    return products.reshape(len(displacements), -1)


def _contraction(basis: OrderBasis, n_sites: int, n_atoms: int) -> csr_array:
    """Matrix from products of displacements to forces, rows by (site, axis, column).

    F_i = -Phi_i - Phi_ij u_j - Phi_ijk u_j u_k / 2 (Taylor expansion of the energy).
    """
    order, n_columns = basis.order, basis.n_columns
    entries = basis.columns.tocoo()
    index = np.unravel_index(entries.row, (n_sites, *(n_atoms,) * (order - 1), *(3,) * order))
    axes = index[order:]
    rows = (index[0] * 3 + axes[0]) * n_columns + entries.col
    products = np.zeros_like(rows)
    for atom, axis in zip(index[1:order], axes[1:], strict=True):
        products = products * (3 * n_atoms) + atom * 3 + axis
    factor = -0.5 if order == _CUBIC else -1.0
    shape = (n_sites * 3 * n_columns, (3 * n_atoms) ** (order - 1))
    return csr_array((factor * entries.data, (rows, products)), shape=shape)


def force_constant_basis(
    cell: RepeatedCell,
    orders: tuple[int, ...] = (_HARMONIC, _CUBIC),
    third_order_cutoff_angstrom: float | None = None,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> ForceConstantBasis:
    """Build the basis of the force constants of a supercell.

    Parameters
    ----------
    cell
        Primitive cell and supercell.
    orders
        Any of 1, 2 and 3. The first order are the forces on the undisplaced crystal that its
        symmetry permits; it has no columns where there are none.
    third_order_cutoff_angstrom
        Largest distance in Å of two atoms of a triplet; None takes all triplets.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    InconsistentDataError
        If the supercell does not repeat the primitive cell.
    SettingError
        If an order is unknown or the cutoff leaves no triplet.
    """
    matrix = np.asarray(cell.supercell_matrix, dtype=np.int64)
    numbers = np.asarray(cell.supercell_numbers, dtype=np.int64)
    sites, cells = locate_atoms(cell.primitive, matrix, cell.supercell_scaled_positions, numbers)
    scaled = (cell.primitive.frac_coords[sites] + cells) @ np.linalg.inv(matrix)
    symmetry = SupercellSymmetry(cell.primitive, matrix, sites, cells, symprec_angstrom)
    lattice = np.asarray(matrix @ cell.primitive.lattice.matrix)
    supercell = SymfcSupercell(lattice, scaled, numbers, symmetry.symmetry_operations)
    distances = _distances(cell.primitive, matrix, scaled)
    rows = np.array([np.flatnonzero(sites == site)[0] for site in range(len(cell.primitive))])
    found = []
    translations = _translations(symmetry, int(rows[0]))
    for order in sorted(orders):
        cutoff = third_order_cutoff_angstrom if order == _CUBIC else None
        raw = supercell.basis(order, cutoff)
        found.append(_order_basis(raw, order, rows, sites, distances))
    kept = tuple(one for one in found if one.n_columns)
    nearest = float(np.min(distances[distances > _SAME_ATOM_ANGSTROM]))
    return ForceConstantBasis(
        len(rows), len(numbers), rows, translations, kept, nearest, third_order_cutoff_angstrom
    )


def _order_basis(
    raw: IndependentColumns, order: int, rows: IntArray, sites: IntArray, distances: FloatArray
) -> OrderBasis:
    """Put symfc's rows in the order of the sites, and add constraints and extents."""
    if order > 1 and raw.columns.shape[1] == 0:
        raise SettingError(
            "no atoms are near enough for a force constant of this order",
            subject="third_order_cutoff_angstrom",
            hint="Give a larger cutoff",
        )
    block = raw.columns.shape[0] // len(raw.rows)
    of_row = {int(atom): place for place, atom in enumerate(raw.rows)}
    if any(int(atom) not in of_row for atom in rows):
        raise InconsistentDataError(
            f"symfc stands for the sites {sites[raw.rows].tolist()} by atoms {raw.rows.tolist()}",
            hint="Order the atoms of the supercell so that those of its first cell come first",
        )
    places = np.array([of_row[int(atom)] for atom in rows])
    taken = (places[:, None] * block + np.arange(block)[None]).ravel()
    columns = csr_array(raw.columns.tocsr()[taken])
    extents = _extents(columns, order, rows, distances)
    return OrderBasis(order, columns, _forbidden(raw.allowed), frozen_array(extents))


def _forbidden(allowed: FloatArray) -> FloatArray:
    """Orthonormal complement of orthonormal columns, shape (column, constraint)."""
    n_columns, n_allowed = allowed.shape
    if n_columns == n_allowed:
        return np.zeros((n_columns, 0))
    # random vectors span the complement once projected onto it, which needs no eigenvectors
    probes = np.random.default_rng(0).standard_normal((n_columns, n_columns - n_allowed))
    for _ in range(2):
        probes = probes - allowed @ (allowed.T @ probes)
        probes = np.linalg.qr(probes)[0]
    return np.asarray(probes)


def _extents(columns: csr_array, order: int, rows: IntArray, distances: FloatArray) -> FloatArray:
    """Half the perimeter that the atoms of each column span, shape (column,)."""
    by_column = columns.tocsc()
    entries = by_column.indices[by_column.indptr[:-1]]  # one stands for the whole orbit
    n_atoms = len(distances)
    shape = (len(rows), *(n_atoms,) * (order - 1), *(3,) * order)
    index = np.unravel_index(entries, shape)
    atoms = [rows[index[0]], *index[1:order]]
    if order == 1:
        return np.zeros(len(entries))
    if order == _HARMONIC:
        return np.asarray(distances[atoms[0], atoms[1]])
    first, second, third = atoms
    perimeter = distances[first, second] + distances[second, third] + distances[third, first]
    return np.asarray(0.5 * perimeter)


def _distances(primitive: Structure, matrix: IntArray, scaled: FloatArray) -> FloatArray:
    """Distances of all atoms from the nearest image of all others in Å, shape (atom, atom)."""
    from pymatgen.core import Lattice

    lattice = Lattice(matrix @ primitive.lattice.matrix)
    return np.asarray(lattice.get_all_distances(scaled, scaled))


def _translations(symmetry: SupercellSymmetry, start: int) -> IntArray:
    """Where all atoms go under each lattice translation, shape (translation, atom)."""
    same_site = np.flatnonzero(symmetry.sites == symmetry.sites[start])
    return np.array([symmetry.permutation(symmetry.identity, start, int(end)) for end in same_site])
