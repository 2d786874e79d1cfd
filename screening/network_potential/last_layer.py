"""The spread of a network potential, from the features that its readouts weigh.

Energies and forces are linear in the weights of the last linear map of every readout. Given the
rest of the network, those weights have a Gaussian posterior over the training cells, and every
prediction a variance: small along features that the cells have shown, large elsewhere. What the
linear layer cannot say (that the features themselves may be wrong) is in the calibration on
held-out cells, and only there.

References
----------
F. Bigi, S. Chong, M. Ceriotti, F. Grasselli, arXiv:2403.02251 (last-layer prediction rigidity).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    SettingError,
)
from screening.prediction import FloatArray, frozen_array

if TYPE_CHECKING:
    from screening.network_potential.labelled_cells import LabelledCell
    from screening.trained_model import TrainedModel

__all__ = [
    "EARLIER_IS_KNOWN",
    "LastLayer",
    "judges_of",
    "last_layer_of",
    "required_last_layer",
    "sampled_potentials",
    "with_last_layer",
]

EARLIER_IS_KNOWN = "earlier_is_known"
"""Field of the split of a card: whether all that the weights at the start learned is among the
training groups; absent where the weights were random."""

_ROOT = "last_layer/root"
_STATE_KEY = "last_layer"
_MIN_SAMPLES = 2
_NOTE = "the spread of its last layer is"


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Posterior of the weights of the readouts.

    Attributes
    ----------
    root
        Its product with its transpose is the covariance of the weights, shape (weight, weight).
    weights
        Names of the arrays that the weights are, in order, and their sizes.
    ridge
        Precision of the prior of a weight over that of a force component.
    noise_ev_per_angstrom
        What the spread was scaled by.
    calibration
        ``held-out`` or ``evidence``: what ridge and noise were chosen by.
    n_cells, n_held_out
        Cells that it was made of, and calibrated with.
    """

    root: FloatArray
    weights: tuple[tuple[str, int], ...]
    ridge: float
    noise_ev_per_angstrom: float
    calibration: str
    n_cells: int
    n_held_out: int

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the weights, shape (weight, weight)."""
        return np.asarray(self.root @ self.root.T)

    def samples(self, count: int, seed: int) -> FloatArray:
        """Draw changes of the weights, shape (sample, weight), whose mean is exactly zero.

        The mean of the sampled potentials is then the potential itself; their sample variance
        is not biased by it.

        Raises
        ------
        SettingError
            If fewer than two are asked for.
        """
        if count < _MIN_SAMPLES:
            raise SettingError(
                f"{count} samples have no spread", subject="count", hint="Ask for two or more"
            )
        drawn = np.random.default_rng(seed).normal(size=(count, len(self.root))) @ self.root.T
        return np.asarray(drawn - drawn.mean(axis=0))

    @property
    def note(self) -> str:
        """What a user of the spread must know."""
        made = f"noise {self.noise_ev_per_angstrom:.2g} eV/Å; {self.n_cells} training cells"
        if self.calibration == "held-out":
            chosen = f"{self.n_held_out} held-out cells of other compositions"
            return f"{_NOTE} calibrated by the errors of {chosen} ({made})"
        return (
            f"{_NOTE} calibrated by the evidence of its training cells alone, for want of cells "
            f"that its weights are known not to have learned ({made}): likely too small, and far "
            "too small where its features are at fault"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything but the array, as plain JSON."""
        return {
            "weights": [[name, size] for name, size in self.weights],
            "ridge": self.ridge,
            "noise_ev_per_angstrom": self.noise_ev_per_angstrom,
            "calibration": self.calibration,
            "n_cells": self.n_cells,
            "n_held_out": self.n_held_out,
        }


def judges_of(model: TrainedModel, cells: Sequence[LabelledCell]) -> list[LabelledCell]:
    """Return the held-out cells that the weights are known never to have learned.

    A training that started from other weights may hold out compositions that those had learned.
    Errors on them say nothing of others, and neither do any where it is not known what those had
    learned: then there are none.

    Parameters
    ----------
    model
        Its card says which compositions were held out, and which were learned, by the weights at
        the start too.
    cells
        All that it was trained with, the held-out ones included.
    """
    split = model.card.get("split", {})
    if not split.get(EARLIER_IS_KNOWN, True):
        return []
    groups = set(split.get("held_out_groups", ())).difference(split.get("training_groups", ()))
    return [cell for cell in cells if cell.group in groups]


