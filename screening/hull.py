"""Convex hull of a chemical system at finite temperature.

The corners are the lowest phases of the elements; energies are A(T) = E_static + F_vib(T). A hull
is made only from energies of one source with every element present; otherwise the reason is
stated. Elements that are gases are taken as their crystals: their free energy as a gas is not
in a harmonic crystal, so that oxides and nitrides look more stable than they are when hot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from pymatgen.core import Composition

from screening.comparison import (
    Candidate,
    Comparison,
    EnergyKind,
    Excluded,
    Flag,
    Member,
    comparable_members,
)
from screening.errors import InconsistentDataError, SettingError
from screening.prediction import FloatArray, frozen_array
from screening.units import EV_TO_MEV

__all__ = [
    "Hull",
    "HullPhase",
    "HullRefusal",
    "HullSettings",
    "NoHull",
    "build_hull",
]


class NoHull(StrEnum):
    """Why there is no hull."""

    MISSING_ELEMENT = "missing_element"
    NO_COMPOUND = "no_compound"
    NO_COMMON_TEMPERATURES = "no_common_temperatures"


@dataclass(frozen=True)
class HullSettings:
    """At which temperatures hulls are made.

    Attributes
    ----------
    temperatures_k
        In K; those that the phases do not all hold are left out.

    Raises
    ------
    SettingError
        If there is none, or one is negative or not finite.
    """

    temperatures_k: tuple[float, ...] = (0.0, 300.0, 600.0, 1000.0, 1500.0)

    def __post_init__(self) -> None:
        grid = self.temperatures_k
        if not grid or any(not math.isfinite(t) or t < 0 for t in grid):
            raise SettingError(f"{grid} is not a temperature grid in K", subject="temperatures_k")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"temperatures_k": list(self.temperatures_k)}


@dataclass(frozen=True)
class HullPhase:
    """One phase and its distance from the hull; arrays have shape (temperature,).

    Attributes
    ----------
    formation_energy_mev_per_atom
        Free energy above the elements.
    energy_above_hull_mev_per_atom
        Zero on the hull.
    decomposition
        For every temperature, the phases it decomposes into with their atomic fractions; itself
        where it is on the hull.
    """

    material_id: str
    formula: str
    formation_energy_mev_per_atom: FloatArray
    energy_above_hull_mev_per_atom: FloatArray
    decomposition: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Hull:
    """The hull of a chemical system; phases by formula, then by material."""

    chemsys: str
    temperatures_k: FloatArray
    phases: tuple[HullPhase, ...]
    excluded: tuple[Excluded, ...]
    energy_kind: EnergyKind
    energy_source: str
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class HullRefusal:
    """No hull, and why."""

    chemsys: str
    reason: NoHull
    detail: str
    excluded: tuple[Excluded, ...]


def build_hull(
    chemsys: str, candidates: Iterable[Candidate], settings: HullSettings | None = None
) -> Hull | HullRefusal:
    """Make the hull of a chemical system at every temperature that its phases share.

    Parameters
    ----------
    chemsys
        Elements joined by hyphens.
    candidates
        Phases within the system, elements included, in any order.
    settings
        Temperatures.

    Raises
    ------
    InconsistentDataError
        If a phase holds an element outside the system, or appears twice.
    NonFiniteInputError
        If a number is not finite.
    """
    known = list(candidates)
    elements = frozenset(chemsys.split("-"))
    for candidate in known:
        if not _elements(candidate) <= elements:
            raise InconsistentDataError(
                f"{candidate.formula} is not within {chemsys}", subject=candidate.material_id
            )
    comparison = comparable_members(known)
    refusal = _refusal(chemsys, elements, comparison)
    if refusal is not None:
        return refusal
    columns = _columns(comparison, (settings or HullSettings()).temperatures_k)
    if not columns:
        detail = "the phases share none of the temperatures asked for"
        return HullRefusal(chemsys, NoHull.NO_COMMON_TEMPERATURES, detail, comparison.excluded)
    assert comparison.energy_kind is not None
    return Hull(
        chemsys=chemsys,
        temperatures_k=frozen_array(comparison.temperatures_k[columns]),
        phases=_phases(comparison.members, columns),
        excluded=comparison.excluded,
        energy_kind=comparison.energy_kind,
        energy_source=comparison.energy_source or "",
        flags=tuple(flag for flag in comparison.flags if flag is not Flag.FEWER_TEMPERATURES),
    )


def _elements(candidate: Candidate) -> frozenset[str]:
    return frozenset(element.symbol for element in Composition(candidate.formula).elements)


def _refusal(chemsys: str, elements: frozenset[str], comparison: Comparison) -> HullRefusal | None:
    """Say why there can be no hull."""
    held = [_elements(member.candidate) for member in comparison.members]
    missing = sorted(element for element in elements if frozenset({element}) not in held)
    if missing:
        detail = f"no comparable phase of {', '.join(missing)}"
        return HullRefusal(chemsys, NoHull.MISSING_ELEMENT, detail, comparison.excluded)
    if all(len(phase) == 1 for phase in held):
        detail = "no comparable compound"
        return HullRefusal(chemsys, NoHull.NO_COMPOUND, detail, comparison.excluded)
    return None


def _columns(comparison: Comparison, wanted_k: tuple[float, ...]) -> list[int]:
    """Find the indices of the wanted temperatures on the common grid."""
    grid = comparison.temperatures_k
    near = [np.flatnonzero(np.isclose(grid, t, rtol=0, atol=1e-6)) for t in sorted(set(wanted_k))]
    return [int(found[0]) for found in near if found.size]


def _phases(members: tuple[Member, ...], columns: list[int]) -> tuple[HullPhase, ...]:
    """Distances of all members from the hulls, one hull per temperature."""
    hulls = [_distances(members, column) for column in columns]
    phases = []
    for member in members:
        rows = [hull[member.candidate.material_id] for hull in hulls]
        phases.append(
            HullPhase(
                material_id=member.candidate.material_id,
                formula=member.candidate.formula,
                formation_energy_mev_per_atom=frozen_array([row[0] for row in rows]),
                energy_above_hull_mev_per_atom=frozen_array([row[1] for row in rows]),
                decomposition=tuple(row[2] for row in rows),
            )
        )
    return tuple(sorted(phases, key=lambda phase: (phase.formula, phase.material_id)))


_Row = tuple[float, float, tuple[tuple[str, float], ...]]


def _distances(members: tuple[Member, ...], column: int) -> dict[str, _Row]:
    """Compute formation energy, distance from the hull and decomposition of every member."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    entries = []
    for member in members:
        composition = Composition(member.candidate.formula)
        vibration = float(member.free_energy_mev_per_atom[column]) / EV_TO_MEV
        total = (member.static_energy_ev_per_atom + vibration) * composition.num_atoms
        entries.append(PDEntry(composition, total, name=member.candidate.material_id))
    diagram = PhaseDiagram(entries)
    rows: dict[str, _Row] = {}
    for entry in entries:
        parts, above = diagram.get_decomp_and_e_above_hull(entry)
        if parts is None or above is None:
            raise InconsistentDataError("has no decomposition", subject=str(entry.name))
        fractions = [(str(getattr(part, "name", "")), float(x)) for part, x in parts.items()]
        rows[entry.name] = (
            float(diagram.get_form_energy_per_atom(entry)) * EV_TO_MEV,
            float(above) * EV_TO_MEV,
            tuple(sorted(fractions)),
        )
    return rows
