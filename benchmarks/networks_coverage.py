"""How often the intervals of an ensemble of densities of states hold the truth.

What is required counts crystals that are stable by their label and by the networks, refused ones
included. Users meet others: every crystal that the networks take for stable and do not refuse is
given an interval, also where its label is unstable and its entropy that of the modes above zero.
Both stand beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from report import Figure

from screening.network_dos.estimates import CURVES, Estimates, estimates_of, truth_of
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import LABEL_TEMPERATURES_K, DosLabel
from screening.network_dos.model import DensityOfStatesModel, PredictedDos
from screening.prediction import FloatArray

__all__ = ["Coverage", "coverage_figures", "coverage_of", "deviations", "knows"]

LEAST_COVERAGE, MOST_COVERAGE, COVERAGE_K = 0.85, 0.95, 300.0
BOTH_STABLE = "with label and prediction stable"
GIVEN = "given an interval, unstable labels included"


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth, over crystals.

    Attributes
    ----------
    inside
        By quantity, whether each interval holds it; of crystals that are stable by their label and
        by the networks.
    given
        The same of every crystal that a prediction gives an interval to, whatever its label says.
    widths
        By quantity, mean half width of the former in meV/atom or meV/K/atom; None without any.
    n_refused
        Crystals of elements that were not learned.
    """

    inside: Mapping[str, tuple[bool, ...]]
    given: Mapping[str, tuple[bool, ...]]
    widths: Mapping[str, float | None]
    n_refused: int

    @property
    def counts(self) -> dict[str, list[int]]:
        """How many intervals hold the truth, and of how many, by quantity."""
        return {name: [sum(one), len(one)] for name, one in self.inside.items()}


def coverage_of(model: DensityOfStatesModel, labels: Sequence[DosLabel]) -> Coverage:
    """Say whether the 90 % intervals at 300 K hold the truth of crystals."""
    known = [one for one in labels if knows(model, one)]
    n_refused = len(labels) - len(known)
    if not known:
        none: dict[str, tuple[bool, ...]] = dict.fromkeys(CURVES, ())
        return Coverage(none, none, dict.fromkeys(CURVES), n_refused)
    structures, grid = [one.structure for one in known], model.settings.grid
    predicted, truth = model.predict(structures), truth_of(known, grid)
    edges = predicted.edge_fraction
    estimates = estimates_of(predicted.histograms, structures, grid, outside_fraction=edges)
    rows = truth.has_thermodynamics & estimates.properties.stable
    given = _is_given(model, predicted, estimates) & _is_defined(known, grid)
    at = int(np.abs(estimates.temperatures_k - COVERAGE_K).argmin())
    half_widths = model.calibration.half_widths(estimates)
    held = {
        name: np.abs(estimates.values[name] - truth.values[name])[:, at] <= half_widths[name][:, at]
        for name in CURVES
    }
    return Coverage(
        inside={name: tuple(one[rows].tolist()) for name, one in held.items()},
        given={name: tuple(one[given].tolist()) for name, one in held.items()},
        widths={name: _mean(half_widths[name][rows, at]) for name in CURVES},
        n_refused=n_refused,
    )


def _is_given(
    model: DensityOfStatesModel, predicted: PredictedDos, estimates: Estimates
) -> NDArray[np.bool_]:
    """Which crystals a prediction gives intervals to: stable ones that it does not refuse."""
    found = estimates.properties
    return np.asarray(found.stable & found.suitable & (model.novelty(predicted) <= 1.0))


def _is_defined(labels: Sequence[DosLabel], grid: FrequencyGrid) -> NDArray[np.bool_]:
    """Which labels have modes above zero, and so thermodynamics."""
    above = np.asarray(grid.centres_thz) > 0.0
    return np.array([one.histogram[above].sum() > 0.0 for one in labels])


def knows(model: DensityOfStatesModel, label: DosLabel) -> bool:
    """Whether the model has learned all elements of a crystal."""
    return {int(site.specie.Z) for site in label.structure} <= set(model.elements)


def deviations(labels: Sequence[DosLabel], grid: FrequencyGrid) -> dict[str, float | None]:
    """Mean deviation of all crystals from their mean at 300 K: what an interval has to beat."""
    if not labels:
        return dict.fromkeys(CURVES)
    truth, at = truth_of(labels, grid), LABEL_TEMPERATURES_K.index(COVERAGE_K)
    found = {name: truth.values[name][truth.has_thermodynamics, at] for name in CURVES}
    middles = {name: _mean(one) or 0.0 for name, one in found.items()}
    return {name: _mean(np.abs(one - middles[name])) for name, one in found.items()}


def coverage_figures(
    found: Sequence[Coverage], name: str, spread: Mapping[str, float | None], *, required: bool
) -> list[Figure]:
    """Pool over splits; each quantity has to be within the limits where they are required."""
    if not found:
        text = f"{name}: coverage of 90 % intervals, {BOTH_STABLE}"
        return [Figure(text, None, "", f">= {LEAST_COVERAGE:g}")]
    figures = []
    for quantity in CURVES:
        at = f"{name}: {quantity} at {COVERAGE_K:.0f} K"
        figures += _shares(found, quantity, at, required=required)
        widths = [one.widths[quantity] for one in found]
        width = _mean([one for one in widths if one is not None])
        figures.append(_relative_width(at, width, spread[quantity]))
    refused = sum(one.n_refused for one in found)
    return [*figures, Figure(f"{name}: refused for an element", refused, "")]


def _shares(found: Sequence[Coverage], quantity: str, at: str, *, required: bool) -> list[Figure]:
    """Shares of the crystals that count for what is required, and of all with an interval."""
    inside = [one for coverage in found for one in coverage.inside[quantity]]
    given = [one for coverage in found for one in coverage.given[quantity]]
    covered = f"{at}: coverage of {len(inside)} {BOTH_STABLE} by 90 % intervals"
    every = f"{at}: coverage of all {len(given)} {GIVEN}"
    least, most = f">= {LEAST_COVERAGE:g}", f"<= {MOST_COVERAGE:g}"
    return [
        Figure(f"{covered}, least", _mean(inside), "", least if required else None),
        Figure(f"{covered}, most", _mean(inside), "", most if required else None),
        Figure(every, _mean(given), ""),
    ]


def _relative_width(at: str, width: float | None, spread: float | None) -> Figure:
    """Half width over the deviation of the truth, None where crystals do not deviate."""
    value = width / spread if width is not None and spread else None
    return Figure(f"{at}: half width over mean deviation", value, "")


def _mean(values: Sequence[float] | FloatArray) -> float | None:
    return float(np.mean(values)) if len(values) else None
