"""The door of symfc, which finds the force constants that symmetry leaves independent.

References
----------
A. Seko and A. Togo, Phys. Rev. B 110, 214302 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = ["IndependentColumns", "SymfcSupercell"]

IntArray = NDArray[np.int64]

_HARMONIC, _CUBIC = 2, 3


@dataclass(frozen=True, eq=False)
class IndependentColumns:
    """What symfc found for one order: rows of its own choice."""

    columns: csr_array
    allowed: FloatArray
    rows: IntArray


@dataclass(frozen=True, eq=False)
class SymfcSupercell:
    """A supercell as symfc takes it."""

    lattice: FloatArray
    scaled_positions: FloatArray
    numbers: IntArray
    operations: dict[str, Any]

    def basis(self, order: int, cutoff_angstrom: float | None) -> IndependentColumns:
        """Compute the basis of one order."""
        from symfc.basis_sets import FCBasisSetO2, FCBasisSetO3
        from symfc.utils.utils import SymfcAtoms

        atoms = SymfcAtoms(
            cell=self.lattice, scaled_positions=self.scaled_positions, numbers=self.numbers
        )
        if order == 1:
            return self._first_order(atoms)
        if order not in (_HARMONIC, _CUBIC):
            raise SettingError(f"order {order} is not supported", subject="orders")
        kind = FCBasisSetO2 if order == _HARMONIC else FCBasisSetO3
        try:
            done = kind(atoms, cutoff=cutoff_angstrom, spacegroup_operations=self.operations).run()
        except AssertionError as error:  # symfc's word for: none is left
            raise self._nothing_left(order, cutoff_angstrom) from error
        assert done.blocked_basis_set is not None
        allowed = np.asarray(done.blocked_basis_set.recover())
        columns = csr_array(done.compact_compression_matrix)
        return IndependentColumns(columns, allowed, np.asarray(done.p2s_map, dtype=np.int64))

    def _nothing_left(self, order: int, cutoff_angstrom: float | None) -> SettingError:
        where = f"in a supercell of {len(self.numbers)} atoms"
        if cutoff_angstrom is not None:
            return SettingError(
                f"no force constants of order {order} within {cutoff_angstrom:g} Å {where}",
                subject="third_order_cutoff_angstrom",
                hint="Give a cutoff beyond the nearest neighbours, or a larger supercell",
            )
        return SettingError(
            f"symmetry leaves no force constants of order {order} {where}",
            subject="max_order",
            hint="Take a larger supercell, or harmonic force constants alone (max_order 2)",
        )

    def _first_order(self, atoms: Any) -> IndependentColumns:
        """Find the forces that the symmetry permits; symfc has them for all atoms."""
        from symfc.basis_sets import FCBasisSetO1

        rows = np.arange(len(self.numbers))
        try:
            done = FCBasisSetO1(atoms, spacegroup_operations=self.operations).run()
        except ValueError:  # symfc's word for: every atom is held by symmetry
            return IndependentColumns(csr_array((3 * len(rows), 0)), np.zeros((0, 0)), rows)
        assert done.full_basis_set is not None
        columns = csr_array(done.full_basis_set)
        return IndependentColumns(columns, np.eye(columns.shape[1]), rows)
