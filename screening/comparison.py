"""What may be compared: energies from one source, one temperature grid, valid thermodynamics.

Ranking polymorphs and building a hull both start here. Nothing is repaired: a candidate that
cannot be compared is set aside with its reason, and what makes a comparison weaker is flagged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.prediction import (
    FloatArray,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)

__all__ = [
    "Candidate",
    "Comparison",
    "EnergyKind",
    "Excluded",
    "Exclusion",
    "Flag",
    "Member",
    "comparable_members",
]

_SAME_TEMPERATURE_DECIMALS = 6  # grids written as decimal numbers agree to far better than 1e-6 K
_MIN_COMMON_TEMPERATURES = 2  # one shared temperature is a coincidence, not a common grid


class EnergyKind(StrEnum):
    """Which static energies a comparison uses."""

    GIVEN = "given"
    POTENTIAL = "potential"


class Exclusion(StrEnum):
    """Why a candidate is kept out of an order."""

    FAILED = "failed"
    NO_PREDICTION = "no_prediction"
    INVALID_THERMODYNAMICS = "invalid_thermodynamics"
    MISSING_ENERGY = "missing_energy"
    OTHER_ENERGY_SOURCE = "other_energy_source"
    TEMPERATURES_MISSING = "temperatures_missing"
    RELAXED_INTO_ANOTHER = "relaxed_into_another"


class Flag(StrEnum):
    """What makes a comparison weaker than it looks."""

    GIVEN_ENERGIES_IGNORED = "given_energies_ignored"
    ENERGIES_INCOMPLETE = "energies_incomplete"
    MIXED_METHODS = "mixed_methods"
    ANCHORED = "anchored"
    DROPPED_WEIGHTS_DIFFER = "dropped_weights_differ"
    UNSTABLE_MEMBERS = "unstable_members"
    FEWER_TEMPERATURES = "fewer_temperatures"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A phase that may be compared with others.

    Attributes
    ----------
    material_id, label, space_group_symbol, formula
        What it is; the formula is the reduced one.
    static_energy_ev_per_atom, static_energy_source
        Given energy without vibrations in eV/atom and where it comes from, or None.
    potential_energy_ev_per_atom, potential_energy_source
        The same from the potential that made the prediction, or None.
    potential_energy_digest
        SHA-256 of the potential: two files of one name are two sources. None where the name
        says it all.
    thermodynamics, spread, verdict
        The prediction, or None where there is none.
    method
        What the prediction was made with (method, model, settings): thermodynamics of
        different methods differ by systematic errors that do not cancel.
    failure
        Error code where the prediction failed, or None.
    relaxed_into
        Other material that relaxed into the same crystal and is compared in this one's place,
        or None.
    is_anchored
        Whether a cheaper method predicted it, and it was placed relative to phases that both
        methods have predicted.
    """

    material_id: str
    label: str | None
    space_group_symbol: str
    formula: str
    static_energy_ev_per_atom: float | None
    static_energy_source: str | None
    thermodynamics: Thermodynamics | None
    verdict: Verdict | None
    potential_energy_ev_per_atom: float | None = None
    potential_energy_source: str | None = None
    potential_energy_digest: str | None = None
    spread: ThermodynamicsSpread | None = None
    method: str = ""
    failure: str | None = None
    relaxed_into: str | None = None
    is_anchored: bool = False


@dataclass(frozen=True)
class Excluded:
    """A candidate kept out of the comparison, and why."""

    material_id: str
    label: str | None
    space_group_symbol: str
    exclusion: Exclusion
    detail: str


@dataclass(frozen=True)
class Member:
    """A candidate in the comparison, on the common temperature grid.

    Attributes
    ----------
    candidate
        Where it comes from.
    static_energy_ev_per_atom
        The energy in use, eV/atom.
    free_energy_mev_per_atom, entropy_mev_per_k_per_atom
        Of vibration, shape (temperature,).
    free_energy_std_mev_per_atom
        Standard deviation over a committee, shape (temperature,), or None without one.
    """

    candidate: Candidate
    static_energy_ev_per_atom: float
    free_energy_mev_per_atom: FloatArray
    entropy_mev_per_k_per_atom: FloatArray
    free_energy_std_mev_per_atom: FloatArray | None


@dataclass(frozen=True)
class Comparison:
    """Members on one grid with energies from one source, and those left out.

    Members are sorted by static energy, then by material; excluded ones by material. The order
    in which the candidates were given has no influence.
    """

    temperatures_k: FloatArray
    members: tuple[Member, ...]
    excluded: tuple[Excluded, ...]
    energy_kind: EnergyKind | None
    energy_source: str | None
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class _Energies:
    """One consistent set of static energies, by material."""

    kind: EnergyKind
    source: str
    ev_per_atom: dict[str, float]


