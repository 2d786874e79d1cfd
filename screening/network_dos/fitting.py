"""Training of one network: passes over the training set, watched on held-out compositions.

All that is random follows from the seed and the number of the pass, so a training that goes on
from a checkpoint makes the same numbers as one that never stopped (on a graphics processor up to
the order of its sums). A batch that does not fit into memory is halved and its gradients are
summed, which changes nothing but the order of a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from screening.errors import ModelCorruptError, TooLargeError, TrainingDivergedError
from screening.network_dos.graphs import CrystalGraph, batch_of, batches_by_size
from screening.network_dos.losses import training_loss
from screening.network_dos.network import (
    DosNetwork,
    build_network,
    network_from_arrays,
    network_to_arrays,
)
from screening.network_dos.settings import DosNetworkSettings
from screening.network_potential.checkpoint import Checkpoint
from screening.out_of_memory import is_out_of_memory
from screening.prediction import FloatArray

__all__ = ["MemberTraining", "Sample"]

Arrays = dict[str, NDArray[Any]]

_WARM_UP = 0.05  # of all passes
_LAST_RATE = 0.01  # of the largest
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_NO_CRYSTAL_FITS = (
    "Raise the memory, lower the cutoffs or the size of the network, or leave large cells out"
)


@dataclass(frozen=True, eq=False)
class Sample:
    """What the network sees of one crystal, and what it is to say.

    Attributes
    ----------
    graph
        Atoms, bonds and angles.
    histogram
        Modes in each bin, shape (bin,).
    prior
        The same from a potential, or None.
    """

    graph: CrystalGraph
    histogram: FloatArray
    prior: FloatArray | None = None


class MemberTraining:
    """One network while it is trained.

    Parameters
    ----------
    training, validation
        Crystals to learn from, and of other compositions to watch; without the latter the loss
        of the training itself is watched.
    settings
        How to train.
    features
        Of the elements by atomic number, shape (atomic number, feature).
    seed
        Of this member.
    device
        Where.

    Attributes
    ----------
    epoch
        Passes that are done.
    history
        Loss of training and validation after each of them.
    best_epoch, best_loss
        When the watched loss was lowest.
    """

    def __init__(
        self,
        training: Sequence[Sample],
        validation: Sequence[Sample],
        settings: DosNetworkSettings,
        features: NDArray[np.float32],
        seed: int,
        device: torch.device,
    ) -> None:
        self._training, self._validation = training, validation
        self._settings, self._seed, self._device = settings, seed, device
        self._features = torch.from_numpy(features.copy()).to(device)
        built = build_network(settings.architecture, settings.grid, features.shape[1], seed)
        built.start_from(
            torch.from_numpy(np.stack([one.histogram for one in training])),
            torch.from_numpy(np.stack([one.graph.scales for one in training])),
        )
        self._network = built.to(device)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.epoch, self.best_epoch, self.best_loss = 0, 0, math.inf
        self.history: list[list[float]] = []
        self._best: Arrays = network_to_arrays(self._network)
        self._largest = settings.batch_edges

    @property
    def is_done(self) -> bool:
        """Whether all passes are done, or nothing has improved for too long."""
        settings = self._settings
        stale = self.epoch - self.best_epoch >= settings.patience
        return self.epoch >= settings.epochs or (self.epoch > 0 and stale)

    @property
    def best_arrays(self) -> Arrays:
        """Weights of the pass with the lowest watched loss."""
        return self._best

    def run(self) -> Arrays:
        """Make passes until it is done, and return the best weights."""
        while not self.is_done:
            self.run_epoch()
        return self.best_arrays

    def run_epoch(self) -> None:
        """Make one pass.

        Raises
        ------
        TrainingDivergedError
            If the loss is no number; this object is then of no further use.
        TooLargeError
            If not even one crystal fits into the memory.
        """
        if self.epoch == 0 and self._validation and math.isinf(self.best_loss):
            self.best_loss = self._loss(self._validation)  # what it begins at may be the best
        loss = self._pass()
        watched = self._loss(self._validation) if self._validation else loss
        if not (math.isfinite(loss) and math.isfinite(watched)):
            raise TrainingDivergedError(
                f"the loss became {loss:.3g} in training and {watched:.3g} on held-out "
                f"compositions after {self.epoch} passes",
                subject=f"seed {self._seed}",
                hint="Lower the learning rate and train again from the beginning, or look for "
                "labels that are wrong",
            )
        self.epoch += 1
        self.history.append([loss, watched])
        if watched < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, watched
            self._best = network_to_arrays(self._network)

    def _pass(self) -> float:
        """Step through all batches, in an order that the seed and the pass give."""
        self._network.train()
        order = np.random.default_rng([self._seed, self.epoch]).permutation(len(self._training))
        rate = self._settings.learning_rate * _schedule(self.epoch, self._settings.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        samples = [self._training[one] for one in order]
        total = 0.0
        for batch in self._batches(samples):
            loss = self._gradients(batch)
            total += loss * len(batch)
            parameters = self._network.parameters()
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._settings.clip))
            if not (math.isfinite(loss) and math.isfinite(norm)):
                return math.nan
            self._optimiser.step()
        return total / len(samples)

    def _batches(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        settings = self._settings
        sizes = [one.graph.size for one in samples]
        found = batches_by_size(sizes, settings.batch_edges, settings.batch_size)
        return [[samples[one] for one in places] for places in found]

    def _gradients(self, batch: Sequence[Sample]) -> float:
        """Gradients of the mean loss of a batch, and this loss."""
        return self._in_parts(batch, lambda part: self._backward(part, len(batch)))

    def _in_parts(
        self, batch: Sequence[Sample], compute: Callable[[Sequence[Sample]], float]
    ) -> float:
        """Sum over the parts of a batch: one, or more where memory is short."""
        sizes = [one.graph.size for one in batch]
        while True:
            parts = list(batches_by_size(sizes, self._largest, len(batch)))
            self._optimiser.zero_grad(set_to_none=True)
            try:
                return sum(compute([batch[k] for k in one]) for one in parts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # beyond the handler, whose traceback holds tensors
            self._halve(batch, parts)

    def _backward(self, part: Sequence[Sample], n_all: int) -> float:
        loss = self._losses(part).sum() / n_all
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _halve(self, batch: Sequence[Sample], parts: Sequence[Sequence[int]]) -> None:
        """Allow half of what did not fit into the memory, in this batch and all later ones."""
        if max(map(len, parts)) == 1:
            largest = max(batch, key=lambda one: one.graph.size).graph
            raise TooLargeError(
                f"one crystal of {len(largest.numbers)} atoms with {largest.size} bonds and pairs "
                "of bonds does not fit into the memory",
                subject="batch",
                hint=_NO_CRYSTAL_FITS,
            )
        sizes = (sum(batch[k].graph.size for k in one) for one in parts if len(one) > 1)
        self._largest = max(1, max(sizes) // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _losses(self, batch: Sequence[Sample]) -> torch.Tensor:
        """Loss of each crystal of a batch."""
        settings = self._settings
        graphs = batch_of([one.graph for one in batch], self._features, self._device)
        output = self._network(graphs, _stacked([one.prior for one in batch], self._device))
        wanted = _stacked([one.histogram for one in batch], self._device)
        assert wanted is not None
        return training_loss(
            output,
            wanted,
            settings.loss,
            settings.grid.width_thz,
            to_maximum=self._network.is_scaled,
        )

    def _loss(self, samples: Sequence[Sample]) -> float:
        """Mean loss without learning from it."""
        self._network.eval()
        with torch.no_grad():
            found = [
                self._in_parts(batch, lambda part: float(self._losses(part).sum()))
                for batch in self._batches(samples)
            ]
        return sum(found) / len(samples)

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to go on."""
        arrays = {f"best/{name}": value for name, value in self._best.items()}
        for name, value in network_to_arrays(self._network).items():
            arrays[f"network/{name}"] = value
        for name, parameter in self._network.named_parameters():
            for moment, value in self._optimiser.state.get(parameter, {}).items():
                arrays[f"{moment}/{name}"] = value.detach().cpu().numpy().copy()
        state = {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "history": [list(one) for one in self.history],
            "largest": self._largest,
        }
        return Checkpoint(state, arrays)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same training.

        Raises
        ------
        ModelCorruptError
            If a part of it is missing or of another shape.
        """
        state, arrays = checkpoint.header, checkpoint.arrays
        try:
            self._network = self._rebuilt(_part(arrays, "network")).to(self._device)
            self._best = _part(arrays, "best")
            self._rebuilt(self._best)
            self.epoch, self.best_epoch = int(state["epoch"]), int(state["best_epoch"])
            best = state["best_loss"]
            self.best_loss = math.inf if best is None else float(best)
            self.history = [[float(x) for x in one] for one in state["history"]]
            self._largest = int(state["largest"])
            self._restore_optimiser(arrays)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelCorruptError(
                f"a part of the checkpoint cannot be used: {error}",
                subject="checkpoint",
                hint="Delete it to train from the beginning",
            ) from error

    def _rebuilt(self, arrays: Arrays) -> DosNetwork:
        settings, width = self._settings, self._features.shape[1]
        return network_from_arrays(settings.architecture, settings.grid, width, arrays)

    def _restore_optimiser(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        parameters = dict(self._network.named_parameters())
        self._optimiser = torch.optim.AdamW(
            parameters.values(),
            lr=self._settings.learning_rate,
            weight_decay=self._settings.weight_decay,
        )
        for name, parameter in parameters.items():
            known = [one for one in _MOMENTS if f"{one}/{name}" in arrays]
            if not known:
                continue  # a weight without a gradient
            own = {one: torch.from_numpy(np.array(arrays[f"{one}/{name}"])) for one in _MOMENTS}
            for moment in ("exp_avg", "exp_avg_sq"):
                own[moment] = own[moment].reshape(parameter.shape).to(self._device)
            self._optimiser.state[parameter] = own


def _part(arrays: Mapping[str, NDArray[Any]], head: str) -> Arrays:
    start = f"{head}/"
    names = [name for name in arrays if name.startswith(start)]
    return {name.removeprefix(start): arrays[name] for name in names}


def _stacked(rows: Sequence[FloatArray | None], device: torch.device) -> torch.Tensor | None:
    given = [one for one in rows if one is not None]
    if not given:
        return None
    return torch.from_numpy(np.stack(given).astype(np.float32)).to(device)


def _schedule(epoch: int, epochs: int) -> float:
    """Learning rate over its largest value: rising at first, then falling like a cosine.

    Examples
    --------
    >>> [round(_schedule(one, 100), 3) for one in (0, 4, 5, 99)]
    [0.2, 1.0, 1.0, 0.01]
    """
    warm = max(1, round(_WARM_UP * epochs))
    if epoch < warm:
        return (epoch + 1) / warm
    done = (epoch - warm) / max(1, epochs - 1 - warm)
    return _LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
