"""Force constants of a crystal and the frequencies that follow from them.

phonopy builds and diagonalises the dynamical matrices; force constants are solved and
symmetrised in `screening.force_constants`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import (
    DynamicalMatrix,
    DynamicalMatrixNAC,
    diagonalize_dynamical_matrices,
    get_dynamical_matrices_at_qpoints,
    get_dynamical_matrix,
)
from phonopy.phonon.grid import BZGrid, get_ir_grid_points, length2mesh
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import Primitive
from phonopy.structure.symmetry import Symmetry
from pymatgen.core import Structure

from screening.acoustic import gamma_mask
from screening.anharmonic import ForceConstants
from screening.errors import InconsistentDataError, NonFiniteForcesError, WrongShapeError
from screening.force_constants import solve_force_constants, symmetrise_force_constants
from screening.lattice_sum import LatticeSum, lattice_sum
from screening.prediction import FloatArray, ForceData, frozen_array
from screening.repeated_cell import PolarCell, nac_parameters, phonopy_cells
from screening.supercell_symmetry import (
    DEFAULT_SYMPREC_ANGSTROM,
    SupercellSymmetry,
    primitive_symmetry,
)
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

__all__ = [
    "DEFAULT_MESH_LENGTH_ANGSTROM",
    "Harmonic",
    "MeshFrequencies",
    "MeshModes",
    "frequencies_at",
    "harmonic_from_force_constants",
    "harmonic_from_forces",
    "irreducible_mesh",
    "mesh_frequencies",
    "mesh_modes",
    "signed_frequencies_thz",
]

IntArray = NDArray[np.int64]

DEFAULT_MESH_LENGTH_ANGSTROM = 60.0
"""Free energies are converged to 0.06 meV/atom on stable crystals at this mesh length."""


@dataclass(frozen=True, eq=False)
class Harmonic:
    """Force constants of a crystal: what all frequencies come from.

    Attributes
    ----------
    primitive
        Primitive cell.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    force_constants_ev_per_angstrom2
        Compact force constants in eV/Å², shape (site, atom, 3, 3), in the atom order of the
        forces they were made of.
    dynamical_matrix, symmetry
        phonopy's dynamical matrix and the symmetry of the primitive cell, for this module and
        its neighbours.
    """

    primitive: Structure
    supercell_matrix: IntArray
    force_constants_ev_per_angstrom2: FloatArray
    dynamical_matrix: DynamicalMatrix = field(repr=False)
    symmetry: Symmetry = field(repr=False)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the primitive cell."""
        return len(self.primitive)

    @cached_property
    def _lattice_sum(self) -> LatticeSum:
        return lattice_sum(self.dynamical_matrix)

    def dynamical_matrices(
        self, q_points: FloatArray, direction: FloatArray | None = None
    ) -> NDArray[np.complex128]:
        """Dynamical matrices in eV/Å²/amu, shape (q, 3 site, 3 site); see `frequencies_at`.

        With Born charges phonopy builds them, which knows the dipole-dipole sum.
        """
        if not isinstance(self.dynamical_matrix, DynamicalMatrixNAC):
            return self._lattice_sum.dynamical_matrices(q_points)
        return np.asarray(
            get_dynamical_matrices_at_qpoints(
                self.dynamical_matrix, np.array(q_points, dtype=np.float64), direction
            )
        )


@dataclass(frozen=True, eq=False)
class MeshFrequencies:
    """Frequencies at the irreducible points of a mesh that holds the zone centre.

    Attributes
    ----------
    frequencies_thz
        In THz, imaginary ones negative, ascending, shape (q, branch).
    weights
        Fraction of the mesh that each point stands for, shape (q,); they sum to one.
    q_points
        Fractions of the primitive reciprocal lattice, shape (q, 3).
    mesh
        Number of points along the three vectors of the mesh.
    """

    frequencies_thz: FloatArray
    weights: FloatArray
    q_points: FloatArray
    mesh: tuple[int, int, int]

    @property
    def is_gamma(self) -> NDArray[np.bool_]:
        """Which q point is the zone centre, shape (q,)."""
        return gamma_mask(self.q_points)


@dataclass(frozen=True, eq=False)
class MeshModes:
    """Frequencies on a mesh and how each mode is shared among the sites.

    Attributes
    ----------
    frequencies
        The frequencies with q points and weights.
    site_shares
        Squared length of each eigenvector on each site, averaged over equivalent sites, shape
        (q, site, branch); the shares of a mode sum to one.
    """

    frequencies: MeshFrequencies
    site_shares: FloatArray