def comparable_members(
    candidates: Iterable[Candidate], temperatures_k: Sequence[float] | None = None
) -> Comparison:
    """Choose what can be compared.

    Given energies are used only where every usable candidate has one from the same source;
    otherwise those of the potential; where no source covers all, the one that covers most,
    and the rest is excluded.

    Parameters
    ----------
    candidates
        In any order.
    temperatures_k
        Grid in K that every member must hold; by default the temperatures that all hold.

    Raises
    ------
    InconsistentDataError
        If a material appears twice.
    NonFiniteInputError
        If an energy or a curve is not finite.
    """
    known = sorted(candidates, key=lambda candidate: candidate.material_id)
    _validate(known)
    out = [excluded for candidate in known if (excluded := _unusable(candidate))]
    left_out = {excluded.material_id for excluded in out}
    usable = [candidate for candidate in known if candidate.material_id not in left_out]
    energies = _choose_energies(usable)
    out += _without_energy(usable, energies)
    priced = [c for c in usable if energies and c.material_id in energies.ev_per_atom]
    grid = _common_grid(priced, temperatures_k)
    held = [c for c in priced if set(grid) <= set(_grid(c))]
    out += [
        _exclude(c, Exclusion.TEMPERATURES_MISSING, "does not hold the common temperatures")
        for c in priced
        if c not in held
    ]
    members = [_member(c, energies.ev_per_atom[c.material_id], grid) for c in held if energies]
    return Comparison(
        temperatures_k=frozen_array(grid if members else ()),
        members=tuple(
            sorted(members, key=lambda m: (m.static_energy_ev_per_atom, m.candidate.material_id))
        ),
        excluded=tuple(sorted(out, key=lambda excluded: excluded.material_id)),
        energy_kind=energies.kind if energies and members else None,
        energy_source=energies.source if energies and members else None,
        flags=_flags(usable, held, grid, energies),
    )


def _validate(candidates: Sequence[Candidate]) -> None:
    """Refuse repeated materials and numbers that are not finite."""
    counts = Counter(candidate.material_id for candidate in candidates)
    repeated = [material_id for material_id, count in counts.items() if count > 1]
    if repeated:
        raise InconsistentDataError(
            f"{repeated[0]} is given more than once", hint="Give every material once"
        )
    for candidate in candidates:
        energies = (candidate.static_energy_ev_per_atom, candidate.potential_energy_ev_per_atom)
        if any(energy is not None and not math.isfinite(energy) for energy in energies):
            raise NonFiniteInputError(
                "a static energy is not finite", subject=candidate.material_id
            )
        result = candidate.thermodynamics
        if result is not None and not np.all(np.isfinite(result.free_energy_mev_per_atom)):
            raise NonFiniteInputError(
                "the free energy is not finite", subject=candidate.material_id
            )


def _unusable(candidate: Candidate) -> Excluded | None:
    """Set aside what has no valid thermodynamics."""
    if candidate.thermodynamics is None:
        if candidate.failure is not None:
            return _exclude(candidate, Exclusion.FAILED, candidate.failure)
        return _exclude(candidate, Exclusion.NO_PREDICTION, "no prediction")
    if not candidate.thermodynamics.valid:
        weight = candidate.thermodynamics.dropped_weight
        detail = f"{100.0 * weight:.3g} % of the modes are low or imaginary: too many to compare"
        return _exclude(candidate, Exclusion.INVALID_THERMODYNAMICS, detail)
    if candidate.relaxed_into is not None:
        detail = f"relaxed into the same crystal as {candidate.relaxed_into}"
        return _exclude(candidate, Exclusion.RELAXED_INTO_ANOTHER, detail)
    return None


def _choose_energies(candidates: Sequence[Candidate]) -> _Energies | None:
    """Pick the set that covers all, given ones first; else the one that covers most."""
    given: dict[str, dict[str, float]] = {}
    potential: dict[tuple[str, str], dict[str, float]] = {}  # one name may be two models
    for c in candidates:
        if c.static_energy_ev_per_atom is not None:
            source = given.setdefault(c.static_energy_source or "", {})
            source[c.material_id] = c.static_energy_ev_per_atom
        if c.potential_energy_ev_per_atom is not None:
            model = (c.potential_energy_source or "", c.potential_energy_digest or "")
            source = potential.setdefault(model, {})
            source[c.material_id] = c.potential_energy_ev_per_atom
    sets = [_Energies(EnergyKind.GIVEN, name, values) for name, values in sorted(given.items())]
    complete = [found for found in sets if len(found.ev_per_atom) == len(candidates)]
    if complete:
        return complete[0]
    by_potential = [
        _Energies(EnergyKind.POTENTIAL, name, values)
        for (name, _), values in sorted(potential.items())
    ]
    return max((*by_potential, *sets), key=lambda found: len(found.ev_per_atom), default=None)


