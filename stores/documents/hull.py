"""The convex hull of a chemical system at several temperatures, or why there is none."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from screening.comparison import EnergyKind, Flag
from screening.hull import Hull, HullPhase, HullRefusal, NoHull
from stores.documents.base import Digest, Document, Provenance, Record
from stores.documents.polymorphs import ExcludedRecord

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "DecompositionRecord",
    "HullDocument",
    "HullPhaseRecord",
]

KEY = "chemsys"
INDEXED_FIELDS: tuple[str, ...] = (
    "elements",
    "n_elements",
    "available",
    "reason",
    "material_ids",
    "stable_300k_ids",
    "last_updated",
)

_TEMPERATURE_300K = 300.0
_ON_HULL_MEV = 1e-3  # rounding of the hull, far below any physics


class DecompositionRecord(Record):
    """A part of what a phase decomposes into."""

    material_id: str = Field(description="Key of the material.")
    atomic_fraction: float = Field(ge=0, le=1 + 1e-6, description="Fraction of the atoms.")


class HullPhaseRecord(Record):
    """One phase and its distance from the hull; lists run along ``temperatures_k``."""

    material_id: str = Field(description="Key of the material.")
    formula_reduced: str = Field(description="Reduced formula.")
    formation_energy_mev_per_atom: tuple[float, ...] = Field(
        description="Free energy above the elements, meV/atom."
    )
    energy_above_hull_mev_per_atom: tuple[float, ...] = Field(
        description="Distance from the hull, meV/atom, zero on it."
    )
    decomposition: tuple[tuple[DecompositionRecord, ...], ...] = Field(
        description="What it decomposes into at every temperature; itself on the hull."
    )

    @classmethod
    def from_result(cls, result: HullPhase) -> Self:
        """Take the numbers of a result."""
        return cls(
            material_id=result.material_id,
            formula_reduced=result.formula,
            formation_energy_mev_per_atom=tuple(result.formation_energy_mev_per_atom.tolist()),
            energy_above_hull_mev_per_atom=tuple(result.energy_above_hull_mev_per_atom.tolist()),
            decomposition=tuple(
                tuple(
                    DecompositionRecord(material_id=name, atomic_fraction=fraction)
                    for name, fraction in parts
                )
                for parts in result.decomposition
            ),
        )


class HullDocument(Document):
    """The hull of one chemical system."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    chemsys: str = Field(
        min_length=1, description="Elements in alphabetical order, joined by hyphens."
    )
    elements: tuple[str, ...] = Field(min_length=2, description="Elements, alphabetical.")
    n_elements: int = Field(ge=2, description="Number of elements.")
    available: bool = Field(description="Whether there is a hull.")
    reason: NoHull | None = Field(description="Why there is none; none where there is one.")
    detail: str | None = Field(description="The reason in words; none where there is a hull.")
    temperatures_k: tuple[float, ...] = Field(
        description="Temperatures in K; empty without a hull."
    )
    energy_kind: EnergyKind | None = Field(
        description="Whether given or the potential's energies; none without a hull."
    )
    energy_source: str | None = Field(
        description="Where the static energies come from; none without a hull."
    )
    material_ids: tuple[str, ...] = Field(description="Keys of the phases.")
    stable_300k_ids: tuple[str, ...] = Field(
        description="Keys of the phases on the hull at 300 K; empty where 300 K is not there."
    )
    phases: tuple[HullPhaseRecord, ...] = Field(description="By formula, then by material.")
    excluded: tuple[ExcludedRecord, ...] = Field(description="Kept out of the hull, and why.")
    flags: tuple[Flag, ...] = Field(description="What makes the hull weaker than it looks.")
    input_digest: Digest = Field(
        description="SHA-256 of the inputs and of the builder's version: unchanged, not rebuilt."
    )

    @model_validator(mode="after")
    def _reasons(self) -> Self:
        if self.available != (self.reason is None):
            raise ValueError("reason is given where, and only where, there is no hull")
        return self

    @classmethod
    def from_hull(
        cls, hull: Hull | HullRefusal, *, input_digest: str, provenance: Provenance
    ) -> Self:
        """Document of a hull or of the reason why there is none.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        found = hull if isinstance(hull, Hull) else None
        refused = hull if isinstance(hull, HullRefusal) else None
        elements = tuple(sorted(hull.chemsys.split("-")))
        return cls.build(
            provenance=provenance,
            chemsys=hull.chemsys,
            elements=elements,
            n_elements=len(elements),
            available=found is not None,
            reason=refused.reason if refused else None,
            detail=refused.detail if refused else None,
            temperatures_k=tuple(found.temperatures_k.tolist()) if found else (),
            energy_kind=found.energy_kind if found else None,
            energy_source=found.energy_source if found else None,
            material_ids=tuple(phase.material_id for phase in found.phases) if found else (),
            stable_300k_ids=_stable_at(found, _TEMPERATURE_300K) if found else (),
            phases=tuple(HullPhaseRecord.from_result(p) for p in found.phases) if found else (),
            excluded=tuple(ExcludedRecord.from_result(one) for one in hull.excluded),
            flags=found.flags if found else (),
            input_digest=input_digest,
        )


def _stable_at(hull: Hull, temperature_k: float) -> tuple[str, ...]:
    for column, value in enumerate(hull.temperatures_k):
        if abs(value - temperature_k) < 1e-6:  # noqa: PLR2004 - grids are decimal numbers
            above = [(p.material_id, p.energy_above_hull_mev_per_atom[column]) for p in hull.phases]
            return tuple(sorted(name for name, value in above if value <= _ON_HULL_MEV))
    return ()
