"""A few numbers of a crystal that simple baselines learn from.

None of them needs forces. They depend neither on the choice of the cell nor on the order of its
atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from pymatgen.core import Element, Structure

from screening.electronegativity import pauling_electronegativity
from screening.linear_entropy.masses import natural_masses_amu
from screening.prediction import FloatArray
from screening.surroundings import surroundings_of

__all__ = ["FEATURES", "structure_features"]

FEATURES = (
    "log_mass",  # mean over atoms of ln of u
    "log_mass_spread",  # its standard deviation
    "log_volume",  # ln of Å³/atom
    "electronegativity",  # Pauling, mean over atoms
    "electronegativity_spread",  # its standard deviation
    "log_distance",  # mean over atoms of ln of the distance to the nearest one in Å
    "coordination",  # mean number of atoms within 1.25 times that distance
    "valence_electrons",  # mean over atoms
    "row",  # mean over atoms, of the periodic table
)
"""Names of the features, in their order."""


def structure_features(structures: Sequence[Structure]) -> FloatArray:
    """Return the features of some crystals, shape (crystal, feature).

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> dict(zip(FEATURES, structure_features([salt])[0], strict=True))["coordination"]
    np.float64(14.0)
    """
    return np.array([_features(one) for one in structures]).reshape(-1, len(FEATURES))


def _features(structure: Structure) -> list[float]:
    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    masses = np.log(natural_masses_amu(numbers))
    negativity, electrons, rows = np.array([_of_element(int(one)) for one in numbers]).T
    around = surroundings_of(structure)
    return [
        float(masses.mean()),
        float(masses.std()),
        float(np.log(structure.volume / len(structure))),
        float(negativity.mean()),
        float(negativity.std()),
        float(np.log(around.nearest_angstrom).mean()),
        around.coordination,
        float(electrons.mean()),
        float(rows.mean()),
    ]


@cache
def _of_element(number: int) -> tuple[float, float, float]:
    """Electronegativity, electrons outside the noble-gas core, row."""
    element = Element.from_Z(number)
    cores = (0, 2, 10, 18, 36, 54, 86)
    core = max(one for one in cores if one < number)
    return pauling_electronegativity(number), float(number - core), float(element.row)
