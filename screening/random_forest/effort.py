"""What a training will take, measured by its parts before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from screening.random_forest.blocks import atom_pairs
from screening.random_forest.features import ForestCell
from screening.random_forest.learning import TrainingData, candidates_of, grow, inner_groups
from screening.random_forest.ridge import NormalEquations
from screening.random_forest.tensors import TensorCell

__all__ = ["TrainingEffort", "training_effort"]

_PROBE = 400  # coefficients that are solved for to know the speed of this machine
_MATRICES_AT_WORK = 3  # a sum over folds, scaled, factorised
_FEWER_TREES = 5  # as `screening.random_forest.validation` compares forests
_MORE_TREES = 16  # than a fit that shows what starting takes
_MINUTE_S, _HOUR_S = 60.0, 3600.0


@dataclass(frozen=True)
class TrainingEffort:
    """An estimate, good to a factor of about two.

    Attributes
    ----------
    seconds
        Of cross-validation and of the fit to all structures.
    memory_bytes
        Of the normal equations and of the rows of forests.
    is_most
        Whether fits are counted that may not be needed, because nothing is chosen yet.
    """

    seconds: float
    memory_bytes: int
    is_most: bool = False

    def __str__(self) -> str:
        """Return what people read.

        Examples
        --------
        >>> print(TrainingEffort(150.0, 1_300_000_000))
        about 3 min and 1.3 GB
        """
        if self.seconds < _MINUTE_S:
            duration = f"{max(1, round(self.seconds))} s"
        elif self.seconds < _HOUR_S:
            duration = f"{int(self.seconds // _MINUTE_S) + 1} min"
        else:
            duration = f"{self.seconds / _HOUR_S:.1f} h"
        bound = "at most" if self.is_most else "about"
        return f"{bound} {duration} and {max(self.memory_bytes / 1e9, 0.1):.1f} GB"

    def after_first_fold(self, seconds: float, n_folds: int) -> TrainingEffort:
        """Return what is known when one of all folds has taken some seconds."""
        return TrainingEffort(seconds * n_folds, self.memory_bytes)


def training_effort(data: TrainingData) -> TrainingEffort:
    """Time small fits of each sort, and count how many there will be and how large.

    Where forests are one of several candidates, as many are counted as if they were chosen for
    every pair of elements: then it is the most that there will be.

    Parameters
    ----------
    data
        The training set, described.
    """
    rows = [*data.pair_rows.values(), *data.site_rows.values()]
    memory = sum(one.rows.nbytes + one.targets.nbytes for one in rows)
    if data.equations:
        size = data.equations[0].products.nbytes
        memory += (len(data.equations) + _MATRICES_AT_WORK) * size
    seconds = _ridge_seconds(data) + _forest_seconds(data) + _prediction_seconds(data)
    return TrainingEffort(seconds, memory, is_most=len(candidates_of(data.settings)) > 1)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _n_inner(data: TrainingData) -> int:
    return len(inner_groups(data, range(data.settings.n_folds)))


def _ridge_seconds(data: TrainingData) -> float:
    """Solve for some coefficients; all take the cube of their number over that."""
    if not data.equations:
        return 0.0
    settings, whole = data.settings, data.equations[0]
    size = min(_PROBE, len(whole.targets))
    part = NormalEquations(whole.products[:size, :size], whole.targets[:size], whole.squares)
    part.solve(settings.ridge_strengths[0])  # the first call loads the library
    one = _seconds(lambda: part.solve(settings.ridge_strengths[0]))
    inner = _n_inner(data) * len(settings.ridge_strengths)
    n_solves = (settings.n_folds + 1) * (inner + 1 + settings.n_members)
    return n_solves * one * (len(whole.targets) / size) ** 3


def _prediction_seconds(data: TrainingData) -> float:
    """Describe a usual crystal as a prediction does: each is predicted in every inner part."""
    sizes = [len(one.structure) for one in data.hessians]
    usual = data.hessians[int(np.argsort(sizes)[len(sizes) // 2])].structure
    candidates = candidates_of(data.settings)
    one = 0.0
    if data.equations:
        one += _seconds(lambda: _describe(TensorCell(usual, data.layout), data))
    if data.pair_rows:
        one += _seconds(
            lambda: _describe_rows(ForestCell(usual, data.elements, data.settings), data)
        )
    asked = (len(candidates) > 1) + data.settings.correct_spectrum
    asked += bool(data.equations) and len(data.settings.ridge_strengths) > 1
    return one * len(sizes) * (asked * (data.settings.n_folds - 1) + 1)


def _describe(cell: TensorCell, data: TrainingData) -> None:
    for kind in data.kinds:
        cell.tensors(kind)


def _describe_rows(cell: ForestCell, data: TrainingData) -> None:
    for kind in data.kinds:
        cell.pairs(atom_pairs(cell.numbers, kind))


def _forest_seconds(data: TrainingData) -> float:
    """Count the forests of all folds, each of the rows that it sees.

    Choices take a fifth of the trees, of every pair of elements. Corrections and scores take all
    trees, of the pairs of elements that choose the forest: all of them are counted.
    """
    if not data.pair_rows:
        return 0.0
    settings = data.settings
    n_forests = len(data.pair_rows) + len(data.site_rows)
    n_rows = sum(len(one.rows) for one in (*data.pair_rows.values(), *data.site_rows.values()))
    start, tree_row = _forest_speed(data)

    def grown(n_trees: int, share: float) -> float:
        return n_forests * start + n_trees * share * n_rows * tree_row

    outer, n_inner = 1.0 - 1.0 / settings.n_folds, _n_inner(data)
    inner = outer * (1.0 - 1.0 / n_inner)
    fold = grown(settings.n_trees, outer)
    if len(candidates_of(settings)) > 1:
        fewer = max(settings.n_members, settings.n_trees // _FEWER_TREES)
        fold += n_inner * grown(fewer, inner)
    if settings.correct_spectrum:
        fold += n_inner * grown(settings.n_trees, inner)
    return settings.n_folds * fold + grown(settings.n_trees, 1.0)


def _forest_speed(data: TrainingData) -> tuple[float, float]:
    """Seconds to start a forest, and of each tree and row, from a usual pair of elements."""
    settings = data.settings
    by_size = sorted(data.pair_rows.values(), key=lambda one: len(one.rows))
    usual = by_size[len(by_size) // 2]
    counts = (settings.n_members, settings.n_members + _MORE_TREES)
    few, many = (replace(settings, n_trees=count) for count in counts)
    every = range(settings.n_folds)
    grow(usual, every, few)  # the first call loads the library
    less, more = (_seconds(partial(grow, usual, every, one)) for one in (few, many))
    tree = max(0.0, more - less) / _MORE_TREES
    return max(0.0, less - counts[0] * tree), tree / max(1, len(usual.rows))
