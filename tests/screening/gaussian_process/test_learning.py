from __future__ import annotations

import numpy as np
import pytest
from random_cells import MATRICES, some_cells, undisplaced, with_potential

from screening.errors import InconsistentDataError, SettingError
from screening.gaussian_process.derivative_fit import DerivativeKernelSettings
from screening.gaussian_process.derivative_kernel import derivative_force_constants
from screening.gaussian_process.learning import (
    LearningMethod,
    LearningSettings,
    learning_curve,
)
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.gaussian_process.symmetrised_kernel import SymmetrisedKernelSettings

ADAPTED, PLAIN = LearningMethod.SYMMETRY_ADAPTED, LearningMethod.DERIVATIVE_KERNEL
SYMMETRISED = LearningMethod.SYMMETRISED_KERNEL
COUNTS = (1, 4, 12)


@pytest.fixture(scope="module")
def cells(crystals, pair_potential):
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    return with_potential(cell, pair_potential, 18)


@pytest.fixture(scope="module")
def curve(cells):
    return learning_curve(cells, COUNTS, 1, seed=3, n_held_out=6)


def mean(curve, method, n_cells, name):
    return np.mean([getattr(one, name) for one in curve.of(method, n_cells)])


def test_there_is_one_fit_for_every_method_count_and_draw(curve) -> None:
    assert len(curve.points) == len(LearningMethod) * len(COUNTS)
    assert curve.held_out == tuple(range(12, 18))
    chosen = [set(curve.of(ADAPTED, count)[0].cells) for count in COUNTS]
    assert [len(one) for one in chosen] == list(COUNTS)
    assert chosen[0] < chosen[1] < chosen[2]
    assert not chosen[2] & set(curve.held_out)
    assert curve.of(PLAIN, 4)[0].cells == curve.of(ADAPTED, 4)[0].cells


def test_progress_counts_the_fits_that_are_done(cells) -> None:
    seen = []
    settings = LearningSettings(
        methods=(PLAIN, ADAPTED),
        symmetry_adapted=GaussianProcessSettings(max_order=2),
        derivative_kernel=DerivativeKernelSettings(third_order=False),
    )
    found = learning_curve(
        cells, (1, 2), 2, settings=settings, progress=lambda *numbers: seen.append(numbers)
    )
    assert seen == [(done, 9) for done in range(10)]  # eight fits and the reference
    assert [(one.method, one.n_cells) for one in found.points] == [
        (method, n_cells) for method in (PLAIN, ADAPTED) for n_cells in (1, 1, 2, 2)
    ]


def test_symmetry_needs_far_fewer_cells(curve) -> None:
    for name in ("second_order_change", "third_order_change", "force_error_ev_per_angstrom"):
        assert mean(curve, ADAPTED, 1, name) < 0.5 * mean(curve, PLAIN, 12, name)
    assert mean(curve, ADAPTED, 1, "force_error_ev_per_angstrom") < 0.1 * (
        curve.force_ev_per_angstrom
    )


def test_more_cells_are_better(curve) -> None:
    for method in LearningMethod:
        errors = [mean(curve, method, count, "force_error_ev_per_angstrom") for count in COUNTS]
        assert errors == sorted(errors, reverse=True)


def test_only_the_plain_kernel_breaks_the_sum_rule(curve) -> None:
    name = "second_order_sum_rule_ev_per_angstrom2"
    for count in COUNTS:
        assert mean(curve, ADAPTED, count, name) < 1e-10
        assert mean(curve, SYMMETRISED, count, name) < 1e-9
        assert mean(curve, PLAIN, count, name) > 1e-3
    third = "third_order_sum_rule_ev_per_angstrom3"
    assert mean(curve, ADAPTED, 12, third) < 1e-9


def test_the_plain_kernel_is_that_of_its_own_module(cells, curve) -> None:
    """The reference is the fit of the symmetry-adapted method; here it is the fit itself."""
    point = curve.of(PLAIN, 4)[0]
    some = learning_curve(
        cells,
        (4,),
        1,
        seed=3,
        n_held_out=6,
        settings=LearningSettings(methods=(PLAIN,)),
        reference=derivative_force_constants(some_cells(cells, list(point.cells))),
    )
    assert some.points[0].cells == point.cells
    assert some.points[0].second_order_change < 1e-10
    assert some.points[0].third_order_change < 1e-10


def test_a_harmonic_curve_knows_no_third_order(cells) -> None:
    settings = LearningSettings(
        symmetry_adapted=GaussianProcessSettings(max_order=2),
        symmetrised_kernel=SymmetrisedKernelSettings(third_order=False),
        derivative_kernel=DerivativeKernelSettings(third_order=False),
    )
    found = learning_curve(cells, (2,), n_held_out=2, settings=settings)
    assert all(one.third_order_change is None for one in found.points)
    assert all(one.third_order_sum_rule_ev_per_angstrom3 is None for one in found.points)


@pytest.mark.parametrize(
    ("counts", "options", "kind"),
    [
        ((), {}, SettingError),
        ((0,), {}, SettingError),
        ((2,), {"n_draws": 0}, SettingError),
        ((2,), {"n_held_out": 0}, SettingError),
        ((14,), {"n_held_out": 6}, InconsistentDataError),
    ],
)
def test_impossible_curves_are_refused(cells, counts, options, kind) -> None:
    with pytest.raises(kind):
        learning_curve(cells, counts, **options)


def test_averaging_the_kernel_over_the_group_is_worth_many_cells(curve) -> None:
    for name in ("second_order_change", "force_error_ev_per_angstrom"):
        assert mean(curve, SYMMETRISED, 1, name) < 0.5 * mean(curve, PLAIN, 12, name)
        assert mean(curve, ADAPTED, 1, name) < mean(curve, SYMMETRISED, 1, name)
