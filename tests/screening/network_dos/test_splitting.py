from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Element

from screening.errors import TrainingSetError
from screening.network_dos.splitting import split_labels


def test_compositions_are_whole_and_elements_are_learned_before_they_are_tested(
    made_labels, tiny_settings
) -> None:
    groups = {one.group for one in made_labels}
    for seed in range(10):
        split = split_labels(made_labels, replace(tiny_settings, seed=seed))
        assert set(split.calibration) | set(split.learning) == groups
        assert not set(split.calibration) & set(split.learning)
        assert len(split.calibration) == 9  # the fewest that give an interval at 90 %
        learned = {z for one in made_labels if one.group in split.learning
                   for z in one.structure.atomic_numbers}  # fmt: skip
        assert all(set(one.structure.atomic_numbers) <= learned for one in made_labels)


def test_members_watch_different_compositions_that_all_come_up(made_labels, tiny_settings) -> None:
    split = split_labels(made_labels, tiny_settings)
    watched = [split.watched(one) for one in range(split.n_parts)]
    assert sum(len(one) for one in watched) == len(split.learning)
    assert frozenset().union(*watched) == set(split.learning)
    assert split.watched(split.n_parts) == watched[0]


def test_the_seed_decides_and_the_order_does_not(made_labels, tiny_settings) -> None:
    split = split_labels(made_labels, tiny_settings)
    assert split_labels(made_labels[::-1], tiny_settings) == split
    assert split_labels(made_labels, replace(tiny_settings, seed=1)) != split


@pytest.mark.parametrize("count", [0, 2, 20])
def test_too_few_compositions_are_refused(made_labels, tiny_settings, count: int) -> None:
    with pytest.raises(TrainingSetError, match=rf"{count} crystals of .*, 13 compositions"):
        split_labels(made_labels[:count], tiny_settings)


def test_elements_of_one_composition_alone_cannot_be_tested(made_labels, tiny_settings) -> None:
    alone = []
    for number in range(15):
        structure = made_labels[0].structure.copy()
        structure.replace(0, Element.from_Z(37 + number))
        structure.replace(1, Element.from_Z(56 + number))
        alone.append(replace(made_labels[0], structure=structure, group=f"{number}",
                             material_id=f"{number}"))  # fmt: skip
    with pytest.raises(TrainingSetError, match="only 0 compositions"):
        split_labels(alone, tiny_settings)
