"""Thermodynamics learned directly, without a density of states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from debye_labels import debye_label, salt, salts
from phonondb_labels import phonondb_labels

from screening.errors import InconsistentDataError, TrainingSetError
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID
from screening.network_dos.properties import DosSettings, dos_properties
from screening.network_dos.scalar_model import ScalarForest, label_curves

LABELS = [debye_label(one, PAPER_GRID) for one in salts()]
KELVIN = (300.0, 1000.0)


def test_a_forest_finds_most_of_the_entropies_of_other_compositions() -> None:
    model = ScalarForest.fit([one for one in LABELS if one.group != "KBr"], PAPER_GRID, KELVIN)
    found = model.predict([salt("K", "Br")])
    truth = label_curves([one for one in LABELS if one.group == "KBr"], PAPER_GRID, KELVIN)
    spread = label_curves(LABELS, PAPER_GRID, KELVIN).entropy_mev_per_k_per_atom.std(axis=0)
    error = np.abs(found.entropy_mev_per_k_per_atom - truth.entropy_mev_per_k_per_atom)[0]
    assert found.entropy_mev_per_k_per_atom.shape == (1, 2)
    assert np.all(error < 0.4 * spread)
    again = ScalarForest.fit([one for one in LABELS if one.group != "KBr"], PAPER_GRID, KELVIN)
    np.testing.assert_array_equal(
        again.predict([salt("K", "Br")]).free_energy_mev_per_atom, found.free_energy_mev_per_atom
    )


def test_exact_sums_come_before_those_over_bins() -> None:
    labels = phonondb_labels(WIDE_GRID)[:3]
    mixed = [labels[0], replace(labels[1], thermodynamics=None), labels[2]]
    found = label_curves(mixed, WIDE_GRID, KELVIN)
    place = list(labels[0].thermodynamics.temperatures_k).index(300.0)
    assert (
        found.entropy_mev_per_k_per_atom[0, 0]
        == (labels[0].thermodynamics.entropy_mev_per_k_per_atom[place])
    )
    histogram = dos_properties(
        [labels[1].histogram], [labels[1].n_atoms], WIDE_GRID, DosSettings(temperatures_k=KELVIN)
    )
    np.testing.assert_allclose(
        found.free_energy_mev_per_atom[1], histogram.free_energy_mev_per_atom[0], rtol=1e-12
    )
    with pytest.raises(InconsistentDataError, match="Choose among"):
        label_curves(labels, WIDE_GRID, (301.0,))


def test_too_few_crystals_are_refused() -> None:
    with pytest.raises(TrainingSetError):
        ScalarForest.fit(LABELS[:1], PAPER_GRID)
    with pytest.raises(TrainingSetError):
        ScalarForest.fit(LABELS, WIDE_GRID)
