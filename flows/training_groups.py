"""What belongs together in a training set, so that nothing is tested on its twin.

Scores and intervals are of structures whose group the model never saw. With many compositions a
group is a composition, because polymorphs of one are alike; with few it is a structure with its
near copies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

__all__ = ["FEWEST_FORMULAS", "Grouping", "grouping_of", "twins_of"]

FEWEST_FORMULAS = 30
"""With so many compositions each is a group of its own: fewer calibrate nothing."""


@dataclass(frozen=True)
class Grouping:
    """Groups of structures.

    Attributes
    ----------
    by
        ``formula`` or ``structure``.
    groups
        Name of the group of each structure.
    """

    by: str
    groups: tuple[str, ...]


def grouping_of(names: Sequence[str], structures: Sequence[Structure]) -> Grouping:
    """Group structures by formula where there are many, else with their near copies.

    Parameters
    ----------
    names, structures
        Keys of the materials, and their cells.

    Returns
    -------
    Grouping
        Of every structure, in their order.
    """
    formulas = tuple(one.composition.reduced_formula for one in structures)
    if len(set(formulas)) >= FEWEST_FORMULAS:
        return Grouping("formula", formulas)
    return Grouping("structure", twins_of(names, structures))


def twins_of(names: Sequence[str], structures: Sequence[Structure]) -> tuple[str, ...]:
    """Name the first of the structures that each one is connected to by near copies.

    Two that are no copies of each other, but both of a third one, are of one group.

    Parameters
    ----------
    names, structures
        Keys of the materials, and their cells.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = _near_copies(structures)
    count = len(structures)
    links = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    first: dict[int, str] = {}
    return tuple(first.setdefault(int(one), name) for one, name in zip(labels, names, strict=True))


def _near_copies(structures: Sequence[Structure]) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Find pairs of structures that a fingerprint cannot tell apart, shape (pair, 2)."""
    from screening.descriptors.fingerprint import (
        DEFAULT_THRESHOLD,
        fingerprint,
        fingerprint_distance,
    )

    alike: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(structures):
        alike[one.composition.reduced_formula].append(index)
    found = []
    for members in alike.values():
        own = {index: fingerprint(structures[index]) for index in members} if members[1:] else {}
        found += [
            (a, b)
            for place, a in enumerate(members)
            for b in members[:place]
            if fingerprint_distance(own[a], own[b]) < DEFAULT_THRESHOLD
        ]
    return np.array(found, dtype=np.intp).reshape(-1, 2)
