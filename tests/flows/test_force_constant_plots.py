"""Bands with their uncertainty, against those of other methods."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from flows import plots
from screening.errors import InconsistentDataError
from screening.prediction import BandStructure, frozen_array


def bands(shift_thz=0.0, n_points=21, length=1.0):
    """Two segments of an acoustic and an optical branch."""
    along = np.linspace(0.0, 1.0, n_points)
    acoustic, optical = 3.0 * np.sin(0.5 * np.pi * along), 6.0 - along
    values = np.stack([acoustic, optical], axis=1) + shift_thz
    return BandStructure(
        q_points=frozen_array(np.zeros((2 * n_points, 3))),
        distances_per_angstrom=frozen_array(length * np.concatenate([along, 1.0 + along])),
        frequencies_thz=frozen_array(np.concatenate([values, values[::-1]])),
        segment_starts=(0, n_points),
        labels=((0, "GAMMA"), (n_points - 1, "X"), (n_points, "X"), (2 * n_points - 1, "GAMMA")),
    )


def test_the_band_is_two_standard_deviations_of_the_draws():
    figure = plots.plot_band_comparison(bands(), [bands(0.1), bands(-0.1)])
    (axes,) = figure.axes
    found = axes.findobj(PolyCollection)
    assert len(found) == 4  # two segments, two branches
    corners = found[1].get_paths()[0].vertices
    start = corners[corners[:, 0] == 0.0, 1]
    assert (start.min(), start.max()) == pytest.approx((5.8, 6.2))
    assert axes.get_legend().get_texts()[1].get_text() == "±2 standard deviations"


def test_differences_from_others_are_drawn_below():
    figure = plots.plot_band_comparison(bands(), [bands(0.1)], {"finite": bands(0.05)})
    top, below = figure.axes
    names = [text.get_text() for text in top.get_legend().get_texts()]
    assert names == ["learned", "±2 standard deviations", "finite"]
    gaps = [line.get_ydata() for line in below.lines if len(line.get_xdata()) == 21]
    assert len(gaps) == 4
    assert np.allclose(gaps, 0.05)


def test_another_lattice_constant_and_other_points_are_the_same_path():
    other = bands(n_points=31, length=1.02)
    figure = plots.plot_band_comparison(bands(), (), {"finer": other})
    gaps = [line.get_ydata() for line in figure.axes[1].lines if len(line.get_xdata()) == 21]
    assert np.abs(gaps).max() < 2e-3


def test_another_crystal_is_refused():
    other = replace(bands(), labels=((0, "GAMMA"), (20, "M"), (21, "M"), (41, "GAMMA")))
    with pytest.raises(InconsistentDataError, match="another path"):
        plots.plot_band_comparison(bands(), (), {"other": other})
    three = replace(bands(), frequencies_thz=frozen_array(np.zeros((42, 3))))
    with pytest.raises(InconsistentDataError, match="number of branches"):
        plots.plot_band_comparison(bands(), (), {"other": three})
    with pytest.raises(InconsistentDataError, match="draws have another path"):
        plots.plot_band_comparison(bands(), [bands(n_points=5)])
