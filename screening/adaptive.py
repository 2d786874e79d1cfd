"""A smaller supercell where it is proven to give the same answer.

Two nested supercells below the standard one are tried first, with the same displacements. The
larger of them is accepted if the crystal is clearly stable in both and their free energies
agree mode sum by mode sum: the difference is taken at every wave vector and averaged without
sign, so that errors of opposite sign at different wave vectors cannot hide each other, as they
do in the total. In every other case the standard supercell is computed.

The allowed difference was calibrated against standard supercells: see `AdaptiveSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import SettingError
from screening.phonons import (
    Harmonic,
    MeshFrequencies,
    PhononSettings,
    compute_forces,
    frequencies_at,
    harmonic_from_forces,
    mesh_frequencies,
)
from screening.prediction import FloatArray, ForceData
from screening.supercell import choose_supercell, supercell_candidates
from screening.units import KELVIN_PER_THZ, PLANCK_MEV_PER_THZ

__all__ = ["AdaptiveSettings", "AdaptiveStep", "AdaptiveForces", "adaptive_forces"]
