"""Training of linear models of the entropy on stored phonons, as `flows.trained` asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.trained import Progress
    from screening.trained_model import TrainedModel

__all__ = ["check_entropy_settings", "train_entropies"]

_PER_ATOM = "entropy_boltzmann_per_atom"


def check_entropy_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot be trained with, before phonons are read.

    Raises
    ------
    SettingError
        If a setting or the descriptor is unknown, or defects are to be learned: stored phonons
        name no perfect crystal.
    ModelError
        If the descriptor is made of a model that cannot be used.
    """
    from screening.descriptors.interface import descriptor_from
    from screening.linear_entropy import LinearEntropySettings

    chosen = LinearEntropySettings.from_dict(settings)
    descriptor_from(chosen.descriptor, chosen.descriptor_settings)
    if chosen.target == "formation":
        raise SettingError(
            "stored phonons are of crystals, and name no perfect one that defects were made in",
            subject="target",
            hint="Leave it out, or learn from defects in Python: label_of_hessian and "
            "train_entropy, as the README shows",
        )


def train_entropies(
    labels: Sequence[Any], settings: Mapping[str, Any], name: str, progress: Progress | None
) -> TrainedModel:
    """Train on stored phonons: polymorphs of one composition are held out together.

    Parameters
    ----------
    labels
        Of crystals.
    settings
        As `screening.linear_entropy.LinearEntropySettings` takes them.
    name
        Name of the model.
    progress
        Told of every stage.

    Raises
    ------
    SettingError, TrainingSetError
        As `screening.linear_entropy.train_entropy` says.
    """
    from flows.training_groups import grouping_of, twins_of
    from screening.linear_entropy import LinearEntropySettings, train_entropy
    from screening.linear_entropy.rows import structure_of

    chosen = LinearEntropySettings.from_dict(settings)
    names = [one.material_id for one in labels]
    structures = [structure_of(one.system) for one in labels]
    grouping = grouping_of(names, structures)
    model = train_entropy(_grouped(labels, grouping.groups), chosen, name, progress)
    card = {**model.card, "grouped_by": grouping.by}
    if grouping.by == "formula":
        near = _grouped(labels, twins_of(names, structures))
        error = train_entropy(near, chosen, name, progress).card[_PER_ATOM]["mae"]
        said = (
            "compositions are held out whole; where other polymorphs of one are known, the mean "
            f"error of the entropy is {error:.3g} k_B/atom"
        )
        card["notes"] = [said, *card["notes"]]
    return replace(model, card=card)


def _grouped(labels: Sequence[Any], groups: Sequence[str]) -> list[Any]:
    return [
        replace(label, origin=replace(label.origin, group=group))
        for label, group in zip(labels, groups, strict=True)
    ]
