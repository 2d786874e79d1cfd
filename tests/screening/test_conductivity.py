from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from spring_crystals import CUBE, MAGNESIUM, NICKEL, ROCKSALT, reordered, springs

from screening import units
from screening.anharmonic import ForceConstants
from screening.conductivity import (
    ConductivityMethod,
    ConductivitySettings,
    ModeCoordinate,
    cumulative_conductivity,
    thermal_conductivity,
)
from screening.conductivity_checks import check_collision_memory, check_scattered
from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    SettingError,
    TooLargeError,
    WrongShapeError,
)
from screening.harmonic import frequencies_at, harmonic_from_force_constants

COARSE = ConductivitySettings(mesh=(4, 4, 4))
PURE = replace(COARSE, isotopes=False)
SI_PER_MODE = units.EV_TO_JOULE * 1e22  # eV/K Å^2/ps / Å^3 in W/m/K


def turned(constants: ForceConstants, rotation: np.ndarray) -> ForceConstants:
    primitive = constants.primitive
    lattice = primitive.lattice.matrix @ rotation.T
    second, third = (
        constants.second_order_ev_per_angstrom2,
        constants.third_order_ev_per_angstrom3,
    )
    r = rotation
    return replace(
        constants,
        primitive=Structure(lattice, primitive.species, primitive.frac_coords),
        second_order_ev_per_angstrom2=np.einsum("ai,bj,stij->stab", r, r, second),
        third_order_ev_per_angstrom3=np.einsum(
            "ai,bj,ck,stuijk->stuabc", r, r, r, third, optimize=True
        ),
    )


@pytest.fixture(scope="module")
def nickel() -> ForceConstants:
    return springs(NICKEL, 2 * CUBE, 3.0)


@pytest.fixture(scope="module")
def rocksalt() -> ForceConstants:
    return springs(ROCKSALT, 2 * CUBE, 4.2)


@pytest.fixture(scope="module")
def magnesium() -> ForceConstants:
    return springs(MAGNESIUM, np.diag([3, 3, 2]), 3.3)


def kappa(constants, settings=COARSE, **others):
    return thermal_conductivity(constants, settings, **others).conductivity_w_per_m_k


def test_the_tensor_has_the_symmetry_of_the_crystal(nickel, magnesium):
    cubic = kappa(nickel)[0]
    np.testing.assert_allclose(cubic, cubic[0, 0] * np.eye(3), atol=1e-10 * cubic[0, 0])
    hexagonal = kappa(magnesium)[0]
    expected = np.diag([hexagonal[0, 0], hexagonal[0, 0], hexagonal[2, 2]])
    np.testing.assert_allclose(hexagonal, expected, atol=1e-10 * hexagonal[0, 0])
    assert abs(hexagonal[2, 2] / hexagonal[0, 0] - 1.0) > 0.01


def test_the_tensor_turns_with_the_crystal(magnesium):
    rotation = Rotation.from_rotvec([0.3, -0.7, 0.4]).as_matrix()
    np.testing.assert_allclose(
        kappa(turned(magnesium, rotation))[0],
        rotation @ kappa(magnesium)[0] @ rotation.T,
        rtol=0.0,
        atol=1e-8,
    )


@pytest.mark.parametrize("name", ["rocksalt", "magnesium"])
def test_the_order_of_atoms_does_not_matter(name, request):
    constants = request.getfixturevalue(name)
    order = np.random.default_rng(3).permutation(len(constants.supercell_numbers))
    np.testing.assert_allclose(
        kappa(reordered(constants, order)), kappa(constants), rtol=1e-8, atol=1e-9
    )


def test_the_order_and_origin_of_sites_do_not_matter(rocksalt):
    swapped = Structure(
        ROCKSALT.lattice,
        ROCKSALT.species[::-1],
        ROCKSALT.frac_coords[::-1] + np.array([0.13, -0.4, 2.2]),
    )
    np.testing.assert_allclose(
        kappa(springs(swapped, 2 * CUBE, 4.2)), kappa(rocksalt), rtol=1e-8, atol=1e-9
    )


def test_running_twice_gives_the_same_bits(rocksalt):
    np.testing.assert_array_equal(kappa(rocksalt), kappa(rocksalt))


