"""Names of space groups, and groups that are groups."""

from __future__ import annotations

import numpy as np
import pytest

from screening.space_groups import setting_operations, settings_named


@pytest.mark.parametrize(
    ("name", "hall_number"),
    [
        ("225", 523),
        ("F m -3 m", 523),
        ("Fm-3m", 523),
        ("P 1 21/c 1", 81),
        ("P2_1/c", 81),
        ("P 1 21/n 1", 82),
        ("P21/n", 82),
        ("P1", 1),
        ("P -1", 2),
        ("P 63 m c", 480),
        ("P b n m", 294),
        ("-F 4 2 3", 523),
    ],
)
def test_a_group_goes_by_many_names(name, hall_number):
    assert settings_named(name)[0].hall_number == hall_number


def test_choices_are_told_apart():
    assert [s.choice for s in settings_named("R -3 m")] == ["H", "R"]
    assert [s.choice for s in settings_named("I 41/a m d")] == ["1", "2"]
    assert settings_named("no group") == ()


@pytest.mark.parametrize("number", range(1, 231))
def test_operations_of_every_group_are_closed(number):
    operations = setting_operations(settings_named(str(number))[0])

    def keys(matrices):
        rotations = np.rint(matrices[:, :3, :3]).astype(int).reshape(-1, 9)
        translations = np.rint(matrices[:, :3, 3] * 24).astype(int) % 24
        return {tuple(row) for row in np.hstack([rotations, translations])}

    known = keys(operations)
    assert len(known) == len(operations)
    assert keys((operations[:8, None] @ operations[None]).reshape(-1, 4, 4)) <= known
