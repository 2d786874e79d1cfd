"""A primitive cell, its supercell and its Born charges, as phonopy takes them."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import NacParams
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import Primitive
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon
from pymatgen.core import Structure

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray
from screening.supercell_symmetry import SupercellSymmetry, locate_atoms, phonopy_cell
from screening.units import COULOMB_EV_ANGSTROM

__all__ = ["PolarCell", "RepeatedCell", "check_handedness", "nac_parameters", "phonopy_cells"]

_SKEW = 0.01  # of the largest component, what rounding and noise of a calculation leave


class RepeatedCell(Protocol):
    """A supercell that repeats a primitive cell, with its atoms in some order."""

    @property
    def primitive(self) -> Structure:
        """Primitive cell."""
        ...

    @property
    def supercell_matrix(self) -> NDArray[np.int64]:
        """Rows are supercell vectors in primitive vectors, shape (3, 3)."""
        ...

    @property
    def supercell_scaled_positions(self) -> FloatArray:
        """Undisplaced atoms, shape (atom, 3)."""
        ...

    @property
    def supercell_numbers(self) -> NDArray[np.int64]:
        """Atomic numbers, shape (atom,)."""
        ...


class PolarCell(RepeatedCell, Protocol):
    """A repeated cell whose response to an electric field is known or not."""

    @property
    def born_charges_e(self) -> FloatArray | None:
        """Born effective charges, shape (site, 3, 3), or None."""
        ...

    @property
    def dielectric_constant(self) -> FloatArray | None:
        """High-frequency dielectric tensor, shape (3, 3), or None."""
        ...


def phonopy_cells(
    cell: RepeatedCell, symprec_angstrom: float
) -> tuple[PhonopyAtoms, Primitive, SupercellSymmetry]:
    """Supercell in its own order, primitive cell in its own order, and their symmetry.

    The atoms of the supercell are put exactly where the primitive cell repeats.

    Raises
    ------
    InconsistentDataError
        If the supercell does not repeat the primitive cell, or is its mirror image.
    """
    matrix = np.asarray(cell.supercell_matrix, dtype=np.int64)
    check_handedness(matrix)
    numbers = np.asarray(cell.supercell_numbers, dtype=np.int64)
    lattice = np.asarray(cell.primitive.lattice.matrix, dtype=np.float64)
    sites, cells = locate_atoms(cell.primitive, matrix, cell.supercell_scaled_positions, numbers)
    scaled = (cell.primitive.frac_coords[sites] + cells) @ np.linalg.inv(matrix)
    supercell = PhonopyAtoms(numbers=numbers, cell=matrix @ lattice, scaled_positions=scaled)
    primitive = Primitive(
        supercell,
        np.linalg.inv(matrix.T),
        symprec=symprec_angstrom,
        positions_to_reorder=np.asarray(cell.primitive.frac_coords),
    )
    symmetry = SupercellSymmetry(cell.primitive, matrix, sites, cells, symprec_angstrom)
    return supercell, primitive, symmetry


def check_handedness(matrix: NDArray[np.int64]) -> None:
    """Refuse a supercell without volume, and one that is a mirror image.

    Raises
    ------
    InconsistentDataError
        If the determinant of the matrix is not positive.
    """
    volume = round(float(np.linalg.det(matrix)))
    if volume < 1:
        raise InconsistentDataError(
            f"the supercell matrix has determinant {volume}",
            subject="supercell_matrix",
            hint="Give a matrix of positive determinant: turn the signs of all its rows, or swap "
            "two of them",
        )


def nac_parameters(data: PolarCell, symprec_angstrom: float) -> NacParams | None:
    """Parameters of the non-analytical term, None without Born charges.

    Raises
    ------
    InconsistentDataError
        If Born charges or dielectric tensor have a wrong shape, are not finite or break the
        symmetry of the crystal, or the tensor is not symmetric and positive definite.
    """
    if data.born_charges_e is None or data.dielectric_constant is None:
        return None
    _check_finite("born_charges_e", data.born_charges_e, (len(data.primitive), 3, 3))
    _check_finite("dielectric_constant", data.dielectric_constant, (3, 3))
    _check_dielectric(data.dielectric_constant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            born, dielectric = symmetrize_borns_and_epsilon(
                np.array(data.born_charges_e),
                np.array(data.dielectric_constant),
                phonopy_cell(data.primitive),
                symprec=symprec_angstrom,
            )
        except UserWarning as warning:
            raise InconsistentDataError(
                "the Born charges break the symmetry of the crystal by more than 0.1 e",
                subject="born_charges_e",
                hint="Check that they are in the order of the primitive cell's sites",
            ) from warning
    return {"born": born, "dielectric": dielectric, "factor": COULOMB_EV_ANGSTROM}


def _check_finite(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise InconsistentDataError(
            f"shape {np.shape(values)} where {shape} is needed",
            subject=name,
            hint="Give a tensor for the crystal and one for every site of the primitive cell",
        )
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise InconsistentDataError(
            f"a value is not finite, at {wrong[0].tolist()} of {shape}",
            subject=name,
            hint="Take it from a calculation that converged, or leave Born charges and "
            "dielectric tensor out",
        )


def _check_dielectric(dielectric: FloatArray) -> None:
    """Refuse what no insulator has: the field of a dipole would diverge or grow."""
    tensor = np.asarray(dielectric, dtype=np.float64)
    smallest = float(np.linalg.eigvalsh(0.5 * (tensor + tensor.T))[0])
    skew = float(np.abs(tensor - tensor.T).max())
    if smallest > 0.0 and skew <= _SKEW * float(np.abs(tensor).max()):
        return
    wrong = f"differs from its transpose by {skew:.3g}" if smallest > 0.0 else "is not positive"
    raise InconsistentDataError(
        f"the dielectric tensor {wrong}; its smallest eigenvalue is {smallest:.3g}",
        subject="dielectric_constant",
        hint="Give the symmetric high-frequency tensor of an insulator, with eigenvalues above "
        "one, or leave it and the Born charges out",
    )
