"""Labels of crystals that are Debye solids, of a temperature that follows from mass and volume."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.linear_entropy.masses import natural_masses_amu
from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel
from screening.prediction import FloatArray
from screening.units import KELVIN_PER_THZ

CATIONS = ("Li", "Na", "K", "Rb", "Cs")
ANIONS = ("F", "Cl", "Br", "I")


def salt(cation: str, anion: str, length_angstrom: float | None = None) -> Structure:
    """Return a primitive cell of rocksalt."""
    length = length_angstrom or 4.0 + 0.4 * CATIONS.index(cation) + 0.5 * ANIONS.index(anion)
    cell = Lattice(0.5 * length * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    return Structure(cell, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def salts() -> list[Structure]:
    """Return twenty of them."""
    return [salt(one, other) for one in CATIONS for other in ANIONS]


def debye_temperature_k(structure: Structure) -> float:
    """Return the law that the labels obey."""
    masses = natural_masses_amu(np.array([site.specie.Z for site in structure]))
    volume = structure.volume / len(structure)
    return float(9000.0 * np.exp(-0.5 * np.log(masses).mean()) * volume**-0.6)


def debye_label(
    structure: Structure, grid: FrequencyGrid, name: str = "", prior: FloatArray | None = None
) -> DosLabel:
    """Return the label of a crystal."""
    cutoff = debye_temperature_k(structure) / KELVIN_PER_THZ
    histogram = analytic_histograms(np.array([cutoff]), grid)[0] * len(structure)
    formula = structure.composition.reduced_formula
    return DosLabel(name or formula, formula, structure, histogram, prior=prior)