def _without_energy(candidates: Sequence[Candidate], energies: _Energies | None) -> list[Excluded]:
    """Set aside what the chosen energies do not cover."""
    out = []
    for c in candidates:
        if energies and c.material_id in energies.ev_per_atom:
            continue
        has_other = (
            c.static_energy_ev_per_atom is not None or c.potential_energy_ev_per_atom is not None
        )
        if has_other and energies:
            detail = f"no energy from {energies.source or 'the common source'}"
            is_namesake = c.potential_energy_source == energies.source
            if energies.kind is EnergyKind.POTENTIAL and energies.source and is_namesake:
                detail = f"its energy is from another model named {energies.source}"
            out.append(_exclude(c, Exclusion.OTHER_ENERGY_SOURCE, detail))
        else:
            out.append(_exclude(c, Exclusion.MISSING_ENERGY, "no static energy"))
    return out


def _grid(candidate: Candidate) -> tuple[float, ...]:
    """Return the temperatures, rounded so that equal ones compare equal."""
    assert candidate.thermodynamics is not None
    values = candidate.thermodynamics.temperatures_k
    return tuple(round(float(value), _SAME_TEMPERATURE_DECIMALS) for value in values)


def _common_grid(
    candidates: Sequence[Candidate], temperatures_k: Sequence[float] | None
) -> tuple[float, ...]:
    """Grid asked for, else what all share, else the grid that most hold."""
    if temperatures_k is not None:
        return tuple(sorted({round(float(t), _SAME_TEMPERATURE_DECIMALS) for t in temperatures_k}))
    grids = Counter(_grid(candidate) for candidate in candidates)
    if not grids:
        return ()
    shared = set.intersection(*(set(grid) for grid in grids))
    if len(grids) == 1 or len(shared) >= _MIN_COMMON_TEMPERATURES:
        return tuple(sorted(shared))
    return max(sorted(grids), key=lambda grid: (grids[grid], len(grid)))


def _member(candidate: Candidate, energy_ev_per_atom: float, grid: tuple[float, ...]) -> Member:
    """Restrict the candidate's curves to the common grid."""
    assert candidate.thermodynamics is not None
    places = {value: index for index, value in enumerate(_grid(candidate))}
    take = [places[value] for value in grid]
    curves, spread = candidate.thermodynamics, candidate.spread
    std = None if spread is None else frozen_array(spread.free_energy_std_mev_per_atom[take])
    return Member(
        candidate=candidate,
        static_energy_ev_per_atom=energy_ev_per_atom,
        free_energy_mev_per_atom=frozen_array(curves.free_energy_mev_per_atom[take]),
        entropy_mev_per_k_per_atom=frozen_array(curves.entropy_mev_per_k_per_atom[take]),
        free_energy_std_mev_per_atom=std,
    )


def _flags(
    usable: Sequence[Candidate],
    members: Sequence[Candidate],
    grid: tuple[float, ...],
    energies: _Energies | None,
) -> tuple[Flag, ...]:
    """Say what makes the comparison weaker."""
    has_given = any(c.static_energy_ev_per_atom is not None for c in usable)
    uses_given = energies is not None and energies.kind is EnergyKind.GIVEN
    flags = {
        Flag.GIVEN_ENERGIES_IGNORED: has_given and not uses_given,
        Flag.ENERGIES_INCOMPLETE: energies is not None and len(energies.ev_per_atom) < len(usable),
        Flag.MIXED_METHODS: len({c.method for c in members}) > 1,
        Flag.ANCHORED: any(c.is_anchored for c in members),
        Flag.UNSTABLE_MEMBERS: any(c.verdict is Verdict.UNSTABLE for c in members),
        Flag.FEWER_TEMPERATURES: any(len(_grid(c)) > len(grid) for c in members),
    }
    return tuple(flag for flag, raised in flags.items() if raised)


def _exclude(candidate: Candidate, exclusion: Exclusion, detail: str) -> Excluded:
    return Excluded(
        material_id=candidate.material_id,
        label=candidate.label,
        space_group_symbol=candidate.space_group_symbol,
        exclusion=exclusion,
        detail=detail,
    )
