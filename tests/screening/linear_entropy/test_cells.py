from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import cache

import lennard_jones as lj
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.descriptors.interface import AtomicSystem
from screening.errors import ModelCorruptError, OutOfDomainError, TrainingSetError
from screening.linear_entropy import LinearEntropySettings, train_entropy
from screening.linear_entropy.cells import (
    MISFIT_TOLERANCE,
    SIZE_TOLERANCE,
    STRAIN_TOLERANCE,
    CellRange,
    measure_cell,
    perfect_crystal,
)
from screening.linear_entropy.model import LinearEntropyModel, predict_entropy

SETTINGS = LinearEntropySettings(
    descriptor_settings={"cutoff_angstrom": 2.5, "n_radial": 6, "l_max": 4},
    target="formation",
    n_folds=5,
)


@cache
def strained(strain, n_cells=12, repeats=2, seed=11):
    """Return a perfect cell at a strain, and relaxed cells of it with one to four vacancies."""
    sites, edge = lj.fcc(repeats, lj.FCC_EDGE * (1.0 + strain))
    bulk = lj.label(sites, edge, f"bulk-{repeats}-{strain:g}")
    random, found = np.random.default_rng(seed), []
    while len(found) < n_cells:
        n_vacancies = len(found) % 4 + 1
        left = np.delete(sites, random.permutation(len(sites))[:n_vacancies], axis=0)
        with suppress(TrainingSetError):  # no minimum
            name = f"{bulk.material_id}-{seed}-{len(found)}"
            found.append(lj.label(lj.at_rest(left, edge), edge, name, bulk=bulk.material_id))
    return bulk, found


@cache
def trained(*cells):
    """Learn from so many cells of each strain and number of repeats."""
    labels = []
    for strain, repeats, n_cells in cells or ((0.0, 2, 24),):
        bulk, defects = strained(strain, n_cells, repeats, seed=7)
        labels += [bulk, *defects]
    return train_entropy(labels, SETTINGS, "defects")


def several():
    """Learn from two sizes and three strains."""
    return trained((0.0, 2, 12), (0.01, 2, 12), (0.02, 2, 12), (0.0, 3, 3))


def asked(model, bulk, defects, **given):
    model = LinearEntropyModel.from_trained(model)
    systems = [one.system for one in defects]
    return predict_entropy(model, systems, bulks=[bulk.system] * len(defects), **given)


def errors(found, bulk, defects):
    mean = bulk.extensive_log_determinant / len(bulk.system)
    exact = [-0.5 * (x.extensive_log_determinant - len(x.system) * mean) for x in defects]
    return np.abs(found.entropy_boltzmann - exact)


def deformed(system, deformation):
    return replace(
        system,
        positions_angstrom=system.positions_angstrom @ deformation,
        cell_angstrom=system.cell_angstrom @ deformation,
    )


@pytest.mark.parametrize("strain", [-0.003, 0.004, 0.02])
def test_strains_that_were_not_learned_from_are_refused(strain):
    bulk, defects = strained(strain, 4)
    found = asked(trained(), bulk, defects)
    assert np.all(found.novelty > 1.0)
    assert np.all(np.isinf(found.half_width_boltzmann))
    assert all("Å³ for each atom of its perfect crystal" in one.message for one in found.refusals)
    assert all("Train on several sizes and strains" in one.hint for one in found.refusals)
    with pytest.raises(OutOfDomainError, match="learned from"):
        asked(trained(), bulk, defects, strict=True)


def test_intervals_hold_within_the_tolerance_of_the_strain():
    model, errs, inside = trained(), [], []
    for strain in (-0.9 * STRAIN_TOLERANCE, 0.0, 0.9 * STRAIN_TOLERANCE):
        bulk, defects = strained(strain, 12)
        found = asked(model, bulk, defects, strict=True)
        assert found.refusals == (None,) * 12
        errs.append(errors(found, bulk, defects))
        inside.append(errs[-1] <= found.half_width_boltzmann)
    below, usual, above = (one.mean() for one in errs)
    assert max(below, above) < 1.5 * usual
    assert np.mean(inside) >= 0.85


def test_the_bias_that_the_refusal_is_for_is_there():
    model = trained()
    at_rest, pulled = (strained(strain, 12) for strain in (0.0, 0.03))
    usual, biased = (
        errors(asked(model, *one), *one).mean() for one in (at_rest, pulled)
    )  # values without intervals stay
    assert biased > 2.0 * usual


def test_cells_of_another_size_are_refused():
    bulk, defects = strained(0.0, 3, repeats=3)
    found = asked(trained(), bulk, defects)
    assert all("108 sites, learned from 32" in one.message for one in found.refusals)
    one = strained(0.0, 1)[1][0].system
    longer = AtomicSystem(one.positions_angstrom, one.numbers, one.cell_angstrom)
    range_ = LinearEntropyModel.from_trained(trained()).calibration.cells
    crystal = perfect_crystal(bulk.system)
    usual = measure_cell(longer, crystal)
    for factor, is_new in ((0.99, False), (1.01, True)):
        for size in (
            32.0 * (1.0 + SIZE_TOLERANCE) ** factor,
            32.0 / (1.0 + SIZE_TOLERANCE) ** factor,
        ):
            assert (range_.novelty(replace(usual, n_sites=size)) > 1.0) == is_new


