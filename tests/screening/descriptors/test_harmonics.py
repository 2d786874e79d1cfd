"""Spherical harmonics: the addition theorem, and the poles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial.legendre import legvander

from screening.descriptors.harmonics import degrees, squared_norms, unnormalised_harmonics


def _units(n_vectors: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(3, n_vectors))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0))


@pytest.mark.parametrize("l_max", [0, 1, 2, 10, 20])
def test_the_addition_theorem_holds(l_max: int) -> None:
    first, second = _units(30, 0), _units(30, 1)
    first[:, 0], second[:, 0] = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)
    products = unnormalised_harmonics(first, l_max) * unnormalised_harmonics(second, l_max)
    products *= squared_norms(l_max)[:, None]
    degree = degrees(l_max)
    sums = np.array([products[degree == one].sum(axis=0) for one in range(l_max + 1)])
    expected = legvander((first * second).sum(axis=0), l_max).T
    np.testing.assert_allclose(sums, expected, atol=1e-11)


def test_harmonics_are_orthogonal() -> None:
    angles, weights = np.polynomial.legendre.leggauss(8)
    turns = 2.0 * np.pi * np.arange(16) / 16
    z, turn = np.repeat(angles, 16), np.tile(turns, 8)
    sine = np.sqrt(1.0 - z**2)
    found = unnormalised_harmonics(np.array([sine * np.cos(turn), sine * np.sin(turn), z]), 5)
    overlap = (found * np.repeat(weights, 16) / 32.0) @ found.T
    norms = 1.0 / ((2 * degrees(5) + 1) * squared_norms(5))
    np.testing.assert_allclose(overlap, np.diag(norms), atol=1e-14)
