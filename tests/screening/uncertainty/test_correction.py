"""The bias of the frequencies is learned where there are data and unknown elsewhere."""

import math

import numpy as np
import pytest

from screening.errors import SettingError
from screening.uncertainty.correction import (
    CorrectionPrior,
    fit_correction,
    leave_one_group_out,
)

PRIOR = CorrectionPrior()
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 4))
NAMES = [f"c{index}" for index in range(40)]


def fitted(log_scales, names=NAMES, features=FEATURES):
    return fit_correction(features, names, np.broadcast_to(log_scales, len(names)))


def test_without_data_nothing_is_corrected():
    mean, std = fit_correction(np.zeros((0, 4)), [], np.zeros(0)).predict(np.zeros(4), "NaCl")
    parts = (PRIOR.constant, PRIOR.smooth, PRIOR.composition, PRIOR.noise)
    assert mean == 0.0
    assert std == pytest.approx(math.hypot(*parts))


def test_without_data_the_spread_grows_with_the_features():
    empty = fit_correction(np.zeros((0, 4)), [], np.zeros(0))
    _, near = empty.predict(np.zeros(4), "NaCl")
    _, far = empty.predict(np.full(4, 3.0), "NaCl")
    assert far**2 - near**2 == pytest.approx(4 * (3.0 * PRIOR.linear) ** 2)


def test_a_constant_bias_is_recovered():
    mean, std = fitted(-0.25).predict(np.zeros(4), "new")
    assert mean == pytest.approx(-0.25, abs=0.005)
    assert std < 0.3


def test_a_linear_bias_is_recovered():
    slopes = np.array([0.1, -0.05, 0.0, 0.08])
    correction = fitted(-0.2 + FEATURES @ slopes)
    for features in RNG.uniform(-1.0, 1.0, (5, 4)):
        mean, _ = correction.predict(features, "new")
        assert mean == pytest.approx(-0.2 + features @ slopes, abs=0.03)


def test_one_observation_is_shrunk_by_the_textbook_factor():
    correction = fit_correction(np.zeros((1, 4)), ["a"], np.array([0.2]))
    shared = PRIOR.constant**2 + PRIOR.smooth**2
    total = shared + PRIOR.composition**2 + PRIOR.noise**2
    mean, std = correction.predict(np.zeros(4), "b")
    assert mean == pytest.approx(0.2 * shared / total)
    assert std**2 == pytest.approx(total - shared**2 / total)


def test_the_posterior_is_that_of_the_joint_normal_distribution():
    """Condition the joint covariance by its precision matrix instead of by solving."""
    names = ["a", "a", "b", "c"]
    features, observed = FEATURES[:4], np.array([0.1, 0.2, -0.1, 0.3])
    new = np.array([0.3, -0.2, 0.5, 0.1])
    all_features, all_names = np.vstack([new, features]), np.array(["a", *names])
    apart = ((all_features[:, None] - all_features) ** 2).sum(-1)
    covariance = (
        PRIOR.constant**2
        + PRIOR.linear**2 * all_features @ all_features.T
        + PRIOR.smooth**2 * np.exp(-apart / (2 * PRIOR.length**2))
        + PRIOR.composition**2 * (all_names[:, None] == all_names)
        + PRIOR.noise**2 * np.eye(5)
    )
    precision = np.linalg.inv(covariance)
    mean, std = fit_correction(features, names, observed).predict(new, "a")
    assert std**2 == pytest.approx(1.0 / precision[0, 0])
    assert mean == pytest.approx(-precision[0, 1:] @ observed / precision[0, 0])


def test_a_polymorph_of_a_known_composition_is_known_better():
    correction = fitted(-0.25)
    near = FEATURES[3] + 0.1
    assert correction.predict(near, "c3")[1] < 0.8 * correction.predict(near, "new")[1]


def test_the_spread_grows_away_from_the_data():
    correction = fitted(-0.25)
    direction = np.array([1.0, 0.5, -0.5, 0.2])
    stds = [correction.predict(x * direction, "new")[1] for x in (0.0, 2.0, 4.0, 8.0)]
    assert stds == sorted(stds)
    assert stds[-1] > 2.0 * stds[0]


def test_the_spread_is_never_below_the_noise():
    again = np.zeros((200, 4))
    correction = fit_correction(again, ["a"] * 200, np.full(200, 0.1))
    assert correction.predict(np.zeros(4), "a")[1] >= PRIOR.noise


def test_leaving_a_group_out_is_fitting_without_it():
    names = [f"c{index % 15}" for index in range(40)]
    observed = RNG.normal(size=40) * 0.1
    means, stds = leave_one_group_out(fitted(observed, names))
    for index, name in enumerate(names):
        others = [i for i, other in enumerate(names) if other != name]
        rest = fit_correction(FEATURES[others], [names[i] for i in others], observed[others])
        mean, std = rest.predict(FEATURES[index], name)
        assert (means[index], stds[index]) == pytest.approx((mean, std), abs=1e-12)


def test_a_crystal_left_out_does_not_see_its_own_value():
    observed = np.zeros(40)
    changed = observed.copy()
    changed[7] = 5.0
    one, other = (leave_one_group_out(fitted(x))[0] for x in (observed, changed))
    assert other[7] == pytest.approx(one[7], abs=1e-10)
    assert np.all(np.abs(one[:7] - other[:7]) > 1e-6)


def test_a_single_composition_left_out_leaves_the_prior():
    means, stds = leave_one_group_out(fitted(0.2, ["a"] * 40))
    assert means == pytest.approx(np.zeros(40), abs=1e-10)
    assert np.all(stds >= PRIOR.constant)


@pytest.mark.parametrize(
    "wrong", [{"noise": 0.0}, {"length": 0.0}, {"constant": -0.1}, {"smooth": math.nan}]
)
def test_a_prior_that_is_none_is_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        CorrectionPrior(**wrong)
