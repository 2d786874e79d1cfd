"""Table of calibrations: what a cheap method is worth on compositions it was not fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from flows.calibrating import AssessedCalibration, KnownCalibration
from flows.tables.cells import MISSING, Column, make_table, number
from screening.quantities import Property, Quantity

__all__ = ["payload_calibrations", "table_calibration", "table_known"]

_DECIMALS = 3
_PERCENT_DECIMALS = 0
_ID_DIGITS = 12


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


def table_known(known: Sequence[KnownCalibration], *, width: int | None = None) -> Table:
    """Make the table of all calibrations that decisions can rest on."""
    columns = (
        Column("calibration"),
        Column("origin"),
        Column("method", wraps=True),
        Column("against", wraps=True),
        Column("compositions", is_number=True),
        Column("elements", wraps=True, rank=1),
    )
    rows = [
        [
            one.calibration.calibration_id[:_ID_DIGITS],
            one.origin,
            one.calibration.cheap_family,
            one.calibration.reference_family,
            str(one.calibration.n_compositions),
            " ".join(one.elements),
        ]
        for one in known
    ]
    return make_table(columns, rows, title="calibrations", width=width)


def payload_calibrations(
    assessed: Sequence[AssessedCalibration],
    known: Sequence[KnownCalibration],
    stored: str | None = None,
) -> dict[str, Any]:
    """Return plain JSON: what was assessed here, all that is known, and what was imported."""
    return {
        "calibrations": [_assessed(one) for one in assessed],
        "known": [
            {
                "calibration_id": one.calibration.calibration_id,
                "origin": one.origin,
                "cheap_family": one.calibration.cheap_family,
                "reference_family": one.calibration.reference_family,
                "n_compositions": one.calibration.n_compositions,
                "elements": list(one.elements),
            }
            for one in known
        ],
        "stored": stored,
    }


def _assessed(one: AssessedCalibration) -> dict[str, Any]:
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
