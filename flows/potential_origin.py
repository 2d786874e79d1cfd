"""What a potential learned in all, with what the weights it started from had learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screening.network_potential.last_layer import EARLIER_IS_KNOWN

__all__ = ["STARTED_FROM", "with_earlier"]

STARTED_FROM = "started_from"
"""Field of a card: name of the potential whose weights were at the start, empty for none."""


def with_earlier(
    split: Mapping[str, Any], earlier: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    """Add what the weights at the start had learned from, and say what that means for scores.

    Parameters
    ----------
    split
        Of the card of the training.
    earlier
        Card of the potential whose weights it started from; None for random weights.

    Returns
    -------
    dict, list of str
        The split, with what is known to have been learned before and whether that is all, and
        notes for the card.
    """
    if earlier is None:
        return dict(split), []
    known = set(earlier.get("split", {}).get("training_groups", ()))
    is_known = bool(known) and _says_all(earlier)
    n_seen = len(known.intersection(split["held_out_groups"]))
    notes = []
    if n_seen:
        notes.append(f"{n_seen} held-out compositions were learned by the weights it started from")
    if not is_known:
        said = "what the weights it started from had learned is not known"
        notes.append(f"{said}, held-out ones may be among it")
    groups = sorted(known.union(split["training_groups"]))
    return {**split, "training_groups": groups, EARLIER_IS_KNOWN: is_known}, notes


def _says_all(card: Mapping[str, Any]) -> bool:
    """Whether a card knows of all that was learned before its own training."""
    was_foreign = "@" in card.get(STARTED_FROM, "")  # a network of others, with its digest
    return bool(card["split"].get(EARLIER_IS_KNOWN, not was_foreign))
