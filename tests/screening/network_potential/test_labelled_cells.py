from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_salts import labelled_salts

from screening.errors import (
    NonFiniteForcesError,
    NonFiniteInputError,
    SettingError,
    TrainingSetError,
    WrongShapeError,
)
from screening.network_potential.labelled_cells import split_by_group, training_set_digest


@pytest.fixture(scope="module")
def cells():
    return labelled_salts(4)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"numbers": [11]}, WrongShapeError),
        ({"numbers": [11, 0]}, WrongShapeError),
        ({"numbers": []}, WrongShapeError),
        ({"forces_ev_per_angstrom": np.zeros((3, 3))}, WrongShapeError),
        ({"stress_ev_per_angstrom3": np.zeros(6)}, WrongShapeError),
        ({"cell_angstrom": np.zeros((3, 3))}, NonFiniteInputError),
        ({"positions_angstrom": np.full((2, 3), np.nan)}, NonFiniteInputError),
        ({"forces_ev_per_angstrom": np.full((2, 3), np.inf)}, NonFiniteForcesError),
        ({"energy_ev": float("nan")}, NonFiniteForcesError),
        ({"stress_ev_per_angstrom3": np.full((3, 3), np.nan)}, NonFiniteForcesError),
    ],
)
def test_labels_that_do_not_fit_are_refused(cells, given, error):
    with pytest.raises(error, match="NaCl") as refused:
        replace(cells[0], **given)
    assert refused.value.hint


def test_a_digest_knows_labels_but_not_their_order(cells):
    digest = training_set_digest(cells)
    assert digest == training_set_digest(cells[::-1])
    assert digest != training_set_digest(cells[1:])
    for given in (
        {"forces_ev_per_angstrom": cells[0].forces_ev_per_angstrom + 1e-9},
        {"energy_ev": 0.0},
        {"stress_ev_per_angstrom3": None},
        {"pair": ""},
        {"source": "x"},
    ):
        assert digest != training_set_digest([replace(cells[0], **given), *cells[1:]])


@pytest.mark.parametrize("seed", range(5))
def test_a_composition_is_never_split(cells, seed):
    training, held_out = split_by_group(cells, 0.3, seed)
    assert not {one.group for one in training} & {one.group for one in held_out}
    assert sorted(map(id, training + held_out)) == sorted(map(id, cells))
    assert len(held_out) >= 0.3 * len(cells)
    assert [id(one) for one in split_by_group(cells, 0.3, seed)[1]] == [id(one) for one in held_out]


@pytest.mark.parametrize("seed", range(5))
def test_what_was_learned_before_is_not_held_out(cells, seed):
    groups = sorted({one.group for one in cells})
    for unseen in (groups[:1], groups[-2:]):
        learned = frozenset(groups) - set(unseen)
        training, held_out = split_by_group(cells, 0.1, seed, learned)
        assert held_out
        assert {one.group for one in held_out} <= set(unseen)
        assert sorted(map(id, training + held_out)) == sorted(map(id, cells))
    everything = split_by_group(cells, 0.3, seed, frozenset(groups))
    assert [*map(id, everything[1])] == [*map(id, split_by_group(cells, 0.3, seed)[1])]


@pytest.mark.parametrize("seed", range(5))
def test_elements_of_held_out_compositions_are_learned_from_others(cells, seed):
    one, other = cells[0], next(cell for cell in cells if cell.group != cells[0].group)
    assert not set(one.numbers) & set(other.numbers)
    like_one = replace(one, group="of the same elements")
    held_out = split_by_group([one, other, like_one], 0.1, seed)[1]
    assert {cell.group for cell in held_out} <= {one.group, like_one.group}
    known = frozenset(map(int, other.numbers))
    [found] = split_by_group([one, other], 0.1, seed, known=known)[1]
    assert found.group == other.group


def test_splits_without_meaning_are_refused(cells):
    assert split_by_group(cells, 0.0, 0) == (cells, [])
    with pytest.raises(SettingError):
        split_by_group(cells, 1.0, 0)
    with pytest.raises(TrainingSetError, match="1 composition"):
        split_by_group(cells[:4], 0.1, 0)
