"""Forces, bands and densities of states: small things here, arrays in the blob store.

The arrays travel as ``dict[str, ndarray]``, one dictionary per part (``forces``,
``density_of_states``, ``band_structure``), each of which becomes one blob. Nothing here opens
a blob store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from screening.errors import CorruptDataError, NotFoundError, SerializationError
from screening.prediction import (
    BandStructure,
    DensityOfStates,
    ForceData,
    Prediction,
    frozen_array,
)
from stores.documents.base import Digest, Document, Provenance, Record, first_problem
from stores.documents.prediction import prediction_id_of
from stores.documents.records import BlobRecord, IntMatrix, StructureRecord

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "Arrays",
    "BandLabel",
    "PhononDocument",
    "phonon_arrays",
]

KEY = "prediction_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "material_id",
    "structure_digest",
    "forces_blob.sha256",
    "density_of_states_blob.sha256",
    "band_structure_blob.sha256",
    "last_updated",
)

Arrays = dict[str, NDArray[Any]]
"""Named arrays of one blob."""


class BandLabel(Record):
    """A special point on the band path."""

    q_index: int = Field(ge=0, description="Index of the q point.")
    label: str = Field(description="Name of the special point.")


class PhononDocument(Document):
    """What a prediction's frequencies come from."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    prediction_id: Digest = Field(description="Key of the prediction these arrays belong to.")
    material_id: str = Field(min_length=1, description="Key of the material.")
    structure_digest: Digest = Field(description="SHA-256 of the canonical structure asked about.")
    structure: StructureRecord = Field(description="The primitive cell the arrays belong to.")
    supercell_matrix: IntMatrix | None = Field(
        description="Rows are supercell vectors in primitive vectors; none without forces."
    )
    n_supercell_atoms: int | None = Field(
        ge=1, description="Atoms in the supercell; none without forces."
    )
    n_displacements: int | None = Field(
        ge=1, description="Number of displaced supercells; none without forces."
    )
    has_born_charges: bool = Field(
        description="Whether Born charges and the dielectric tensor are with the forces."
    )
    segment_starts: tuple[int, ...] | None = Field(
        description="Index of the first q point of every band segment; none without bands."
    )
    band_labels: tuple[BandLabel, ...] | None = Field(
        description="Special points on the band path; none without bands."
    )
    forces_blob: BlobRecord | None = Field(
        description="Where displacements and forces lie; none where the method has none."
    )
    density_of_states_blob: BlobRecord | None = Field(
        description="Where the density of states lies; none where the method has none."
    )
    band_structure_blob: BlobRecord | None = Field(
        description="Where the bands lie; none where the method has none."
    )

    @model_validator(mode="after")
    def _parts(self) -> Self:
        forces = (self.supercell_matrix, self.n_supercell_atoms, self.n_displacements)
        if any((part is None) != (self.forces_blob is None) for part in forces):
            raise ValueError("supercell, displacements and forces_blob go together")
        bands = (self.segment_starts, self.band_labels)
        if any((part is None) != (self.band_structure_blob is None) for part in bands):
            raise ValueError("segments, labels and band_structure_blob go together")
        if self.has_born_charges and self.forces_blob is None:
            raise ValueError("Born charges without forces")
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
            For every part in :func:`phonon_arrays`, what the blob store answered.

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
        forces, bands = prediction.force_data, prediction.band_structure
        return cls.build(
            prediction_id=prediction_id_of(prediction),
            material_id=material_id,
            structure_digest=prediction.structure_digest,
            supercell_matrix=forces.supercell_matrix.tolist() if forces else None,
            n_supercell_atoms=len(forces.supercell_numbers) if forces else None,
            n_displacements=len(forces.displaced_atoms) if forces else None,
            has_born_charges=forces is not None and forces.born_charges_e is not None,
            segment_starts=bands.segment_starts if bands else None,
            band_labels=_labels(bands) if bands else None,
            **{f"{name}_blob": None for name in _READERS}
            | {f"{name}_blob": BlobRecord.from_reference(blobs[name]) for name in parts},
            **_head(prediction, material_id),
        )

    @property
    def blob_digests(self) -> dict[str, str]:
        """SHA-256 of the blob of every part there is."""
        found = {name: getattr(self, f"{name}_blob") for name in _READERS}
        return {name: blob.sha256 for name, blob in found.items() if blob is not None}

    def force_data(self, arrays: Mapping[str, NDArray[Any]]) -> ForceData:
        """Take forces and cells from the arrays of ``forces_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has no forces.
        CorruptDataError
            If an array is missing or of another shape than this document says.
        """
        self._require("forces")
        n_atoms, n_runs = self.n_supercell_atoms or 0, self.n_displacements or 0
        n_sites = len(self.structure.species)
        take = _Taker(arrays, self.prediction_id)
        born = self.has_born_charges
        return ForceData(
            primitive=self.structure.to_pymatgen(),
            supercell_matrix=_integers(self.supercell_matrix),
            supercell_scaled_positions=take.floats("supercell_scaled_positions", (n_atoms, 3)),
            supercell_numbers=take.integers("supercell_numbers", (n_atoms,)),
            displaced_atoms=take.integers("displaced_atoms", (n_runs,)),
            displacements_angstrom=take.floats("displacements_angstrom", (n_runs, 3)),
            forces_ev_per_angstrom=take.floats("forces_ev_per_angstrom", (n_runs, n_atoms, 3)),
            residual_forces_ev_per_angstrom=take.floats(
                "residual_forces_ev_per_angstrom", (n_atoms, 3)
            ),
            born_charges_e=take.floats("born_charges_e", (n_sites, 3, 3)) if born else None,
            dielectric_constant=take.floats("dielectric_constant", (3, 3)) if born else None,
        )

    def density_of_states(self, arrays: Mapping[str, NDArray[Any]]) -> DensityOfStates:
        """Take the density of states from the arrays of ``density_of_states_blob``.

        Raises
        ------
        NotFoundError
            If the prediction has no density of states.
        CorruptDataError
            If an array is missing or of a wrong shape.
        """
        self._require("density_of_states")
        take = _Taker(arrays, self.prediction_id)
        frequencies = take.floats("frequencies_thz", (None,))
        n_sites = len(self.structure.species)
        return DensityOfStates(
            frequencies_thz=frequencies,
            total_per_thz=take.floats("total_per_thz", frequencies.shape),
            projected_per_thz=take.floats("projected_per_thz", (n_sites, len(frequencies))),
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
        self._require("band_structure")
        take = _Taker(arrays, self.prediction_id)
        distances = take.floats("distances_per_angstrom", (None,))
        n_branches = 3 * len(self.structure.species)
        return BandStructure(
            q_points=take.floats("q_points", (len(distances), 3)),
            distances_per_angstrom=distances,
            frequencies_thz=take.floats("frequencies_thz", (len(distances), n_branches)),
            segment_starts=self.segment_starts or (),
            labels=tuple((mark.q_index, mark.label) for mark in self.band_labels or ()),
        )

    def _require(self, part: str) -> None:
        if part not in self.blob_digests:
            raise NotFoundError(f"the method gave no {part}", subject=self.prediction_id)


def phonon_arrays(prediction: Prediction) -> dict[str, Arrays]:
    """Arrays of a prediction by part: ``forces``, ``density_of_states``, ``band_structure``.

    Raises
    ------
    SerializationError
        If an array holds a number that is not finite.
    """
    parts = {
        "forces": prediction.force_data,
        "density_of_states": prediction.density_of_states,
        "band_structure": prediction.band_structure,
    }
    found = {name: _arrays_of(part, _READERS[name]) for name, part in parts.items() if part}
    for part, arrays in found.items():
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise SerializationError(
                    f"array {name} of {part} is not finite", subject=prediction.structure_digest
                )
    return found


_READERS: dict[str, tuple[str, ...]] = {
    "forces": (
        "supercell_scaled_positions",
        "supercell_numbers",
        "displaced_atoms",
        "displacements_angstrom",
        "forces_ev_per_angstrom",
        "residual_forces_ev_per_angstrom",
        "born_charges_e",
        "dielectric_constant",
    ),
    "density_of_states": ("frequencies_thz", "total_per_thz", "projected_per_thz"),
    "band_structure": ("q_points", "distances_per_angstrom", "frequencies_thz"),
}


def _arrays_of(part: object, names: tuple[str, ...]) -> Arrays:
    values = {name: getattr(part, name) for name in names}
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def _labels(bands: BandStructure) -> tuple[BandLabel, ...]:
    return tuple(BandLabel(q_index=int(index), label=label) for index, label in bands.labels)


def _head(prediction: Prediction, material_id: str) -> dict[str, object]:
    """Structure and provenance; a cell that is not finite ends here."""
    primitive = prediction.force_data.primitive if prediction.force_data else prediction.structure
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


def _integers(values: object) -> NDArray[np.int64]:
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


class _Taker:
    """Reads arrays of a blob and checks their shapes."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], subject: str) -> None:
        self._arrays = arrays
        self._subject = subject

    def floats(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
        """Read-only float64 array; None in the shape is any length."""
        return frozen_array(self._checked(name, shape))

    def integers(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.int64]:
        """Read-only int64 array."""
        return _integers(self._checked(name, shape))

    def _checked(self, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            raise self._corrupt(f"array {name} is missing")
        fits = len(array.shape) == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            raise self._corrupt(f"array {name} has shape {array.shape}, not {shape}")
        if not np.all(np.isfinite(array)):
            raise self._corrupt(f"array {name} is not finite")
        return array

    def _corrupt(self, message: str) -> CorruptDataError:
        return CorruptDataError(message, subject=self._subject, hint="Compute it again")
