"""Crystals whose densities of states follow from mass and volume alone, and a tiny ensemble."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.labels import DosLabel
from screening.network_dos.settings import DOS_PRESETS, DosArchitecture, DosNetworkSettings

RADII = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Mg": 0.72, "F": 1.33, "Cl": 1.81, "O": 1.40, "S": 1.84}
PROTOTYPES = {"rocksalt": (0.5, 2.0), "zincblende": (0.25, 2.2)}


def crystal_of(cation: str, anion: str, prototype: str) -> Structure:
    place, stretch = PROTOTYPES[prototype]
    half = 0.5 * stretch * (RADII[cation] + RADII[anion])
    lattice = Lattice(half * (1.0 - np.eye(3)))
    return Structure(lattice, [cation, anion], [[0.0] * 3, [place] * 3])


def made_label(structure: Structure, material_id: str) -> DosLabel:
    """Debye spectrum of a scale that mass and volume give."""
    mass = np.exp(np.mean([np.log(float(site.specie.atomic_mass)) for site in structure]))
    cutoff = 120.0 / np.sqrt(mass) / (structure.volume / len(structure)) ** (1 / 3)
    histogram = analytic_histograms(np.array([cutoff]), PAPER_GRID)[0] * len(structure)
    group = structure.composition.reduced_formula
    return DosLabel(material_id, group, structure, histogram, source="made")


@pytest.fixture(scope="session")
def made_labels() -> list[DosLabel]:
    kinds = product(("Li", "Na", "K", "Mg"), ("F", "Cl", "O", "S"), PROTOTYPES)
    return [
        made_label(crystal_of(cation, anion, prototype), f"{cation}{anion}-{prototype}")
        for cation, anion, prototype in kinds
    ]


@pytest.fixture(scope="session")
def tiny_settings() -> DosNetworkSettings:
    architecture = DosArchitecture(
        hidden=8, embedding=8, angle_layers=1, bond_layers=1, angle_cutoff_angstrom=3.0
    )
    tiny = replace(DOS_PRESETS["tiny"], architecture=architecture, grid=PAPER_GRID)
    return replace(tiny, epochs=6, batch_size=4, valid_fraction=0.3, device="cpu")
