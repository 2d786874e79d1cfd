"""What descriptors of the density of neighbours have in common: channels, blocks and sums.

Large systems are described block by block, on several threads if asked, and summed in one
order whatever their number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem, atom_counts, sorted_elements
from screening.descriptors.neighbours import AtomBlock, Neighbours, atom_blocks, neighbours_of
from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = [
    "MOST_WORKERS",
    "NEIGHBOUR_CHANNELS",
    "NeighbourDensity",
    "check_channels",
    "check_range",
]

NEIGHBOUR_CHANNELS = ("all", "species")
"""One density of all neighbours alike, or one for each of their elements."""

MOST_WORKERS = 256
"""Largest number of threads."""

_Result = TypeVar("_Result")


def check_range(
    subject: str, value: float, least: float, most: float, *, whole: bool = False
) -> None:
    """Refuse a setting out of its range.

    Raises
    ------
    SettingError
        If it is.
    """
    if whole and not isinstance(value, int):
        raise SettingError(f"{value!r} is not whole", subject=subject, hint="Give an integer")
    if not least <= value <= most:
        raise SettingError(f"{value}", subject=subject, hint=f"Give {least:g} to {most:g}")


def check_channels(name: str) -> None:
    """Refuse a name that is not one of `NEIGHBOUR_CHANNELS`.

    Raises
    ------
    SettingError
        If it is not.
    """
    if name not in NEIGHBOUR_CHANNELS:
        raise SettingError(
            f"{name!r}",
            subject="neighbour_channels",
            hint=f"Choose one of {', '.join(NEIGHBOUR_CHANNELS)}",
        )


@dataclass(frozen=True, kw_only=True)
class NeighbourDensity(ABC):
    """Invariants of the density of neighbours within a cutoff.

    Attributes
    ----------
    cutoff_angstrom
        Radius of the surroundings in Å.
    neighbour_channels
        One of `NEIGHBOUR_CHANNELS`. Both are the same where there is one element; of several,
        one density of all cannot tell an ordered alloy from another on the same sites.
    workers
        Threads that large systems are shared out to.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """

    name: ClassVar[str]
    describes_atoms: ClassVar[bool] = True
    _rows_at_once: ClassVar[int]  # so that their numbers fit a core's cache

    cutoff_angstrom: float = 5.0
    neighbour_channels: str = "species"
    workers: int = 1

    def __post_init__(self) -> None:
        check_range("cutoff_angstrom", self.cutoff_angstrom, 0.1, 100.0)
        check_range("workers", self.workers, 1, MOST_WORKERS, whole=True)
        check_channels(self.neighbour_channels)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings as plain JSON."""
        names = [one.name for one in fields(self) if one.name != "workers"]
        return {name: getattr(self, name) for name in names}

    @property
    @abstractmethod
    def n_per_channel(self) -> int:
        """Number of features of one density."""

    @abstractmethod
    def _invariants(
        self, vectors: FloatArray, distances: FloatArray, counts: NDArray[np.int64]
    ) -> FloatArray:
        """Describe densities.

        Parameters
        ----------
        vectors, distances
            To the neighbours in Å, those of one density after those of the other, shapes
            (axis, pair) and (pair,).
        counts
            Number of neighbours of each density, ascending, shape (density,).

        Returns
        -------
        FloatArray
            Shape (density, feature).
        """

    def n_per_atom(self, elements: Sequence[int]) -> int:
        """Count the features of one atom."""
        channels = 1 if self.neighbour_channels == "all" else len(sorted_elements(elements))
        return channels * self.n_per_channel

    def n_features(self, elements: Sequence[int]) -> int:
        """Length of what `summed` returns for these elements."""
        return len(sorted_elements(elements)) * (self.n_per_atom(elements) + 1)

    def per_atom(self, system: AtomicSystem, elements: Sequence[int] | None = None) -> FloatArray:
        """Describe each atom.

        Parameters
        ----------
        system
            Any number of atoms.
        elements
            Atomic numbers that may occur; those of the system where None.

        Returns
        -------
        FloatArray
            Shape (atom, feature); with one channel per species the channels follow each other
            in the order of the atomic numbers.

        Raises
        ------
        ElementNotInModelError, OverlapError
            As `Descriptor.per_atom`.
        """
        known = sorted_elements(system.numbers.tolist() if elements is None else elements)
        atom_counts(system.numbers, known)

        def task(block: AtomBlock) -> tuple[NDArray[np.int64], FloatArray]:
            neighbours = neighbours_of(block, self.cutoff_angstrom)
            return neighbours.central, self._block(neighbours, system, known)

        rows = np.empty((len(system), self.n_per_atom(known)))
        blocks = atom_blocks(system, self.cutoff_angstrom)
        for atoms, found in _in_order(task, blocks, self.workers):
            rows[atoms] = found
        return rows

    def summed(self, system: AtomicSystem, elements: Sequence[int]) -> FloatArray:
        """Sum over the atoms, as `Descriptor.summed` says.

        Raises
        ------
        ElementNotInModelError, OverlapError
            As `Descriptor.summed`.
        """
        known = sorted_elements(elements)
        counts = atom_counts(system.numbers, known)

        def task(block: AtomBlock) -> FloatArray:
            neighbours = neighbours_of(block, self.cutoff_angstrom)
            is_element = np.array(known)[:, None] == system.numbers[neighbours.central]
            return np.asarray(is_element.astype(float) @ self._block(neighbours, system, known))

        blocks = atom_blocks(system, self.cutoff_angstrom)
        total = sum(_in_order(task, blocks, self.workers))
        return np.concatenate([np.ravel(total), counts])

    def _block(
        self, neighbours: Neighbours, system: AtomicSystem, elements: Sequence[int]
    ) -> FloatArray:
        """Describe the central atoms of a block, shape (central, feature)."""
        n_central = len(neighbours.central)
        density = np.repeat(np.arange(n_central), np.diff(neighbours.first))
        if self.neighbour_channels == "all":
            return self._densities(density, n_central, neighbours)
        channel = np.searchsorted(np.array(elements), system.numbers)[neighbours.neighbour]
        density = density * len(elements) + channel
        found = self._densities(density, n_central * len(elements), neighbours)
        return found.reshape(n_central, -1)

    def _densities(
        self, density: NDArray[np.int64], n_densities: int, neighbours: Neighbours
    ) -> FloatArray:
        """Describe the densities that pairs belong to, those of similar length together."""
        counts = np.bincount(density, minlength=n_densities)
        by_length = np.argsort(counts, kind="stable")
        place = np.empty(n_densities, dtype=np.int64)
        place[by_length] = np.arange(n_densities)
        pairs = np.argsort(place[density], kind="stable")
        ends = np.concatenate([[0], np.cumsum(counts[by_length])])
        vectors = np.ascontiguousarray(neighbours.vectors_angstrom[pairs].T)
        distances = neighbours.distances_angstrom[pairs]
        found = np.empty((n_densities, self.n_per_channel))
        for start in range(0, n_densities, self._rows_at_once):
            stop = min(start + self._rows_at_once, n_densities)
            part = slice(ends[start], ends[stop])
            rows = by_length[start:stop]
            found[rows] = self._invariants(vectors[:, part], distances[part], counts[rows])
        return found


def _in_order(
    task: Callable[[AtomBlock], _Result], blocks: Iterable[AtomBlock], workers: int
) -> Iterator[_Result]:
    """Map on threads, with few blocks waiting."""
    if workers == 1:
        yield from map(task, blocks)
        return
    left = iter(blocks)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_Result]] = deque()
        waiting.extend(pool.submit(task, one) for one in islice(left, workers + 1))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(task, one) for one in islice(left, 1))
            yield done
