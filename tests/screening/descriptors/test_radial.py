"""Radial functions: orthonormal, smooth at the cutoff, the same for every cutoff."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

from screening.descriptors.radial import (
    MOST_RADIAL,
    cutoff_function,
    radial_coefficients,
    radial_functions,
)


def _grid(cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    points, weights = leggauss(80)
    return 0.5 * cutoff * (points + 1.0), 0.5 * cutoff * weights


@pytest.mark.parametrize(
    ("n_radial", "cutoff"), [(1, 5.0), (8, 2.5), (20, 2.5), (20, 5.0), (MOST_RADIAL, 5.0)]
)
def test_radial_functions_are_orthonormal(n_radial: int, cutoff: float) -> None:
    distances, weights = _grid(cutoff)
    functions = radial_functions(distances, n_radial, cutoff)
    overlap = (functions * weights) @ functions.T
    np.testing.assert_allclose(overlap, np.eye(n_radial), atol=1e-8)


def test_two_functions_are_those_of_the_closed_form() -> None:
    """The root of a matrix of two rows is known: S^-1/2 = (S + sqrt(det) 1)^-1 times a number."""
    overlap = np.array([[1.0, np.sqrt(63.0) / 8.0], [np.sqrt(63.0) / 8.0, 1.0]])
    values, vectors = np.linalg.eigh(overlap)
    root = (vectors / np.sqrt(values)) @ vectors.T
    distances = np.linspace(0.0, 5.0, 50)
    powers = np.array([5.0 - distances, 5.0 - distances])
    powers **= np.array([[3.0], [4.0]])
    norms = np.sqrt(np.array([5.0**7 / 7.0, 5.0**9 / 9.0]))[:, None]
    np.testing.assert_allclose(
        radial_functions(distances, 2, 5.0), root @ (powers / norms), atol=1e-12
    )


def test_radial_functions_end_flat() -> None:
    step = 1e-3
    last = radial_functions(np.array([5.0, 5.0 - step]), 20, 5.0)
    np.testing.assert_allclose(last[:, 0], 0.0, atol=1e-12)
    assert np.abs(last[:, 1]).max() < 0.1  # third order, with large factors
    assert cutoff_function(np.array([0.0, 2.5, 5.0]), 5.0) == pytest.approx([1.0, 0.5, 0.0])


def test_coefficients_are_kept_and_cannot_be_changed() -> None:
    kept = radial_coefficients(20)
    assert radial_coefficients(20) is kept
    assert kept.shape == (20, 23)
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1.0
