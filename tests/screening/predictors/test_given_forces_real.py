"""The whole way from published DFT forces to thermodynamics, against phonopy's own."""

import lzma
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from screening import units
from screening.harmonic import harmonic_from_forces
from screening.phonons import PhononSettings, force_data_from_phonopy_yaml
from screening.prediction import FloatArray, ForceData, Verdict
from screening.predictors.given_forces import GivenForces
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.thermodynamics import ThermodynamicsSettings

FORCE_SETS = Path(__file__).parents[4] / "shared" / "data" / "force_sets"
CRYSTALS = ["Al2O3", "MgB2", "MgO", "NaCl", "TiO2-anatase", "ZnO"]
MESH_LENGTH_ANGSTROM = 25.0
TEMPERATURES_K = tuple(float(t) for t in range(10, 1501, 10))
SETTINGS = ScreeningSettings(
    relaxation=None,
    phonons=PhononSettings(mesh_length_angstrom=MESH_LENGTH_ANGSTROM),
    thermodynamics=ThermodynamicsSettings(temperatures_k=TEMPERATURES_K),
)


@pytest.fixture
def codata_2018() -> Iterator[None]:
    """Let phonopy use our release of the constants; its own are of 1986 to 2006."""
    from phonopy.physical_units import get_physical_units, set_physical_units

    before = get_physical_units()
    set_physical_units(
        KB_J=units.BOLTZMANN_EV_PER_K * units.EV_TO_JOULE,
        PlanckConstant=units.PLANCK_MEV_PER_THZ * 1e-15,
        Avogadro=units.AVOGADRO_PER_MOL,
        AMU=1.66053906660e-27,
        EV=units.EV_TO_JOULE,
    )
    yield
    names = ("KB_J", "PlanckConstant", "Avogadro", "SpeedOfLight", "AMU", "EV", "Me")
    set_physical_units(**{name: getattr(before, name) for name in names})


def read(crystal: str) -> tuple[Path, ForceData]:
    file = FORCE_SETS / f"{crystal}.yaml.xz"
    if not file.exists():
        pytest.skip(f"reference data not found: {file}")
    with lzma.open(file, "rt") as stream:
        content: dict[str, Any] = yaml.load(stream, yaml.CSafeLoader)
    return file, force_data_from_phonopy_yaml(content)


def phonopy_curves(file: Path, forces: ForceData) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Free energy, entropy, heat capacity per atom by phonopy from the same forces and charges.

    The file's own Born charges break neutrality and its factor, 14.4 eV Å, is rounded; phonopy
    takes both as they are, which moves the entropy by 1e-5. It gets ours instead.
    """
    import phonopy
    from phonopy.physical_units import get_physical_units

    phonon = phonopy.load(str(file), log_level=0)
    if forces.born_charges_e is not None:
        ours = harmonic_from_forces(forces).dynamical_matrix
        phonon.nac_params = {
            "born": ours.born,
            "dielectric": ours.dielectric_constant,
            "factor": units.COULOMB_EV_ANGSTROM,
        }
    phonon.run_mesh(MESH_LENGTH_ANGSTROM, is_gamma_center=True)
    phonon.run_thermal_properties(
        temperatures=TEMPERATURES_K, cutoff_frequency=0.1, exclude_gamma_acoustic=True
    )
    theirs = phonon.thermal_properties
    per_atom = 1e3 / get_physical_units().EvTokJmol / len(phonon.primitive)
    return (
        np.array(theirs.free_energy) * per_atom,
        np.array(theirs.entropy) * per_atom / 1e3,
        np.array(theirs.heat_capacity) * per_atom / 1e3,
    )


@pytest.mark.filterwarnings("ignore:Mesh .* is incompatible with the primitive-cell point group")
@pytest.mark.usefixtures("codata_2018")
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_phonopy_agrees_to_a_millionth_from_the_same_forces(crystal: str) -> None:
    file, forces = read(crystal)
    free_energy, entropy, capacity = phonopy_curves(file, forces)
    found = GivenForces(forces, SETTINGS, source="DFT").predict(canonical_crystal(forces.primitive))
    ours = found.thermodynamics
    at_zero_crossing = 1e-6 * ours.zero_point_energy_mev_per_atom
    np.testing.assert_allclose(
        ours.free_energy_mev_per_atom, free_energy, rtol=1e-6, atol=at_zero_crossing
    )
    np.testing.assert_allclose(ours.entropy_mev_per_k_per_atom, entropy, rtol=1e-6)
    np.testing.assert_allclose(ours.heat_capacity_mev_per_k_per_atom, capacity, rtol=1e-6)


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_real_stable_crystals_are_stable_without_complaint(crystal: str) -> None:
    _, forces = read(crystal)
    found = GivenForces(forces, SETTINGS, source="DFT").predict(canonical_crystal(forces.primitive))
    assert found.stability.verdict is Verdict.STABLE
    assert found.thermodynamics.valid
    assert found.warnings == (() if forces.born_charges_e is not None else found.warnings[:1])


def test_any_cell_of_the_crystal_is_recognised() -> None:
    _, forces = read("NaCl")
    conventional = forces.primitive.copy().make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    found = GivenForces(forces, SETTINGS).predict(canonical_crystal(conventional))
    assert found.structure_digest == canonical_crystal(forces.primitive).digest


def test_charges_change_the_result_and_its_digest() -> None:
    _, forces = read("NaCl")
    bare = replace(forces, born_charges_e=None, dielectric_constant=None)
    crystal = canonical_crystal(forces.primitive)
    with_charges = GivenForces(forces, SETTINGS).predict(crystal)
    without = GivenForces(bare, SETTINGS).predict(crystal)
    assert with_charges.model_digest != without.model_digest
    assert any("no non-analytical correction" in text for text in without.warnings)
    change = (
        with_charges.thermodynamics.free_energy_mev_per_atom
        - without.thermodynamics.free_energy_mev_per_atom
    )
    assert 0.1 < np.abs(change).max() < 20.0
