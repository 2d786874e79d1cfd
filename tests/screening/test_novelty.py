import numpy as np
import pytest
from pymatgen.core import Structure
from random_springs import spring_crystals, turned

from screening.errors import ModelCorruptError
from screening.novelty import MEASURES, Novelty, fit_novelty, held_out_measures, lessons_of
from screening.novelty_limits import NoveltyLimits

ELEMENTS = (11, 17)


@pytest.fixture(scope="module")
def structures():
    return [one.structure for one in spring_crystals(40)]


@pytest.fixture(scope="module")
def lessons(structures):
    return lessons_of(structures, ELEMENTS)


@pytest.fixture(scope="module")
def novelty(lessons):
    return fit_novelty(lessons, ELEMENTS)


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


@pytest.fixture(scope="module")
def chains():
    """A row of pairs, each atom in the middle between its neighbours."""
    return [
        Structure(np.diag([2.0 * a, 9.0, 9.0]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
        for a in np.linspace(2.6, 3.0, 12)
    ]


def test_an_atom_off_its_place_is_seen_with_its_distance(chains):
    novelty = fit_novelty(lessons_of(chains, ELEMENTS), ELEMENTS)
    moved = chains[5].copy()
    moved.translate_sites([1], [0.04, 0.0, 0.0], frac_coords=False)
    at = MEASURES.index("displacement")
    assert novelty.measures(chains[5])[at] < 1e-9
    assert novelty.measures(moved)[at] == pytest.approx(0.02, rel=0.2)  # both atoms, half each


def test_a_strained_lattice_is_seen_with_its_strain():
    """Crystals of one edge, but for rounding."""
    cubes = [
        Structure(np.eye(3) * (5.6 + 1e-3 * i), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for i in range(20)
    ]
    novelty = fit_novelty(lessons_of(cubes, ELEMENTS), ELEMENTS)
    for factor in (0.96, 1.04):
        changed = cubes[3].copy()
        changed.scale_lattice(changed.volume * factor)
        measures = novelty.measures(changed)
        assert measures[MEASURES.index("volume")] == pytest.approx(0.04, abs=0.015)
    sheared = Structure(
        cubes[3].lattice.matrix @ np.array([[1, 0.03, 0], [0.03, 1, 0], [0, 0, 1.0]]),
        cubes[3].species,
        cubes[3].frac_coords,
    )
    strain = novelty.measures(sheared)[MEASURES.index("strain")]
    assert strain == pytest.approx(0.03 * 2**0.5, rel=0.5)


@pytest.mark.parametrize("volume", [0.4, 2.0])
def test_other_densities_are_refused(structures, lessons, novelty, volume):
    limits = NoveltyLimits.of(held_out_measures(lessons, ELEMENTS, np.arange(40) % 8))
    changed = structures[0].copy()
    changed.scale_lattice(structures[0].volume * volume)
    assert limits.novelty(novelty.measures(changed)) > 2.0


def test_held_out_measures_are_those_of_the_other_folds(lessons, structures):
    folds = np.arange(12) % 4
    found = held_out_measures(lessons[:12], ELEMENTS, folds)
    others = [one for one, fold in zip(lessons[:12], folds, strict=True) if fold != 1]
    np.testing.assert_allclose(
        found[1], fit_novelty(others, ELEMENTS).measures(structures[1]), rtol=1e-9
    )


def test_copies_are_the_same_every_time(structures):
    first, again = (lessons_of(structures[:3], ELEMENTS) for _ in range(2))
    np.testing.assert_array_equal(first[2].strains, again[2].strains)
    assert len(lessons_of(structures[:1] * 400, ELEMENTS)[0].moved) == 1


def test_an_element_of_one_fold_alone_is_left_out(structures):
    other = structures[0].copy()
    other.replace(0, "K")
    elements = (11, 17, 19)
    found = held_out_measures(
        lessons_of([*structures[1:8], other], elements), elements, np.arange(8) % 4
    )
    assert np.all(np.isfinite(found))


def test_it_survives_its_arrays(structures, novelty):
    again = Novelty.from_arrays(novelty.arrays(), ELEMENTS)
    np.testing.assert_array_equal(again.measures(structures[7]), novelty.measures(structures[7]))
    with pytest.raises(ModelCorruptError):
        Novelty.from_arrays({}, ELEMENTS)
    for name in ("novelty/atom/11/mean", "novelty/cell/weights"):
        with pytest.raises(ModelCorruptError):
            Novelty.from_arrays(novelty.arrays() | {name: np.zeros((2, 3))}, ELEMENTS)


@pytest.mark.parametrize("change", [0.05, 0.25, 0.5])
def test_rattled_crystals_are_refused_more_often_than_relaxed_ones(change):
    """Springs have no tension: relaxed are chains whose atoms sit in the middle."""
    rng = np.random.default_rng(1)

    def chain(length, shift=0.0):
        cell = np.diag([2.0 * length, 6.5, 7.0])
        cell[1, 2] = length - 2.8
        return Structure(cell, ["Na", "Cl"], [[0, 0, 0], [0.5 + shift / length, 0, 0]])

    lengths = rng.uniform(2.6, 3.2, 40)
    chains = [chain(one) for one in lengths]
    lessons = lessons_of(chains[:30], ELEMENTS)
    limits = NoveltyLimits.of(held_out_measures(lessons, ELEMENTS, np.arange(30) % 5))
    novelty = fit_novelty(lessons, ELEMENTS)
    moved = [limits.novelty(novelty.measures(chain(x, change))) for x in lengths[30:]]
    rest = [limits.novelty(novelty.measures(one)) for one in chains[30:]]
    assert min(moved) > 2.0 * max(rest)
