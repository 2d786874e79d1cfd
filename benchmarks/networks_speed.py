"""Time of forces: the same displaced supercells by every potential, in turn.

Processor time counts, so that other programs matter little; the best of the repeats counts, and
who goes first changes from one to the next.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from networks_models import DISPLACEMENT_ANGSTROM, Potential
from references import Reference
from report import Figure

from screening.displacements import DisplacementPlan
from screening.phonons import PhononSettings, displacement_plan

__all__ = ["process_seconds", "speed_figures"]

RIVAL = "chgnet"
GOAL = 2.0


def speed_figures(
    potentials: Sequence[Potential], references: Sequence[Reference], repeats: int
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
    """
    settings = PhononSettings(displacement_angstrom=DISPLACEMENT_ANGSTROM)
    rows: list[dict[str, Any]] = []
    for reference in references:
        plan = displacement_plan(
            reference.primitive, potentials[0].calculator, settings, reference.supercell_matrix
        )
        if not rows:
            process_seconds(potentials, plan, 1)  # the first call of a potential also prepares it
        seconds = process_seconds(potentials, plan, repeats)
        n_atoms = plan.positions_angstrom.shape[0] * plan.positions_angstrom.shape[1]
        rows.append({"name": reference.name, "n_atoms": n_atoms, "seconds": seconds})
        text = "  ".join(f"{name} {value:.3f} s" for name, value in seconds.items())
        print(f"  {reference.name:<22} {n_atoms:5d} atoms  {text}", flush=True)
    return _figures(potentials, rows), {"crystals": rows}


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


def _figures(potentials: Sequence[Potential], rows: Sequence[dict[str, Any]]) -> list[Figure]:
    atoms = sum(row["n_atoms"] for row in rows)
    times = {one.name: np.array([row["seconds"][one.name] for row in rows]) for one in potentials}
    figures = [Figure("speed: crystals", len(rows), "", ">= 1")]
    figures += [
        Figure(f"time of forces, {name}", 1e3 * float(one.sum()) / atoms, "ms/atom")
        for name, one in times.items()
    ]
    ours = times[potentials[0].name]
    for rival in potentials[1:]:
        ratios = times[rival.name] / ours
        total = float(times[rival.name].sum() / ours.sum())
        required = ">= 1" if rival.spec.startswith(RIVAL) else None
        figures += [
            Figure(f"speed against {rival.name}, all crystals", total, "", required),
            Figure(f"speed against {rival.name}, median", float(np.median(ratios)), ""),
            Figure(f"speed against {rival.name}, slowest crystal", float(ratios.min()), ""),
        ]
        if required:
            figures.append(Figure(f"  over the goal {GOAL:g}", total / GOAL, ""))
    return figures
