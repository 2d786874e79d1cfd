"""Relaxation at fixed symmetry."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.calculators import CheckedCalculator, ForceCalculator, load_calculator
from screening.errors import (
    CellExplodedError,
    ElementNotInModelError,
    NonFiniteForcesError,
    RelaxationError,
    SettingError,
    SymmetryLostError,
)
from screening.relaxation import RelaxationSettings, relax

FROM = Structure.from_spacegroup


def _crystals() -> dict[str, Structure]:
    made = {
        "rock salt": FROM("Fm-3m", Lattice.cubic(4.2), ["Li", "F"], [[0] * 3, [0.5] * 3]),
        "wurtzite": FROM(
            "P6_3mc",
            Lattice.hexagonal(3.28, 5.30),
            ["Zn", "O"],
            [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.379]],
        ),
        "rutile": FROM(
            "P4_2/mnm",
            Lattice.tetragonal(4.64, 2.97),
            ["Ti", "O"],
            [[0, 0, 0], [0.305, 0.305, 0]],
        ),
        "SrH2": FROM(
            "Pnma",
            Lattice.orthorhombic(6.37, 3.87, 7.30),
            ["Sr", "H", "H"],
            [[0.24, 0.25, 0.11], [0.355, 0.25, 0.43], [0.975, 0.25, 0.675]],
        ),
        "monoclinic": FROM(
            "P2_1/c",
            Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
            ["Zr", "O", "O"],
            [[0.276, 0.04, 0.208], [0.07, 0.332, 0.345], [0.45, 0.757, 0.479]],
        ),
        "corundum": FROM(
            "R-3c", Lattice.hexagonal(4.8, 13.1), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]
        ),
    }
    return {name: crystal.get_primitive_structure() for name, crystal in made.items()}


CRYSTALS = _crystals()


@pytest.fixture(scope="module")
def chgnet() -> ForceCalculator:
    if importlib.util.find_spec("chgnet") is None:
        pytest.skip("chgnet is not installed")
    return load_calculator("chgnet")


@pytest.mark.parametrize("name", CRYSTALS)
def test_reaches_a_minimum_in_the_same_space_group(name: str, chgnet: ForceCalculator) -> None:
    structure = CRYSTALS[name]
    before = structure.copy()
    relaxed, record, energy, n_calls = relax(structure, chgnet)
    assert structure == before
    assert record.converged
    assert record.space_group_number_before == record.space_group_number_after
    assert [site.specie for site in relaxed] == [site.specie for site in structure]
    numbers = np.array([site.specie.Z for site in relaxed])
    total, forces, stress = chgnet.energy_forces_stress(
        relaxed.lattice.matrix, relaxed.cart_coords, numbers
    )
    assert np.abs(forces).max() < 2.1e-4
    assert np.abs(stress).max() * 160.2 < 1.1e-3
    assert total / len(relaxed) == pytest.approx(energy, abs=1e-5)
    assert record.volume_ratio == pytest.approx(relaxed.volume / structure.volume)
    assert n_calls <= 40


@pytest.mark.parametrize("name", ["rock salt", "wurtzite"])
def test_same_minimum_as_an_unconstrained_optimiser(name: str, chgnet: ForceCalculator) -> None:
    """Against ASE's BFGS on cell and ions, which knows nothing of symmetry."""
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS
    from ase.stress import full_3x3_to_voigt_6_stress

    class Adapter(Calculator):
        implemented_properties = ("energy", "forces", "stress")

        def calculate(self, atoms, properties, system_changes):
            super().calculate(atoms, properties, system_changes)
            energy, forces, stress = chgnet.energy_forces_stress(
                atoms.cell.array, atoms.positions, atoms.numbers
            )
            stress = full_3x3_to_voigt_6_stress(stress)
            self.results = {"energy": energy, "forces": forces, "stress": stress}

    structure = CRYSTALS[name]
    relaxed, _, energy, n_calls = relax(structure, chgnet)
    atoms = Atoms(
        numbers=[site.specie.Z for site in structure],
        positions=structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=True,
        calculator=Adapter(),
    )
    optimiser = BFGS(FrechetCellFilter(atoms), logfile=None)
    assert optimiser.run(fmax=2e-4, steps=300)
    assert energy == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-5)
    assert relaxed.volume == pytest.approx(atoms.get_volume(), rel=1e-3)
    assert n_calls <= optimiser.nsteps + 2


