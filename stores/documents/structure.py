"""A canonical structure: what was imported, from where, and its duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from screening.errors import InconsistentDataError, SerializationError
from stores.documents.base import Digest, Document, Migration, Provenance, Record
from stores.documents.records import StructureRecord

if TYPE_CHECKING:
    from screening.structure import Crystal  # brings the symmetry finder along

__all__ = ["INDEXED_FIELDS", "KEY", "EnergyRecord", "RepairRecord", "StructureDocument"]

KEY = "material_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "structure_digest",
    "formula_reduced",
    "chemsys",
    "elements",
    "n_elements",
    "n_atoms",
    "volume_angstrom3_per_atom",
    "space_group_number",
    "prototype",
    "label",
    "sources",
    "duplicate_of",
    "parent_id",
    "static_energy_ev_per_atom",
    "last_updated",
)


class EnergyRecord(Record):
    """A static energy that a source gave, beside the one in use."""

    static_energy_ev_per_atom: float = Field(description="Energy without vibrations, eV/atom.")
    static_energy_source: str = Field(min_length=1, description="Where it comes from.")


class RepairRecord(Record):
    """A lower structure that this one turned into when it was repaired."""

    repair_id: Digest = Field(
        description="SHA-256 of the prediction followed, the calculator and the settings."
    )
    material_id: str = Field(min_length=1, description="Key of the lower structure.")
    relation: str = Field(min_length=1, description="How it was found, in words.")
    gain_mev_per_atom: float = Field(description="How far it lies below, meV/atom.")


def _without_family(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew neither parents nor repairs."""
    return old | {"parent_id": None, "parent_relation": None, "repairs": []}


class StructureDocument(Document):
    """One material's canonical primitive cell."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_family})

    material_id: str = Field(min_length=1, description="Key of the material.")
    structure_digest: Digest = Field(description="SHA-256 of the canonical structure.")
    formula_reduced: str = Field(description="Reduced formula.")
    chemsys: str = Field(description="Elements in alphabetical order, joined by hyphens.")
    elements: tuple[str, ...] = Field(min_length=1, description="Elements, alphabetical.")
    n_elements: int = Field(ge=1, description="Number of elements.")
    n_atoms: int = Field(ge=1, description="Atoms in the primitive cell.")
    volume_angstrom3_per_atom: float = Field(gt=0, description="Volume in Å³/atom.")
    space_group_number: int = Field(ge=1, le=230, description="International number.")
    space_group_symbol: str = Field(description="Hermann-Mauguin symbol.")
    prototype: str | None = Field(description="Prototype label; none where unknown.")
    label: str | None = Field(description="Name given by the user; none where none was given.")
    structure: StructureRecord = Field(description="The canonical primitive cell.")
    sources: tuple[str, ...] = Field(
        min_length=1, description="Files or database records the structure was read from."
    )
    duplicate_of: str | None = Field(
        description="Key of the material that stands for this one; none where it stands alone."
    )
    duplicates: tuple[str, ...] = Field(
        description="Keys of the materials that this one stands for, sorted."
    )
    parent_id: str | None = Field(
        description="Key of the material this one was made from; none where it was imported."
    )
    parent_relation: str | None = Field(
        description="How it was made from its parent, in words; none where it was imported."
    )
    repairs: tuple[RepairRecord, ...] = Field(
        description="Lower structures that this one turned into when it was repaired, which are "
        "its children or were there before; sorted by repair_id."
    )
    static_energy_ev_per_atom: float | None = Field(
        description="Given energy without vibrations in eV/atom; none where none was given."
    )
    static_energy_source: str | None = Field(
        description="Where the given energy comes from; none where none was given."
    )
    other_energies: tuple[EnergyRecord, ...] = Field(
        description="Further energies that other sources gave for the same structure."
    )
    notes: tuple[str, ...] = Field(description="What to know about the import.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.static_energy_ev_per_atom is None) != (self.static_energy_source is None):
            raise ValueError("static_energy_ev_per_atom and static_energy_source go together")
        if (self.parent_id is None) != (self.parent_relation is None):
            raise ValueError("parent_id and parent_relation go together")
        if self.parent_id == self.material_id:
            raise ValueError("a material cannot be its own parent")
        if self.material_id == self.duplicate_of or self.material_id in self.duplicates:
            raise ValueError("a material cannot be a duplicate of itself")
        if self.n_atoms != len(self.structure.species):
            raise ValueError("n_atoms is not the number of sites")
        return self

    @classmethod
    def from_crystal(
        cls,
        crystal: Crystal,
        *,
        source: str,
        label: str | None = None,
        static_energy_ev_per_atom: float | None = None,
        static_energy_source: str | None = None,
        duplicate_of: str | None = None,
        notes: Sequence[str] = (),
    ) -> Self:
        """Document of a canonical crystal; its own notes come before the given ones.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema, for instance a non-finite energy.
        """
        elements = sorted({element.symbol for element in crystal.structure.composition.elements})
        return cls.build(
            provenance=Provenance.now(),
            material_id=crystal.material_id,
            structure_digest=crystal.digest,
            formula_reduced=crystal.formula,
            chemsys=crystal.chemsys,
            elements=elements,
            n_elements=len(elements),
            n_atoms=crystal.n_atoms,
            volume_angstrom3_per_atom=float(crystal.structure.volume) / len(crystal.structure),
            space_group_number=crystal.space_group_number,
            space_group_symbol=crystal.space_group_symbol,
            prototype=crystal.prototype or None,
            label=label or None,
            structure=_structure_record(crystal),
            sources=(source,),
            duplicate_of=duplicate_of,
            duplicates=(),
            parent_id=None,
            parent_relation=None,
            repairs=(),
            static_energy_ev_per_atom=static_energy_ev_per_atom,
            static_energy_source=static_energy_source,
            other_energies=(),
            notes=_union(crystal.notes, tuple(notes)),
        )

    def to_crystal(self) -> Crystal:
        """Crystal as it was when it was imported; nothing is searched or checked again."""
        from screening.structure import Crystal

        return Crystal(
            structure=self.structure.to_pymatgen(),
            digest=self.structure_digest,
            material_id=self.material_id,
            space_group_number=self.space_group_number,
            space_group_symbol=self.space_group_symbol,
            formula=self.formula_reduced,
            chemsys=self.chemsys,
            n_atoms=self.n_atoms,
            prototype=self.prototype or "",
            notes=self.notes,
        )

    def merged_with(self, other: Self) -> Self:
        """Say once what two imports of the same structure say.

        The order of the imports does not change which sources and duplicates are kept. The
        label and energy of this document stay in use; another energy is kept beside them, never
        over them. Returns this very object where the other adds nothing.

        Raises
        ------
        InconsistentDataError
            If the two are different structures, or stand for different ones.
        """
        if self.structure_digest != other.structure_digest:
            raise InconsistentDataError(
                f"{other.structure_digest[:12]} is another structure", subject=self.material_id
            )
        changes = {
            "sources": _union(self.sources, other.sources),
            "duplicates": tuple(sorted({*self.duplicates, *other.duplicates})),
            "duplicate_of": _agreed(self, other),
            **_family(self, other),
            "label": self.label if self.label is not None else other.label,
            "notes": _union(self.notes, other.notes),
            **_energies(self, other),
        }
        return self._changed(changes)

    def with_duplicate(self, other: Self) -> Self:
        """Return this document, standing for one more that is nearly the same structure.

        The energies of the other are kept like those of :meth:`merged_with`: nobody asks a
        duplicate. Returns this very object where the other adds nothing.
        """
        duplicates = tuple(sorted({*self.duplicates, other.material_id}))
        return self._changed({"duplicates": duplicates, **_energies(self, other)})

    def with_repair(self, repair: RepairRecord) -> Self:
        """Return this document with one more structure that it turned into.

        Returns this very object where the repair is known.
        """
        return self._changed({"repairs": _repairs(self.repairs, (repair,))})

    def _changed(self, changes: dict[str, Any]) -> Self:
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return self.replaced(**changes)


def _structure_record(crystal: Crystal) -> StructureRecord:
    """Record of the crystal's cell; translates the validation error."""
    try:
        return StructureRecord.from_pymatgen(crystal.structure)
    except ValidationError as error:
        raise SerializationError(
            "the structure holds a number that is not finite", subject=crystal.material_id
        ) from error


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Both without repetition, the first one's order first."""
    return tuple(dict.fromkeys((*first, *second)))


