"""Training of the method: from labels to a model with its calibration and its card.

References
----------
C. Lapointe et al., Phys. Rev. Materials 4, 063802 (2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from screening.digest import digest_of
from screening.errors import TrainingSetError
from screening.linear_entropy.calibration import Calibration, calibrate
from screening.linear_entropy.card import model_card
from screening.linear_entropy.cells import CellRange, measure_cell, perfect_crystal
from screening.linear_entropy.labels import SpectralLabel, SpectrumKind
from screening.linear_entropy.model import LINEAR_ENTROPY
from screening.linear_entropy.model_spectrum import SHAPE
from screening.linear_entropy.moments import Moments
from screening.linear_entropy.rows import structure_of
from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.table import Progress, TrainingTable, rows_to_learn, training_table
from screening.linear_entropy.thermal_validation import (
    ThermalErrors,
    spectrum_shape,
    thermal_errors,
)
from screening.linear_entropy.validation import (
    cross_validate,
    cross_validation_errors,
    fit_all,
)
from screening.novelty import Novelty, fit_novelty, held_out_measures, lessons_of
from screening.novelty_limits import NoveltyLimits
from screening.trained_model import TrainedModel
from screening.uncertainty.conformal import fewest_groups

__all__ = ["check_training_labels", "train_entropy"]

_LARGEST_MISFIT = 0.05  # a relaxation volume strains small cells by some percent


def train_entropy(
    training: Sequence[SpectralLabel],
    settings: LinearEntropySettings,
    name: str,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a linear model of the entropy, and validate it by groups.

    Parameters
    ----------
    training
        Labels of structures at rest; for the target ``formation`` those of the perfect crystals
        as well.
    settings
        Descriptor, target and validation.
    name
        Name of the model.
    progress
        Called with a stage, how much of it is done, and how much there is.

    Returns
    -------
    TrainedModel
        With the quantiles that make intervals of its standard deviations, and a card of what
        cross-validation found.

    Raises
    ------
    TrainingSetError
        If there are too few groups, two labels of one name, labels of different kinds, or one
        that is not finite; if a perfect crystal is missing, or a cell turned against it.
    """
    check_training_labels(training, settings)
    _check_groups([label.group for label in rows_to_learn(training, settings)], settings)
    table = training_table(training, settings, progress)
    moments = cross_validate(table, progress)
    thermal = thermal_errors(table, moments)
    at_rest, limits = _at_rest(table)
    calibration = replace(
        _calibration(table, moments, thermal, settings.alpha),
        cells=_cells(training, table),
        at_rest=limits,
    )
    fits = fit_all(table)
    return TrainedModel(
        method=LINEAR_ENTROPY,
        name=name,
        elements=table.maker.elements,
        arrays=fits.as_arrays()
        | ({} if at_rest is None else at_rest.arrays())
        | ({} if thermal is None else {SHAPE: spectrum_shape(table.labels)}),
        state={
            "settings": _as_used(settings, table).as_dict(),
            "kind": str(table.labels[0].kind),
            "n_traces": len(fits.traces),
            "calibration": calibration.as_dict(),
        },
        card=_with_cells(model_card(table, moments, thermal, settings), calibration.cells),
        training_set_digest=digest_of(sorted(label.material_id for label in training)),
        n_training_samples=len(table),
    )


def _as_used(settings: LinearEntropySettings, table: TrainingTable) -> LinearEntropySettings:
    """Write out what the descriptor was made with, so that no default can change a model."""
    return replace(settings, descriptor_settings=table.maker.descriptor.settings)


def check_training_labels(
    training: Sequence[SpectralLabel], settings: LinearEntropySettings
) -> None:
    """Refuse labels that no model can be trained on.

    Raises
    ------
    TrainingSetError
        As `train_entropy` says.
    """
    if len(training) < settings.n_folds:
        raise TrainingSetError(
            f"{len(training)} structures, where cross-validation in {settings.n_folds} parts needs"
            f" {settings.n_folds} at the very least",
            subject="training",
            hint="Give some hundred structures",
        )
    kinds = Counter(label.kind for label in training)
    if len(kinds) > 1:
        raise TrainingSetError(
            f"labels of {len(kinds)} kinds ({', '.join(sorted(kinds))}) sum different modes",
            subject="training",
            hint="Train on one kind",
        )
    name, count = Counter(label.material_id for label in training).most_common(1)[0]
    if count > 1:
        raise TrainingSetError(f"{count} labels", subject=name, hint="Give each structure once")
    for label in training:
        _check_label(label)


