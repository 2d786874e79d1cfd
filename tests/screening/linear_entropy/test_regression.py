from __future__ import annotations

import numpy as np
import pytest

from screening.errors import NonFiniteInputError, TrainingSetError
from screening.linear_entropy.regression import AtomMoments, LinearFit, fit_rows


def problem(n_rows=60, n_features=8, noise=0.05, seed=0):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n_rows, n_features)) * np.logspace(-3, 3, n_features)
    weights = random.normal(size=n_features) / np.logspace(-3, 3, n_features)
    return rows, rows @ weights + noise * random.normal(size=n_rows), weights


def test_a_linear_law_is_recovered():
    rows, targets, weights = problem(noise=0.0)
    fit = fit_rows(rows, targets)
    assert fit.weights == pytest.approx(weights, rel=1e-6)


def test_there_is_no_intercept():
    rows, targets, _ = problem()
    fit = fit_rows(rows, targets + 3.0)
    assert fit.predict(np.zeros((1, 8))) == pytest.approx([0.0], abs=1e-14)
    assert fit.predict(2.0 * rows) == pytest.approx(2.0 * fit.predict(rows))


def test_it_is_scikit_learn_s_bayesian_ridge():
    from sklearn.linear_model import BayesianRidge

    rows, targets, _ = problem()
    fit = fit_rows(rows, targets)
    unit = np.sqrt(np.mean(targets**2))
    model = BayesianRidge(fit_intercept=False, tol=1e-9, max_iter=5000)
    model.fit(rows / fit.scales, targets / unit)
    mean, std = model.predict(rows / fit.scales, return_std=True)
    assert fit.predict(rows) == pytest.approx(unit * mean, rel=1e-6)
    posterior = fit.noise_variance * (1.0 + fit.leverage(rows))
    assert np.sqrt(posterior) == pytest.approx(unit * std, rel=1e-6)


def test_leverage_is_the_share_of_a_row_in_its_own_prediction():
    rows, targets, _ = problem()
    fit = fit_rows(rows, targets)
    scaled = rows / fit.scales
    ridge = fit.noise_variance / fit.prior_variance
    hat = scaled @ np.linalg.solve(scaled.T @ scaled + ridge * np.eye(8), scaled.T)
    assert fit.leverage(rows) == pytest.approx(np.diag(hat), rel=1e-8)
    assert fit.leverage(rows).sum() < 8.0
    assert fit.leverage(10.0 * rows) == pytest.approx(100.0 * fit.leverage(rows))


def test_more_features_than_rows():
    rows, targets, _ = problem(n_rows=6)
    fit = fit_rows(rows, targets)
    beside = np.linalg.svd(rows / fit.scales)[2][-1] * fit.scales  # seen by no row
    assert fit.predict(beside[None]) == pytest.approx([0.0], abs=1e-10)
    assert fit.leverage(beside[None])[0] == pytest.approx(fit.prior_variance / fit.noise_variance)


def test_a_feature_that_no_row_has_is_news():
    rows, targets, _ = problem()
    rows[:, 3] = 0.0
    fit = fit_rows(rows, targets)
    new = rows[:1].copy()
    new[0, 3] = np.median(np.abs(rows[rows != 0.0]))
    assert fit.leverage(new)[0] > 100.0 * fit.leverage(rows).max()


def test_moments_of_atoms_are_as_good_as_their_rows():
    rows, targets, _ = problem(n_rows=80)
    atoms, atom_targets = rows[20:], targets[20:]
    halves = [
        AtomMoments.of(atoms[:30], atom_targets[:30]),
        AtomMoments.of(atoms[30:], atom_targets[30:]),
    ]
    short = fit_rows(rows[:20], targets[:20], AtomMoments.total(halves))
    full = fit_rows(rows, targets)
    # scales differ, and with them the prior; beside so many rows it hardly counts
    assert short.predict(rows) == pytest.approx(full.predict(rows), abs=1e-3)
    assert short.noise_variance == pytest.approx(full.noise_variance, rel=0.02)
    assert short.leverage(rows) == pytest.approx(full.leverage(rows), rel=0.02)


def test_the_misfit_gives_each_training_row_its_own_error_and_grows_with_distance():
    random = np.random.default_rng(3)
    x = random.uniform(0.0, 1.0, 200)
    atoms = np.column_stack([x, x**2])
    fit = fit_rows(atoms[:40], x[:40] ** 3, AtomMoments.of(atoms, x**3))
    far = np.array([[10.0, 100.0]])
    error = abs(fit.predict(far)[0] - 1000.0)
    assert fit.std(far)[0] > 20.0 * fit.std(atoms).max()
    assert fit.std(far)[0] > 0.001 * error
    assert fit.std(2.0 * far)[0] == pytest.approx(2.0 * fit.std(far)[0], rel=1e-3)


def test_arrays_take_a_fit_there_and_back():
    rows, targets, _ = problem()
    fit = fit_rows(rows, targets)
    back = LinearFit.from_arrays("x", fit.as_arrays("x"))
    assert np.array_equal(back.predict(rows), fit.predict(rows))
    assert np.array_equal(back.std(rows), fit.std(rows))
    assert np.array_equal(back.leverage(rows), fit.leverage(rows))


def test_what_cannot_be_learned_from_is_refused():
    rows, targets, _ = problem()
    with pytest.raises(NonFiniteInputError):
        fit_rows(np.where(rows > 10.0, np.inf, rows), targets)
    with pytest.raises(TrainingSetError, match="zero"):
        fit_rows(np.zeros_like(rows), targets)
