"""Why a potential, a trained model or a code from first principles cannot be used."""

from __future__ import annotations

from screening.errors.base import ScreeningError

__all__ = [
    "ElementNotInModelError",
    "ExecutableMissingError",
    "ModelCorruptError",
    "ModelError",
    "ModelRefusedError",
    "ModelUnavailableError",
    "OutOfDomainError",
    "PseudopotentialMissingError",
    "TrainingDivergedError",
    "TrainingSetError",
]


class ModelError(ScreeningError):
    """A potential or trained model cannot be used."""


class ElementNotInModelError(ModelError):
    """The structure holds an element that the model was not made for."""

    code = "ELEMENT_NOT_IN_MODEL"


class ModelRefusedError(ModelError):
    """The model's file or import path is not allowed or names nothing usable."""

    code = "MODEL_REFUSED"


class ModelCorruptError(ModelError):
    """The model's file does not hold what its name or digest says."""

    code = "MODEL_CORRUPT"


class ModelUnavailableError(ModelError):
    """The model must be downloaded or its package installed first."""

    code = "MODEL_UNAVAILABLE"


class ExecutableMissingError(ModelError):
    """A program or package that computes forces is not installed, or does not start."""

    code = "EXECUTABLE_MISSING"


class PseudopotentialMissingError(ModelError):
    """There is no pseudopotential of the functional for an element."""

    code = "PSEUDOPOTENTIAL_MISSING"


class OutOfDomainError(ModelError):
    """The structure is unlike all that the model was trained and calibrated on."""

    code = "OUT_OF_DOMAIN"


class TrainingSetError(ModelError):
    """What a model is to be trained on is too little, or contradicts what it must obey."""

    code = "TRAINING_SET"


class TrainingDivergedError(ModelError):
    """The loss of a training became no number; what it had learned before is kept."""

    code = "TRAINING_DIVERGED"
