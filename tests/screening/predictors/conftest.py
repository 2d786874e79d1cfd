from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.calculators import ForceCalculator, load_calculator
from screening.digest import digest_of
from screening.phonons import PhononSettings
from screening.prediction import FloatArray
from screening.settings import ScreeningSettings
from screening.structure import Crystal, canonical_crystal
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings


@cache
def emt() -> ForceCalculator:
    return load_calculator("ase.calculators.emt.EMT")


@dataclass(frozen=True)
class Fake:
    """Effective-medium theory with one thing done to its forces."""

    scale: float = 1.0
    poison: float = 0.0  # added to one component
    drift: float = 0.0  # fraction of the largest force added to every atom
    members: tuple[Fake, ...] = ()
    elements: frozenset[int] | None = frozenset({13, 28, 29, 46, 47, 78, 79})
    displacement_angstrom: float = 0.01
    notes: tuple[str, ...] = ("made up for a test",)
    calls: list[int] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, object]:
        return {}

    @property
    def name(self) -> str:
        return f"fake:{self.scale}"

    @property
    def digest(self) -> str:
        return digest_of([self.name, [member.name for member in self.members]])

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> FloatArray:
        self.calls.append(len(positions))
        if self.members:
            return np.mean([m.forces(cell, positions, numbers) for m in self.members], axis=0)
        forces = self.scale * emt().forces(cell, positions, numbers)
        forces += self.drift * np.abs(forces).max(axis=(1, 2), keepdims=True)
        forces[-1, 0, 0] += self.poison
        return forces

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> float:
        return self.energy_forces_stress(cell, positions, numbers)[0]

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        if self.members:
            return self.members[0].energy_forces_stress(cell, positions, numbers)
        energy, forces, stress = emt().energy_forces_stress(cell, positions, numbers)
        return self.scale * energy + self.poison, self.scale * forces, self.scale * stress


@pytest.fixture
def fake() -> type[Fake]:
    return Fake


def quick(**changes: object) -> ScreeningSettings:
    """Small supercell and mesh, no relaxation."""
    defaults = {
        "relaxation": None,
        "phonons": PhononSettings(
            supercell=SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64),
            mesh_length_angstrom=20.0,
        ),
        "thermodynamics": ThermodynamicsSettings(temperatures_k=(0.0, 100.0, 300.0, 3000.0)),
    }
    return ScreeningSettings(**{**defaults, **changes})


@pytest.fixture
def quick_settings() -> ScreeningSettings:
    return quick()


@pytest.fixture(scope="session")
def copper() -> Crystal:
    return canonical_crystal(
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]])
    )


@pytest.fixture(scope="session")
def cubic_body_centred_copper() -> Crystal:
    """Mechanically unstable along the path to the face-centred cubic structure."""
    return canonical_crystal(
        Structure.from_spacegroup("Im-3m", Lattice.cubic(2.86), ["Cu"], [[0, 0, 0]])
    )


@pytest.fixture(scope="session")
def gold_copper() -> Crystal:
    return canonical_crystal(
        Structure.from_spacegroup(
            "Pm-3m", Lattice.cubic(3.77), ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]]
        )
    )
