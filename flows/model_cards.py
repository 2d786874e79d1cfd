"""The card of a trained model in one form, whichever method wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.dos_cards import (
    density_notes,
    density_rows,
    density_summary,
    is_of_densities,
)

__all__ = [
    "Coverage",
    "Parity",
    "ScoreRow",
    "coverages_of",
    "notes_of",
    "parities_of",
    "score_rows",
    "summary_of",
    "warnings_of",
]

_SHOWN_TEMPERATURES = ("0 K", "100 K", "300 K", "1000 K")
_MEAN = "mean"
_UNITS = {
    "free_energy_mev_per_atom": ("F", "meV/atom"),
    "entropy_mev_per_k_per_atom": ("S", "meV/K/atom"),
    "heat_capacity_mev_per_k_per_atom": ("C_V", "meV/K/atom"),
    "entropy_boltzmann_per_atom": ("S without masses", "k_B/atom"),
    "entropy_boltzmann_per_cell": ("S without masses", "k_B/cell"),
}
_PAPER_FAMILIES = {
    "strain": "strained_cells_rmse_boltzmann",
    "damage": "random_damage_and_defects_rmse_boltzmann",
}
_PAPER_LINES = {
    "formation_rmse_boltzmann_afs": "defects by afs",
    "formation_rmse_boltzmann_scattering": "by scattering",
    "formation_rmse_boltzmann_bso4": "by bso4",
    "strained_cells_rmse_boltzmann": "strained cells",
    "random_damage_and_defects_rmse_boltzmann": "damage, learned from damage and defects",
    "defects_to_random_damage_rmse_boltzmann": "damage, learned from defects",
}
_HELD_OUT = "held-out values inside of {:.0f} % intervals"
_WITHIN_CALIBRATION = (
    "values inside of {0:.0f} % intervals within the calibration set, each composition by those of "
    "the others, so close to {0:.0f} % by construction"
)
_POTENTIAL = (
    ("forces_ev_per_angstrom", "forces", "eV/Å"),
    ("energy_ev_per_atom", "energy", "eV/atom"),
    ("stress_ev_per_angstrom3", "stress", "eV/Å³"),
)


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one quantity on held-out structures.

    Attributes
    ----------
    name, label, unit
        Key of the quantity, what people call it, and its unit.
    mae, rmse, mad
        Mean absolute and root mean square error, and mean absolute deviation of the reference
        from its mean, in this unit; None where the card does not say.
    pearson, spearman, skill
        Correlations, and 1 - mae/mad; None where the reference is constant.
    baseline, baseline_mae
        The best guess that needs no model, and its error; the mean where no other is known.
    n_structures
        How many values were held out; None where the card does not say.
    paper
        Published scores of other structures, by name; empty without any.
    """

    name: str
    label: str
    unit: str
    mae: float
    rmse: float | None
    mad: float | None
    pearson: float | None = None
    spearman: float | None = None
    skill: float | None = None
    baseline: str = ""
    baseline_mae: float | None = None
    n_structures: int | None = None
    paper: Mapping[str, float] = field(default_factory=dict)

    @property
    def skill_over_guess(self) -> float | None:
        """1 - mae/baseline_mae; None where the guess is exact."""
        return 1.0 - self.mae / self.baseline_mae if self.baseline_mae else None


@dataclass(frozen=True)
class Coverage:
    """How many held-out values intervals hold, and how many they were meant to hold.

    Attributes
    ----------
    label
        The quantity.
    nominal, observed
        The shares.
    by_construction
        Whether the intervals of each composition are those that all others of the same calibration
        set give: then they hold about as many as they are meant to, whatever the model is worth.
    """

    label: str
    nominal: float
    observed: float
    by_construction: bool = False


@dataclass(frozen=True)
class Parity:
    """Held-out predictions beside the references, in one unit and order.

    Cards keep some of many; ``scores`` are then those of all, where the card has them.
    """

    label: str
    unit: str
    reference: Sequence[float]
    predicted: Sequence[float]
    scores: ScoreRow | None = None


