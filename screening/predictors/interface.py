"""What every predictor of vibrational properties offers, whatever its tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from screening.digest import digest_of
from screening.errors import ScreeningError
from screening.prediction import Prediction

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = [
    "GIVEN_CELLS",
    "GIVEN_FORCES",
    "Predictor",
    "Tier",
    "identity_of",
    "predict_each",
    "prediction_key",
]

GIVEN_CELLS = "given-cells"
"""Method of predictions learned from displaced cells whose forces were computed elsewhere."""

GIVEN_FORCES = "given-forces"
"""Method of predictions from forces that were computed elsewhere."""


class Tier(IntEnum):
    """What a prediction costs and how far it can be trusted."""

    FAST_MODEL = 0
    POTENTIAL = 1
    FEW_DFT_CELLS = 2
    SYSTEMATIC_DFT = 3


@runtime_checkable
class Predictor(Protocol):
    """A method with its model and settings, ready to predict any crystal.

    Attributes
    ----------
    method, method_version
        Name of the method and an integer that rises whenever its numbers change.
    tier
        Cost and trust.
    model, model_digest
        Name of the model or potential and SHA-256 of its weights or data.
    settings, settings_digest
        Everything else that can change the numbers, as plain JSON, and its SHA-256.
    """

    @property
    def method(self) -> str:
        """Name of the method."""
        ...

    @property
    def method_version(self) -> int:
        """Version of its numbers."""
        ...

    @property
    def tier(self) -> Tier:
        """Cost and trust."""
        ...

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    @property
    def model_digest(self) -> str:
        """SHA-256 of weights or data."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Plain JSON."""
        ...

    @property
    def settings_digest(self) -> str:
        """SHA-256 of the settings."""
        ...

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ScreeningError
            Of the kind that says why no usable result exists; never a result with
            non-finite numbers.
        """
        ...


def identity_of(predictor: Predictor, crystal: Crystal) -> dict[str, Any]:
    """Fields of a prediction that say what was asked about, and what answers."""
    return {
        "method": predictor.method,
        "method_version": predictor.method_version,
        "tier": predictor.tier,
        "model": predictor.model,
        "model_digest": predictor.model_digest,
        "structure_digest": crystal.digest,
        "settings": predictor.settings,
        "settings_digest": predictor.settings_digest,
    }


def predict_each(
    predictor: Predictor, crystals: Sequence[Crystal]
) -> list[Prediction | ScreeningError]:
    """Predict crystals; of each the prediction, or why there is none."""
    found: list[Prediction | ScreeningError] = []
    for crystal in crystals:
        try:
            found.append(predictor.predict(crystal))
        except ScreeningError as error:
            found.append(error)
    return found


def prediction_key(
    structure_digest: str,
    method: str,
    method_version: int,
    model_digest: str,
    settings_digest: str,
) -> str:
    """Identify a prediction by all that determines its numbers, before it is computed.

    Returns
    -------
    str
        SHA-256 as 64 hexadecimal digits.

    Examples
    --------
    >>> key = prediction_key("a" * 64, "potential-phonons", 1, "b" * 64, "c" * 64)
    >>> len(key), key == prediction_key("a" * 64, "potential-phonons", 2, "b" * 64, "c" * 64)
    (64, False)
    """
    return digest_of(
        {
            "structure": structure_digest,
            "method": method,
            "method_version": method_version,
            "model": model_digest,
            "settings": settings_digest,
        }
    )
