"""All baselines on one split."""

from __future__ import annotations

import json

import pytest
from debye_labels import debye_label, salts
from phonondb_labels import phonondb_labels

from screening.errors import InconsistentDataError
from screening.network_dos.baseline_rows import baseline_rows
from screening.network_dos.grid import WIDE_GRID

NAMES = ["zero", "mean", "nearest_neighbours", "debye", "born_von_karman"]


def test_rows_of_real_crystals_of_other_compositions() -> None:
    labels = phonondb_labels(WIDE_GRID)
    groups = sorted({one.group for one in labels})[::4]
    training = [one for one in labels if one.group not in groups]
    rows = baseline_rows(training, [one for one in labels if one.group in groups], WIDE_GRID)
    assert list(rows) == [*NAMES, "scalar"]
    assert json.loads(json.dumps(rows)) == rows
    distance = {name: rows[name]["wasserstein_thz"] for name in NAMES}
    assert distance["nearest_neighbours"] < 0.6 * distance["mean"]
    assert distance["debye"] < 0.6 * distance["mean"]
    assert distance["mean"] < distance["zero"]
    assert rows["zero"]["mae"] < rows["mean"]["mae"]  # why the published measure says little
    entropy = {name: row["entropy_300k_mev_per_k_per_atom_mae"] for name, row in rows.items()}
    assert max(entropy[name] for name in ("scalar", "nearest_neighbours")) < 0.7 * entropy["mean"]


def test_debye_wins_where_all_are_debye_solids_and_a_perfect_potential_before_it() -> None:
    labels = [debye_label(one, WIDE_GRID) for one in salts()]
    exact = [
        debye_label(one, WIDE_GRID, prior=own.histogram)
        for one, own in zip(salts()[::5], labels[::5], strict=True)
    ]
    rows = baseline_rows([one for i, one in enumerate(labels) if i % 5], exact, WIDE_GRID)
    assert list(rows) == [*NAMES, "potential", "scalar"]
    assert rows["potential"]["wasserstein_thz"] == pytest.approx(0.0, abs=1e-12)
    others = [rows[name]["wasserstein_thz"] for name in NAMES if name != "debye"]
    assert rows["debye"]["wasserstein_thz"] < 0.1 * min(others)


def test_one_composition_on_both_sides_is_refused() -> None:
    labels = [debye_label(one, WIDE_GRID) for one in salts()]
    with pytest.raises(InconsistentDataError, match="both sets"):
        baseline_rows(labels, labels[:1], WIDE_GRID)