def score_rows(card: Mapping[str, Any]) -> list[ScoreRow]:
    """Return the scores of a card, a row for each quantity."""
    if is_of_densities(card):
        return [ScoreRow(**one) for one in density_rows(card)]
    if isinstance(card.get("scores"), Mapping):
        return list(_of_potential(card["scores"]))
    return [*_listed(card), *_entropies(card)]


def _of_potential(scores: Mapping[str, Any]) -> Iterator[ScoreRow]:
    """Rows of cards of potentials: forces beside predicting none, energies and stresses."""
    for name, label, unit in _POTENTIAL:
        if f"{label}_mae" not in scores:
            continue
        mae, none = scores[f"{label}_mae"], scores.get(f"zero_{label}_mae")
        yield ScoreRow(
            name=name,
            label=label,
            unit=unit,
            mae=mae,
            rmse=None,
            mad=None,
            baseline="zero forces" if none else "",
            baseline_mae=none,
        )


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
            guess = baselines[best] if per_cell and best else None
            paper = _paper_of(card) if per_cell else {}
            yield _row(name, *_UNITS[name], card[name], best, guess, paper=paper)
    for family, one in (card.get("families") or {}).items():
        paper = _paper_of(card, family)
        yield _row(f"entropy of {family}", f"S of {family}", "k_B/cell", one, paper=paper)
    yield from _curves(card.get("thermodynamics") or {})


def _curves(thermodynamics: Mapping[str, Any]) -> Iterator[ScoreRow]:
    """Rows of the curves at a few temperatures; where all crystals have one value there is none."""
    for name, by_temperature in thermodynamics.items():
        for kelvin in _SHOWN_TEMPERATURES:
            one = by_temperature.get(kelvin) if isinstance(by_temperature, Mapping) else None
            if one is not None and one["mad"] > 0.0:
                label, unit = _UNITS.get(name, (name, ""))
                yield _row(f"{name} {kelvin}", f"{label} {kelvin}", unit, one)


def _paper_of(card: Mapping[str, Any], family: str = "") -> dict[str, float]:
    """Return the published error of the same descriptor, or of a class of structures."""
    name = (card.get("descriptor") or {}).get("name", "")
    classes = (key for word, key in _PAPER_FAMILIES.items() if word in family)
    key = next(classes, "") if family else f"formation_rmse_boltzmann_{name}"
    found = (card.get("paper") or {}).get(key)
    return {} if found is None else {"rmse": float(found)}


def _row(
    name: str,
    label: str,
    unit: str,
    scores: Mapping[str, Any],
    baseline: str = "",
    baseline_mae: float | None = None,
    paper: Mapping[str, float] | None = None,
) -> ScoreRow:
    is_known = baseline_mae is not None
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
        baseline=_words(baseline) if is_known else _MEAN,
        baseline_mae=baseline_mae if is_known else scores["mad"],
        n_structures=scores.get("count"),
        paper=paper or {},
    )


def warnings_of(card: Mapping[str, Any]) -> list[str]:
    """Say which quantities a simple guess tells as well as the model; empty where none is."""
    found = [
        f"{one.label} ({one.mae:.3g} beside {one.baseline_mae:.3g}{_unit(one)} {_guess(one)})"
        for one in score_rows(card)
        if one.baseline_mae and one.mae >= one.baseline_mae
    ]
    return [f"no better than a simple guess: {', '.join(found)}"] if found else []


def _unit(row: ScoreRow) -> str:
    return "" if row.unit in ("", "1") else f" {row.unit}"


def _guess(row: ScoreRow) -> str:
    return (
        f"of {row.baseline}"
        if row.baseline == "nothing"
        else f"of the {row.baseline.removeprefix('the ')}"
    )