def _check_label(label: SpectralLabel) -> None:
    if not (np.isfinite(label.log_determinant) and 0.0 < label.n_modes <= 3 * len(label.system)):
        raise TrainingSetError(
            f"ln det {label.log_determinant} of {label.n_modes} modes",
            subject=label.material_id,
            hint="Make labels by label_of or label_of_hessian",
        )
    for values in (label.site_traces_ev_per_angstrom2, label.site_log_determinants):
        if values is None:
            continue
        if values.shape != (len(label.system),) or not np.isfinite(values).all():
            raise TrainingSetError(
                f"{values.shape} values for {len(label.system)} atoms, or one that is not finite",
                subject=label.material_id,
                hint="Make labels by label_of or label_of_hessian",
            )


def _check_groups(groups: Sequence[str], settings: LinearEntropySettings) -> None:
    """Refuse what leaves nothing to validate and calibrate on."""
    needed = max(settings.n_folds, fewest_groups(settings.alpha))
    found = len(set(groups))
    if found < needed:
        raise TrainingSetError(
            f"{found} independent groups of structures, {needed} are needed at the very least",
            subject="training",
            hint="Give structures of more parents or compositions, some hundred for a good model",
        )


def _at_rest(table: TrainingTable) -> tuple[Novelty | None, NoveltyLimits | None]:
    """Learn what crystals at rest have in common; nothing of clusters and of defects."""
    if table.maker.target != "entropy" or table.labels[0].kind is SpectrumKind.CLUSTER:
        return None, None
    elements = tuple(table.maker.elements)
    order = np.argsort([label.material_id for label in table.labels])  # copies are drawn by place
    labels = [table.labels[index] for index in order.tolist()]
    lessons = lessons_of([structure_of(label.system) for label in labels], elements)
    measures = held_out_measures(lessons, elements, table.folds[order])
    return fit_novelty(lessons, elements), NoveltyLimits.of(measures)


def _cells(training: Sequence[SpectralLabel], table: TrainingTable) -> CellRange | None:
    """Measure the cells of defects in crystals; None of all else."""
    if table.maker.target != "formation":
        return None
    names = {label.origin.bulk for label in table.labels}
    crystals = {
        one.material_id: perfect_crystal(one.system) for one in training if one.material_id in names
    }
    measured = []
    for label in table.labels:
        crystal = crystals[label.origin.bulk]
        if crystal is not None:
            measured.append(measure_cell(label.system, crystal))
            _check_misfit(measured[-1].misfit, label.material_id)
    return CellRange.of(measured) if measured else None


def _check_misfit(misfit: float, name: str) -> None:
    """Refuse a cell that is turned against its perfect crystal: nothing tells its strain."""
    if not misfit <= _LARGEST_MISFIT:
        raise TrainingSetError(
            f"the cell is strained by {100.0 * misfit:.2g} % against the lattice of its perfect "
            "crystal, or turned",
            subject=name,
            hint="Give the perfect crystal in the strain and the orientation of the cell",
        )


def _with_cells(card: dict[str, Any], cells: CellRange | None) -> dict[str, Any]:
    """Say on the card which cells a model of defects is for."""
    if cells is None:
        return card
    note = f"intervals are for {cells}; values for all others stand without"
    return card | {"cells": cells.on_card(), "notes": [*card["notes"], note]}


def _calibration(
    table: TrainingTable,
    moments: Sequence[Moments],
    thermal: ThermalErrors | None,
    alpha: float,
) -> Calibration:
    """Find the quantiles of the entropy and, where there are traces, of the curves."""
    groups = [label.group for label in table.labels]
    families = [label.origin.family for label in table.labels]
    found = calibrate(
        moments,
        cross_validation_errors(table, moments),
        groups,
        families,
        alpha,
        # the leverage of a descriptor of the whole is not shared out to defects
        is_extensive=table.maker.target == "formation" and table.maker.descriptor.describes_atoms,
    )
    kind, sizes = table.labels[0].kind, [len(label.system) for label in table.labels]
    if kind is SpectrumKind.CLUSTER:
        return replace(found, cluster_sizes=(min(sizes), max(sizes)))
    if kind is SpectrumKind.ZONE_CENTRE and table.maker.target == "entropy":
        found = replace(found, sites_per_cell=(min(sizes), max(sizes)))
    if thermal is None:
        return found
    return replace(
        found,
        temperatures_k=thermal.temperatures_k,
        thermal_quantiles=thermal.quantiles(groups, alpha),
    )
