from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.network_dos.estimates import CURVES, estimates_of, truth_of
from screening.network_dos.grid import PAPER_GRID


def test_members_that_agree_on_the_truth_give_it_without_spread(made_labels) -> None:
    labels = made_labels[:6]
    histograms = np.array([one.histogram for one in labels])
    structures = [one.structure for one in labels]
    found = estimates_of(np.stack([histograms] * 3, axis=1), structures, PAPER_GRID)
    truth = truth_of(labels, PAPER_GRID)
    for name in CURVES:
        np.testing.assert_allclose(found.values[name], truth.values[name], rtol=1e-12)
        np.testing.assert_allclose(found.deviations[name], 0.0, atol=1e-9)
    for name, values in truth.scalars.items():
        np.testing.assert_allclose(found.scalars[name], values, atol=1e-12)
    assert truth.has_thermodynamics.all()


def test_members_count_alike_whatever_their_normalisation(made_labels) -> None:
    structures = [one.structure for one in made_labels[:2]]
    two = np.array([[made_labels[0].histogram, made_labels[1].histogram]] * 2)
    scaled = two * np.array([1.0, 7.0])[:, None]
    first, second = (estimates_of(one, structures, PAPER_GRID) for one in (two, scaled))
    np.testing.assert_allclose(first.values["entropy"], second.values["entropy"])
    assert (first.deviations["entropy"][:, 1:] > 0.0).all()


def test_crystals_without_isotopes_and_unstable_ones_have_no_truth(made_labels) -> None:
    by_name = {one.material_id: one for one in made_labels}
    pure, mixed = by_name["NaF-rocksalt"], by_name["LiCl-rocksalt"]
    histogram = np.zeros(len(PAPER_GRID))
    histogram[[3, 40]] = 2.0, 4.0  # a third of the weight below zero
    truth = truth_of([pure, mixed, replace(mixed, histogram=histogram)], PAPER_GRID)
    assert truth.has_scalar["log_isotope_rate"].tolist() == [False, True, False]
    assert truth.has_thermodynamics.tolist() == [True, True, False]
    assert truth.scalars["negative_fraction"][2] == pytest.approx(1.0 / 3.0)


def test_soft_weight_is_that_up_to_40_per_cm(made_labels) -> None:
    histogram = np.zeros((1, 2, len(PAPER_GRID)))
    zero = PAPER_GRID.zero
    histogram[..., [zero - 1, zero, zero + 2, zero + 3]] = 1.0, 2.0, 3.0, 4.0
    found = estimates_of(histogram, [made_labels[0].structure], PAPER_GRID)
    assert found.soft_fraction[0] == pytest.approx(0.5)