def test_modes_sum_to_the_conductivity(rocksalt):
    """The sum over modes of heat capacity, squared velocity and lifetime, written out here."""
    for method in ConductivityMethod:
        result = thermal_conductivity(rocksalt, replace(COARSE, method=method))
        modes = result.mode_conductivities_w_per_m_k
        np.testing.assert_allclose(modes.sum((1, 2)), result.conductivity_w_per_m_k, rtol=1e-10)
        speeds = (result.group_velocities_angstrom_per_ps**2).sum(axis=2)
        carried = result.heat_capacities_ev_per_k * speeds * result.lifetimes_ps
        whole = (result.weights[:, None] * carried).sum((1, 2)) / (3.0 * ROCKSALT.volume)
        relaxed = np.trace(result.relaxation_time_conductivity_w_per_m_k, axis1=1, axis2=2) / 3.0
        np.testing.assert_allclose(whole * SI_PER_MODE, relaxed, rtol=1e-5)


def test_every_point_of_the_mesh_counts_once(rocksalt):
    result = thermal_conductivity(rocksalt, COARSE)
    stands_for = result.weights * 64
    np.testing.assert_allclose(stands_for, np.rint(stands_for))
    assert result.weights.sum() == pytest.approx(1.0)
    assert result.mesh == (4, 4, 4)
    harmonic = harmonic_from_force_constants(rocksalt)
    frequencies = frequencies_at(harmonic, result.q_points)
    np.testing.assert_allclose(result.frequencies_thz, np.maximum(frequencies, 0.0), atol=1e-5)
    assert np.count_nonzero(result.frequencies_thz == 0.0) == 3


def test_linewidth_and_lifetime_belong_together(rocksalt):
    result = thermal_conductivity(rocksalt, COARSE)
    scattered = result.linewidths_thz > 0.0
    np.testing.assert_allclose(
        result.lifetimes_ps[scattered] * 4.0 * np.pi * result.linewidths_thz[scattered], 1.0
    )
    assert not result.lifetimes_ps[~scattered].any()
    assert not result.conductivity_w_per_m_k.flags.writeable


def test_third_order_scales_the_conductivity_by_its_inverse_square(nickel):
    twice = replace(nickel, third_order_ev_per_angstrom3=-2.0 * nickel.third_order_ev_per_angstrom3)
    np.testing.assert_allclose(4.0 * kappa(twice, PURE), kappa(nickel, PURE), rtol=1e-10, atol=1e-9)


def test_hot_crystals_conduct_as_the_inverse_of_temperature(nickel):
    hot = replace(PURE, temperatures_k=(300.0, 5000.0, 10000.0))
    values = kappa(nickel, hot)[:, 0, 0]
    assert values[0] > values[1] > values[2]
    assert values[1] / values[2] == pytest.approx(2.0, rel=1e-3)


def test_isotopes_lower_the_conductivity(rocksalt):
    natural, pure = (thermal_conductivity(rocksalt, s) for s in (COARSE, PURE))
    assert natural.conductivity_w_per_m_k[0, 0, 0] < pure.conductivity_w_per_m_k[0, 0, 0]
    assert natural.isotope_linewidths_thz.max() > 0.0
    assert not pure.isotope_linewidths_thz.any()
    np.testing.assert_allclose(
        natural.linewidths_thz - natural.isotope_linewidths_thz, pure.linewidths_thz, atol=1e-12
    )


def test_one_isotope_scatters_nothing():
    sodium = Structure(NICKEL.lattice, ["Na"], NICKEL.frac_coords)
    constants = springs(sodium, 2 * CUBE, 3.0)
    np.testing.assert_allclose(kappa(constants, COARSE), kappa(constants, PURE), rtol=1e-12)


def test_elements_without_natural_isotopes_are_named():
    technetium = springs(Structure(NICKEL.lattice, ["Tc"], NICKEL.frac_coords), 2 * CUBE, 3.0)
    with pytest.raises(SettingError, match="Tc has no natural isotopes"):
        thermal_conductivity(technetium, COARSE)
    assert kappa(technetium, PURE)[0, 0, 0] > 0.0


def test_near_boundaries_limit_every_mean_free_path(nickel):
    length_micrometre = 1e-6
    near = replace(PURE, boundary_mean_free_path_micrometre=length_micrometre)
    result = thermal_conductivity(nickel, near)
    moves = np.linalg.norm(result.group_velocities_angstrom_per_ps, axis=2) > 1.0
    paths = result.mean_free_paths_angstrom[:, moves]
    np.testing.assert_allclose(paths, length_micrometre * 1e4, rtol=1e-2)
    assert result.conductivity_w_per_m_k[0, 0, 0] < kappa(nickel, PURE)[0, 0, 0]


