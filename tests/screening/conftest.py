"""A pair potential whose force constants are known, and crystals of many symmetries."""

from __future__ import annotations

import lzma
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pymatgen.core import Lattice, Structure
from vesin import NeighborList

FORCE_SETS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "force_sets"


@dataclass(frozen=True)
class PairPotential:
    """V(r) = e (1 - s)^4 with s = r^2 / cutoff^2: smooth, short-ranged and not harmonic."""

    cutoff_angstrom: float = 4.5
    displacement_angstrom: float = 0.01
    members: tuple[PairPotential, ...] = ()
    scale: float = 1.0

    def pairs(self, cell, positions, numbers):
        finder = NeighborList(cutoff=self.cutoff_angstrom, full_list=True)
        first, second, vectors = finder.compute(positions, cell, True, "ijD")
        strength = self.scale * (1.0 + 0.1 * np.abs(numbers[first] - numbers[second]))
        return first, second, vectors, strength

    def forces(self, cell, positions, numbers):
        return np.array([self._forces(cell, copy, numbers) for copy in positions])

    def _forces(self, cell, positions, numbers):
        first, _, vectors, strength = self.pairs(cell, positions, numbers)
        slope = -4.0 * strength * (1.0 - (vectors**2).sum(1) / self.cutoff_angstrom**2) ** 3
        forces = np.zeros_like(positions)
        pulls = (2.0 * slope / self.cutoff_angstrom**2)[:, None] * vectors
        np.add.at(forces, first, pulls)
        return forces

    def dynamical_matrix(self, structure: Structure, q_point) -> np.ndarray:
        """Return the mass-weighted lattice sum, shape (3 site, 3 site)."""
        numbers = np.array([site.specie.Z for site in structure])
        cell, positions = structure.lattice.matrix, structure.cart_coords
        first, second, vectors, strength = self.pairs(cell, positions, numbers)
        ratio = 1.0 - (vectors**2).sum(1) / self.cutoff_angstrom**2
        slope = -4.0 * strength * ratio**3 * 2.0 / self.cutoff_angstrom**2
        bend = 12.0 * strength * ratio**2 * 4.0 / self.cutoff_angstrom**4
        blocks = slope[:, None, None] * np.eye(3) + bend[:, None, None] * (
            vectors[:, :, None] * vectors[:, None, :]
        )
        wave = 2.0 * np.pi * np.linalg.inv(cell) @ np.asarray(q_point)
        n = len(structure)
        matrix = np.zeros((n, n, 3, 3), dtype=complex)
        np.add.at(matrix, (first, first), blocks)
        np.subtract.at(matrix, (first, second), blocks * np.exp(1j * vectors @ wave)[:, None, None])
        roots = np.sqrt([_mass(site.specie.symbol) for site in structure])
        matrix /= (roots[:, None] * roots[None])[:, :, None, None]
        return matrix.swapaxes(1, 2).reshape(3 * n, 3 * n)


def _mass(symbol: str) -> float:
    from phonopy.structure.atoms import PhonopyAtoms

    return float(PhonopyAtoms([symbol], cell=np.eye(3), scaled_positions=[[0, 0, 0]]).masses[0])


def _spaced(group, lattice, species, positions) -> Structure:
    return Structure.from_spacegroup(group, lattice, species, positions).get_primitive_structure()


CRYSTALS = {
    "fcc": _spaced("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]]),
    "bcc": _spaced("Im-3m", Lattice.cubic(3.2), ["W"], [[0, 0, 0]]),
    "hcp": _spaced("P6_3/mmc", Lattice.hexagonal(3.2, 5.2), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "rocksalt": _spaced("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zincblende": _spaced(
        "F-43m", Lattice.cubic(5.4), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]
    ),
    "wurtzite": _spaced(
        "P6_3mc",
        Lattice.hexagonal(3.25, 5.2),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]],
    ),
    "rutile": _spaced(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    ),
    "anatase": _spaced(
        "I4_1/amd", Lattice.tetragonal(3.79, 9.51), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.208]]
    ),
    "corundum": _spaced(
        "R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]
    ),
    "cotunnite": _spaced(
        "Pnma",
        Lattice.orthorhombic(6.4, 3.9, 7.3),
        ["Sr", "H", "H"],
        [[0.259, 0.25, 0.11], [0.357, 0.25, 0.427], [0.974, 0.25, 0.677]],
    ),
    "thallium_iodide": _spaced(
        "Cmcm",
        Lattice.orthorhombic(4.75, 12.76, 4.91),
        ["In", "I"],
        [[0, 0.398, 0.25], [0, 0.145, 0.25]],
    ),
    "monoclinic": _spaced(
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O"],
        [[0.275, 0.04, 0.208], [0.07, 0.332, 0.345]],
    ),
    "quartz": _spaced(
        "P3_221",
        Lattice.hexagonal(4.91, 5.4),
        ["Si", "O"],
        [[0.47, 0, 2 / 3], [0.413, 0.267, 0.786]],
    ),
    "triclinic": Structure(
        Lattice.from_parameters(3.5, 4.1, 4.6, 82, 101, 95),
        ["K", "F", "F"],
        [[0.02, 0, 0], [0.43, 0.52, 0.38], [0.61, 0.12, 0.7]],
    ),
}


@pytest.fixture(scope="session")
def crystals() -> dict[str, Structure]:
    return CRYSTALS


@pytest.fixture(params=sorted(CRYSTALS))
def crystal(request: pytest.FixtureRequest) -> Structure:
    return CRYSTALS[request.param]


@pytest.fixture(scope="session")
def pair_potential() -> PairPotential:
    return PairPotential()


@pytest.fixture(scope="session")
def committee() -> PairPotential:
    return PairPotential(members=(PairPotential(), PairPotential(scale=1.2)))


@pytest.fixture(scope="session")
def vary():
    """Change a calculator or any other frozen value."""
    return replace


@pytest.fixture(scope="session")
def force_set():
    """Return a reader of real force sets; tests that need one are skipped where it is absent."""

    def read(name: str) -> dict[str, Any]:
        path = FORCE_SETS / f"{name}.yaml.xz"
        if not path.exists():
            pytest.skip(f"no reference data at {path}")
        with lzma.open(path, "rt") as stream:
            return yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    return read
