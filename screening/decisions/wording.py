"""Numbers and intervals in the words of a decision."""

from __future__ import annotations

import math
from typing import Any

from screening.decisions.questions import number_text
from screening.uncertainty.interval import Interval

__all__ = ["interval_content", "interval_text", "percent", "rounded", "window_text"]


def rounded(value: float) -> str:
    """Four significant digits, enough for people."""
    return "unbounded" if math.isinf(value) else f"{value:.4g}"


def percent(fraction: float) -> str:
    """Percentage, such as ``90 %``."""
    return f"{100.0 * fraction:.4g} %"


def interval_text(interval: Interval) -> str:
    """Quantity, value, unit and interval, such as ``entropy at 300 K: 0.14 meV/K/atom [...]``."""
    quantity = interval.quantity
    kind = quantity.kind.value.replace("_", " ")
    where = "" if quantity.temperature_k is None else f" at {number_text(quantity.temperature_k)} K"
    value = f"{kind}{where} is {rounded(interval.value)} {quantity.unit}"
    if interval.lower == interval.upper:
        return value
    if math.isinf(interval.lower) and math.isinf(interval.upper):
        return f"{value}, not calibrated"
    lower, upper = rounded(interval.lower), rounded(interval.upper)
    return f"{value} [{lower}, {upper}] ({percent(interval.coverage)})"


def interval_content(interval: Interval) -> dict[str, Any]:
    """Plain JSON of an interval, open ends as None."""
    ends = {"lower": interval.lower, "upper": interval.upper}
    return {
        "quantity": interval.quantity.name,
        "value": interval.value,
        **{name: end if math.isfinite(end) else None for name, end in ends.items()},
        "coverage": interval.coverage,
    }


def window_text(lowest_k: float, highest_k: float) -> str:
    """Words for a run of temperatures."""
    if lowest_k == highest_k:
        return f"at {number_text(lowest_k)} K"
    return f"from {number_text(lowest_k)} to {number_text(highest_k)} K"
