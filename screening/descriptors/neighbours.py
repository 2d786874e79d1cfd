"""Neighbours of atoms in crystals and clusters, block by block.

A neighbour list of a million atoms fills gigabytes. Large systems are therefore cut in two,
again and again, until each block holds a few thousand atoms; around it come the atoms and
images within the cutoff. Time is linear in the number of atoms, and only one block's list
exists at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem
from screening.errors import OverlapError
from screening.prediction import FloatArray

__all__ = ["DEFAULT_ATOMS_PER_BLOCK", "AtomBlock", "Neighbours", "atom_blocks", "neighbours_of"]

DEFAULT_ATOMS_PER_BLOCK = 8192
"""Blocks large enough that the atoms around them are few beside them."""

_OVERLAP_ANGSTROM = 1e-6


@dataclass(frozen=True, eq=False)
class AtomBlock:
    """Some atoms of a system, and all that is near them.

    Attributes
    ----------
    points_angstrom
        The block's own atoms, then those around it, shape (point, 3).
    atoms
        Which atom of the system each point is, or is an image of, shape (point,).
    n_central
        How many of the points are the block's own atoms.
    cell_angstrom
        Cell whose images are still to be added; None where the points hold all of them.
    """

    points_angstrom: FloatArray
    atoms: NDArray[np.int64]
    n_central: int
    cell_angstrom: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of a central atom and a neighbour, sorted by the central atom.

    Attributes
    ----------
    central
        The central atoms as indices of the system, shape (central,).
    first
        Pairs of the n-th central atom are ``first[n]:first[n + 1]``, shape (central + 1,).
    neighbour
        The neighbours as indices of the system, shape (pair,).
    vectors_angstrom
        From central atom to neighbour in Å, shape (pair, 3).
    distances_angstrom
        Their lengths, shape (pair,).
    """

    central: NDArray[np.int64]
    first: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    vectors_angstrom: FloatArray
    distances_angstrom: FloatArray


def atom_blocks(
    system: AtomicSystem,
    cutoff_angstrom: float,
    atoms_per_block: int = DEFAULT_ATOMS_PER_BLOCK,
) -> Iterator[AtomBlock]:
    """Cut a system into blocks of neighbouring atoms.

    Parameters
    ----------
    system
        Crystal or cluster.
    cutoff_angstrom
        How far around each block atoms are added, in Å.
    atoms_per_block
        Largest number of central atoms of one block.

    Yields
    ------
    AtomBlock
        Each atom of the system is central in exactly one.
    """
    atoms = np.arange(len(system))
    if len(system) <= atoms_per_block:
        yield AtomBlock(system.positions_angstrom, atoms, len(system), system.cell_angstrom)
        return
    points = np.asarray(system.positions_angstrom)
    if system.cell_angstrom is not None:
        points, atoms = _with_images(points, system.cell_angstrom, cutoff_angstrom)
    yield from _halved(points, atoms, len(system), cutoff_angstrom, atoms_per_block)


def _with_images(
    positions: FloatArray, cell: FloatArray, cutoff: float
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Wrap the atoms into the cell, then add all images within the cutoff of it."""
    inverse = np.linalg.inv(cell)
    margins = cutoff * np.linalg.norm(inverse, axis=0)  # in fractions of the cell's height
    scaled = positions @ inverse
    scaled -= np.floor(scaled)
    atoms = np.arange(len(positions))
    for axis, margin in enumerate(margins):
        reach = int(np.ceil(margin))
        added, sources = [scaled], [atoms]
        for shift in (one for one in range(-reach, reach + 1) if one):
            along = scaled[:, axis] + shift
            near = np.flatnonzero((along >= -margin) & (along <= 1.0 + margin))
            image = scaled[near]
            image[:, axis] += shift
            added.append(image)
            sources.append(atoms[near])
        scaled, atoms = np.concatenate(added), np.concatenate(sources)
    return scaled @ cell, atoms


def _halved(
    points: FloatArray, atoms: NDArray[np.int64], n_central: int, cutoff: float, limit: int
) -> Iterator[AtomBlock]:
    """Halve a block along its longest side until it is small enough."""
    if n_central <= limit:
        yield AtomBlock(points, atoms, n_central)
        return
    central = points[:n_central]
    axis = int(np.argmax(np.ptp(central, axis=0)))
    order = np.argpartition(central[:, axis], n_central // 2)
    for half in (order[: n_central // 2], order[n_central // 2 :]):
        low, high = points[half].min(axis=0) - cutoff, points[half].max(axis=0) + cutoff
        around = ((points >= low) & (points <= high)).all(axis=1)
        around[half] = False
        chosen = np.concatenate([half, np.flatnonzero(around)])
        yield from _halved(points[chosen], atoms[chosen], len(half), cutoff, limit)


def neighbours_of(block: AtomBlock, cutoff_angstrom: float) -> Neighbours:
    """Find all neighbours of the central atoms of a block within a cutoff in Å.

    Raises
    ------
    OverlapError
        If two atoms are in one place.
    """
    from vesin import NeighborList

    periodic = block.cell_angstrom is not None
    cell = block.cell_angstrom if periodic else np.zeros((3, 3))
    finder = NeighborList(cutoff=cutoff_angstrom, full_list=True, sorted=True, n_threads=1)
    centres, others, vectors, distances = finder.compute(
        points=block.points_angstrom, box=cell, periodic=periodic, quantities="ijDd"
    )
    first = np.searchsorted(centres, np.arange(block.n_central + 1))
    pairs = slice(0, int(first[-1]))
    _check_distances(distances[pairs], block.atoms[centres[pairs]])
    return Neighbours(
        central=block.atoms[: block.n_central],
        first=first,
        neighbour=block.atoms[others[pairs]],
        vectors_angstrom=vectors[pairs],
        distances_angstrom=distances[pairs],
    )


def _check_distances(distances: FloatArray, atoms: NDArray[np.int64]) -> None:
    if distances.size and distances.min() < _OVERLAP_ANGSTROM:
        where = int(atoms[int(distances.argmin())])
        raise OverlapError(
            "another atom is in the same place",
            subject=f"atom {where}",
            hint="Remove one of the two",
        )
