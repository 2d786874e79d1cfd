import numpy as np
import pytest
from scipy.stats import multivariate_normal

from screening.errors import TrainingSetError, WrongShapeError
from screening.network_potential.linear_evidence import (
    DesignSums,
    Posterior,
    largest_evidence,
    validated,
)


def rows(n_rows, n_features, noise, seed, prior=1.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features))
    features = rng.normal(size=(n_rows, n_features)) @ mixing
    weights = prior * rng.normal(size=n_features)
    return features, features @ weights + noise * rng.normal(size=n_rows), weights


def test_covariance_is_that_of_bayesian_linear_regression():
    features, targets, _ = rows(60, 4, 0.3, 0)
    found = largest_evidence(DesignSums.of(features, targets))
    inverse = np.linalg.inv(features.T @ features + found.ridge * np.eye(4))
    np.testing.assert_allclose(found.covariance, found.noise**2 * inverse, rtol=1e-9)
    new = np.random.default_rng(1).normal(size=(5, 4))
    direct = [found.noise * np.sqrt(x @ inverse @ x) for x in new]
    np.testing.assert_allclose(found.std(new), direct, rtol=1e-9)
    np.testing.assert_allclose(found.root @ found.root.T, found.covariance, rtol=1e-9)


def test_evidence_is_largest_where_the_density_of_the_targets_is():
    """The marginal density of the targets, written out, has its maximum there."""
    features, targets, _ = rows(40, 3, 0.5, 2, prior=2.0)
    found = largest_evidence(DesignSums.of(features, targets))

    def density(ridge, noise):
        covariance = noise**2 * (np.eye(40) + features @ features.T / ridge)
        return multivariate_normal(np.zeros(40), covariance).logpdf(targets)

    best = density(found.ridge, found.noise)
    for ridge, noise in [(1.05, 1.0), (0.95, 1.0), (1.0, 1.02), (1.0, 0.98)]:
        assert density(ridge * found.ridge, noise * found.noise) < best


def test_known_noise_and_prior_come_back():
    features, targets, _ = rows(4000, 60, 0.3, 3, prior=0.7)
    found = largest_evidence(DesignSums.of(features, targets))
    assert found.noise == pytest.approx(0.3, rel=0.05)
    assert found.ridge == pytest.approx((0.3 / 0.7) ** 2, rel=0.4)


def test_sums_of_parts_are_the_sum_of_all():
    features, targets, _ = rows(50, 3, 0.1, 4)
    whole = DesignSums.of(features, targets)
    parts = DesignSums.of(features[:20], targets[:20]) + DesignSums.of(features[20:], targets[20:])
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-12)
    np.testing.assert_allclose(parts.projection, whole.projection, rtol=1e-12)
    assert (parts.n_rows, parts.squares) == (50, pytest.approx(whole.squares))


def test_held_out_errors_set_the_size_of_the_spread():
    """Errors ten times those of the noise of training: the spread follows them."""
    features, targets, weights = rows(200, 5, 0.1, 5)
    sums = DesignSums.of(features, targets)
    rng = np.random.default_rng(6)
    new = rng.normal(size=(3000, 5))
    truth = np.linalg.inv(features.T @ features)
    spread = np.sqrt(np.einsum("ri,ij,rj->r", new, truth, new))
    errors = 7.0 * spread * rng.normal(size=3000)
    found = validated(sums, new, errors)
    z = errors / found.std(new)
    assert np.mean(np.abs(z) <= 1.0) == pytest.approx(0.6827, abs=1e-3)
    errors[::50] *= 10.0  # tails do not decide
    sizes = validated(sums, new, errors).std(new) / found.std(new)
    assert np.median(sizes) == pytest.approx(1.0, abs=0.1)
    assert found.noise == pytest.approx(7.0, rel=0.1)
    assert weights.shape == (5,)


def test_rows_without_features_do_not_calibrate():
    features, targets, _ = rows(50, 3, 0.1, 7)
    sums = DesignSums.of(features, targets)
    new = np.vstack([features, np.zeros((5, 3))])
    errors = np.append(np.random.default_rng(8).normal(size=50), np.ones(5))
    without = validated(sums, features, errors[:50])
    np.testing.assert_allclose(validated(sums, new, errors).covariance, without.covariance)


def test_directions_that_were_never_seen_are_the_most_uncertain():
    features, targets, _ = rows(80, 4, 0.2, 9)
    features[:, 3] = 0.0
    found = largest_evidence(DesignSums.of(features, targets))
    seen, unseen = found.std(np.eye(4)[:1]), found.std(np.eye(4)[3:])
    assert unseen[0] > 3 * seen[0]
    assert unseen[0] == pytest.approx(found.noise / np.sqrt(found.ridge), rel=1e-9)


def test_what_says_nothing_is_refused():
    features, targets, weights = rows(50, 3, 0.1, 10)
    sums = DesignSums.of(features, targets)
    with pytest.raises(WrongShapeError):
        DesignSums.of(features, targets[:4])
    with pytest.raises(TrainingSetError):
        largest_evidence(DesignSums.of(0.0 * features, targets))
    with pytest.raises(TrainingSetError):
        largest_evidence(DesignSums.of(features, 0.0 * targets))
    with pytest.raises(TrainingSetError):
        largest_evidence(DesignSums.of(features, features @ weights))
    for errors in (np.zeros(50), np.ones(0), np.ones(3)):
        with pytest.raises(TrainingSetError):
            validated(sums, features, errors)
    assert isinstance(validated(sums, features, np.ones(50)), Posterior)
