"""Which cells defects were learned in: how large, how strained, and how they fit their crystal.

A periodic cell imposes its size and its strain on all of its atoms alike. No leverage shows it,
for no atom looks new, but errors of entropies of formation are those of all atoms together:
defects see their images, the spectrum has other wave vectors, and the response of the perfect
crystal to a strain is not that of the defect. Sizes and strains that were not learned from are
therefore new, whatever the descriptor says.

All measures but the misfit are the same for every cell, orientation and order of atoms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from screening.descriptors.interface import AtomicSystem
from screening.errors import ModelCorruptError, OutOfDomainError
from screening.prediction import FloatArray, frozen_array

__all__ = [
    "MISFIT_TOLERANCE",
    "SIZE_TOLERANCE",
    "STRAIN_TOLERANCE",
    "CellMeasures",
    "CellRange",
    "PerfectCrystal",
    "measure_cell",
    "perfect_crystal",
]

SIZE_TOLERANCE = 0.1
"""Sizes beyond those learned from by up to this fraction are not new: what a finite size does to
an entropy of formation falls off with the size, and changes by no more than this fraction."""

STRAIN_TOLERANCE = 1e-3
"""Changes of length beyond those learned from by up to this fraction are not new. Entropies of
formation in Lennard-Jones cells err by 0.6 k_B more for each percent beyond."""

MISFIT_TOLERANCE = 2e-5
"""Strain of a cell against its perfect crystal beyond that learned from: every atom of the cell
adds to such an error, 0.27 k_B each for a percent in Lennard-Jones cells and 0.13 in iron."""

_SYMPREC_ANGSTROM = 1e-2
_N_NEIGHBOURS = 12  # they feel every strain of close-packed, body-centred and diamond crystals
_FIRST_REACH = 2.0  # in cube roots of the volume of an atom: 33 neighbours of evenly spread atoms
_LEARN = "Train on several sizes and strains with this one among them"
_FIT = "Give the perfect crystal in the strain and the orientation of the cell"


@dataclass(frozen=True, eq=False)
class PerfectCrystal:
    """What cells of defects are compared with.

    Attributes
    ----------
    lattice_angstrom
        Primitive lattice vectors as rows in Å, shape (3, 3).
    length_angstrom
        Cube root of the volume of an atom in Å.
    shape
        Logarithms of the distances of the nearest neighbours over that length, ascending, each
        the median over all atoms.
    """

    lattice_angstrom: FloatArray
    length_angstrom: float
    shape: tuple[float, ...]


@dataclass(frozen=True)
class CellMeasures:
    """Size and strain of one cell.

    Attributes
    ----------
    n_sites
        Volume of the cell over that of an atom of its perfect crystal; infinite without a cell.
    length_angstrom, shape
        As `PerfectCrystal`.
    misfit
        Largest principal strain, without sign, of the cell against the lattice of its perfect
        crystal.
    """

    n_sites: float
    length_angstrom: float
    shape: tuple[float, ...]
    misfit: float


@dataclass(frozen=True)
class CellRange:
    """Cells that were learned from.

    Attributes
    ----------
    n_sites, length_angstrom
        Smallest and largest, as `CellMeasures`.
    shape_low, shape_high
        Smallest and largest of each neighbour.
    misfit
        Largest.
    """

    n_sites: tuple[float, float]
    length_angstrom: tuple[float, float]
    shape_low: tuple[float, ...]
    shape_high: tuple[float, ...]
    misfit: float

    @classmethod
    def of(cls, measured: Sequence[CellMeasures]) -> CellRange:
        """Take the range of some cells."""
        sizes = [one.n_sites for one in measured]
        lengths = [one.length_angstrom for one in measured]
        shapes = np.array([one.shape for one in measured])
        return cls(
            n_sites=(min(sizes), max(sizes)),
            length_angstrom=(min(lengths), max(lengths)),
            shape_low=tuple(shapes.min(axis=0).tolist()),
            shape_high=tuple(shapes.max(axis=0).tolist()),
            misfit=max(one.misfit for one in measured),
        )

    def __post_init__(self) -> None:
        shapes = zip(self.shape_low, self.shape_high, strict=True)
        ranges = (self.n_sites, self.length_angstrom)
        sound = (
            all(0.0 < low <= high < math.inf for low, high in ranges)
            and len(self.shape_low) == _N_NEIGHBOURS
            and all(-math.inf < low <= high < math.inf for low, high in shapes)
            and 0.0 <= self.misfit < math.inf
        )
        if not sound:
            raise ModelCorruptError(
                "the sizes and strains of cells are no ranges",
                subject="calibration",
                hint="Export or train the model again",
            )

    def novelty(self, cell: CellMeasures) -> float:
        """How far a cell is beyond, in tolerances: zero within, above 1 where it is new."""
        return max(self._beyond(cell).values())

    def refusal(self, cell: CellMeasures, subject: str) -> OutOfDomainError | None:
        """Say in what a cell is new, and what to do; None where it is not."""
        beyond = self._beyond(cell)
        lengths = self.length_angstrom
        told = {
            "size": f"{cell.n_sites:.4g} sites, learned from {_range(self.n_sites)}",
            "volume": f"{cell.length_angstrom**3:.5g} Å³ for each atom of its perfect crystal, "
            f"learned from {_range((lengths[0] ** 3, lengths[1] ** 3))}",
            "shape": "a perfect crystal that is sheared or another one: distances of neighbours "
            f"{100.0 * STRAIN_TOLERANCE * beyond['shape']:.2g} % beyond those learned from",
            "misfit": f"strained by {100.0 * cell.misfit:.2g} % against the lattice of the perfect "
            "crystal that was given",
        }
        new = [name for name, value in beyond.items() if not value <= 1.0]
        if not new:
            return None
        hint = _FIT if new == ["misfit"] else _LEARN
        return OutOfDomainError("; ".join(told[name] for name in new), subject=subject, hint=hint)

    def _beyond(self, cell: CellMeasures) -> dict[str, float]:
        """Each measure beyond its range, in tolerances."""
        shapes = zip(cell.shape, self.shape_low, self.shape_high, strict=True)
        size = _ratio_beyond(cell.n_sites, self.n_sites)
        volume = _ratio_beyond(cell.length_angstrom, self.length_angstrom)
        shape = max(max(low - one, one - high, 0.0) for one, low, high in shapes)
        return {
            "size": size / math.log1p(SIZE_TOLERANCE),
            "volume": volume / math.log1p(STRAIN_TOLERANCE),
            "shape": shape / math.log1p(STRAIN_TOLERANCE),
            "misfit": max(cell.misfit - self.misfit, 0.0) / MISFIT_TOLERANCE,
        }

    def on_card(self) -> dict[str, Any]:
        """Tell people the ranges and their tolerances, as plain JSON."""
        shortest, longest = self.length_angstrom
        return {
            "n_sites": list(self.n_sites),
            "volume_angstrom3_per_site": [shortest**3, longest**3],
            "size_tolerance": SIZE_TOLERANCE,
            "strain_tolerance": STRAIN_TOLERANCE,
        }

    def __str__(self) -> str:
        volumes = (self.length_angstrom[0] ** 3, self.length_angstrom[1] ** 3)
        return f"cells of {_range(self.n_sites)} sites with {_range(volumes)} Å³ for each"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        values = asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CellRange:
        """Take it back from plain JSON.

        Raises
        ------
        ModelCorruptError
            If a number is out of its range.
        AttributeError, KeyError, TypeError, ValueError
            If a part is missing or of another type.
        """
        (fewest, most), (shortest, longest) = values["n_sites"], values["length_angstrom"]
        return cls(
            n_sites=(float(fewest), float(most)),
            length_angstrom=(float(shortest), float(longest)),
            shape_low=tuple(map(float, values["shape_low"])),
            shape_high=tuple(map(float, values["shape_high"])),
            misfit=float(values["misfit"]),
        )


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{one:.4g}" for one in ends)
    return low if low == high else f"{low} to {high}"


def _ratio_beyond(value: float, ends: tuple[float, float]) -> float:
    """Logarithm of what a value is beyond the ends of a range, zero within."""
    return max(math.log(ends[0]) - math.log(value), math.log(value) - math.log(ends[1]), 0.0)


def perfect_crystal(bulk: AtomicSystem) -> PerfectCrystal | None:
    """Measure a perfect crystal; None of what has no cell.

    Parameters
    ----------
    bulk
        Any cell of it.

    Raises
    ------
    CellError
        If no symmetry is found because atoms overlap.
    """
    if bulk.cell_angstrom is None:
        return None
    from pymatgen.core import Structure

    from screening.atom_order import primitive_cell_of

    vectors, places = bulk.cell_angstrom, bulk.positions_angstrom
    given = Structure(vectors, bulk.numbers.tolist(), places, coords_are_cartesian=True)
    primitive = primitive_cell_of(given, _SYMPREC_ANGSTROM)
    # symmetry is found within a tolerance: the exact lattice is a fraction of the cell given
    multiples = np.rint(vectors @ np.linalg.inv(primitive.lattice.matrix))
    lattice = np.linalg.solve(multiples, vectors)
    primitive = Structure(lattice, primitive.species, primitive.frac_coords)
    length = float((primitive.volume / len(primitive)) ** (1.0 / 3.0))
    near = np.median(_neighbour_distances(primitive, length), axis=0)
    return PerfectCrystal(frozen_array(lattice), length, tuple(np.log(near / length).tolist()))


def _neighbour_distances(primitive: Any, length_angstrom: float) -> FloatArray:
    """Distances of the nearest neighbours of each atom in Å, ascending, (atom, neighbour)."""
    reach = _FIRST_REACH * length_angstrom
    while True:
        centres, _, _, distances = primitive.get_neighbor_list(reach)
        own = [np.sort(distances[centres == atom]) for atom in range(len(primitive))]
        if min(map(len, own)) >= _N_NEIGHBOURS:
            return np.array([one[:_N_NEIGHBOURS] for one in own])
        reach *= 1.5


def measure_cell(system: AtomicSystem, crystal: PerfectCrystal) -> CellMeasures:
    """Measure a cell of defects against its perfect crystal.

    Parameters
    ----------
    system
        The cell.
    crystal
        As `perfect_crystal` gives it.
    """
    size = misfit = math.inf
    if system.cell_angstrom is not None:
        volume = abs(float(np.linalg.det(system.cell_angstrom)))
        size = volume / crystal.length_angstrom**3
        misfit = _misfit(system.cell_angstrom, crystal.lattice_angstrom)
    return CellMeasures(size, crystal.length_angstrom, crystal.shape, misfit)


def _misfit(cell: FloatArray, lattice: FloatArray) -> float:
    """Largest principal strain between a cell and the multiple of a lattice that is nearest."""
    multiples = np.rint(cell @ np.linalg.inv(lattice))
    if abs(np.linalg.det(multiples)) < 0.5:  # noqa: PLR2004 - whole numbers
        return math.inf
    deformation = np.linalg.solve(multiples @ lattice, cell)
    return float(np.abs(np.linalg.svd(deformation, compute_uv=False) - 1.0).max())