def with_last_layer(model: TrainedModel, layer: LastLayer | None) -> TrainedModel:
    """Return the model with this posterior in place of any other; None takes it out.

    The card says what the spread was calibrated by.
    """
    arrays = {name: array for name, array in model.arrays.items() if name != _ROOT}
    state = {name: value for name, value in model.state.items() if name != _STATE_KEY}
    card = {name: value for name, value in model.card.items() if name != _STATE_KEY}
    if "notes" in card:
        card["notes"] = [one for one in card["notes"] if not str(one).startswith(_NOTE)]
    if layer is not None:
        arrays[_ROOT] = np.array(layer.root)
        state[_STATE_KEY] = layer.as_dict()
        card[_STATE_KEY] = {x: y for x, y in layer.as_dict().items() if x != "weights"}
        card["notes"] = [*card.get("notes", ()), layer.note]
    return replace(model, arrays=arrays, state=state, card=card)


def last_layer_of(model: TrainedModel) -> LastLayer | None:
    """Return the posterior that a model carries, None without one.

    Raises
    ------
    ModelCorruptError
        If a part of it is missing or does not fit.
    """
    state = model.state.get(_STATE_KEY)
    if state is None and _ROOT not in model.arrays:
        return None
    try:
        layer = _read(state or {}, model.arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _corrupt(f"the last layer cannot be read: {error!r}", model.name) from error
    size = sum(count for _, count in layer.weights)
    fits = all(name in model.arrays and model.arrays[name].size == n for name, n in layer.weights)
    is_finite = np.isfinite([layer.ridge, layer.noise_ev_per_angstrom, *layer.root.flat]).all()
    if layer.root.shape != (size, size) or not is_finite or not fits:
        raise _corrupt(
            f"a root of shape {layer.root.shape} for {size} weights, or not finite", model.name
        )
    return layer


def required_last_layer(model: TrainedModel) -> LastLayer:
    """Return the posterior that a model carries.

    Raises
    ------
    ModelRefusedError
        If it carries none.
    ModelCorruptError
        As `last_layer_of` says.
    """
    layer = last_layer_of(model)
    if layer is None:
        raise ModelRefusedError(
            "carries no posterior of its last layer, so that nothing can be drawn from it",
            subject=model.name,
            hint="Train it with 'phonoscreen train mace --last-layer', or take it without '#'",
        )
    return layer


def sampled_potentials(model: TrainedModel, count: int, seed: int = 0) -> tuple[TrainedModel, ...]:
    """Draw potentials from the posterior: a committee without any training.

    Each is a model of its own, with its own digest and the frequency scale of the first; their
    mean is the model itself, exactly, and their sample variance that of its last layer.

    Parameters
    ----------
    model
        A network potential that carries a last layer.
    count
        Two or more.
    seed
        Of the draw.

    Raises
    ------
    ModelRefusedError
        If the model carries no last layer.
    SettingError
        If fewer than two are asked for.
    """
    layer = required_last_layer(model)
    bare = with_last_layer(model, None)
    return tuple(
        replace(
            bare,
            name=f"{model.name}.{index}",
            arrays={**bare.arrays, **dict(_changed(bare.arrays, layer, change))},
        )
        for index, change in enumerate(layer.samples(count, seed))
    )


def _changed(
    arrays: Mapping[str, NDArray[Any]], layer: LastLayer, change: FloatArray
) -> Iterator[tuple[str, NDArray[Any]]]:
    ends = np.cumsum([size for _, size in layer.weights])
    for (name, _), part in zip(layer.weights, np.split(change, ends[:-1]), strict=True):
        array = arrays[name]
        yield name, (array + part.reshape(array.shape)).astype(array.dtype)


def _read(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LastLayer:
    return LastLayer(
        root=frozen_array(arrays[_ROOT]),
        weights=tuple((str(name), int(size)) for name, size in state["weights"]),
        ridge=float(state["ridge"]),
        noise_ev_per_angstrom=float(state["noise_ev_per_angstrom"]),
        calibration=str(state["calibration"]),
        n_cells=int(state["n_cells"]),
        n_held_out=int(state["n_held_out"]),
    )


def _corrupt(message: str, subject: str) -> ModelCorruptError:
    return ModelCorruptError(
        message, subject=subject, hint="Fit the last layer again, or take the model without it"
    )
