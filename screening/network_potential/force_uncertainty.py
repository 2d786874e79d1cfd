"""A network potential's forces with their spread, and the fit of what the spread comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import torch

from screening.errors import (
    ModelCorruptError,
    SettingError,
    TooLargeError,
    TrainingSetError,
)
from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.devices import chosen_device
from screening.network_potential.forward import NetworkForward
from screening.network_potential.last_layer import LastLayer, required_last_layer
from screening.network_potential.linear_evidence import (
    DesignSums,
    Posterior,
    largest_evidence,
    validated,
)
from screening.network_potential.network import NETWORK_ARRAYS, network_of
from screening.network_potential.settings import MaceArchitecture
from screening.network_potential.softening import frequency_scale_of
from screening.network_potential.training import check_training_cells
from screening.out_of_memory import is_out_of_memory
from screening.prediction import FloatArray, frozen_array

if TYPE_CHECKING:
    from screening.network_potential.labelled_cells import LabelledCell
    from screening.trained_model import TrainedModel

__all__ = [
    "CellListener",
    "ForceUncertainty",
    "LastLayerSettings",
    "UncertainForces",
    "fit_last_layer",
]

CellListener = Callable[[int, int], None]
"""Told how many cells are done, and how many there are."""

_LAST_MAPS = ("linear.weight", "linear_2.weight")


@dataclass(frozen=True)
class LastLayerSettings:
    """How the posterior of the last layer is made.

    Attributes
    ----------
    n_cells, n_held_out
        At most so many training and held-out cells are taken, drawn at random: features are few,
        so a few hundred cells say as much as all.
    seed
        Of the draw.

    Raises
    ------
    SettingError
        If a number is not positive.
    """

    n_cells: int = 400
    n_held_out: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.n_cells, self.n_held_out) < 1:
            raise SettingError(
                "cells must be one or more", subject="n_cells", hint="Leave out for the default"
            )


@dataclass(frozen=True, eq=False)
class UncertainForces:
    """Forces of one cell with their spread, the frequency scale of the model included.

    Attributes
    ----------
    forces_ev_per_angstrom, std_ev_per_angstrom
        Shape (atom, 3).
    energy_std_ev_per_atom
        Standard deviation of the energy of the cell over its atoms.
    """

    forces_ev_per_angstrom: FloatArray
    std_ev_per_angstrom: FloatArray
    energy_std_ev_per_atom: float


@dataclass(frozen=True, eq=False)
class _Design:
    """Features of one cell: how energy and forces change with the weights of the readouts."""

    energy: FloatArray  # (weight,)
    forces: FloatArray  # (3 atom, weight)
    targets: FloatArray  # (3 atom,)


class _Readouts:
    """A network whose forces may be differentiated by the last weights of its readouts."""

    def __init__(self, model: TrainedModel, device: str = "cpu") -> None:
        self._device = chosen_device(device)
        network = network_of(model, precision="float64").to(self._device).eval()
        self._architecture = MaceArchitecture.from_dict(model.state["architecture"])
        for parameter in network.parameters():
            parameter.requires_grad_(requires_grad=False)
        named = dict(network.named_parameters())
        last = [x for x in named if x.startswith("readouts.") and x.endswith(_LAST_MAPS)]
        self._parameters = [named[name].requires_grad_() for name in last]
        self.weights = tuple((f"{NETWORK_ARRAYS}{name}", named[name].numel()) for name in last)
        self._forward = NetworkForward(network)

    @property
    def values(self) -> FloatArray:
        """The weights themselves, shape (weight,)."""
        return np.concatenate([x.detach().cpu().numpy().ravel() for x in self._parameters])

    def design(self, cell: LabelledCell) -> _Design:
        """Differentiate energy and forces by the weights: one backward pass for each of them.

        Raises
        ------
        ElementNotInModelError
            If the network does not know an element.
        TooLargeError
            If the cell does not fit into memory.
        """
        self.check_elements([cell])
        try:
            return self._design(cell)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TooLargeError(
                f"a cell of {len(cell)} atoms does not fit into memory",
                subject=cell.material_id,
                hint="Leave out the largest cells, or use the processor: --device cpu",
            ) from error

    def _design(self, cell: LabelledCell) -> _Design:
        tensors = cell_tensors(cell, self._architecture, torch.float64)
        batch = batch_of([tensors]).to(self._device)
        vectors = batch.vectors.detach().requires_grad_()
        energy = self._forward.cell_energies(batch.graph, vectors).sum()
        parts = torch.autograd.grad(energy, self._parameters, create_graph=True)
        features = torch.cat([one.reshape(-1) for one in parts])
        columns = []
        for feature in features:
            (pull,) = torch.autograd.grad(feature, vectors, retain_graph=True)
            force = torch.zeros_like(batch.forces)
            force = force.index_add(0, batch.graph.senders, pull)
            columns.append(force.index_add(0, batch.graph.receivers, -pull).reshape(-1))
        forces = torch.stack(columns, dim=1)
        return _Design(_numpy(features), _numpy(forces), np.ravel(cell.forces_ev_per_angstrom))

    def check_elements(self, cells: Iterable[LabelledCell]) -> None:
        """Refuse elements that the network does not know, before anything is computed."""
        check_training_cells(list(cells), self._architecture.elements)


class ForceUncertainty:
    """Spread of the forces of a potential that carries a last layer.

    Parameters
    ----------
    model
        A network potential, see `with_last_layer`.
    device
        Where to run, as torch names it; ``auto`` for a graphics processor where there is one.

    Raises
    ------
    ModelRefusedError
        If the model carries no last layer.
    ModelCorruptError
        If its arrays do not fit.
    """

    def __init__(self, model: TrainedModel, device: str = "cpu") -> None:
        layer = required_last_layer(model)
        self._layer = layer
        self._readouts = _Readouts(model, device)
        if self._readouts.weights != layer.weights:
            raise ModelCorruptError(
                "the last layer is of other weights",
                subject=model.name,
                hint="Fit the last layer again, or take the model without it",
            )
        scale = frequency_scale_of(model)
        self._factor = 1.0 if scale is None else scale.energy_factor

    def of(self, cell: LabelledCell) -> UncertainForces:
        """Predict one cell; its labels are not looked at.

        Raises
        ------
        ElementNotInModelError
            If the network does not know an element.
        TooLargeError
            If the cell does not fit into memory.
        """
        design = self._readouts.design(cell)
        forces = design.forces @ self._readouts.values
        spread = np.linalg.norm(design.forces @ self._layer.root, axis=1)
        energy = float(np.linalg.norm(design.energy @ self._layer.root))
        return UncertainForces(
            forces_ev_per_angstrom=frozen_array(self._factor * forces.reshape(-1, 3)),
            std_ev_per_angstrom=frozen_array(self._factor * spread.reshape(-1, 3)),
            energy_std_ev_per_atom=self._factor * energy / len(cell.numbers),
        )

    def sampled_forces(self, cell: LabelledCell, count: int, seed: int = 0) -> FloatArray:
        """Compute forces by potentials drawn from the posterior, shape (sample, atom, 3).

        They are those of `sampled_potentials` with the same seed, for less than the cost of one
        force call each.
        """
        design = self._readouts.design(cell)
        weights = self._readouts.values + self._layer.samples(count, seed)
        found = self._factor * (weights @ design.forces.T)
        return frozen_array(found.reshape(count, len(cell.numbers), 3))


def fit_last_layer(
    model: TrainedModel,
    cells: Sequence[LabelledCell],
    held_out: Sequence[LabelledCell] = (),
    settings: LastLayerSettings | None = None,
    *,
    device: str = "cpu",
    progress: CellListener | None = None,
) -> LastLayer:
    """Find the posterior of the readouts' weights.

    Parameters
    ----------
    model
        A network potential.
    cells
        What it was trained on.
    held_out
        Cells of other compositions, which noise and prior are chosen by. Without them the
        evidence of the training cells chooses, and the spread is that of the last layer alone,
        far too small where the features are at fault.
    settings
        How many cells to take.
    device
        Where to run, as torch names it; ``auto`` for a graphics processor where there is one.
    progress
        Told after each cell, which takes a pass through the network for each weight.

    Raises
    ------
    TrainingSetError
        If there is no cell, or a composition is on both sides.
    ElementNotInModelError
        If the network does not know an element, before anything is computed.
    TooLargeError
        If a cell does not fit into memory.
    """
    settings = settings or LastLayerSettings()
    shared = {cell.group for cell in cells} & {cell.group for cell in held_out}
    if not cells or shared:
        raise TrainingSetError(
            f"{len(cells)} cells, with {len(shared)} compositions among the held-out ones too",
            hint="Give the training cells, and held-out cells of other compositions",
        )
    readouts = _Readouts(model, device)
    readouts.check_elements([*cells, *held_out])
    generator = np.random.default_rng(settings.seed)
    taken = _drawn(cells, settings.n_cells, generator)
    judges = _drawn(held_out, settings.n_held_out, generator)
    designs = _told(
        (readouts.design(cell) for cell in [*taken, *judges]), progress, len(taken) + len(judges)
    )
    sums = reduce(add, (DesignSums.of(x.forces, x.targets) for x in islice(designs, len(taken))))
    posterior = _calibrated(sums, list(designs), readouts.values)
    return LastLayer(
        root=frozen_array(posterior.root),
        weights=readouts.weights,
        ridge=posterior.ridge,
        noise_ev_per_angstrom=posterior.noise,
        calibration="held-out" if judges else "evidence",
        n_cells=len(taken),
        n_held_out=len(judges),
    )


def _told(
    designs: Iterable[_Design], progress: CellListener | None, total: int
) -> Iterator[_Design]:
    """Say after each cell how far it is."""
    for done, design in enumerate(designs, start=1):
        if progress is not None:
            progress(done, total)
        yield design


def _calibrated(sums: DesignSums, held_out: Sequence[_Design], weights: FloatArray) -> Posterior:
    """Choose by held-out errors where there are any."""
    if not held_out:
        return largest_evidence(sums)
    features = np.concatenate([one.forces for one in held_out])
    targets = np.concatenate([one.targets for one in held_out])
    return validated(sums, features, targets - features @ weights)


def _drawn(
    cells: Sequence[LabelledCell], count: int, generator: np.random.Generator
) -> list[LabelledCell]:
    if len(cells) <= count:
        return list(cells)
    return [cells[index] for index in np.sort(generator.permutation(len(cells))[:count])]


def _numpy(tensor: torch.Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
