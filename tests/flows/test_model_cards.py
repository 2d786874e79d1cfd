"""Cards of both methods in one form, as tables and as pictures."""

from io import StringIO

import pytest
from rich.console import Console

from flows.model_cards import (
    Parity,
    coverages_of,
    notes_of,
    parities_of,
    score_rows,
    summary_of,
    warnings_of,
)
from flows.plots import plot_model_scores, plot_parity
from flows.tables import table_model
from screening.errors import SettingError
from screening.shipped_models import read_shipped
from screening.trained_model import TrainedModel

SCORES = {"count": 9, "mae": 0.1, "rmse": 0.2, "mad": 0.4, "skill": 0.75, "pearson": 0.9,
          "spearman": 0.8}  # fmt: skip
FOREST = {
    "choice": {"9-9": "rf_multi", "9-19": "rf_multi"},
    "n_folds": 10,
    "n_duplicates": 3,
    "scores": [
        SCORES
        | {"quantity": "entropy_300k", "unit": "meV/K/atom", "mean_block_mae": 0.5,
           "mean_value_mae": 0.4, "published": {"mae": 0.3, "rmse": 0.4}},
        SCORES | {"quantity": "all_hessian_components", "unit": "eV/Å²", "mean_block_mae": 0.3,
                  "mean_value_mae": None, "published": None},
    ],
    "coverage": 0.9,
    "held_out_coverage_300k": {"free_energy": 0.88},
    "clipped_modes_per_cell": 0.25,
    "notes": ["one"],
}  # fmt: skip
LINEAR = {
    "descriptor": {"name": "afs"},
    "n_features": 220,
    "n_groups": 40,
    "entropy_boltzmann_per_atom": SCORES,
    "entropy_boltzmann_per_cell": SCORES,
    "families": {"vacancy": SCORES, "damaged": SCORES},
    "baselines": {"mean": SCORES | {"mae": 3.0}, "atom_counts": SCORES | {"mae": 2.0}},
    "coverage": {"intended": 0.9, "calibrated": 0.92, "native_90": 0.5, "families": {}},
    "thermodynamics": {
        "crystals_without_spectrum": 0,
        "free_energy_mev_per_atom": {
            "0 K": SCORES | {"mae": 0.5, "skill": -0.25},
            "300 K": SCORES,
            "600 K": SCORES,
            "1000 K": SCORES,
        },
        "entropy_mev_per_k_per_atom": {"0 K": SCORES | {"mad": 0.0, "skill": None}},
    },
    "paper": {
        "formation_rmse_boltzmann_afs": 0.3,
        "random_damage_and_defects_rmse_boltzmann": 0.8,
    },
}


def test_rows_of_the_force_constants_have_the_best_guess_and_the_paper():
    entropy, hessian = score_rows(FOREST)
    assert (entropy.label, entropy.unit) == ("entropy 300 K", "meV/K/atom")
    assert (entropy.baseline, entropy.baseline_mae) == ("mean value", 0.4)
    assert entropy.paper["mae"] == 0.3
    assert (hessian.baseline, hessian.baseline_mae, hessian.paper) == ("mean block", 0.3, {})
    assert (entropy.mae, entropy.rmse, entropy.mad, entropy.skill) == (0.1, 0.2, 0.4, 0.75)
    assert summary_of(FOREST) == "rf_multi; 10 folds by structure; 3 duplicates left out"
    assert [(one.label, one.nominal, one.observed) for one in coverages_of(FOREST)] == [
        ("free energy", 0.9, 0.88)
    ]
    assert notes_of(FOREST)[1:] == [
        "0.25 negative modes per cell are set to zero",
        "the paper's figures are of 121 structures of KZnF3 by density functional theory",
        "one",
    ]


def test_all_coverages_are_said_at_once():
    held_out = {"free_energy": 0.88, "entropy": 0.914}
    said = notes_of({"coverage": 0.9, "held_out_coverage_300k": held_out})
    assert said == ["held-out values inside of 90 % intervals: free energy 88 %, entropy 91 %"]


def test_coverage_of_the_calibration_set_is_said_to_be_its_own():
    """Of densities of states; those of the other methods are of folds that were held out."""
    held_out = {"free_energy": 0.904, "log_isotope_rate": None}
    card = {"coverage": {"intended": 0.9, "held_out_300k": held_out}}
    [said] = notes_of(card)
    assert said == (
        "values inside of 90 % intervals within the calibration set, each composition by those of "
        "the others, so close to 90 % by construction: free energy 90 %"
    )
    assert not any(one.by_construction for one in (*coverages_of(FOREST), *coverages_of(LINEAR)))


def test_the_card_that_is_shown_claims_nothing_of_other_compositions():
    model = read_shipped("alignn", "phonoscreen-dos")
    console = Console(width=100, file=StringIO())
    console.print(table_model(model, "alignn:phonoscreen-dos@1", width=100))
    shown = " ".join(console.file.getvalue().split())
    assert "so close to 90 % by construction: entropy 90 %, free energy 90 %" in shown
    assert "held-out values inside" not in shown


def test_rows_of_the_entropy_are_per_atom_per_cell_per_class_and_of_curves():
    rows = score_rows(LINEAR)
    assert [row.label for row in rows] == [
        "S without masses", "S without masses", "S of vacancy", "S of damaged", "F 0 K", "F 300 K",
        "F 1000 K",
    ]  # fmt: skip
    assert [row.unit for row in rows[:3]] == ["k_B/atom", "k_B/cell", "k_B/cell"]
    assert (rows[1].baseline, rows[1].baseline_mae) == ("atom counts", 2.0)
    assert rows[1].skill_over_guess == pytest.approx(0.95)
    assert (rows[4].baseline, rows[4].baseline_mae) == ("mean", SCORES["mad"])
    assert [row.paper for row in rows[:4]] == [{}, {"rmse": 0.3}, {}, {"rmse": 0.8}]
    assert coverages_of(LINEAR)[0].observed == 0.92
    assert "220 features" in summary_of(LINEAR)


