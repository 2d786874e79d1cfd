"""A few numbers that say what kind of crystal a prediction is for.

They serve two ends: the bias of a potential is learned as a smooth function of them, and a
crystal that lies far from all calibrated ones is out of the domain. All come from the
composition, the cell and the prediction itself; each is divided by a fixed scale on which
chemistry changes, not by the spread of some data set, so that they mean the same in every
calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from screening.electronegativity import pauling_electronegativity
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.surroundings import surroundings_of
from screening.units import BOLTZMANN_MEV_PER_K, PLANCK_MEV_PER_THZ

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

__all__ = [
    "CORRECTION_FEATURES",
    "DOMAIN_FEATURES",
    "chemistry_class",
    "correction_features",
    "domain_features",
    "mean_frequency_thz",
]

CORRECTION_FEATURES = ("stiffness", "volume", "electronegativity", "ionicity")
DOMAIN_FEATURES = (*CORRECTION_FEATURES, "coordination", "mass", "elements")

# centre and scale of each feature: light and stiff to heavy and soft solids span a few scales
_SCALES: Mapping[str, tuple[float, float]] = {
    "stiffness": (math.log(1500.0), 1.0),  # ln of mass times mean frequency squared, u THz²
    "volume": (math.log(15.0), 0.5),  # ln of Å³/atom
    "electronegativity": (1.9, 0.3),  # Pauling, mean over atoms
    "ionicity": (0.5, 0.4),  # Pauling, standard deviation over atoms
    "coordination": (5.0, 3.0),  # bonds per atom
    "mass": (math.log(40.0), 0.8),  # ln of u
    "elements": (2.0, 2.0),  # number of different elements
}
_REFERENCE_TEMPERATURE_K = 300.0
_CLASSES = {
    "hydride": {"H"},
    "halide": {"F", "Cl", "Br", "I"},
    "oxide": {"O"},
    "chalcogenide": {"S", "Se", "Te"},
    "pnictide": {"N", "P", "As", "Sb"},
    "covalent": {"B", "C", "Si", "Ge"},
}


def chemistry_class(composition: Composition) -> str:
    """Class of a compound by its most electronegative element.

    Examples
    --------
    >>> from pymatgen.core import Composition
    >>> chemistry_class(Composition("GaAs")), chemistry_class(Composition("Cu3Au"))
    ('pnictide', 'metal')
    """
    anion = max(
        (pauling_electronegativity(element.Z), element.symbol) for element in composition.elements
    )[1]
    return next((name for name, members in _CLASSES.items() if anion in members), "metal")


def correction_features(structure: Structure, curves: Thermodynamics) -> FloatArray:
    """Return what the bias of a potential is learned from, in the order of the names."""
    values = _values(structure, curves)
    return frozen_array([values[name] for name in CORRECTION_FEATURES])


def domain_features(structure: Structure, curves: Thermodynamics) -> FloatArray:
    """Return what the domain is judged by, in the order of the names."""
    values = _values(structure, curves)
    values["coordination"] = _scaled("coordination", surroundings_of(structure).coordination)
    return frozen_array([values[name] for name in DOMAIN_FEATURES])


def mean_frequency_thz(curves: Thermodynamics) -> float:
    """Frequency in THz of the Einstein solid with the same free energy at 300 K.

    At the temperature of the grid that is nearest to 300 K. It is close to the logarithmic
    mean frequency and, other than that, needs no density of states.
    """
    from scipy.optimize import brentq

    index = int(np.abs(curves.temperatures_k - _REFERENCE_TEMPERATURE_K).argmin())
    thermal = BOLTZMANN_MEV_PER_K * max(float(curves.temperatures_k[index]), 1.0)
    free = float(curves.free_energy_mev_per_atom[index])

    def miss(log_energy: float) -> float:
        energy = math.exp(log_energy)
        return 3.0 * (0.5 * energy + thermal * math.log1p(-math.exp(-energy / thermal))) - free

    found = float(brentq(miss, math.log(1e-4), math.log(1e4), xtol=1e-10))
    return math.exp(found) / PLANCK_MEV_PER_THZ


def _values(structure: Structure, curves: Thermodynamics) -> dict[str, float]:
    """Scaled features that need no neighbours."""
    from pymatgen.core import Element

    composition = structure.composition
    elements = composition.elements
    weights = np.array([composition.get_atomic_fraction(element) for element in elements])
    symbols = [element.symbol for element in elements]
    negativity = np.array([pauling_electronegativity(element.Z) for element in elements])
    mass = math.exp(float(weights @ np.log([float(Element(x).atomic_mass) for x in symbols])))
    mean = float(weights @ negativity)
    raw = {
        "stiffness": math.log(mass * mean_frequency_thz(curves) ** 2),
        "volume": math.log(structure.volume / len(structure)),
        "electronegativity": mean,
        "ionicity": math.sqrt(float(weights @ (negativity - mean) ** 2)),
        "mass": math.log(mass),
        "elements": float(len(elements)),
    }
    return {name: _scaled(name, value) for name, value in raw.items()}


def _scaled(name: str, value: float) -> float:
    centre, scale = _SCALES[name]
    return (value - centre) / scale
