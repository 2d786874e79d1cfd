"""Trained models that are installed with the project, each with the SHA-256 of its file.

What they learned, and what they did not, stands on their cards and in ``weights/README.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    SettingError,
)
from screening.model_files import model_from_bytes
from screening.trained_model import TrainedModel, model_name

__all__ = [
    "INSTALLED",
    "SHIPPED_MODELS",
    "WEIGHTS_FOLDER",
    "is_reserved",
    "own_model_name",
    "read_shipped",
    "shipped_name",
    "shipped_with_digest",
]

INSTALLED = "phonoscreen"
"""What users call the default model of any method."""

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Where the files ``NAME.psm`` are."""

SHIPPED_MODELS: Mapping[str, Mapping[str, str]] = {
    "mace": {
        "phonoscreen-small": "da87c09ac2bbcb3631f2255edabddb892097e947e60732efa6188b428ad0fecd",
    },
    "alignn": {
        "phonoscreen-dos": "c751a98bc9ef4095264c3fabb2aa58fd1b88e36a7df46bce3844061e4804817f",
    },
}
"""SHA-256 of each file, by method and name; the first of a method is its default."""


def own_model_name(method: str, name: str) -> str:
    """Return what `screening.trained_model.model_name` does, of a model that may be stored.

    Raises
    ------
    SettingError
        As `screening.trained_model.model_name` says, and if this names what is installed: nobody
        could then tell the two apart by what predictions say they are by.
    """
    if is_reserved(name):
        raise SettingError(
            f"{name!r} names the model that is installed with the project",
            subject="model",
            hint=f"Choose another name, such as {name}-2",
        )
    return model_name(method, name)


def is_reserved(name: str) -> bool:
    """Say whether a name means models that are installed, of whatever method."""
    return name == INSTALLED or any(name in names for names in SHIPPED_MODELS.values())


def shipped_name(method: str, text: str) -> str | None:
    """Return the name of the installed model that a user means, None for any other.

    Parameters
    ----------
    method
        As in `SHIPPED_MODELS`.
    text
        Its name, or ``phonoscreen`` for the default of the method.

    Examples
    --------
    >>> shipped_name("mace", "phonoscreen"), shipped_name("mace", "medium")
    ('phonoscreen-small', None)
    """
    known = SHIPPED_MODELS.get(method, {})
    if text == INSTALLED:
        return next(iter(known), None)
    return text if text in known else None


def read_shipped(method: str, name: str) -> TrainedModel:
    """Read a model that is installed with the project.

    Parameters
    ----------
    method, name
        As in `SHIPPED_MODELS`.

    Raises
    ------
    ModelRefusedError
        If there is no such model.
    ModelUnavailableError
        If its file is not installed.
    ModelCorruptError
        If the file is another one.
    """
    known = SHIPPED_MODELS.get(method, {})
    if name not in known:
        raise ModelRefusedError(
            f"no {method} model {name!r} is installed with the project",
            subject=method,
            hint=f"Installed are {', '.join(known) or 'none of this method'}",
        )
    path = WEIGHTS_FOLDER / f"{name}.psm"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelUnavailableError(
            f"its weights cannot be read: {error.strerror or error}",
            subject=f"{method}:{name}",
            hint="Install phonoscreen again",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != known[name]:
        raise ModelCorruptError(
            f"SHA-256 is {found}, expected {known[name]}",
            subject=path.name,
            hint="The file is damaged or was replaced: install phonoscreen again",
        )
    return model_from_bytes(data, path.name)


def shipped_with_digest(digest: str) -> TrainedModel | None:
    """Return the installed model that predictions with this digest are by, None if by no such one.

    A model whose file is missing or another one is left out: what predictions by it had learned
    is then not known, and those of all others are none of its business.
    """
    return _readable().get(digest)


@cache
def _readable() -> Mapping[str, TrainedModel]:
    """Return the installed models that can be read, by their digests."""
    found: dict[str, TrainedModel] = {}
    for method, names in SHIPPED_MODELS.items():
        for name in names:
            with suppress(ModelUnavailableError, ModelCorruptError):
                model = read_shipped(method, name)
                found[model.digest] = model
    return found
