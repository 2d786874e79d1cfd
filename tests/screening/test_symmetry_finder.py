from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.structure import canonical_crystal
from screening.symmetry_finder import symmetry_finder


def nearly_symmetric(seed):
    """Return a perovskite that is off its symmetry by about the tolerance."""
    random = np.random.default_rng(seed)
    ideal = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.0), ["K", "Zn", "F"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    ) * (2, 1, 1)
    strain = np.eye(3) + random.normal(scale=2e-3, size=(3, 3))
    shifts = random.normal(scale=10 ** random.uniform(-4, -2), size=(len(ideal), 3)) / 4
    return Structure(ideal.lattice.matrix @ strain, ideal.species, ideal.frac_coords + shifts)


def test_nothing_is_written_about_a_nearly_symmetric_crystal(capfd, monkeypatch):
    """With its own settings spglib writes two lines about this one, past Python."""
    monkeypatch.delenv("SPGLIB_WARNING", raising=False)
    canonical_crystal(nearly_symmetric(137))
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("SPGLIB_WARNING", "ON")  # who asks for it is told
    canonical_crystal(nearly_symmetric(137))
    assert "spglib: " in capfd.readouterr().err


def test_who_sets_the_environment_is_obeyed(monkeypatch):
    monkeypatch.setenv("SPGLIB_WARNING", "ON")
    symmetry_finder()
    assert os.environ["SPGLIB_WARNING"] == "ON"


def test_importing_the_door_does_nothing():
    told = "import os, sys, screening.symmetry_finder as _; print('spglib' in sys.modules, "
    told += "'SPGLIB_WARNING' in os.environ)"
    clean = {name: value for name, value in os.environ.items() if name != "SPGLIB_WARNING"}
    done = subprocess.run(
        [sys.executable, "-c", told], check=True, capture_output=True, text=True, env=clean
    )
    assert done.stdout.split() == ["False", "False"]
