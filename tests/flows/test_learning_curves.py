"""Learning curves of the command line: which fits, and what is refused before any is made."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flows.learning_curves import LearningPlan, learn, learning_settings, parse_counts
from screening.errors import InconsistentDataError, SettingError, TooLargeError
from screening.gaussian_process.learning import LearningMethod


def test_counts_are_sorted_and_each_once() -> None:
    assert parse_counts("10, 1,5,1") == (1, 5, 10)
    for wrong in ("", "1,", "0,1", "-1", "1.5", "one"):
        with pytest.raises(SettingError):
            parse_counts(wrong)


def test_methods_have_short_names() -> None:
    assert learning_settings("adapted,symmetrised,paper").methods == tuple(LearningMethod)
    settings = learning_settings("paper, paper", 2, 4.0)
    assert settings.methods == (LearningMethod.DERIVATIVE_KERNEL,)
    assert settings.symmetry_adapted.third_order_cutoff_angstrom == 4.0
    assert not settings.derivative_kernel.third_order
    assert not settings.symmetrised_kernel.third_order
    with pytest.raises(SettingError, match="no method that learns"):
        learning_settings("adapted,least-squares")


@pytest.mark.parametrize(
    ("n_cells", "n_atoms", "error", "hint"),
    [
        (19, 64, InconsistentDataError, "up to 9"),
        (8, 64, InconsistentDataError, "--counts 1"),
        (200, 512, TooLargeError, "up to 5"),
    ],
)
def test_too_few_and_too_large_are_refused_before_anything_is_read(
    n_cells, n_atoms, error, hint
) -> None:
    cells = SimpleNamespace(n_cells=n_cells, n_atoms=n_atoms)
    plan = LearningPlan((1, 10), settings=learning_settings("adapted,symmetrised"))
    with pytest.raises(error) as raised:
        learn(cells, plan)
    assert hint in str(raised.value)
