"""Figures of results: bands and DOS, thermodynamics, conductivities, rankings, a whole screen.

What may live here: drawing. Numbers arrive computed; matplotlib is imported when a figure is
made, without pyplot and its global state, so figures can be drawn in any thread and without a
display.
"""

from __future__ import annotations

from flows.plots.calibration import plot_calibration
from flows.plots.conductivity import (
    ConductivityCurve,
    plot_conductivity,
    plot_conductivity_modes,
)
from flows.plots.densities import plot_density
from flows.plots.force_constants import plot_band_comparison
from flows.plots.interval_views import DecidedCrystals, interval_views
from flows.plots.intervals import IntervalRow, IntervalView, plot_intervals
from flows.plots.learning import learning_table, plot_learning
from flows.plots.models import plot_model_scores, plot_parity
from flows.plots.overview import plot_overview, plot_rankings
from flows.plots.phonons import plot_phonons
from flows.plots.ranking import ExcludedPhase, PhaseCurve, RankingView, plot_ranking
from flows.plots.style import figure_title, save_figure
from flows.plots.thermodynamics import plot_thermodynamics
from flows.plots.training_history import plot_training_history
from flows.plots.views import ranking_view

__all__ = [
    "ConductivityCurve",
    "DecidedCrystals",
    "ExcludedPhase",
    "IntervalRow",
    "IntervalView",
    "PhaseCurve",
    "RankingView",
    "figure_title",
    "interval_views",
    "learning_table",
    "plot_band_comparison",
    "plot_calibration",
    "plot_conductivity",
    "plot_conductivity_modes",
    "plot_density",
    "plot_intervals",
    "plot_learning",
    "plot_model_scores",
    "plot_overview",
    "plot_parity",
    "plot_phonons",
    "plot_ranking",
    "plot_rankings",
    "plot_thermodynamics",
    "plot_training_history",
    "ranking_view",
    "save_figure",
]
