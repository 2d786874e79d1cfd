from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.errors import InconsistentDataError, NonFiniteInputError, TrainingSetError
from screening.harmonic import MeshFrequencies
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID
from screening.network_dos.labels import (
    LABEL_TEMPERATURES_K,
    check_labels,
    label_of_density,
    label_of_mesh,
    labels_digest,
)


def mesh_of(n_branches: int, highest: float = 20.0) -> MeshFrequencies:
    frequencies = np.linspace(1.0, highest, 2 * n_branches).reshape(2, n_branches)
    frequencies[0, :3] = 0.0
    return MeshFrequencies(frequencies, np.array([0.25, 0.75]), np.array([[0.0] * 3, [0.5] * 3]),
                           (2, 2, 2))  # fmt: skip


def test_a_label_counts_all_modes_of_the_cell_but_three(crystals) -> None:
    salt = crystals["rocksalt"]
    label = label_of_mesh(salt, mesh_of(6), "salt", PAPER_GRID, "made")
    assert label.group == "NaCl"
    assert label.histogram.sum() == pytest.approx(6.0)
    assert label.histogram[PAPER_GRID.zero] == 0.0  # the acoustic modes at the zone centre
    assert label.weight_outside == 0.0
    last = PAPER_GRID.histogram([20.0], [1.0]).weights.argmax()
    assert label.histogram[last] > 0.0
    assert label.thermodynamics.temperatures_k.tolist() == list(LABEL_TEMPERATURES_K)


def test_weight_outside_is_told_and_refused_and_the_wide_grid_holds_it(crystals) -> None:
    salt, mesh = crystals["rocksalt"], mesh_of(6, highest=45.0)
    narrow = label_of_mesh(salt, mesh, "stiff", PAPER_GRID)
    assert narrow.weight_outside == pytest.approx(12 / 21)  # of 9 modes, 6 of them threefold
    with pytest.raises(TrainingSetError, match=r"^stiff: 57.1 % of the modes lie outside"):
        check_labels([narrow], PAPER_GRID)
    wide = label_of_mesh(salt, mesh, "stiff", WIDE_GRID)
    assert wide.weight_outside == 0.0
    check_labels([wide], WIDE_GRID)


def test_a_density_of_any_normalisation_makes_a_label(crystals) -> None:
    label = label_of_density(crystals["rocksalt"], [0, 5, 10], [0, 7, 0], "salt", PAPER_GRID)
    assert label.histogram.sum() == pytest.approx(6.0)
    assert label.thermodynamics is None
    assert label.histogram @ PAPER_GRID.centres_thz / 6.0 == pytest.approx(5.0, abs=1e-3)


def test_histograms_that_cannot_be_are_refused(made_labels) -> None:
    one = made_labels[0]
    for wrong in (2.0 * one.histogram, -one.histogram, one.histogram[:, None]):
        with pytest.raises(InconsistentDataError):
            replace(one, histogram=wrong)
    with pytest.raises(NonFiniteInputError):
        replace(one, histogram=one.histogram * np.nan)
    with pytest.raises(InconsistentDataError, match="bins of the potential"):
        replace(one, prior=np.append(one.histogram, 0.0))


def test_training_sets_that_contradict_themselves_are_refused(made_labels) -> None:
    check_labels(made_labels, PAPER_GRID)
    with pytest.raises(TrainingSetError, match="given twice"):
        check_labels([made_labels[0]] * 2, PAPER_GRID)
    with pytest.raises(TrainingSetError, match="66 bins for a grid of 216"):
        check_labels(made_labels, WIDE_GRID)
    some = [replace(made_labels[0], prior=made_labels[0].histogram), made_labels[1]]
    with pytest.raises(TrainingSetError, match="1 of 2 labels"):
        check_labels(some, PAPER_GRID)


def test_the_digest_knows_labels_but_no_order(made_labels) -> None:
    digest = labels_digest(made_labels)
    assert labels_digest(made_labels[::-1]) == digest
    other = replace(made_labels[0], prior=made_labels[0].histogram)
    assert labels_digest([other, *made_labels[1:]]) != digest
    assert labels_digest(made_labels[1:]) != digest
