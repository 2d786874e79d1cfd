"""Named force calculators behind one interface.

``load_calculator(DEFAULT_CALCULATOR)`` works offline; MACE models come by name or by file with
their digest, and any ASE calculator by its import path. Whatever they return is checked
before anybody sees it. Nothing heavy is imported before a calculator is loaded.
"""

from screening.calculators.checks import (
    MAX_FORCE_EV_PER_ANGSTROM,
    CheckedCalculator,
    check_elements,
)
from screening.calculators.committee import Committee
from screening.calculators.interface import (
    DielectricCalculator,
    DielectricResponse,
    ForceCalculator,
    ForceEngine,
)
from screening.calculators.specification import DEFAULT_CALCULATOR, load_calculator

__all__ = [
    "DEFAULT_CALCULATOR",
    "MAX_FORCE_EV_PER_ANGSTROM",
    "CheckedCalculator",
    "Committee",
    "DielectricCalculator",
    "DielectricResponse",
    "ForceCalculator",
    "ForceEngine",
    "check_elements",
    "load_calculator",
]
