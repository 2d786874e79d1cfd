"""Forces, force constants, bands and conductivity: small things here, arrays in the blob store.

The arrays travel as ``dict[str, ndarray]``, one dictionary per part (see
`stores.documents.phonon_parts`), each of which becomes one blob.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import NotFoundError, SerializationError
from screening.prediction import (
    BandStructure,
    DensityOfStates,
    FloatArray,
    ForceData,
    Prediction,
)
from stores.documents.base import Digest, Document, Migration, Provenance, Record, first_problem
from stores.documents.phonon_parts import (
    GOES_WITH,
    PARTS,
    RepeatedCellArrays,
    Taker,
    conductivity_of,
    phonon_arrays,
    repeated_cell_arrays,
    repeated_cell_of,
    sizes_of,
)
from stores.documents.prediction import prediction_id_of
from stores.documents.records import BlobRecord, IntMatrix, IntVector, StructureRecord

if TYPE_CHECKING:
    from screening.conductivity_records import ThermalConductivity

__all__ = ["INDEXED_FIELDS", "KEY", "BandLabel", "PhononDocument"]

KEY = "prediction_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "material_id",
    "structure_digest",
    "forces_blob.sha256",
    "force_constants_blob.sha256",
    "displaced_cells_blob.sha256",
    "conductivity_blob.sha256",
    "density_of_states_blob.sha256",
    "band_structure_blob.sha256",
    "last_updated",
)


class BandLabel(Record):
    """A special point on the band path."""

    q_index: int = Field(ge=0, description="Index of the q point.")
    label: str = Field(description="Name of the special point.")


_FLAGS_OF_2 = ("has_energies", "has_third_order", "has_conductivity_std")
_PARTS_OF_2 = (
    "n_displaced_cells",
    "conductivity_method",
    "conductivity_mesh",
    "force_constants_blob",
    "displaced_cells_blob",
    "conductivity_blob",
)


def _without_fit(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no force constants but those that follow from forces."""
    return old | dict.fromkeys(_FLAGS_OF_2, False) | dict.fromkeys(_PARTS_OF_2)