def test_a_model_that_a_guess_beats_is_called_so():
    (said,) = warnings_of(LINEAR)
    assert said == "no better than a simple guess: F 0 K (0.5 beside 0.4 meV/atom of the mean)"
    # better than the mean and no better than another guess
    rows = [SCORES | {"quantity": "x", "unit": "eV", "mean_value_mae": 0.4, "mean_block_mae": 0.09}]
    assert warnings_of({"scores": rows}) == [
        "no better than a simple guess: x (0.1 beside 0.09 eV of the mean block)"
    ]
    assert warnings_of(FOREST) == []


def test_coverage_of_the_curves_stands_beside_that_of_the_entropy():
    card = LINEAR | {"held_out_coverage_300k": {"free_energy": 0.91, "heat_capacity": 0.89}}
    assert [(one.label, one.observed) for one in coverages_of(card)[1:]] == [
        ("free energy 300 K", 0.91),
        ("heat capacity 300 K", 0.89),
    ]
    assert "defects by afs 0.3; damage, learned from damage and defects 0.8" in notes_of(card)[1]


def test_a_card_of_nothing_has_nothing():
    assert score_rows({}) == coverages_of({}) == parities_of({}) == notes_of({}) == []
    assert warnings_of({}) == []
    assert summary_of({}) == ""
    with pytest.raises(SettingError, match="no scores"):
        plot_model_scores([])
    with pytest.raises(SettingError, match="no held-out predictions"):
        plot_parity([])


def test_the_picture_of_scores_marks_guesses_and_writes_what_is_published():
    figure = plot_model_scores(
        score_rows(FOREST), {"rf_multi": {"entropy_300k": 0.1}, "ridge": {"entropy_300k": 0.2}}
    )
    errors, variants = figure.axes
    assert [bar.get_width() for bar in errors.patches] == pytest.approx([0.25, 0.25, 1.0, 0.75])
    # published errors are of other structures: no length on a scale of ours
    assert [list(line.get_xdata()) for line in errors.lines] == [[1.0, 1.0]]
    assert [text.get_text() for text in errors.texts] == [
        "error [published,\nother structures]", "MAE 0.100 [0.300]", "MAE 0.100",
    ]  # fmt: skip
    assert [list(line.get_xdata()) for line in variants.lines[:2]] == [
        pytest.approx([0.25]),
        pytest.approx([0.5]),
    ]


def test_the_picture_of_predictions_has_a_panel_for_each_quantity_with_its_skill():
    card = {
        "parity": {
            name: {"reference": [0.0, 1.0, 2.0], "predicted": [0.1, 1.0, 1.9], "unit": "meV/atom"}
            for name in ("one", "two", "three", "four")
        }
    }
    figure = plot_parity(parities_of(card), title="title")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["one", "two", "three", "four"]
    assert "skill 0.90" in shown[0].texts[0].get_text()
    assert shown[0].get_xlabel() == "Reference (meV/atom)"
    assert "3 held out\nMAE 0.0667" in shown[0].texts[0].get_text()
    constant = plot_parity([Parity("x", "", [1.0, 1.0], [1.0, 1.0])])
    assert "skill" not in constant.axes[0].texts[0].get_text()


def test_the_picture_of_predictions_says_the_scores_of_all_where_it_shows_some():
    points = {"reference": [0.0, 1.0], "predicted": [0.1, 1.0], "unit": "meV/K/atom"}
    (one,) = parities_of(FOREST | {"parity": {"entropy_300k": points}})
    said = plot_parity([one]).axes[0].texts[0].get_text()
    assert said == "2 shown of 9 held out\nMAE 0.100\nskill 0.75"
    (named,) = parities_of(LINEAR | {"parity": {"entropy_boltzmann_per_atom": points}})
    assert named.label == "S without masses"
    (curve,) = parities_of(LINEAR | {"parity": {"free_energy_mev_per_atom 300 K": points}})
    assert (curve.label, curve.scores.mae) == ("F 300 K", SCORES["mae"])


def test_the_title_of_one_panel_is_not_cut():
    card = {"parity": {"one": {"reference": [0.0, 1.0], "predicted": [0.1, 1.0]}}}
    title = "ldml:KZnF3@c6261463b0a4  ·  189\N{NO-BREAK SPACE}structures"
    figure = plot_parity(parities_of(card), title=title)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 < box.x0
    assert box.x1 < figure.bbox.x1
    assert figure._suptitle.get_text().splitlines()[1] == "189\N{NO-BREAK SPACE}structures"


@pytest.mark.parametrize("width", [70, 80, 100, 200])
def test_a_published_error_stands_beside_ours_of_the_same_kind(width):
    """That of the entropy is a RMSE, those of the force constants are both."""
    for card, kinds in ((LINEAR, ["RMSE"]), (FOREST, ["MAE", "RMSE"])):
        model = TrainedModel("x", "x", (9,), {}, {}, card, "0" * 64, 9)
        table = next(
            x for x in table_model(model, "x", width=width).renderables if hasattr(x, "columns")
        )
        shown = [str(one.header) for one in table.columns]
        published = [one.removeprefix("paper\n") for one in shown if one.startswith("paper")]
        assert published == kinds[: len(published)] != []
        assert set(published) <= set(shown)
