"""The stored polymorphs of KZnF3 are relaxed, and what is not relaxed is told from them."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from screening.novelty import fit_novelty, held_out_measures, lessons_of
from screening.novelty_limits import NoveltyLimits

ELEMENTS = (9, 19, 30)


@pytest.fixture(scope="module")
def structures():
    path = list(sys.path)
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    labels = importlib.import_module("kznf3_labels").read_labels()
    sys.path[:] = path
    return [one.structure for one in labels]


def rattled(structure, distance, rng):
    moves = rng.normal(size=(len(structure), 3))
    moves *= distance / np.linalg.norm(moves, axis=1)[:, None]
    places = structure.cart_coords + moves
    return Structure(structure.lattice, structure.species, places, coords_are_cartesian=True)


def swollen(structure, factor):
    found = structure.copy()
    found.scale_lattice(factor * structure.volume)
    return found


@pytest.mark.slow
def test_crystals_that_are_not_relaxed_are_refused(structures):
    """By a limit that one relaxed crystal in twenty exceeds: of the others nearly all do."""
    rng = np.random.default_rng(0)
    changes = {
        "relaxed": lambda one: one,
        "rattled": lambda one: rattled(one, 0.1, rng),
        "larger": lambda one: swollen(one, 1.05),
        "smaller": lambda one: swollen(one, 0.95),
    }
    refused = {name: [] for name in changes}
    lessons = lessons_of(structures, ELEMENTS)
    for part in range(4):
        seen = [one for index, one in enumerate(lessons) if index % 4 != part]
        folds = rng.permutation(len(seen)) % 10
        limits = NoveltyLimits.of(held_out_measures(seen, ELEMENTS, folds))
        novelty = fit_novelty(seen, ELEMENTS)
        for one in structures[part::4]:
            for name, change in changes.items():
                refused[name].append(limits.novelty(novelty.measures(change(one))) > 1.0)
    assert len(refused["relaxed"]) >= 121
    assert np.mean(refused["relaxed"]) <= 0.1
    assert np.mean(refused["rattled"]) >= 0.9
    assert np.mean(refused["larger"]) >= 0.95
    assert np.mean(refused["smaller"]) >= 0.95
