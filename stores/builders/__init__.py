"""Pure functions from documents to documents, each behind a thin incremental shell.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stores.builders.calibrations import build_calibrations
    from stores.builders.failures import clear_failures
    from stores.builders.hull import build_hulls
    from stores.builders.incremental import BuildReport
    from stores.builders.polymorphs import build_polymorphs
    from stores.builders.vibrational import build_vibrational

__all__ = [
    "BuildReport",
    "build_calibrations",
    "build_hulls",
    "build_polymorphs",
    "build_vibrational",
    "clear_failures",
]

_MODULES = {
    "BuildReport": "incremental",
    "build_calibrations": "calibrations",
    "build_hulls": "hull",
    "build_polymorphs": "polymorphs",
    "build_vibrational": "vibrational",
    "clear_failures": "failures",
}


def __getattr__(name: str) -> Any:
    """Load a builder on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
