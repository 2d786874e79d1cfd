"""A calibration as plain JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.errors import InconsistentDataError, SettingError
from screening.prediction import FloatArray, frozen_array
from screening.uncertainty.correction import CorrectionPrior, ScaleCorrection
from screening.uncertainty.descriptors import CORRECTION_FEATURES, DOMAIN_FEATURES
from screening.uncertainty.domain import Domain
from screening.uncertainty.risk import LowestFrequencies
from screening.uncertainty.scores import ScoreTable

if TYPE_CHECKING:
    from screening.uncertainty.calibration import Calibration

__all__ = ["FORMAT", "calibration_as_dict", "calibration_from_dict"]

FORMAT = "phonoscreen calibration 1"
"""Name and version of the format."""

_DECIMALS = 10  # of all numbers: far below any error, and the same on every machine


def calibration_as_dict(calibration: Calibration) -> dict[str, Any]:
    """Plain finite JSON; numbers are rounded to ten decimals."""
    correction, domain = calibration.correction, calibration.domain
    return {
        "format": FORMAT,
        "cheap_family": calibration.cheap_family,
        "reference_family": calibration.reference_family,
        "correction": {
            "features": _plain(correction.features.tolist()),
            "compositions": list(correction.compositions),
            "log_scales": _plain(correction.log_scales.tolist()),
            "prior": asdict(correction.prior),
        },
        "domain": {
            "features": _plain(domain.features.tolist()),
            "compositions": list(domain.compositions),
            "reach": round(domain.reach, _DECIMALS),
        },
        "tables": {
            name: {
                "scores": _plain(table.scores),
                "compositions": list(table.compositions),
                "classes": list(table.classes),
                "units": list(table.units),
            }
            for name, table in sorted(calibration.tables.items())
        },
        "shares": {k: round(v, _DECIMALS) for k, v in sorted(calibration.shares.items())},
        "lowest_frequencies": {
            name: _plain(values) for name, values in asdict(calibration.lowest_frequencies).items()
        },
        "material_ids": list(calibration.material_ids),
        "skipped": dict(sorted(calibration.skipped.items())),
    }


def calibration_from_dict(values: Mapping[str, Any]) -> Calibration:
    """Read a calibration.

    Raises
    ------
    InconsistentDataError
        If it is none, of another version of the format, or its parts contradict each other.
    """
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise InconsistentDataError(
            f"is no calibration of the format {FORMAT!r}",
            hint="Make it with phonoscreen calibrate",
        )
    try:
        return _read(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SettingError) as error:
        raise InconsistentDataError(
            f"a calibration that cannot be read: {error!r}",
            hint="Make it anew with phonoscreen calibrate",
        ) from error


def _read(values: Mapping[str, Any]) -> Calibration:
    from screening.uncertainty.calibration import Calibration

    correction, domain = values["correction"], values["domain"]
    calibrated, placed = _names(correction["compositions"]), _names(domain["compositions"])
    return Calibration(
        cheap_family=_name(values["cheap_family"]),
        reference_family=_name(values["reference_family"]),
        correction=ScaleCorrection(
            _matrix(correction["features"], len(calibrated), len(CORRECTION_FEATURES)),
            calibrated,
            frozen_array(_numbers(correction["log_scales"], len(calibrated))),
            CorrectionPrior(**{name: _number(x) for name, x in correction["prior"].items()}),
        ),
        domain=Domain(
            _matrix(domain["features"], len(placed), len(DOMAIN_FEATURES)),
            placed,
            _not_negative(domain["reach"]),
        ),
        tables={_name(name): _table(table) for name, table in values["tables"].items()},
        shares={_name(name): _number(share) for name, share in values["shares"].items()},
        lowest_frequencies=_lowest_frequencies(values["lowest_frequencies"]),
        material_ids=_names(values["material_ids"]),
        skipped={_name(name): _count(found) for name, found in values["skipped"].items()},
    )


def _table(values: Mapping[str, Any]) -> ScoreTable:
    compositions, classes = _names(values["compositions"]), _names(values["classes"])
    scores = tuple(_not_negative(x) for x in _numbers(values["scores"], len(compositions)))
    units = _names(values["units"])
    if not len(classes) == len(units) == len(scores):
        raise ValueError(f"{len(scores)} scores of {len(classes)} classes and {len(units)} units")
    return ScoreTable(scores, compositions, classes, units)


def _lowest_frequencies(values: Mapping[str, Any]) -> LowestFrequencies:
    stable, unstable = (_names(values[f"{kind}_compositions"]) for kind in ("stable", "unstable"))
    return LowestFrequencies(
        stable_thz=_numbers(values["stable_thz"], len(stable)),
        stable_compositions=stable,
        unstable_thz=_numbers(values["unstable_thz"], len(unstable)),
        unstable_compositions=unstable,
    )


def _plain(values: Any) -> Any:
    """Round the numbers in nested lists, leave names as they are."""
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return round(values, _DECIMALS) if isinstance(values, float) else values


def _matrix(rows: object, n_rows: int, n_columns: int) -> FloatArray:
    """Rows of features; none have their columns too."""
    found = [_numbers(row, n_columns) for row in _items(rows, n_rows)]
    return frozen_array(np.reshape(found, (n_rows, n_columns)))


def _numbers(values: object, length: int) -> tuple[float, ...]:
    return tuple(_number(value) for value in _items(values, length))


def _names(values: object) -> tuple[str, ...]:
    return tuple(_name(value) for value in _items(values))


def _items(values: object, length: int | None = None) -> Sequence[object]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{values!r:.50} is no list")
    if length is not None and len(values) != length:
        raise ValueError(f"{len(values)} values where {length} belong")
    return values


def _number(value: object) -> float:
    """JSON has booleans and strings that Python would take for numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.50} is no number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)


def _not_negative(value: object) -> float:
    found = _number(value)
    if found < 0.0:
        raise ValueError(f"{found} is negative")
    return found


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r:.50} is no count")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is no name")
    return value
