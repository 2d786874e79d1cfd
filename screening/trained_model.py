"""A trained model as plain numbers and plain JSON: what is stored, hashed and loaded.

No object of a learning library travels: a forest is arrays of thresholds, a ridge an array of
weights. Reading a model therefore never runs code that came with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.digest import digest_of
from screening.errors import SettingError

__all__ = ["METHOD_PREFIXES", "TrainedModel", "method_and_name", "model_name"]

METHOD_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "rf-ifc": "random-forest-force-constants",
        "ldml": "linear-descriptor-entropy",
        "mace": "mace-potential",
        "alignn": "alignn-density-of-states",
    }
)
"""Short names of the methods that are trained, as the names of their models begin."""

_NAME = re.compile(r"[^\W_][\w.+-]*")  # also the name of a file, and of a version before its @


def model_name(method: str, name: str) -> str:
    """Return the name of a model as its predictions carry it, such as ``rf-ifc:fluorides``.

    Raises
    ------
    SettingError
        If no such method is trained, or the name is not of letters, digits, ``.``, ``+``, ``-``
        and ``_``.
    """
    prefixes = {long: short for short, long in METHOD_PREFIXES.items()}
    if method not in prefixes:
        raise SettingError(
            "no such method is trained", subject=method, hint=f"Known: {', '.join(prefixes)}"
        )
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"{name!r} cannot name a model",
            hint="Use letters, digits, '.', '+', '-' and '_', a letter or digit first",
        )
    return f"{prefixes[method]}:{name}"


def method_and_name(text: str) -> tuple[str, str]:
    """Read what `model_name` writes.

    Raises
    ------
    SettingError
        If it names no trained model.
    """
    prefix, separator, name = text.partition(":")
    if not separator or prefix not in METHOD_PREFIXES:
        starts = " or ".join(f"{short}:NAME" for short in METHOD_PREFIXES)
        raise SettingError(f"{text!r} names no trained model", hint=f"Write {starts}")
    model_name(METHOD_PREFIXES[prefix], name)
    return METHOD_PREFIXES[prefix], name


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model of one of the trained methods.

    Attributes
    ----------
    method
        Name of the method, as its predictions carry it.
    name
        Name given by whoever trained it.
    elements
        Atomic numbers it was trained on, ascending.
    arrays
        All its numbers, by name; finite.
    state
        Settings, calibration and everything else that is needed to predict, as plain JSON.
    card
        What people should know: training set, scores, baselines, notes; not part of the digest.
    training_set_digest
        SHA-256 over the keys of what it was trained on.
    n_training_samples
        Number of structures it was trained on.
    """

    method: str
    name: str
    elements: tuple[int, ...]
    arrays: Mapping[str, NDArray[Any]]
    state: Mapping[str, Any]
    card: Mapping[str, Any]
    training_set_digest: str
    n_training_samples: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of method, elements, state and arrays: of all that changes a prediction."""
        head = digest_of(
            {"method": self.method, "elements": list(self.elements), "state": dict(self.state)}
        )
        found = hashlib.sha256(head.encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            found.update(f"{name}{array.dtype.str}{array.shape}".encode())
            found.update(array.tobytes())
        return found.hexdigest()