def test_who_learns_from_several_sizes_and_strains_is_asked_between_them():
    model = several()
    for strain, repeats in ((0.0, 2), (0.005, 2), (0.015, 2)):
        bulk, defects = strained(strain, 8, repeats)
        found = asked(model, bulk, defects)
        new = [one for one in found.refusals if one is not None]
        assert not any("learned from" in one.message for one in new)
        kept = np.isfinite(found.half_width_boltzmann)
        assert kept.mean() > 0.5
        assert np.mean((errors(found, bulk, defects) <= found.half_width_boltzmann)[kept]) >= 0.75
    for strain, is_new in ((-0.005, True), (0.025, True), (0.01, False)):
        bulk, defects = strained(strain, 1, 3 if strain == 0.01 else 2)
        (refusal,) = asked(model, bulk, defects).refusals
        assert (refusal is not None and "learned from" in refusal.message) == is_new


def test_a_sheared_crystal_of_the_same_volume_is_new():
    bulk, defects = strained(0.0, 1)
    for size, is_new in ((5e-4, False), (2e-2, True)):
        shear = np.eye(3) + size * np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        stretch = np.diag([1.0 + size, 1.0 / (1.0 + size), 1.0])
        for one in (shear / np.linalg.det(shear) ** (1.0 / 3.0), stretch):
            moved = replace(bulk, system=deformed(bulk.system, one))
            cell = replace(defects[0], system=deformed(defects[0].system, one))
            (refusal,) = asked(trained(), moved, [cell]).refusals
            assert (refusal is not None) == is_new
            assert refusal is None or "sheared" in refusal.message


def test_a_cell_in_another_strain_than_its_perfect_crystal_is_new():
    bulk, defects = strained(0.0, 1)
    for size, is_new in ((0.5 * MISFIT_TOLERANCE, False), (1e-3, True), (-0.01, True)):
        cell = replace(defects[0], system=deformed(defects[0].system, (1.0 + size) * np.eye(3)))
        (refusal,) = asked(trained(), bulk, [cell]).refusals
        assert (refusal is not None) == is_new
        assert refusal is None or "Give the perfect crystal in the strain" in refusal.hint


def test_a_cluster_is_no_cell_of_defects():
    bulk, defects = strained(0.0, 1)
    loose = replace(defects[0], system=replace(defects[0].system, cell_angstrom=None))
    assert asked(trained(), bulk, [loose]).novelty.tolist() == [np.inf]


def test_measures_do_not_depend_on_the_choice_of_the_cell():
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    defect = AtomicSystem.from_structure(silicon * (2, 2, 3))
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    expected = measure_cell(defect, perfect_crystal(AtomicSystem.from_structure(silicon)))
    assert expected.n_sites == pytest.approx(96.0)
    assert expected.misfit < 1e-12
    for cell in (silicon.get_primitive_structure(), silicon * (2, 1, 2)):
        noisy = cell.copy().perturb(1e-3)
        found = measure_cell(defect, perfect_crystal(AtomicSystem.from_structure(cell)))
        assert found.n_sites == pytest.approx(96.0)
        assert found.shape == pytest.approx(expected.shape, abs=1e-9)
        about = measure_cell(defect, perfect_crystal(AtomicSystem.from_structure(noisy)))
        assert about.shape == pytest.approx(expected.shape, abs=2e-3)
        turned = measure_cell(
            deformed(defect, rotation),
            perfect_crystal(deformed(AtomicSystem.from_structure(silicon), rotation)),
        )
        assert turned.misfit < 1e-9
    assert found.misfit < 1e-9  # of the lattice of the exact cell


def test_a_cell_that_is_turned_against_its_perfect_crystal_teaches_nothing():
    bulk, defects = strained(0.0, 24)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turned = [replace(x, system=deformed(x.system, rotation)) for x in defects]
    with pytest.raises(TrainingSetError, match="or turned"):
        train_entropy([bulk, *turned], SETTINGS, "none")


def test_cards_and_states_tell_the_range():
    model = several()
    volume = lj.FCC_EDGE**3 / 4.0
    card = model.card["cells"]
    assert model.card["notes"][-1].startswith(
        "intervals are for cells of 32 to 108 sites with 0.93"
    )
    assert card["n_sites"] == pytest.approx([32.0, 108.0])
    assert card["volume_angstrom3_per_site"] == pytest.approx([volume, volume * 1.02**3])
    stored = json.loads(json.dumps(model.state["calibration"]["cells"], allow_nan=False))
    known = LinearEntropyModel.from_trained(model).calibration.cells
    assert CellRange.from_dict(stored) == known
    for broken in (
        {"n_sites": [3.0, 2.0]},
        {"length_angstrom": [0.0, 2.0]},
        {"shape_low": stored["shape_low"][1:], "shape_high": stored["shape_high"][1:]},
        {"misfit": float("nan")},
    ):
        with pytest.raises(ModelCorruptError):
            CellRange.from_dict(stored | broken)
    without = {**model.state, "calibration": {**model.state["calibration"], "cells": None}}
    with pytest.raises(ModelCorruptError, match="or missing"):
        LinearEntropyModel.from_trained(replace(model, state=without))
