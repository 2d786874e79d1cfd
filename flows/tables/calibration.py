"""Table of calibrations: what a cheap method is worth on compositions it was not fitted to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from flows.calibrating import AssessedCalibration
from flows.tables.cells import MISSING, Column, make_table, number
from screening.quantities import Property, Quantity

__all__ = ["payload_calibration", "table_calibration"]

_DECIMALS = 3
_PERCENT_DECIMALS = 0


def table_calibration(one: AssessedCalibration, *, width: int | None = None) -> Table:
    """Make the table of one calibration, a row per quantity."""
    columns = (
        Column("quantity"),
        Column("unit"),
        Column("values /\ncompositions", is_number=True),
        Column("error\nas it comes", is_number=True),
        Column("error\ncorrected", is_number=True),
        Column("skill", is_number=True, rank=1),
        Column("half width", is_number=True),
        Column("covered %\n(expected)", is_number=True),
        Column("finite %", is_number=True, rank=1),
    )
    return make_table(columns, list(_rows(one)), width=width)


def _rows(one: AssessedCalibration) -> Iterable[list[Any]]:
    for found in one.assessments:
        band = f"{100 * found.coverage_low:.0f}-{100 * found.coverage_high:.0f}"
        half = found.median_half_width
        yield [
            _symbol(found.quantity),
            found.quantity.unit,
            f"{found.n_values} / {found.n_compositions}",
            number(found.mae_raw, _DECIMALS),
            number(found.mae_corrected, _DECIMALS),
            MISSING if found.skill is None else number(found.skill, 2),
            MISSING if half is None else number(half, _DECIMALS),
            MISSING if found.coverage is None else f"{100 * found.coverage:.0f} ({band})",
            number(100 * found.finite_fraction, _PERCENT_DECIMALS),
        ]


_SYMBOLS = {
    Property.FREE_ENERGY: "F",
    Property.ENTROPY: "S",
    Property.HEAT_CAPACITY: "C_V",
    Property.LOWEST_FREQUENCY: "lowest frequency",
    Property.FREE_ENERGY_DIFFERENCE: "F difference",
    Property.RELATIVE_FREE_ENERGY: "A difference",
}


def _symbol(quantity: Quantity) -> str:
    kelvin = quantity.temperature_k
    return _SYMBOLS[quantity.kind] + ("" if kelvin is None else f" {kelvin:g} K")


def payload_calibration(one: AssessedCalibration) -> dict[str, Any]:
    """Return plain JSON with documented names."""
    calibration = one.calibration
    return {
        "calibration_id": calibration.calibration_id,
        "cheap_family": calibration.cheap_family,
        "reference_family": calibration.reference_family,
        "n_pairs": one.n_pairs,
        "n_compositions": calibration.n_compositions,
        "skipped": dict(calibration.skipped),
        "assessments": [
            {
                "quantity": found.quantity.name,
                "unit": found.quantity.unit,
                "alpha": found.alpha,
                "n_values": found.n_values,
                "n_compositions": found.n_compositions,
                "mae_raw": found.mae_raw,
                "mae_corrected": found.mae_corrected,
                "mad": found.mad,
                "skill": found.skill,
                "coverage": found.coverage,
                "coverage_low": found.coverage_low,
                "coverage_high": found.coverage_high,
                "finite_fraction": found.finite_fraction,
                "median_half_width": found.median_half_width,
            }
            for found in one.assessments
        ],
    }
