"""The card of a network of densities of states, as rows, coverages and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["DENSITY_CURVES", "density_notes", "density_rows", "density_summary", "is_of_densities"]

_NETWORK = "network"
_BINS = ("wasserstein_thz", "mae")
_LABELS = {"wasserstein_thz": "distance of modes", "mae": "curve of maximum one"}
_UNITS = {"wasserstein_thz": "THz", "mae": "1"}
_NAMES = {
    "zero": "nothing",
    "mean": "mean curve",
    "nearest_neighbours": "nearest neighbours",
    "debye": "Debye",
    "born_von_karman": "Born-von Karman",
    "scalar": "direct model",
    "potential": "the potential",
}
_SYMBOLS = {"free_energy": "F", "entropy": "S", "heat_capacity": "C_V"}
DENSITY_CURVES: Mapping[str, str] = {
    "free_energy": "meV/atom",
    "entropy": "meV/K/atom",
    "heat_capacity": "meV/K/atom",
}
"""Thermodynamic functions of a card, and their units."""

_PERCENT = 100.0


def is_of_densities(card: Mapping[str, Any]) -> bool:
    """Say whether a card is that of a network of densities of states."""
    scores = card.get("scores")
    return isinstance(scores, Mapping) and isinstance(scores.get(_NETWORK), Mapping)


def density_rows(card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the scores of a card, each beside the best of all baselines, as fields of a row."""
    scores = card["scores"]
    for name in _BINS:
        yield {
            "name": name,
            "label": _LABELS[name],
            "unit": _UNITS[name],
            "mae": scores[_NETWORK][name],
            "rmse": None,
            "mad": None,
            "n_structures": scores[_NETWORK]["count"],
            "paper": {},
            **_best_guess(scores, name),
        }
    for name, one in (card.get("thermodynamics") or {}).items():
        yield {
            "name": name,
            "label": _label(name),
            "unit": next(unit for curve, unit in DENSITY_CURVES.items() if name.startswith(curve)),
            "n_structures": one.get("count"),
            "paper": {},
            **{field: one.get(field) for field in ("mae", "rmse", "mad", "pearson", "spearman")},
            "skill": one.get("skill"),
            **_best_guess(scores, f"{name}_mae"),
        }


def _best_guess(scores: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return the baseline of the least error."""
    errors = {
        name: float(row[field])
        for name, row in scores.items()
        if name != _NETWORK and row.get(field) is not None
    }
    best = min(errors, key=lambda name: errors[name], default="")
    return {"baseline": _NAMES.get(best, best), "baseline_mae": errors.get(best)}


def _label(name: str) -> str:
    """Write the name of a quantity as people read it.

    Examples
    --------
    >>> _label("heat_capacity_300k_mev_per_k_per_atom")
    'C_V 300 K'
    """
    for curve, symbol in _SYMBOLS.items():
        if name.startswith(f"{curve}_"):
            kelvin = name.removeprefix(f"{curve}_").partition("k_")[0].replace("p", ".")
            return f"{symbol} {kelvin} K"
    return name.replace("_", " ")


def density_summary(card: Mapping[str, Any]) -> str:
    """Say in one line how the networks were trained."""
    shape = card.get("settings", {}).get("architecture", {})
    layers = (
        f"{shape['angle_layers']}+{shape['bond_layers']} layers of {shape['hidden']} features, "
        f"{shape['bond_cutoff_angstrom']:g} Å; "
        if shape
        else ""
    )
    given = f"corrects {card['prior']['model']}; " if card.get("prior") else ""
    return (
        f"{given}{len(card['seeds'])} networks, {layers}{card['n_learned_from']} crystals learned, "
        f"{card['n_held_out']} of other compositions held out; {card['wall_seconds']:.0f} s"
    )


def density_notes(card: Mapping[str, Any]) -> list[str]:
    """Say what the rows do not: stability, history and the published figures."""
    own, paper = card["scores"][_NETWORK], card.get("paper") or {}
    below = own.get("fraction_below_published")
    found = []
    if own.get("recall_of_instability") is not None:
        share = _PERCENT * own["recall_of_instability"]
        found.append(
            f"unstable crystals that were recognised, by the rule of a tenth: {share:.0f} %"
        )
    if below is not None and "fraction_below_0p086" in paper:
        found.append(
            f"curves of an error below 0.086: {_PERCENT * below:.0f} %, as published of 14,000 "
            f"compounds with random splits {_PERCENT * paper['fraction_below_0p086']:.0f} %"
        )
    best = [one["best_epoch"] for one in card.get("member_histories", ())]
    if best:
        found.append(f"best epochs of the members: {', '.join(map(str, best))}")
    return found
