"""Training of a MACE potential: from labelled cells to a model with its card.

References
----------
H. Lee, V. I. Hegde, C. Wolverton and Y. Xia, arXiv:2407.09674.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from screening.digest import digest_of
from screening.errors import (
    ElementNotInModelError,
    ModelRefusedError,
    TrainingSetError,
)
from screening.network_potential.batches import (
    CellTensors,
    cell_tensors,
    mean_neighbours,
    reference_energies,
    without_references,
)
from screening.network_potential.checkpoint import Checkpoint, CheckpointFile
from screening.network_potential.devices import chosen_device
from screening.network_potential.labelled_cells import (
    LabelledCell,
    split_by_group,
    training_set_digest,
)
from screening.network_potential.network import (
    NETWORK_ARRAYS,
    NETWORK_POTENTIAL,
    atomic_energies,
    build_network,
    network_of,
    network_to_arrays,
    set_atomic_energies,
)
from screening.network_potential.run import TrainingRun
from screening.network_potential.settings import MaceArchitecture, MaceTrainingSettings
from screening.trained_model import TrainedModel

__all__ = ["check_training_cells", "train_potential"]

Progress = Callable[[str, int, int], None]

_FEWEST_CELLS = 3
_SMALLEST_SCALE_EV = 1e-3  # where no cell has forces
_TYPES = {"float32": torch.float32, "float64": torch.float64}
_OF_TRAINING = ("epoch", "loss", "train_forces_mae")
_MEANT_FOR = (
    "trained on forces of small displaced cells; not meant for liquids, surfaces or reactions"
)
_HELD_OUT = "held-out scores are of compositions that were not trained on"


def train_potential(
    cells: Sequence[LabelledCell],
    settings: MaceTrainingSettings,
    name: str,
    progress: Progress | None = None,
    checkpoint: CheckpointFile | None = None,
    start_from: TrainedModel | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainedModel:
    """Train a potential.

    With the same cells, settings and number of threads the same model results on a processor,
    whether training was interrupted or not, unless a time limit rules its schedule.

    Parameters
    ----------
    cells
        Cells with forces, of several compositions where some are to be held out.
    settings
        Architecture and training.
    name
        Name of the model.
    progress
        Called before the first epoch with what is learned, and after each with its scores; the
        number of epochs that are done, and how many there are at most.
    checkpoint
        Where the last state is kept after each epoch; training goes on from there where it is.
    start_from
        A potential whose weights to start from; its architecture is kept.
    should_stop
        Asked after each epoch whether to end with what there is.

    Returns
    -------
    TrainedModel
        With the running mean of the weights, and on its card the sources of the labels, the
        history and the scores on held-out compositions.

    Raises
    ------
    TrainingSetError
        If there are fewer than 3 cells, or too few compositions to hold some out.
    ElementNotInModelError
        If a cell has an element that the architecture or ``start_from`` does not know.
    ModelRefusedError, ModelCorruptError
        If the checkpoint is of another training, or damaged.
    TrainingDivergedError
        If the loss is no longer finite; the last checkpoint stays.
    TooLargeError
        If a cell alone does not fit into memory.
    """
    _check_count(cells)
    settings = _as_used(cells, settings, start_from)
    check_training_cells(cells, settings.architecture.elements)
    identity = _identity(cells, settings, name, start_from)
    saved = _saved(checkpoint, identity)
    known = frozenset(() if start_from is None else start_from.elements)
    training, held_out = split_by_group(
        cells, settings.valid_fraction, settings.held_out_seed, _learned(start_from), known
    )
    run, tensors = _start(training, held_out, settings, start_from)
    if saved is not None:
        run.restore(saved.header, saved.arrays)
    if progress is not None and not run.is_over:
        progress(_beginning(training, held_out, run.epoch), run.epoch, settings.n_epochs)
    _train(run, tensors, checkpoint, identity, progress, should_stop)
    model = _trained(run, training, held_out, name, known)
    return replace(model, card={**model.card, "parity": run.parity(tensors[1])})


def _learned(start: TrainedModel | None) -> frozenset[str]:
    """Compositions that the weights at the start are known to have learned."""
    split = {} if start is None else start.card.get("split", {})
    return frozenset(split.get("training_groups", ()))


def check_training_cells(cells: Sequence[LabelledCell], elements: Sequence[int]) -> None:
    """Refuse cells of elements that a network does not know.

    Raises
    ------
    ElementNotInModelError
        As said; names the first cell.
    """
    known = set(elements)
    for cell in cells:
        if unknown := sorted(set(cell.numbers.tolist()) - known):
            from ase.data import chemical_symbols

            names = ", ".join(chemical_symbols[one] for one in unknown)
            raise ElementNotInModelError(
                f"the network was not made for {names}",
                subject=cell.material_id,
                hint="Leave the cell out, or train a network anew",
            )


def _check_count(cells: Sequence[LabelledCell]) -> None:
    if len(cells) < _FEWEST_CELLS:
        raise TrainingSetError(
            f"{len(cells)} cells, at least {_FEWEST_CELLS} are needed",
            subject="training",
            hint="Give about six displaced cells of each of some hundred crystals",
        )


def _as_used(
    cells: Sequence[LabelledCell], settings: MaceTrainingSettings, start: TrainedModel | None
) -> MaceTrainingSettings:
    """Write out the architecture: that of the first weights, or with the elements of the cells."""
    if start is not None:
        if start.method != NETWORK_POTENTIAL:
            raise ModelRefusedError(
                f"was trained by the method {start.method}",
                subject=start.name,
                hint="Start from a network potential",
            )
        architecture = MaceArchitecture.from_dict(start.state["architecture"])
        return replace(settings, architecture=architecture)
    if settings.architecture.elements:
        return settings
    elements = sorted({int(number) for cell in cells for number in cell.numbers})
    return replace(settings, architecture=replace(settings.architecture, elements=tuple(elements)))


def _identity(
    cells: Sequence[LabelledCell],
    settings: MaceTrainingSettings,
    name: str,
    start: TrainedModel | None,
) -> dict[str, str]:
    """Name what a checkpoint is of; the time limit and the device may change on the way."""
    same = replace(settings, max_seconds=None, device="auto")
    return {
        "name": name,
        "settings": digest_of(same.as_dict()),
        "training_set": training_set_digest(cells),
        "start_from": "" if start is None else start.digest,
    }


def _saved(checkpoint: CheckpointFile | None, identity: dict[str, str]) -> Checkpoint | None:
    """Read the last checkpoint, and refuse that of another training."""
    found = None if checkpoint is None else checkpoint.read()
    if found is None or checkpoint is None:
        return None
    for key, value in identity.items():
        if found.header.get(key) != value:
            raise ModelRefusedError(
                f"is the checkpoint of another training: its {key} differs",
                subject=str(checkpoint.path),
                hint="Name another file, or remove it to train from the start",
            )
    return found


def _start(
    training: Sequence[LabelledCell],
    held_out: Sequence[LabelledCell],
    settings: MaceTrainingSettings,
    start: TrainedModel | None,
) -> tuple[TrainingRun, tuple[list[CellTensors], list[CellTensors]]]:
    """Find all neighbours, make the network, and take the energies of atoms off the labels."""
    architecture, dtype = settings.architecture, _TYPES[settings.precision]
    raw = [
        [cell_tensors(cell, architecture, dtype) for cell in cells]
        for cells in (training, held_out)
    ]
    if start is None:
        scale = float(np.sqrt(np.mean([_mean_square(cell) for cell in training])))
        network = build_network(
            architecture,
            mean_neighbours(raw[0]),
            max(scale, _SMALLEST_SCALE_EV),
            seed=settings.seed,
            precision=settings.precision,
        )
    else:
        network = network_of(start, precision=settings.precision)
    device = chosen_device(settings.device)
    run = TrainingRun(network.to(device), settings, device, is_random=start is None)
    learned = np.zeros(len(training)) if start is None else run.cell_energies(raw[0])
    alone = atomic_energies(network)  # which elements that no cell holds keep
    learned += [alone[cell.species.numpy()].sum() for cell in raw[0]]
    correction = reference_energies(training, architecture.elements, learned)
    if correction is not None:
        references = alone + correction
        set_atomic_energies(network, references)
        raw = [[without_references(one, references) for one in cells] for cells in raw]
    return run, (raw[0], raw[1])


def _mean_square(cell: LabelledCell) -> float:
    return float(np.mean(cell.forces_ev_per_angstrom**2))


def _train(
    run: TrainingRun,
    tensors: tuple[list[CellTensors], list[CellTensors]],
    checkpoint: CheckpointFile | None,
    identity: dict[str, str],
    progress: Progress | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Run epochs until the training is over."""
    run.score(tensors[1])  # the epoch of a checkpoint, which is written before its scores
    while not run.is_over:
        learned = run.run_epoch(tensors[0])
        run.history.append({"epoch": run.epoch, **learned})
        if checkpoint is not None:
            checkpoint.write(Checkpoint({**identity, **run.header()}, run.arrays()))
        run.score(tensors[1])
        if progress is not None:
            progress(_said(run.history[-1]), run.epoch, run.settings.n_epochs)
        if should_stop is not None and should_stop():
            return


