"""Importing this imports mace without what its import does to the process.

For ``pytest.importorskip``, which would import the package plainly.
"""

from __future__ import annotations

import importlib.util

from screening.calculators.mace_package import import_mace

if importlib.util.find_spec("mace") is None:
    raise ModuleNotFoundError("mace-torch is not installed")
import_mace()
