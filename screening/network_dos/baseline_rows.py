"""Scores of all baselines on one split of the labels, as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from screening.errors import InconsistentDataError
from screening.network_dos.baselines import (
    AnalyticDensity,
    Baseline,
    GivenDensity,
    MeanDensity,
    NearestNeighbours,
    ZeroDensity,
)
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel
from screening.network_dos.properties import DosSettings, dos_properties
from screening.network_dos.scalar_model import ScalarForest, label_curves
from screening.network_dos.scores import (
    SCORE_TEMPERATURES_K,
    dos_scores,
    thermal_row,
    thermal_scores,
)

__all__ = ["baseline_rows"]


def baseline_rows(
    training: Sequence[DosLabel],
    held_out: Sequence[DosLabel],
    grid: FrequencyGrid,
    seed: int = 0,
) -> dict[str, dict[str, float | int | None]]:
    """Score every baseline on crystals of other compositions: rows of a table.

    Parameters
    ----------
    training, held_out
        Labels on the grid; no group is in both.
    grid
        Their bins.
    seed
        Of the scalar model.

    Returns
    -------
    dict
        Rows ``zero``, ``mean``, ``nearest_neighbours``, ``debye``, ``born_von_karman``,
        ``scalar`` (thermodynamics alone) and, where the labels hold one, ``potential``.

    Raises
    ------
    InconsistentDataError
        If a group is in both sets.
    TrainingSetError
        As `screening.network_dos.labels.check_labels`, or of too few labels.
    """
    if shared := {one.group for one in training} & {one.group for one in held_out}:
        raise InconsistentDataError(
            "a composition is in both sets",
            subject=min(shared),
            hint="Split by whole compositions",
        )
    structures = [one.structure for one in held_out]
    reference = np.array([one.histogram for one in held_out])
    atoms = np.array([one.n_atoms for one in held_out], dtype=np.int64)
    curves = label_curves(held_out, grid, SCORE_TEMPERATURES_K)
    rows = {}
    for name, one in _fitted(training, held_out, grid).items():
        scores = dos_scores(one.predict(structures), reference, grid, atoms, curves=curves)
        rows[name] = scores.row()
    scalar = ScalarForest.fit(training, grid, SCORE_TEMPERATURES_K, seed).predict(structures)
    truth = dos_properties(reference, atoms, grid, DosSettings(temperatures_k=SCORE_TEMPERATURES_K))
    stable = np.flatnonzero(truth.stable & truth.suitable)
    rows["scalar"] = thermal_row(thermal_scores(scalar, curves, stable))
    return rows


def _fitted(
    training: Sequence[DosLabel], held_out: Sequence[DosLabel], grid: FrequencyGrid
) -> dict[str, Baseline]:
    found: dict[str, Baseline] = {
        "zero": ZeroDensity(grid),
        "mean": MeanDensity.fit(training, grid),
        "nearest_neighbours": NearestNeighbours.fit(training, grid),
        "debye": AnalyticDensity.fit(training, grid),
        "born_von_karman": AnalyticDensity.fit(training, grid, "born_von_karman"),
    }
    potential = GivenDensity.of_labels(held_out)
    return found if potential is None else found | {"potential": potential}
