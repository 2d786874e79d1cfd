"""Repair of unstable crystals: known transitions come out, and failures say what they are."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening import repair as room
from screening.calculators import load_calculator
from screening.errors import (
    ElementNotInModelError,
    NoImaginaryModeError,
    NoLowerStructureError,
    RelaxedBackError,
    SettingError,
)
from screening.imaginary_modes import imaginary_mode
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces
from screening.prediction import Verdict
from screening.predictors.potential_phonons import PotentialPhonons
from screening.relaxation import relax
from screening.repair import RepairSettings, find_mode, repair_structure, same_relaxed, scan_mode
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings

CUBIC = Structure.from_spacegroup
PHONONS = PhononSettings(
    supercell=SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
)
SMALL = ScreeningSettings(phonons=PHONONS)


def perovskite(edge, *species):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return CUBIC("Pm-3m", Lattice.cubic(edge), species, sites)


PARENTS = {
    "Cu": Structure(Lattice.cubic(2.86), ["Cu"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "ZrO2": CUBIC("Fm-3m", Lattice.cubic(5.1), ["Zr", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "BaTiO3": perovskite(4.0, "Ba", "Ti", "O"),
    "SrTiO3": perovskite(3.9, "Sr", "Ti", "O"),
}


@pytest.fixture(scope="session")
def emt():
    return load_calculator("ase.calculators.emt.EMT")


@pytest.fixture(scope="session")
def chgnet():
    if importlib.util.find_spec("chgnet") is None:
        pytest.skip("chgnet is not installed")
    return load_calculator("chgnet")


def relaxed(name, calculator):
    return relax(canonical_crystal(PARENTS[name]).structure, calculator)[0]


@pytest.fixture(scope="session")
def bcc(emt):
    """Body-centred copper, which wants to be close-packed, and its forces."""
    return compute_forces(relaxed("Cu", emt), emt, PHONONS)


@pytest.fixture(scope="session")
def unstable(chgnet):
    """Forces of an unstable oxide, by its formula."""
    known = {}

    def forces(name):
        if name not in known:
            known[name] = compute_forces(relaxed(name, chgnet), chgnet, PHONONS)
        return known[name]

    return forces


def test_bcc_follows_its_transverse_phonon_to_hcp(bcc, emt):
    """The path of W. G. Burgers, Physica 1, 561 (1934), by the mode at the point N."""
    found = repair_structure(bcc, emt)
    assert found.crystal.space_group_symbol == "P6_3/mmc"
    assert found.crystal.n_atoms == 2
    assert np.count_nonzero(np.abs(found.mode.q_point) == 0.5) == 2
    child = PotentialPhonons(emt, SMALL).predict(found.crystal)
    assert child.stability.verdict is Verdict.STABLE
    assert child.static_energy_ev_per_atom == pytest.approx(found.energy_ev_per_atom, abs=1e-6)
    still = found.scan.undistorted_ev_per_atom
    assert found.gain_mev_per_atom == pytest.approx(1e3 * (still - found.energy_ev_per_atom))
    assert found.gain_mev_per_atom > -found.scan.lowest[1] > 0
    assert found.relation == (
        "followed the imaginary mode of -1.14 THz at q = (1/2, 1/2, 0), amplitude 0.15 Å, "
        "relaxed with ase.calculators.emt.EMT"
    )


def test_the_energy_along_the_mode_begins_as_the_harmonic_model_says(bcc, emt):
    mode = imaginary_mode(harmonic_from_forces(bcc), max_atoms=8)
    amplitudes = (0.005, 0.01, 0.02)
    scan = scan_mode(mode, emt, RepairSettings(amplitudes_angstrom=amplitudes))
    n_atoms = len(mode.pattern)
    expected = 500 * mode.curvature_ev_per_angstrom2 * np.square(amplitudes) / n_atoms
    assert scan.energies_mev_per_atom == pytest.approx(expected, rel=0.02)
    omega_squared = -((2 * np.pi * mode.frequency_thz) ** 2) * 1.0364e-4  # THz² amu to eV/Å²
    mass = 63.546 * (mode.pattern**2).sum()
    assert mode.curvature_ev_per_angstrom2 == pytest.approx(omega_squared * mass, rel=1e-3)


def test_a_common_displacement_changes_nothing(bcc, emt):
    mode = imaginary_mode(harmonic_from_forces(bcc), max_atoms=8)
    moved = mode.undistorted.copy()
    moved.translate_sites(range(len(moved)), [0.11, 0.23, 0.31], to_unit_cell=False)
    settings = RepairSettings()
    here = scan_mode(mode, emt, settings).energies_mev_per_atom
    there = scan_mode(replace(mode, undistorted=moved), emt, settings).energies_mev_per_atom
    assert here == pytest.approx(there, abs=1e-6)


def test_opposite_displacements_are_computed_where_they_differ(crystals, pair_potential, emt):
    forces = compute_forces(crystals["bcc"], pair_potential, PHONONS)
    halves = imaginary_mode(harmonic_from_forces(forces), max_atoms=2, threshold_thz=1e3)
    cu = replace(halves, undistorted=halves.undistorted.copy().replace_species({"W": "Cu"}))
    assert len(scan_mode(cu, emt, RepairSettings()).amplitudes_angstrom) == 6
    polar = Structure(Lattice.hexagonal(3, 5), ["Cu", "Al"], [[0, 0, 0], [0, 0, 0.45]])
    pattern = np.array([[0, 0, 1.0], [0, 0, -0.5]])
    skewed = replace(cu, undistorted=polar, pattern=pattern)
    scan = scan_mode(skewed, emt, RepairSettings())
    assert len(scan.amplitudes_angstrom) == 12
    assert not np.allclose(scan.energies_mev_per_atom[:6], scan.energies_mev_per_atom[6:])


@pytest.mark.parametrize(
    ("name", "combine", "symbol", "q_norm"),
    [
        ("ZrO2", False, "P4_2/nmc", np.sqrt(0.5)),  # tetragonal zirconia
        ("BaTiO3", False, "P4mm", 0.0),  # the ferroelectric phases at and below 393 K
        ("BaTiO3", True, "R3m", 0.0),
        ("SrTiO3", False, "I4/mcm", np.sqrt(0.75)),  # the tilted octahedra below 105 K
        ("SrTiO3", True, "R-3c", np.sqrt(0.75)),
    ],
)
def test_known_phase_transitions_come_out(unstable, chgnet, name, combine, symbol, q_norm):
    settings = RepairSettings(combine_degenerate=combine)
    found = repair_structure(unstable(name), chgnet, settings)
    assert found.crystal.space_group_symbol == symbol
    assert found.crystal.formula == name
    assert np.linalg.norm(found.mode.q_point) == pytest.approx(q_norm)
    assert found.gain_mev_per_atom > 0.1
    assert ("sum of the 3 imaginary modes" in found.relation) == combine


def test_a_rough_potential_falls_about_as_fast_as_its_force_constants_say(unstable, chgnet):
    """CHGNet's energies are rough on a scale of 0.02 Å; with EMT the two agree to 2 %."""
    amplitudes = np.array([0.02, 0.03])
    mode = find_mode(unstable("BaTiO3"), chgnet, RepairSettings())
    scan = scan_mode(mode, chgnet, RepairSettings(amplitudes_angstrom=tuple(amplitudes)))
    expected = 500 * mode.curvature_ev_per_angstrom2 * amplitudes**2 / len(mode.pattern)
    assert scan.energies_mev_per_atom == pytest.approx(expected, rel=0.25)


