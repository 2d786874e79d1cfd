"""Polymorphs compared: differences of free energies by the best methods that each pair shares.

All pairs of a composition that one method compares are asked for at once, because the answer
is about all of them: the intervals have to hold together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from flows.knowledge import Knowledge
from flows.uncertainty import Reference, Uncalibrated, Uncertainty, temperatures_of
from screening.decisions.evidence import with_static_energy
from screening.decisions.questions import GroupQuestion
from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from screening.uncertainty.samples import Sample
from screening.units import EV_TO_MEV

__all__ = ["Comparison", "static_energies"]

_Pair = tuple[str, str]
_Intervals = tuple[Interval, ...]


@dataclass(frozen=True)
class Comparison:
    """Differences between the polymorphs of one composition.

    Attributes
    ----------
    question
        Gives the window of temperatures.
    members
        The polymorphs.
    alpha
        Accepted risk that any of the intervals misses.
    uncertainty
        Where the intervals of a method come from, by its place in the ladder.
    """

    question: GroupQuestion
    members: Sequence[Knowledge]
    alpha: float
    uncertainty: Callable[[int], Uncertainty]

    def differences(self) -> dict[_Pair, _Intervals]:
        """Return intervals by temperature of every pair that some method predicted both of.

        Pairs without static energies of one source are left out, as they cannot be compared.
        """
        pairs = self._pairs()
        quantities = self._quantities(pairs)
        if not quantities:
            return {}
        # several calibrations share the risk; a reference takes none
        risky = sum(not _is_exact(self.uncertainty(level)) for level in pairs)
        alpha = self.alpha / max(1, risky)
        found: dict[_Pair, _Intervals] = {}
        for level, of_level in sorted(pairs.items()):
            found |= self._of_level(level, of_level, quantities, alpha)
        given = _given_energies(self.members)
        return {
            pair: _with_given(given, pair, intervals) if given else intervals
            for pair, intervals in found.items()
        }

    def _pairs(self) -> dict[int, set[_Pair]]:
        """Pairs by the place of the best method that gave usable numbers of both."""
        found: dict[int, set[_Pair]] = defaultdict(set)
        for one, two in combinations(self.members, 2):
            shared = _usable_levels(one) & _usable_levels(two)
            if shared:
                found[max(shared)].add((one.material_id, two.material_id))
        return found

    def _quantities(self, levels: Iterable[int]) -> tuple[Quantity, ...]:
        """One grid for all pairs, which decisions compare."""
        given = _given_energies(self.members)
        kind = Property.FREE_ENERGY_DIFFERENCE if given else Property.RELATIVE_FREE_ENERGY
        samples = [found.sample for one in self.members for found in one.predictions.values()]
        calibrated = {name for one in levels for name in self.uncertainty(one).tables}
        window = (self.question.lowest_temperature_k, self.question.highest_temperature_k)
        grid = temperatures_of(window, kind, calibrated, samples)
        return tuple(Quantity(kind, temperature_k) for temperature_k in grid)

    def _of_level(
        self, level: int, pairs: set[_Pair], quantities: Sequence[Quantity], alpha: float
    ) -> dict[_Pair, _Intervals]:
        """Intervals of the pairs of one method, together for those of one source of energies."""
        names = {name for pair in pairs for name in pair}
        sources: dict[str | None, list[Sample]] = defaultdict(list)
        needs_energy = quantities[0].kind is Property.RELATIVE_FREE_ENERGY
        for one in self.members:
            if one.material_id not in names:
                continue
            sample = one.predictions[level].sample
            if not needs_energy:
                sources[None].append(sample)
            elif sample.static_energy_ev_per_atom is not None:
                sources[sample.static_energy_source].append(sample)
        found: dict[_Pair, _Intervals] = {}
        for samples in sources.values():
            found |= _jointly(self.uncertainty(level), samples, quantities, alpha)
        return {pair: intervals for pair, intervals in found.items() if pair in pairs}


def _usable_levels(known: Knowledge) -> set[int]:
    """Places of the methods whose free energies mean anything."""
    return {level for level, found in known.predictions.items() if found.is_valid}


def _jointly(
    source: Uncertainty, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
) -> Mapping[_Pair, _Intervals]:
    """Intervals of all pairs; open ones, or none, where a prediction does not reach far enough."""
    for tried in (source, Uncalibrated()):
        try:
            return tried.differences(samples, quantities, alpha)
        except InconsistentDataError:
            continue
    return {}


def _is_exact(source: Uncertainty) -> bool:
    return isinstance(source, Reference) and not isinstance(source, Uncalibrated)


def _with_given(given: Mapping[str, float], pair: _Pair, intervals: _Intervals) -> _Intervals:
    """Add the energies that came with the structures."""
    static_mev = (given[pair[0]] - given[pair[1]]) * EV_TO_MEV
    return tuple(with_static_energy(one, static_mev) for one in intervals)


def _given_energies(members: Sequence[Knowledge]) -> dict[str, float]:
    """Energies in eV/atom that came with the structures, if all have one of the same source."""
    given = {
        one.material_id: one.static_energy_ev_per_atom
        for one in members
        if one.static_energy_ev_per_atom is not None
    }
    sources = {one.static_energy_source for one in members}
    return given if len(given) == len(members) and len(sources) == 1 else {}


def static_energies(members: Sequence[Knowledge]) -> dict[str, float]:
    """Energies in eV/atom of one source for as many polymorphs as possible.

    None where no method predicted all polymorphs that have a prediction.
    """
    given = _given_energies(members)
    if given:
        return given
    usable = [one for one in members if one.predictions]
    levels = [set(one.predictions) for one in usable]
    shared: set[int] = set.intersection(*levels) if levels else set()
    if not shared:
        return {}
    samples = {one.material_id: one.predictions[max(shared)].sample for one in usable}
    return {
        name: sample.static_energy_ev_per_atom
        for name, sample in samples.items()
        if sample.static_energy_ev_per_atom is not None
    }
