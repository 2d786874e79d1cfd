from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from screening.errors import SettingError, TooLargeError
from screening.gaussian_process.derivative_covariance import PolynomialKernel, RadialKernel
from screening.gaussian_process.derivative_solver import (
    DerivativeNoise,
    IterativeLimits,
    factorise,
    log_evidence,
    solve_weights,
)

KERNELS = [RadialKernel(1.1), PolynomialKernel(0.9)]
NOISE = DerivativeNoise(1e-3, 2e-3)
ITERATIVE = IterativeLimits(max_dense_rows=0, tolerance=1e-12)


def observations(n_points, dimension, *, with_energies):
    rng = np.random.default_rng(n_points)
    points = 0.5 * rng.normal(size=(n_points, dimension))
    energies = 7.0 + rng.normal(size=n_points) if with_energies else None
    return points, energies, rng.normal(size=(n_points, dimension))


def plain_covariance(kernel, points, energies):
    """Return the covariance of all data, and the vector that a constant energy adds to."""
    covariance = kernel.covariance(points, with_energies=energies is not None)
    head = 0 if energies is None else len(points)
    diagonal = np.full(len(covariance), NOISE.gradient_per_angstrom2)
    diagonal[:head] = NOISE.energy
    constant = np.zeros(len(covariance))
    constant[:head] = 1.0
    return covariance + np.diag(diagonal), constant


@pytest.mark.parametrize("limits", [IterativeLimits(), ITERATIVE], ids=["direct", "iterative"])
@pytest.mark.parametrize("with_energies", [True, False])
@pytest.mark.parametrize("kernel", KERNELS, ids=["rbf", "polynomial"])
@pytest.mark.parametrize(("n_points", "dimension"), [(3, 11), (7, 4)])
def test_solvers_agree_with_one_dense_solution(kernel, n_points, dimension, with_energies, limits):
    points, energies, gradients = observations(n_points, dimension, with_energies=with_energies)
    found = solve_weights(kernel, points, energies, gradients, NOISE, limits)
    covariance, constant = plain_covariance(kernel, points, energies)
    data = gradients.ravel()
    if energies is not None:
        data = np.concatenate([energies - found.energy_offset, data])
    expected = np.linalg.solve(covariance, data)
    np.testing.assert_allclose(found.gradient_weights.ravel(), expected[-gradients.size :], 1e-6)
    assert found.n_rows == len(data)
    assert found.quadratic == pytest.approx(data @ expected, rel=1e-9)
    if energies is not None:
        np.testing.assert_allclose(found.energy_weights, expected[:n_points], rtol=1e-6)
        assert constant @ expected == pytest.approx(0.0, abs=1e-6 * abs(expected).max())


@pytest.mark.parametrize("with_energies", [True, False])
@pytest.mark.parametrize("kernel", KERNELS, ids=["rbf", "polynomial"])
@pytest.mark.parametrize(("n_points", "dimension"), [(3, 11), (7, 4)])
def test_evidence_is_the_density_of_a_normal_distribution(
    kernel, n_points, dimension, with_energies
):
    points, energies, gradients = observations(n_points, dimension, with_energies=with_energies)
    found = solve_weights(kernel, points, energies, gradients, NOISE, IterativeLimits())
    covariance, constant = plain_covariance(kernel, points, energies)
    data = gradients.ravel() if energies is None else np.concatenate([energies, gradients.ravel()])
    expected = multivariate_normal.logpdf(data, found.energy_offset * constant, 2.5 * covariance)
    assert log_evidence(found.n_rows, found.quadratic, found.log_determinant, 2.5) == pytest.approx(
        expected, rel=1e-9
    )


def test_the_offset_of_the_energies_is_their_most_likely_constant():
    points, energies, gradients = observations(7, 4, with_energies=True)
    found = solve_weights(KERNELS[0], points, energies, gradients, NOISE, IterativeLimits())
    shifted = solve_weights(KERNELS[0], points, energies - 200, gradients, NOISE, IterativeLimits())
    assert shifted.energy_offset == pytest.approx(found.energy_offset - 200.0, abs=1e-8)
    np.testing.assert_allclose(shifted.gradient_weights, found.gradient_weights, atol=1e-7)
    covariance, constant = plain_covariance(KERNELS[0], points, energies)
    data = np.concatenate([energies, gradients.ravel()])
    offsets = found.energy_offset + np.array([-0.1, 0.0, 0.1])
    heights = [multivariate_normal.logpdf(data, one * constant, covariance) for one in offsets]
    assert heights[1] > max(heights[0], heights[2])


def test_points_in_a_plane_of_many_dimensions_cost_what_the_plane_costs():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 600))
    gradients = rng.normal(size=points.shape)
    limits = IterativeLimits(max_dense_rows=80)
    found = solve_weights(RadialKernel(20.0), points, None, gradients, NOISE, limits)
    assert found.log_determinant is not None  # 24 000 rows would not have been factorised
    _, back = RadialKernel(20.0).predict(points, points, np.zeros(40), found.gradient_weights)
    back += NOISE.gradient_per_angstrom2 * found.gradient_weights
    np.testing.assert_allclose(back, gradients, atol=1e-8)


def test_iteration_that_does_not_converge_is_refused():
    points, energies, gradients = observations(9, 5, with_energies=True)
    limits = IterativeLimits(max_dense_rows=0, tolerance=1e-12, max_iterations=3)
    with pytest.raises(TooLargeError, match="after 3 iterations"):
        solve_weights(KERNELS[0], points, energies, gradients, NOISE, limits)


def test_noise_below_rounding_acts_as_rounding():
    points, _, gradients = observations(4, 3, with_energies=False)
    points[1] = points[0]  # the same point twice: singular without noise
    points[2] = points[0]
    nothing = DerivativeNoise(1e-40, 1e-40)
    found = solve_weights(KERNELS[0], points, None, gradients, nothing, IterativeLimits())
    assert np.isfinite(found.gradient_weights).all()


def test_an_indefinite_covariance_is_refused():
    with pytest.raises(SettingError, match="not positive definite"):
        factorise(np.array([[1.0, 2.0], [2.0, 1.0]]))
