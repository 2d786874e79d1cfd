"""The last layer of a potential that was trained here, fitted in the split of its own training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from screening.errors import ModelRefusedError, TrainingSetError
from screening.network_potential.force_uncertainty import (
    CellListener,
    LastLayerSettings,
    fit_last_layer,
)
from screening.network_potential.labelled_cells import LabelledCell, training_set_digest
from screening.network_potential.last_layer import judges_of, with_last_layer

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel

__all__ = ["with_fitted_last_layer"]


def with_fitted_last_layer(
    model: TrainedModel,
    cells: Sequence[LabelledCell],
    settings: LastLayerSettings | None = None,
    *,
    device: str = "cpu",
    progress: CellListener | None = None,
) -> TrainedModel:
    """Fit the last layer of a potential to what it was trained on, in the split of its card.

    Parameters
    ----------
    model
        As `screening.network_potential.training.train_potential` returned it; where it started
        from other weights, with what these had learned on its card, see `judges_of`.
    cells
        All that it was trained with, the held-out ones included.
    settings, device, progress
        As `fit_last_layer` takes them.

    Returns
    -------
    TrainedModel
        With its last layer, which the card tells of: calibrated by `judges_of`, or where there
        are none by the evidence of the training cells.

    Raises
    ------
    ModelRefusedError
        If its card does not say which compositions were held out.
    TrainingSetError
        If the cells are other ones, or `fit_last_layer` says so.
    TooLargeError
        If a cell does not fit into memory.
    """
    split = model.card.get("split", {})
    if "held_out_groups" not in split:
        raise ModelRefusedError(
            "its card does not say which compositions were held out",
            subject=model.name,
            hint="Train it here, or share out its cells and call fit_last_layer",
        )
    if training_set_digest(cells) != model.training_set_digest:
        raise TrainingSetError(
            f"these {len(cells)} cells are not those that it was trained with",
            subject=model.name,
            hint="Give the cells of its training, the held-out ones included",
        )
    groups = frozenset(split["held_out_groups"])
    training = [cell for cell in cells if cell.group not in groups]
    judges = judges_of(model, cells)
    layer = fit_last_layer(model, training, judges, settings, device=device, progress=progress)
    return with_last_layer(model, layer)
