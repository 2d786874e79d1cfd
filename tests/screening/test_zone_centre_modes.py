from __future__ import annotations

import numpy as np
import pytest
from random_springs import spring_crystals, spring_harmonic, trained_on_springs

from screening.harmonic import harmonic_from_force_constants, mesh_frequencies
from screening.hessians import zone_centre_hessian
from screening.random_forest.model import RandomForestForceConstants
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.zone_centre_modes import (
    mesh_thermodynamics,
    replace_low_modes,
    spectrum_moments,
    zone_centre_thermodynamics,
)


def test_low_modes_get_half_of_the_mean_of_the_others():
    frequencies = np.array([-3.0, 0.0, 0.0, 0.05, 4.0, 8.0])
    np.testing.assert_array_equal(replace_low_modes(frequencies), [3.0, 3.0, 3.0, 3.0, 4.0, 8.0])
    np.testing.assert_array_equal(
        replace_low_modes(frequencies, 0.01)[3:], [3.0, 4.0, 8.0]
    )  # below one hundredth of the highest
    np.testing.assert_array_equal(replace_low_modes(np.zeros(3)), np.zeros(3))
    moments = spectrum_moments(frequencies)
    assert moments.mean_thz == pytest.approx(4.0)
    assert moments.standard_deviation_thz == pytest.approx(np.sqrt(20.0 / 6.0))
    assert moments.rad_per_ps == pytest.approx(
        (8.0 * np.pi, 2.0 * np.pi * np.sqrt(20.0 / 6.0), 16.0 * np.pi)
    )


@pytest.mark.parametrize("n_clipped", [0, 2])
def test_thermodynamics_of_the_zone_centre_sums_the_replaced_modes(n_clipped):
    frequencies = np.r_[np.zeros(3 + n_clipped), np.linspace(2.0, 14.0, 27 - n_clipped)]
    settings = ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 1000.0))
    found = zone_centre_thermodynamics(frequencies, 10, settings)
    modes = replace_low_modes(frequencies, settings.cutoff_thz)[None]
    expected = thermodynamics(modes, np.ones(1), 10, settings, is_gamma=np.array([False]))
    for name in ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    assert found.low_mode_policy == "half_mean_optical"
    assert found.dropped_weight == pytest.approx(n_clipped / 30)
    assert found.valid == (n_clipped == 0)


def test_mesh_thermodynamics_are_those_of_all_wave_vectors():
    one = spring_crystals(1)[0]
    harmonic = spring_harmonic(one.structure)
    centre = zone_centre_hessian(harmonic, material_id="x").hessian_ev_per_angstrom2
    np.testing.assert_allclose(centre, one.hessian_ev_per_angstrom2, atol=1e-8)
    found = mesh_thermodynamics(harmonic, 12.0)
    mesh = mesh_frequencies(harmonic, 12.0)
    assert len(mesh.weights) > 1
    expected = thermodynamics(mesh.frequencies_thz, mesh.weights, 6, is_gamma=mesh.is_gamma)
    np.testing.assert_array_equal(found.free_energy_mev_per_atom, expected.free_energy_mev_per_atom)


def test_forces_of_one_cell_have_no_mesh():
    model = RandomForestForceConstants.from_trained(trained_on_springs())
    constants = model.force_constants(spring_crystals(1)[0].structure, np.eye(3, dtype=np.int64))
    assert mesh_thermodynamics(harmonic_from_force_constants(constants)) is None
