import numpy as np
import pytest
from pymatgen.core import Structure
from random_springs import spring_crystals, turned

from screening.errors import ModelCorruptError
from screening.random_forest.novelty import MEASURES, Novelty, fit_novelty, held_out_measures

ELEMENTS = (11, 17)


@pytest.fixture(scope="module")
def structures():
    return [one.structure for one in spring_crystals(40)]


@pytest.fixture(scope="module")
def novelty(structures):
    return fit_novelty(structures, ELEMENTS)


def test_measures_do_not_depend_on_how_a_crystal_is_described(structures, novelty):
    for one in structures[:3]:
        order = np.random.default_rng(0).permutation(len(one))
        expected = novelty.measures(one)
        for same in (
            one * (2, 1, 1),
            turned(one)[0],
            Structure.from_sites([one[i] for i in order]),
        ):
            np.testing.assert_allclose(novelty.measures(same), expected, rtol=1e-6)


def test_forces_that_balanced_are_missed_at_once():
    """A chain of pairs in the middle between its neighbours; then one atom is moved."""
    chains = [
        Structure(np.diag([2.0 * a, 9.0, 9.0]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
        for a in np.linspace(2.6, 3.0, 12)
    ]
    novelty = fit_novelty(chains, ELEMENTS)
    moved = chains[5].copy()
    moved.translate_sites([1], [0.02, 0.0, 0.0])
    force = MEASURES.index("force")
    assert novelty.measures(chains[5])[force] < 1e-6
    assert novelty.measures(moved)[force] > 10.0


@pytest.mark.parametrize("volume", [0.4, 2.0])
def test_other_densities_are_far(structures, novelty, volume):
    folds = np.arange(40) % 8
    usual = np.quantile(held_out_measures(structures, ELEMENTS, folds), 0.95, axis=0)
    changed = structures[0].copy()
    changed.scale_lattice(structures[0].volume * volume)
    assert (novelty.measures(changed) / usual).max() > 2.0


def test_held_out_measures_are_those_of_the_other_folds(structures):
    folds = np.arange(12) % 4
    found = held_out_measures(structures[:12], ELEMENTS, folds)
    others = [one for one, fold in zip(structures[:12], folds, strict=True) if fold != 1]
    np.testing.assert_allclose(
        found[1], fit_novelty(others, ELEMENTS).measures(structures[1]), rtol=1e-9
    )
    assert np.all(
        found.max(axis=1) > fit_novelty(structures, ELEMENTS).measures(structures[1]).max() * 0.1
    )


def test_an_element_of_one_fold_alone_is_left_out(structures):
    other = structures[0].copy()
    other.replace(0, "K")
    found = held_out_measures([*structures[1:8], other], (11, 17, 19), np.arange(8) % 4)
    assert np.all(np.isfinite(found))


def test_it_survives_its_arrays(structures, novelty):
    again = Novelty.from_arrays(novelty.arrays(), ELEMENTS)
    np.testing.assert_array_equal(again.measures(structures[7]), novelty.measures(structures[7]))
    with pytest.raises(ModelCorruptError):
        Novelty.from_arrays({}, ELEMENTS)
    for name in ("novelty/atom/11/mean", "novelty/cell/whitening"):
        with pytest.raises(ModelCorruptError):
            Novelty.from_arrays(novelty.arrays() | {name: np.zeros((2, 3))}, ELEMENTS)