def coverages_of(card: Mapping[str, Any]) -> list[Coverage]:
    """Return how well the intervals of a card hold on held-out structures."""
    found = card.get("coverage") or {}
    if not isinstance(found, Mapping):
        by_quantity = card.get("held_out_coverage_300k") or {}
        return [Coverage(_words(name), float(found), one) for name, one in by_quantity.items()]
    if "intended" not in found:
        return []
    nominal = float(found["intended"])
    if "calibrated" not in found:  # of densities of states
        return [
            Coverage(_words(name), nominal, float(one), by_construction=True)
            for name, one in (found.get("held_out_300k") or {}).items()
            if one is not None
        ]
    curves = card.get("held_out_coverage_300k") or {}
    return [
        Coverage("the entropy without masses", nominal, float(found["calibrated"])),
        *(Coverage(f"{_words(name)} 300 K", nominal, float(one)) for name, one in curves.items()),
    ]


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
    rows = {row.name: row for row in score_rows(card)}
    return [
        Parity(
            rows[name].label if name in rows else _UNITS.get(name, (_words(name),))[0],
            str(one.get("unit") or ""),
            one["reference"],
            one["predicted"],
            rows.get(name),
        )
        for name, one in (card.get("parity") or {}).items()
        if one["reference"]
    ]


def summary_of(card: Mapping[str, Any]) -> str:
    """Say in one line what kind of model it is and how it was scored."""
    if is_of_densities(card):
        return density_summary(card)
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
    if isinstance(card.get("split"), Mapping) and "n_training_cells" in card["split"]:
        return _training_of(card)
    return str(card.get("summary") or "")


def _training_of(card: Mapping[str, Any]) -> str:
    """Say how a potential was trained."""
    split, shape = card["split"], card["settings"]["architecture"]
    groups = split["held_out_groups"]
    held_out = (
        f"{split['n_held_out_cells']} cells of {len(groups)} other compositions held out"
        if groups
        else "none held out"
    )
    ended = "" if card["is_complete"] else ", not complete"
    return (
        f"{shape['n_interactions']} layers of {shape['channels']} channels, "
        f"{shape['cutoff_angstrom']:g} Å, {card['n_parameters']} weights; "
        f"{card['n_epochs']} epochs in {card['wall_seconds']:.0f} s{ended}; "
        f"{split['n_training_groups']} compositions, {held_out}"
    )


def notes_of(card: Mapping[str, Any]) -> list[str]:
    """Return coverage and notes, one sentence each."""
    coverages = coverages_of(card)
    found = []
    for nominal, built in dict.fromkeys((one.nominal, one.by_construction) for one in coverages):
        each = ", ".join(
            f"{one.label} {100 * one.observed:.0f} %"
            for one in coverages
            if (one.nominal, one.by_construction) == (nominal, built)
        )
        said = _WITHIN_CALIBRATION if built else _HELD_OUT
        found.append(f"{said.format(100 * nominal)}: {each}")
    if "clipped_modes_per_cell" in card:
        found.append(
            f"{card['clipped_modes_per_cell']:.2f} negative modes per cell are set to zero"
        )
    if is_of_densities(card):
        found += density_notes(card)
    return [*found, *_published(card), *(str(note) for note in card.get("notes") or ())]


def _published(card: Mapping[str, Any]) -> list[str]:
    """Say what the figures of the paper are of."""
    paper = card.get("paper") or {}
    named = [f"{_PAPER_LINES[key]} {paper[key]:g}" for key in _PAPER_LINES if key in paper]
    if named:
        said = "the paper's RMSE in k_B are of entropies of formation in bcc iron, 1,024 atoms: "
        return [said + "; ".join(named)]
    rows = card.get("scores") or ()
    if not isinstance(rows, Mapping) and any(one.get("published") for one in rows):
        return ["the paper's figures are of 121 structures of KZnF3 by density functional theory"]
    return []
