"""The picture of a training, and which pictures the card of a potential gives."""

from dataclasses import replace

import pytest
from tiny_networks import tiny_model

from flows.drawing import draw_model
from flows.plots import plot_training_history
from screening.errors import SettingError
from stores.connect import open_database
from stores.models import store_model

HISTORY = [
    {"epoch": 1, "loss": 9.0, "forces_mae": 0.2, "zero_forces_mae": 0.25},
    {"epoch": 2, "loss": 0.5, "train_forces_mae": 0.1, "forces_mae": 0.15, "zero_forces_mae": 0.25},
]


def test_scores_are_drawn_by_epoch_in_their_units():
    figure = plot_training_history(HISTORY, title="a potential")
    loss, forces = figure.axes
    assert loss.get_yscale() == "log"
    assert forces.get_yscale() == "linear"
    drawn = {one.get_label(): one.get_xydata().tolist() for one in forces.get_lines()}
    assert drawn["trained on"] == [[2.0, 100.0]]
    assert drawn["held out"] == [[1.0, 200.0], [2.0, 150.0]]
    assert drawn["zero forces"] == [[1.0, 250.0], [2.0, 250.0]]
    assert len(plot_training_history([{**HISTORY[0], "relative_hessian": 0.3}]).axes) == 3


def test_without_a_history_there_is_nothing_to_draw():
    with pytest.raises(SettingError, match="no history"):
        plot_training_history([])


def test_a_potential_is_drawn_by_its_history_and_its_forces(uri, tmp_path):
    scores = {"forces_mae": 0.15, "zero_forces_mae": 0.25}
    forces = {"unit": "eV/Å", "reference": [0.1, -0.2, 0.3], "predicted": [0.0, -0.1, 0.4]}
    card = {"history": HISTORY, "scores": scores, "parity": {"forces": forces}}
    with open_database(uri) as database:
        store_model(database, replace(tiny_model(), card=card, n_training_samples=1))
        written = draw_model(database, "tiny", tmp_path, ".png")
    assert [one.stem.rpartition("-")[2] for one in written] == ["history", "parity"]
    assert all(one.stat().st_size > 5000 for one in written)