def test_is_deterministic(chgnet: ForceCalculator) -> None:
    one, two = (relax(CRYSTALS["wurtzite"], chgnet)[0] for _ in range(2))
    np.testing.assert_array_equal(one.lattice.matrix, two.lattice.matrix)
    np.testing.assert_array_equal(one.frac_coords, two.frac_coords)


def test_noise_in_the_coordinates_is_averaged_out(chgnet: ForceCalculator) -> None:
    clean = CRYSTALS["wurtzite"]
    noise = np.random.default_rng(0).normal(scale=1e-4, size=(4, 3))
    noisy = Structure(
        Lattice(clean.lattice.matrix * (1 + 1e-5 * np.arange(9).reshape(3, 3))),
        clean.species,
        clean.cart_coords + noise,
        coords_are_cartesian=True,
    )
    relaxed, record, energy, _ = relax(noisy, chgnet)
    assert record.space_group_number_after == 186
    assert energy == pytest.approx(relax(clean, chgnet)[2], abs=1e-5)
    assert np.ptp(relaxed.lattice.abc[:2]) < 1e-9


class _Engine:
    """A harmonic crystal; subclasses break it."""

    def energy_forces_stress(self, cell, _positions, numbers):
        strain = np.cbrt(abs(np.linalg.det(cell)) / 18.5) - 1
        return 50 * strain**2, np.zeros((len(numbers), 3)), 0.5 * strain * np.eye(3)

    def forces(self, cell, positions, numbers):
        return self.energy_forces_stress(cell, positions, numbers)[1]


def _wrap(engine: object) -> CheckedCalculator:
    return CheckedCalculator(engine, "fake", "0" * 64)  # type: ignore[arg-type]


def test_a_pull_that_breaks_the_symmetry_is_seen() -> None:
    class Pull(_Engine):
        def energy_forces_stress(self, cell, positions, numbers):
            energy, forces, stress = super().energy_forces_stress(cell, positions, numbers)
            forces[0, 0], forces[1, 0] = 0.05, -0.05
            return energy, forces, stress

    with pytest.raises(SymmetryLostError, match="break the symmetry"):
        relax(CRYSTALS["rock salt"], _wrap(Pull()))


def test_a_stress_that_breaks_the_symmetry_is_seen() -> None:
    class Shear(_Engine):
        def energy_forces_stress(self, cell, positions, numbers):
            energy, forces, stress = super().energy_forces_stress(cell, positions, numbers)
            return energy, forces, stress + np.diag([0.05, -0.05, 0])

    with pytest.raises(SymmetryLostError, match="break the symmetry"):
        relax(CRYSTALS["rock salt"], _wrap(Shear()))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_exploding_cell_is_stopped(sign: int) -> None:
    class Push(_Engine):
        def energy_forces_stress(self, _cell, _positions, numbers):
            return 0.0, np.zeros((len(numbers), 3)), -0.1 * sign * np.eye(3)

    with pytest.raises(CellExplodedError, match="volume"):
        relax(CRYSTALS["rock salt"], _wrap(Push()))


def test_too_few_steps_say_how_far_it_came() -> None:
    with pytest.raises(RelaxationError, match=r"after 1 steps .* eV/Å .* GPa"):
        relax(CRYSTALS["rock salt"], _wrap(_Engine()), RelaxationSettings(max_steps=1))


@pytest.mark.parametrize("n_good", [0, 2])
def test_nan_stops_at_once(n_good: int) -> None:
    class Breaks(_Engine):
        calls = 0

        def energy_forces_stress(self, cell, positions, numbers):
            self.calls += 1
            energy, forces, stress = super().energy_forces_stress(cell, positions, numbers)
            return energy, forces * (np.nan if self.calls > n_good else 1), stress

    engine = Breaks()
    with pytest.raises(NonFiniteForcesError):
        relax(CRYSTALS["rock salt"], _wrap(engine))
    assert engine.calls == n_good + 1


def test_unknown_elements_stop_before_any_computation(chgnet: ForceCalculator) -> None:
    structure = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    with pytest.raises(ElementNotInModelError, match="Po"):
        relax(structure, chgnet)


@pytest.mark.parametrize(
    "setting",
    [
        {"force_tolerance_ev_per_angstrom": 0.0},
        {"stress_tolerance_gpa": -1.0},
        {"max_steps": 0},
        {"max_volume_ratio": 1.0},
        {"symprec_angstrom": float("nan")},
    ],
)
def test_senseless_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        RelaxationSettings(**setting)  # type: ignore[arg-type]
