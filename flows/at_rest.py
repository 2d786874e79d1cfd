"""Trained models on crystals as their training source relaxed them.

What learned from relaxed crystals says nothing of others. Where the source of the training set
has relaxed a crystal before, that structure is taken in place of the one that was imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flows.trained import training_source
from screening.digest import digest_of
from screening.errors import ScreeningError
from screening.prediction import Prediction
from screening.structure import canonical_crystal
from stores.relaxed_crystals import read_relaxed, relaxed_by

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from flows.trained import TrainedPredictor
    from screening.structure import Crystal
    from stores.connect import Database

__all__ = ["RELAXED_BY", "RelaxedFirst", "at_rest"]

RELAXED_BY = "the structure is the one that {} relaxed, not the one that was imported"

Relaxed = Callable[[Sequence[str]], Mapping[str, "Structure"]]
"""Reads the relaxed structures of some materials, by material."""


def at_rest(
    database: Database, material_ids: Sequence[str], predictor: TrainedPredictor
) -> list[tuple[list[str], TrainedPredictor]]:
    """Divide materials into those that are taken as the training source relaxed them, and others.

    Parameters
    ----------
    database
        Where predictions of the source are; it must stay open.
    material_ids
        Which materials.
    predictor
        A trained model.

    Returns
    -------
    list of tuple
        Materials and what predicts them: the model itself where they are taken as given. Parts
        without materials are left out.
    """
    source = training_source(predictor)
    relaxed = relaxed_by(database, material_ids, source)

    def read(names: Sequence[str]) -> Mapping[str, Structure]:
        return read_relaxed(database, [relaxed[name] for name in names])

    parts: list[tuple[list[str], TrainedPredictor]] = [
        ([name for name in material_ids if name in relaxed], RelaxedFirst(predictor, source, read)),
        ([name for name in material_ids if name not in relaxed], predictor),
    ]
    return [part for part in parts if part[0]]


class RelaxedFirst:
    """A trained model that takes crystals as its training source relaxed them.

    Its predictions belong to the crystals that were asked about. Where they start from is one of
    their settings, so that they have keys of their own.

    Parameters
    ----------
    predictor
        The model.
    source
        What relaxed the crystals.
    relaxed
        Reads the relaxed structures of all crystals that it is asked about.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says.
    """

    def __init__(self, predictor: TrainedPredictor, source: str, relaxed: Relaxed) -> None:
        self._predictor, self._source, self._relaxed = predictor, source, relaxed
        self.method, self.method_version = predictor.method, predictor.method_version
        self.tier = predictor.tier
        self.model, self.model_digest = predictor.model, predictor.model_digest
        self.settings: Mapping[str, object] = {**predictor.settings, "relaxed_by": source}
        self.settings_digest = digest_of(dict(self.settings))

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ScreeningError
            As the model says, or because the relaxed structure is no crystal.
        """
        [found] = self.predict_many([crystal])
        if isinstance(found, Exception):
            raise found
        return found

    def predict_many(self, crystals: Sequence[Crystal]) -> list[Prediction | Exception]:
        """Predict crystals; of each the prediction, or why there is none."""
        structures = self._relaxed([one.material_id for one in crystals])
        at_rest = [_crystal(structures[one.material_id], one.material_id) for one in crystals]
        usable = [one for one in at_rest if not isinstance(one, ScreeningError)]
        made = iter(self._predictor.predict_many(usable))
        pairs = zip(crystals, at_rest, strict=True)
        return [
            one if isinstance(one, ScreeningError) else self._named(asked, next(made))
            for asked, one in pairs
        ]

    def _named(self, asked: Crystal, found: Prediction | Exception) -> Prediction | Exception:
        """Let a prediction belong to the crystal that was asked about."""
        if isinstance(found, Exception):
            return found
        return replace(
            found,
            structure_digest=asked.digest,
            settings=self.settings,
            settings_digest=self.settings_digest,
            warnings=(*found.warnings, RELAXED_BY.format(self._source)),
        )


def _crystal(structure: Structure, subject: str) -> Crystal | ScreeningError:
    """Bring a relaxed structure to its primitive cell, or say why that cannot be done."""
    try:
        return canonical_crystal(structure, subject=subject)
    except ScreeningError as error:
        return error
