"""Learning curves as a picture and as data."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.text import Text

from flows import plots
from flows.drawing import draw_learning
from screening.errors import SettingError
from screening.gaussian_process.learning import LearningCurve, LearningMethod, LearningPoint

COUNTS = (1, 2, 8)
FACTORS = (0.5, 1.0, 3.0)
OURS, THEIRS = LearningMethod.SYMMETRY_ADAPTED, LearningMethod.DERIVATIVE_KERNEL


def point(method, n_cells, factor):
    error = (0.01 if method is OURS else 0.5) * factor / n_cells
    violation = 0.0 if method is OURS else 0.1 * factor
    return LearningPoint(
        method, n_cells, tuple(range(n_cells)), error, 10 * error, violation, violation, error / 10
    )


@pytest.fixture
def curve():
    methods = (OURS, THEIRS)
    points = [point(m, n, f) for m in methods for n in COUNTS for f in FACTORS]
    return LearningCurve(tuple(points), (20, 21), 0.05)


def test_lines_are_medians_and_bands_reach_from_best_to_worst(curve):
    axes = plots.plot_learning(curve).axes[0]
    ours, theirs = axes.lines
    assert np.allclose(ours.get_ydata(), 100 * 0.01 / np.array(COUNTS))
    assert np.allclose(theirs.get_ydata(), 100 * 0.5 / np.array(COUNTS))
    band = axes.findobj(PolyCollection)[0].get_paths()[0].vertices
    single = band[band[:, 0] == 1.0, 1]
    assert (single.min(), single.max()) == pytest.approx((0.5, 3.0))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "8"]


def test_a_sum_rule_that_holds_exactly_is_on_a_logarithmic_axis(curve):
    figure = plots.plot_learning(curve)
    for axes in figure.axes[3:5]:
        ours, theirs = axes.lines
        assert np.all(ours.get_ydata() == 1e-16)
        assert np.allclose(theirs.get_ydata(), 0.1)


def test_every_method_is_named_with_the_units_and_what_was_held_out(curve):
    figure = plots.plot_learning(curve, title="NaCl, 64 atoms")
    found = " ".join(text.get_text() for text in figure.findobj(Text))
    for words in ("symmetry-adapted", "RBF without symmetry", "meV/Å", "Held out: 2 cells", "NaCl"):
        assert words in found


def test_harmonic_fits_leave_the_third_order_empty(curve):
    points = [
        replace(one, third_order_change=None, third_order_sum_rule_ev_per_angstrom3=None)
        for one in curve.points
    ]
    figure = plots.plot_learning(replace(curve, points=tuple(points)))
    assert [len(axes.lines) for axes in figure.axes[:5]] == [2, 0, 3, 2, 0]


def test_nothing_to_draw_is_refused(curve):
    with pytest.raises(SettingError, match="no fit to draw"):
        plots.plot_learning(replace(curve, points=()))


def test_the_data_lies_beside_the_picture(curve, tmp_path):
    picture, table, document = draw_learning(curve, tmp_path / "NaCl-learning", ".svg")
    assert picture.read_text().startswith("<?xml")
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    stored = json.loads(document.read_text())
    assert stored["held_out_force_ev_per_angstrom"] == 0.05
    assert len(rows) == len(stored["points"]) == len(curve.points)
    for row, known, one in zip(rows, stored["points"], curve.points, strict=True):
        assert row["method"] == known["method"] == one.method.value
        assert float(row["second_order_relative_error"]) == one.second_order_change
        assert known["held_out_force_error_ev_per_angstrom"] == one.force_error_ev_per_angstrom
        assert known["cells"] == list(one.cells)