def harmonic_from_forces(
    data: ForceData, symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM
) -> Harmonic:
    """Turn forces into force constants that obey all symmetries of the crystal.

    Residual forces are subtracted; the rows of equivalent atoms follow by the space group;
    the order of differentiation and the acoustic sum rule are imposed exactly. With Born
    charges the dipole-dipole part is treated after Gonze and Lee.

    Parameters
    ----------
    data
        Forces with the cells they belong to.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    WrongShapeError, NonFiniteForcesError
        If an array does not fit the supercell or holds no finite numbers.
    InconsistentDataError
        If the supercell does not repeat the primitive cell or the displacements do not
        determine all force constants.

    References
    ----------
    X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997), equations 60 to 76.
    """
    _check_shapes(data)
    supercell, primitive, symmetry = phonopy_cells(data, symprec_angstrom)
    rows = np.asarray(primitive.p2s_map, dtype=np.int64)
    constants = solve_force_constants(
        symmetry,
        rows,
        np.asarray(data.displaced_atoms),
        data.displacements_angstrom,
        data.forces_ev_per_angstrom - data.residual_forces_ev_per_angstrom,
    )
    constants = frozen_array(symmetrise_force_constants(constants, symmetry, rows))
    return _harmonic(data, constants, supercell, primitive, symprec_angstrom)


def harmonic_from_force_constants(
    data: ForceConstants, symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM
) -> Harmonic:
    """Take force constants that obey all symmetries already.

    Parameters
    ----------
    data
        Force constants with the cells they belong to.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    WrongShapeError, NonFiniteForcesError
        If the force constants do not fit the supercell or are not finite.
    InconsistentDataError
        If the supercell does not repeat the primitive cell.
    """
    name = "second_order_ev_per_angstrom2"
    given = np.asarray(data.second_order_ev_per_angstrom2)
    shape = (len(data.primitive), len(data.supercell_numbers), 3, 3)
    if given.shape != shape:
        raise WrongShapeError(f"shape {given.shape} where {shape} is needed", subject=name)
    if not np.all(np.isfinite(given)):
        raise NonFiniteForcesError("a force constant is not finite", subject=name)
    supercell, primitive, symmetry = phonopy_cells(data, symprec_angstrom)
    rows = np.asarray(primitive.p2s_map, dtype=np.int64)
    constants = frozen_array(_carried(given, symmetry, rows))
    return _harmonic(data, constants, supercell, primitive, symprec_angstrom)


def _harmonic(
    data: PolarCell,
    constants: FloatArray,
    supercell: PhonopyAtoms,
    primitive: Primitive,
    symprec_angstrom: float,
) -> Harmonic:
    """Put force constants, in the rows of phonopy's primitive cell, into its dynamical matrix."""
    nac = nac_parameters(data, symprec_angstrom)
    return Harmonic(
        data.primitive,
        np.asarray(data.supercell_matrix, dtype=np.int64),
        constants,
        get_dynamical_matrix(constants, supercell, primitive, nac),
        primitive_symmetry(data.primitive, symprec_angstrom),
    )


def _carried(constants: FloatArray, symmetry: SupercellSymmetry, rows: IntArray) -> FloatArray:
    """Move each row from the first atom on its site to the atom that phonopy chose for it."""
    identity = symmetry.identity
    moved = np.empty_like(constants)
    for site, end in enumerate(rows):
        start = int(np.flatnonzero(symmetry.sites == site)[0])
        moved[site, symmetry.permutation(identity, start, int(end))] = constants[site]
    return moved


def _check_shapes(data: ForceData) -> None:
    n_atoms = len(data.supercell_numbers)
    n_displacements = len(data.displaced_atoms)
    expected = {
        "supercell_scaled_positions": (n_atoms, 3),
        "displacements_angstrom": (n_displacements, 3),
        "forces_ev_per_angstrom": (n_displacements, n_atoms, 3),
        "residual_forces_ev_per_angstrom": (n_atoms, 3),
        "supercell_matrix": (3, 3),
    }
    for name, shape in expected.items():
        values = np.asarray(getattr(data, name))
        if values.shape != shape:
            raise WrongShapeError(f"shape {values.shape} where {shape} is needed", subject=name)
        if not np.all(np.isfinite(values)):
            raise NonFiniteForcesError("a value is not finite", subject=name)
    if n_displacements == 0 or not np.all(np.isin(data.displaced_atoms, np.arange(n_atoms))):
        raise InconsistentDataError(
            f"{n_displacements} displacements of atoms {np.unique(data.displaced_atoms)} in a"
            f" supercell of {n_atoms} atoms",
            subject="displaced_atoms",
        )


