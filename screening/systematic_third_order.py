"""Force constants of second and third order from one and two atoms displaced at a time.

The systematic way: one atom is displaced, and in the presence of this displacement a second
one. phono3py's solver takes finite differences of forces twice; which cell is the second
displacement of which first one is found here from the displacements alone, so cells may come
in any order and with any order of atoms.

References
----------
L. Chaput, A. Togo, I. Tanaka and G. Hug, Phys. Rev. B 84, 094302 (2011).
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from phono3py.phonon3.fc3 import get_fc3

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, NonFiniteForcesError, WrongShapeError
from screening.force_constants import solve_force_constants, symmetrise_force_constants
from screening.prediction import FloatArray, frozen_array
from screening.repeated_cell import phonopy_cells
from screening.supercell_symmetry import (
    DEFAULT_SYMPREC_ANGSTROM,
    LatticeIndex,
    SupercellSymmetry,
    locate_atoms,
)

__all__ = ["systematic_force_constants"]

IntArray = NDArray[np.int64]

_STILL_ANGSTROM = 1e-6
_MAX_MOVED = 2
_SPACE_DIMENSION = 3


@dataclass(frozen=True, eq=False)
class _Second:
    """A second displacement and the cell that holds the forces of both."""

    atom: int
    displacement: FloatArray
    cell: int


@dataclass(frozen=True, eq=False)
class _First:
    """A first displacement, the cell that holds its forces, and what was displaced then."""

    atom: int
    displacement: FloatArray
    cell: int
    seconds: tuple[_Second, ...]


_Made = TypeVar("_Made", _First, _Second)


def systematic_force_constants(
    cells: DisplacedCells, symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM
) -> ForceConstants:
    """Solve for force constants by finite differences of forces.

    Every cell displaces one or two atoms. A cell with one displaced atom serves as the first
    displacement of the cells that share it; it may also be the first and the second
    displacement of one atom. The result obeys the order of differentiation and the sum rules
    exactly, and the space group.

    Parameters
    ----------
    cells
        Displaced supercells with their forces.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    WrongShapeError, NonFiniteForcesError
        If displacements or forces do not fit the supercell or hold no finite numbers.
    InconsistentDataError
        If a cell displaces more than two atoms, or the displacements do not determine all
        force constants.
    """
    _check_arrays(cells)
    _, _, symmetry = phonopy_cells(cells, symprec_angstrom)
    firsts = _complete_firsts(_pair_up(cells.displacements_angstrom), symmetry)
    views = _views(cells, symmetry)
    third = _symmetric(_solve_third(cells, firsts, symmetry, symprec_angstrom), views)
    return ForceConstants(
        primitive=cells.primitive,
        supercell_matrix=cells.supercell_matrix,
        supercell_scaled_positions=cells.supercell_scaled_positions,
        supercell_numbers=cells.supercell_numbers,
        second_order_ev_per_angstrom2=frozen_array(_solve_second(cells, firsts, symmetry)),
        third_order_ev_per_angstrom3=frozen_array(_without_drift(third, views)),
        born_charges_e=cells.born_charges_e,
        dielectric_constant=cells.dielectric_constant,
    )


def _check_arrays(cells: DisplacedCells) -> None:
    expected = (cells.n_cells, cells.n_atoms, 3)
    arrays = {
        "displacements_angstrom": (cells.displacements_angstrom, expected),
        "forces_ev_per_angstrom": (cells.forces_ev_per_angstrom, expected),
        "residual_forces_ev_per_angstrom": (cells.residual_forces_ev_per_angstrom, expected[1:]),
    }
    for name, (values, shape) in arrays.items():
        if np.shape(values) != shape:
            raise WrongShapeError(
                f"shape {np.shape(values)} where {shape} is needed",
                subject=name,
                hint="Give every atom of the supercell in each cell, in one order",
            )
        if not np.all(np.isfinite(values)):
            raise NonFiniteForcesError(
                "a value is not finite",
                subject=name,
                hint="Compute these cells again; a systematic set needs all of them",
            )


def _pair_up(displacements: FloatArray) -> list[_First]:
    """Find all first displacements and the second ones made in their presence."""
    moved = np.linalg.norm(displacements, axis=2) > _STILL_ANGSTROM
    n_moved = moved.sum(axis=1)
    if n_moved.max(initial=0) > _MAX_MOVED:
        raise InconsistentDataError(
            f"cell {int(n_moved.argmax())} displaces {n_moved.max()} atoms",
            subject="displacements_angstrom",
            hint="Systematic displacements move one or two atoms; fit the others by regression",
        )
    pairs = np.flatnonzero(n_moved == _MAX_MOVED)
    longest = np.linalg.norm(displacements[pairs], axis=2).max(initial=0.0) + _STILL_ANGSTROM
    firsts = []
    for cell in np.flatnonzero(n_moved == 1):
        atom = int(np.flatnonzero(moved[cell])[0])
        first = _First(atom, displacements[cell, atom], int(cell), ())
        seconds = _seconds(first, displacements, moved, longest)
        if any(second.atom != atom for second in seconds):
            firsts.append(replace(first, seconds=tuple(seconds)))
    return firsts


def _seconds(
    first: _First, displacements: FloatArray, moved: NDArray[np.bool_], longest: float
) -> list[_Second]:
    """Second displacements on top of a first one, none longer than the longest of all pairs."""
    extra = displacements.copy()
    extra[:, first.atom] -= first.displacement
    seconds = []
    for cell in np.flatnonzero(moved.sum(axis=1) - moved[:, first.atom] <= 1):
        sizes = np.linalg.norm(extra[cell], axis=1)
        atoms = np.flatnonzero(sizes > _STILL_ANGSTROM)
        if len(atoms) == 1 and sizes[atoms[0]] <= longest:
            seconds.append(_Second(int(atoms[0]), extra[cell, atoms[0]], int(cell)))
    return seconds


def _complete_firsts(firsts: list[_First], symmetry: SupercellSymmetry) -> list[_First]:
    """Keep first displacements whose second ones determine everything, one atom per site."""
    complete = [kept for first in firsts if (kept := _complete(first, symmetry)) is not None]
    home: dict[int, int] = {}
    for first in complete:
        home.setdefault(int(symmetry.sites[first.atom]), first.atom)
    chosen = [first for first in complete if home[int(symmetry.sites[first.atom])] == first.atom]
    spanned = [atom for atom in home.values() if _spans_site(atom, chosen, symmetry)]
    for atom in symmetry.get_independent_atoms():
        if not any(len(symmetry.rotations_between(int(atom), done)) for done in spanned):
            raise InconsistentDataError(
                f"the displacements do not determine the third-order force constants of atom"
                f" {atom}",
                subject="displacements_angstrom",
                hint="Give all pairs that phono3py plans, without a cutoff, or fit by regression",
            )
    return [
        first
        for atom in spanned
        for first in _balanced(
            [first for first in chosen if first.atom == atom],
            symmetry.rotations_between(atom, atom),
            symmetry,
        )
    ]


def _spans_site(atom: int, firsts: list[_First], symmetry: SupercellSymmetry) -> bool:
    own = [first.displacement for first in firsts if first.atom == atom]
    return _spans(own, symmetry.rotations_between(atom, atom), symmetry)


def _spans(
    displacements: list[FloatArray], rotations: IntArray, symmetry: SupercellSymmetry
) -> bool:
    """Whether the rotated displacements span all three directions."""
    if not displacements:
        return False
    turned = np.einsum("rab,db->rda", symmetry.rotations_cartesian[rotations], displacements)
    rank = np.linalg.matrix_rank(turned.reshape(-1, 3), tol=_STILL_ANGSTROM)
    return bool(rank == _SPACE_DIMENSION)


def _complete(first: _First, symmetry: SupercellSymmetry) -> _First | None:
    """Reduce the second displacements to one atom of each orbit; None if an orbit lacks them."""
    around = symmetry.rotations_between(first.atom, first.atom)
    turned = symmetry.rotations_cartesian[around] @ first.displacement
    kept = around[np.abs(turned - first.displacement).max(axis=1) < _STILL_ANGSTROM]
    images = np.array([symmetry.permutation(int(r), first.atom, first.atom) for r in kept])
    covered = np.zeros(images.shape[1], dtype=bool)
    seconds: list[_Second] = []
    for atom in sorted({second.atom for second in first.seconds}):
        bond = kept[images[:, atom] == atom]
        own = _balanced([s for s in first.seconds if s.atom == atom], bond, symmetry)
        if not covered[atom] and _spans([s.displacement for s in own], bond, symmetry):
            covered[images[:, atom]] = True
            seconds += own
    return replace(first, seconds=tuple(seconds)) if covered.all() else None


def _balanced(made: list[_Made], rotations: IntArray, symmetry: SupercellSymmetry) -> list[_Made]:
    """Leave out repetitions and, where that suffices, what no other one opposes.

    Even orders of the displacement cancel between a displacement and its opposite, if each
    counts once.
    """
    moves = np.array([one.displacement for one in made])
    turned = np.einsum("rab,db->rda", symmetry.rotations_cartesian[rotations], moves)
    same = (np.abs(turned[:, :, None] - moves).max(axis=3) < _STILL_ANGSTROM).any(axis=0)
    opposite = (np.abs(turned[:, :, None] + moves).max(axis=3) < _STILL_ANGSTROM).any(axis=0)
    new = ~np.triu(same, k=1).any(axis=0)
    paired = new & opposite.any(axis=0)
    chosen = paired if _spans(list(moves[paired]), rotations, symmetry) else new
    return [one for one, keep in zip(made, chosen, strict=True) if keep]


def _solve_third(
    cells: DisplacedCells,
    firsts: list[_First],
    symmetry: SupercellSymmetry,
    symprec_angstrom: float,
) -> FloatArray:
    """Third-order force constants, not yet symmetrised.

    phono3py wants the first of the atoms that repeat a site to be the displaced one, so these
    atoms lead the order in which it gets them.
    """
    leaders = np.unique([first.atom for first in firsts])
    order = np.concatenate([leaders, np.setdiff1d(np.arange(cells.n_atoms), leaders)])
    ordered = replace(
        cells,
        supercell_scaled_positions=np.asarray(cells.supercell_scaled_positions)[order],
        supercell_numbers=np.asarray(cells.supercell_numbers)[order],
    )
    supercell, primitive, their_symmetry = phonopy_cells(ordered, symprec_angstrom)
    dataset = _dataset(cells, firsts, order)
    with contextlib.redirect_stdout(io.StringIO()):
        _, third = get_fc3(supercell, primitive, dataset, their_symmetry)
    place = np.argsort(order)
    rows = []
    for site, row in enumerate(_first_atoms(symmetry)):
        leader = int(order[primitive.p2s_map[site]])
        partners = place[symmetry.permutation(symmetry.identity, int(row), leader)]
        rows.append(third[site][np.ix_(partners, partners)])
    return np.array(rows)


def _dataset(cells: DisplacedCells, firsts: list[_First], order: IntArray) -> dict[str, Any]:
    """Displacements and forces as phono3py nests them, atoms in this order."""
    forces = (cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom)[:, order]
    place = np.argsort(order)

    def entry(made: _First | _Second) -> dict[str, Any]:
        return {
            "number": int(place[made.atom]),
            "displacement": made.displacement,
            "forces": forces[made.cell],
        }

    return {
        "natom": cells.n_atoms,
        "first_atoms": [
            {**entry(first), "second_atoms": [entry(second) for second in first.seconds]}
            for first in firsts
        ],
    }


def _solve_second(
    cells: DisplacedCells, firsts: list[_First], symmetry: SupercellSymmetry
) -> FloatArray:
    made = [first.cell for first in firsts]
    rows = _first_atoms(symmetry)
    second = solve_force_constants(
        symmetry,
        rows,
        np.array([first.atom for first in firsts]),
        np.array([first.displacement for first in firsts]),
        cells.forces_ev_per_angstrom[made] - cells.residual_forces_ev_per_angstrom,
    )
    return symmetrise_force_constants(second, symmetry, rows)


def _first_atoms(symmetry: SupercellSymmetry) -> IntArray:
    """First atom that repeats each site, shape (site,)."""
    return np.unique(symmetry.sites, return_index=True)[1]


@dataclass(frozen=True, eq=False)
class _Views:
    """How the supercell looks from each of its atoms.

    Attributes
    ----------
    sites
        Site that each atom repeats, shape (atom,).
    rows
        First atom that repeats each site, shape (site,).
    partners
        Atom that the first atom on the site of ``j`` sees where ``j`` sees ``k``, shape
        (j, k).
    """

    sites: IntArray
    rows: IntArray
    partners: IntArray


def _views(cells: DisplacedCells, symmetry: SupercellSymmetry) -> _Views:
    matrix = np.asarray(cells.supercell_matrix, dtype=np.int64)
    sites, places = locate_atoms(
        cells.primitive,
        matrix,
        cells.supercell_scaled_positions,
        np.asarray(cells.supercell_numbers),
    )
    rows = _first_atoms(symmetry)
    seen = places[None] - places[:, None] + places[rows][sites][:, None]
    by_atom = np.broadcast_to(sites, seen.shape[:2])
    return _Views(sites, rows, LatticeIndex(matrix, sites, places).find(by_atom, seen))


def _symmetric(third: FloatArray, views: _Views) -> FloatArray:
    """Average over the six orders of differentiation."""
    even = 0.5 * (third + third.transpose(0, 2, 1, 3, 5, 4))
    home = views.partners[:, views.rows].T  # what atom j sees in place of the row's atom
    led = even[views.sites[None, :, None], home[:, :, None], views.partners[None]].swapaxes(3, 4)
    return np.asarray((even + led + led.transpose(0, 2, 1, 3, 5, 4)) / 3.0)


def _without_drift(third: FloatArray, views: _Views) -> FloatArray:
    """Project rigid translations out of all three atoms at once.

    With the mean Q over atoms this is (1 - Q)(1 - Q)(1 - Q), which keeps the order of
    differentiation and the space group. Means over the first and the third atom are those over
    the second one, because the force constants do not depend on the order.
    """
    once = third.mean(axis=1)  # of row and last atom
    by_pair = once[views.sites[:, None], views.partners]
    twice = once.mean(axis=1)
    of_atom = twice[views.sites]
    single = once[:, None] + once.swapaxes(3, 4)[:, :, None] + by_pair.swapaxes(2, 3)[None]
    double = (
        twice[:, None, None]
        + of_atom.transpose(0, 2, 1, 3)[None, :, None]
        + of_atom.transpose(0, 2, 3, 1)[None, None]
    )
    return np.asarray(third - single + double - twice.mean(axis=0))
