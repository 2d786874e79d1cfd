"""Polymorphs that relaxed into one and the same crystal are ranked once."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.comparison import Exclusion
from screening.prediction import Relaxation
from stores.builders.polymorphs import rank_composition
from stores.builders.relaxed import relaxed_into_another

RELAXED = Relaxation(True, 7, 1e-4, 0.01, 1.01, 221, 221)


def perovskite(a=3.94, off_center=0.0):
    return Structure(
        Lattice.cubic(a),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5 + off_center], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


def shaken(structure, length_angstrom=0.004):
    moved = structure.copy()
    rng = np.random.default_rng(1)
    for index in range(len(moved)):
        step = rng.normal(size=3)
        moved.translate_sites(
            [index], length_angstrom * step / np.linalg.norm(step), frac_coords=False
        )
    return moved


@pytest.fixture
def relaxed(make_structure, make_prediction):
    def make(name, structure, energy_mev=0.0, **changes):
        fields = {
            "structure": structure,
            "relaxation": RELAXED,
            "static_energy_ev_per_atom": -8.0 + energy_mev / 1000,
        }
        return make_prediction(make_structure(name, "SrTiO3"), **fields | changes)

    return make


@pytest.mark.parametrize(
    "other",
    [
        perovskite(3.945),
        shaken(perovskite()),
        shaken(perovskite() * (2, 1, 1)),
        perovskite() * [[1, 1, 0], [-1, 1, 0], [0, 0, 2]],
    ],
    ids=["length", "shaken", "supercell", "rotated supercell"],
)
def test_one_minimum_from_two_sides_is_one_crystal(relaxed, other):
    pair = {"b": relaxed("b", perovskite()), "a": relaxed("a", other, 0.5)}
    assert relaxed_into_another(pair) == {"b": "a"}


@pytest.mark.parametrize(
    ("other", "energy_mev", "changes"),
    [
        (perovskite(4.01), 0.5, {}),
        (perovskite(off_center=0.03), 0.5, {}),  # 0.12 Angstrom
        (perovskite(), 2.5, {}),
        (perovskite(), 0.5, {"model_digest": "d" * 64}),
        (perovskite(), 0.5, {"static_energy_ev_per_atom": None, "static_energy_source": None}),
    ],
    ids=["volume", "position", "energy", "model", "no energy"],
)
def test_two_crystals_stay_two(relaxed, other, energy_mev, changes):
    pair = {"a": relaxed("a", perovskite()), "b": relaxed("b", other, energy_mev, **changes)}
    assert relaxed_into_another(pair) == {}


def test_what_was_not_relaxed_is_not_compared(relaxed):
    pair = {n: relaxed(n, perovskite(), relaxation=None) for n in "ab"}
    assert relaxed_into_another(pair) == {}


def test_an_invalid_phase_stands_for_nobody(relaxed):
    pair = {"a": relaxed("a", perovskite(), valid=False), "b": relaxed("b", perovskite())}
    assert relaxed_into_another(pair) == {}


def test_three_of_one_crystal_are_one(relaxed):
    found = relaxed_into_another({n: relaxed(n, perovskite()) for n in "cab"})
    assert found == {"b": "a", "c": "a"}


def test_the_ranking_names_the_other_material(make_structure, relaxed):
    structures = [make_structure(name, "SrTiO3") for name in "ab"]
    predictions = {n: [relaxed(n, perovskite())] for n in "ab"}
    made = rank_composition(structures, predictions)
    assert made.material_ids == ("a",)
    assert [(one.material_id, one.exclusion, one.detail) for one in made.excluded] == [
        ("b", Exclusion.RELAXED_INTO_ANOTHER, "relaxed into the same crystal as a")
    ]