def test_the_direct_solution_is_above_the_relaxation_time_one(rocksalt):
    relaxed = replace(PURE, mesh=(5, 5, 5), temperatures_k=(200.0, 600.0))
    result = thermal_conductivity(rocksalt, replace(relaxed, method="direct"))
    lower = result.relaxation_time_conductivity_w_per_m_k
    np.testing.assert_allclose(lower, kappa(rocksalt, relaxed), rtol=1e-8, atol=1e-9)
    assert np.all(result.conductivity_w_per_m_k[:, 0, 0] > 1.1 * lower[:, 0, 0])


def test_a_larger_supercell_may_give_the_second_order(nickel):
    larger = replace(springs(NICKEL, 3 * CUBE, 3.0), third_order_ev_per_angstrom3=None)
    np.testing.assert_allclose(
        kappa(nickel, second_order=larger), kappa(nickel), rtol=1e-8, atol=1e-9
    )
    stiffer = replace(
        larger, second_order_ev_per_angstrom2=2.0 * larger.second_order_ev_per_angstrom2
    )
    assert kappa(nickel, second_order=stiffer)[0, 0, 0] > 2.0 * kappa(nickel)[0, 0, 0]


def test_born_charges_split_the_optical_modes_as_in_the_harmonic_crystal(rocksalt):
    charges = np.array([np.eye(3), -np.eye(3)])
    polar = replace(rocksalt, born_charges_e=charges, dielectric_constant=2.5 * np.eye(3))
    result = thermal_conductivity(polar, COARSE)
    expected = frequencies_at(harmonic_from_force_constants(polar), result.q_points)
    np.testing.assert_allclose(result.frequencies_thz, np.maximum(expected, 0.0), atol=1e-5)
    plain = thermal_conductivity(rocksalt, COARSE)
    assert np.abs(result.frequencies_thz - plain.frequencies_thz).max() > 0.5
    bare = replace(rocksalt, third_order_ev_per_angstrom3=None)
    np.testing.assert_allclose(
        kappa(polar, second_order=bare), result.conductivity_w_per_m_k, rtol=1e-10
    )


@pytest.mark.parametrize("coordinate", ModeCoordinate)
def test_the_cumulative_conductivity_ends_at_the_whole(rocksalt, coordinate):
    result = thermal_conductivity(rocksalt, COARSE)
    grown = cumulative_conductivity(result, coordinate)
    assert np.all(np.diff(grown.coordinate) >= 0.0)
    assert np.all(np.diff(np.trace(grown.conductivity_w_per_m_k, axis1=1, axis2=2)) >= -1e-12)
    np.testing.assert_allclose(
        grown.conductivity_w_per_m_k[-1], result.conductivity_w_per_m_k[0], rtol=1e-10, atol=1e-12
    )