def test_an_instability_that_the_supercell_misses_is_found_all_the_same(unstable, chgnet):
    """Three repetitions of a perovskite hold no point R."""
    structure = unstable("SrTiO3").primitive
    limits = SupercellSettings(min_length_angstrom=11.0, min_atoms=8, max_atoms=150)
    forces = compute_forces(structure, chgnet, PhononSettings(supercell=limits))
    assert np.array_equal(forces.supercell_matrix, 3 * np.eye(3))
    mode = find_mode(forces, chgnet, RepairSettings())
    exact = find_mode(unstable("SrTiO3"), chgnet, RepairSettings())
    assert mode.frequency_thz == pytest.approx(exact.frequency_thz, abs=0.01)
    assert np.array_equal(np.abs(mode.q_point), [0.5, 0.5, 0.5])


def test_a_stable_crystal_has_nothing_to_follow(emt):
    fcc = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    structure = relax(canonical_crystal(fcc).structure, emt)[0]
    with pytest.raises(NoImaginaryModeError):
        repair_structure(compute_forces(structure, emt, PHONONS), emt)


def test_an_energy_that_only_rises_is_said(bcc, emt):
    far = RepairSettings(amplitudes_angstrom=(0.6, 0.8))
    with pytest.raises(NoLowerStructureError, match="no lower structure along the mode"):
        repair_structure(bcc, emt, far)


def test_relaxing_back_is_said(bcc, emt, monkeypatch):
    def back(structure, calculator, settings):
        del structure
        return relax(bcc.primitive.copy().scale_lattice(13.0), calculator, settings)

    monkeypatch.setattr(room, "relax", back)
    with pytest.raises(RelaxedBackError):
        repair_structure(bcc, emt)


def test_relaxing_to_something_higher_is_said(bcc, emt, monkeypatch):
    def up(structure, calculator, settings):
        found, record, energy, n_calls = relax(structure, calculator, settings)
        return found, record, energy + 1.0, n_calls

    monkeypatch.setattr(room, "relax", up)
    with pytest.raises(NoLowerStructureError, match="from the undistorted one"):
        repair_structure(bcc, emt)


def test_an_unknown_element_is_refused_before_anything(bcc, emt):
    class Narrow:
        elements = frozenset({1})
        name = "narrow"

        def __getattr__(self, name):
            return getattr(emt, name)

    with pytest.raises(ElementNotInModelError):
        repair_structure(bcc, Narrow())


def test_volume_makes_no_other_crystal_but_symmetry_does():
    copper = PARENTS["Cu"]
    assert same_relaxed(copper, copper.copy().scale_lattice(copper.volume * 1.1))
    strained = copper.copy().apply_strain([0.02, 0, 0], inplace=False)
    assert not same_relaxed(copper, strained)


@pytest.mark.parametrize(
    "bad",
    [
        {"amplitudes_angstrom": ()},
        {"amplitudes_angstrom": (0.2, 0.1)},
        {"amplitudes_angstrom": (0.0, 0.1)},
        {"amplitudes_angstrom": (float("nan"),)},
        {"amplitudes_angstrom": (1.5,)},
        {"max_atoms": 0},
        {"threshold_thz": 0.1},
        {"threshold_thz": float("nan")},
        {"least_gain_mev_per_atom": -1.0},
        {"least_gain_mev_per_atom": float("nan")},
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(SettingError):
        RepairSettings(**bad)
    with pytest.raises(SettingError):
        RepairSettings.from_dict(bad)


def test_settings_survive_json():
    settings = RepairSettings(amplitudes_angstrom=(0.1, 0.3), combine_degenerate=True)
    assert RepairSettings.from_dict(settings.as_dict()) == settings
    assert settings.digest != RepairSettings().digest
    with pytest.raises(SettingError, match="amplitude_angstrom"):
        RepairSettings.from_dict({"amplitude_angstrom": 0.1})
