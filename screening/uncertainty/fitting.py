"""From pairs of predictions to a calibration.

Every score comes from a correction that has not seen the composition it belongs to, so all
pairs serve both the correction and the scores (cross-conformal with composition as the fold).

References
----------
Barber, Candès, Ramdas, Tibshirani (2021), Ann. Stat. 49, 486: the jackknife as a conformal
method.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from screening.errors import InconsistentDataError, ScreeningError
from screening.prediction import Verdict, frozen_array
from screening.quantities import Quantity
from screening.uncertainty.calibration import Calibration, default_quantities
from screening.uncertainty.correction import (
    CorrectionPrior,
    fit_correction,
    leave_one_group_out,
)
from screening.uncertainty.descriptors import CORRECTION_FEATURES, DOMAIN_FEATURES
from screening.uncertainty.domain import fit_domain
from screening.uncertainty.estimates import (
    estimate,
    estimate_difference,
    raw_value,
)
from screening.uncertainty.risk import LowestFrequencies
from screening.uncertainty.samples import Sample
from screening.uncertainty.scaling import frequency_scale
from screening.uncertainty.scores import ScoreTable

__all__ = ["Pair", "check_resolved", "fit_calibration"]

Pair = tuple[Sample, Sample]
"""The cheap and the better prediction of one crystal."""

_SCALE_TEMPERATURE_K = 300.0
_SAME_TEMPERATURE_K = 1e-6
_WIDEST_STEP_K = 100.0  # interpolation over it costs less than 0.1 meV/atom
_SHARE_PRIOR_STD = 0.5  # of the slope of differences around one
_SHARE_NOISE_MEV = 2.0


@dataclass(frozen=True)
class _Held:
    """A usable pair with the correction that other compositions give it."""

    cheap: Sample
    better: Sample
    log_scale: float
    log_scale_std: float


def fit_calibration(
    pairs: Sequence[Pair],
    *,
    cheap_family: str,
    reference_family: str,
    quantities: Sequence[Quantity] | None = None,
    known_verdicts: LowestFrequencies | None = None,
    prior: CorrectionPrior | None = None,
) -> Calibration:
    """Learn what a cheap method is worth.

    Parameters
    ----------
    pairs
        Cheap and better prediction of the same crystals, in any order.
    cheap_family, reference_family
        Names of the two methods.
    quantities
        What to calibrate; by default all properties at the usual temperatures.
    known_verdicts
        Lowest frequencies by the cheap method of further crystals whose dynamical stability
        is known, for instance from the literature.
    prior
        What is expected of the bias before any data.

    Returns
    -------
    Calibration
        Pairs that cannot be used are counted in it, not hidden.

    Raises
    ------
    InconsistentDataError
        If a pair belongs to two compositions.
    """
    ordered = sorted(pairs, key=lambda pair: pair[0].material_id)
    for cheap, better in ordered:
        if cheap.composition != better.composition:
            raise InconsistentDataError(
                f"a pair of {cheap.composition} and {better.composition}",
                subject=cheap.material_id,
            )
    usable, log_scales, skipped = _usable(ordered)
    compositions = [cheap.composition for cheap, _ in usable]
    features = [x.correction_features for x, _ in usable]
    correction = fit_correction(
        frozen_array(np.reshape(features, (len(usable), len(CORRECTION_FEATURES)))),
        compositions,
        frozen_array(log_scales),
        prior,
    )
    means, deviations = leave_one_group_out(correction)
    held = [
        _Held(cheap, better, float(mean), float(std))
        for (cheap, better), mean, std in zip(usable, means, deviations, strict=True)
    ]
    tables, shares = _all_tables(held, quantities or default_quantities())
    places = [x.domain_features for x, _ in usable]
    fitted = Calibration(
        cheap_family=cheap_family,
        reference_family=reference_family,
        correction=correction,
        domain=fit_domain(np.reshape(places, (len(usable), len(DOMAIN_FEATURES))), compositions),
        tables=tables,
        shares=shares,
        lowest_frequencies=_lowest_frequencies(ordered, known_verdicts or LowestFrequencies()),
        material_ids=tuple(cheap.material_id for cheap, _ in ordered),
        skipped=dict(skipped),
    )
    return Calibration.from_dict(fitted.as_dict())  # rounded: what is stored answers the same


def _usable(pairs: Sequence[Pair]) -> tuple[list[Pair], list[float], Counter[str]]:
    """Pairs with valid thermodynamics and a frequency scale, ln s of each, and the others."""
    kept: list[Pair] = []
    log_scales: list[float] = []
    skipped = Counter[str]()
    for cheap, better in pairs:
        if not (cheap.thermodynamics.valid and better.thermodynamics.valid):
            skipped["thermodynamics not valid"] += 1
            continue
        try:
            check_resolved(better, _SCALE_QUANTITY)
            reference = raw_value(better, _SCALE_QUANTITY)
            scale = frequency_scale(cheap.thermodynamics, reference, _SCALE_TEMPERATURE_K)
        except ScreeningError:
            skipped["no frequency scale at 300 K"] += 1
            continue
        kept.append((cheap, better))
        log_scales.append(float(np.log(scale)))
    return kept, log_scales, skipped


_SCALE_QUANTITY = Quantity.parse("free_energy_300k_mev_per_atom")


def _all_tables(
    held: Sequence[_Held], quantities: Sequence[Quantity]
) -> tuple[dict[str, ScoreTable], dict[str, float]]:
    """Scores of all quantities, and the shares of the differences."""
    tables, shares = {}, {}
    for quantity in dict.fromkeys(quantities):
        if quantity.kind.is_difference:
            found = _difference_table(held, quantity)
            if found is not None:
                tables[quantity.name], shares[quantity.name] = found
        else:
            tables[quantity.name] = _table(held, quantity)
    return {name: table for name, table in tables.items() if table.scores}, shares


def _table(held: Sequence[_Held], quantity: Quantity) -> ScoreTable:
    """Scores of one property; crystals whose reference does not have it are left out."""
    rows = []
    for one in held:
        try:
            check_resolved(one.better, quantity)
            truth = raw_value(one.better, quantity)
            found = estimate(one.cheap, quantity, one.log_scale, one.log_scale_std)
        except InconsistentDataError:
            continue
        score = abs(truth - found.value) / found.deviation
        rows.append(_row(score, one.cheap))
    return ScoreTable(*zip(*rows, strict=True)) if rows else ScoreTable()


def _difference_table(held: Sequence[_Held], quantity: Quantity) -> tuple[ScoreTable, float] | None:
    """Scores of the differences of all pairs of polymorphs, and the share of all."""
    rows = []
    for first, second in _polymorph_pairs(held):
        log_scale = (first.log_scale + second.log_scale) / 2.0
        try:
            for one in (first, second):
                check_resolved(one.better, quantity)
            truth = estimate_difference(first.better, second.better, quantity, 0.0, 1.0).value
            full = estimate_difference(first.cheap, second.cheap, quantity, log_scale, 1.0).value
            none = estimate_difference(first.cheap, second.cheap, quantity, log_scale, 0.0).value
        except InconsistentDataError:
            continue
        rows.append((first, second, log_scale, full - none, truth - none))
    if not rows:
        return None
    scores = []
    for first, second, log_scale, _, _ in rows:
        others = [row[3:] for row in rows if row[0].cheap.composition != first.cheap.composition]
        found = estimate_difference(first.cheap, second.cheap, quantity, log_scale, _share(others))
        truth = estimate_difference(first.better, second.better, quantity, 0.0, 1.0).value
        score = abs(truth - found.value) / found.deviation
        scores.append(_row(score, first.cheap, second.cheap))
    return ScoreTable(*zip(*scores, strict=True)), _share([row[3:] for row in rows])


def _row(score: float, *samples: Sample) -> tuple[float, str, str, str]:
    """Score, composition, class and name of one unit."""
    unit = " - ".join(sample.material_id for sample in samples)
    return score, samples[0].composition, samples[0].chemistry, unit


def check_resolved(better: Sample, quantity: Quantity) -> None:
    """Refuse a temperature between far points of the reference: it would be a guess.

    Raises
    ------
    InconsistentDataError
        If the enclosing step of the grid is wider than 100 K, or there is none.
    """
    if quantity.temperature_k is None:
        return
    grid = better.thermodynamics.temperatures_k
    high = int(np.searchsorted(grid, quantity.temperature_k - _SAME_TEMPERATURE_K))
    if high < len(grid) and abs(grid[high] - quantity.temperature_k) <= _SAME_TEMPERATURE_K:
        return
    if not 0 < high < len(grid) or grid[high] - grid[high - 1] > _WIDEST_STEP_K:
        raise InconsistentDataError(
            f"the reference does not resolve {quantity.temperature_k:g} K",
            subject=better.material_id,
        )


def _polymorph_pairs(held: Sequence[_Held]) -> Iterator[tuple[_Held, _Held]]:
    groups: dict[str, list[_Held]] = defaultdict(list)
    for one in held:
        groups[one.cheap.composition].append(one)
    for _, members in sorted(groups.items()):
        yield from combinations(members, 2)


def _share(rows: Sequence[tuple[float, float]]) -> float:
    """Slope of true over predicted differences, drawn towards one where little is known."""
    precision = 1.0 / _SHARE_PRIOR_STD**2
    variance = _SHARE_NOISE_MEV**2
    weighted = sum(predicted * truth for predicted, truth in rows) / variance + precision
    return weighted / (sum(predicted**2 for predicted, _ in rows) / variance + precision)


def _lowest_frequencies(pairs: Sequence[Pair], known: LowestFrequencies) -> LowestFrequencies:
    """Sort the cheap lowest frequencies by the verdict of the better method."""
    by_verdict: dict[Verdict, list[tuple[float, str]]] = defaultdict(list)
    for cheap, better in pairs:
        by_verdict[better.verdict].append((cheap.lowest_frequency_thz, cheap.composition))
    stable, unstable = by_verdict[Verdict.STABLE], by_verdict[Verdict.UNSTABLE]
    return LowestFrequencies(
        stable_thz=(*known.stable_thz, *(x for x, _ in stable)),
        stable_compositions=(*known.stable_compositions, *(name for _, name in stable)),
        unstable_thz=(*known.unstable_thz, *(x for x, _ in unstable)),
        unstable_compositions=(*known.unstable_compositions, *(name for _, name in unstable)),
    )
