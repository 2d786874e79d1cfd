"""Pairs of atoms by their elements, and Hessians put together from the blocks of pairs.

A pair of elements ``(a, b)`` with ``a <= b`` owns the ordered pairs of atoms whose first atom is
of element a and whose second is of element b; of two atoms of one element the one with the
smaller index is the first. The block of the pair in reverse is the transpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from screening.hessians import on_site_from_sum_rule
from screening.prediction import FloatArray

__all__ = [
    "Kind",
    "atom_pairs",
    "blocks_of",
    "hessians_from_blocks",
    "kind_name",
    "kinds_among",
    "kinds_of",
    "on_site_of",
    "with_on_site",
]

IntArray = NDArray[np.int64]
Kind = tuple[int, int]
"""Atomic numbers of a pair of elements, ascending."""


def kinds_of(elements: Iterable[int]) -> tuple[Kind, ...]:
    """Return all pairs of some elements.

    Examples
    --------
    >>> kinds_of([19, 9])
    ((9, 9), (9, 19), (19, 19))
    """
    return tuple(combinations_with_replacement(sorted(elements), 2))


def kinds_among(numbers: IntArray) -> tuple[Kind, ...]:
    """Return the pairs of elements that have a pair of atoms, of atomic numbers (site,).

    Examples
    --------
    >>> kinds_among(np.array([19, 9, 9]))
    ((9, 9), (9, 19))
    """
    counts = Counter(numbers.tolist())
    return tuple((a, b) for a, b in kinds_of(counts) if a != b or counts[a] > 1)


def kind_name(kind: Kind) -> str:
    """Name a pair of elements, as in the arrays of a model.

    Examples
    --------
    >>> kind_name((9, 19))
    '9-19'
    """
    return f"{kind[0]}-{kind[1]}"


def atom_pairs(numbers: IntArray, kind: Kind) -> IntArray:
    """Return the pairs of atoms of a pair of elements, shape (pair, 2)."""
    first, second = np.flatnonzero(numbers == kind[0]), np.flatnonzero(numbers == kind[1])
    if kind[0] == kind[1]:
        upper = np.triu_indices(len(first), 1)
        return np.stack([first[upper[0]], first[upper[1]]], axis=1)
    return np.stack([first.repeat(len(second)), np.tile(second, len(first))], axis=1)


def _as_blocks(hessian: FloatArray) -> FloatArray:
    """View a Hessian as shape (..., site, site, 3, 3)."""
    n_sites = hessian.shape[-1] // 3
    return hessian.reshape(*hessian.shape[:-2], n_sites, 3, n_sites, 3).swapaxes(-3, -2)


def blocks_of(hessian: FloatArray, pairs: IntArray) -> FloatArray:
    """Cut the blocks of pairs of atoms out of a Hessian, shape (..., pair, 3, 3)."""
    return np.asarray(_as_blocks(hessian)[..., pairs[:, 0], pairs[:, 1], :, :])


def on_site_of(hessian: FloatArray) -> FloatArray:
    """Cut the blocks of single atoms out of a Hessian, shape (..., site, 3, 3)."""
    sites = np.arange(hessian.shape[-1] // 3)
    return np.asarray(_as_blocks(hessian)[..., sites, sites, :, :])


def hessians_from_blocks(
    numbers: IntArray,
    blocks: Mapping[Kind, FloatArray],
    n_members: int,
    on_site: FloatArray | None = None,
) -> FloatArray:
    """Put Hessians together.

    Parameters
    ----------
    numbers
        Atomic numbers of the sites, shape (site,).
    blocks
        Blocks of the pairs of `atom_pairs` for each pair of elements in eV/Å², shape
        (member, pair, 3, 3).
    n_members
        Number of members.
    on_site
        Blocks of single atoms in eV/Å², shape (member, site, 3, 3); None for the acoustic sum
        rule.

    Returns
    -------
    ndarray
        Symmetric, in eV/Å², shape (member, 3 site + axis, 3 site + axis).
    """
    n_sites = len(numbers)
    half = np.zeros((n_members, 3 * n_sites, 3 * n_sites))
    for kind, found in blocks.items():
        first, second = atom_pairs(numbers, kind).T
        _as_blocks(half)[:, first, second] = found
    hessians = half + half.swapaxes(1, 2)
    if on_site is None:
        return on_site_from_sum_rule(hessians)
    return with_on_site(hessians, on_site)


def with_on_site(hessians: FloatArray, on_site: FloatArray) -> FloatArray:
    """Write blocks of single atoms (member, site, 3, 3) into a copy, made symmetric."""
    copy = hessians.copy()
    sites = np.arange(on_site.shape[1])
    _as_blocks(copy)[:, sites, sites] = 0.5 * (on_site + on_site.swapaxes(-1, -2))
    return copy
