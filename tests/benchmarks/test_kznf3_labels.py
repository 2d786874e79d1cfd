"""The stored polymorphs of KZnF3 are relaxed, and what is not relaxed is told from them."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from screening.random_forest.novelty import fit_novelty, held_out_measures

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
    """By a limit that one relaxed crystal in twenty exceeds: of rattled ones nearly all do."""
    refused = {"relaxed": [], "rattled": [], "larger": [], "smaller": []}
    rng = np.random.default_rng(0)
    for part in range(4):
        new = structures[part::4]
        seen = [one for index, one in enumerate(structures) if index % 4 != part]
        folds = rng.permutation(len(seen)) % 10
        usual = held_out_measures(seen, ELEMENTS, folds)
        scales = np.quantile(usual, 0.95, axis=0)
        limit = np.quantile((usual / scales).max(axis=1), 0.95, method="higher")
        novelty = fit_novelty(seen, ELEMENTS)
        for one in new:
            cells = {
                "relaxed": one,
                "rattled": rattled(one, 0.2, rng),
                "larger": swollen(one, 1.1),
                "smaller": swollen(one, 0.9),
            }
            for name, cell in cells.items():
                refused[name].append((novelty.measures(cell) / scales).max() > limit)
    assert len(refused["relaxed"]) >= 121
    assert np.mean(refused["relaxed"]) <= 0.1
    assert np.mean(refused["rattled"]) >= 0.9
    assert np.mean(refused["larger"]) >= 0.9
    assert np.mean(refused["smaller"]) >= 0.9
