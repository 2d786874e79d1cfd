"""Time of forces: the same displaced supercells by every potential, in turn.

Processor time counts, so that other programs matter little; the best of the repeats counts, and
who goes first changes from one to the next. A crystal that a potential fails on is left out for all
of them, and counted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from networks_models import DISPLACEMENT_ANGSTROM, Potential, failure_figures
from references import Reference
from report import Figure

from screening.displacements import DisplacementPlan
from screening.phonons import PhononSettings, displacement_plan

__all__ = ["process_seconds", "speed_figures"]

RIVAL = "chgnet"
GOAL = 2.0


def speed_figures(
    potentials: Sequence[Potential],
    references: Sequence[Reference],
    repeats: int,
    unreadable: Sequence[str] = (),
) -> tuple[list[Figure], dict[str, Any]]:
    """Time the first potential beside the others.

    Parameters
    ----------
    potentials
        The judged one first; CHGNet's forces-only path is what it has to keep up with.
    references
        Crystals whose displaced supercells are computed.
    repeats
        Of which the best counts.
    unreadable
        Records that are no use, and why; counted among the failures.
    """
    rows: list[dict[str, Any]] = []
    failures = list(unreadable)
    for reference in references:
        try:
            row = _row(potentials, reference, repeats, is_first=not rows)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            failures.append(f"{reference.name}: {type(error).__name__}: {error}")
            print(f"  FAILED {failures[-1]}", flush=True)
            continue
        rows.append(row)
        text = "  ".join(f"{name} {value:.3f} s" for name, value in row["seconds"].items())
        print(f"  {reference.name:<22} {row['n_atoms']:5d} atoms  {text}", flush=True)
    figures = [
        Figure("speed: crystals", len(rows), "", ">= 1"),
        *failure_figures("speed: left out, of no use or failed", failures),
    ]
    compared = _figures(potentials, rows) if rows else _missing(potentials)
    return figures + compared, {"crystals": rows}


def _row(
    potentials: Sequence[Potential], reference: Reference, repeats: int, *, is_first: bool
) -> dict[str, Any]:
    """Time one crystal."""
    settings = PhononSettings(displacement_angstrom=DISPLACEMENT_ANGSTROM)
    plan = displacement_plan(
        reference.primitive, potentials[0].calculator, settings, reference.supercell_matrix
    )
    if is_first:
        process_seconds(potentials, plan, 1)  # the first call of a potential also prepares it
    seconds = process_seconds(potentials, plan, repeats)
    n_atoms = plan.positions_angstrom.shape[0] * plan.positions_angstrom.shape[1]
    return {"name": reference.name, "n_atoms": n_atoms, "seconds": seconds}


def process_seconds(
    potentials: Sequence[Potential], plan: DisplacementPlan, repeats: int
) -> dict[str, float]:
    """Processor time of all displacements of a plan in s, by the name of the potential."""
    best = {one.name: float("inf") for one in potentials}
    for number in range(repeats):
        for one in list(potentials)[:: 1 if number % 2 == 0 else -1]:
            start = time.process_time()
            one.calculator.forces(plan.lattice, plan.positions_angstrom, plan.numbers)
            best[one.name] = min(best[one.name], time.process_time() - start)
    return best


def _missing(potentials: Sequence[Potential]) -> list[Figure]:
    """Return what is required where nothing was timed."""
    return [
        Figure(f"speed against {rival.name}, all crystals", None, "", _required(rival))
        for rival in potentials[1:]
    ]


def _required(rival: Potential) -> str | None:
    return ">= 1" if rival.spec.startswith(RIVAL) else None


def _figures(potentials: Sequence[Potential], rows: Sequence[dict[str, Any]]) -> list[Figure]:
    atoms = sum(row["n_atoms"] for row in rows)
    times = {one.name: np.array([row["seconds"][one.name] for row in rows]) for one in potentials}
    figures = [
        Figure(f"time of forces, {name}", 1e3 * float(one.sum()) / atoms, "ms/atom")
        for name, one in times.items()
    ]
    ours = times[potentials[0].name]
    for rival in potentials[1:]:
        ratios = times[rival.name] / ours
        total = float(times[rival.name].sum() / ours.sum())
        required = _required(rival)
        figures += [
            Figure(f"speed against {rival.name}, all crystals", total, "", required),
            Figure(f"speed against {rival.name}, median", float(np.median(ratios)), ""),
            Figure(f"speed against {rival.name}, slowest crystal", float(ratios.min()), ""),
        ]
        if required:
            figures.append(Figure(f"  over the goal {GOAL:g}", total / GOAL, ""))
    return figures
