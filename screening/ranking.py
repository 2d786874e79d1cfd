"""Order of the polymorphs of one composition at every temperature.

A(T) = E_static + F_vib(T) per atom at the volume of the static minimum; pressure is neglected.
The reference of a composition is the polymorph of lowest static energy; relative values are
A(T) minus the reference's. A polymorph is a candidate for a transition where its relative free
energy is below the tolerance of the static energies (10 meV/atom) and the lowest among those
that are not the reference.

References
----------
Lee, Hegde, Wolverton, Xia (2024), arXiv:2407.09674, section on polymorphs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import ndtr

from screening.comparison import (
    Candidate,
    Comparison,
    EnergyKind,
    Excluded,
    Exclusion,
    Flag,
    Member,
    comparable_members,
)
from screening.errors import InconsistentDataError, SettingError
from screening.prediction import FloatArray, Verdict, frozen_array
from screening.transitions import Crossing, Curves, find_crossings
from screening.units import EV_TO_MEV

__all__ = [
    "Candidate",
    "Crossing",
    "EnergyKind",
    "Excluded",
    "Exclusion",
    "Flag",
    "RankedPolymorph",
    "Ranking",
    "RankingSettings",
    "TransitionCandidate",
    "rank_polymorphs",
]


@dataclass(frozen=True)
class RankingSettings:
    """How polymorphs are ranked.

    Attributes
    ----------
    tie_mev_per_atom
        Polymorphs within this much of the lowest are tied with it, in meV/atom. The default
        is the usual error of relative static DFT energies.
    candidate_mev_per_atom
        Below this relative free energy a polymorph may transform, in meV/atom.
    max_dropped_weight_difference
        Two polymorphs whose dropped weights differ by more are not comparable: a mode of
        0.05 THz that only one of them drops is worth 125 meV at 300 K.
    temperatures_k
        Grid in K that every polymorph must hold; None for the temperatures that all hold.

    Raises
    ------
    SettingError
        If a value is negative or not finite, or the grid is empty.
    """

    tie_mev_per_atom: float = 10.0
    candidate_mev_per_atom: float = 10.0
    max_dropped_weight_difference: float = 1e-3
    temperatures_k: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("tie_mev_per_atom", "candidate_mev_per_atom", "max_dropped_weight_difference"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise SettingError(f"{value} is not a number from 0 up", subject=name)
        grid = self.temperatures_k
        if grid is not None and (not grid or any(not math.isfinite(t) or t < 0 for t in grid)):
            raise SettingError(f"{grid} is not a temperature grid in K", subject="temperatures_k")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(self)
        grid = self.temperatures_k
        return plain | {"temperatures_k": None if grid is None else list(grid)}


@dataclass(frozen=True)
class RankedPolymorph:
    """One polymorph in the order; arrays have shape (temperature,).

    Attributes
    ----------
    static_energy_ev_per_atom, relative_static_energy_mev_per_atom
        Energy without vibrations, and above the reference's.
    free_energy_ev_per_atom
        Static energy plus free energy of vibration.
    relative_free_energy_mev_per_atom
        The same above the reference's; negative where this one is lower.
    ranks
        Place at every temperature, 1 for the lowest.
    tied_with_lowest
        Whether it is within the tie of the lowest, at every temperature.
    free_energy_std_mev_per_atom
        Committee standard deviation of the vibrational part alone, or None.
    probability_below_reference
        Probability of being lower than the reference from the vibrational spreads, taken as
        independent and Gaussian. None without them, and where the static energies are the
        potential's: their spread is not known, and a probability without it is too sure.
    comparable_to_reference
        False where the dropped weights differ too much.
    """

    material_id: str
    label: str | None
    space_group_symbol: str
    verdict: Verdict | None
    static_energy_ev_per_atom: float
    relative_static_energy_mev_per_atom: float
    free_energy_ev_per_atom: FloatArray
    relative_free_energy_mev_per_atom: FloatArray
    ranks: tuple[int, ...]
    tied_with_lowest: tuple[bool, ...]
    free_energy_std_mev_per_atom: FloatArray | None
    probability_below_reference: FloatArray | None
    dropped_weight: float
    comparable_to_reference: bool


@dataclass(frozen=True)
class TransitionCandidate:
    """A polymorph that the reference may transform into, and where.

    ``lowest_temperature_k`` and ``highest_temperature_k`` are the first and last grid point at
    which it is the candidate.
    """

    material_id: str
    lowest_temperature_k: float
    highest_temperature_k: float
    smallest_relative_free_energy_mev_per_atom: float


@dataclass(frozen=True)
class Ranking:
    """Order of the polymorphs of one composition.

    Attributes
    ----------
    polymorphs
        By static energy, the reference first; empty where nothing could be compared.
    excluded
        Candidates kept out of the order, with the reason.
    order
        Materials from lowest to highest free energy, for every temperature.
    lowest_probability
        Probability that the lowest is lower than its strongest rival, shape (temperature,);
        None as above, or where there is no rival.
    tie_mev_per_atom
        Width of the tie that the order was made with, in meV/atom.
    not_comparable
        Pairs whose dropped weights differ too much.
    """

    formula: str
    temperatures_k: FloatArray
    reference_id: str | None
    polymorphs: tuple[RankedPolymorph, ...]
    excluded: tuple[Excluded, ...]
    energy_kind: EnergyKind | None
    energy_source: str | None
    order: tuple[tuple[str, ...], ...]
    candidates: tuple[TransitionCandidate, ...]
    crossings: tuple[Crossing, ...]
    lowest_probability: FloatArray | None
    not_comparable: tuple[tuple[str, str], ...]
    flags: tuple[Flag, ...]
    tie_mev_per_atom: float

    @property
    def transitions(self) -> tuple[Crossing, ...]:
        """Crossings between the lowest polymorphs, by temperature."""
        return tuple(crossing for crossing in self.crossings if crossing.between_lowest)


@dataclass(frozen=True)
class _Table:
    """Members and their curves above the reference, which comes first."""

    members: tuple[Member, ...]
    curves: Curves

    @property
    def relative_mev(self) -> FloatArray:
        return self.curves.free_energy_mev_per_atom


def rank_polymorphs(
    candidates: Iterable[Candidate], settings: RankingSettings | None = None
) -> Ranking:
    """Rank the polymorphs of one composition at every common temperature.

    The order in which the candidates are given has no influence on the result.

    Parameters
    ----------
    candidates
        Polymorphs of one composition.
    settings
        How to rank; the default's tolerances are 10 meV/atom.

    Raises
    ------
    InconsistentDataError
        If there is no candidate, one appears twice, or the formulas differ.
    NonFiniteInputError
        If a number is not finite.
    """
    settings = settings or RankingSettings()
    known = list(candidates)
    formula = _only_formula(known)
    comparison = comparable_members(known, settings.temperatures_k)
    table = _table(comparison, settings)
    order = _orders(table)
    not_comparable = tuple(
        (table.curves.ids[i], table.curves.ids[j])
        for i, j in combinations(range(len(table.members)), 2)
        if (i, j) not in table.curves.comparable
    )
    flags = comparison.flags + ((Flag.DROPPED_WEIGHTS_DIFFER,) if not_comparable else ())
    return Ranking(
        formula=formula,
        temperatures_k=comparison.temperatures_k,
        reference_id=table.curves.ids[0] if table.members else None,
        polymorphs=_ranked(table, order, settings),
        excluded=comparison.excluded,
        energy_kind=comparison.energy_kind,
        energy_source=comparison.energy_source,
        order=tuple(tuple(table.curves.ids[i] for i in places) for places in order),
        candidates=_candidates(table, settings),
        crossings=find_crossings(table.curves) if table.members else (),
        lowest_probability=_lowest_probability(table, order),
        not_comparable=not_comparable,
        flags=flags,
        tie_mev_per_atom=settings.tie_mev_per_atom,
    )


def _only_formula(candidates: Sequence[Candidate]) -> str:
    formulas = sorted({candidate.formula for candidate in candidates})
    if len(formulas) != 1:
        found = ", ".join(formulas) or "none"
        raise InconsistentDataError(
            f"polymorphs have one formula, not {found}", hint="Rank every composition by itself"
        )
    return formulas[0]


def _table(comparison: Comparison, settings: RankingSettings) -> _Table:
    """Stack the members; the first one is the reference, for they come sorted."""
    members, grid = comparison.members, comparison.temperatures_k
    shape = (len(members), len(grid))
    static = np.array([m.static_energy_ev_per_atom for m in members])
    vibration = np.array([m.free_energy_mev_per_atom for m in members]).reshape(shape)
    entropy = np.array([m.entropy_mev_per_k_per_atom for m in members]).reshape(shape)
    # Differences first: the static energies are large and nearly equal.
    relative = (static - static[:1])[:, None] * EV_TO_MEV + (vibration - vibration[:1])
    is_known = comparison.energy_kind is EnergyKind.GIVEN  # the potential's spread is not
    curves = Curves(
        ids=tuple(m.candidate.material_id for m in members),
        temperatures_k=grid,
        free_energy_mev_per_atom=frozen_array(relative),
        slopes_mev_per_k_per_atom=frozen_array(entropy[:1] - entropy),
        std_mev_per_atom=tuple(
            m.free_energy_std_mev_per_atom if is_known else None for m in members
        ),
        comparable=_comparable_pairs(members, settings.max_dropped_weight_difference),
    )
    return _Table(members, curves)


def _comparable_pairs(members: Sequence[Member], limit: float) -> frozenset[tuple[int, int]]:
    weights = [_dropped_weight(member) for member in members]
    tolerated = limit * (1 + 1e-9)  # a difference of exactly the limit, rounded, passes
    return frozenset(
        (i, j)
        for i, j in combinations(range(len(members)), 2)
        if abs(weights[i] - weights[j]) <= tolerated
    )


def _dropped_weight(member: Member) -> float:
    assert member.candidate.thermodynamics is not None
    return member.candidate.thermodynamics.dropped_weight


def _orders(table: _Table) -> list[list[int]]:
    """Sort indices from lowest to highest at every temperature; equal ones by material."""
    ids = table.curves.ids
    return [
        sorted(range(len(ids)), key=lambda i: (float(column[i]), ids[i]))
        for column in table.relative_mev.T
    ]


def _ranked(
    table: _Table, order: list[list[int]], settings: RankingSettings
) -> tuple[RankedPolymorph, ...]:
    ranks = np.array([np.argsort(places) for places in order], dtype=np.int64).T + 1
    if not table.members:
        return ()
    above_lowest = table.relative_mev - table.relative_mev.min(axis=0)
    tied = above_lowest <= settings.tie_mev_per_atom
    return tuple(
        _ranked_one(table, i, tuple(ranks[i].tolist()), tuple(tied[i].tolist()))
        for i in range(len(table.members))
    )


def _ranked_one(
    table: _Table, index: int, ranks: tuple[int, ...], tied: tuple[bool, ...]
) -> RankedPolymorph:
    member, reference = table.members[index], table.members[0]
    total = member.static_energy_ev_per_atom + member.free_energy_mev_per_atom / EV_TO_MEV
    static_difference = member.static_energy_ev_per_atom - reference.static_energy_ev_per_atom
    return RankedPolymorph(
        material_id=member.candidate.material_id,
        label=member.candidate.label,
        space_group_symbol=member.candidate.space_group_symbol,
        verdict=member.candidate.verdict,
        static_energy_ev_per_atom=member.static_energy_ev_per_atom,
        relative_static_energy_mev_per_atom=static_difference * EV_TO_MEV,
        free_energy_ev_per_atom=frozen_array(total),
        relative_free_energy_mev_per_atom=frozen_array(table.relative_mev[index]),
        ranks=ranks,
        tied_with_lowest=tied,
        free_energy_std_mev_per_atom=member.free_energy_std_mev_per_atom,
        probability_below_reference=_probability_below(table, index, 0) if index else None,
        dropped_weight=_dropped_weight(member),
        comparable_to_reference=index == 0 or (0, index) in table.curves.comparable,
    )


def _probability_below(table: _Table, one: int, two: int) -> FloatArray | None:
    """P(A_one < A_two) with Gaussian errors, shape (temperature,)."""
    std = table.curves.std_of_difference(one, two)
    if std is None:
        return None
    gap = table.relative_mev[two] - table.relative_mev[one]
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(std > 0, gap / std, np.sign(gap) * np.inf)
    return frozen_array(np.where((std == 0) & (gap == 0), 0.5, ndtr(scaled)))


def _lowest_probability(table: _Table, order: list[list[int]]) -> FloatArray | None:
    n_members = len(table.members)
    if n_members < 2 or any(std is None for std in table.curves.std_mev_per_atom):  # noqa: PLR2004 - a pair
        return None
    values = []
    for column, places in enumerate(order):
        rivals = [_probability_below(table, places[0], rival) for rival in places[1:]]
        values.append(min(float(rival[column]) for rival in rivals if rival is not None))
    return frozen_array(values)


def _candidates(table: _Table, settings: RankingSettings) -> tuple[TransitionCandidate, ...]:
    """Apply the rule at every temperature and collect the polymorphs it names."""
    rivals = [i for i in range(1, len(table.members)) if (0, i) in table.curves.comparable]
    found: dict[int, list[int]] = {}
    for column in range(len(table.curves.temperatures_k)):
        best = min(
            rivals, key=lambda i: (table.relative_mev[i, column], table.curves.ids[i]), default=0
        )
        if best and table.relative_mev[best, column] < settings.candidate_mev_per_atom:
            found.setdefault(best, []).append(column)
    grid = table.curves.temperatures_k
    named = [
        TransitionCandidate(
            material_id=table.curves.ids[index],
            lowest_temperature_k=float(grid[columns[0]]),
            highest_temperature_k=float(grid[columns[-1]]),
            smallest_relative_free_energy_mev_per_atom=float(
                table.relative_mev[index, columns].min()
            ),
        )
        for index, columns in found.items()
    ]
    return tuple(sorted(named, key=lambda c: (c.lowest_temperature_k, c.material_id)))
