"""Calibrations that travel with the package, so that a new database knows something.

Each file is the export of ``phonoscreen calibrate`` on a database of crystals that both
methods predicted; what was computed, and how, stands in its notes. No composition of the
public reference sets that the methods are evaluated on is among them.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from screening.uncertainty.calibration import Calibration

__all__ = ["shipped_calibrations"]


@cache
def shipped_calibrations() -> tuple[Calibration, ...]:
    """Return all calibrations of this release."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda one: one.name)
    return tuple(
        Calibration.from_dict(json.loads(one.read_text(encoding="utf-8")))
        for one in files
        if one.name.endswith(".json")
    )
