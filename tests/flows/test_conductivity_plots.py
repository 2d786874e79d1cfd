"""Figures of thermal conductivities show the numbers they are given, with their intervals."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.text import Text

from flows import plots
from flows.plots.conductivity import ConductivityCurve
from screening.conductivity_records import ConductivityMethod, ThermalConductivity, lifetimes_ps
from screening.errors import SettingError
from screening.prediction import frozen_array

KELVIN = np.array([100.0, 300.0, 900.0])


def curve(*ratios, std=None, label="", kelvin=KELVIN):
    """Conductivity that falls as 1/T, with diagonal components in given ratios."""
    tensors = (600.0 / kelvin)[:, None, None] * np.diag(ratios or (1.0, 1.0, 1.0))
    return ConductivityCurve(kelvin, tensors, None if std is None else std * tensors, label)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def lines(figure):
    """Everything that is drawn as a line, by its label."""
    return {line.get_label(): line for line in figure.axes[0].lines}


@pytest.fixture
def modes():
    """Four wave vectors with four branches; one mode is not scattered."""
    shape = (2, 4, 4)
    generator = np.random.default_rng(0)
    widths = generator.uniform(0.01, 0.1, shape)
    widths[:, 0, 0] = 0.0
    carried = generator.uniform(0.1, 1.0, shape)
    carried[:, 0, 0] = 0.0
    tensors = carried[..., None, None] * np.diag([1.0, 1.0, 3.0])
    frequencies = np.sort(generator.uniform(1.0, 9.0, shape[1:]), axis=1)
    frequencies[0, 0] = 0.0
    total = frozen_array(tensors.sum(axis=(1, 2)))
    return ThermalConductivity(
        method=ConductivityMethod.RELAXATION_TIME,
        mesh=(4, 4, 4),
        temperatures_k=frozen_array([300.0, 600.0]),
        conductivity_w_per_m_k=total,
        relaxation_time_conductivity_w_per_m_k=total,
        q_points=frozen_array(np.zeros((4, 3))),
        weights=frozen_array(np.full(4, 0.25)),
        frequencies_thz=frozen_array(frequencies),
        group_velocities_angstrom_per_ps=frozen_array(generator.uniform(1, 50, (4, 4, 3))),
        heat_capacities_ev_per_k=frozen_array(np.full(shape, 8e-5)),
        linewidths_thz=frozen_array(widths),
        isotope_linewidths_thz=frozen_array(np.zeros(shape[1:])),
        lifetimes_ps=frozen_array(lifetimes_ps(widths)),
        mode_conductivities_w_per_m_k=frozen_array(tensors),
    )


class TestTemperature:
    def test_a_cubic_crystal_has_one_line_with_units(self):
        figure = plots.plot_conductivity([curve()], title="MgO")
        (line,) = figure.axes[0].lines
        assert np.array_equal(line.get_ydata(), 600.0 / KELVIN)
        assert figure.axes[0].get_xlabel() == "Temperature (K)"
        assert "(W m$^{-1}$ K$^{-1}$)" in figure.axes[0].get_ylabel()
        assert figure.axes[0].get_legend() is None
        assert "MgO" in texts(figure)

    def test_the_band_is_two_standard_deviations_of_the_logarithm(self):
        figure = plots.plot_conductivity([curve(std=0.2)])
        (band,) = figure.axes[0].findobj(PolyCollection)
        corners = band.get_paths()[0].vertices
        for kelvin in KELVIN:
            found = corners[corners[:, 0] == kelvin, 1]
            assert found.max() == pytest.approx(600.0 / kelvin * np.exp(0.4))
            assert found.min() == pytest.approx(600.0 / kelvin * np.exp(-0.4))

    def test_a_band_wider_than_its_value_stays_positive(self):
        figure = plots.plot_conductivity([curve(std=1.5)], logarithmic=True)
        (band,) = figure.axes[0].findobj(PolyCollection)
        assert band.get_paths()[0].vertices[:, 1].min() > 0.0

    def test_components_that_are_equal_by_symmetry_are_one_line(self):
        figure = plots.plot_conductivity([curve(1.0, 1.0, 2.0, std=0.1)])
        found = lines(figure)
        assert set(found) == {r"$\kappa_{xx}$ = $\kappa_{yy}$", r"$\kappa_{zz}$"}
        assert np.allclose(found[r"$\kappa_{zz}$"].get_ydata(), 1200.0 / KELVIN)
        assert len(plots.plot_conductivity([curve(1.0, 2.0, 3.0)]).axes[0].lines) == 3

    def test_several_results_are_compared_by_their_means(self):
        figure = plots.plot_conductivity(
            [curve(1.0, 1.0, 4.0, label="one"), curve(2.0, 2.0, 2.0, label="two")]
        )
        found = lines(figure)
        assert np.allclose(found["one"].get_ydata(), found["two"].get_ydata())
        assert found["one"].get_color() != found["two"].get_color()
        assert found["one"].get_linestyle() != found["two"].get_linestyle()
        assert figure.axes[0].get_ylabel().startswith("Mean thermal conductivity")

    def test_on_logarithmic_axes_the_guide_has_slope_minus_one(self):
        figure = plots.plot_conductivity([curve()], logarithmic=True)
        axes = figure.axes[0]
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        x, y = lines(figure)["∝ 1/T"].get_data()
        assert np.allclose(np.diff(np.log(y)) / np.diff(np.log(x)), -1.0)

    def test_one_temperature_is_a_point_with_a_bar(self):
        figure = plots.plot_conductivity([curve(std=0.1, kelvin=np.array([300.0]))])
        (bar,) = figure.axes[0].findobj(LineCollection)
        ends = bar.get_segments()[0][:, 1]
        assert np.allclose(np.sort(ends), 2.0 * np.exp([-0.2, 0.2]))

    def test_components_that_are_not_drawn_are_named(self):
        tilted = curve(1.0, 2.0, 3.0)
        tensors = tilted.conductivity_w_per_m_k.copy()
        tensors[:, 0, 2] = tensors[:, 2, 0] = 0.1 * tensors[:, 1, 1]
        figure = plots.plot_conductivity([ConductivityCurve(KELVIN, tensors)])
        assert "off-diagonal components up to 10 % of the mean, not drawn" in texts(figure)

    def test_nothing_to_draw_is_refused(self):
        with pytest.raises(SettingError, match="no conductivity to draw"):
            plots.plot_conductivity([])


class TestModes:
    def test_cumulative_conductivities_end_at_the_total(self, modes):
        figure = plots.plot_conductivity_modes(modes, 1)
        total = modes.conductivity_w_per_m_k[1]
        for axes in figure.axes[:2]:
            ends = [
                line.get_ydata()[-1] for line in axes.lines if line.get_drawstyle() != "default"
            ]
            assert ends == pytest.approx([total[0, 0], total[2, 2]])
        assert figure.axes[0].get_xscale() == "log"
        longest = figure.axes[0].lines[0].get_xdata()[-1]
        assert longest == pytest.approx(modes.mean_free_paths_angstrom[1].max() / 10.0)

    def test_modes_that_are_not_scattered_have_no_lifetime_to_draw(self, modes):
        axes = plots.plot_conductivity_modes(modes).axes[2]
        points = [one.get_offsets() for one in axes.collections]
        assert [len(one) for one in points] == [11, 4]
        assert np.concatenate(points)[:, 1].min() > 0.0
        assert axes.get_yscale() == "log"

    def test_half_of_the_heat_is_marked(self, modes):
        figure = plots.plot_conductivity_modes(modes)
        marked = [text for text in texts(figure) if text.startswith("half: ")]
        assert [text.split()[-1] for text in marked] == ["nm", "THz"]

    def test_the_title_has_the_value_with_its_spread(self, modes):
        std = 0.011 * modes.conductivity_w_per_m_k
        (title,) = [
            x
            for x in texts(plots.plot_conductivity_modes(modes, std_w_per_m_k=std))
            if "300 K" in x
        ]
        total = modes.conductivity_w_per_m_k[0]
        assert f"{total[2, 2]:.2f} ± {0.022 * total[2, 2]:.2f}" in title
        assert "at 300 K" in title
        assert "relaxation times" in title
