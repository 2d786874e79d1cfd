"""The crystals that are timed: some of the reference data, and some of lower symmetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from references import read_records, record_name

__all__ = ["lower_symmetry_crystals", "reference_records"]


def lower_symmetry_crystals() -> dict[str, Structure]:
    """Crystals from published lattice parameters, in Å.

    References
    ----------
    TiO2, MgF2, MgH2, quartz, Al2O3 and forsterite: the structures in R. W. G. Wyckoff, Crystal
    Structures (Wiley, 1963); SrH2: E. Zintl and A. Harder, Z. Elektrochem. 41, 33 (1935).
    """
    group = Structure.from_spacegroup
    return {
        "TiO2 rutile": group(
            "P4_2/mnm",
            Lattice.tetragonal(4.594, 2.959),
            ["Ti", "O"],
            [[0, 0, 0], [0.305] * 2 + [0]],
        ),
        "TiO2 anatase": group(
            "I4_1/amd", Lattice.tetragonal(3.785, 9.514), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]
        ),
        "MgF2": group(
            "P4_2/mnm",
            Lattice.tetragonal(4.625, 3.052),
            ["Mg", "F"],
            [[0, 0, 0], [0.303] * 2 + [0]],
        ),
        "SrH2": group(
            "Pnma",
            Lattice.orthorhombic(6.377, 3.882, 7.315),
            ["Sr", "H", "H"],
            [[0.2589, 0.25, 0.1095], [0.357, 0.25, 0.427], [0.9737, 0.25, 0.6766]],
        ),
        "Al2O3": group(
            "R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.3522], [0.3063, 0, 0.25]]
        ),
        "InSe": group(
            "P6_3/mmc",
            Lattice.hexagonal(4.005, 16.64),
            ["In", "Se"],
            [[1 / 3, 2 / 3, 0.157], [1 / 3, 2 / 3, 0.602]],
        ),
    }


def reference_records(folder: Path, count: int) -> dict[str, Any]:
    """Return records spread evenly over the reference data, sorted by formula; none without it."""
    records = read_records(folder) if (folder / "phonondb_pbe.json.gz").exists() else []
    named = {record_name(record) or f"record {i}": record for i, record in enumerate(records)}
    names = sorted(named, key=lambda name: name.partition(" ")[2])
    chosen = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return {names[i]: named[names[i]] for i in dict.fromkeys(chosen.tolist())}
