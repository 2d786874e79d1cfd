from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    SettingError,
    TooLargeError,
    WrongShapeError,
)
from screening.gaussian_process.derivative_covariance import RadialKernel
from screening.gaussian_process.derivative_fit import (
    DerivativeKernelSettings,
    best_length_scale,
    fit_derivatives,
    typical_displacement,
)
from screening.gaussian_process.derivative_solver import IterativeLimits, log_evidence

RATTLE_ANGSTROM = 0.01


class CubicCrystal:
    """An energy of exactly second and third order."""

    def __init__(self, dimension, anharmonicity, seed=0):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(dimension, dimension))
        self.second = root @ root.T / dimension + np.eye(dimension)
        third = anharmonicity * rng.normal(size=(dimension,) * 3)
        orders = list(itertools.permutations(range(3)))
        self.third = sum(third.transpose(order) for order in orders) / len(orders)

    def observe(self, n_points, seed=1):
        rng = np.random.default_rng(seed)
        points = RATTLE_ANGSTROM * rng.normal(size=(n_points, len(self.second)))
        cubic = np.einsum("ijk,nj,nk->ni", self.third, points, points)
        energies = np.sum(points * (points @ self.second / 2.0 + cubic / 6.0), axis=1)
        return points, points @ self.second + cubic / 2.0, energies


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("length_scale", ["fixed", "scaled", "evidence"])
@pytest.mark.parametrize("anharmonicity", [0.0, 0.3])
@pytest.mark.parametrize("dimension", [6, 12, 24])
def test_twice_as_many_points_as_dimensions_give_the_second_order(
    dimension, anharmonicity, length_scale
):
    crystal = CubicCrystal(dimension, anharmonicity)
    points, gradients, _ = crystal.observe(2 * dimension)
    settings = DerivativeKernelSettings(length_scale=length_scale)
    fit = fit_derivatives(points, gradients, settings)
    assert relative_error(fit.second_derivatives(), crystal.second) < 0.02


@pytest.mark.parametrize("dimension", [6, 12, 24])
def test_the_quadratic_kernel_is_exact_for_a_harmonic_energy(dimension):
    crystal = CubicCrystal(dimension, 0.0)
    settings = DerivativeKernelSettings(kernel="polynomial", polynomial_degree=2)
    fit = fit_derivatives(*crystal.observe(2 * dimension)[:2], settings)
    assert relative_error(fit.second_derivatives(), crystal.second) < 1e-8
    assert not fit.third_derivatives().any()


@pytest.mark.parametrize("dimension", [6, 8, 10])
def test_the_cubic_kernel_is_exact_from_the_number_of_points_that_counting_gives(dimension):
    crystal = CubicCrystal(dimension, 0.3)
    enough = math.ceil((dimension + 1) * (dimension + 5) / 6)
    settings = DerivativeKernelSettings(kernel="polynomial")
    fit = fit_derivatives(*crystal.observe(enough)[:2], settings)
    assert relative_error(fit.second_derivatives(), crystal.second) < 1e-6
    assert relative_error(fit.third_derivatives(), crystal.third) < 1e-6
    fewer = fit_derivatives(*crystal.observe(enough - 1)[:2], settings)
    assert relative_error(fewer.second_derivatives(), crystal.second) > 1e-3
    assert relative_error(fewer.third_derivatives(), crystal.third) > 1e-1


def test_energies_add_to_what_gradients_tell():
    crystal = CubicCrystal(6, 0.3)
    points, gradients, energies = crystal.observe(12)  # one too few with gradients alone
    settings = DerivativeKernelSettings(kernel="polynomial", noise_energy_ev=1e-10)
    with_energies = fit_derivatives(points, gradients, settings, energies)
    without = fit_derivatives(points, gradients, replace(settings, use_energies=False), energies)
    assert not without.weights.energy_weights.any()
    error = relative_error(with_energies.third_derivatives(), crystal.third)
    assert error < 0.1 * relative_error(without.third_derivatives(), crystal.third)


def test_total_energies_need_no_zero():
    crystal = CubicCrystal(6, 0.3)
    points, gradients, energies = crystal.observe(16)
    settings = DerivativeKernelSettings(kernel="polynomial")
    fit = fit_derivatives(points, gradients, settings, energies - 200.0)
    assert relative_error(fit.third_derivatives(), crystal.third) < 1e-6
    assert fit.weights.energy_offset == pytest.approx(-200.0, abs=1e-9)
    targets, expected, heights = crystal.observe(3, seed=9)
    found = fit.predict(targets)
    np.testing.assert_allclose(found[0], heights - 200.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[1], expected, rtol=0, atol=1e-9)


def test_derivatives_turn_with_the_coordinates():
    """A squared exponential prefers no direction: other coordinates bring no gain."""
    points, gradients, energies = CubicCrystal(6, 0.3).observe(9)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0]
    settings = DerivativeKernelSettings(noise_force_ev_per_angstrom=1e-5)
    plain = fit_derivatives(points, gradients, settings, energies)
    turned = fit_derivatives(points @ turn, gradients @ turn, settings, energies)
    expected = turn.T @ plain.second_derivatives() @ turn
    np.testing.assert_allclose(turned.second_derivatives(), expected, atol=1e-7)
    assert turned.log_evidence == pytest.approx(plain.log_evidence, rel=1e-8)