class PhononDocument(Document):
    """What a prediction's frequencies come from, and what follows from them."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_fit})

    prediction_id: Digest = Field(description="Key of the prediction these arrays belong to.")
    material_id: str = Field(min_length=1, description="Key of the material.")
    structure_digest: Digest = Field(description="SHA-256 of the canonical structure asked about.")
    structure: StructureRecord = Field(description="The primitive cell the arrays belong to.")
    supercell_matrix: IntMatrix | None = Field(
        description="Rows are supercell vectors in primitive vectors; none without forces and "
        "force constants."
    )
    n_supercell_atoms: int | None = Field(
        ge=1, description="Atoms in the supercell; none without forces and force constants."
    )
    n_displacements: int | None = Field(
        ge=1, description="Number of supercells with one displaced atom; none without forces."
    )
    n_displaced_cells: int | None = Field(
        ge=1, description="Number of supercells with all atoms displaced; none without them."
    )
    has_born_charges: bool = Field(
        description="Whether Born charges and the dielectric tensor are with the forces and "
        "force constants."
    )
    has_energies: bool = Field(description="Whether energies are with the displaced cells.")
    has_third_order: bool = Field(
        description="Whether third-order force constants are with those of second order."
    )
    conductivity_method: str | None = Field(
        description="How the Boltzmann equation was solved: rta or direct; none without a "
        "conductivity."
    )
    conductivity_mesh: IntVector | None = Field(
        description="Points along the vectors of its mesh; none without a conductivity."
    )
    has_conductivity_std: bool = Field(
        description="Whether standard deviations are with the conductivity."
    )
    segment_starts: tuple[int, ...] | None = Field(
        description="Index of the first q point of every band segment; none without bands."
    )
    band_labels: tuple[BandLabel, ...] | None = Field(
        description="Special points on the band path; none without bands."
    )
    forces_blob: BlobRecord | None = Field(
        description="Where displacements of single atoms and forces lie; none where the method "
        "has none."
    )
    force_constants_blob: BlobRecord | None = Field(
        description="Where force constants lie that do not follow from such forces; none where "
        "the method has none."
    )
    displaced_cells_blob: BlobRecord | None = Field(
        description="Where displacements of all atoms and forces lie; none where the method "
        "has none."
    )
    conductivity_blob: BlobRecord | None = Field(
        description="Where the conductivity and its modes lie; none where it was not computed."
    )
    density_of_states_blob: BlobRecord | None = Field(
        description="Where the density of states lies; none where the method has none."
    )
    band_structure_blob: BlobRecord | None = Field(
        description="Where the bands lie; none where the method has none."
    )

    @model_validator(mode="after")
    def _parts(self) -> Self:
        for name, parts in GOES_WITH.items():
            value = getattr(self, name)
            there = not self.blob_digests.keys().isdisjoint(parts)
            if value is not False and (value is not None) != there:
                raise ValueError(f"{name} and the blobs of {', '.join(parts)} do not go together")
        return self

    @classmethod
    def from_prediction(
        cls, prediction: Prediction, material_id: str, blobs: Mapping[str, Any]
    ) -> Self:
        """Document of a prediction's arrays.

        Parameters
        ----------
        prediction
            The prediction.
        material_id
            Key of the material.
        blobs
            For every part in `phonon_arrays`, what the blob store answered.

        Raises
        ------
        SerializationError
            If a part has no blob or a blob has no part, or a field breaks the schema.
        """
        parts = set(phonon_arrays(prediction))
        if parts != set(blobs):
            raise SerializationError(
                f"blobs {sorted(blobs)} do not match the parts {sorted(parts)}", subject=material_id
            )
        return cls.build(
            prediction_id=prediction_id_of(prediction),
            material_id=material_id,
            structure_digest=prediction.structure_digest,
            **sizes_of(prediction),
            **_bands(prediction),
            **{f"{name}_blob": None for name in PARTS}
            | {f"{name}_blob": BlobRecord.from_reference(blobs[name]) for name in parts},
            **_head(prediction, material_id),
        )

    @property
    def blob_digests(self) -> dict[str, str]:
        """SHA-256 of the blob of every part there is."""
        found = {name: getattr(self, f"{name}_blob") for name in PARTS}
        return {name: blob.sha256 for name, blob in found.items() if blob is not None}

    def force_data(self, arrays: Mapping[str, NDArray[Any]]) -> ForceData:
        """Take forces of single displacements from the arrays of ``forces_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has no forces.
        CorruptDataError
            If an array is missing or of another shape than this document says.
        """
        take = self._taker("forces", arrays)
        n_atoms, n_runs = self.n_supercell_atoms or 0, self.n_displacements or 0
        return ForceData(
            **self._crystal(take),
            displaced_atoms=take.integers("displaced_atoms", (n_runs,)),
            displacements_angstrom=take.floats("displacements_angstrom", (n_runs, 3)),
            forces_ev_per_angstrom=take.floats("forces_ev_per_angstrom", (n_runs, n_atoms, 3)),
            residual_forces_ev_per_angstrom=take.floats(
                "residual_forces_ev_per_angstrom", (n_atoms, 3)
            ),
        )

    def force_constants(self, arrays: Mapping[str, NDArray[Any]]) -> ForceConstants:
        """Take force constants from the arrays of ``force_constants_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has none beside its forces.
        CorruptDataError
            If an array is missing or of another shape than this document says.
        """
        take = self._taker("force_constants", arrays)
        n_sites, n_atoms = len(self.structure.species), self.n_supercell_atoms or 0
        third = None
        if self.has_third_order:
            shape = (n_sites, n_atoms, n_atoms, 3, 3, 3)
            third = take.floats("third_order_ev_per_angstrom3", shape)
        return ForceConstants(
            **self._crystal(take),
            second_order_ev_per_angstrom2=take.floats(
                "second_order_ev_per_angstrom2", (n_sites, n_atoms, 3, 3)
            ),
            third_order_ev_per_angstrom3=third,
        )

    def displaced_cells(self, arrays: Mapping[str, NDArray[Any]]) -> DisplacedCells:
        """Take cells with all atoms displaced from the arrays of ``displaced_cells_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has none.
        CorruptDataError
            If an array is missing or of another shape than this document says.
        """
        take = self._taker("displaced_cells", arrays)
        n_cells, n_atoms = self.n_displaced_cells or 0, self.n_supercell_atoms or 0
        shape = (n_cells, n_atoms, 3)
        return DisplacedCells(
            **self._crystal(take),
            displacements_angstrom=take.floats("displacements_angstrom", shape),
            forces_ev_per_angstrom=take.floats("forces_ev_per_angstrom", shape),
            residual_forces_ev_per_angstrom=take.floats(
                "residual_forces_ev_per_angstrom", shape[1:]
            ),
            energies_ev=take.floats("energies_ev", shape[:1]) if self.has_energies else None,
        )

    def conductivity(self, arrays: Mapping[str, NDArray[Any]]) -> ThermalConductivity:
        """Take the conductivity and its modes from the arrays of ``conductivity_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has none.
        CorruptDataError
            If an array is missing or of a wrong shape.
        """
        take = self._taker("conductivity", arrays)
        assert self.conductivity_method is not None
        assert self.conductivity_mesh is not None
        n_branches = 3 * len(self.structure.species)
        return conductivity_of(take, self.conductivity_method, self.conductivity_mesh, n_branches)

    def conductivity_std(self, arrays: Mapping[str, NDArray[Any]]) -> FloatArray | None:
        """Take the standard deviations of the conductivity in W/m/K, None where unknown.

        Returns
        -------
        ndarray or None
            Shape (temperature, 3, 3).

        Raises
        ------
        NotFoundError
            If the prediction has no conductivity.
        CorruptDataError
            If the array is missing or of a wrong shape.
        """
        take = self._taker("conductivity", arrays)
        if not self.has_conductivity_std:
            return None
        n_temperatures = len(take.floats("temperatures_k", (None,)))
        return take.floats("conductivity_std_w_per_m_k", (n_temperatures, 3, 3))

    def density_of_states(self, arrays: Mapping[str, NDArray[Any]]) -> DensityOfStates:
        """Take the density of states from the arrays of ``density_of_states_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has no density of states.
        CorruptDataError
            If an array is missing or of a wrong shape.
        """
        take = self._taker("density_of_states", arrays)
        frequencies = take.floats("frequencies_thz", (None,))
        shape, std = (len(self.structure.species), len(frequencies)), None
        if is_learned := "total_std_per_thz" in arrays:  # which knows no projection
            std = take.floats("total_std_per_thz", frequencies.shape)
        return DensityOfStates(
            frequencies_thz=frequencies,
            total_per_thz=take.floats("total_per_thz", frequencies.shape),
            projected_per_thz=None if is_learned else take.floats("projected_per_thz", shape),
            total_std_per_thz=std,
        )

    def band_structure(self, arrays: Mapping[str, NDArray[Any]]) -> BandStructure:
        """Take the bands from the arrays of ``band_structure_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has no bands.
        CorruptDataError
            If an array is missing or of a wrong shape.
        """
        take = self._taker("band_structure", arrays)
        distances = take.floats("distances_per_angstrom", (None,))
        n_branches = 3 * len(self.structure.species)
        return BandStructure(
            q_points=take.floats("q_points", (len(distances), 3)),
            distances_per_angstrom=distances,
            frequencies_thz=take.floats("frequencies_thz", (len(distances), n_branches)),
            segment_starts=self.segment_starts or (),
            labels=tuple((mark.q_index, mark.label) for mark in self.band_labels or ()),
        )

    def _taker(self, part: str, arrays: Mapping[str, NDArray[Any]]) -> Taker:
        if part not in self.blob_digests:
            raise NotFoundError(f"the method gave no {part}", subject=self.prediction_id)
        return Taker(arrays, self.prediction_id)

    def _crystal(self, take: Taker) -> RepeatedCellArrays:
        return repeated_cell_arrays(
            take,
            self.structure.to_pymatgen(),
            self.supercell_matrix,
            self.n_supercell_atoms or 0,
            has_born_charges=self.has_born_charges,
        )


def _bands(prediction: Prediction) -> dict[str, object]:
    bands = prediction.band_structure
    if bands is None:
        return {"segment_starts": None, "band_labels": None}
    labels = tuple(BandLabel(q_index=int(index), label=label) for index, label in bands.labels)
    return {"segment_starts": bands.segment_starts, "band_labels": labels}


def _head(prediction: Prediction, material_id: str) -> dict[str, object]:
    """Structure and provenance; a cell that is not finite ends here."""
    crystal = repeated_cell_of(prediction)
    primitive = crystal.primitive if crystal else prediction.structure
    try:
        return {
            "structure": StructureRecord.from_pymatgen(primitive),
            "provenance": Provenance.now(
                method=prediction.method,
                method_version=prediction.method_version,
                model=prediction.model,
                model_digest=prediction.model_digest,
                settings_digest=prediction.settings_digest,
                source_ids=(material_id,),
            ),
        }
    except ValidationError as error:
        raise SerializationError(first_problem(error), subject=material_id) from error
