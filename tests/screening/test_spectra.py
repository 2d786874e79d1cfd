from __future__ import annotations

import numpy as np
import pytest

from screening.acoustic import acoustic_mask, gamma_mask
from screening.errors import SettingError
from screening.harmonic import (
    frequencies_at,
    harmonic_from_forces,
    mesh_frequencies,
    mesh_modes,
)
from screening.phonons import PhononSettings, compute_forces, force_data_from_phonopy_yaml
from screening.spectra import (
    band_structure,
    density_of_states,
    density_of_states_from_modes,
    lowest_frequency,
)

TWICE = np.diag([2, 2, 2])


@pytest.fixture
def harmonic(crystal, pair_potential):
    return harmonic_from_forces(compute_forces(crystal, pair_potential, PhononSettings(), TWICE))


def harmonic_of(structure, potential):
    return harmonic_from_forces(compute_forces(structure, potential, PhononSettings(), TWICE))


def test_density_of_states_holds_all_modes_and_its_parts_sum_up(harmonic):
    dos = density_of_states(harmonic, 25.0)
    total = np.trapezoid(dos.total_per_thz, dos.frequencies_thz)
    assert total == pytest.approx(3 * harmonic.n_atoms, rel=1e-3)
    np.testing.assert_allclose(dos.projected_per_thz.sum(axis=0), dos.total_per_thz, atol=1e-12)
    per_site = np.trapezoid(dos.projected_per_thz, dos.frequencies_thz)
    np.testing.assert_allclose(per_site, 3.0, rtol=1e-3)
    assert dos.total_per_thz.min() >= 0.0


def test_projections_on_the_reduced_mesh_are_those_of_the_full_mesh(crystals, pair_potential):
    from phonopy.harmonic.dynamical_matrix import (
        diagonalize_dynamical_matrices,
        get_dynamical_matrices_at_qpoints,
    )

    harmonic = harmonic_of(crystals["rutile"], pair_potential)
    reduced = density_of_states(harmonic, 20.0, smearing_thz=0.3)
    mesh = mesh_frequencies(harmonic, 20.0).mesh
    full = np.array(list(np.ndindex(*mesh))) / np.array(mesh)
    matrices = get_dynamical_matrices_at_qpoints(harmonic.dynamical_matrix, full)
    _, vectors = diagonalize_dynamical_matrices(matrices)
    frequencies = frequencies_at(harmonic, full)
    shares = (np.abs(vectors.reshape(len(full), 6, 3, 18)) ** 2).sum(axis=2)
    for site in range(6):
        offsets = (reduced.frequencies_thz[:, None, None] - frequencies[None]) / 0.3
        bells = np.exp(-0.5 * offsets**2) / (0.3 * np.sqrt(2 * np.pi))
        expected = (bells * shares[None, :, site]).sum(axis=(1, 2)) / len(full)
        np.testing.assert_allclose(
            reduced.projected_per_thz[site], expected, atol=0.01 * expected.max()
        )


def test_total_density_agrees_with_the_mean_square_frequency(crystals, pair_potential):
    harmonic = harmonic_of(crystals["fcc"], pair_potential)
    dos = density_of_states(harmonic, 40.0, smearing_thz=0.02)
    mesh = mesh_frequencies(harmonic, 40.0)
    mean = mesh.weights @ (mesh.frequencies_thz**2).sum(axis=1)
    moment = np.trapezoid(dos.frequencies_thz**2 * dos.total_per_thz, dos.frequencies_thz)
    assert moment == pytest.approx(mean, rel=1e-3)


def test_bands_hold_straight_named_segments(harmonic):
    bands = band_structure(harmonic, 0.03)
    assert bands.frequencies_thz.shape == (len(bands.q_points), 3 * harmonic.n_atoms)
    assert bands.labels[0][1] == "GAMMA"
    assert np.all(np.diff(bands.distances_per_angstrom) >= -1e-12)
    ends = [*bands.segment_starts[1:], len(bands.q_points)]
    names = dict(bands.labels)
    reciprocal = harmonic.primitive.lattice.reciprocal_lattice_crystallographic.matrix
    for start, end in zip(bands.segment_starts, ends, strict=True):
        steps = np.diff(bands.q_points[start:end], axis=0)
        np.testing.assert_allclose(steps, steps[:1].repeat(len(steps), 0), atol=1e-9)
        lengths = np.linalg.norm(steps @ reciprocal, axis=1)
        assert lengths.max() <= 0.03 + 1e-9
        np.testing.assert_allclose(np.diff(bands.distances_per_angstrom[start:end]), lengths)
        assert start in names
        assert end - 1 in names
    for index, name in bands.labels:
        assert (name == "GAMMA") == bool(gamma_mask(bands.q_points[index : index + 1])[0])


