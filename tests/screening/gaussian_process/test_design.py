from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import MATRICES, some_cells, undisplaced, with_potential

from screening.errors import InconsistentDataError, WrongShapeError
from screening.gaussian_process.design import next_displacements, order_functionals
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.posterior import posterior_of
from screening.gaussian_process.prior import Locality

N_CANDIDATES = 6


@pytest.fixture(scope="module")
def fit(crystals, pair_potential):
    cell = undisplaced(crystals["wurtzite"], MATRICES["wurtzite"])
    return fit_force_constants(with_potential(cell, pair_potential, 1))


@pytest.fixture(scope="module")
def candidates(fit):
    """The cell that is known, ones that hardly move, and ordinary ones."""
    moves = random_displacements(fit.cells.n_atoms, N_CANDIDATES, 0.03, seed=9).copy()
    moves[0] = fit.cells.displacements_angstrom[0]
    moves[1] *= 1e-3
    return moves


@pytest.fixture(scope="module")
def gradient(fit):
    generator = np.random.default_rng(0)
    return tuple(generator.standard_normal((1, one.n_columns)) for one in fit.basis.orders)


def test_the_expected_deviation_is_that_of_a_fit_with_the_candidate(
    fit, candidates, gradient
) -> None:
    found = next_displacements(fit, candidates, gradient)
    before = fit.posterior.force_covariance(gradient, gradient)[0, 0]
    assert found.std_now == pytest.approx(np.sqrt(before))
    for k, moves in enumerate(candidates):
        after = _with(fit, moves).force_covariance(gradient, gradient)[0, 0]
        assert found.candidate_std_after[k] == pytest.approx(np.sqrt(after), rel=1e-5)
    assert found.index == int(np.argmin(found.candidate_std_after)) > 1
    assert found.expected_std_after == found.candidate_std_after[found.index]
    assert found.candidate_std_after[1] > found.expected_std_after


def _with(fit, moves):
    """Condition on one more cell, whatever its forces are."""
    every = np.concatenate([fit.cells.displacements_angstrom, moves[None]])
    forces = np.zeros(every.size)
    seen = replace(
        fit.posterior.observations,
        designs=fit.designs(every),
        forces_ev_per_angstrom=forces,
        means=np.zeros((0, forces.size)),
        n_hidden_rows=0,
    )
    locality = Locality(fit.settings.decay, fit.basis.nearest_angstrom)
    return posterior_of(seen, locality, fit.hyperparameters, fit.posterior.mean)


def test_all_force_constants_of_an_order_can_be_the_target(fit, candidates) -> None:
    third = order_functionals(fit, 3)
    found = next_displacements(fit, candidates, third)
    assert found.std_now == pytest.approx(_error(fit.posterior, third))
    after = [_error(_with(fit, moves), third) for moves in candidates]
    assert np.allclose(found.candidate_std_after, after, rtol=1e-4)


def _error(posterior, functionals) -> float:
    return float(np.sqrt(np.trace(posterior.force_covariance(functionals, functionals))))


def test_what_does_not_belong_together_is_refused(fit, candidates, gradient) -> None:
    with pytest.raises(WrongShapeError, match="candidates"):
        next_displacements(fit, candidates[:, :-1], gradient)
    with pytest.raises(WrongShapeError, match="gradients"):
        next_displacements(fit, candidates, tuple(one[:, :-1] for one in gradient))
    with pytest.raises(InconsistentDataError, match="no candidate"):
        next_displacements(fit, candidates[:0], gradient)


def test_the_fit_is_left_as_it_was(fit, candidates, gradient) -> None:
    before = fit.posterior.amplitudes()
    next_displacements(fit, candidates, gradient)
    for one, other in zip(before, fit.posterior.amplitudes(), strict=True):
        assert np.array_equal(one, other)
    assert some_cells(fit.cells, [0]).n_cells == fit.cells.n_cells
