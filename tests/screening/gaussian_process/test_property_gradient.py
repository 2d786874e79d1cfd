from __future__ import annotations

import numpy as np
import pytest
from random_cells import real_cells

from screening.errors import SettingError
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.mode_response import mode_response
from screening.gaussian_process.property_gradient import property_gradient
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.harmonic import MeshFrequencies
from screening.quantities import Quantity
from screening.spectra import lowest_frequency
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics


@pytest.fixture(scope="module")
def fit():
    """Sodium chloride, with Born charges and many degenerate modes."""
    return fit_force_constants(real_cells("NaCl", [0]), GaussianProcessSettings(max_order=2))


@pytest.fixture(scope="module")
def response(fit):
    return mode_response(fit, 25.0)


def evaluate(response, frequencies, quantity, policy):
    mesh = response.mesh
    if quantity.temperature_k is None:
        found = MeshFrequencies(frequencies, mesh.weights, mesh.q_points, mesh.mesh)
        return lowest_frequency(found).frequency_thz
    settings = ThermodynamicsSettings((quantity.temperature_k,), policy)
    n_atoms = response.harmonic.n_atoms
    result = thermodynamics(frequencies, mesh.weights, n_atoms, settings, is_gamma=mesh.is_gamma)
    names = [name for name in vars(result) if name.startswith(quantity.kind.value)]
    return float(getattr(result, names[0])[0])


@pytest.mark.parametrize("policy", ["drop", "renormalise"])
@pytest.mark.parametrize(
    "name",
    [
        "free_energy_0k_mev_per_atom",
        "free_energy_300k_mev_per_atom",
        "entropy_300k_mev_per_k_per_atom",
        "heat_capacity_80k_mev_per_k_per_atom",
        "heat_capacity_1p5k_mev_per_k_per_atom",
        "lowest_frequency_thz",
    ],
)
def test_gradients_are_those_of_small_changes(fit, response, name, policy) -> None:
    quantity = Quantity.parse(name)
    gradient = property_gradient(response, quantity, ThermodynamicsSettings(low_mode_policy=policy))
    basis = fit.basis.order(2)
    generator = np.random.default_rng(0)
    for _ in range(3):
        direction = basis.allowed(generator.standard_normal(basis.n_columns))
        step = 1e-3 / np.linalg.norm(direction)
        up, down = response.frequencies_thz(step * np.column_stack([direction, -direction]))
        expected = evaluate(response, up, quantity, policy) - evaluate(
            response, down, quantity, policy
        )
        scale = step * np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert 2.0 * step * gradient @ direction == pytest.approx(expected, abs=1e-4 * scale)


def test_nothing_moves_at_zero_temperature_but_the_energy(response) -> None:
    for name in ("entropy_0k_mev_per_k_per_atom", "heat_capacity_0k_mev_per_k_per_atom"):
        assert not property_gradient(response, Quantity.parse(name)).any()


def test_properties_of_two_crystals_are_refused(response) -> None:
    quantity = Quantity.parse("free_energy_difference_300k_mev_per_atom")
    with pytest.raises(SettingError, match="two crystals"):
        property_gradient(response, quantity)


def test_low_modes_at_half_the_mean_are_refused(response) -> None:
    settings = ThermodynamicsSettings(low_mode_policy="half_mean_optical")
    with pytest.raises(SettingError, match="half the mean"):
        property_gradient(response, Quantity.parse("entropy_300k_mev_per_k_per_atom"), settings)


@pytest.mark.parametrize("policy", ["drop", "renormalise"])
def test_nothing_is_summed_where_all_modes_are_low(response, policy) -> None:
    settings = ThermodynamicsSettings(low_mode_policy=policy, cutoff_thz=99.0)
    gradient = property_gradient(
        response, Quantity.parse("entropy_300k_mev_per_k_per_atom"), settings
    )
    assert np.array_equal(gradient, np.zeros_like(gradient))
