"""Stored densities of states: what the ensemble that is installed learned, and what it never saw.

The phonons are those of a database, by one source. Whole compositions are set aside by a seed;
the others train the ensemble. A file holds both, so that the training can be repeated and the
ensemble judged without the database.

    python benchmarks/density_labels.py --db URI --out densities.npz
    python benchmarks/density_labels.py --model phonoscreen-dos.psm --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from networks_models import RESERVED
from pymatgen.core import Lattice, Structure
from rich.console import Console

from flows.dos_training import density_settings, with_training
from flows.progress import StageProgress
from flows.trained import trained_method
from screening.errors import ScreeningError
from screening.network_dos.labels import LABEL_TEMPERATURES_K, DosLabel
from screening.network_dos.settings import DosNetworkSettings
from screening.network_dos.training import train_density_of_states
from screening.network_potential.checkpoint import CheckpointFile
from screening.prediction import Thermodynamics
from screening.thermodynamics import ThermodynamicsSettings
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.model_files import write_model
from stores.models import SOURCE_IDS
from stores.training import training_phonons

__all__ = ["STORED", "StoredLabels", "read_labels", "unseen_groups", "write_labels"]

STORED = Path(__file__).parent / "data" / "densities-phonoscreen.npz"
NAME, SEED, UNSEEN_FRACTION = "phonoscreen-dos", 0, 0.12
_CURVES = (
    "free_energy_mev_per_atom",
    "entropy_mev_per_k_per_atom",
    "heat_capacity_mev_per_k_per_atom",
    "internal_energy_mev_per_atom",
)
_SETTINGS = ("epochs", "n_members")
_NUMBERS = ("zero_point_energy_mev_per_atom", "dropped_weight", "imaginary_weight", "valid")


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """Labels on `WIDE_GRID`.

    Attributes
    ----------
    learned, unseen
        Of the compositions that the ensemble learned from and was calibrated on, and of others.
    """

    learned: tuple[DosLabel, ...]
    unseen: tuple[DosLabel, ...]


def unseen_groups(groups: Sequence[str], seed: int = SEED) -> frozenset[str]:
    """Draw the compositions that are set aside."""
    names = sorted(set(groups))
    drawn = np.random.default_rng(seed).permutation(len(names))
    return frozenset(names[one] for one in drawn[: round(UNSEEN_FRACTION * len(names))].tolist())


def write_labels(path: Path, labels: Sequence[DosLabel]) -> None:
    """Write labels that have exact thermodynamics."""
    exact = [one.thermodynamics for one in labels]
    sites = [site for one in labels for site in one.structure]
    columns: dict[str, Any] = {
        name: np.array([getattr(one, name) for one in exact], dtype=np.float32)
        for name in (*_CURVES, *_NUMBERS)
    }
    np.savez_compressed(
        path,
        material_id=np.array([one.material_id for one in labels]),
        source=np.array(sorted({one.source for one in labels})),
        n_atoms=np.array([one.n_atoms for one in labels], dtype=np.int16),
        lattice_angstrom=np.array([one.structure.lattice.matrix for one in labels]),
        numbers=np.array([site.specie.Z for site in sites], dtype=np.uint8),
        fractions=np.array([site.frac_coords for site in sites]).round(6),
        modes=np.array([one.histogram for one in labels], dtype=np.float32),
        weight_outside=np.array([one.weight_outside for one in labels]),
        **columns,
    )


def read_labels(path: Path) -> StoredLabels:
    """Read what `write_labels` wrote; counts of modes are made to sum to 3N exactly."""
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    ends = np.cumsum(stored["n_atoms"], dtype=np.int64)
    labels = [_label(stored, row, int(end)) for row, end in enumerate(ends)]
    unseen = unseen_groups([one.group for one in labels])
    return StoredLabels(
        tuple(one for one in labels if one.group not in unseen),
        tuple(one for one in labels if one.group in unseen),
    )


def _label(stored: dict[str, Any], row: int, end: int) -> DosLabel:
    n_atoms = int(stored["n_atoms"][row])
    mine = slice(end - n_atoms, end)
    structure = Structure(
        Lattice(stored["lattice_angstrom"][row]),
        stored["numbers"][mine].tolist(),
        stored["fractions"][mine],
    )
    modes = stored["modes"][row].astype(np.float64)
    return DosLabel(
        material_id=str(stored["material_id"][row]),
        group=structure.reduced_formula,
        structure=structure,
        histogram=modes * (3 * n_atoms / modes.sum()),
        weight_outside=float(stored["weight_outside"][row]),
        thermodynamics=_thermodynamics(stored, row),
        source=", ".join(stored["source"].tolist()),
    )


def _thermodynamics(stored: dict[str, Any], row: int) -> Thermodynamics:
    curves = {name: stored[name][row].astype(np.float64) for name in _CURVES}
    numbers = {name: float(stored[name][row]) for name in _NUMBERS}
    settings = ThermodynamicsSettings(LABEL_TEMPERATURES_K, low_mode_policy="renormalise")
    return Thermodynamics(
        temperatures_k=np.array(LABEL_TEMPERATURES_K),
        low_mode_policy=settings.low_mode_policy,
        cutoff_thz=settings.cutoff_thz,
        **curves,
        **numbers | {"valid": bool(numbers["valid"])},  # type: ignore[arg-type]
    )


def labels_of_database(uri: str, source: str) -> list[DosLabel]:
    """Read the phonons of a database; what cannot be learned, or is reserved, is left out."""
    make, labels, settings = trained_method("alignn").label, [], DosNetworkSettings()
    with open_database(uri, read_only=True) as database:
        rows = database.structures.query({}, ["material_id", "formula_reduced"])
        names = [row["material_id"] for row in rows if row["formula_reduced"] not in RESERVED]
        for phonons in training_phonons(database, names, source or None):
            try:
                labels.append(make(phonons).label_for(settings))
            except ScreeningError as error:
                print(f"  left out: {phonons.material_id} {error.message}", flush=True)
    return labels


def train_ensemble(
    labels: Sequence[DosLabel], settings: DosNetworkSettings, checkpoints: Path | None
) -> TrainedModel:
    """Train on labels; what training has reached is kept in a folder, where there is one."""
    kept = None if checkpoints is None else CheckpointFile(checkpoints / f"{NAME}.npz")
    with StageProgress(Console(stderr=True)) as progress:
        model = train_density_of_states(labels, settings, NAME, progress, kept)
    told = with_training(model, labels, settings)
    by = ", ".join(model.card["sources"])
    note = f"labels are phonons by {by}, a small potential, not by DFT"
    notes = {"notes": [note, *model.card["notes"]]}
    return replace(told, card={**told.card, **notes, SOURCE_IDS: sorted(told.card["training_ids"])})


def main() -> int:
    """Write the labels of a database where one is named, and train on what is not set aside."""
    options = arguments()
    if options.db:
        write_labels(options.out, labels_of_database(options.db, options.source))
    stored = read_labels(options.out)
    for what, part in (("to learn from", stored.learned), ("set aside", stored.unseen)):
        print(f"{what}: {len(part)} crystals, {len({one.group for one in part})} compositions")
    if options.model is not None:
        asked = {name: getattr(options, name) for name in _SETTINGS}
        given = {name: value for name, value in asked.items() if value is not None}
        settings = density_settings(given)
        write_model(options.model, train_ensemble(stored.learned, settings, options.checkpoints))
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    result.add_argument("--db", default="", help="database of phonons, to write labels from")
    result.add_argument("--source", default="", help="model whose phonons are learned")
    result.add_argument("--out", type=Path, default=STORED, help="file of labels")
    result.add_argument("--model", type=Path, help="train an ensemble, and write it here")
    result.add_argument("--epochs", type=int, help="most passes over the labels of a member")
    result.add_argument("--n-members", type=int, help="networks of the ensemble")
    result.add_argument("--checkpoints", type=Path, help="folder for what training has reached")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
