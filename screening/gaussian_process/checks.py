"""What a set of displaced cells must satisfy before force constants are made of it.

A set whose displacements do not explain its forces gives force constants all the same, which
nothing later contradicts. Here the number that gives it away is found first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells
from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    NonFiniteInputError,
    WrongShapeError,
)
from screening.gaussian_process.linear_residual import LinearResidual, linear_residual
from screening.prediction import FloatArray
from screening.repeated_cell import check_handedness
from screening.supercell_symmetry import LatticeIndex, locate_atoms

__all__ = [
    "MAX_DISPLACEMENT_ANGSTROM",
    "CellsReport",
    "LinearResidual",
    "check_cells",
    "linear_residual",
]

IntArray = NDArray[np.int64]

MAX_DISPLACEMENT_ANGSTROM = 0.5
_LEAST_DISPLACEMENT_ANGSTROM = 1e-6
_SAME_DISPLACEMENT_ANGSTROM = 1e-7
_RANK_TOLERANCE = 1e-7  # of the largest singular value
_NO_DRIFT = 1e-6  # mean displacement over the root mean square one
_MAX_RESIDUAL = 0.5  # 1 is what forces without any relation to the displacements leave
_OUTSTANDING = 4.0  # residual of a cell over the median one
_MAX_NET_FORCE = 0.5  # 1 is what independent forces on the atoms add up to
_MAX_SYSTEMATIC_ATOMS = 2


@dataclass(frozen=True)
class CellsReport:
    """What was found in a set that may be used.

    Attributes
    ----------
    n_cells, n_atoms
        Number of displaced cells and of their atoms.
    systematic
        Whether at most two atoms are displaced in every cell.
    displacement_rank
        Number of independent displacement patterns.
    displacement_rms_angstrom, largest_displacement_angstrom
        Root mean square over the displaced atoms, and the largest, in Å.
    force_rms_ev_per_angstrom
        Root mean square force component without the residual forces in eV/Å.
    net_force
        Root mean square net force of a cell over what independent forces would add up to.
    linear
        Residual of the harmonic fit, or None where no design was given.
    notes
        What the user should know.
    """

    n_cells: int
    n_atoms: int
    systematic: bool
    displacement_rank: int
    displacement_rms_angstrom: float
    largest_displacement_angstrom: float
    force_rms_ev_per_angstrom: float
    net_force: float
    linear: LinearResidual | None = None
    notes: tuple[str, ...] = ()


def check_cells(cells: DisplacedCells, design: FloatArray | None = None) -> CellsReport:
    """Check that force constants can be made of a set of displaced cells.

    Parameters
    ----------
    cells
        The set.
    design
        Forces per unit of every harmonic force constant, shape (cell x atom x 3, constant), in
        a basis that obeys the symmetry and the sum rules; None leaves the harmonic fit out.

    Raises
    ------
    WrongShapeError
        If arrays have other shapes than the supercell.
    NonFiniteForcesError, NonFiniteInputError
        If a number is not finite.
    InconsistentDataError
        If the supercell does not repeat the primitive cell, displacements are zero, too large
        or repeated, or do not explain the forces.
    """
    _check_shapes(cells)
    _check_finite(cells)
    _check_crystal(cells)
    _check_sizes(cells)
    systematic = _is_systematic(cells)
    rank = _displacement_rank(cells, systematic=systematic)
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    net = _net_force(cells, forces)
    linear = None if design is None else linear_residual(design, forces)
    if linear is not None:
        _check_linear(linear)
    lengths = np.linalg.norm(cells.displacements_angstrom, axis=2)
    moved = lengths > _LEAST_DISPLACEMENT_ANGSTROM
    return CellsReport(
        n_cells=cells.n_cells,
        n_atoms=cells.n_atoms,
        systematic=systematic,
        displacement_rank=rank,
        displacement_rms_angstrom=float(np.sqrt((lengths[moved] ** 2).mean())),
        largest_displacement_angstrom=float(lengths.max()),
        force_rms_ev_per_angstrom=_rms(forces),
        net_force=net,
        linear=linear,
        notes=() if linear is None else _linear_notes(linear),
    )


def _check_shapes(cells: DisplacedCells) -> None:
    n_cells, n_atoms, n_sites = cells.n_cells, cells.n_atoms, len(cells.primitive)
    wanted: dict[str, tuple[int, ...]] = {
        "supercell_matrix": (3, 3),
        "supercell_scaled_positions": (n_atoms, 3),
        "displacements_angstrom": (n_cells, n_atoms, 3),
        "forces_ev_per_angstrom": (n_cells, n_atoms, 3),
        "residual_forces_ev_per_angstrom": (n_atoms, 3),
        "energies_ev": (n_cells,),
        "born_charges_e": (n_sites, 3, 3),
        "dielectric_constant": (3, 3),
    }
    if not n_cells:
        raise WrongShapeError(
            "no cells",
            subject="displacements_angstrom",
            hint="Give one or more displaced cells with forces",
        )
    for name, shape in wanted.items():
        array = getattr(cells, name)
        if array is not None and np.shape(array) != shape:
            raise WrongShapeError(
                f"shape {np.shape(array)}, not {shape}",
                subject=name,
                hint="Give every atom of the supercell in each cell, in one order",
            )


def _check_finite(cells: DisplacedCells) -> None:
    for name in ("forces_ev_per_angstrom", "residual_forces_ev_per_angstrom"):
        bad = np.argwhere(~np.isfinite(getattr(cells, name)))
        if len(bad):
            *cell, atom, axis = (int(index) for index in bad[0])
            where = f"cell {cell[0] + 1}, " if cell else ""
            raise NonFiniteForcesError(
                f"{where}atom {atom + 1}, {'xyz'[axis]}: not finite, as are {len(bad)} in all",
                subject=name,
                hint="Compute these cells again or leave them out",
            )
    for name in ("displacements_angstrom", "supercell_scaled_positions", "energies_ev"):
        array = getattr(cells, name)
        if array is not None and not np.isfinite(array).all():
            raise NonFiniteInputError(
                "a number is not finite",
                subject=name,
                hint="Compute these cells again or leave them out",
            )


def _check_crystal(cells: DisplacedCells) -> None:
    """Refuse a supercell that does not repeat the primitive cell, each atom once."""
    matrix = np.asarray(cells.supercell_matrix)
    check_handedness(matrix)
    sites, translations = locate_atoms(
        cells.primitive, matrix, cells.supercell_scaled_positions, cells.supercell_numbers
    )
    LatticeIndex(matrix, sites, translations)


def _check_sizes(cells: DisplacedCells) -> None:
    lengths = np.linalg.norm(cells.displacements_angstrom, axis=2)
    still = np.flatnonzero(lengths.max(axis=1) < _LEAST_DISPLACEMENT_ANGSTROM)
    if len(still):
        raise InconsistentDataError(
            f"{len(still)} of {cells.n_cells} cells are not displaced, the first is cell"
            f" {still[0] + 1}",
            subject="displacements_angstrom",
            hint="Leave them out, or give the forces of one as the residual forces",
        )
    cell, atom = np.unravel_index(lengths.argmax(), lengths.shape)
    if lengths[cell, atom] > MAX_DISPLACEMENT_ANGSTROM:
        raise InconsistentDataError(
            f"atom {atom + 1} of cell {cell + 1} is displaced by {lengths[cell, atom]:.3f} Å, more"
            f" than {MAX_DISPLACEMENT_ANGSTROM} Å",
            subject="displacements_angstrom",
            hint="Check that atoms are in the order of the supercell and not wrapped",
        )
    dead = np.flatnonzero(~np.any(cells.forces_ev_per_angstrom, axis=(1, 2)))
    if len(dead):
        raise InconsistentDataError(
            f"all forces of {len(dead)} of {cells.n_cells} displaced cells are zero, the first is"
            f" cell {dead[0] + 1}",
            subject="forces_ev_per_angstrom",
            hint="These cells were not computed; leave them out",
        )


def _is_systematic(cells: DisplacedCells) -> bool:
    moved = np.linalg.norm(cells.displacements_angstrom, axis=2) > _LEAST_DISPLACEMENT_ANGSTROM
    return bool(moved.sum(axis=1).max() <= min(_MAX_SYSTEMATIC_ATOMS, cells.n_atoms - 1))


def _displacement_rank(cells: DisplacedCells, *, systematic: bool) -> int:
    """Rank of the displacements, which random ones have in full.

    Rows that repeat an earlier one are refused. Opposite rows count once: sets are made with
    both signs. Systematic ones are sums of few displacements, so their rank says nothing.
    """
    rows = cells.displacements_angstrom.reshape(cells.n_cells, -1)
    values = np.linalg.svd(rows, compute_uv=False)
    rank = int((values > _RANK_TOLERANCE * values[0]).sum())
    repeated, opposite = _repeated(rows)
    if repeated:
        first, second = repeated[0]
        forces = cells.forces_ev_per_angstrom
        raise InconsistentDataError(
            f"rows repeated: rank {rank} of {cells.n_cells}; {len(repeated)} cells repeat the"
            f" displacements of another, cell {second + 1} those of cell {first + 1} with forces"
            f" that differ by up to {np.abs(forces[first] - forces[second]).max():.4f} eV/Å",
            subject="displacements_angstrom",
            hint="Leave repeated cells out, or find out which displacements are the true ones",
        )
    if systematic:
        return rank
    means = cells.displacements_angstrom.mean(axis=1)
    drifts = np.abs(means).max() > _NO_DRIFT * _rms(rows)
    space = rows.shape[1] if drifts else rows.shape[1] - 3
    expected = min(cells.n_cells - opposite, space)
    if rank < expected:
        raise InconsistentDataError(
            f"the displacements have rank {rank} where {cells.n_cells} cells of {cells.n_atoms}"
            f" atoms have {expected}",
            subject="displacements_angstrom",
            hint=_rank_hint(rank, len(cells.primitive)),
        )
    return rank


def _rank_hint(rank: int, n_sites: int) -> str:
    if rank <= 3 * n_sites:
        return "Displace all atoms of the supercell independently, not those of one cell"
    return "Rows are repeated or combined; find out which displacements are the true ones"


def _repeated(rows: FloatArray) -> tuple[list[tuple[int, int]], int]:
    """Pairs of rows that are the same, and the number of rows opposite to an earlier one."""
    same: list[tuple[int, int]] = []
    opposite = 0
    seen: dict[bytes, int] = {}
    for index, row in enumerate(np.rint(rows / _SAME_DISPLACEMENT_ANGSTROM)):
        key, mirrored = (row + 0.0).tobytes(), (0.0 - row).tobytes()  # no negative zeros
        if key in seen:
            same.append((seen[key], index))
        elif mirrored in seen:
            opposite += 1
        seen.setdefault(key, index)
    return same, opposite


def _net_force(cells: DisplacedCells, forces: FloatArray) -> float:
    """Net force relative to that of independent forces, which no crystal may come near."""
    net = forces.sum(axis=1)
    share = float(_rms(net) / (_rms(forces) * np.sqrt(cells.n_atoms))) if forces.any() else 0.0
    if share > _MAX_NET_FORCE:
        worst = int(np.linalg.norm(net, axis=1).argmax())
        raise InconsistentDataError(
            f"the forces on a cell add up to {share:.2f} of what independent forces would, in cell"
            f" {worst + 1} to {np.linalg.norm(net[worst]):.4f} eV/Å",
            subject="forces_ev_per_angstrom",
            hint="Forces on a crystal add up to zero; these are incomplete or of other cells",
        )
    return share


def _check_linear(linear: LinearResidual) -> None:
    """Refuse a set, or one of its cells, whose forces are not those of the displacements."""
    if not linear.meaningful:
        return
    hint = "Forces belong to other displacements, another order of atoms, or another crystal"
    if linear.residual > _MAX_RESIDUAL:
        raise InconsistentDataError(
            f"the displacements do not explain the forces: the harmonic fit of"
            f" {linear.n_determined} constants to {linear.n_equations} forces leaves"
            f" {linear.residual:.2f} of their root mean square",
            subject="forces_ev_per_angstrom",
            hint=hint,
        )
    worst = int(np.argmax(linear.of_cells))
    if linear.of_cells[worst] > _MAX_RESIDUAL:
        raise InconsistentDataError(
            f"the displacements of cell {worst + 1} do not explain its forces: the harmonic fit"
            f" leaves {linear.of_cells[worst]:.2f} of their root mean square, where the median of"
            f" {len(linear.of_cells)} cells is {np.median(linear.of_cells):.2f}",
            subject="forces_ev_per_angstrom",
            hint=hint,
        )


def _linear_notes(linear: LinearResidual) -> tuple[str, ...]:
    if linear.meaningful:
        median = float(np.median(linear.of_cells))
        odd = np.flatnonzero(np.array(linear.of_cells) > _OUTSTANDING * median)
        return tuple(
            f"the forces of cell {cell + 1} are less harmonic than those of the others: residual"
            f" {linear.of_cells[cell]:.3f}, median {median:.3f}"
            for cell in odd
        )
    text = (
        f"{linear.n_unknowns} constants for {linear.n_equations} forces: that they are reproduced"
        " proves nothing"
    )
    if np.isfinite(linear.held_out):
        text += f"; on cells left out {linear.held_out:.2f} of the forces is wrong"
    return (text,)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt((np.asarray(values) ** 2).mean()))
