"""Figures of the phonons of one material: spectra and conductivity, written to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows import plots

if TYPE_CHECKING:
    from flows.results import StoredPhonons
    from stores.documents import PredictionDocument

__all__ = ["draw_conductivity", "draw_spectra"]

_ROOM_TEMPERATURE_K = 300.0
_WIDE_RATIO = 3.0  # of temperatures: beyond it a conductivity needs logarithmic axes


def draw_spectra(
    phonons: StoredPhonons, prediction: PredictionDocument, title: str, stem: Path, suffix: str
) -> list[Path]:
    """Draw bands and the density of states, or the one of the two that the method has."""
    if phonons.band_structure is None:
        return _draw_density(phonons, prediction, title, stem, suffix)
    figure = plots.plot_phonons(
        phonons.band_structure,
        phonons.density_of_states,
        species=[str(x) for x in phonons.document.structure.species],
        stability=prediction.stability.to_result(),
        title=title,
    )
    return [plots.save_figure(figure, Path(f"{stem}-phonons{suffix}"))]


def _draw_density(
    phonons: StoredPhonons, prediction: PredictionDocument, title: str, stem: Path, suffix: str
) -> list[Path]:
    """Draw a density of states without bands."""
    if phonons.density_of_states is None:
        return []
    numbers, stability = prediction.spectral_properties, prediction.stability
    figure = plots.plot_density(
        phonons.density_of_states,
        numbers.to_result() if numbers else None,
        verdict=f"{stability.verdict.value} (criterion {stability.criterion})",
        title=title,
    )
    return [plots.save_figure(figure, Path(f"{stem}-density{suffix}"))]


def draw_conductivity(phonons: StoredPhonons, title: str, stem: Path, suffix: str) -> list[Path]:
    """Draw the conductivity against temperature, where there are several, and its modes."""
    found = phonons.conductivity
    if found is None:
        return []
    std, kelvin = phonons.conductivity_std_w_per_m_k, found.temperatures_k
    figures = {}
    if len(kelvin) > 1:
        curve = plots.ConductivityCurve(kelvin, found.conductivity_w_per_m_k, std)
        wide = bool(kelvin.max() >= _WIDE_RATIO * kelvin.min())
        figures["conductivity"] = plots.plot_conductivity([curve], logarithmic=wide, title=title)
    near = int(abs(kelvin - _ROOM_TEMPERATURE_K).argmin())
    figures["conductivity-modes"] = plots.plot_conductivity_modes(
        found, near, std_w_per_m_k=std, title=title
    )
    return [
        plots.save_figure(figure, stem.with_name(f"{stem.name}-{name}{suffix}"))
        for name, figure in figures.items()
    ]
