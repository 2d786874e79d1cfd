"""One document model per collection, a file each.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stores.documents.base import Document, Provenance
    from stores.documents.decision import DecisionDocument
    from stores.documents.failure import FailureDocument
    from stores.documents.forces import ForceDocument
    from stores.documents.hull import HullDocument
    from stores.documents.labelled_cells import LabelledCellsDocument
    from stores.documents.launch import LaunchDocument
    from stores.documents.model import ModelDocument
    from stores.documents.phonon import PhononDocument
    from stores.documents.phonon_parts import phonon_arrays
    from stores.documents.polymorphs import PolymorphsDocument
    from stores.documents.prediction import PredictionDocument
    from stores.documents.structure import StructureDocument
    from stores.documents.vibrational import VibrationalDocument

__all__ = [
    "DecisionDocument",
    "Document",
    "FailureDocument",
    "ForceDocument",
    "HullDocument",
    "LabelledCellsDocument",
    "LaunchDocument",
    "ModelDocument",
    "PhononDocument",
    "PolymorphsDocument",
    "PredictionDocument",
    "Provenance",
    "StructureDocument",
    "VibrationalDocument",
    "phonon_arrays",
]

_MODULES = {
    "DecisionDocument": "decision",
    "Document": "base",
    "FailureDocument": "failure",
    "ForceDocument": "forces",
    "HullDocument": "hull",
    "LabelledCellsDocument": "labelled_cells",
    "LaunchDocument": "launch",
    "ModelDocument": "model",
    "PhononDocument": "phonon",
    "PolymorphsDocument": "polymorphs",
    "PredictionDocument": "prediction",
    "Provenance": "base",
    "StructureDocument": "structure",
    "VibrationalDocument": "vibrational",
    "phonon_arrays": "phonon_parts",
}


def __getattr__(name: str) -> Any:
    """Load a document model on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
