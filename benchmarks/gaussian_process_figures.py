"""What is required of which crystal, and the tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from gaussian_process_learning import OURS, Learning
from gaussian_process_measures import Measures
from gaussian_process_prior import PriorStudy
from gaussian_process_systematic import Systematic
from report import Figure

__all__ = [
    "REQUIRED",
    "coverage_figures",
    "learning_figures",
    "learning_table",
    "prior_table",
    "systematic_table",
    "worst",
]

Key = tuple[str, int, int]

REQUIRED: dict[Key, dict[int, dict[str, float]]] = {
    ("NaCl", 64, 100): {
        1: {
            "fc2_percent": 0.4,
            "fc3_percent": 7.0,
            "rmse_mev_per_angstrom": 0.3,
            "kappa_percent": 7.0,
        },
        2: {
            "fc2_percent": 0.25,
            "fc3_percent": 6.0,
            "rmse_mev_per_angstrom": 0.25,
            "kappa_percent": 7.0,
        },
    },
    ("MgO", 64, 100): {3: {"fc2_percent": 0.2, "fc3_percent": 7.0, "kappa_percent": 5.0}},
}
"""Largest errors of the worst draw, by formula, atoms of the supercell and number of cells."""

LEAST_DRAWS = 5
COVERED = (0.80, 0.99)
_ERRORS = (
    ("fc2_percent", "FC2", "%"),
    ("fc3_percent", "FC3", "%"),
    ("rmse_mev_per_angstrom", "held-out forces", "meV/Å"),
    ("kappa_percent", "kappa(300 K)", "%"),
)


def worst(values: Sequence[float | None], *, all_needed: bool) -> float | None:
    """Return the largest magnitude, None where one is missing that is needed, or all are."""
    known = [abs(value) for value in values if value is not None]
    if not known or (all_needed and len(known) < len(values)):
        return None
    return max(known)


def learning_figures(found: Learning, *, n_required_draws: int = LEAST_DRAWS) -> list[Figure]:
    """Errors of the worst draw, with what is required of them, and coverage of intervals."""
    required = REQUIRED.get(found.case.key, {})
    name = found.case.name
    draws = len(found.split.draws)
    counts = sorted({*found.counts_of(OURS), *required})
    least = f">= {n_required_draws}" if required else None
    figures = [
        Figure(f"{name}: draws", draws, "", least),
        Figure(f"{name}: cells in no draw", len(found.split.held_out), ""),
        Figure(f"{name}: no force at all, held-out", found.trivial_mev_per_angstrom, "meV/Å"),
        Figure(f"{name}: best harmonic, held-out", found.harmonic_mev_per_angstrom, "meV/Å"),
        Figure(f"{name}: noise of the reference", found.noise_mev_per_angstrom, "meV/Å"),
    ]
    for count in counts:
        bounds = required.get(count, {})
        measures = found.of(OURS, count)
        for field, label, unit in _ERRORS:
            values = [getattr(one, field) for one in measures]
            value = worst(values, all_needed=field in bounds)
            bound = f"<= {bounds[field]:g}" if field in bounds else None
            text = f"{name}, {cells_text(count)}: {label}, worst of {len(values)}"
            figures.append(Figure(text, value, unit, bound))
    return [*figures, *coverage_figures(found)]


def coverage_figures(found: Learning) -> list[Figure]:
    """How often intervals hold the reference: mean over draws, of each number and of all."""
    name = found.case.name
    ours = [one for one in found.measures if one.method == OURS]
    figures = []
    for count in found.counts_of(OURS):
        part = mean(one.within_2 for one in found.of(OURS, count))
        text = f"{name}, {cells_text(count)}: frequencies within 2 sigma"
        figures.append(Figure(text, part, ""))
    inside = mean(one.within_2 for one in ours)
    text = f"{name}: frequencies within 2 sigma, all draws and numbers"
    low, high = COVERED
    return [
        *figures,
        Figure(text, inside, "", f">= {low:g}"),
        Figure("  the same from above", inside, "", f"<= {high:g}"),
        Figure(f"{name}: frequencies within 1 sigma", mean(x.within_1 for x in ours), ""),
        Figure(
            f"{name}: held-out forces within 2 sigma", mean(x.forces_within_2 for x in ours), ""
        ),
        Figure(
            f"{name}: free energy in its 90 % interval",
            mean(x.free_energy_covered for x in ours),
            "",
        ),
        Figure(
            f"{name}: free energy(300 K), worst",
            worst([x.free_energy_mev_per_atom for x in ours], all_needed=False),
            "meV/atom",
        ),
    ]


def cells_text(count: int) -> str:
    """Write a number of cells."""
    return f"{count} cell" if count == 1 else f"{count} cells"


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the numbers that there are, None without any."""
    known = [float(x) for x in values if x is not None]
    return float(np.mean(known)) if known else None


_HEAD = (
    f"  {'method':<24}{'cells':>5}{'draws':>6} {'FC2 %':>13} {'FC3 %':>13} {'forces meV/Å':>13}"
    f" {'skill':>6} {'freq. THz':>13} {'1 sd':>5} {'2 sd':>5} {'F 2 sd':>6} {'kappa %':>13}"
    f" {'A meV':>6} {'s':>6}"
)


