"""Cells of one crystal with the forces that one calculator found: what potentials learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from stores.documents.base import Digest, Document, PlainJson, Provenance
from stores.documents.records import BlobRecord

if TYPE_CHECKING:
    from stores.blobs import BlobReference  # brings the databases along

__all__ = ["INDEXED_FIELDS", "KEY", "LabelledCellsDocument"]

KEY = "labelled_cells_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "material_id",
    "formula_reduced",
    "chemsys",
    "calculator",
    "calculator_digest",
    "settings_digest",
    "blob.sha256",
    "last_updated",
)
_METHOD, _METHOD_VERSION = "labelled-cells", 1


class LabelledCellsDocument(Document):
    """Labels of one crystal by one calculator with one way of displacing; arrays in the blob."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    labelled_cells_id: Digest = Field(
        description="SHA-256 of the crystal, the calculator and the settings."
    )
    material_id: str | None = Field(
        min_length=1, description="Key of the crystal; none where it is not stored here."
    )
    structure_digest: Digest | None = Field(
        description="SHA-256 of the canonical structure; none where it is not stored here."
    )
    formula_reduced: str = Field(min_length=1, description="Reduced formula.")
    chemsys: str = Field(description="Elements in alphabetical order, joined by hyphens.")
    elements: tuple[str, ...] = Field(min_length=1, description="Elements, alphabetical.")
    n_elements: int = Field(ge=1, description="Number of elements.")
    n_cells: int = Field(ge=1, description="Number of cells.")
    n_cell_atoms: int = Field(ge=1, description="Atoms of each cell.")
    calculator: str = Field(min_length=1, description="Name of what computed the labels.")
    calculator_digest: Digest = Field(
        description="SHA-256 of what makes its numbers; of its name where they were given."
    )
    settings: PlainJson = Field(description="How the cells were displaced and what was asked.")
    settings_digest: Digest = Field(description="SHA-256 of the settings.")
    has_energies: bool = Field(description="Whether energies are with the forces.")
    has_stresses: bool = Field(description="Whether stresses are with the forces.")
    mean_force_ev_per_angstrom: float = Field(
        ge=0, description="Mean size of the components of the forces, eV/Å."
    )
    largest_force_ev_per_angstrom: float = Field(
        ge=0, description="Largest component of the forces, eV/Å."
    )
    wall_seconds: float | None = Field(
        ge=0, description="Wall time of the calculations in s; none where they were given."
    )
    pairs: tuple[str, ...] = Field(
        description="Of each cell the name of its antithetic pair, empty for a cell alone."
    )
    blob: BlobRecord = Field(
        description="Where elements, cells, positions, forces, energies and stresses lie."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.material_id is None) != (self.structure_digest is None):
            raise ValueError("material_id and structure_digest go together")
        if len(self.pairs) != self.n_cells:
            raise ValueError("pairs and n_cells differ")
        return self

    @property
    def blob_digests(self) -> dict[str, str]:
        """SHA-256 of the blob."""
        return {"cells": self.blob.sha256}

    @classmethod
    def from_parts(cls, fields: Mapping[str, Any], blob: BlobReference) -> Self:
        """Document of labels whose arrays are stored.

        Parameters
        ----------
        fields
            All fields of the document but its provenance and blob.
        blob
            What the blob store answered.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        material_id = fields["material_id"]
        return cls.build(
            provenance=Provenance.now(
                method=_METHOD,
                method_version=_METHOD_VERSION,
                model=fields["calculator"],
                model_digest=fields["calculator_digest"],
                settings_digest=fields["settings_digest"],
                source_ids=(material_id,) if material_id else (),
            ),
            blob=BlobRecord.from_reference(blob),
            **fields,
        )
