from __future__ import annotations

import numpy as np
import pytest
from random_cells import real_cells

from screening.errors import SettingError
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.propagation import propagate
from screening.gaussian_process.sampled_bands import sampled_bands
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.harmonic import harmonic_from_force_constants
from screening.phonons import PhononSettings
from screening.settings import ScreeningSettings
from screening.spectra import band_structure


@pytest.fixture(scope="module")
def fit():
    return fit_force_constants(real_cells("NaCl", [0]), GaussianProcessSettings(max_order=2))


def test_draws_have_the_frequencies_that_the_mesh_of_the_same_draws_has(fit) -> None:
    bands = band_structure(harmonic_from_force_constants(fit.force_constants))
    draws = sampled_bands(fit, n_samples=4, seed=1)
    settings = ScreeningSettings(phonons=PhononSettings(mesh_length_angstrom=13.0))
    propagated = propagate(fit, settings, n_samples=4, seed=1)  # mesh of 4 points: X is on it
    at_x = next(index for index, name in bands.labels if name == "X")
    distances = np.abs(propagated.mesh.frequencies_thz - bands.frequencies_thz[at_x]).max(axis=1)
    same = int(np.argmin(distances))
    assert distances[same] < 1e-6
    for one, expected in zip(draws, propagated.sampled_frequencies_thz[:, same], strict=True):
        assert np.array_equal(one.q_points, bands.q_points)
        assert np.allclose(one.frequencies_thz[at_x], expected, atol=1e-6)
        assert np.abs(one.frequencies_thz[at_x] - bands.frequencies_thz[at_x]).max() > 1e-4


def test_draws_are_the_same_again_and_obey_the_sum_rule(fit) -> None:
    (one,), (again,) = sampled_bands(fit, 1, seed=3), sampled_bands(fit, 1, seed=3)
    assert np.array_equal(one.frequencies_thz, again.frequencies_thz)
    centre = next(index for index, name in one.labels if name == "GAMMA")
    assert np.abs(one.frequencies_thz[centre, :3]).max() < 1e-3


def test_no_draw_is_refused(fit) -> None:
    with pytest.raises(SettingError, match="0 draws"):
        sampled_bands(fit, 0)
