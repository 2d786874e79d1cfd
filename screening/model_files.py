"""A trained model as one file, to be handed on: packed arrays, and no code.

The file is what `screening.packed_arrays` packs. Beside the model's arrays, whose names begin with
``arrays/``, it holds the array ``header``: the bytes of a JSON object with everything else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from screening.digest import digest_of_bytes
from screening.errors import (
    CorruptDataError,
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    SerializationError,
    SettingError,
    TooLargeError,
)
from screening.packed_arrays import canonical, pack, unpack
from screening.plain_records import Digest, PlainJson, Record, first_problem
from screening.trained_model import TrainedModel, model_name

__all__ = ["model_bytes", "model_from_bytes", "read_model"]

MAX_BYTES = 4 * 1024**3
_HEADER, _ARRAYS = "header", "arrays/"
_DIGITS = re.compile(r"[0-9a-f]{8,64}")


class _Header(Record):
    """Everything of a model but its arrays."""

    format: Literal["phonoscreen trained model"] = Field(description="What the file is.")
    version: Literal[1] = Field(description="Version of this layout.")
    method: str = Field(min_length=1, description="Name of the method.")
    name: str = Field(min_length=1, description="Name of the model.")
    elements: tuple[int, ...] = Field(description="Atomic numbers, ascending.")
    state: PlainJson = Field(description="Settings and calibration.")
    card: PlainJson = Field(description="What people should know.")
    training_set_digest: Digest = Field(description="SHA-256 of the training set.")
    n_training_samples: int = Field(ge=1, description="Size of the training set.")
    model_digest: Digest = Field(description="SHA-256 of all that changes a prediction.")


def model_bytes(model: TrainedModel) -> bytes:
    """Return the bytes of a file that `read_model` reads.

    Raises
    ------
    SerializationError
        If an array, the state or the card cannot be stored; names what.
    SettingError
        If the name cannot name a model.
    """
    model_name(model.method, model.name)
    return pack(canonical({_HEADER: _header_of(model)} | _named(model.arrays)))


def read_model(path: str | os.PathLike[str], sha256: str = "") -> TrainedModel:
    """Read a model from a file of `model_bytes`.

    Parameters
    ----------
    path
        The file.
    sha256
        Where given, the SHA-256 that the file or the model must have, or the start of it with
        8 digits or more.

    Raises
    ------
    ModelUnavailableError
        If the file cannot be read.
    ModelCorruptError
        If it is no such file, is damaged, or its content is not that of its digest.
    ModelRefusedError
        If another SHA-256 was asked for.
    SettingError
        If what was asked for is no SHA-256.
    TooLargeError
        If the file is larger than 4 GiB.
    """
    wanted = sha256.lower()
    if wanted and not _DIGITS.fullmatch(wanted):
        raise SettingError(
            f"{sha256!r} is no SHA-256", hint="Give 8 to 64 hexadecimal digits of it"
        )
    data = _read(Path(path))
    model = model_from_bytes(data, str(path))
    found = (digest_of_bytes(data), model.digest)
    if wanted and not any(digest.startswith(wanted) for digest in found):
        raise ModelRefusedError(
            f"the file has the SHA-256 {found[0]} and its model {found[1]}, not {wanted}",
            subject=str(path),
            hint="It is another model, or another version of it",
        )
    return model


def _header_of(model: TrainedModel) -> NDArray[np.uint8]:
    """Bytes of a checked header."""
    try:
        header = _Header(
            format="phonoscreen trained model",
            version=1,
            method=model.method,
            name=model.name,
            elements=model.elements,
            state=dict(model.state),
            card=dict(model.card),
            training_set_digest=model.training_set_digest,
            n_training_samples=model.n_training_samples,
            model_digest=model.digest,
        )
    except ValidationError as error:
        raise SerializationError(
            first_problem(error), subject=model.name, hint="The model was not written"
        ) from error
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    return np.frombuffer(text.encode(), np.uint8)


def _named(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {_ARRAYS + name: array for name, array in arrays.items()}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLargeError("no model is larger than 4 GiB", subject=str(path))
        return path.read_bytes()
    except OSError as error:
        raise ModelUnavailableError(
            f"the file cannot be read: {error.strerror or error}",
            subject=str(path),
            hint="'phonoscreen models' writes such files",
        ) from error


def model_from_bytes(data: bytes, subject: str) -> TrainedModel:
    """Return the model of the bytes of a file, compared with its digest.

    Raises
    ------
    ModelCorruptError
        If they are no model's, are damaged, or the content is not that of its digest.
    """
    try:
        arrays = unpack(data, subject)
        header = _parsed(arrays.pop(_HEADER).tobytes())
        model_name(header.method, header.name)
    except ValidationError as error:
        raise _corrupt(first_problem(error), subject) from error
    except KeyError as error:
        raise _corrupt("there is no header", subject) from error
    except (CorruptDataError, SettingError) as error:
        raise _corrupt(error.message, subject) from error
    except (ValueError, OverflowError) as error:
        raise _corrupt(f"the header is no JSON: {error}", subject) from error
    fields = header.model_dump(exclude={"format", "version", "model_digest"})
    plain = {name.removeprefix(_ARRAYS): array for name, array in arrays.items()}
    model = TrainedModel(arrays=plain, **fields)
    if model.digest != header.model_digest:
        raise _corrupt("the content does not match the digest", subject)
    return model


def _parsed(text: bytes) -> _Header:
    # bounds how deep it follows: the standard parser overflows the stack where a library raised
    # the limit of recursion
    return _Header.model_validate(orjson.loads(text))


def _corrupt(message: str, subject: str) -> ModelCorruptError:
    return ModelCorruptError(
        f"cannot be read as a trained model: {message}",
        subject=subject,
        hint="Get the file again",
    )
