"""Forces of every mode count alike, whatever the modes are; the same cells every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from spring_crystals import MAGNESIUM, springs

from screening.calculators import load_calculator
from screening.errors import (
    ElementNotInModelError,
    NonFiniteForcesError,
    SettingError,
    TooLargeError,
    TrainingSetError,
    WrongShapeError,
)
from screening.harmonic import harmonic_from_force_constants, harmonic_from_forces
from screening.hessians import without_translations
from screening.network_potential.rattling import (
    RattlingSettings,
    rattled_cells,
    supercell_to_displace,
)
from screening.network_potential.soft_displacements import (
    SoftPairSettings,
    soft_cells,
    soft_displacements,
)
from screening.phonons import PhononSettings, compute_forces
from screening.supercell_hessian import supercell_hessian

RATTLING = RattlingSettings(n_cells=2, min_length_angstrom=5.0, max_atoms=20)
COPPER = Structure(
    Lattice(3.61 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])), ["Cu"], [[0, 0, 0]]
)
SIGMAS = 5.0
"""How far from its mean a number drawn once may lie."""


@pytest.fixture(scope="module")
def guide():
    return load_calculator("ase.calculators.emt.EMT")


@pytest.fixture(scope="module")
def copper_hessian(guide):
    supercell, matrix = supercell_to_displace(COPPER, RATTLING)
    data = compute_forces(COPPER, guide, PhononSettings(), matrix)
    return supercell_hessian(harmonic_from_forces(data), supercell)


def stiffnesses(values, n_atoms=4, seed=0):
    """Make a Hessian with these eigenvalues, and return its modes in columns as well."""
    drawn = np.random.default_rng(seed).normal(size=(3 * n_atoms, 3 * n_atoms))
    _, modes = np.linalg.eigh(without_translations(drawn + drawn.T))
    rigid = np.argsort(np.linalg.norm(modes.reshape(n_atoms, 3, -1).sum(axis=0), axis=0))
    modes = modes[:, rigid[:-3]]
    return (modes * values) @ modes.T, modes


def drawn(hessian, n_pairs, seed=0, **settings):
    generator = np.random.default_rng(seed)
    return soft_displacements(hessian, SoftPairSettings(n_pairs, **settings), generator)


def assert_white(components):
    """Check vectors for a covariance of one, given up to the length of each, shape (draw, mode)."""
    n_draws, n_modes = components.shape
    scaled = components * np.sqrt(n_modes) / np.linalg.norm(components, axis=1, keepdims=True)
    covariance = scaled.T @ scaled / n_draws
    spread = np.sqrt((1.0 + np.eye(n_modes)) / n_draws)
    assert np.all(np.abs(covariance - np.eye(n_modes)) < SIGMAS * spread)


def test_nothing_is_translated_and_the_length_is_what_was_asked(copper_hessian):
    for length in (0.03, 0.1):
        steps = drawn(copper_hessian, 20, root_mean_square_angstrom=length)
        np.testing.assert_allclose(steps.sum(axis=1), 0.0, atol=1e-14)
        np.testing.assert_allclose(np.sqrt((steps**2).sum(axis=2).mean(axis=1)), length, rtol=1e-12)


def test_the_covariance_is_that_of_the_inverse_squared():
    """Of u over |H u|, which has no other scale, times the number of modes."""
    values = np.geomspace(0.5, 20.0, 9)
    hessian, modes = stiffnesses(values)
    steps = drawn(hessian, 40_000).reshape(-1, 12)
    scaled = 3.0 * steps / np.linalg.norm(steps @ hessian, axis=1, keepdims=True)
    covariance = scaled.T @ scaled / len(steps)
    expected = (modes * values**-2) @ modes.T
    np.testing.assert_allclose(covariance, expected, atol=0.03 * np.abs(expected).max())
    assert_white(steps @ hessian @ modes)


def test_modes_that_are_soft_or_unstable_are_displaced_as_if_they_were_stiffer():
    values = np.array([-3.0, -0.1, 0.0, 1e-9, 1.0, 2.0, 4.0, 5.0, 6.0])
    hessian, modes = stiffnesses(values)
    for smallest in (0.06, 0.5):
        steps = drawn(hessian, 20_000, smallest_stiffness=smallest).reshape(-1, 12)
        median = np.median(np.abs(values))
        assert_white(steps @ modes * np.maximum(np.abs(values), smallest * median))


def test_forces_of_springs_are_white():
    matrix = np.diag([2, 2, 1])
    constants = springs(MAGNESIUM, matrix, 4.6)
    supercell = MAGNESIUM.copy().make_supercell(matrix)
    hessian = supercell_hessian(harmonic_from_force_constants(constants), supercell)
    values, modes = np.linalg.eigh(hessian)
    inner = np.abs(values) > 0.06 * np.median(np.abs(values))
    assert inner.sum() == len(values) - 3
    steps = drawn(hessian, 20_000).reshape(-1, len(values))
    assert_white(-steps @ hessian @ modes[:, inner])


def forces_by_mode(cells, guide, modes):
    """Size of the odd part of the forces in every mode over the mean one, averaged over pairs."""
    lattice, numbers = np.array(cells[0].cell_angstrom), cells[0].numbers
    positions = np.array([one.positions_angstrom for one in cells])
    forces = guide.forces(lattice, positions, numbers).reshape(len(cells), -1)
    odd = 0.5 * (forces[::2] - forces[1::2])
    odd /= np.linalg.norm(odd, axis=1, keepdims=True)
    return np.sqrt(((odd @ modes) ** 2).mean(axis=0) * modes.shape[1])


def test_forces_of_a_metal_are_white_and_those_of_random_cells_are_not(guide, copper_hessian):
    values, modes = np.linalg.eigh(copper_hessian)
    modes = modes[:, 3:]
    assert values[3] > 0.06 * np.median(values)
    soft = soft_cells(COPPER, RATTLING, SoftPairSettings(60), "Cu", guide)
    by_mode = forces_by_mode(soft, guide, modes)
    assert np.abs(by_mode - 1.0).max() < SIGMAS / np.sqrt(2 * 60)
    random = rattled_cells(COPPER, replace(RATTLING, n_cells=40), "Cu")
    by_mode = forces_by_mode(random, guide, modes)
    softest, stiffest = by_mode[:6].mean(), by_mode[-6:].mean()
    assert softest < 0.5 * stiffest


def test_halves_of_pairs_are_opposite_and_of_the_supercell_of_random_ones(guide):
    cells = soft_cells(COPPER, RATTLING, SoftPairSettings(2), "Cu", guide)
    [random, _] = rattled_cells(COPPER, replace(RATTLING, largest_strain=0.0), "Cu")
    sites = random.positions_angstrom - random.displacements_angstrom
    assert [one.pair for one in cells] == ["soft0", "soft0", "soft1", "soft1"]
    for plus, minus in zip(cells[::2], cells[1::2], strict=True):
        np.testing.assert_array_equal(plus.displacements_angstrom, -minus.displacements_angstrom)
        for one in (plus, minus):
            assert (one.material_id, one.group) == ("Cu", "Cu")
            np.testing.assert_array_equal(one.numbers, random.numbers)
            np.testing.assert_array_equal(one.cell_angstrom, random.cell_angstrom)
            np.testing.assert_allclose(
                one.positions_angstrom, sites + one.displacements_angstrom, atol=1e-12
            )


def test_the_same_gives_the_same_and_names_seeds_and_guides_give_others(guide):
    def steps(name="a", seed=0, n_pairs=2, by=guide):
        settings = replace(RATTLING, seed=seed)
        cells = soft_cells(COPPER, settings, SoftPairSettings(n_pairs), name, by)
        return np.array([one.displacements_angstrom for one in cells])

    np.testing.assert_array_equal(steps(), steps())
    np.testing.assert_array_equal(steps(n_pairs=5)[:4], steps())
    other = load_calculator("ase.calculators.lj.LennardJones(rc=6.0, sigma=2.3, smooth=True)")
    for one in (steps("b"), steps(seed=1), steps(by=other)):
        assert np.abs(one - steps()).max() > 0.001


def test_noise_of_a_machine_does_not_choose_between_modes_that_are_alike(copper_hessian):
    """Every mode of copper is one of several: their vectors are any mixture of each other."""
    values = np.linalg.eigvalsh(copper_hessian)[3:]
    assert len(np.unique(values.round(6))) <= len(values) / 3
    noise = 1e-13 * np.random.default_rng(3).normal(size=copper_hessian.shape)
    moved = drawn(copper_hessian + noise + noise.T, 3)
    np.testing.assert_allclose(moved, drawn(copper_hessian, 3), atol=1e-11)


def test_what_nothing_holds_is_refused(guide):
    alone = Structure(Lattice.cubic(12.0), ["Cu"], [[0, 0, 0]])
    with pytest.raises(TrainingSetError, match="nothing holds the atoms") as refused:
        soft_cells(
            alone, replace(RATTLING, min_length_angstrom=20.0), SoftPairSettings(), "", guide
        )
    assert refused.value.hint
    with pytest.raises(TrainingSetError, match="one atom alone"):
        soft_cells(alone, replace(RATTLING, max_atoms=1), SoftPairSettings(), "", guide)
    with pytest.raises(TooLargeError):
        soft_cells(
            COPPER * (2, 1, 1), replace(RATTLING, max_atoms=1), SoftPairSettings(), "", guide
        )


class Untouched:
    """An engine that must not be asked."""

    def forces(self, *_geometry):
        raise AssertionError


def test_an_element_that_the_guide_does_not_know_is_refused_before_anything_is_computed(guide):
    other = replace(guide, elements=frozenset({8}), engine=Untouched())
    with pytest.raises(ElementNotInModelError) as refused:
        soft_cells(COPPER, RATTLING, SoftPairSettings(), "ps-1", other)
    assert refused.value.subject == "ps-1"


@pytest.mark.parametrize(
    ("hessian", "error"),
    [
        (np.eye(4), WrongShapeError),
        (np.ones((6, 3)), WrongShapeError),
        (np.ones(9), WrongShapeError),
        (np.zeros((0, 0)), WrongShapeError),
        (np.full((6, 6), np.nan), NonFiniteForcesError),
        (np.zeros((6, 6)), TrainingSetError),
        (np.eye(3), TrainingSetError),
    ],
)
def test_what_is_no_hessian_is_refused(hessian, error):
    with pytest.raises(error) as refused:
        drawn(hessian, 1)
    assert refused.value.hint


@pytest.mark.parametrize(
    "given",
    [
        {"n_pairs": 0},
        {"root_mean_square_angstrom": 0.0},
        {"root_mean_square_angstrom": float("nan")},
        {"root_mean_square_angstrom": float("inf")},
        {"smallest_stiffness": 0.0},
        {"smallest_stiffness": 1.1},
        {"smallest_stiffness": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError) as refused:
        SoftPairSettings(**given)
    assert refused.value.hint
