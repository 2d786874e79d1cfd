"""The last layer of a potential that was just trained, fitted once, also where work was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from screening.errors import CorruptDataError, ModelCorruptError, NotFoundError
from screening.network_potential.last_layer import (
    LastLayer,
    judges_of,
    last_layer_of,
    with_last_layer,
)
from screening.trained_model import model_name
from stores.connect import open_database
from stores.models import load_model

if TYPE_CHECKING:
    from screening.network_potential.labelled_cells import LabelledCell
    from screening.trained_model import TrainedModel

__all__ = ["with_own_last_layer"]


def with_own_last_layer(
    database_uri: str,
    model: TrainedModel,
    cells: Sequence[LabelledCell],
    device: str,
    progress: Callable[[int, int], None],
) -> TrainedModel:
    """Give a potential the last layer of its training.

    A committee that was stopped is trained again from its checkpoints, which is nothing for
    those members that were ready. Their last layers are taken from what was stored of them, unless
    they claim to be calibrated by what the weights may have learned.

    Parameters
    ----------
    database_uri
        Where potentials are stored.
    model
        As its training returned it.
    cells
        All that it was trained with, the held-out ones included.
    device
        ``auto``, ``cpu`` or ``cuda``.
    progress
        Told how many cells are done, and how many there are.

    Raises
    ------
    TrainingSetError, TooLargeError
        As `screening.network_potential.fitted_last_layer.with_fitted_last_layer` says.
    """
    from screening.network_potential.fitted_last_layer import with_fitted_last_layer

    layer = _stored_layer(database_uri, model)
    claim = "held-out" if judges_of(model, cells) else "evidence"
    if layer is not None and layer.calibration == claim:
        return with_last_layer(model, layer)
    return with_fitted_last_layer(model, cells, device=device, progress=progress)


def _stored_layer(database_uri: str, model: TrainedModel) -> LastLayer | None:
    """Return the last layer that was stored with these very weights."""
    try:
        with open_database(database_uri, read_only=True) as database:
            stored = load_model(database, model_name(model.method, model.name))
        layer = last_layer_of(stored)
    except (NotFoundError, ModelCorruptError, CorruptDataError):  # to be stored anew
        return None
    is_same = (
        with_last_layer(stored, None).digest == model.digest
        and stored.training_set_digest == model.training_set_digest
    )
    return layer if is_same else None
