"""The ranking of the polymorphs of one composition at every temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from screening.comparison import EnergyKind, Excluded, Exclusion, Flag
from screening.digest import digest_of
from screening.prediction import FloatArray, Verdict
from screening.ranking import Crossing, RankedPolymorph, Ranking, TransitionCandidate
from stores.documents.base import Digest, Document, Provenance, Record

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "CrossingRecord",
    "ExcludedRecord",
    "PolymorphRecord",
    "PolymorphsDocument",
    "TransitionCandidateRecord",
    "composition_key_of",
    "formula_of",
]

KEY = "composition_key"
INDEXED_FIELDS: tuple[str, ...] = (
    "formula_reduced",
    "chemsys",
    "elements",
    "n_polymorphs",
    "material_ids",
    "reference_id",
    "lowest_300k_id",
    "candidate_ids",
    "first_transition_temperature_k",
    "energy_kind",
    "last_updated",
)

Curve = tuple[float, ...]
_TEMPERATURE_300K = 300.0


class PolymorphRecord(Record):
    """One polymorph in the order; curves run along ``temperatures_k``."""

    material_id: str = Field(description="Key of the material.")
    label: str | None = Field(description="Name given by the user; none where none was given.")
    space_group_symbol: str = Field(description="Hermann-Mauguin symbol.")
    prediction_id: Digest = Field(description="Key of the prediction used.")
    verdict: Verdict | None = Field(description="Dynamical stability; none where not assessed.")
    static_energy_ev_per_atom: float = Field(description="Energy without vibrations, eV/atom.")
    relative_static_energy_mev_per_atom: float = Field(
        description="Static energy above the reference's, meV/atom."
    )
    free_energy_ev_per_atom: Curve = Field(
        description="Static energy plus Helmholtz free energy of vibration, eV/atom."
    )
    relative_free_energy_mev_per_atom: Curve = Field(
        description="Free energy above the reference's, meV/atom."
    )
    free_energy_std_mev_per_atom: Curve | None = Field(
        description="Standard deviation of the vibrational part over a committee, meV/atom; none "
        "without one."
    )
    probability_below_reference: Curve | None = Field(
        description="Probability of a lower free energy than the reference, from the vibrational "
        "spreads taken as independent; none without spreads, and none for the potential's static "
        "energies, whose spread is not known."
    )
    ranks: tuple[int, ...] = Field(description="Place at every temperature, 1 for the lowest.")
    tied_with_lowest: tuple[bool, ...] = Field(
        description="Whether it is within the tie of the lowest at every temperature."
    )
    dropped_weight: float = Field(ge=0, le=1, description="Fraction of modes that were dropped.")
    comparable_to_reference: bool = Field(
        description="False where the dropped weights differ too much."
    )

    @classmethod
    def from_result(cls, result: RankedPolymorph, prediction_id: str) -> Self:
        """Take the numbers of a result."""
        return cls(
            material_id=result.material_id,
            label=result.label,
            space_group_symbol=result.space_group_symbol,
            prediction_id=prediction_id,
            verdict=result.verdict,
            static_energy_ev_per_atom=result.static_energy_ev_per_atom,
            relative_static_energy_mev_per_atom=result.relative_static_energy_mev_per_atom,
            free_energy_ev_per_atom=_curve(result.free_energy_ev_per_atom),
            relative_free_energy_mev_per_atom=_curve(result.relative_free_energy_mev_per_atom),
            free_energy_std_mev_per_atom=_curve_or_none(result.free_energy_std_mev_per_atom),
            probability_below_reference=_curve_or_none(result.probability_below_reference),
            ranks=result.ranks,
            tied_with_lowest=result.tied_with_lowest,
            dropped_weight=result.dropped_weight,
            comparable_to_reference=result.comparable_to_reference,
        )


class ExcludedRecord(Record):
    """A candidate kept out of the comparison."""

    material_id: str = Field(description="Key of the material.")
    label: str | None = Field(description="Name given by the user; none where none was given.")
    space_group_symbol: str = Field(description="Hermann-Mauguin symbol.")
    exclusion: Exclusion = Field(description="Why it was kept out.")
    detail: str = Field(description="The reason in words.")

    @classmethod
    def from_result(cls, result: Excluded) -> Self:
        """Take over a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class TransitionCandidateRecord(Record):
    """A polymorph that the reference may transform into."""

    material_id: str = Field(description="Key of the material.")
    lowest_temperature_k: float = Field(description="First temperature of the rule, K.")
    highest_temperature_k: float = Field(description="Last temperature of the rule, K.")
    smallest_relative_free_energy_mev_per_atom: float = Field(
        description="Smallest free energy above the reference's there, meV/atom."
    )

    @classmethod
    def from_result(cls, result: TransitionCandidate) -> Self:
        """Take over a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class CrossingRecord(Record):
    """Where two free energies are equal."""

    below_id: str = Field(description="Key of the lower one below this temperature.")
    above_id: str = Field(description="Key of the lower one above this temperature.")
    temperature_k: float = Field(ge=0, description="Temperature of the crossing, K.")
    temperature_std_k: float | None = Field(
        ge=0,
        description="Its standard deviation over a committee, K, from the vibrational part; none "
        "without a committee, and none for the potential's static energies.",
    )
    between_lowest: bool = Field(description="Whether both are the lowest of all there.")
    comparable: bool = Field(description="False where the dropped weights differ too much.")

    @classmethod
    def from_result(cls, result: Crossing) -> Self:
        """Take over a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class PolymorphsDocument(Document):
    """The ranking of one composition."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    composition_key: str = Field(
        min_length=1, description="Reduced formula, with a digest where a grid was asked for."
    )
    formula_reduced: str = Field(description="Reduced formula.")
    chemsys: str = Field(description="Elements in alphabetical order, joined by hyphens.")
    elements: tuple[str, ...] = Field(min_length=1, description="Elements, alphabetical.")
    n_polymorphs: int = Field(ge=0, description="Number of polymorphs in the order.")
    material_ids: tuple[str, ...] = Field(description="Keys of the polymorphs in the order.")
    temperatures_k: tuple[float, ...] = Field(
        description="Common temperatures in K; empty where nothing could be compared."
    )
    tie_mev_per_atom: float = Field(
        ge=0, description="Polymorphs within this much of the lowest are tied with it, meV/atom."
    )
    reference_id: str | None = Field(
        description="Polymorph of lowest static energy; none where nothing could be compared."
    )
    lowest_300k_id: str | None = Field(
        description="Polymorph of lowest free energy at 300 K; none where the grid lacks it."
    )
    energy_kind: EnergyKind | None = Field(
        description="Whether given or the potential's energies; none where nothing was compared."
    )
    energy_source: str | None = Field(
        description="Where the static energies come from; none where nothing was compared."
    )
    polymorphs: tuple[PolymorphRecord, ...] = Field(
        description="By static energy, the reference first."
    )
    excluded: tuple[ExcludedRecord, ...] = Field(description="Kept out of the order, and why.")
    candidate_ids: tuple[str, ...] = Field(description="Keys of the transition candidates.")
    candidates: tuple[TransitionCandidateRecord, ...] = Field(
        description="Polymorphs the reference may transform into."
    )
    first_transition_temperature_k: float | None = Field(
        ge=0, description="Lowest transition temperature in K; none where there is none."
    )
    crossings: tuple[CrossingRecord, ...] = Field(
        description="All crossings, by temperature; transitions are those between the lowest."
    )
    lowest_probability: Curve | None = Field(
        description="Probability that the lowest is lower than its strongest rival, at every "
        "temperature; none where a spread or a rival is missing, and none for the potential's "
        "static energies."
    )
    not_comparable: tuple[tuple[str, str], ...] = Field(
        description="Pairs whose dropped weights differ too much."
    )
    flags: tuple[Flag, ...] = Field(description="What makes the comparison weaker than it looks.")
    input_digest: Digest = Field(
        description="SHA-256 of the inputs and of the builder's version: unchanged, not rebuilt."
    )

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        curves = [one.free_energy_ev_per_atom for one in self.polymorphs]
        curves += [one.relative_free_energy_mev_per_atom for one in self.polymorphs]
        if any(len(curve) != len(self.temperatures_k) for curve in curves):
            raise ValueError("the curves and the temperatures differ in length")
        if self.n_polymorphs != len(self.polymorphs):
            raise ValueError("n_polymorphs is not the number of polymorphs")
        return self

    @classmethod
    def from_ranking(
        cls,
        ranking: Ranking,
        *,
        composition_key: str,
        elements: Sequence[str],
        prediction_ids: Mapping[str, str],
        input_digest: str,
        provenance: Provenance,
    ) -> Self:
        """Document of a ranking.

        Parameters
        ----------
        prediction_ids
            Prediction used for every ranked material.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        ids = tuple(one.material_id for one in ranking.polymorphs)
        transitions = [crossing for crossing in ranking.transitions if crossing.comparable]
        return cls.build(
            provenance=provenance,
            composition_key=composition_key,
            formula_reduced=ranking.formula,
            chemsys="-".join(sorted(elements)),
            elements=tuple(sorted(elements)),
            n_polymorphs=len(ids),
            material_ids=ids,
            temperatures_k=_curve(ranking.temperatures_k),
            tie_mev_per_atom=ranking.tie_mev_per_atom,
            reference_id=ranking.reference_id,
            lowest_300k_id=_lowest_at(ranking, _TEMPERATURE_300K),
            energy_kind=ranking.energy_kind,
            energy_source=ranking.energy_source,
            polymorphs=tuple(
                PolymorphRecord.from_result(one, prediction_ids[one.material_id])
                for one in ranking.polymorphs
            ),
            excluded=tuple(ExcludedRecord.from_result(one) for one in ranking.excluded),
            candidate_ids=tuple(sorted({one.material_id for one in ranking.candidates})),
            candidates=tuple(TransitionCandidateRecord.from_result(c) for c in ranking.candidates),
            first_transition_temperature_k=transitions[0].temperature_k if transitions else None,
            crossings=tuple(CrossingRecord.from_result(one) for one in ranking.crossings),
            lowest_probability=_curve_or_none(ranking.lowest_probability),
            not_comparable=ranking.not_comparable,
            flags=ranking.flags,
            input_digest=input_digest,
        )


def composition_key_of(formula: str, temperatures_k: Sequence[float] | None = None) -> str:
    """Key of a ranking: the formula, and the grid where one was asked for.

    Examples
    --------
    >>> composition_key_of("TiO2")
    'TiO2'
    >>> composition_key_of("TiO2", [300.0, 600.0]).startswith("TiO2@")
    True
    """
    if temperatures_k is None:
        return formula
    grid = sorted({round(float(value), 6) for value in temperatures_k})
    return f"{formula}@{digest_of(grid)[:12]}"


def formula_of(composition_key: str) -> str:
    """Reduced formula of a ranking's key.

    Examples
    --------
    >>> formula_of(composition_key_of("TiO2", [300.0, 600.0]))
    'TiO2'
    """
    return composition_key.partition("@")[0]


def _lowest_at(ranking: Ranking, temperature_k: float) -> str | None:
    places = np.flatnonzero(np.isclose(ranking.temperatures_k, temperature_k, rtol=0, atol=1e-6))
    return ranking.order[places[0]][0] if places.size and ranking.polymorphs else None


def _curve(values: FloatArray) -> Curve:
    return tuple(float(value) for value in values)


def _curve_or_none(values: FloatArray | None) -> Curve | None:
    return None if values is None else _curve(values)