def _beginning(
    training: Sequence[LabelledCell], held_out: Sequence[LabelledCell], epoch: int
) -> str:
    begun = "goes on from its checkpoint" if epoch else "begins"
    n_groups = len({cell.group for cell in training})
    text = f"{begun}, {len(training)} cells of {n_groups} compositions to learn from"
    left = f"{len(held_out)} of {len({cell.group for cell in held_out})}" if held_out else "none"
    return f"{text}, {left} held out"


def _said(scores: dict[str, float]) -> str:
    text = f"loss {scores['loss']:.4f}"
    if "train_forces_mae" in scores:
        text += f", forces trained on {1e3 * scores['train_forces_mae']:.1f} meV/Å"
    if "forces_mae" in scores:
        text += (
            f", forces held out {1e3 * scores['forces_mae']:.1f} meV/Å"
            f" (none: {1e3 * scores['zero_forces_mae']:.1f})"
        )
    for name in ("relative", "relative_hessian"):
        text += f", {name} {scores[name]:.4f}" if name in scores else ""
    if "energy_mae" in scores:
        text += f", energy {1e3 * scores['energy_mae']:.1f} meV/atom"
    if "stress_mae" in scores:
        text += f", stress {1e3 * scores['stress_mae']:.2f} meV/Å^3"
    return text


