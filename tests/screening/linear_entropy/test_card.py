from __future__ import annotations

import json
from dataclasses import replace

import lennard_jones as lj
import numpy as np
import pytest

from screening.linear_entropy.card import PAPER_FIGURES, model_card
from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.table import training_table
from screening.linear_entropy.thermal_validation import ThermalErrors
from screening.linear_entropy.validation import cross_validate

SETTINGS = LinearEntropySettings(
    descriptor_settings={"cutoff_angstrom": 2.5, "n_radial": 4, "l_max": 2}, n_folds=5
)


@pytest.fixture(scope="module")
def cross_validated():
    labels = [
        replace(one, origin=replace(one.origin, family="odd" if k % 2 else "even"))
        for k, one in enumerate(lj.clusters(40))
    ]
    table = training_table(labels, SETTINGS)
    return table, cross_validate(table)


@pytest.fixture(scope="module")
def card(cross_validated):
    return model_card(*cross_validated, None, SETTINGS)


def test_scores_are_those_of_the_held_out_values(cross_validated, card):
    table, moments = cross_validated
    errors = -0.5 * (np.array([one.log_determinant for one in moments]) - table.truth)
    found = card["entropy_boltzmann_per_cell"]
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found["spread"] == pytest.approx(np.std(0.5 * table.truth))
    assert found["skill"] == pytest.approx(1.0 - found["mae"] / found["mad"])
    parity = card["parity"]["entropy_boltzmann_per_atom"]
    sizes = np.array([len(one.system) for one in table.labels])
    apart = np.subtract(parity["predicted"], parity["reference"])
    assert apart == pytest.approx(errors / sizes)


def test_baselines_are_predicted_without_the_own_part_too(cross_validated, card):
    table, _ = cross_validated
    truth, sizes = -0.5 * table.truth, np.array([len(one.system) for one in table.labels])
    per_atom, predicted = truth / sizes, np.empty(len(truth))
    for part in range(5):
        mine = table.folds == part
        predicted[mine] = per_atom[~mine].mean()
    expected = np.sqrt(np.mean((sizes * predicted - truth) ** 2))
    assert card["baselines"]["mean"]["rmse"] == pytest.approx(expected)


def test_coverage_of_each_class_stands_beside_how_many_are_open(card):
    coverage = card["coverage"]
    assert set(coverage["families"]) == {"odd", "even"}
    for one in (coverage, *coverage["families"].values()):
        assert 0.75 <= one["calibrated"] <= 1.0
        assert one["open"] == 0.0


def test_only_entropies_of_formation_stand_beside_those_of_the_paper(cross_validated, card):
    assert "paper" not in card
    formation = model_card(*cross_validated, None, replace(SETTINGS, target="formation"))
    assert formation["paper"] == dict(PAPER_FIGURES)


def test_curves_have_panels_and_coverage_of_those_held_out(cross_validated):
    table, moments = cross_validated
    random = np.random.default_rng(0)
    exact = random.normal(10.0, 1.0, (40, 3, 2))
    scales = np.broadcast_to([0.1, 0.2, 0.3], (2, 40, 3)).transpose(1, 2, 0)
    predicted = exact + scales * random.normal(size=exact.shape)
    predicted[0] = np.nan  # its moments allow no spectrum
    card = model_card(
        table, moments, ThermalErrors((100.0, 300.0), predicted, exact, scales), SETTINGS
    )
    assert list(card["parity"]) == [
        "entropy_boltzmann_per_atom",
        "free_energy_mev_per_atom 300 K",
        "heat_capacity_mev_per_k_per_atom 300 K",
    ]
    for number, (_, panel) in zip((0, 2), list(card["parity"].items())[1:], strict=True):
        assert panel["reference"] == exact[1:, number, 1].tolist()
        assert panel["predicted"] == predicted[1:, number, 1].tolist()
    coverage = card["held_out_coverage_300k"]
    assert list(coverage) == ["free_energy", "entropy", "heat_capacity"]
    assert all(0.75 <= one <= 39 / 40 for one in coverage.values())
    json.dumps(card, allow_nan=False)
    elsewhere = ThermalErrors((100.0, 200.0), predicted, exact, scales)
    assert "held_out_coverage_300k" not in model_card(table, moments, elsewhere, SETTINGS)


def test_the_card_counts_what_nobody_knows_to_be_at_rest(cross_validated, card):
    table, moments = cross_validated
    assert card["n_unknown_residual_force"] == 40
    known = [
        replace(one, origin=replace(one.origin, largest_force_ev_per_angstrom=0.0))
        for one in table.labels[:10]
    ]
    told = replace(table, labels=[*known, *table.labels[10:]])
    assert model_card(told, moments, None, SETTINGS)["n_unknown_residual_force"] == 30
    json.dumps(card, allow_nan=False)
