"""What a training will take, measured by its parts before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    """

    seconds: float
    memory_bytes: int

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
        return f"about {duration} and {max(self.memory_bytes / 1e9, 0.1):.1f} GB"


def training_effort(data: TrainingData) -> TrainingEffort:
    """Time one small fit of each sort, and count how many there will be and how large.

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
    return TrainingEffort(seconds, memory)


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
    """Grow a few trees on the rows of a usual pair of elements."""
    if not data.pair_rows:
        return 0.0
    settings = data.settings
    n_trees = max(settings.n_members, settings.n_trees // _FEWER_TREES)
    sizes = {kind: len(one.rows) for kind, one in data.pair_rows.items()}
    usual = sorted(sizes, key=lambda kind: sizes[kind])[len(sizes) // 2]
    few = replace(settings, n_trees=n_trees)
    every = range(settings.n_folds)
    grow(data.pair_rows[usual], every, replace(settings, n_trees=settings.n_members))  # loads it
    one = _seconds(lambda: grow(data.pair_rows[usual], every, few))
    per_row = one / max(1, sizes[usual])
    all_kinds = max(one * len(sizes), per_row * float(np.sum(list(sizes.values()))))
    choices = _n_inner(data) if len(candidates_of(settings)) > 1 else 0
    corrections = _n_inner(data) if settings.correct_spectrum else 0
    full = settings.n_trees / n_trees
    fits = settings.n_folds * (choices + full * (corrections + 1)) + full
    return fits * all_kinds
