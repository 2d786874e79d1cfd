"""A crystal in a cell as large as those that a model of the zone centre has learned.

The canonical cell of a crystal is primitive, which a learned one need not have been: a relaxation
may restore a translation. Which modes stand at the zone centre depends on the cell, so that it is
repeated here in one way, always the same for a crystal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pymatgen.core import Structure

from screening.supercell import IntArray, image_distance_angstrom

__all__ = ["REPEATED", "learned_cell"]

REPEATED = "taken as a cell of {} sites, which is of a size that was learned, instead of {}"
"""Warning of a prediction for a repeated cell; takes both numbers of sites."""

_MOST_REPEATED = 16  # beyond it the cells of one size are hundreds
_DECIMALS = 4  # Å: distances that differ by less tie


def learned_cell(structure: Structure, sites_per_cell: tuple[int, int]) -> Structure:
    """Repeat a primitive cell until it has as many sites as were learned.

    Parameters
    ----------
    structure
        Primitive cell; not changed.
    sites_per_cell
        Fewest and most sites of the cells that were learned.

    Returns
    -------
    Structure
        The cell itself where it is large enough, or where no multiple of it fits. Else the
        smallest multiple that fits, in the shape whose shortest vector is the longest.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> cell = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> [len(learned_cell(cell, sizes)) for sizes in ((1, 4), (4, 5), (3, 3))]
    [2, 4, 2]
    """
    fewest, most = sites_per_cell
    times = -(-fewest // len(structure))
    if not 1 < times <= _MOST_REPEATED or times * len(structure) > most:
        return structure
    lattice = structure.lattice.matrix

    def merit(matrix: IntArray) -> tuple[float, tuple[int, ...]]:
        distance = image_distance_angstrom(lattice, matrix)
        return -round(distance, _DECIMALS), tuple(matrix.ravel().tolist())

    repeated = structure.copy()
    repeated.make_supercell(min(_sublattices(times), key=merit))
    return repeated


def _sublattices(index: int) -> Iterator[IntArray]:
    """All sublattices of an index, in Hermite's lower triangular form."""
    for first in (n for n in range(1, index + 1) if index % n == 0):
        rest = index // first
        for second in (n for n in range(1, rest + 1) if rest % n == 0):
            third = rest // second
            for one, two, three in np.ndindex(first, first, second):
                yield np.array([[first, 0, 0], [one, second, 0], [two, three, third]])