def test_special_points_belong_to_this_very_cell(crystals, pair_potential):
    # the three X points of a face-centred lattice are the face diagonals in this basis
    bands = band_structure(harmonic_of(crystals["rocksalt"], pair_potential))
    found = {name: bands.q_points[index] for index, name in bands.labels}
    assert sorted(np.abs(found["X"])) == pytest.approx([0.0, 0.5, 0.5])
    assert np.abs(found["L"]) == pytest.approx([0.5, 0.0, 0.0]) or np.abs(
        found["L"]
    ) == pytest.approx([0.5, 0.5, 0.5])


def test_bands_equal_direct_frequencies(crystals, pair_potential):
    harmonic = harmonic_of(crystals["wurtzite"], pair_potential)
    bands = band_structure(harmonic, 0.05)
    np.testing.assert_allclose(
        bands.frequencies_thz, frequencies_at(harmonic, bands.q_points), atol=1e-6
    )


def test_born_charges_split_the_zone_centre_by_direction(force_set):
    harmonic = harmonic_from_forces(force_data_from_phonopy_yaml(force_set("ZnO")))
    bands = band_structure(harmonic, 0.02)
    at_gamma = gamma_mask(bands.q_points)
    highest = bands.frequencies_thz[at_gamma].max(axis=1)
    assert highest.max() - highest.min() > 0.1
    without = frequencies_at(harmonic, np.zeros((1, 3)))[0].max()
    assert highest.min() > without - 1e-9
    near = frequencies_at(harmonic, np.array([[1e-4, 0.0, 0.0]]))[0]
    along = frequencies_at(harmonic, np.zeros((1, 3)), np.array([1.0, 0.0, 0.0]))[0]
    np.testing.assert_allclose(near[3:], along[3:], atol=1e-2)


def test_the_lowest_frequency_leaves_rigid_translations_out(harmonic):
    mesh, bands = mesh_frequencies(harmonic, 25.0), band_structure(harmonic, 0.05)
    found = lowest_frequency(mesh, bands)
    source = mesh if found.region == "mesh" else bands
    assert found.frequency_thz in source.frequencies_thz
    lowest = []
    for part in (mesh, bands):
        acoustic = acoustic_mask(part.frequencies_thz, gamma_mask(part.q_points))
        lowest.append(part.frequencies_thz[~acoustic].min())
    assert found.frequency_thz == pytest.approx(min(lowest), abs=2e-6)
    again = frequencies_at(harmonic, found.q_point[None])[0]
    assert np.abs(again - found.frequency_thz).min() < 1e-6
    assert lowest_frequency(mesh).region == "mesh"


def test_a_spacing_that_is_none_is_refused(crystals, pair_potential):
    with pytest.raises(SettingError):
        band_structure(harmonic_of(crystals["fcc"], pair_potential), 0.0)


def test_one_diagonalisation_gives_the_numbers_of_separate_ones(crystal, pair_potential):
    harmonic = harmonic_of(crystal, pair_potential)
    modes, mesh = mesh_modes(harmonic, 20.0), mesh_frequencies(harmonic, 20.0)
    np.testing.assert_array_equal(modes.frequencies.q_points, mesh.q_points)
    np.testing.assert_array_equal(modes.frequencies.weights, mesh.weights)
    # squares: at the zone centre the root turns rounding errors of 1e-15 into 1e-7
    found, expected = (
        f.frequencies_thz * np.abs(f.frequencies_thz) for f in (modes.frequencies, mesh)
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(modes.site_shares.sum(axis=1), 1.0, atol=1e-12)
    separate, joint = density_of_states(harmonic, 20.0), density_of_states_from_modes(modes)
    np.testing.assert_array_equal(separate.projected_per_thz, joint.projected_per_thz)


def test_batched_bands_are_those_of_the_segments_one_by_one(crystal, pair_potential):
    harmonic = harmonic_of(crystal, pair_potential)
    bands = band_structure(harmonic, 0.05)
    ends = [*bands.segment_starts[1:], len(bands.q_points)]
    for start, end in zip(bands.segment_starts, ends, strict=True):
        q_points = bands.q_points[start:end]
        alone = frequencies_at(harmonic, q_points, q_points[-1] - q_points[0])
        found = bands.frequencies_thz[start:end]
        np.testing.assert_allclose(found * np.abs(found), alone * np.abs(alone), atol=1e-9)


def test_the_path_of_a_repeated_cell_goes_through_its_own_reciprocal_lattice(
    crystals, pair_potential
):
    once = crystals["rocksalt"]
    twice = once.make_supercell([2, 1, 1], in_place=False)
    bands = band_structure(harmonic_of(twice, pair_potential), 0.1)
    single = band_structure(harmonic_of(once, pair_potential), 0.1)
    np.testing.assert_allclose(bands.distances_per_angstrom, single.distances_per_angstrom)
    every = np.sort(single.frequencies_thz, axis=1)
    for found, expected in zip(bands.frequencies_thz, every, strict=True):
        nearest = np.abs(found[:, None] - expected).min(axis=0)
        assert nearest.max() < 0.05  # THz: folded bands hold those of the single cell
