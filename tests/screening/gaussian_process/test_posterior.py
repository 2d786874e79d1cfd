from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from random_cells import MATRICES, polynomial_forces, random_amplitudes, undisplaced
from scipy.linalg import null_space

from screening.errors import InconsistentDataError
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.observations import Hyperparameters, Observations
from screening.gaussian_process.posterior import PriorMean, posterior_of
from screening.gaussian_process.prior import Decay, Locality, OrderPrior, OrderScale

SCALES = tuple(OrderScale(order, float(order), 2.0) for order in (1, 2, 3))
PARAMETERS = Hyperparameters(SCALES, float(np.log(1e-4)), 1e-3)
MEAN_SCALE_STD = 0.3


@pytest.fixture(scope="module")
def basis(crystals):
    return force_constant_basis(
        undisplaced(crystals["wurtzite"], MATRICES["wurtzite"]), (1, 2, 3), 3.3
    )


def problem(basis, n_cells):
    """Return a posterior with a prior mean, parts of it known up to a factor."""
    moves = random_displacements(basis.n_atoms, n_cells, 0.1)
    designs = tuple(basis.design(one.order, moves) for one in basis.orders)
    generator = np.random.default_rng(1)
    forces = polynomial_forces(basis, random_amplitudes(basis), moves).ravel()
    forces = forces + 0.01 * generator.standard_normal(forces.shape)
    other = random_amplitudes(basis, seed=4)
    fixed = (np.zeros(basis.orders[0].n_columns), other[1], np.zeros(basis.orders[2].n_columns))
    mean = PriorMean(fixed, ((1, random_amplitudes(basis, seed=5)[1]), (2, other[2])))
    rows = mean.rows(designs)
    known = sum(design @ values for design, values in zip(designs, fixed, strict=True))
    return Observations(
        basis.orders, designs, forces - known - rows.sum(axis=0), rows, MEAN_SCALE_STD
    ), mean


def dense(basis, seen, mean):
    """Mean and covariance of all amplitudes by the textbook, with free amplitudes alone."""
    locality = Locality(Decay.POWER, basis.nearest_angstrom)
    blocks, designs = [], []
    for one, design, scale in zip(basis.orders, seen.designs, SCALES, strict=True):
        free = null_space(one.constraints.T) if one.constraints.size else np.eye(one.n_columns)
        weights = OrderPrior.at(one, locality, scale.exponent).weights
        inner = np.linalg.inv(free.T @ (weights[:, None] * free))
        blocks.append(scale.variance * free @ inner @ free.T)
        designs.append(design)
    size = [len(block) for block in blocks]
    edges = np.cumsum([0, *size])
    prior = np.zeros((edges[-1], edges[-1]))
    for block, a, b in zip(blocks, edges[:-1], edges[1:], strict=True):
        prior[a:b, a:b] = block
    centre = np.concatenate(mean.fixed)
    for place, values in mean.scaled:
        whole = np.zeros(edges[-1])
        whole[edges[place] : edges[place + 1]] = values
        prior += MEAN_SCALE_STD**2 * np.outer(whole, whole)
        centre = centre + whole
    design = np.hstack(designs)
    total = design @ prior @ design.T + PARAMETERS.noise_variance * np.eye(len(design))
    gain = prior @ design.T @ np.linalg.inv(total)
    return centre + gain @ seen.forces_ev_per_angstrom, prior - gain @ design @ prior, edges


@pytest.mark.parametrize("n_cells", [1, 30], ids=["rows as given", "rows reduced"])
def test_mean_and_covariance_are_those_of_the_textbook(basis, n_cells) -> None:
    seen, mean = problem(basis, n_cells)
    locality = Locality(Decay.POWER, basis.nearest_angstrom)
    posterior = posterior_of(seen, locality, PARAMETERS, mean)
    assert (posterior.observations.n_hidden_rows > 0) == (n_cells == 30)
    expected, covariance, edges = dense(basis, seen, mean)
    found = np.concatenate(posterior.amplitudes())
    assert np.allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    everything = np.eye(edges[-1])
    functionals = tuple(everything[:, a:b] for a, b in pairwise(edges))
    spread = posterior.force_covariance(functionals, functionals)
    assert np.allclose(spread, covariance, rtol=0, atol=1e-6 * np.abs(covariance).max())


