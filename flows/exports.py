"""Files for other programs, one per material or one for a whole selection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from flows.results import StoredMaterial, StoredPhonons, material, phonons_of
from screening.errors import NotFoundError
from stores import exporters
from stores.connect import Database
from stores.documents.base import utc_now

__all__ = ["ExportFormat", "export"]


class ExportFormat(StrEnum):
    """What can be written."""

    PHONOPY = "phonopy"
    PHONO3PY = "phono3py"
    EMMET = "emmet"
    PHONONWEBSITE = "phononwebsite"
    FORCES = "forces"
    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"


def export(
    database: Database, kind: ExportFormat, material_ids: Iterable[str], folder: Path
) -> list[Path]:
    """Write materials in a format of another program.

    Parameters
    ----------
    database
        Where the materials are.
    kind
        ``phonopy`` (yaml with forces or force constants), ``emmet`` (``PhononBSDOSDoc`` JSON),
        ``phononwebsite`` (JSON of the viewer) and ``forces`` (displaced supercells as extended
        xyz) write one file per material, ``phono3py`` a folder (yaml with forces,
        ``fc2.hdf5``, ``fc3.hdf5``); ``extxyz``, ``csv`` and ``parquet`` write one for all.
    material_ids
        Which materials.
    folder
        Where the files go; made if it is not there.

    Returns
    -------
    list of Path
        The files and folders written.

    Raises
    ------
    NotFoundError
        If a material has no phonons to write or not those that the format is for, or does not
        exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = list(material_ids)
    if kind in _PER_MATERIAL:
        return [_export_one(database, kind, name, folder) for name in names]
    found = [material(database, name) for name in names]
    if kind is ExportFormat.EXTXYZ:
        images = [_labelled(one) for one in found]
        return [exporters.write_structures(folder / "phonoscreen.extxyz", images)]
    rows = [one.summary.model_dump(mode="json") for one in found if one.summary]
    return [exporters.write_table(folder / f"phonoscreen.{kind.value}", rows)]


def _export_one(database: Database, kind: ExportFormat, name: str, folder: Path) -> Path:
    stored = material(database, name)
    if stored.summary is None:
        raise NotFoundError("not screened yet", subject=name, hint="Run 'phonoscreen screen'")
    phonons = phonons_of(database, stored.summary.prediction_id)
    if not (phonons.has_harmonic or phonons.has_forces):
        raise NotFoundError("this method has no forces", subject=name)
    write, suffix = _PER_MATERIAL[kind]
    stem = f"{stored.structure.formula_reduced}-{name}"
    return write(folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', stem)}{suffix}", stored, phonons)


def _phonopy(path: Path, stored: StoredMaterial, phonons: StoredPhonons) -> Path:
    forces = phonons.force_constants or phonons.force_data
    if forces is None:
        raise NotFoundError("this method has no forces", subject=stored.structure.material_id)
    return exporters.write_phonopy_yaml(
        path, forces, cells=phonons.displaced_cells, provenance=_origin(stored)
    )


def _phono3py(path: Path, stored: StoredMaterial, phonons: StoredPhonons) -> Path:
    if phonons.force_constants is None:
        raise NotFoundError(
            "this method has no anharmonic force constants",
            subject=stored.structure.material_id,
            hint="Export to phonopy",
        )
    return exporters.write_phono3py(
        path, phonons.force_constants, phonons.displaced_cells, provenance=_origin(stored)
    )


def _forces(path: Path, stored: StoredMaterial, phonons: StoredPhonons) -> Path:
    forces = phonons.displaced_cells or phonons.force_data
    if forces is None:
        raise NotFoundError("this method has no forces", subject=stored.structure.material_id)
    return exporters.write_displaced_supercells(path, forces, information=_origin(stored))


def _phononwebsite(path: Path, stored: StoredMaterial, phonons: StoredPhonons) -> Path:
    if phonons.band_structure is None:
        raise NotFoundError("this method has no bands", subject=stored.structure.material_id)
    bands, harmonic = phonons.band_structure, phonons.harmonic()
    vectors = exporters.path_eigenvectors(harmonic, bands)
    return exporters.write_phononwebsite(
        path, harmonic.primitive, bands, vectors, name=_title(stored)
    )


def _emmet(path: Path, stored: StoredMaterial, phonons: StoredPhonons) -> Path:
    document = exporters.emmet_document(
        phonons.document.structure.to_pymatgen(),
        last_updated=phonons.document.last_updated or utc_now(),
        material_id=stored.structure.material_id,
        band_structure=phonons.band_structure,
        density_of_states=phonons.density_of_states,
        supercell=phonons.force_constants or phonons.force_data,
        static_energy_ev_per_atom=stored.summary.static_energy_ev_per_atom
        if stored.summary
        else None,
        space_group=(stored.structure.space_group_number, stored.structure.space_group_symbol),
        model=_origin(stored)["model"],
    )
    return exporters.write_emmet_json(path, document)


_Writer = Callable[[Path, StoredMaterial, StoredPhonons], Path]
_PER_MATERIAL: dict[ExportFormat, tuple[_Writer, str]] = {
    ExportFormat.PHONOPY: (_phonopy, "-phonopy.yaml"),
    ExportFormat.PHONO3PY: (_phono3py, "-phono3py"),
    ExportFormat.EMMET: (_emmet, "-emmet.json"),
    ExportFormat.PHONONWEBSITE: (_phononwebsite, "-phononwebsite.json"),
    ExportFormat.FORCES: (_forces, "-forces.extxyz"),
}


def _origin(stored: StoredMaterial) -> dict[str, str]:
    """Say which material and which model, for the header of a file."""
    model = stored.prediction.provenance.model if stored.prediction else None
    return {"material_id": stored.structure.material_id, "model": model or ""}


def _title(stored: StoredMaterial) -> str:
    return stored.structure.label or stored.structure.formula_reduced


def _labelled(stored: StoredMaterial) -> object:
    """Cell with the energy that was computed for this very geometry, or as it was given."""
    information: dict[str, object] = {"material_id": stored.structure.material_id}
    record, energy = stored.structure.structure, stored.structure.static_energy_ev_per_atom
    if stored.prediction is not None:
        record, energy = stored.prediction.structure, stored.prediction.static_energy_ev_per_atom
    if stored.summary is not None:
        names = ("lowest_frequency_thz", "free_energy_300k_mev_per_atom")
        information |= {name: getattr(stored.summary, name) for name in names}
        information["verdict"] = stored.summary.verdict.value
    known = {name: value for name, value in information.items() if value is not None}
    return exporters.labelled_structure(
        record.to_pymatgen(), static_energy_ev_per_atom=energy, information=known
    )
