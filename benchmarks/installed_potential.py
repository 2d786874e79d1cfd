"""The potential that is installed with the project, trained again from the stored labels.

    python benchmarks/installed_potential.py --out FOLDER [--epochs N] [--start-from FILE.psm]
        [--crystals N] [--data FOLDER]

The cells of `data/rattled-sevennet-l3i5.npz` and `data/soft-sevennet-l3i5.npz` go to FOLDER as
extended xyz, whole crystals together, and train as those of ``phonoscreen train mace`` do, with
architecture and settings of the installed file. What training has reached is kept in FOLDER after
every epoch: the same command goes on from there. The result, ``FOLDER/NAME.psm``, is written when
training ends; then its frequencies are scaled, as ``phonoscreen models scale`` does, to the heat
capacities of Alexandria that the installed file was scaled to, and it is written again.

The result is alike, not equal. The installed file was learned in four rounds (see the notes of
its card), each begun from the weights before: rattled cells alone with the loss ``relative``, then
with ``frequency``, then with pairs along soft modes, then with a second pair of each crystal. The
last took 68 minutes on two cores, all together some hours. Here all cells are learned from the
start, in as many epochs as these rounds had together. ``--start-from`` goes on from the weights of
a file with the epochs of the last round: with the installed file, or with a result.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from networks_models import RESERVED
from pymatgen.core import Composition, Element

from flows.labelled_files import write_labelled_cells
from flows.potential_heat_capacities import HeatCapacityTask, scale_potential_to_heat_capacities
from flows.potential_training import PotentialTask, train_potentials
from screening.errors import ModelRefusedError, ScreeningError
from screening.model_files import read_model
from screening.network_potential.labelled_cells import LabelledCell
from screening.shipped_models import WEIGHTS_FOLDER
from screening.trained_model import TrainedModel
from stores.model_files import write_model

__all__ = ["FILES", "SOURCE", "read_cells", "some_crystals", "training_task", "write_cells"]

FILES = tuple(
    Path(__file__).with_name("data") / f"{name}-sevennet-l3i5.npz" for name in ("rattled", "soft")
)
SOURCE = "sevennet:7net-l3i5"
NAME = "phonoscreen-small"
ROUNDS = (7, 16, 8, 8)  # epochs, as the notes of the card say
NOTES = (
    "labels are energies, forces and stresses by SevenNet-l3i5 (MIT licence), not by DFT",
    (
        "no composition of PhononDB-PBE was learned, NaCl and MgO among them; their bonds were, "
        "in compounds of more elements"
    ),
)
_HEAT_CAPACITIES = "alexandria_binary_pbe_cv300.json.gz"
_TICK_ANGSTROM, _TICK_EV_PER_ANGSTROM = 1e-5, 1e-4
_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))
_CELLS_OF_FILE = 3000  # files of labels are read below 64 MB


def read_cells(path: Path) -> Iterator[LabelledCell]:
    """Read stored labels, crystal after crystal.

    Parameters
    ----------
    path
        A file of `FILES`; `data/README.md` says what it holds.

    Raises
    ------
    ModelRefusedError
        If a crystal has a reserved composition; nothing is read then.
    """
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    n_cells, n_atoms = (stored[name].astype(np.int64) for name in ("n_cells", "n_atoms"))
    numbers = np.split(stored["numbers"].astype(np.int64), np.cumsum(n_atoms)[:-1])
    groups = [_formula(one) for one in numbers]
    if reserved := sorted(RESERVED.intersection(groups)):
        raise ModelRefusedError(
            f"holds the reserved compositions {', '.join(reserved)}",
            subject=path.name,
            hint="Remove their cells: no model that is installed learns from them",
        )
    cell_ends, atom_ends = np.cumsum(n_cells), np.cumsum(n_cells * n_atoms)
    for row, group in enumerate(groups):
        cells = slice(cell_ends[row] - n_cells[row], cell_ends[row])
        atoms = slice(atom_ends[row] - n_cells[row] * n_atoms[row], atom_ends[row])
        named = {
            "material_id": str(stored["material_id"][row]),
            "group": group,
            "numbers": numbers[row],
            "source": SOURCE,
        }
        yield from _cells_of_crystal(stored, cells, atoms, named, path.name.partition("-")[0])


def _formula(numbers: Iterable[int]) -> str:
    symbols = [Element.from_Z(int(one)).symbol for one in numbers]
    return str(Composition("".join(symbols)).reduced_formula)


def _cells_of_crystal(
    stored: Mapping[str, Any], cells: slice, atoms: slice, named: Mapping[str, Any], file: str
) -> Iterator[LabelledCell]:
    ticks = stored["cell_ticks"][cells]
    shape = (len(ticks), len(named["numbers"]), 3)
    positions = stored["position_ticks"][atoms].reshape(shape) * _TICK_ANGSTROM
    forces = stored["force_ticks"][atoms].reshape(shape) * _TICK_EV_PER_ANGSTROM
    energies = stored["energy_ev"][cells].tolist()
    stresses = stored["stress_ev_per_angstrom3"][cells].astype(np.float64)
    pairs = _pairs(ticks, f"{file} {named['material_id']}")
    for index, lattice in enumerate(ticks * _TICK_ANGSTROM):
        yield LabelledCell(
            **named,
            cell_angstrom=lattice,
            positions_angstrom=positions[index],
            forces_ev_per_angstrom=forces[index],
            energy_ev=energies[index],
            stress_ev_per_angstrom3=stresses[index][np.array(_VOIGT)],
            pair=pairs[index],
        )


def _pairs(ticks: np.ndarray[Any, Any], name: str) -> list[str]:
    """Name the antithetic pairs: two in a row of one lattice, for cells alone have their own."""
    found = [""] * len(ticks)
    for first in range(0, len(ticks) - 1, 2):
        if np.array_equal(ticks[first], ticks[first + 1]):
            found[first : first + 2] = [f"{name} {first // 2 + 1}"] * 2
    return found


def some_crystals(cells: Sequence[LabelledCell], count: int | None) -> list[LabelledCell]:
    """Return all cells of so many crystals, spread evenly over all; None takes all."""
    names = list(dict.fromkeys(one.material_id for one in cells))
    if count is None or count >= len(names):
        return list(cells)
    chosen = {names[int(one)] for one in np.linspace(0, len(names) - 1, count)}
    return [one for one in cells if one.material_id in chosen]


def write_cells(cells: Sequence[LabelledCell], folder: Path) -> list[Path]:
    """Write cells as extended xyz, crystals whole, a few thousand cells in each file."""
    parts: list[list[LabelledCell]] = [[]]
    for _, crystal in groupby(cells, key=lambda one: one.material_id):
        if len(parts[-1]) >= _CELLS_OF_FILE:
            parts.append([])
        parts[-1] += crystal
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_labelled_cells(part, folder / f"labels-{number:02d}.extxyz")
        for number, part in enumerate(parts, start=1)
    ]


def training_task(
    files: Sequence[Path], folder: Path, name: str, epochs: int | None, start_from: str
) -> PotentialTask:
    """Say what is trained: as the installed file, but in no limited time."""
    settings = dict(read_model(WEIGHTS_FOLDER / f"{NAME}.psm").card["settings"])
    usual = ROUNDS[-1] if start_from else sum(ROUNDS)
    return PotentialTask(
        files=tuple(str(one) for one in files),
        name=name,
        settings={**settings, "max_seconds": None},
        epochs=usual if epochs is None else epochs,
        start_from=start_from,
        checkpoints=str(folder),
    )


def scaled(uri: str, key: str, file: Path) -> TrainedModel:
    """Scale a stored potential to the crystals that the scale of the installed file was for.

    Raises
    ------
    ScreeningError
        As `scale_potential_to_heat_capacities` says: of a potential that has learned little all
        phonons may be imaginary.
    """
    installed = read_model(WEIGHTS_FOLDER / f"{NAME}.psm")
    learned = frozenset(installed.card["split"]["training_groups"])
    task = HeatCapacityTask(str(file), per="cell", exclude=RESERVED | learned)
    done = scale_potential_to_heat_capacities(uri, key.partition(":")[2], task, _show_crystals)
    print(done.scale.note, flush=True)
    return done.model


def _show_crystals(said: str, done: int, total: int) -> None:
    print(f"  {said}: {done} of {total}", flush=True)


def _written(model: TrainedModel, path: Path) -> None:
    notes = [*NOTES, *(one for one in model.card["notes"] if one not in NOTES)]
    print(write_model(path, replace(model, card={**model.card, "notes": notes})), flush=True)


def main() -> int:
    """Train, then scale."""
    options = arguments()
    folder, started = options.out.resolve(), time.monotonic()
    cells = some_crystals([one for path in FILES for one in read_cells(path)], options.crystals)
    files = write_cells(cells, folder)
    print(f"{len(cells)} cells in {len(files)} files in {folder}", flush=True)

    def show(name: str, said: str, epoch: int, n_epochs: int) -> None:
        seconds = time.monotonic() - started
        print(f"  {name}, epoch {epoch} of {n_epochs}, {seconds:.0f} s: {said}", flush=True)

    uri, result = f"sqlite:///{folder / 'training.db'}", folder / f"{options.name}.psm"
    start = str(options.start_from.resolve()) if options.start_from else ""
    task = training_task(files, folder, options.name, options.epochs, start)
    [(key, model)] = train_potentials(uri, task, show).models.items()
    _written(model, result)
    file = options.data / _HEAT_CAPACITIES
    if not file.is_file():
        print(f"frequencies are not scaled: there is no {file}; name its folder with --data")
        return 0
    try:
        _written(scaled(uri, key, file), result)
    except ScreeningError as error:
        print(f"frequencies are not scaled: {error}")
        return 1
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    data = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    result = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    result.add_argument("--out", type=Path, required=True, help="folder of labels and results")
    result.add_argument("--name", default=NAME, help="name of the potential")
    result.add_argument("--epochs", type=int, help="passes over the cells")
    result.add_argument("--start-from", type=Path, help="file NAME.psm whose weights to start from")
    result.add_argument("--crystals", type=int, help="learn from so many alone, to try it out")
    result.add_argument("--data", type=Path, default=data, help="folder of reference data")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