def test_draws_have_the_mean_and_covariance_of_the_posterior(basis) -> None:
    seen, mean = problem(basis, 2)
    posterior = posterior_of(seen, Locality(Decay.POWER, basis.nearest_angstrom), PARAMETERS, mean)
    expected, covariance, _ = dense(basis, seen, mean)
    n_samples = 4000
    drawn = np.concatenate(posterior.sample(n_samples, 0))
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-8 * values.max()
    scores = (vectors[:, kept].T @ (drawn - expected[:, None])) / np.sqrt(values[kept])[:, None]
    assert np.abs(scores.mean(axis=1)).max() < 5.0 / np.sqrt(n_samples)
    assert np.abs(scores.var(axis=1) - 1.0).max() < 5.0 * np.sqrt(2.0 / n_samples)
    correlations = np.corrcoef(scores) - np.eye(len(scores))
    assert np.abs(correlations).max() < 5.5 / np.sqrt(n_samples)
    # what is certain is the same in all draws
    assert (vectors[:, ~kept].T @ (drawn - expected[:, None])).std() < 1e-3 * np.sqrt(values.max())


def test_draws_follow_the_seed_and_the_rules(basis) -> None:
    seen, mean = problem(basis, 1)
    posterior = posterior_of(seen, Locality(Decay.POWER, basis.nearest_angstrom), PARAMETERS, mean)
    first, again, other = (posterior.sample(3, seed) for seed in (0, 0, 1))
    for one, same, different, order in zip(first, again, other, basis.orders, strict=True):
        assert np.array_equal(one, same)
        assert not np.allclose(one, different)
        if order.constraints.size:
            assert np.abs(order.constraints.T @ one).max() < 1e-9 * np.abs(one).max()


def test_a_prior_mean_is_scaled_by_what_the_forces_say(basis) -> None:
    moves = random_displacements(basis.n_atoms, 4, 0.1)
    designs = tuple(basis.design(one.order, moves) for one in basis.orders)
    truth = random_amplitudes(basis)
    mean = PriorMean(
        tuple(np.zeros(one.n_columns) for one in basis.orders), ((1, truth[1]), (2, truth[2]))
    )
    rows = mean.rows(designs)
    forces = designs[0] @ truth[0] + 0.8 * rows[0] + 1.3 * rows[1]
    seen = Observations(basis.orders, designs, forces - rows.sum(axis=0), rows, 1.0)
    small = replace(
        PARAMETERS, scales=tuple(replace(one, log_variance=-12.0) for one in SCALES[1:])
    )
    small = replace(small, scales=(SCALES[0], *small.scales), log_excess_noise_variance=-20.0)
    posterior = posterior_of(seen, Locality(Decay.POWER, basis.nearest_angstrom), small, mean)
    assert posterior.mean_factors() == pytest.approx([0.8, 1.3], abs=0.02)


def test_a_singular_covariance_is_refused(basis) -> None:
    seen, mean = problem(basis, 2)
    half = seen.n_rows // 2
    twice = replace(
        seen,
        designs=tuple(np.tile(design[:half], (2, 1)) for design in seen.designs),
        means=np.tile(seen.means[:, :half], (1, 2)),
    )
    huge = tuple(replace(one, log_variance=60.0) for one in SCALES)
    with pytest.raises(InconsistentDataError, match="positive definite"):
        posterior_of(
            twice,
            Locality(Decay.POWER, basis.nearest_angstrom),
            replace(PARAMETERS, scales=huge, log_excess_noise_variance=-25.0),
            mean,
        )