def _family(first: StructureDocument, second: StructureDocument) -> dict[str, Any]:
    """Fields for parent and repairs; the parent of the first, where it has one."""
    child = first if first.parent_id is not None else second
    return {
        "parent_id": child.parent_id,
        "parent_relation": child.parent_relation,
        "repairs": _repairs(second.repairs, first.repairs),
    }


def _repairs(*known: tuple[RepairRecord, ...]) -> tuple[RepairRecord, ...]:
    """All repairs, one for each key; the later of two with one key."""
    by_key = {repair.repair_id: repair for repairs in known for repair in repairs}
    return tuple(by_key[key] for key in sorted(by_key))


def _energies(*documents: StructureDocument) -> dict[str, Any]:
    """Fields for all energies the documents hold, those in use first, without repetition."""
    found: list[EnergyRecord] = []
    for document in documents:
        if document.static_energy_ev_per_atom is not None:
            found.append(
                EnergyRecord(
                    static_energy_ev_per_atom=document.static_energy_ev_per_atom,
                    static_energy_source=document.static_energy_source or "",
                )
            )
        found.extend(document.other_energies)
    first, *others = dict.fromkeys(found) or (None,)
    return {
        "static_energy_ev_per_atom": first and first.static_energy_ev_per_atom,
        "static_energy_source": first and first.static_energy_source,
        "other_energies": tuple(others),
    }


def _agreed(first: StructureDocument, second: StructureDocument) -> str | None:
    """Find the one material that both are a duplicate of, if any."""
    named = {link for link in (first.duplicate_of, second.duplicate_of) if link is not None}
    if len(named) > 1:
        raise InconsistentDataError(
            f"is called a duplicate of {' and of '.join(sorted(named))}", subject=first.material_id
        )
    return next(iter(named), None)