def _trained(
    run: TrainingRun,
    training: Sequence[LabelledCell],
    held_out: Sequence[LabelledCell],
    name: str,
    known: frozenset[int],
) -> TrainedModel:
    with run.mean.applied():
        arrays = network_to_arrays(run.network)
    settings = run.settings
    learned = known.union(*(map(int, cell.numbers) for cell in training))
    return TrainedModel(
        method=NETWORK_POTENTIAL,
        name=name,
        elements=tuple(sorted(learned)),  # without those of held-out cells alone
        arrays={NETWORK_ARRAYS + key: array for key, array in arrays.items()},
        state={
            "architecture": settings.architecture.as_dict(),
            "avg_num_neighbors": float(run.network.interactions[0].avg_num_neighbors),
            "precision": settings.precision,
            "frequency_scale": None,
        },
        card=_card(run, training, held_out, learned),
        training_set_digest=training_set_digest([*training, *held_out]),
        n_training_samples=len(training),
    )


def _card(
    run: TrainingRun,
    training: Sequence[LabelledCell],
    held_out: Sequence[LabelledCell],
    learned: frozenset[int],
) -> dict[str, Any]:
    """Say what people should know."""
    settings, last = run.settings, run.history[-1] if run.history else {}
    groups = sorted({cell.group for cell in held_out})
    return {
        "sources": sorted({cell.source for cell in training if cell.source}),
        "scores": {key: one for key, one in last.items() if key not in _OF_TRAINING},
        "history": run.history,
        "split": {
            "by": "composition",
            "n_training_cells": len(training),
            "n_training_groups": len({cell.group for cell in training}),
            "n_held_out_cells": len(held_out),
            "training_groups": sorted({cell.group for cell in training}),
            "held_out_groups": groups,
        },
        "settings": settings.as_dict(),
        "seed": settings.seed,
        "n_epochs": run.epoch,
        "n_steps": run.steps,
        "wall_seconds": round(run.seconds, 1),
        "is_complete": run.is_over,
        "n_parameters": sum(one.numel() for one in run.network.parameters()),
        "notes": [_MEANT_FOR, *([_HELD_OUT] if groups else []), *_unlearned(held_out, learned)],
    }


def _unlearned(held_out: Sequence[LabelledCell], learned: frozenset[int]) -> list[str]:
    """Say which elements were held out with all that has them."""
    from ase.data import chemical_symbols

    numbers = {int(one) for cell in held_out for one in cell.numbers} - learned
    if not numbers:
        return []
    names = ", ".join(chemical_symbols[one] for one in sorted(numbers))
    text = (
        f"does not know {names}, which held-out compositions alone have: give others of these "
        "elements, or hold nothing out (--held-out 0)"
    )
    return [text]
