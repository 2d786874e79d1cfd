import numpy as np
import pytest
from random_springs import spring_crystals, turned

from screening.errors import ModelCorruptError
from screening.random_forest.novelty import Novelty, fit_novelty, held_out_novelty


@pytest.fixture(scope="module")
def structures():
    return [one.structure for one in spring_crystals(12)]


def test_learned_crystals_are_not_novel_in_any_cell(structures):
    novelty = fit_novelty(structures, (11, 17))
    for one in structures[:3]:
        assert novelty(one) < 1e-2
        assert novelty(one * (2, 1, 1)) < 1e-2
        assert novelty(turned(one)[0]) < 1e-2


def test_strange_surroundings_are_novel(structures):
    novelty = fit_novelty(structures, (11, 17))
    limit = held_out_novelty(novelty, structures, np.arange(12) % 4).max()
    squeezed = structures[0].copy()
    squeezed.scale_lattice(squeezed.volume * 0.4)
    assert novelty(squeezed) > limit > 0.0


def test_held_out_novelty_sees_no_atom_of_its_fold(structures):
    twice = [structures[0], structures[0], structures[1]]
    novelty = fit_novelty(twice, (11, 17))
    apart = held_out_novelty(novelty, twice, np.array([0, 1, 2]))
    together = held_out_novelty(novelty, twice, np.array([0, 0, 1]))
    assert apart[0] < 1e-2 < together[0]


def test_it_survives_its_arrays(structures):
    novelty = fit_novelty(structures[:6], (11, 17))
    again = Novelty.from_arrays(novelty.arrays(), (11, 17))
    assert again(structures[7]) == pytest.approx(novelty(structures[7]), rel=1e-6)
    with pytest.raises(ModelCorruptError):
        Novelty.from_arrays({}, (11, 17))
    with pytest.raises(ModelCorruptError):
        Novelty.from_arrays(novelty.arrays() | {"novelty/11": np.zeros((2, 3))}, (11, 17))
