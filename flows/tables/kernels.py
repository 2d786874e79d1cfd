"""Tables and payloads of other kernels than the default, and of learning curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group

from flows.tables.cells import MISSING, Column, make_table, number
from flows.tables.gaussian_process import (
    CRYSTAL_FIELDS,
    DIGITS,
    cells_text,
    facts,
    matrix_text,
    warning_lines,
)
from screening.units import EV_TO_MEV

if TYPE_CHECKING:
    from flows.kernels import KernelFit
    from screening.anharmonic import DisplacedCells
    from screening.gaussian_process.learning import LearningCurve, LearningPoint
    from screening.quantities import Quantity

__all__ = [
    "KERNEL_FIELDS",
    "payload_kernel_fit",
    "payload_learning",
    "table_kernel_fit",
    "table_learning",
]

_SHARED = ("formula", "n_supercell_atoms", "supercell_matrix", "n_cells")
_CELLS_FIELDS = {name: CRYSTAL_FIELDS[name] for name in _SHARED}
_RESULT_FIELDS = {
    "written": "Files and folders.",
    "warnings": "What to know before using the numbers.",
}
KERNEL_FIELDS: Mapping[str, Mapping[str, str]] = {
    "gp-fit-rbf": _CELLS_FIELDS
    | {
        "space_group_symbol": CRYSTAL_FIELDS["space_group_symbol"],
        "source": "Where the forces come from.",
        "kernel": "symmetrised-rbf or rbf.",
        "length_scale": "scaled, evidence or fixed.",
        "length_scale_angstrom": "Its value in Å.",
        "log_evidence": "Logarithm of the marginal likelihood of the forces; null where there "
        "are too many.",
        "sum_rules": "For every order: violation, the largest force constant of a rigid "
        "translation in eV/Å^order, and relative, the same over the largest force constant.",
        "quantities": "name, unit and value of thermodynamic functions and of the lowest "
        "frequency.",
        "verdict": "Dynamical stability; undetermined where the acoustic sum rule is broken.",
    }
    | _RESULT_FIELDS,
    "gp-learn": _CELLS_FIELDS
    | {
        "held_out": "Numbers of the cells that were only predicted, from 0.",
        "held_out_force_ev_per_angstrom": "Root mean square of their forces in eV/Å.",
        "points": "For every fit: method (adapted, symmetrised, paper), n_cells, cells, errors "
        "relative to the fit to all other cells and violations of the acoustic sum rule by "
        "order, and the root mean square error of held-out forces.",
    }
    | _RESULT_FIELDS,
}
"""Names and meanings of the fields of the payloads."""

_METHODS = {
    "symmetry_adapted": "adapted",
    "symmetrised_kernel": "symmetrised",
    "derivative_kernel": "paper",
}
_CHOSEN = {
    "scaled": "ten times the displacement of all atoms together",
    "evidence": "of most evidence",
    "fixed": "given",
}
_KERNELS = {
    "symmetrised-rbf": "squared exponential, averaged over the space group",
    "rbf": "squared exponential without symmetry, as published",
}
_PERCENT = 100.0
_HUNDRED = 99.5  # two digits would round to it
_SUPERSCRIPTS = {2: "²", 3: "³"}


@dataclass(frozen=True)
class _Measure:
    """One column of learning curves."""

    column: Column
    value: Callable[[LearningPoint], float | None]
    only_worst: bool = False


def _percent(value: float | None) -> float | None:
    return None if value is None else _PERCENT * value


_MEASURES = (
    _Measure(Column("FC2 error\n%", is_number=True), lambda one: _percent(one.second_order_change)),
    _Measure(Column("FC3 error\n%", is_number=True), lambda one: _percent(one.third_order_change)),
    _Measure(
        Column("forces\nmeV/Å", is_number=True),
        lambda one: EV_TO_MEV * one.force_error_ev_per_angstrom,
    ),
    _Measure(
        Column("FC2 sum rule\neV/Å²", is_number=True),
        lambda one: one.second_order_sum_rule_ev_per_angstrom2,
        only_worst=True,
    ),
    _Measure(
        Column("FC3 sum rule\neV/Å³", rank=1, is_number=True),
        lambda one: one.third_order_sum_rule_ev_per_angstrom3,
        only_worst=True,
    ),
)


def table_kernel_fit(fit: KernelFit, *, width: int | None = None) -> Group:
    """Make tables of what a squared exponential learned from displaced cells."""
    columns = (
        Column("quantity"),
        Column("at K", is_number=True),
        Column("value", is_number=True),
        Column("unit"),
    )
    caption = f"This kernel gives no intervals. Dynamical stability: {fit.verdict.value}."
    rows = [_value_row(quantity, value) for quantity, value in fit.values]
    return Group(
        facts(_fit_rows(fit)),
        make_table(columns, rows, caption=caption, width=width),
        *warning_lines(fit.warnings),
    )


def _value_row(quantity: Quantity, value: float) -> list[str]:
    kelvin = quantity.temperature_k
    return [
        quantity.kind.value.replace("_", " "),
        "" if kelvin is None else f"{kelvin:g}",
        number(value, DIGITS[quantity.kind]),
        quantity.unit,
    ]


def _fit_rows(fit: KernelFit) -> list[list[str]]:
    """Say in words what was fitted to what."""
    cells, relative = fit.cells, fit.relative_violations
    rows = [
        ["crystal", f"{fit.crystal.formula} {fit.crystal.space_group_symbol}"],
        ["supercell", f"{cells.n_atoms} atoms, {matrix_text(cells.supercell_matrix)}"],
        ["displaced cells", cells_text(fit.report)],
        ["forces from", fit.source],
        ["kernel", f"{fit.kernel}: {_KERNELS[fit.kernel]}"],
        ["length scale", f"{fit.length_scale_angstrom:.3g} Å, {_CHOSEN[fit.length_scale]}"],
    ]
    for order, violation in fit.sum_rule_violations.items():
        share = f"{_short(_PERCENT * relative[order])} % of the largest constant"
        said = f"missed by {_short(violation)} eV/Å{_SUPERSCRIPTS[order]}, {share}"
        rows.append([f"sum rule, order {order}", said])
    return rows


def payload_kernel_fit(fit: KernelFit, written: Iterable[Path] = ()) -> dict[str, Any]:
    """Make the payload of ``gp fit`` with a squared exponential."""
    relative = fit.relative_violations
    return (
        _head("gp-fit-rbf")
        | _cells(fit.cells)
        | {
            "space_group_symbol": fit.crystal.space_group_symbol,
            "source": fit.source,
            "kernel": fit.kernel.value,
            "length_scale": fit.length_scale,
            "length_scale_angstrom": fit.length_scale_angstrom,
            "log_evidence": fit.log_evidence,
            "sum_rules": [
                {"order": order, "violation": violation, "relative": relative[order]}
                for order, violation in fit.sum_rule_violations.items()
            ],
            "quantities": [
                {"name": quantity.name, "unit": quantity.unit, "value": value}
                for quantity, value in fit.values
            ],
            "verdict": fit.verdict.value,
            "written": [str(path) for path in written],
            "warnings": list(fit.warnings),
        }
    )


def table_learning(
    curve: LearningCurve,
    cells: DisplacedCells,
    notes: Iterable[str] = (),
    *,
    width: int | None = None,
) -> Group:
    """Make the table of learning curves: medians over draws, the worst in brackets."""
    columns = (
        Column("method"),
        Column("cells", is_number=True),
        *(one.column for one in _MEASURES),
    )
    keys = list(dict.fromkeys((one.method, one.n_cells) for one in curve.points))
    rows = [_learning_row(curve.of(*key)) for key in keys]
    methods = [method for method, _ in keys]
    ends = [row for row, (one, after) in enumerate(pairwise(methods)) if one is not after]
    n_draws = max(len(curve.of(*key)) for key in keys)
    caption = "Errors against the reference; forces of the cells held out; sum rules: violation."
    if n_draws > 1:
        caption += f" Medians of {n_draws} draws (the worst); of sum rules the worst."
    return Group(
        facts(_learning_facts(curve, cells)),
        make_table(columns, rows, caption=caption, width=width, sections=ends),
        *warning_lines(notes),
    )


def _learning_facts(curve: LearningCurve, cells: DisplacedCells) -> list[list[str]]:
    force, held_out = EV_TO_MEV * curve.force_ev_per_angstrom, len(curve.held_out)
    return [
        ["crystal", cells.primitive.composition.reduced_formula],
        ["supercell", f"{cells.n_atoms} atoms, {matrix_text(cells.supercell_matrix)}"],
        ["reference", f"adapted fit to all {cells.n_cells - held_out} cells that are not held out"],
        ["held out", f"{held_out} cells, root mean square force {force:.3g} meV/Å"],
    ]


def _learning_row(draws: Sequence[LearningPoint]) -> list[str]:
    return [
        _METHODS[str(draws[0].method)],
        str(draws[0].n_cells),
        *(_of_draws(measure, draws) for measure in _MEASURES),
    ]


def _of_draws(measure: _Measure, draws: Sequence[LearningPoint]) -> str:
    """Write the median and, of several, the worst."""
    known = [value for value in map(measure.value, draws) if value is not None]
    if not known:
        return MISSING
    if measure.only_worst or len(known) == 1:
        return _short(max(known))
    return f"{_short(float(np.median(known)))} ({_short(max(known))})"


def _short(value: float) -> str:
    """Write two significant digits, and all before the point.

    Examples
    --------
    >>> _short(0.0123), _short(123.4), _short(2.71e-15)
    ('0.012', '123', '2.7e-15')
    """
    return f"{value:.2g}" if value < _HUNDRED else f"{value:.0f}"


def payload_learning(
    curve: LearningCurve,
    cells: DisplacedCells,
    notes: Iterable[str] = (),
    written: Iterable[Path] = (),
) -> dict[str, Any]:
    """Make the payload of ``gp learn``."""
    from flows.plots import learning_table

    points = [row | {"method": _METHODS[str(row["method"])]} for row in learning_table(curve)]
    return (
        _head("gp-learn")
        | _cells(cells)
        | {
            "held_out": list(curve.held_out),
            "held_out_force_ev_per_angstrom": curve.force_ev_per_angstrom,
            "points": points,
            "written": [str(path) for path in written],
            "warnings": list(notes),
        }
    )


def _cells(cells: DisplacedCells) -> dict[str, Any]:
    return {
        "formula": cells.primitive.composition.reduced_formula,
        "n_supercell_atoms": cells.n_atoms,
        "supercell_matrix": cells.supercell_matrix.tolist(),
        "n_cells": cells.n_cells,
    }


def _head(kind: str) -> dict[str, Any]:
    from flows.tables.payloads import PAYLOAD_VERSION

    return {"payload": kind, "payload_version": PAYLOAD_VERSION}
