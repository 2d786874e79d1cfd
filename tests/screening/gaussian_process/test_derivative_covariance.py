from __future__ import annotations

import numpy as np
import pytest

from screening.gaussian_process.derivative_covariance import PolynomialKernel, RadialKernel

torch = pytest.importorskip("torch")

LENGTH = 1.3
DIMENSION = 4


def radial(x, y):
    return torch.exp(-((x - y) ** 2).sum() / (2.0 * LENGTH**2))


def cubic(x, y):
    scaled = (x * y).sum() / LENGTH**2
    return scaled**2 / 2.0 + scaled**3 / 6.0


def quadratic(x, y):
    return ((x * y).sum() / LENGTH**2) ** 2 / 2.0


KERNELS = [
    pytest.param(RadialKernel(LENGTH), radial, id="rbf"),
    pytest.param(PolynomialKernel(LENGTH), cubic, id="cubic"),
    pytest.param(PolynomialKernel(LENGTH, degree=2), quadratic, id="quadratic"),
]


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(5, DIMENSION))
    return points, rng.normal(size=5), rng.normal(size=(5, DIMENSION))


def energy_of(function, points, energy_weights, gradient_weights):
    """Return the predicted energy as a function that torch can differentiate."""
    points, heads, vectors = map(torch.tensor, (points, energy_weights, gradient_weights))

    def energy(x):
        total = torch.zeros((), dtype=torch.float64)
        for point, head, vector in zip(points, heads, vectors, strict=True):
            leaf = point.clone().requires_grad_()
            value = function(x, leaf)
            (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
            total = total + head * value + (slope * vector).sum()
        return total

    return energy


@pytest.mark.parametrize(("kernel", "function"), KERNELS)
def test_derivatives_equal_nested_automatic_differentiation(kernel, function, data):
    energy, origin = energy_of(function, *data), torch.zeros(DIMENSION, dtype=torch.float64)
    rows, identity = np.array([0, 3]), np.eye(DIMENSION)

    def hessian(x):
        return torch.autograd.functional.hessian(energy, x, create_graph=True)

    second = torch.autograd.functional.hessian(energy, origin).numpy()
    third = torch.autograd.functional.jacobian(hessian, origin).numpy()
    found = kernel.second_derivatives(*data, rows, identity)
    np.testing.assert_allclose(found, second[rows], rtol=0, atol=1e-12)
    found = kernel.third_derivatives(*data, rows, identity)
    np.testing.assert_allclose(found, third[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "function"), KERNELS)
def test_every_block_of_the_covariance_is_a_derivative_of_the_kernel(kernel, function, data):
    points = data[0]
    covariance = kernel.covariance(points, with_energies=True)
    for n, first in enumerate(torch.tensor(points)):
        for k, second in enumerate(torch.tensor(points)):
            both = torch.autograd.functional.hessian(function, (first, second))
            slopes = torch.autograd.functional.jacobian(function, (first, second))
            here = slice(5 + n * DIMENSION, 5 + (n + 1) * DIMENSION)
            there = slice(5 + k * DIMENSION, 5 + (k + 1) * DIMENSION)
            np.testing.assert_allclose(covariance[n, k], function(first, second), atol=1e-13)
            np.testing.assert_allclose(covariance[here, there], both[0][1], atol=1e-13)
            np.testing.assert_allclose(covariance[here, k], slopes[0], atol=1e-13)
            np.testing.assert_allclose(covariance[n, there], slopes[1], atol=1e-13)
    np.testing.assert_array_equal(
        covariance[5:, 5:], kernel.covariance(points, with_energies=False)
    )
    assert kernel.energy_variance(points) == pytest.approx(np.diag(covariance)[:5].max(), rel=1e-14)


@pytest.mark.parametrize(("kernel", "function"), KERNELS)
def test_predictions_equal_products_with_the_covariance(kernel, function, data):
    points, energy_weights, gradient_weights = data
    energies, gradients = kernel.predict(points, *data)
    weights = np.concatenate([energy_weights, gradient_weights.ravel()])
    product = kernel.covariance(points, with_energies=True) @ weights
    np.testing.assert_allclose(np.concatenate([energies, gradients.ravel()]), product, atol=1e-12)
    target = np.full((1, DIMENSION), 0.3)
    energy = energy_of(function, *data)(torch.tensor(target[0])).item()
    assert kernel.predict(target, *data)[0][0] == pytest.approx(energy, abs=1e-12)


@pytest.mark.parametrize(("kernel", "function"), KERNELS)
def test_across_the_span_of_the_points_only_the_coupling_is_left(kernel, function, data):
    del function
    points = np.pad(data[0], ((0, 0), (0, 1)))
    across = np.arange(DIMENSION, points.size, DIMENSION + 1)
    covariance = kernel.covariance(points, with_energies=False)
    coupling = kernel.gradient_coupling(points)
    np.testing.assert_allclose(covariance[np.ix_(across, across)], coupling, rtol=1e-14)
    covariance[np.ix_(across, across)] = 0.0
    assert not covariance[across].any()
