"""A trained model as plain numbers and plain JSON: what is stored, hashed and loaded.

No object of a learning library travels: a forest is arrays of thresholds, a ridge an array of
weights. Reading a model therefore never runs code that came with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.digest import digest_of

__all__ = ["TrainedModel"]


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
