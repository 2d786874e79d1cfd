"""Trained models written to files, to be handed on; reading them needs no store."""

from __future__ import annotations

import os
from pathlib import Path

from screening.model_files import model_bytes, read_model
from screening.trained_model import TrainedModel
from stores.exporters.files import atomic_path

__all__ = ["read_model", "write_model"]


def write_model(path: str | os.PathLike[str], model: TrainedModel) -> Path:
    """Write a model to one file, completely or not at all, and return its path.

    Raises
    ------
    SerializationError
        If an array, the state or the card cannot be stored; names what.
    SettingError, DiskFullError
        If the name cannot name a model, the place cannot be written, or the disk is full.
    """
    packed = model_bytes(model)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)
    return Path(path)
