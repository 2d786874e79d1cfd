"""Whether a potential orders polymorphs as the reference does, and names the same transitions.

Errors of free energies do not cancel between polymorphs, so differences are scored by themselves.
Two polymorphs that drop different numbers of low modes are not compared.

References
----------
Lee, Hegde, Wolverton, Xia (2024), arXiv:2407.09674: the reference polymorph of a composition is
the one with the lowest static enthalpy; a candidate for a transition has a free energy less than
10 meV/atom above it and the lowest of all others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.comparison import Candidate
from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.metrics import RegressionScores, regression_scores
from screening.prediction import Thermodynamics
from screening.ranking import Ranking, RankingSettings, rank_polymorphs

__all__ = [
    "MAX_DROPPED_WEIGHT_DIFFERENCE",
    "PolymorphPair",
    "PolymorphScores",
    "TransitionLists",
    "score_polymorphs",
    "transition_lists",
]

MAX_DROPPED_WEIGHT_DIFFERENCE = RankingSettings().max_dropped_weight_difference
"""Two sums over modes that drop fractions differing by more are not of the same thing."""

_MIN_POLYMORPHS = 2


@dataclass(frozen=True, eq=False)
class PolymorphPair:
    """Thermodynamics of one polymorph as predicted and as it should be, on one grid.

    Attributes
    ----------
    material_id, group
        Which one, and its composition as reduced formula.
    predicted, reference
        Harmonic thermodynamics.
    static_enthalpy_ev_per_atom
        Of the reference method, in eV/atom, for both sides; None where unknown.

    Raises
    ------
    InconsistentDataError
        If the temperatures differ.
    NonFiniteInputError
        If the enthalpy is not finite.
    """

    material_id: str
    group: str
    predicted: Thermodynamics
    reference: Thermodynamics
    static_enthalpy_ev_per_atom: float | None = None

    def __post_init__(self) -> None:
        if not np.array_equal(self.predicted.temperatures_k, self.reference.temperatures_k):
            raise InconsistentDataError(
                "the two sides are at different temperatures",
                subject=self.material_id,
                hint="Use one grid for both",
            )
        enthalpy = self.static_enthalpy_ev_per_atom
        if enthalpy is not None and not np.isfinite(enthalpy):
            raise NonFiniteInputError(
                "the static enthalpy is not finite",
                subject=self.material_id,
                hint="Give None where it is not known",
            )


@dataclass(frozen=True)
class PolymorphScores:
    """Differences of vibrational free energies between polymorphs, at one temperature.

    Attributes
    ----------
    temperature_k
        In K.
    scores
        Errors of the differences in meV/atom; None where no pair can be compared.
    sign_agreement
        Fraction of differences with the right sign; 0.5 is what a coin reaches. None as above.
    n_pairs, n_not_comparable
        Pairs scored, and pairs left out because their members drop fractions of modes that
        differ by more than 1e-3 on one of the two sides.
    """

    temperature_k: float
    scores: RegressionScores | None
    sign_agreement: float | None
    n_pairs: int
    n_not_comparable: int


@dataclass(frozen=True)
class TransitionLists:
    """Polymorphs that a composition may transform into, at one temperature.

    Attributes
    ----------
    temperature_k
        In K.
    reference, predicted, common
        Materials named by the reference, by the prediction, and by both.
    n_compositions
        Compositions with two or more polymorphs whose static enthalpies are all known.
    n_without_enthalpy
        Compositions with polymorphs that were left out for a missing static enthalpy.
    """

    temperature_k: float
    reference: tuple[str, ...]
    predicted: tuple[str, ...]
    common: tuple[str, ...]
    n_compositions: int
    n_without_enthalpy: int


def score_polymorphs(polymorphs: Sequence[PolymorphPair]) -> tuple[PolymorphScores, ...]:
    """Score the differences to the reference polymorph of every composition.

    The reference is the polymorph of lowest static enthalpy, or the first by name where an
    enthalpy of the composition is missing: errors do not depend on the sign of a difference.

    Returns
    -------
    tuple of PolymorphScores
        By temperature; empty where no composition has two polymorphs.
    """
    groups = _compositions(polymorphs)
    pairs = [(first, other) for first, *others in groups for other in others]
    if not pairs:
        return ()
    kept = [pair for pair in pairs if _is_comparable(*pair)]
    temperatures = pairs[0][0].reference.temperatures_k
    predicted = np.array([_differences(a.predicted, b.predicted) for a, b in kept])
    truth = np.array([_differences(a.reference, b.reference) for a, b in kept])
    found = []
    for column, temperature in enumerate(temperatures):
        if not kept:
            found.append(PolymorphScores(float(temperature), None, None, 0, len(pairs)))
            continue
        ours, theirs = predicted[:, column], truth[:, column]
        agreement = float(np.mean(np.sign(ours) == np.sign(theirs)))
        scores = regression_scores(ours, theirs)
        n_left_out = len(pairs) - len(kept)
        found.append(PolymorphScores(float(temperature), scores, agreement, len(kept), n_left_out))
    return tuple(found)


def transition_lists(
    polymorphs: Sequence[PolymorphPair], settings: RankingSettings | None = None
) -> tuple[TransitionLists, ...]:
    """List the transitions that either side names, with the same static enthalpies.

    Parameters
    ----------
    polymorphs
        Of any compositions.
    settings
        Tolerances; 10 meV/atom by default. Its temperatures are not used.

    Returns
    -------
    tuple of TransitionLists
        By temperature; empty where no composition has polymorphs whose enthalpies are known.
    """
    settings = settings or RankingSettings()
    groups = _compositions(polymorphs)
    priced = [group for group in groups if _has_enthalpies(group)]
    if not priced:
        return ()
    n_without = len(groups) - len(priced)
    found = []
    for temperature in priced[0][0].reference.temperatures_k:
        predicted, reference = (
            {
                name
                for group in priced
                for name in _candidates(group, side, float(temperature), settings)
            }
            for side in ("predicted", "reference")
        )
        found.append(
            TransitionLists(
                temperature_k=float(temperature),
                reference=tuple(sorted(reference)),
                predicted=tuple(sorted(predicted)),
                common=tuple(sorted(predicted & reference)),
                n_compositions=len(priced),
                n_without_enthalpy=n_without,
            )
        )
    return tuple(found)


def _compositions(polymorphs: Sequence[PolymorphPair]) -> list[list[PolymorphPair]]:
    """Compositions with several polymorphs, the reference polymorph first."""
    groups: dict[str, list[PolymorphPair]] = defaultdict(list)
    for one in polymorphs:
        groups[one.group].append(one)
    several = [groups[name] for name in sorted(groups) if len(groups[name]) >= _MIN_POLYMORPHS]
    return [sorted(group, key=_place if _has_enthalpies(group) else _name) for group in several]


def _place(one: PolymorphPair) -> tuple[float, str]:
    assert one.static_enthalpy_ev_per_atom is not None
    return one.static_enthalpy_ev_per_atom, one.material_id


def _name(one: PolymorphPair) -> tuple[float, str]:
    return 0.0, one.material_id


def _has_enthalpies(group: Sequence[PolymorphPair]) -> bool:
    return all(one.static_enthalpy_ev_per_atom is not None for one in group)


def _is_comparable(first: PolymorphPair, other: PolymorphPair) -> bool:
    limit = MAX_DROPPED_WEIGHT_DIFFERENCE * (1 + 1e-9)
    sides = (first.predicted, other.predicted), (first.reference, other.reference)
    return all(abs(a.dropped_weight - b.dropped_weight) <= limit for a, b in sides)


def _differences(first: Thermodynamics, other: Thermodynamics) -> list[float]:
    return list(other.free_energy_mev_per_atom - first.free_energy_mev_per_atom)


def _candidates(
    group: Sequence[PolymorphPair], side: str, temperature_k: float, settings: RankingSettings
) -> list[str]:
    """Apply the rule of the ranking at one temperature."""
    ranking: Ranking = rank_polymorphs(
        [
            Candidate(
                material_id=one.material_id,
                label=None,
                space_group_symbol="",
                formula=one.group,
                static_energy_ev_per_atom=one.static_enthalpy_ev_per_atom,
                static_energy_source="reference",
                thermodynamics=getattr(one, side),
                verdict=None,
            )
            for one in group
        ],
        RankingSettings(
            tie_mev_per_atom=settings.tie_mev_per_atom,
            candidate_mev_per_atom=settings.candidate_mev_per_atom,
            max_dropped_weight_difference=settings.max_dropped_weight_difference,
            temperatures_k=(temperature_k,),
        ),
    )
    return [one.material_id for one in ranking.candidates]
