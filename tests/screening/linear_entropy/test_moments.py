from __future__ import annotations

import lennard_jones as lj
import numpy as np
import pytest

from screening.descriptors.interface import AtomicSystem, descriptor_from
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.moments import (
    Fits,
    FrequencyMoments,
    Moments,
    frequency_moments,
    moments_of,
)
from screening.linear_entropy.regression import fit_rows
from screening.linear_entropy.rows import RowMaker
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

SMALL = {"cutoff_angstrom": 2.5, "n_radial": 3, "l_max": 2}
NOTHING = np.zeros(0)


def fitted(maker):
    rows = np.array(
        [maker.row(maker.features(x.system), len(x.system), None).features for x in lj.clusters(20)]
    )
    return Fits(fit_rows(rows, rows.sum(axis=1))), rows


def test_twice_the_crystal_has_twice_the_logarithm_and_the_same_leverage():
    maker = RowMaker(descriptor_from("afs", SMALL), (lj.ARGON,), "entropy")
    fits, _ = fitted(maker)
    sites, edge = lj.fcc(2)
    one = moments_of(fits, maker, lj.system(sites, edge))
    two = moments_of(
        fits,
        maker,
        AtomicSystem(
            np.concatenate([sites, sites + np.array([edge, 0.0, 0.0])]),
            np.full(2 * len(sites), lj.ARGON),
            edge * np.diag([2.0, 1.0, 1.0]),
        ),
    )
    assert two.log_determinant == pytest.approx(2.0 * one.log_determinant)
    assert two.std == pytest.approx(2.0 * one.std)
    assert two.row_leverage == pytest.approx(one.row_leverage)
    assert two.atom_leverage == pytest.approx(one.atom_leverage)
    assert two.total_leverage == pytest.approx(2.0 * one.total_leverage)


def test_a_descriptor_of_the_whole_has_the_leverage_of_the_row():
    settings = {"scales": [0.0, 1.0], "l_max": 2}
    maker = RowMaker(descriptor_from("scattering", settings), (lj.ARGON,), "entropy")
    fits, _ = fitted(maker)
    found = moments_of(fits, maker, lj.clusters(20)[3].system)
    assert found.atom_leverage == found.row_leverage == found.total_leverage


def test_traces_of_the_whole_are_linear_in_all_that_is_known():
    whole = RowMaker(descriptor_from("scattering", {"l_max": 1, "scales": [0]}), (9, 19), "entropy")
    assert whole.trace_columns(1).tolist() == [0, 1, 2, 3, 5]
    atoms = RowMaker(descriptor_from("afs", {"n_radial": 1, "l_max": 0}), (9, 19), "entropy")
    assert atoms.trace_columns(1).tolist() == [2, 3, 5]


def test_masses_enter_as_they_must():
    """One atom in a cell with equal springs: all frequencies are sqrt(k / m)."""
    system = AtomicSystem(np.zeros((1, 3)), np.array([lj.ARGON]), 3.0 * np.eye(3))
    stiffness, mass = 2.5, np.array([7.0])
    moments = Moments(
        3.0 * np.log(stiffness), 0.3, 0.0, 0.0, 0.0, np.array([3 * stiffness]), np.array([0.3])
    )
    found = frequency_moments(moments, system, SpectrumKind.MESH, mass)
    exact = SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ * np.sqrt(stiffness / 7.0)
    assert found.root_mean_square_thz == pytest.approx(exact)
    assert found.mean_log_thz == pytest.approx(np.log(exact))
    assert found.mean_log_std == pytest.approx(0.05)
    assert found.log_root_mean_square_std == pytest.approx(0.5 * 0.3 / (3 * stiffness))


def test_a_negative_mean_square_is_no_number():
    system = AtomicSystem(np.zeros((1, 3)), np.array([lj.ARGON]), 3.0 * np.eye(3))
    moments = Moments(0.0, 0.3, 0.0, 0.0, 0.0, np.array([-1.0]), np.array([0.3]))
    assert np.isnan(frequency_moments(moments, system, SpectrumKind.MESH).root_mean_square_thz)


@pytest.mark.parametrize(
    ("mean_log", "root", "usable"),
    [(1.5, 6.0, True), (1.5, float("nan"), False), (800.0, 1e300, False), (-800.0, 1.0, False)],
)
def test_moments_that_no_frequencies_have_make_no_spectrum(mean_log, root, usable):
    assert FrequencyMoments(mean_log, 0.1, root, 0.1).has_spectrum is usable