def test_few_points_of_many_coordinates_need_no_large_covariance():
    rng = np.random.default_rng(6)
    points, gradients = rng.normal(size=(2, 4, 600))
    limits = IterativeLimits(max_dense_rows=16)
    fit = fit_derivatives(points, gradients, DerivativeKernelSettings(limits=limits))
    assert fit.log_evidence is not None
    np.testing.assert_allclose(fit.predict(points)[1], gradients, atol=1e-5)


def sample(length_scale, seed):
    """Draw gradients from the process itself, of variance 4 eV²."""
    rng = np.random.default_rng(seed)
    points = 0.3 * rng.normal(size=(40, 3))
    covariance = 4.0 * RadialKernel(length_scale).covariance(points, with_energies=False)
    covariance += 1e-8 * np.eye(len(covariance))
    return points, (np.linalg.cholesky(covariance) @ rng.normal(size=120)).reshape(40, 3)


@pytest.mark.parametrize("truth", [0.6, 1.0, 2.0])
def test_evidence_finds_length_scale_and_variance_of_a_sample(truth):
    points, gradients = sample(truth, seed=8)
    settings = {"noise_force_ev_per_angstrom": 1e-4}
    fit = fit_derivatives(
        points, gradients, DerivativeKernelSettings(length_scale="evidence", **settings)
    )
    found = fit.kernel.length_scale_angstrom
    assert found == pytest.approx(truth, rel=0.25)
    assert 1.0 < fit.variance_ev2 < 16.0
    for factor in (0.8, 1.25):
        fixed = DerivativeKernelSettings(
            length_scale="fixed", length_scale_angstrom=factor * found, **settings
        )
        assert fit_derivatives(points, gradients, fixed).log_evidence < fit.log_evidence


def test_the_profiled_variance_is_the_most_likely_and_leaves_derivatives_alone():
    points, gradients = sample(1.0, seed=3)
    fit = fit_derivatives(points, gradients)
    weights = fit.weights
    for factor in (0.9, 1.1):
        other = log_evidence(
            weights.n_rows,
            weights.quadratic,
            weights.log_determinant,
            factor * fit.variance_ev2,
        )
        assert other < fit.log_evidence
    given = fit_derivatives(points, gradients, DerivativeKernelSettings(profile_variance=False))
    assert given.variance_ev2 == 1.0
    assert given.log_evidence < fit.log_evidence
    np.testing.assert_array_equal(given.second_derivatives(), fit.second_derivatives())


def test_the_length_scale_follows_the_displacements():
    points, gradients, _ = CubicCrystal(6, 0.0).observe(5)
    typical = typical_displacement(points)
    assert typical == pytest.approx(RATTLE_ANGSTROM * np.sqrt(6), rel=0.3)
    fit = fit_derivatives(points, gradients)
    assert fit.kernel.length_scale_angstrom == pytest.approx(10.0 * typical)
    fixed = DerivativeKernelSettings(length_scale="fixed")
    assert fit_derivatives(points, gradients, fixed).kernel.length_scale_angstrom == 0.4


def test_length_scales_without_a_covariance_are_left_out():
    def evidence(length_scale):
        if length_scale > 5.0:
            raise SettingError("no")
        return length_scale

    assert 4.0 < best_length_scale(evidence, 1.0) <= 5.0
    with pytest.raises(SettingError, match="no length scale"):
        best_length_scale(evidence, 10.0)


@pytest.mark.parametrize(
    ("points", "gradients", "energies", "error"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), None, WrongShapeError),
        (np.ones(3), np.ones(3), None, WrongShapeError),
        (np.ones((2, 3)), np.ones((2, 3)), np.ones(3), WrongShapeError),
        (np.ones((2, 3)), np.full((2, 3), np.nan), None, NonFiniteInputError),
        (np.full((2, 3), np.inf), np.ones((2, 3)), None, NonFiniteInputError),
        (np.ones((2, 3)), np.ones((2, 3)), np.array([0.0, np.nan]), NonFiniteInputError),
        (np.zeros((2, 3)), np.ones((2, 3)), None, InconsistentDataError),
        (np.ones((2, 3)), np.zeros((2, 3)), None, InconsistentDataError),
        (np.ones((0, 3)), np.ones((0, 3)), None, InconsistentDataError),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(points, gradients, energies, error):
    with pytest.raises(error):
        fit_derivatives(points, gradients, None, energies)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel": "matern"},
        {"polynomial_degree": 4},
        {"length_scale": "long"},
        {"length_scale_angstrom": 0.0},
        {"variance_ev2": np.nan},
        {"noise_energy_ev": -1.0},
        {"noise_force_ev_per_angstrom": np.inf},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError) as error:
        DerivativeKernelSettings(**wrong)
    assert error.value.subject in wrong


def test_the_evidence_of_what_only_iteration_solves_is_refused():
    points, gradients, _ = CubicCrystal(6, 0.3).observe(5)
    settings = DerivativeKernelSettings(
        length_scale="evidence",
        noise_force_ev_per_angstrom=1e-2,
        limits=IterativeLimits(max_dense_rows=10, tolerance=1e-6),
    )
    with pytest.raises(TooLargeError, match="dense covariance"):
        fit_derivatives(points, gradients, settings)