def frequencies_at(
    harmonic: Harmonic, q_points: FloatArray, direction: FloatArray | None = None
) -> FloatArray:
    """Frequencies at any wave vectors in THz, imaginary ones negative, ascending.

    Parameters
    ----------
    harmonic
        Force constants.
    q_points
        Fractions of the primitive reciprocal lattice, shape (q, 3).
    direction
        Direction from which the zone centre is approached where there are Born charges,
        fractions of the reciprocal lattice, shape (3,); None leaves the splitting out there.

    Returns
    -------
    ndarray
        Shape (q, branch).
    """
    matrices = harmonic.dynamical_matrices(q_points, direction)
    squares, _ = diagonalize_dynamical_matrices(matrices, with_eigenvectors=False)
    return signed_frequencies_thz(squares)


def signed_frequencies_thz(squares: FloatArray) -> FloatArray:
    """Frequencies in THz from eigenvalues in eV/Å²/amu; negative ones become imaginary."""
    roots = np.sign(squares) * np.sqrt(np.abs(squares))
    return np.asarray(roots * SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ)


def mesh_frequencies(
    harmonic: Harmonic, mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM
) -> MeshFrequencies:
    """Frequencies on a mesh centred at the zone centre, reduced by symmetry.

    Parameters
    ----------
    harmonic
        Force constants.
    mesh_length_angstrom
        Length of the mesh in Å: along a reciprocal vector b (without 2 pi) it has this length
        times the norm of b points.
    """
    q_points, weights, mesh = irreducible_mesh(harmonic, mesh_length_angstrom)
    return _on_mesh(frequencies_at(harmonic, q_points), q_points, weights, mesh)


def mesh_modes(
    harmonic: Harmonic, mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM
) -> MeshModes:
    """Frequencies and eigenvectors on the mesh of `mesh_frequencies`, in one diagonalisation.

    Eigenvectors at one irreducible q point do not show which of several equivalent sites
    moves at its images, so their shares are averaged over equivalent sites: the exact result
    of the full mesh.

    Parameters
    ----------
    harmonic, mesh_length_angstrom
        As in `mesh_frequencies`.
    """
    q_points, weights, mesh = irreducible_mesh(harmonic, mesh_length_angstrom)
    matrices = harmonic.dynamical_matrices(q_points)
    squares, vectors = diagonalize_dynamical_matrices(matrices, with_eigenvectors=True)
    assert vectors is not None
    by_axis = vectors.reshape(len(q_points), -1, 3, squares.shape[1])
    shares = (by_axis.real**2 + by_axis.imag**2).sum(axis=2)
    return MeshModes(
        _on_mesh(signed_frequencies_thz(squares), q_points, weights, mesh),
        frozen_array(_average_over_orbits(shares, harmonic)),
    )


def _on_mesh(
    frequencies_thz: FloatArray,
    q_points: FloatArray,
    weights: IntArray,
    mesh: tuple[int, int, int],
) -> MeshFrequencies:
    return MeshFrequencies(
        frozen_array(frequencies_thz),
        frozen_array(weights / weights.sum()),
        frozen_array(q_points),
        mesh,
    )


def _average_over_orbits(shares: FloatArray, harmonic: Harmonic) -> FloatArray:
    """Shares (q, site, branch) averaged over symmetrically equivalent sites."""
    orbits = np.asarray(harmonic.symmetry.get_map_atoms())
    same = (orbits[:, None] == orbits[None]).astype(np.float64)
    return np.asarray((same / same.sum(axis=1, keepdims=True)) @ shares)


def irreducible_mesh(
    harmonic: Harmonic, mesh_length_angstrom: float
) -> tuple[FloatArray, IntArray, tuple[int, int, int]]:
    """Irreducible q points, how many points each stands for, and the numbers of the mesh."""
    lattice = np.asarray(harmonic.primitive.lattice.matrix)
    numbers = length2mesh(
        mesh_length_angstrom, lattice, rotations=harmonic.symmetry.pointgroup_operations
    )
    dataset = harmonic.symmetry.dataset
    try:
        grid = BZGrid(numbers, lattice=lattice, symmetry_dataset=dataset)
    except RuntimeError:  # the mesh breaks the point group: build it on the conventional cell
        grid = BZGrid(mesh_length_angstrom, lattice=lattice, symmetry_dataset=dataset, use_grg=True)
    points, weights, _ = get_ir_grid_points(grid)
    q_points = grid.addresses[grid.grg2bzg][points] @ grid.QDinv.T
    first, second, third = (int(n) for n in grid.D_diag)
    return np.asarray(q_points), np.asarray(weights), (first, second, third)