def test_it_says_nothing_writes_nothing_and_reports_progress(nickel, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps: list[tuple[int, int]] = []
    result = thermal_conductivity(
        nickel, COARSE, progress=lambda done, of: steps.append((done, of))
    )
    n_points = len(result.weights)
    assert steps == [(done, n_points) for done in range(1, n_points + 1)]
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_mesh_length_gives_a_mesh_that_keeps_the_symmetry(nickel):
    assert thermal_conductivity(nickel, ConductivitySettings(mesh_length_angstrom=9.0)).mesh == (
        4,
        4,
        4,
    )
    tetragonal = Structure(
        Lattice([[-1.5, 1.5, 2.6], [1.5, -1.5, 2.6], [1.5, 1.5, -2.6]]), ["Ni"], [[0, 0, 0]]
    )
    result = thermal_conductivity(
        springs(tetragonal, 2 * CUBE, 3.8), ConductivitySettings(mesh_length_angstrom=12.0)
    )
    tensor = result.conductivity_w_per_m_k[0]
    np.testing.assert_allclose(tensor, np.diag(tensor.diagonal()), atol=1e-9 * tensor[0, 0])
    assert tensor[0, 0] == pytest.approx(tensor[1, 1], rel=1e-9)


def test_a_mesh_that_breaks_the_symmetry_is_refused(magnesium):
    with pytest.raises(SettingError, match="breaks the symmetry"):
        thermal_conductivity(magnesium, ConductivitySettings(mesh=(4, 5, 4)))


def test_force_constants_without_third_order_are_refused(nickel):
    third = nickel.third_order_ev_per_angstrom3
    with pytest.raises(InconsistentDataError, match="no third-order"):
        thermal_conductivity(replace(nickel, third_order_ev_per_angstrom3=None))
    with pytest.raises(InconsistentDataError, match="never scatter"):
        thermal_conductivity(replace(nickel, third_order_ev_per_angstrom3=0.0 * third))
    with pytest.raises(WrongShapeError, match="third_order"):
        thermal_conductivity(replace(nickel, third_order_ev_per_angstrom3=third[:, 1:]))
    with pytest.raises(NonFiniteInputError):
        thermal_conductivity(replace(nickel, third_order_ev_per_angstrom3=third * np.nan))


def test_second_order_of_another_crystal_is_refused(nickel, rocksalt):
    with pytest.raises(InconsistentDataError, match="different primitive cells"):
        thermal_conductivity(nickel, COARSE, second_order=rocksalt)
    with pytest.raises(WrongShapeError, match="second_order"):
        thermal_conductivity(replace(nickel, second_order_ev_per_angstrom2=np.zeros((2, 3, 3, 3))))


def test_a_supercell_that_repeats_another_cell_is_refused(nickel):
    moved = nickel.supercell_scaled_positions + np.array([0.01, 0.02, 0.03]) * np.arange(
        len(nickel.supercell_numbers)
    ).reshape(-1, 1)
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        thermal_conductivity(replace(nickel, supercell_scaled_positions=moved), COARSE)


def test_imaginary_modes_are_refused_with_the_worst_one(nickel):
    unstable = replace(nickel, second_order_ev_per_angstrom2=-nickel.second_order_ev_per_angstrom2)
    harmonic = harmonic_from_force_constants(unstable)
    worst = frequencies_at(harmonic, thermal_conductivity(nickel, COARSE).q_points).min()
    with pytest.raises(InconsistentDataError, match=rf"{worst:.3f} THz") as refused:
        thermal_conductivity(unstable, COARSE)
    assert refused.value.hint


def test_modes_without_restoring_force_are_refused():
    chain = Structure(Lattice.tetragonal(6.0, 2.5), ["Ni"], [[0, 0, 0]])
    with pytest.raises(InconsistentDataError, match="allows no thermal conductivity"):
        thermal_conductivity(springs(chain, np.diag([2, 2, 4]), 3.0), COARSE)


def test_a_broken_sum_rule_is_refused(nickel):
    broken = nickel.second_order_ev_per_angstrom2.copy()
    broken[:, 0] *= 1.2
    with pytest.raises(InconsistentDataError, match="rigid translation"):
        thermal_conductivity(replace(nickel, second_order_ev_per_angstrom2=broken), COARSE)


def test_a_conductivity_that_no_crystal_has_is_refused(nickel):
    weak = replace(nickel, third_order_ev_per_angstrom3=1e-4 * nickel.third_order_ev_per_angstrom3)
    with pytest.raises(InconsistentDataError, match="third-order force constants near zero"):
        thermal_conductivity(weak, PURE)


def test_modes_that_nothing_scatters_are_refused():
    frequencies, q_points = np.array([[0.0, 2.0, 3.0]]), np.array([[0.5, 0.0, 0.25]])
    velocities = np.array([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]])
    capacities = np.ones((1, 1, 3))
    check_scattered(frequencies, velocities, capacities, np.array([[[0.0, 0.1, 0.0]]]), q_points)
    with pytest.raises(InconsistentDataError, match=r"1 of 1 .* 2.000 THz at \[0.5, 0.0, 0.25\]"):
        check_scattered(frequencies, velocities, capacities, np.zeros((1, 1, 3)), q_points)


def test_direct_solutions_that_do_not_fit_are_refused():
    with pytest.raises(TooLargeError, match="60 GiB"):
        check_collision_memory(30_000, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mesh_length_angstrom", 0.0),
        ("mesh_length_angstrom", np.nan),
        ("mesh", (3, 3)),
        ("mesh", (3, 3, 0)),
        ("mesh", (3.5, 3, 3)),
        ("temperatures_k", ()),
        ("temperatures_k", (0.0,)),
        ("temperatures_k", (300.0, np.inf)),
        ("method", "exact"),
        ("boundary_mean_free_path_micrometre", -1.0),
        ("symprec_angstrom", 0.0),
    ],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(SettingError) as refused:
        ConductivitySettings(**{field: value})
    assert refused.value.subject == field
