"""The stored polymorphs of KZnF3: made once with a potential, read again in seconds.

    python benchmarks/kznf3_labels.py DATABASE_URI FILE.tar.xz

reads a database that ``phonoscreen search "K2 Zn2 F6" --volume 165 --count 700 --seed 0`` has
filled (twenty minutes on one core with CHGNet), keeps what is a minimum and differs from all that
is lower in energy, and writes displacements and forces as one archive of phonopy's files, which
``phonoscreen import`` reads like any other. Forces are rounded to 1e-7 eV/Å, a tenth of what the
potential's single precision leaves certain.
"""

from __future__ import annotations

import io
import lzma
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from screening.descriptors.fingerprint import unique_structures
from screening.errors import ParseError, TrainingSetError
from screening.harmonic import harmonic_from_forces
from screening.hessians import ZoneCentreHessian, check_training_hessian, zone_centre_hessian
from screening.prediction import ForceData
from stores.connect import Database, open_database
from stores.documents import PhononDocument, PredictionDocument
from stores.exporters.phonopy_yaml import phonopy_yaml
from stores.importers.reading import iter_structures
from stores.importers.records import Rejection

__all__ = ["ARCHIVE", "read_labels", "write_labels"]

ARCHIVE = Path(__file__).with_name("data") / "kznf3-chgnet.tar.xz"
SOURCE = "chgnet:0.3.0"

_LONG_DECIMAL = re.compile(r"-?\d+\.\d{13,}")


@dataclass(frozen=True)
class _Minimum:
    prediction: PredictionDocument
    forces: ForceData


def read_labels(path: Path = ARCHIVE) -> list[ZoneCentreHessian]:
    """Read the Hessians at the zone centre of all stored polymorphs, the lowest in energy first."""
    found = []
    for one in iter_structures([path]):
        if isinstance(one, Rejection):
            raise ParseError(one.message, subject=one.file, hint=one.hint)
        assert one.force_data is not None
        harmonic = harmonic_from_forces(one.force_data)
        name = one.crystal.material_id
        found.append(zone_centre_hessian(harmonic, material_id=name, source=SOURCE))
    return found


def write_labels(database: Database, path: Path) -> int:
    """Write what differs among the minima of a database, the lowest in energy first."""
    minima = sorted(_minima(database), key=_energy)
    kept = unique_structures([one.forces.primitive for one in minima])
    path.parent.mkdir(exist_ok=True)
    with lzma.open(path, "wb", preset=9) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for place, index in enumerate(kept):
            _add(tar, f"kznf3/{place:03d}.yaml", minima[index])
    print(f"{len(minima)} minima, {len(kept)} of them differ: {path.stat().st_size} bytes")
    return len(kept)


def _minima(database: Database) -> Iterator[_Minimum]:
    for row in database.predictions.query({}):
        prediction = PredictionDocument.load(row)
        same = {"prediction_id": prediction.prediction_id}
        stored = database.phonons.query_one(same)
        assert stored is not None
        document = PhononDocument.load(stored)
        arrays = database.blobs.get(document.blob_digests["forces"])
        forces = document.force_data(arrays)
        hessian = zone_centre_hessian(
            harmonic_from_forces(forces),
            material_id=prediction.material_id,
            residual_force_ev_per_angstrom=float(
                np.linalg.norm(forces.residual_forces_ev_per_angstrom, axis=1).max()
            ),
        )
        try:
            check_training_hessian(hessian)
        except TrainingSetError as error:
            print(f"{prediction.material_id} left out: {error.message}")
            continue
        yield _Minimum(prediction, forces)


def _energy(one: _Minimum) -> float:
    assert one.prediction.static_energy_ev_per_atom is not None
    return one.prediction.static_energy_ev_per_atom


def _add(tar: tarfile.TarFile, name: str, one: _Minimum) -> None:
    provenance = {"method": "potential-phonons", "model": SOURCE}
    text = phonopy_yaml(one.forces, provenance=provenance)
    text = _LONG_DECIMAL.sub(lambda match: f"{float(match.group()):.7f}", text)
    head = tarfile.TarInfo(name)  # no time and no owner: the same bytes every time
    head.size = len(text.encode())
    tar.addfile(head, io.BytesIO(text.encode()))


if __name__ == "__main__":
    with open_database(sys.argv[1], read_only=True) as opened:
        write_labels(opened, Path(sys.argv[2]))
