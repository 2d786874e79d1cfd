import numpy as np
import pytest
from random_springs import spring_crystals

from screening.hessians import (
    atomic_masses_amu,
    without_translations,
    zone_centre_frequencies_thz,
)
from screening.random_forest.spectrum import (
    SpectrumCorrection,
    fit_correction,
    spectrum_of,
)

PLAIN = SpectrumCorrection()


def one_crystal(seed=0):
    (one,) = spring_crystals(1, seed=seed)
    return one.hessian_ev_per_angstrom2, atomic_masses_amu(one.structure)


def test_a_sound_hessian_keeps_its_modes():
    hessian, masses = one_crystal()
    found = spectrum_of(hessian[None], masses, "project_then_clip", PLAIN)
    expected = zone_centre_frequencies_thz(hessian, masses)
    np.testing.assert_allclose(found.frequencies_thz[3:], expected[3:], rtol=1e-9)
    assert found.lowest_thz == pytest.approx(expected[3])
    assert found.n_clipped == 0
    assert found.sum_rule_violation_ev_per_angstrom2 < 1e-12


def test_members_differ_as_their_hessians_to_first_order():
    hessian, masses = one_crystal()
    noise = np.random.default_rng(0).normal(size=(2, *hessian.shape))
    change = np.stack([without_translations(1e-5 * (one + one.T)) for one in noise])
    found = spectrum_of(
        np.concatenate([hessian[None], hessian + change]), masses, "project_then_clip", PLAIN
    )
    exact = zone_centre_frequencies_thz(hessian + change, np.stack([masses] * 2))
    shift = exact[:, 3:] - found.frequencies_thz[3:]
    np.testing.assert_allclose(
        found.member_frequencies_thz[:, 3:] - found.frequencies_thz[3:], shift, atol=1e-7
    )
    np.testing.assert_allclose(found.member_lowest_thz, exact[:, 3], atol=1e-7)


def test_negative_modes_are_counted_and_reported():
    hessian, masses = one_crystal()
    values, vectors = np.linalg.eigh(hessian)
    values[-1] *= -0.5
    found = spectrum_of(((vectors * values) @ vectors.T)[None], masses, "project_then_clip", PLAIN)
    assert found.n_clipped == 1
    assert found.lowest_thz < -1.0
    assert found.frequencies_thz.min() >= 0.0


def test_a_constant_factor_is_found_and_undone():
    rng = np.random.default_rng(1)
    references = [np.concatenate([np.zeros(3), np.sort(rng.uniform(1, 15, 15))]) for _ in range(9)]
    correction = fit_correction([0.8 * one for one in references], references)
    assert correction.mean_change == pytest.approx(np.log(1.25))
    np.testing.assert_allclose(correction(0.8 * references[0]), references[0], rtol=1e-9)
    assert correction(np.array([-2.0, 0.0])).tolist() == [-2.0, 0.0]


def test_a_correction_does_not_grow_outside_of_its_range():
    correction = SpectrumCorrection((1.0, 0.0), 0.0, 1.0)
    np.testing.assert_allclose(
        correction(np.array([0.1, 100.0])) / [0.1, 100.0], [1.0, np.e], rtol=1e-12
    )


def test_translations_are_removed_from_both_sides():
    noise = np.random.default_rng(2).normal(size=(9, 9))
    found = without_translations(noise + noise.T)
    assert np.abs(found.reshape(9, 3, 3).sum(axis=1)).max() < 1e-12
    np.testing.assert_allclose(without_translations(found), found, atol=1e-12)
