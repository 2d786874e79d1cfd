"""Cells as tensors: neighbours found once, and put together to batches of some atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from vesin import NeighborList

from screening.network_potential.forward import Graph
from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.settings import MaceArchitecture
from screening.prediction import FloatArray

__all__ = [
    "Batch",
    "CellTensors",
    "batch_of",
    "batches",
    "cell_tensors",
    "mean_neighbours",
    "partners",
    "reference_energies",
    "without_references",
]


@dataclass(frozen=True, eq=False)
class CellTensors:
    """One cell with its neighbours and labels.

    Attributes
    ----------
    species
        Index of the element of each atom, shape (atom,).
    senders, receivers
        Atoms of each bond, shape (bond,).
    vectors
        From senders to receivers in Å, shape (bond, 3).
    forces
        In eV/Å, shape (atom, 3).
    energy
        Of the cell in eV, from `without_references` on less that of its atoms alone; 0 where
        unknown.
    stress
        In eV/Å^3, shape (3, 3); 0 where unknown.
    volume
        In Å^3.
    has_energy, has_stress
        Whether these labels are known.
    pair
        Names crystal and pair, empty for a cell alone.
    """

    species: torch.Tensor
    senders: torch.Tensor
    receivers: torch.Tensor
    vectors: torch.Tensor
    forces: torch.Tensor
    energy: float
    stress: torch.Tensor
    volume: float
    has_energy: bool
    has_stress: bool
    pair: str

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.species)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some cells as one graph, with their labels.

    Attributes
    ----------
    graph
        Neighbours.
    vectors
        From senders to receivers in Å, shape (bond, 3).
    bond_cell
        Cell of each bond, shape (bond,).
    n_atoms, volumes
        Number of atoms and volume in Å^3 of each cell, shape (cell,).
    forces, energies, stresses
        Labels, shapes (atom, 3), (cell,) and (cell, 3, 3).
    has_energy, has_stress
        1 where a label is known, 0 elsewhere, shape (cell,).
    pair_atoms
        Atoms of the two halves of antithetic pairs, shape (2, paired atom).
    pair_index
        Pair of each paired atom, shape (paired atom,).
    n_pairs
        Number of pairs.
    """

    graph: Graph
    vectors: torch.Tensor
    bond_cell: torch.Tensor
    n_atoms: torch.Tensor
    volumes: torch.Tensor
    forces: torch.Tensor
    energies: torch.Tensor
    stresses: torch.Tensor
    has_energy: torch.Tensor
    has_stress: torch.Tensor
    pair_atoms: torch.Tensor
    pair_index: torch.Tensor
    n_pairs: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.graph.n_cells

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        graph = {one.name: _moved(getattr(self.graph, one.name), device) for one in fields(Graph)}
        own = {
            one.name: _moved(getattr(self, one.name), device)
            for one in fields(self)
            if one.name != "graph"
        }
        return replace(self, graph=Graph(**graph), **own)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def reference_energies(
    cells: Sequence[LabelledCell], elements: Sequence[int], learned_ev: FloatArray
) -> FloatArray | None:
    """Energy of an atom of each element that fits the energies of cells best.

    Parameters
    ----------
    cells
        Cells, some of them with energies.
    elements
        Atomic numbers.
    learned_ev
        What a network already gives for each cell, shape (cell,).

    Returns
    -------
    numpy.ndarray or None
        In eV, shape (element,); None where no energy is known. Elements that only come together
        share what they add.
    """
    known = [index for index, cell in enumerate(cells) if cell.energy_ev is not None]
    if not known:
        return None
    species = [np.searchsorted(np.asarray(elements), cells[one].numbers) for one in known]
    counts = np.array([np.bincount(one, minlength=len(elements)) for one in species])
    energies = np.array([float(cells[one].energy_ev or 0.0) for one in known]) - learned_ev[known]
    sizes = counts.sum(axis=1)
    found: FloatArray = np.linalg.lstsq(counts / sizes[:, None], energies / sizes, rcond=1e-8)[0]
    return found


def without_references(cell: CellTensors, references_ev: FloatArray) -> CellTensors:
    """Take the energies of the atoms alone off the label of a cell."""
    if not cell.has_energy:
        return cell
    alone = float(references_ev[cell.species.numpy()].sum())
    return replace(cell, energy=cell.energy - alone)