def learning_table(found: Learning) -> str:
    """Mean and worst draw of every method; skill is beside the best harmonic force constants."""
    case, reference = found.case, found.reference
    kappa = "none" if reference.conductivity is None else f"{reference.conductivity.max():.3f}"
    orders = "+".join(str(one.n_unknowns) for one in case.basis.orders)
    harmonic = found.harmonic_mev_per_angstrom
    lines = [
        f"\n{case.name} atoms, {case.cells.n_cells} cells of {case.file}",
        (
            f"  {orders} unknowns; reference {reference.source}, kappa {kappa} W/m/K"
            f" {reference.refusal}"
        ),
        (
            f"  {len(found.split.held_out)} cells held out: rms force"
            f" {found.trivial_mev_per_angstrom:.2f}, best harmonic {_number(harmonic, '.2f')},"
            f" noise of the reference {found.noise_mev_per_angstrom:.3f} meV/Å"
        ),
        "  mean / worst draw; skill = 1 - error / error of the best harmonic",
        _HEAD,
    ]
    lines += [
        _row(method, count, found.of(method, count), harmonic)
        for method in found.methods()
        for count in found.counts_of(method)
    ]
    return "\n".join([*lines, *_notes(found.measures)])


def _row(method: str, count: int, measures: Sequence[Measures], harmonic: float | None) -> str:
    def both(field: str, digits: str) -> str:
        values = [getattr(one, field) for one in measures]
        found = mean(abs(x) for x in values if x is not None)
        largest = worst(values, all_needed=False)
        return f"{_number(found, digits)}/{_number(largest, digits)}"

    def average(field: str, digits: str) -> str:
        return _number(mean(getattr(one, field) for one in measures), digits)

    force = mean(one.rmse_mev_per_angstrom for one in measures)
    skill = None if force is None or not harmonic else 1.0 - force / harmonic
    free = worst([one.free_energy_mev_per_atom for one in measures], all_needed=False)
    return (
        f"  {method:<24}{count:>5}{len(measures):>6} {both('fc2_percent', '.3f'):>13}"
        f" {both('fc3_percent', '.2f'):>13} {both('rmse_mev_per_angstrom', '.3f'):>13}"
        f" {_number(skill, '.2f'):>6} {_frequencies(measures):>13}"
        f" {average('within_1', '.2f'):>5} {average('within_2', '.2f'):>5}"
        f" {average('forces_within_2', '.2f'):>6} {both('kappa_percent', '.1f'):>13}"
        f" {_number(free, '.3f'):>6} {average('seconds', '.1f'):>6}"
    )


def _frequencies(measures: Sequence[Measures]) -> str:
    average = mean(one.frequency_mean_thz for one in measures)
    largest = worst([one.frequency_max_thz for one in measures], all_needed=False)
    return f"{_number(average, '.4f')}/{_number(largest, '.3f')}"


def _number(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)


def _notes(measures: Sequence[Measures]) -> list[str]:
    """Every note once, with how many fits have it."""
    notes: dict[str, int] = {}
    for one in measures:
        if one.note:
            text = f"{one.method}: {one.note}"
            notes[text] = notes.get(text, 0) + 1
    return [f"    {count} x {text}" for text, count in notes.items()]


def systematic_table(found: Systematic) -> str:
    """Fits of all and of some of the cells against finite differences of all."""
    harmonic = found.harmonic_mev_per_angstrom
    lines = [
        (
            f"\n{found.case.name} atoms, {found.case.cells.n_cells} systematic cells of"
            f" {found.case.file}; reference {found.reference.source} of all"
        ),
        (
            f"  {found.n_held_out} cells in no draw: rms force"
            f" {found.trivial_mev_per_angstrom:.2f}, best harmonic {_number(harmonic, '.2f')}"
            " meV/Å; the fit of all cells knows them"
        ),
        _HEAD,
    ]
    counts = sorted({one.n_cells for one in found.measures})
    lines += [
        _row(OURS, count, [x for x in found.measures if x.n_cells == count], harmonic)
        for count in counts
    ]
    lines.append(_row(OURS, found.n_fitted, [found.whole], harmonic))
    return "\n".join([*lines, *_notes([*found.measures, found.whole])])


def prior_table(studies: Sequence[PriorStudy]) -> str:
    """Mean over the draws of every combination of prior mean and locality."""
    lines = ["\nprior mean from a potential: mean over the draws"]
    for one in studies:
        known = one.prior
        lines += [
            (
                f"  {one.name}, rms force {one.trivial_mev_per_angstrom:.1f}, noise of the"
                f" reference {one.noise_mev_per_angstrom:.2f} meV/Å; the prior itself:"
                f" FC2 {_number(known.fc2_percent, '.1f')} %,"
                f" FC3 {_number(known.fc3_percent, '.1f')} %,"
                f" forces {_number(known.rmse_mev_per_angstrom, '.2f')} meV/Å"
            ),
            f"    {'':<30}{'cells':>6}{'draws':>6}{'FC2 %':>10}{'FC3 %':>10}{'forces meV/Å':>14}",
        ]
        counted = dict.fromkeys((x.n_cells, x.method) for x in one.measures)
        lines += [_prior_row(one, *pair) for pair in sorted(counted, key=lambda pair: pair[0])]
    return "\n".join(lines)


def _prior_row(study: PriorStudy, n_cells: int, method: str) -> str:
    draws = sum((x.n_cells, x.method) == (n_cells, method) for x in study.measures)
    second, third, forces = (
        _number(study.mean_error(method, n_cells, field), digits)
        for field, digits in (
            ("fc2_percent", ".3f"),
            ("fc3_percent", ".2f"),
            ("rmse_mev_per_angstrom", ".3f"),
        )
    )
    return f"    {method:<30}{n_cells:>6}{draws:>6}{second:>10}{third:>10}{forces:>14}"
