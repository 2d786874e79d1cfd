"""The card of a trained model in one form, whichever method wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Coverage",
    "Parity",
    "ScoreRow",
    "coverages_of",
    "notes_of",
    "parities_of",
    "score_rows",
    "summary_of",
]

_SHOWN_TEMPERATURES = ("300 K", "1000 K")
_UNITS = {
    "free_energy_mev_per_atom": ("F", "meV/atom"),
    "entropy_mev_per_k_per_atom": ("S", "meV/K/atom"),
    "heat_capacity_mev_per_k_per_atom": ("C_V", "meV/K/atom"),
    "entropy_boltzmann_per_atom": ("S without masses", "k_B/atom"),
    "entropy_boltzmann_per_cell": ("S without masses", "k_B/cell"),
}


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one quantity on held-out structures.

    Attributes
    ----------
    name, label, unit
        Key of the quantity, what people call it, and its unit.
    mae, rmse, mad
        Mean absolute and root mean square error, and mean absolute deviation of the reference
        from its mean, in this unit.
    pearson, spearman, skill
        Correlations, and 1 - mae/mad; None where the reference is constant.
    baseline, baseline_mae
        The best guess that needs no model, and its error; empty and None without one.
    paper
        Published scores of other structures, by name; empty without any.
    """

    name: str
    label: str
    unit: str
    mae: float
    rmse: float
    mad: float
    pearson: float | None = None
    spearman: float | None = None
    skill: float | None = None
    baseline: str = ""
    baseline_mae: float | None = None
    paper: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Coverage:
    """How many held-out values intervals hold, and how many they were meant to hold."""

    label: str
    nominal: float
    observed: float


@dataclass(frozen=True)
class Parity:
    """Held-out predictions beside the references, in one unit and order."""

    label: str
    unit: str
    reference: Sequence[float]
    predicted: Sequence[float]


def score_rows(card: Mapping[str, Any]) -> list[ScoreRow]:
    """Return the scores of a card, a row for each quantity."""
    return [*_listed(card), *_entropies(card)]


def _listed(card: Mapping[str, Any]) -> Iterator[ScoreRow]:
    """Rows of cards that keep them as the published table does."""
    for one in card.get("scores") or ():
        guesses = {
            name.removesuffix("_mae"): float(value)
            for name, value in one.items()
            if name.endswith("_mae") and value is not None
        }
        best = min(guesses, key=lambda name: guesses[name], default="")
        label = one.get("label") or _words(str(one["quantity"]))
        yield _row(
            one["quantity"],
            label,
            one.get("unit") or "",
            one,
            best,
            guesses.get(best),
            one.get("published") or one.get("paper") or {},
        )


def _entropies(card: Mapping[str, Any]) -> Iterator[ScoreRow]:
    """Rows of cards of the entropy: per atom, per cell, per class, and of crystals' curves."""
    baselines = {name: one["mae"] for name, one in (card.get("baselines") or {}).items()}
    best = min(baselines, key=lambda name: baselines[name], default="")
    for name in ("entropy_boltzmann_per_atom", "entropy_boltzmann_per_cell"):
        if name in card:
            per_cell = name.endswith("cell")
            guess = (best, baselines[best]) if per_cell and best else ("", None)
            yield _row(name, *_UNITS[name], card[name], *guess)
    for family, one in (card.get("families") or {}).items():
        yield _row(f"entropy of {family}", f"S of {family}", "k_B/cell", one)
    for name, by_temperature in (card.get("thermodynamics") or {}).items():
        for kelvin in _SHOWN_TEMPERATURES:
            if isinstance(by_temperature, Mapping) and kelvin in by_temperature:
                label, unit = _UNITS.get(name, (name, ""))
                yield _row(f"{name} {kelvin}", f"{label} {kelvin}", unit, by_temperature[kelvin])


def _row(
    name: str,
    label: str,
    unit: str,
    scores: Mapping[str, Any],
    baseline: str = "",
    baseline_mae: float | None = None,
    paper: Mapping[str, float] | None = None,
) -> ScoreRow:
    return ScoreRow(
        name=name,
        label=label,
        unit=unit,
        mae=scores["mae"],
        rmse=scores["rmse"],
        mad=scores["mad"],
        pearson=scores.get("pearson"),
        spearman=scores.get("spearman"),
        skill=scores.get("skill"),
        baseline=_words(baseline),
        baseline_mae=baseline_mae,
        paper=paper or {},
    )


def coverages_of(card: Mapping[str, Any]) -> list[Coverage]:
    """Return how well the intervals of a card hold on held-out structures."""
    found = card.get("coverage") or {}
    if not isinstance(found, Mapping):
        by_quantity = card.get("held_out_coverage_300k") or {}
        return [Coverage(_words(name), float(found), one) for name, one in by_quantity.items()]
    if "calibrated" in found:
        return [Coverage("the entropy", float(found["intended"]), float(found["calibrated"]))]
    return []


def _words(name: str) -> str:
    """Write the name of a quantity as people read it.

    Examples
    --------
    >>> _words("free_energy_300k")
    'free energy 300 K'
    """
    return re.sub(r"(\d)k\b", r"\1 K", name.replace("_", " "))


def parities_of(card: Mapping[str, Any]) -> list[Parity]:
    """Return the held-out predictions of a card; none where it keeps none."""
    return [
        Parity(_words(name), str(one.get("unit") or ""), one["reference"], one["predicted"])
        for name, one in (card.get("parity") or {}).items()
        if one["reference"]
    ]


def summary_of(card: Mapping[str, Any]) -> str:
    """Say in one line what kind of model it is and how it was scored."""
    if "choice" in card:
        choice = card["choice"]
        each = ", ".join(f"{pair} {one}" for pair, one in choice.items())
        said = next(iter(choice.values())) if len(set(choice.values())) == 1 else each
        said += f"; {card['n_folds']} folds by structure"
        if card.get("n_duplicates"):
            said += f"; {card['n_duplicates']} duplicates left out"
        return said
    if "descriptor" in card:
        name = card["descriptor"].get("name", "")
        return f"{name}, {card['n_features']} features; {card['n_groups']} groups of structures"
    return str(card.get("summary") or "")


def notes_of(card: Mapping[str, Any]) -> list[str]:
    """Return coverage and notes, one sentence each."""
    coverages = coverages_of(card)
    found = []
    for nominal in dict.fromkeys(one.nominal for one in coverages):
        each = ", ".join(
            f"{one.label} {100 * one.observed:.0f} %" for one in coverages if one.nominal == nominal
        )
        found.append(f"held-out values inside of {100 * nominal:.0f} % intervals: {each}")
    if "clipped_modes_per_cell" in card:
        found.append(
            f"{card['clipped_modes_per_cell']:.2f} negative modes per cell are set to zero"
        )
    return found + [str(note) for note in card.get("notes") or ()]
