"""The curves behind the figures of the descriptor models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from entropy_plots import draw_entropy, draw_scale

from flows.model_cards import parities_of
from flows.plots.models import plot_parity
from flows.plots.style import save_figure

__all__ = ["draw"]


def draw(details: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw what was measured; what was not is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant, card in details.get("force-constants", {}).items():
        parities = parities_of(card)
        if parities:
            figure = plot_parity(parities, title=f"{variant}, held-out crystals of KZnF3")
            yield save_figure(figure, folder / f"descriptor_models_{variant}.png")
    if details.get("entropy"):
        yield draw_entropy(details["entropy"], folder)
    if details.get("scale"):
        yield draw_scale(details["scale"], folder)
