"""Cross-validation by structure: what is chosen or corrected is so within the training folds.

For each fold the others are shared among inner folds; predictions of these choose the variant of
each pair of elements and correct the spectrum. The outer predictions then see neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mode

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.image_bonds import atomic_numbers
from screening.hessians import atomic_masses_amu, zone_centre_frequencies_thz
from screening.prediction import FloatArray
from screening.random_forest.block_models import HessianModel
from screening.random_forest.blocks import Kind, atom_pairs, blocks_of, hessians_from_blocks
from screening.random_forest.effort import training_effort
from screening.random_forest.learning import (
    TrainingData,
    best_strength,
    candidates_of,
    fit_model,
    inner_groups,
)
from screening.random_forest.ridge import weighting
from screening.random_forest.settings import Variant
from screening.random_forest.spectrum import (
    Spectrum,
    SpectrumCorrection,
    fit_correction,
    spectrum_of,
)

__all__ = ["CrossValidation", "Progress", "assemble", "cross_validate", "reference_frequencies"]

Progress = Callable[[str, int, int], None]
Choice = dict[Kind, Variant]
_STAGE = "cross-validation, {}"


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What held-out structures say.

    Attributes
    ----------
    hessians
        Prediction and members of each structure in eV/Å², shape (1 + member, 3 site + axis,
        3 site + axis), before any repair.
    spectra
        Their modes, corrected as the training folds say.
    choice, correction
        What all held-out predictions together choose and correct: for the final model.
    """

    hessians: tuple[FloatArray, ...]
    spectra: tuple[Spectrum, ...]
    choice: Choice
    correction: SpectrumCorrection


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Predictions of structures by models of every candidate."""

    indices: list[int]
    hessians: dict[Variant, list[FloatArray]]

    def chosen(self, data: TrainingData, choice: Mapping[Kind, Variant]) -> list[FloatArray]:
        """Hessians with every pair of elements by its variant."""
        if len(self.hessians) == 1:
            return next(iter(self.hessians.values()))
        return [
            assemble(
                atomic_numbers(data.hessians[index].structure),
                {variant: found[n] for variant, found in self.hessians.items()},
                choice,
            )
            for n, index in enumerate(self.indices)
        ]


def assemble(
    numbers: NDArray[np.int64],
    hessians: Mapping[Variant, FloatArray],
    choice: Mapping[Kind, Variant],
) -> FloatArray:
    """Take the blocks of each pair of elements from the Hessians of its variant."""
    blocks = {}
    for kind, variant in choice.items():
        pairs = atom_pairs(numbers, kind)
        if len(pairs):
            blocks[kind] = blocks_of(hessians[variant], pairs)
    return hessians_from_blocks(numbers, blocks, len(next(iter(hessians.values()))))


def reference_frequencies(data: TrainingData) -> list[FloatArray]:
    """Return the true frequencies of each structure in THz, ascending, without negative ones."""
    return [
        np.maximum(zone_centre_frequencies_thz(hessian, atomic_masses_amu(one.structure)), 0.0)
        for one, hessian in zip(data.hessians, data.repaired, strict=True)
    ]


def cross_validate(data: TrainingData, progress: Progress | None = None) -> CrossValidation:
    """Predict every structure by models that saw none of its fold.

    Parameters
    ----------
    data
        The training set.
    progress
        Told of every fold, and before the first one what all will take; after it again where
        that was no more than a bound.
    """
    n_folds = data.settings.n_folds
    effort = training_effort(data)
    began = time.monotonic()
    references = reference_frequencies(data)
    hessians: dict[int, FloatArray] = {}
    spectra: dict[int, Spectrum] = {}
    choices: list[Choice] = []
    for fold in range(n_folds):
        if fold == 1 and effort.is_most:
            effort = effort.after_first_fold(time.monotonic() - began, n_folds)
        if progress is not None:
            progress(_STAGE.format(effort), fold, n_folds)
        folds = [one for one in range(n_folds) if one != fold]
        strength = _strength(data, folds)
        choice, correction = _inner(data, folds, references, strength)
        choices.append(choice)
        needed = _needed(data, choice)
        held = _held_out(data, folds, [fold], needed, strength, with_members=True)
        for index, found in zip(held.indices, held.chosen(data, choice), strict=True):
            hessians[index] = found
            spectra[index] = _spectrum(data, index, found, correction)
    if progress is not None:
        progress(_STAGE.format(effort), n_folds, n_folds)
    order = range(len(data.hessians))
    return CrossValidation(
        tuple(hessians[i] for i in order),
        tuple(spectra[i] for i in order),
        {kind: mode([one[kind] for one in choices]) for kind in data.kinds},
        _correction(data, hessians, references),
    )


def _strength(data: TrainingData, folds: Sequence[int]) -> float | None:
    """Penalty of the ridge chosen within some folds, None without a ridge."""
    return best_strength(data, folds) if "tensor_ridge" in candidates_of(data.settings) else None


def _needed(data: TrainingData, choice: Choice) -> dict[Variant, list[Kind]]:
    """Which candidate answers for which pairs of elements; a ridge, being cheap, for all."""
    found: dict[Variant, list[Kind]] = {}
    for variant in candidates_of(data.settings):
        own = [kind for kind in data.kinds if choice[kind] == variant]
        kinds = list(data.kinds) if variant == "tensor_ridge" else own
        if kinds:
            found[variant] = kinds
    return found


def _inner(
    data: TrainingData,
    folds: Sequence[int],
    references: Sequence[FloatArray],
    strength: float | None,
) -> tuple[Choice, SpectrumCorrection]:
    """Choose and correct by predictions within some folds.

    Forests are compared with a fifth of their trees. Corrected are forests of all trees, since
    fewer make more noise, and noise makes soft modes softer.
    """
    candidates = candidates_of(data.settings)
    choice: Choice = dict.fromkeys(data.kinds, candidates[0])
    if len(candidates) > 1:
        every = {variant: list(data.kinds) for variant in candidates}
        choice = _choice(data, _inner_held_out(_with_fewer_trees(data), folds, every, strength))
    if not data.settings.correct_spectrum:
        return choice, SpectrumCorrection()
    held = _inner_held_out(data, folds, _needed(data, choice), strength)
    pairs = (
        found for one in held for found in zip(one.indices, one.chosen(data, choice), strict=True)
    )
    return choice, _correction(data, dict(pairs), references)


def _with_fewer_trees(data: TrainingData) -> TrainingData:
    settings = data.settings
    n_trees = max(settings.n_members, settings.n_trees // 5)
    return replace(data, settings=replace(settings, n_trees=n_trees))


def _inner_held_out(
    data: TrainingData,
    folds: Sequence[int],
    kinds: Mapping[Variant, list[Kind]],
    strength: float | None,
) -> list[_HeldOut]:
    """Predict the structures of each group of some folds by models of the other groups."""
    return [
        _held_out(data, [one for one in folds if one not in group], group, kinds, strength)
        for group in inner_groups(data, folds)
    ]


def _held_out(
    data: TrainingData,
    seen: Sequence[int],
    unseen: Sequence[int],
    kinds: Mapping[Variant, list[Kind]],
    strength: float | None,
    *,
    with_members: bool = False,
) -> _HeldOut:
    """Fit every candidate to some folds and predict the structures of others."""
    indices = [int(i) for i in np.flatnonzero(np.isin(data.folds, list(unseen)))]
    n_members = 1 + data.settings.n_members
    found: dict[Variant, list[FloatArray]] = {}
    for variant, own in kinds.items():
        block_model = fit_model(
            data, variant, seen, kinds=own, with_members=with_members, strength=strength
        )
        fewer = variant == "tensor_ridge" and not with_members
        model = HessianModel(
            {variant: block_model}, dict.fromkeys(own, variant), 1 if fewer else n_members
        )
        hessians = [model.known_part(data.hessians[index].structure) for index in indices]
        found[variant] = hessians if with_members else [one[:1] for one in hessians]
    return _HeldOut(indices, found)


def _correction(
    data: TrainingData, hessians: Mapping[int, FloatArray], references: Sequence[FloatArray]
) -> SpectrumCorrection:
    """Fit the correction of the spectrum to held-out structures."""
    if not data.settings.correct_spectrum:
        return SpectrumCorrection()
    plain = SpectrumCorrection()
    spectra = [_spectrum(data, index, found[:1], plain) for index, found in hessians.items()]
    return fit_correction(
        [one.frequencies_thz for one in spectra], [references[index] for index in hessians]
    )


def _choice(data: TrainingData, held: Sequence[_HeldOut]) -> Choice:
    """Choose for each pair of elements the variant whose blocks do the least harm."""
    candidates = candidates_of(data.settings)
    return {
        kind: min(candidates, key=lambda variant: _block_error(data, held, kind, variant))
        for kind in data.kinds
    }


def _block_error(
    data: TrainingData, held: Sequence[_HeldOut], kind: Kind, variant: Variant
) -> float:
    """Error of the Hessians if only the blocks of a pair of elements were wrong.

    Measured as the ridge measures it: by squares in units of the Hessian itself where soft modes
    are to be right, else by absolute components in eV/Å².
    """
    settings = data.settings
    total = 0.0
    for one in held:
        for index, found in zip(one.indices, one.hessians[variant], strict=True):
            numbers = atomic_numbers(data.hessians[index].structure)
            pairs = atom_pairs(numbers, kind)
            errors = blocks_of(found[:1] - data.repaired[index], pairs)
            if settings.emphasis == "components":
                total += float(np.abs(errors).sum())
            elif len(pairs):
                weights = weighting(data.repaired[index], "soft_modes", settings.soft_mode_floor)
                whole = hessians_from_blocks(numbers, {kind: errors}, 1)[0]
                total += float(((weights.T @ whole @ weights) ** 2).sum())
    return total


def _spectrum(
    data: TrainingData, index: int, hessians: FloatArray, correction: SpectrumCorrection
) -> Spectrum:
    masses = atomic_masses_amu(data.hessians[index].structure)
    return spectrum_of(hessians, masses, data.settings.repair_order, correction)
