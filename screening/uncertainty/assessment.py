"""What a calibration would have been worth on compositions that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from screening.errors import InconsistentDataError
from screening.quantities import Quantity
from screening.uncertainty.calibration import Calibration
from screening.uncertainty.conformal import coverage_band
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.fitting import Pair, check_resolved, fit_calibration
from screening.uncertainty.interval import Interval

__all__ = ["QuantityAssessment", "assess_calibration"]

_MAX_FOLDS = 20


@dataclass(frozen=True)
class QuantityAssessment:
    """Held-out errors and coverage of one quantity, in its unit.

    Attributes
    ----------
    quantity, alpha
        Of what, and the risk the intervals were made for.
    n_values, n_compositions
        Number of held-out crystals (or pairs of polymorphs), and of their compositions.
    mae_raw, mae_corrected
        Mean absolute error of the cheap method as it comes, and after bias correction.
    mad
        Mean absolute deviation of the reference from its mean: the error of a constant guess.
    skill
        1 - mae_corrected/mad; None where the reference is constant.
    coverage
        Fraction of held-out values inside their intervals, of those whose interval is finite;
        None where none is.
    coverage_low, coverage_high
        Where 95 % of such fractions lie if the intended coverage holds.
    finite_fraction
        Fraction of values whose interval is finite.
    median_half_width
        Of the finite intervals; None where there are none.
    """

    quantity: Quantity
    alpha: float
    n_values: int
    n_compositions: int
    mae_raw: float
    mae_corrected: float
    mad: float
    skill: float | None
    coverage: float | None
    coverage_low: float
    coverage_high: float
    finite_fraction: float
    median_half_width: float | None


@dataclass(frozen=True)
class _Row:
    composition: str
    truth: float
    raw: float
    interval: Interval


def assess_calibration(
    pairs: Sequence[Pair], quantities: Sequence[Quantity], alpha: float
) -> tuple[QuantityAssessment, ...]:
    """Calibrate without some compositions and look at them, until all had their turn.

    Parameters
    ----------
    pairs
        Cheap and better predictions, as `fit_calibration` takes them.
    quantities
        What to assess; those that no pair has are left out of the answer.
    alpha
        Risk of the intervals.
    """
    names = sorted({cheap.composition for cheap, _ in pairs})
    n_folds = min(_MAX_FOLDS, len(names))
    rows: dict[Quantity, list[_Row]] = {quantity: [] for quantity in quantities}
    for fold in range(n_folds):
        held_out = set(names[fold::n_folds])
        rest = [pair for pair in pairs if pair[0].composition not in held_out]
        new = [pair for pair in pairs if pair[0].composition in held_out]
        calibration = fit_calibration(
            rest, cheap_family="", reference_family="", quantities=quantities
        )
        for quantity in quantities:
            rows[quantity] += _rows(calibration, new, quantity, alpha)
    return tuple(_assess(quantity, found, alpha) for quantity, found in rows.items() if found)


def _rows(
    calibration: Calibration, pairs: Sequence[Pair], quantity: Quantity, alpha: float
) -> list[_Row]:
    usable = [pair for pair in pairs if all(x.thermodynamics.valid for x in pair)]
    make = _difference_row if quantity.kind.is_difference else _single_row
    units: Sequence[tuple[Pair, ...]] = (
        [pair for pair in combinations(usable, 2) if len({x[0].composition for x in pair}) == 1]
        if quantity.kind.is_difference
        else [(pair,) for pair in usable]
    )
    found = []
    for unit in units:
        try:
            found.append(make(calibration, unit, quantity, alpha))
        except InconsistentDataError:  # the reference does not have this quantity
            continue
    return found


def _single_row(
    calibration: Calibration, unit: tuple[Pair, ...], quantity: Quantity, alpha: float
) -> _Row:
    ((cheap, better),) = unit
    check_resolved(better, quantity)
    return _Row(
        cheap.composition,
        raw_value(better, quantity),
        raw_value(cheap, quantity),
        calibration.interval(cheap, quantity, alpha),
    )


def _difference_row(
    calibration: Calibration, unit: tuple[Pair, ...], quantity: Quantity, alpha: float
) -> _Row:
    (cheap, better), (other_cheap, other_better) = unit
    for one in (better, other_better):
        check_resolved(one, quantity)
    return _Row(
        cheap.composition,
        estimate_difference(better, other_better, quantity, 0.0, 1.0).value,
        estimate_difference(cheap, other_cheap, quantity, 0.0, 1.0).value,
        calibration.difference(cheap, other_cheap, quantity, alpha),
    )


def _assess(quantity: Quantity, rows: Sequence[_Row], alpha: float) -> QuantityAssessment:
    truth = np.array([row.truth for row in rows])
    corrected = float(np.mean([abs(row.interval.value - row.truth) for row in rows]))
    mad = float(np.abs(truth - truth.mean()).mean())
    finite = [row for row in rows if row.interval.is_finite]
    widths = [row.interval.half_width for row in finite]
    covered = [row.interval.lower <= row.truth <= row.interval.upper for row in finite]
    n_compositions = len({row.composition for row in rows})
    low, high = coverage_band(max(n_compositions - 1, 1), alpha, n_tested=n_compositions)
    return QuantityAssessment(
        quantity=quantity,
        alpha=alpha,
        n_values=len(rows),
        n_compositions=n_compositions,
        mae_raw=float(np.mean([abs(row.raw - row.truth) for row in rows])),
        mae_corrected=corrected,
        mad=mad,
        skill=1.0 - corrected / mad if mad > 0.0 else None,
        coverage=float(np.mean(covered)) if covered else None,
        coverage_low=low,
        coverage_high=high,
        finite_fraction=len(widths) / len(rows),
        median_half_width=float(np.median(widths)) if widths else None,
    )
