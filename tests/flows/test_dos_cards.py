"""Cards of networks of densities of states in the form of all cards."""

from __future__ import annotations

from flows.model_cards import coverages_of, notes_of, parities_of, score_rows, summary_of

SCORES = {"mae": 2.0, "rmse": 3.0, "mad": 10.0, "pearson": 0.9, "spearman": 0.9, "skill": 0.8}
CARD = {
    "seeds": [0, 1],
    "n_learned_from": 32,
    "n_held_out": 16,
    "wall_seconds": 27.3,
    "member_histories": [{"best_epoch": 12}, {"best_epoch": 3}],
    "scores": {
        "network": {"wasserstein_thz": 2.2, "mae": 0.06, "count": 16, "recall_of_instability": 0.5},
        "zero": {"wasserstein_thz": 9.0, "mae": 0.2},
        "debye": {"wasserstein_thz": 1.7, "mae": 0.1, "free_energy_300k_mev_per_atom_mae": 4.0},
        "scalar": {"free_energy_300k_mev_per_atom_mae": 3.0},
    },
    "thermodynamics": {"free_energy_300k_mev_per_atom": SCORES | {"count": 14}},
    "coverage": {"intended": 0.9, "held_out_300k": {"free_energy": 0.875, "entropy": None}},
    "parity": {"free_energy_300k": {"reference": [1.0], "predicted": [2.0], "unit": "meV/atom"}},
    "notes": ["of these labels"],
}


def test_rows_stand_beside_the_best_baseline():
    rows = {row.label: row for row in score_rows(CARD)}
    assert set(rows) == {"distance of modes", "curve of maximum one", "F 300 K"}
    distance, free = rows["distance of modes"], rows["F 300 K"]
    assert (distance.baseline, distance.baseline_mae, distance.unit) == ("Debye", 1.7, "THz")
    assert distance.skill_over_guess < 0.0
    assert (free.baseline, free.baseline_mae, free.n_structures) == ("direct model", 3.0, 14)
    assert free.unit == "meV/atom"


def test_coverage_stability_and_history_are_told():
    [coverage] = coverages_of(CARD)
    assert (coverage.label, coverage.nominal, coverage.observed) == ("free energy", 0.9, 0.875)
    notes = " ".join(notes_of(CARD))
    for said in ("88 %", "rule of a tenth: 50 %", "12, 3", "of these labels"):
        assert said in notes
    assert "2 networks" in summary_of(CARD)
    assert "corrects chgnet" in summary_of(CARD | {"prior": {"model": "chgnet"}})
    assert [one.label for one in parities_of(CARD)] == ["free energy 300 K"]
