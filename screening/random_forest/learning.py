"""Fitting models of blocks to the Hessians of some folds of a training set.

A structure belongs to one fold with all of its pairs: blocks of one structure are near copies of
each other, and folds of rows would let a model see what it is tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from screening.acoustic import acoustic_mask
from screening.descriptors.image_bonds import atomic_numbers
from screening.hessians import (
    ZERO_MODE_FRACTION,
    ZoneCentreHessian,
    atomic_masses_amu,
    repair_hessian,
    without_translations,
    zone_centre_frequencies_thz,
)
from screening.prediction import FloatArray
from screening.random_forest.block_models import BlockModel, HessianModel, PairForests, TensorRidge
from screening.random_forest.blocks import Kind, atom_pairs, blocks_of, kinds_of, on_site_of
from screening.random_forest.features import ForestCell, PairFeatures, rows_of, targets_of
from screening.random_forest.ridge import NormalEquations, normal_equations, weighting
from screening.random_forest.settings import RandomForestSettings, Variant
from screening.random_forest.tensors import TensorCell, TensorLayout, tensor_layout
from screening.random_forest.trees import Forest, grow_forest
from screening.uncertainty.conformal import fewest_groups

__all__ = [
    "TrainingData",
    "best_strength",
    "candidates_of",
    "fit_model",
    "fold_groups",
    "grow",
    "inner_groups",
    "training_data",
]

Folds = Sequence[int]
_LEAST_THZ = 1e-3  # of a crystal without any mode above zero
_MANY_KINDS = 10  # of pairs of elements: more ask for more forests in every inner fold
_FEW_INNER_FOLDS = 2


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one forest with the fold that each belongs to."""

    rows: FloatArray
    targets: FloatArray
    folds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A training set, described once for all fits.

    Attributes
    ----------
    hessians
        The structures with their Hessians.
    repaired
        The same Hessians with the sum rule and without negative modes, in eV/Å².
    folds
        Fold of each structure, shape (structure,).
    groups
        Which structures count as one and share a fold: those of one formula where there are
        enough formulas, else each stands alone.
    elements, kinds
        Atomic numbers, and the pairs of elements that occur.
    settings, layout
        What is learned how.
    equations
        Normal equations of the ridge for each fold; empty without a ridge.
    pair_rows, site_rows
        Rows of the forests; empty without forests.
    solved
        Coefficients of the ridge that are known, by folds and penalty: choices and corrections
        ask for the same ones.
    """

    hessians: tuple[ZoneCentreHessian, ...]
    repaired: tuple[FloatArray, ...]
    folds: NDArray[np.int64]
    groups: tuple[str, ...]
    elements: tuple[int, ...]
    kinds: tuple[Kind, ...]
    settings: RandomForestSettings
    layout: TensorLayout
    equations: tuple[NormalEquations, ...] = ()
    pair_rows: dict[Kind, _Rows] = field(default_factory=dict)
    site_rows: dict[int, _Rows] = field(default_factory=dict)
    solved: dict[tuple[tuple[int, ...], float], FloatArray] = field(default_factory=dict)


def candidates_of(settings: RandomForestSettings) -> tuple[Variant, ...]:
    """Return the variants that are fitted: both that turn with the crystal for ``auto``."""
    return ("tensor_ridge", "rf_frame") if settings.variant == "auto" else (settings.variant,)


def fold_groups(folds: Folds, n_groups: int) -> list[list[int]]:
    """Share folds among groups, as many as there are folds at most."""
    every = list(folds)
    return [every[start::n_groups] for start in range(min(n_groups, len(every)))]


def inner_groups(data: TrainingData, folds: Folds) -> list[list[int]]:
    """Share folds among the inner ones: as many as asked for, two where kinds are many."""
    many = len(data.kinds) > _MANY_KINDS
    return fold_groups(folds, _FEW_INNER_FOLDS if many else data.settings.n_inner_folds)


def training_data(
    hessians: Sequence[ZoneCentreHessian], settings: RandomForestSettings
) -> TrainingData:
    """Describe a training set, and share its structures among folds at random."""
    groups = _groups(hessians, settings)
    names = sorted(set(groups))
    order = np.random.default_rng(settings.seed).permutation(len(names))
    fold_of = {names[at]: place % settings.n_folds for place, at in enumerate(order)}
    folds = np.array([fold_of[one] for one in groups], dtype=np.int64)
    numbers = [atomic_numbers(one.structure) for one in hessians]
    elements = tuple(sorted({int(n) for one in numbers for n in one}))
    kinds = tuple(
        kind for kind in kinds_of(elements) if any(len(atom_pairs(one, kind)) for one in numbers)
    )
    repaired = tuple(
        repair_hessian(np.asarray(one.hessian_ev_per_angstrom2)).hessian for one in hessians
    )
    layout = tensor_layout(elements, settings)
    data = TrainingData(tuple(hessians), repaired, folds, groups, elements, kinds, settings, layout)
    candidates = candidates_of(settings)
    if "tensor_ridge" in candidates:
        data = replace(data, equations=_equations(data))
    forest = [one for one in candidates if one != "tensor_ridge"]
    return _with_rows(data, forest[0]) if forest else data


def _groups(
    hessians: Sequence[ZoneCentreHessian], settings: RandomForestSettings
) -> tuple[str, ...]:
    """Group polymorphs of one formula, which err alike, where formulas are enough to calibrate."""
    formulas = tuple(one.structure.composition.reduced_formula for one in hessians)
    least = max(settings.n_folds, fewest_groups(1.0 - settings.coverage))
    if len(set(formulas)) >= least:
        return formulas
    width = len(str(len(hessians)))
    return tuple(f"structure {index:0{width}d}" for index in range(len(hessians)))


def _equations(data: TrainingData) -> tuple[NormalEquations, ...]:
    """Add up the normal equations of each fold."""
    found: dict[int, NormalEquations] = {}
    settings = data.settings
    for one, hessian, fold in zip(data.hessians, data.repaired, data.folds, strict=True):
        cell = TensorCell(one.structure, data.layout)
        tensors = {kind: cell.tensors(kind) for kind in data.kinds}
        weights = weighting(hessian, settings.emphasis, settings.soft_mode_floor)
        own = normal_equations(cell.numbers, tensors, data.kinds, hessian, weights)
        found[int(fold)] = found[int(fold)] + own if int(fold) in found else own
    return tuple(found[fold] for fold in range(settings.n_folds))


def _with_rows(data: TrainingData, variant: Variant) -> TrainingData:
    """Add the rows of the forests."""
    pairs: dict[Kind, list[_Rows]] = {kind: [] for kind in data.kinds}
    sites: dict[int, list[_Rows]] = {number: [] for number in data.elements}
    for one, fold in zip(data.hessians, data.folds, strict=True):
        cell = ForestCell(one.structure, data.elements, data.settings)
        hessian = np.asarray(one.hessian_ev_per_angstrom2)
        for kind in data.kinds:
            chosen = atom_pairs(cell.numbers, kind)
            rows = _rows(cell.pairs(chosen), blocks_of(hessian, chosen), variant, data, fold)
            pairs[kind].append(rows)
        if data.settings.on_site == "model":
            for number in np.unique(cell.numbers):
                chosen = np.flatnonzero(cell.numbers == number)
                blocks = on_site_of(hessian)[chosen]
                own = _rows(cell.sites(chosen), blocks, variant, data, fold)
                sites[int(number)].append(own)
    return replace(
        data,
        pair_rows={kind: _joined(rows) for kind, rows in pairs.items()},
        site_rows={number: _joined(rows) for number, rows in sites.items() if rows},
    )


def _rows(
    features: PairFeatures, blocks: FloatArray, variant: Variant, data: TrainingData, fold: int
) -> _Rows:
    radii = data.settings.radii_angstrom
    rows = rows_of(features, variant, radii)
    targets = targets_of(features, blocks, variant, radii)
    return _Rows(rows, targets, np.full(len(rows), fold, dtype=np.int64))


def _joined(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(
        np.concatenate([one.rows for one in parts]),
        np.concatenate([one.targets for one in parts]),
        np.concatenate([one.folds for one in parts]),
    )


def fit_model(
    data: TrainingData,
    variant: Variant,
    folds: Folds,
    *,
    kinds: Sequence[Kind],
    with_members: bool = True,
    strength: float | None = None,
) -> BlockModel:
    """Fit one variant to some folds.

    Parameters
    ----------
    data
        The training set.
    variant
        What to fit; its rows or equations must be among the data.
    folds
        Which folds it sees; choices within it see no others.
    kinds
        Pairs of elements that it is asked about; others may be left out.
    with_members
        Whether the spread is wanted; forests always have it.
    strength
        Penalty of the ridge; None chooses it within these folds.
    """
    if variant == "tensor_ridge":
        return _fit_ridge(data, folds, strength, with_members=with_members)
    return PairForests(
        variant,
        data.elements,
        data.settings,
        {kind: grow(data.pair_rows[kind], folds, data.settings) for kind in kinds},
        {n: grow(rows, folds, data.settings) for n, rows in data.site_rows.items()},
    )


def grow(rows: _Rows, folds: Folds, settings: RandomForestSettings) -> Forest:
    """Grow the forest of one pair of elements, or of one element, on some folds."""
    seen = np.isin(rows.folds, list(folds))
    if not seen.any():  # a pair of elements of few structures: none of them is in these folds
        seen = np.ones(1, dtype=bool)
        rows = _Rows(rows.rows[:1], np.zeros_like(rows.targets[:1]), rows.folds[:1])
    return grow_forest(
        rows.rows[seen],
        rows.targets[seen],
        n_trees=settings.n_trees,
        max_features=settings.max_features,
        seed=settings.seed,
        n_jobs=settings.n_jobs,
    )


def _sum(data: TrainingData, folds: Folds) -> NormalEquations:
    return reduce(add, (data.equations[fold] for fold in folds))


def _solve(data: TrainingData, folds: Folds, strengths: Sequence[float]) -> list[FloatArray]:
    """Coefficients for each penalty, shape (tensor of any pair of elements,)."""
    seen = tuple(sorted(folds))
    if missing := [one for one in strengths if (seen, one) not in data.solved]:
        equations = _sum(data, seen)
        data.solved.update({(seen, one): equations.solve(one) for one in missing})
    return [data.solved[seen, one] for one in strengths]


def _fit_ridge(
    data: TrainingData, folds: Folds, strength: float | None, *, with_members: bool
) -> TensorRidge:
    """Fit all of these folds, then without each group of them."""
    strength = best_strength(data, folds) if strength is None else strength
    fitted = _solve(data, folds, [strength])
    if with_members:
        groups = fold_groups(folds, data.settings.n_members)
        left = [[fold for fold in folds if fold not in group] for group in groups]
        fitted += [one for some in left for one in _solve(data, some, [strength])]
    return _ridge(data, np.stack(fitted))


def _ridge(data: TrainingData, coefficients: FloatArray) -> TensorRidge:
    """Share coefficients (member, tensor of any pair of elements) among pairs of elements."""
    cuts = np.cumsum([data.layout.n_tensors(kind) for kind in data.kinds])[:-1]
    parts = np.split(coefficients, cuts, axis=1)
    return TensorRidge(data.layout, dict(zip(data.kinds, parts, strict=True)))


def best_strength(data: TrainingData, folds: Folds) -> float:
    """Choose the penalty of the ridge by what groups of some folds say of each other.

    Where components are learned their squares decide. Where soft modes are, it is the mean
    logarithm of the frequencies, which an entropy is made of, apart from what all structures
    have in common: that is corrected afterwards.
    """
    strengths = data.settings.ridge_strengths
    if len(strengths) == 1 or len(folds) == 1:
        return strengths[len(strengths) // 2]
    errors: list[FloatArray] = []
    for group in inner_groups(data, folds):
        rest = [fold for fold in folds if fold not in group]
        fitted = np.stack(_solve(data, rest, strengths))
        if data.settings.emphasis == "components":
            errors.append(np.array([[_sum(data, group).loss(one) for one in fitted]]))
        else:
            errors.append(_logarithm_errors(data, group, fitted))
    every = np.concatenate(errors)
    if data.settings.emphasis == "components":
        return strengths[int(np.argmin(every.sum(axis=0)))]
    return strengths[int(np.argmin(np.abs(every - np.median(every, axis=0)).mean(axis=0)))]


def _logarithm_errors(data: TrainingData, folds: Folds, coefficients: FloatArray) -> FloatArray:
    """Errors of the mean logarithm of frequencies, shape (structure, member)."""
    choice: dict[Kind, Variant] = dict.fromkeys(data.kinds, "tensor_ridge")
    model = HessianModel({"tensor_ridge": _ridge(data, coefficients)}, choice, len(coefficients))
    errors = []
    for index in np.flatnonzero(np.isin(data.folds, list(folds))):
        one = data.hessians[index].structure
        masses = atomic_masses_amu(one)
        found = model.hessians(one)
        truth = _mean_logarithm(zone_centre_frequencies_thz(data.repaired[index], masses))
        errors.append(
            [
                _mean_logarithm(zone_centre_frequencies_thz(without_translations(x), masses))
                - truth
                for x in found
            ]
        )
    return np.array(errors)


def _mean_logarithm(frequencies_thz: FloatArray) -> float:
    """Mean over the optical modes; negative and zero ones count as one hundredth of the highest."""
    least = max(ZERO_MODE_FRACTION * float(frequencies_thz.max()), _LEAST_THZ)
    rigid = acoustic_mask(frequencies_thz[None], np.array([True]))[0]
    return float(np.log(np.maximum(frequencies_thz[~rigid], least)).mean())
