"""Tables and payloads of displaced cells: what to compute, what was learned, how it conducts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import Column, make_table, number, reach, three_digits
from screening.quantities import Property

if TYPE_CHECKING:
    from flows.cell_plans import CellPlan
    from flows.given_cells import FittedCells
    from screening.gaussian_process.checks import CellsReport
    from screening.gaussian_process.conductivity_samples import ConductivitySamples
    from screening.gaussian_process.observations import Hyperparameters
    from screening.uncertainty.interval import Interval

__all__ = [
    "CRYSTAL_FIELDS",
    "DIGITS",
    "GAUSSIAN_PROCESS_FIELDS",
    "cells_text",
    "facts",
    "matrix_text",
    "payload_cell_plan",
    "payload_conductivity",
    "payload_fit",
    "table_cell_plan",
    "table_conductivity",
    "table_fit",
    "warning_lines",
]

CRYSTAL_FIELDS = {
    "formula": "Reduced formula.",
    "space_group_symbol": "International symbol.",
    "n_supercell_atoms": "Atoms of the supercell.",
    "supercell_matrix": "Rows are supercell vectors in primitive vectors.",
    "n_cells": "Displaced supercells.",
    "n_unknowns": "Independent force constants.",
    "unknowns_per_equation": "The same for each force component.",
}
_RESULT_FIELDS = {
    "source": "Where the forces come from.",
    "material_id": "Material that it is stored under; null where it is not stored.",
    "written": "Files and folders.",
    "warnings": "What to know before using the numbers.",
}
GAUSSIAN_PROCESS_FIELDS: Mapping[str, Mapping[str, str]] = {
    "gp-plan": CRYSTAL_FIELDS
    | {
        "displacement_angstrom": "Root mean square displacement of an atom in Å.",
        "written": "Files.",
    },
    "gp-fit": CRYSTAL_FIELDS
    | {
        "orders": "For every order: number of unknowns, variance between nearest neighbours in "
        "(eV/Å^order)² and exponent of the decay.",
        "noise_ev_per_angstrom": "Standard deviation of a force in eV/Å.",
        "log_evidence": "Logarithm of the marginal likelihood of the forces.",
        "harmonic_residual": "What harmonic force constants leave of the forces; null where one "
        "cannot tell.",
        "quantities": "name, unit, value, lower, upper and coverage of thermodynamic functions "
        "and of the lowest frequency.",
        "verdict": "Dynamical stability.",
    }
    | _RESULT_FIELDS,
    "gp-kappa": CRYSTAL_FIELDS
    | {
        "method": "rta or direct.",
        "mesh": "Points along the reciprocal vectors.",
        "temperatures_k": "In K.",
        "conductivity_w_per_m_k": "Tensor at every temperature.",
        "mean_w_per_m_k": "Mean of the principal conductivities at every temperature.",
        "lower_w_per_m_k": "Lower end of its interval.",
        "upper_w_per_m_k": "Upper end of its interval.",
        "coverage": "Of the intervals.",
        "n_samples": "Force constants drawn from the posterior.",
    }
    | _RESULT_FIELDS,
}
"""Names and meanings of the fields of the payloads."""

_ORDER_NAMES = {1: "first", 2: "second", 3: "third"}
DIGITS = {
    Property.FREE_ENERGY: 2,
    Property.ENTROPY: 4,
    Property.HEAT_CAPACITY: 4,
    Property.LOWEST_FREQUENCY: 3,
}
_MEV = 1000.0


def table_cell_plan(plan: CellPlan, written: Sequence[Path]) -> Group:
    """Make the table of cells to compute, and say what comes next."""
    cells = plan.cells
    rows = [
        ["crystal", f"{plan.formula} {plan.space_group_symbol}"],
        ["supercell", f"{cells.n_atoms} atoms, {matrix_text(cells.supercell_matrix)}"],
        ["displaced cells", f"{cells.n_cells}, every atom by {_displacement(plan):.3g} Å"],
        ["forces", str(plan.n_forces)],
        ["force constants", f"{plan.n_unknowns} independent ones up to order {plan.max_order}"],
        ["unknowns per equation", f"{plan.unknowns_per_equation:.2f}"],
    ]
    frames, supercell = written[0], written[1]
    following = (
        f"Compute the forces of each frame of {frames.name} (or POSCAR), atoms in this order, and "
        "save frames with forces as extxyz; then:\n"
        f"  phonoscreen gp fit FORCES.extxyz --supercell {supercell}"
    )
    return Group(facts(rows), Text(following))


def payload_cell_plan(plan: CellPlan, written: Iterable[Path]) -> dict[str, Any]:
    """Make the payload of ``gp plan``."""
    return _head("gp-plan") | {
        "formula": plan.formula,
        "space_group_symbol": plan.space_group_symbol,
        "n_supercell_atoms": plan.cells.n_atoms,
        "supercell_matrix": plan.cells.supercell_matrix.tolist(),
        "n_cells": plan.cells.n_cells,
        "n_unknowns": plan.n_unknowns,
        "unknowns_per_equation": plan.unknowns_per_equation,
        "displacement_angstrom": _displacement(plan),
        "written": [str(path) for path in written],
    }


def _displacement(plan: CellPlan) -> float:
    moves = plan.cells.displacements_angstrom
    return float(np.sqrt((moves**2).sum(axis=2).mean()))


def table_fit(
    fitted: FittedCells, intervals: Sequence[Interval], *, width: int | None = None
) -> Group:
    """Make tables of what was learned from displaced cells."""
    columns = (
        Column("quantity"),
        Column("at K", is_number=True),
        Column("value", is_number=True),
        Column(f"interval ({intervals[0].coverage:.0%})", is_number=True),
        Column("unit"),
    )
    rows = [_quantity_row(one) for one in intervals]
    verdict = fitted.prediction.stability.verdict.value
    caption = f"Intervals of the posterior distribution. Dynamical stability: {verdict}."
    return Group(
        facts(_fit_rows(fitted)),
        make_table(columns, rows, caption=caption, width=width),
        *warning_lines(fitted.prediction.warnings),
    )


def _quantity_row(one: Interval) -> list[str]:
    kind, temperature = one.quantity.kind, one.quantity.temperature_k
    digits = DIGITS[kind]
    return [
        kind.value.replace("_", " "),
        "" if temperature is None else f"{temperature:g}",
        number(one.value, digits),
        reach(one.lower, one.upper, digits),
        one.quantity.unit,
    ]


def _fit_rows(fitted: FittedCells) -> list[list[str]]:
    """Say in words what was fitted to what, and what the evidence chose."""
    fit, report, chosen = fitted.fit, fitted.report, fitted.fit.hyperparameters
    rows = [
        ["crystal", f"{fitted.crystal.formula} {fitted.crystal.space_group_symbol}"],
        ["supercell", f"{fit.cells.n_atoms} atoms, {matrix_text(fit.cells.supercell_matrix)}"],
        ["displaced cells", cells_text(report)],
        ["forces from", fitted.prediction.model],
        ["force constants", _unknowns_text(fitted)],
        ["unknowns per equation", f"{fit.unknowns_per_equation:.2f}"],
        *(["decay", text] for text in _decay_texts(fitted, chosen)),
        ["noise", f"{_MEV * chosen.noise_ev_per_angstrom:.3g} meV/Å"],
    ]
    if report.linear is not None and report.linear.meaningful:
        share = f"{100 * report.linear.residual:.2g} % of the forces"
        rows.append(["not harmonic", share])
    return rows


def cells_text(report: CellsReport) -> str:
    """Say how many cells there are, and how atoms are displaced in them."""
    kind = "one or two atoms displaced in each" if report.systematic else "all atoms displaced"
    return f"{report.n_cells}, {kind}, {report.displacement_rms_angstrom:.3g} Å (rms)"


def _unknowns_text(fitted: FittedCells) -> str:
    parts = [f"{one.n_unknowns} of order {one.order}" for one in fitted.fit.basis.orders]
    cubic = next((one for one in fitted.fit.basis.orders if one.order == max(_ORDER_NAMES)), None)
    if cubic is None:
        return ", ".join(parts)
    return f"{', '.join(parts)} (triangles with half a perimeter up to {_reach(cubic):.1f} Å)"


def _reach(order: Any) -> float:
    return float(order.extents_angstrom.max())


def _decay_texts(fitted: FittedCells, chosen: Hyperparameters) -> Iterable[str]:
    """Say how fast force constants fall off, of the orders that do."""
    form = fitted.fit.settings.decay.value
    for scale in chosen.scales:
        if scale.order == 1 or form == "none":
            continue
        law = {
            "power": f"as the distance to the power -{scale.exponent:.2g}",
            "exponential": f"by exp(-{scale.exponent:.2g}) for each distance of neighbours",
        }[form]
        yield f"{_ORDER_NAMES[scale.order]} order falls off {law}"


def payload_fit(
    fitted: FittedCells,
    intervals: Sequence[Interval],
    *,
    material_id: str | None = None,
    written: Iterable[Path] = (),
) -> dict[str, Any]:
    """Make the payload of ``gp fit``."""
    fit, linear = fitted.fit, fitted.report.linear
    unknowns = {one.order: one.n_unknowns for one in fit.basis.orders}
    known = linear is not None and linear.meaningful
    return (
        _head("gp-fit")
        | _crystal(fitted)
        | {
            "orders": [
                {
                    "order": one.order,
                    "n_unknowns": unknowns[one.order],
                    "variance": one.variance,
                    "exponent": one.exponent,
                }
                for one in fit.hyperparameters.scales
            ],
            "noise_ev_per_angstrom": fit.hyperparameters.noise_ev_per_angstrom,
            "log_evidence": fit.log_evidence,
            "harmonic_residual": linear.residual if linear is not None and known else None,
            "quantities": [
                {
                    "name": one.quantity.name,
                    "unit": one.quantity.unit,
                    "value": one.value,
                    "lower": one.lower,
                    "upper": one.upper,
                    "coverage": one.coverage,
                }
                for one in intervals
            ],
            "verdict": fitted.prediction.stability.verdict.value,
        }
        | _results(fitted, material_id, written)
    )


def table_conductivity(
    fitted: FittedCells, coverage: float = 0.9, *, width: int | None = None
) -> Group:
    """Make the table of the thermal conductivity against temperature."""
    drawn = _drawn(fitted)
    found, (lower, upper) = drawn.mean, drawn.interval_w_per_m_k(coverage)
    columns = (
        Column("T\nK", is_number=True),
        Column("mean\nW/m/K", is_number=True),
        Column(f"interval ({coverage:.0%})", is_number=True),
        *(Column(f"{axis}\nW/m/K", rank=1, is_number=True) for axis in ("xx", "yy", "zz")),
    )
    rows = [
        [
            f"{temperature:g}",
            three_digits(mean),
            f"{three_digits(low)} to {three_digits(high)}",
            *(three_digits(value) for value in np.diag(tensor)),
        ]
        for temperature, mean, low, high, tensor in zip(
            found.temperatures_k,
            found.mean_conductivity_w_per_m_k,
            lower,
            upper,
            found.conductivity_w_per_m_k,
            strict=True,
        )
    ]
    solved = "relaxation times" if found.method.value == "rta" else "direct solution"
    mesh = " x ".join(map(str, found.mesh))
    caption = f"{solved}, mesh {mesh}; intervals from {drawn.n_samples} draws of the posterior."
    return Group(
        facts(_fit_rows(fitted)),
        make_table(columns, rows, caption=caption, width=width),
        *warning_lines(fitted.prediction.warnings),
    )


def payload_conductivity(
    fitted: FittedCells,
    coverage: float = 0.9,
    *,
    material_id: str | None = None,
    written: Iterable[Path] = (),
) -> dict[str, Any]:
    """Make the payload of ``gp kappa``."""
    drawn = _drawn(fitted)
    found, (lower, upper) = drawn.mean, drawn.interval_w_per_m_k(coverage)
    return (
        _head("gp-kappa")
        | _crystal(fitted)
        | {
            "method": found.method.value,
            "mesh": list(found.mesh),
            "temperatures_k": found.temperatures_k.tolist(),
            "conductivity_w_per_m_k": found.conductivity_w_per_m_k.tolist(),
            "mean_w_per_m_k": found.mean_conductivity_w_per_m_k.tolist(),
            "lower_w_per_m_k": lower.tolist(),
            "upper_w_per_m_k": upper.tolist(),
            "coverage": coverage,
            "n_samples": drawn.n_samples,
        }
        | _results(fitted, material_id, written)
    )


def _drawn(fitted: FittedCells) -> ConductivitySamples:
    assert fitted.conductivity is not None  # asked for
    return fitted.conductivity


def _crystal(fitted: FittedCells) -> dict[str, Any]:
    fit = fitted.fit
    return {
        "formula": fitted.crystal.formula,
        "space_group_symbol": fitted.crystal.space_group_symbol,
        "n_supercell_atoms": fit.cells.n_atoms,
        "supercell_matrix": fit.cells.supercell_matrix.tolist(),
        "n_cells": fit.cells.n_cells,
        "n_unknowns": fit.basis.n_unknowns,
        "unknowns_per_equation": fit.unknowns_per_equation,
    }


def _results(
    fitted: FittedCells, material_id: str | None, written: Iterable[Path]
) -> dict[str, Any]:
    return {
        "source": fitted.prediction.model,
        "material_id": material_id,
        "written": [str(path) for path in written],
        "warnings": list(fitted.prediction.warnings),
    }


def facts(rows: Sequence[Sequence[str]]) -> Table:
    """Two columns without a frame."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def warning_lines(warnings: Iterable[str]) -> Iterable[Text]:
    """Mark what to know before using the numbers."""
    return (Text(f"! {line}", style="yellow") for line in warnings)


def matrix_text(matrix: Any) -> str:
    """Write the vectors of a supercell in primitive vectors."""
    return f"vectors {'; '.join(' '.join(map(str, row)) for row in np.asarray(matrix).tolist())}"


def _head(kind: str) -> dict[str, Any]:
    from flows.tables.payloads import PAYLOAD_VERSION

    return {"payload": kind, "payload_version": PAYLOAD_VERSION}
