"""The neighbours of the atoms of a crystal, by distances alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screening.prediction import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["Surroundings", "surroundings_of"]

_BOND_TOLERANCE = 1.25  # of the shortest distance at each atom


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Neighbours of the atoms of a crystal.

    Attributes
    ----------
    nearest_angstrom
        Distance to the nearest neighbour of each atom, shape (atom,).
    coordination
        Mean number of neighbours within 1.25 times that distance.
    """

    nearest_angstrom: FloatArray
    coordination: float


def surroundings_of(structure: Structure) -> Surroundings:
    """Find the neighbours of the atoms of a crystal.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"],
    ...                                  [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> surroundings_of(salt).coordination
    6.0
    """
    radius = 3.0
    while True:
        centres, _, _, distances = structure.get_neighbor_list(radius)
        nearest = np.full(len(structure), np.inf)
        np.minimum.at(nearest, centres, distances)
        if nearest.max() * _BOND_TOLERANCE <= radius:
            break
        radius *= 1.5
    close = distances <= _BOND_TOLERANCE * nearest[centres]
    return Surroundings(nearest, float(close.sum()) / len(structure))