def cell_tensors(
    cell: LabelledCell, architecture: MaceArchitecture, dtype: torch.dtype
) -> CellTensors:
    """Find the neighbours of a cell, and make tensors of it."""
    finder = NeighborList(cutoff=architecture.cutoff_angstrom, full_list=True)
    senders, receivers, vectors = finder.compute(
        np.array(cell.positions_angstrom), np.array(cell.cell_angstrom), True, "ijD"
    )
    stress = cell.stress_ev_per_angstrom3
    return CellTensors(
        torch.tensor(np.searchsorted(np.array(architecture.elements), cell.numbers)),
        torch.tensor(senders.astype(np.int64)),
        torch.tensor(receivers.astype(np.int64)),
        torch.tensor(vectors, dtype=dtype),
        torch.tensor(cell.forces_ev_per_angstrom, dtype=dtype),
        cell.energy_ev or 0.0,
        torch.tensor(np.zeros((3, 3)) if stress is None else stress, dtype=dtype),
        cell.volume_angstrom3,
        cell.energy_ev is not None,
        stress is not None,
        f"{cell.material_id}\n{cell.pair}" if cell.pair else "",
    )


def mean_neighbours(cells: Sequence[CellTensors]) -> float:
    """Mean number of neighbours of an atom, at least 1."""
    bonds, atoms = sum(len(one.senders) for one in cells), sum(len(one) for one in cells)
    return max(1.0, bonds / atoms)


def partners(cells: Sequence[CellTensors]) -> list[tuple[int, ...]]:
    """Keep the halves of pairs together: indices of cells, in tuples of two or one."""
    found: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        found.setdefault(cell.pair or f"{index}", []).append(index)
    groups: list[tuple[int, ...]] = []
    for indices in found.values():
        is_pair = len(indices) == 2 and torch.equal(*(cells[one].species for one in indices))  # noqa: PLR2004
        groups += [tuple(indices)] if is_pair else [(one,) for one in indices]
    return groups


def batches(
    cells: Sequence[CellTensors], n_atoms: int, order: Sequence[tuple[int, ...]]
) -> list[list[CellTensors]]:
    """Share out cells to batches of at most so many atoms, or one cell or pair that has more."""
    found: list[list[CellTensors]] = [[]]
    size = 0
    for indices in order:
        together = [cells[index] for index in indices]
        added = sum(len(one) for one in together)
        if found[-1] and size + added > n_atoms:
            found.append([])
            size = 0
        found[-1] += together
        size += added
    return [one for one in found if one]


def batch_of(cells: Sequence[CellTensors]) -> Batch:
    """Put cells together to one graph."""
    sizes = torch.tensor([len(one) for one in cells])
    n_bonds = torch.tensor([len(one.senders) for one in cells])
    offsets = torch.cumsum(sizes, 0) - sizes
    indices = torch.arange(len(cells))
    shifts = offsets.repeat_interleave(n_bonds)
    like = cells[0].vectors
    graph = Graph(
        torch.cat([one.species for one in cells]),
        torch.cat([one.senders for one in cells]) + shifts,
        torch.cat([one.receivers for one in cells]) + shifts,
        indices.repeat_interleave(sizes),
        len(cells),
    )
    pair_atoms, pair_index, n_pairs = _pairs(cells, offsets)
    return Batch(
        graph,
        torch.cat([one.vectors for one in cells]),
        indices.repeat_interleave(n_bonds),
        sizes.to(like),
        like.new_tensor([one.volume for one in cells]),
        torch.cat([one.forces for one in cells]),
        like.new_tensor([one.energy for one in cells]),
        torch.stack([one.stress for one in cells]),
        like.new_tensor([float(one.has_energy) for one in cells]),
        like.new_tensor([float(one.has_stress) for one in cells]),
        pair_atoms,
        pair_index,
        n_pairs,
    )


def _pairs(
    cells: Sequence[CellTensors], offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Find antithetic pairs whose halves are both here."""
    atoms, index = [torch.zeros((2, 0), dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
    n_pairs = 0
    for group in partners(cells):
        if len(group) == 1:
            continue
        own = torch.arange(len(cells[group[0]]))
        atoms.append(torch.stack([own + offsets[one] for one in group]))
        index.append(torch.full((len(own),), n_pairs))
        n_pairs += 1
    return torch.cat(atoms, 1), torch.cat(index), n_pairs
