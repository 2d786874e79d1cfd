"""One training under way: its steps, what it needs to go on, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from screening.errors import ModelCorruptError, TrainingDivergedError
from screening.network_potential.averaging import RunningMean
from screening.network_potential.batches import CellTensors, batch_of, batches, partners
from screening.network_potential.element_sharing import ElementSharing
from screening.network_potential.forward import NetworkForward
from screening.network_potential.halving import in_parts
from screening.network_potential.losses import loss_terms, predict, total_loss
from screening.network_potential.settings import LossWeights, MaceTrainingSettings
from screening.network_potential.validation import force_scores, held_out_forces
from screening.prediction import FloatArray

__all__ = ["TrainingRun"]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


@dataclass(frozen=True)
class _Step:
    """Sums over steps, or over parts of one: losses, and errors of the components of forces."""

    count: int = 0
    loss: float = 0.0
    forces_error: float = 0.0
    n_components: int = 0

    def plus(self, other: _Step) -> _Step:
        return _Step(
            self.count + other.count,
            self.loss + other.loss,
            self.forces_error + other.forces_error,
            self.n_components + other.n_components,
        )


@dataclass
class TrainingRun:
    """A network, its optimiser and how far they are.

    Attributes
    ----------
    network
        The module that is trained, on its device.
    settings
        Of the training.
    device
        Where the network is.
    is_random
        Whether its weights are random ones.
    epoch, steps, seconds
        Epochs that are complete, steps taken, and wall time of the steps.
    parts
        Number of parts that a batch is computed in since memory ran out.
    history
        Scores after each epoch.
    """

    network: Any
    settings: MaceTrainingSettings
    device: torch.device
    is_random: bool = True
    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    parts: int = 1
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sharing = ElementSharing(
            self.network,
            self.settings.architecture,
            self.settings.element_sharing,
            is_random=self.is_random,
        )
        self.forward = NetworkForward(self.network)
        self.mean = RunningMean(self.network, self.settings.ema_decay)
        self._names = list(self._sharing.coordinates)
        self._weights = list(self._sharing.coordinates.values())
        self._optimiser = torch.optim.AdamW(
            self._weights,
            lr=1.0,
            amsgrad=True,
            foreach=True,
            weight_decay=self.settings.weight_decay,
        )

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the time is up."""
        return self._progress(0.0) >= 1.0

    def _progress(self, share_of_epoch: float) -> float:
        """Share of the whole training that is done."""
        progress = (self.epoch + share_of_epoch) / self.settings.n_epochs
        limit = self.settings.max_seconds
        return progress if limit is None else max(progress, self.seconds / limit)

    def run_epoch(self, cells: Sequence[CellTensors]) -> dict[str, float]:
        """Take the steps of one epoch, or as many as there is time for.

        Returns
        -------
        dict
            ``loss``, the mean over the steps, and ``train_forces_mae`` of components in eV/Å,
            each cell by the weights of its step; the second is missing where no step was taken.

        Raises
        ------
        TrainingDivergedError
            If the loss, or a gradient, is no longer finite.
        TooLargeError
            If one cell, or pair of cells, alone does not fit into memory.
        """
        order = partners(cells)
        # drawn from seed and epoch alone, so that no generator's state has to be kept
        drawn = np.random.default_rng([self.settings.seed, self.epoch]).permutation(len(order))
        todo = batches(cells, self.settings.batch_atoms, [order[index] for index in drawn])
        done = _Step()
        for index, chunk in enumerate(todo):
            progress = self._progress(index / len(todo))
            if progress >= 1.0:
                break
            started = time.monotonic()
            done = done.plus(self._step(chunk, progress))
            self.seconds += time.monotonic() - started
        self.epoch += 1
        found = {"loss": done.loss / max(done.count, 1)}
        if done.n_components:
            found["train_forces_mae"] = done.forces_error / done.n_components
        return found

    def _step(self, cells: Sequence[CellTensors], progress: float) -> _Step:
        stage, _ = self.settings.stage_at(progress)
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate_at(progress, self.steps)
        done = self._backward(cells, stage.weights)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.settings.clip)
        if not (np.isfinite(done.loss) and bool(torch.isfinite(norm))):
            raise TrainingDivergedError(
                f"the loss is {done.loss} in step {self.steps + 1} of epoch {self.epoch + 1}",
                subject="training",
                hint="Train again from the start with a lower learning rate, or look for cells with"
                " wrong labels; a checkpoint of an earlier epoch becomes a potential by the same"
                " training with a time limit (max_seconds) that is over",
            )
        self._optimiser.step()
        self._sharing.push()
        self.mean.update()
        self.steps += 1
        return done

    def _backward(self, cells: Sequence[CellTensors], weights: LossWeights) -> _Step:
        """Find the gradient of the loss of a batch, in smaller parts where memory runs out."""
        counts = _counts(cells, partners(cells))
        done, self.parts = in_parts(
            cells, self.parts, self.device, lambda parts: self._gradient(parts, counts, weights)
        )
        return done

    def _gradient(
        self,
        parts: Sequence[Sequence[CellTensors]],
        counts: dict[str, float],
        weights: LossWeights,
    ) -> _Step:
        self._sharing.zero_grad()
        done = _Step(count=1)
        for cells in parts:
            batch = batch_of(cells).to(self.device)
            found = predict(self.forward, batch, training=True)
            terms = loss_terms(found, batch, self.settings.loss)
            partial = total_loss(terms, counts, weights)
            partial.backward()  # type: ignore[no-untyped-call]
            errors = (found.forces.detach() - batch.forces).abs()
            part_done = _Step(0, float(partial.detach()), float(errors.sum()), errors.numel())
            done = done.plus(part_done)
        self._sharing.pull()
        return done

    def cell_energies(self, cells: Sequence[CellTensors]) -> FloatArray:
        """Energies of cells in eV by the weights as they are, without those of atoms alone."""
        found = [
            predict(self.forward, batch_of([cell]).to(self.device)).energies.cpu().numpy()
            for cell in cells
        ]
        return np.concatenate(found).astype(np.float64)

    def score(self, cells: Sequence[CellTensors]) -> None:
        """Add the scores of the mean weights to the last epoch, where they are missing."""
        if not (cells and self.history) or "forces_mae" in self.history[-1]:
            return
        with self.mean.applied():
            found = force_scores(self.forward, cells, self.settings.batch_atoms, self.device)
        self.history[-1] |= found

    def parity(self, cells: Sequence[CellTensors]) -> dict[str, Any]:
        """Return forces by the mean weights beside the labels; empty where there are no cells."""
        if not cells:
            return {}
        with self.mean.applied():
            forces = held_out_forces(self.forward, cells, self.settings.batch_atoms, self.device)
        return {"forces": forces}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights, their running mean and the state of the optimiser, by name."""
        found = {}
        for name, weight, mean in zip(self._names, self._weights, self.mean.mean, strict=True):
            found[f"weight/{name}"] = _numpy(weight)
            found[f"mean/{name}"] = _numpy(mean)
            for moment, value in self._optimiser.state[weight].items():
                found[f"{moment}/{name}"] = _numpy(value)
        return found

    def header(self) -> dict[str, Any]:
        """Return how far training is, as plain JSON."""
        names = ("epoch", "steps", "seconds", "parts", "history")
        return {name: getattr(self, name) for name in names} | {"n_mean": self.mean.n_steps}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `header` and `arrays` returned.

        Raises
        ------
        ModelCorruptError
            If the arrays are not those of this network.
        """
        try:
            for name, weight, mean in zip(self._names, self._weights, self.mean.mean, strict=True):
                with torch.no_grad():
                    weight.copy_(_like(weight, arrays[f"weight/{name}"]))
                    mean.copy_(_like(weight, arrays[f"mean/{name}"]))
                self._optimiser.state[weight] = {
                    moment: _moment(moment, weight, arrays[f"{moment}/{name}"])
                    for moment in _MOMENTS
                    if f"{moment}/{name}" in arrays
                }
            self._sharing.push()
            self.epoch, self.steps = int(header["epoch"]), int(header["steps"])
            self.seconds, self.parts = float(header["seconds"]), int(header["parts"])
            self.history = list(header["history"])
            self.mean.n_steps = int(header["n_mean"])
        except (KeyError, ValueError, TypeError) as error:
            raise ModelCorruptError(
                f"the checkpoint is not of this network: {error}",
                subject="checkpoint",
                hint="Remove the file to train from the start",
            ) from error


def _counts(cells: Sequence[CellTensors], groups: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """Count what each term of the loss is a mean over."""
    return {
        "forces": float(len(cells)),
        "energy": float(sum(one.has_energy for one in cells)),
        "stress": float(sum(one.has_stress for one in cells)),
        "hessian": float(sum(len(one) > 1 for one in groups)),
    }


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy())


def _like(weight: torch.Tensor, array: NDArray[Any]) -> torch.Tensor:
    if tuple(weight.shape) != array.shape or not np.isfinite(array).all():
        raise ValueError(f"an array of shape {array.shape} for a weight of {tuple(weight.shape)}")
    return torch.tensor(array, dtype=weight.dtype, device=weight.device)


def _moment(moment: str, weight: torch.Tensor, array: NDArray[Any]) -> torch.Tensor:
    return torch.tensor(array) if moment == "step" else _like(weight, array)
