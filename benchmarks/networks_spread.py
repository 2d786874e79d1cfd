"""What a spread of forces is worth: whether it ranks the errors, and covers them once scaled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from report import Figure

from screening.metrics import regression_scores
from screening.prediction import FloatArray

__all__ = ["norms", "spread_figures"]

RISK = 0.1


def norms(values: FloatArray) -> FloatArray:
    """Length by atom, shape (atom of any cell,)."""
    return np.asarray(np.linalg.norm(values, axis=-1).ravel())


def spread_figures(
    label: str, forces: Mapping[str, tuple[FloatArray, FloatArray, FloatArray]]
) -> list[Figure]:
    """Say what a spread of forces is worth.

    Parameters
    ----------
    label
        Where it comes from.
    forces
        By crystal: true forces, predicted ones and their deviation, each in eV/Å and of shape
        (cell, atom, 3).
    """
    figures = []
    for name, (truth, found, spread) in forces.items():
        errors, spreads = norms(found - truth), norms(spread)
        rank = regression_scores(spreads, errors).spearman
        by_size = regression_scores(norms(found), errors).spearman
        half = len(truth) // 2
        inside, factor = _calibrated_coverage(truth, found, spread, half)
        figures += [
            Figure(f"{name}: {label}, rank correlation with the error", rank, ""),
            Figure("  baseline: size of the force", by_size, ""),
            Figure(f"{name}: {label}, mean spread", 1e3 * float(spreads.mean()), "meV/Å"),
            Figure(f"{name}: {label}, mean error", 1e3 * float(errors.mean()), "meV/Å"),
            Figure(f"{name}: {label}, factor of the spread for 90 %", factor, ""),
            Figure(f"{name}: {label}, coverage of 90 % after it", inside, ""),
        ]
    return figures


def _calibrated_coverage(
    truth: FloatArray, found: FloatArray, spread: FloatArray, half: int
) -> tuple[float, float]:
    """Coverage of the second half of the cells with the factor of the first."""
    tiny = np.finfo(np.float64).tiny
    ratios = np.abs(found - truth) / np.maximum(spread, tiny)
    factor = float(np.quantile(ratios[:half], 1.0 - RISK, method="higher"))
    return float((ratios[half:] <= factor).mean()), factor
