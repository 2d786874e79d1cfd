"""Figures must show what they are given: tested by what is drawn, not by pixels."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from flows import plots
from flows.plots.phonons import _imaginary_runs
from flows.plots.style import COLOURS, IMAGINARY_COLOUR
from screening.errors import SettingError
from screening.prediction import (
    BandStructure,
    DensityOfStates,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.quantities import Property, Quantity
from screening.ranking import Candidate, rank_polymorphs
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.uncertainty.interval import Interval
from stores.documents import PolymorphsDocument, Provenance

GRID = ThermodynamicsSettings(temperatures_k=tuple(float(t) for t in range(0, 1501, 100)))


def bands(lowest_thz: float = 0.0) -> BandStructure:
    """Two segments with a jump; the soft branch reaches the lowest frequency at X."""
    n_points = 21
    along = np.linspace(0, 1, n_points)
    soft = lowest_thz * along if lowest_thz < 0 else 2.0 * along
    frequencies = np.stack([soft, 3.0 * np.ones(n_points), 5.0 - along], axis=1)
    return BandStructure(
        q_points=frozen_array(np.zeros((2 * n_points, 3))),
        distances_per_angstrom=frozen_array(np.concatenate([along, 1.0 + 0.1 * along])),
        frequencies_thz=frozen_array(np.concatenate([frequencies, 2.0 + 0 * frequencies])),
        segment_starts=(0, n_points),
        labels=((0, "GAMMA"), (20, "X"), (21, "U_1"), (41, "SIGMA_0")),
    )


def dos() -> DensityOfStates:
    grid = np.linspace(0, 5, 51)
    projected = np.array([np.exp(-((grid - center) ** 2)) for center in (1.0, 3.0, 3.5)])
    return DensityOfStates(
        frozen_array(grid), frozen_array(projected.sum(axis=0)), frozen_array(projected)
    )


def einstein(frequency_thz: float) -> Thermodynamics:
    frequencies = np.full((1, 3), frequency_thz)
    return thermodynamics(frequencies, np.ones(1), 1, GRID, is_gamma=np.array([False]))


def ranking_document(**labels: tuple[float, float]) -> dict[str, Any]:
    """Rank Einstein crystals, given as label=(static energy in meV/atom, frequency in THz)."""
    candidates = [
        Candidate(
            material_id=f"ps-{index:016x}",
            label=f"{label} (form {index})",
            space_group_symbol="P4_2/mnm",
            formula="TiO2",
            static_energy_ev_per_atom=None,
            static_energy_source=None,
            potential_energy_ev_per_atom=energy / 1000.0,
            potential_energy_source="emt",
            thermodynamics=einstein(frequency),
            verdict=Verdict.STABLE if frequency > 0 else Verdict.UNSTABLE,
            method="einstein",
        )
        for index, (label, (energy, frequency)) in enumerate(labels.items())
    ]
    return PolymorphsDocument.from_ranking(
        rank_polymorphs(candidates),
        composition_key="TiO2",
        elements=["O", "Ti"],
        prediction_ids={one.material_id: "0" * 64 for one in candidates},
        input_digest="0" * 64,
        provenance=Provenance.now(method="polymorphs", method_version=1),
    ).model_dump(mode="json")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def tick_names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def boxes_overlap(figure: Figure, found: Sequence[Text]) -> bool:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in found]
    return any(
        one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[index + 1 :]
    )


class TestPhonons:
    def test_special_points_and_units(self) -> None:
        figure = plots.plot_phonons(
            bands(), dos(), species=["Ti", "O", "O"], title=plots.figure_title("TiO2", "P4_2/mnm")
        )
        figure.canvas.draw()
        left, right = figure.axes
        assert [name.strip() for name in tick_names(left)] == ["Γ", "X|U$_{1}$", "Σ$_{0}$"]
        twin = right.child_axes[0]
        assert left.get_ylabel() == "Frequency (THz)"
        assert "cm" in twin.get_ylabel()
        np.testing.assert_allclose(
            np.array(twin.get_ylim()), np.array(right.get_ylim()) * 33.35640952, rtol=1e-8
        )
        assert "TiO$_{2}$  $P4_{2}/mnm$" in texts(figure)

    def test_stable_bands_begin_at_zero_and_hold_no_warning_colour(self) -> None:
        axes = plots.plot_phonons(bands()).axes[0]
        assert axes.get_ylim()[0] == 0.0
        warned = [line for line in axes.lines if line.get_color() == IMAGINARY_COLOUR]
        assert all(np.all(np.isnan(line.get_ydata())) for line in warned)

    def test_imaginary_modes_are_marked_and_the_lowest_is_named(self) -> None:
        figure = plots.plot_phonons(bands(-1.5), dos())
        axes = figure.axes[0]
        drawn = np.concatenate(
            [line.get_ydata() for line in axes.lines if line.get_color() == IMAGINARY_COLOUR]
        )
        assert np.nanmin(drawn) == -1.5
        assert "1.50i THz" in texts(figure)
        assert axes.get_ylim()[0] < -1.5

    def test_a_doubtful_frequency_is_shown_without_the_warning(self) -> None:
        axes = plots.plot_phonons(bands(-0.08)).axes[0]
        assert axes.get_ylim()[0] < -0.08
        assert not any("i THz" in text.get_text() for text in axes.texts)

    def test_noise_below_zero_is_not_imaginary(self) -> None:
        values = np.array([[0.0, 0.1], [-0.05, -0.3], [0.2, -0.01], [0.3, 0.2]])
        expected = [[False, True], [False, True], [False, True], [False, True]]
        assert _imaginary_runs(values, -0.1).tolist() == expected

    def test_projections_are_summed_by_element(self) -> None:
        density = dos()
        axes = plots.plot_phonons(bands(), density, species=["Ti", "O", "O"]).axes[1]
        by_name = {line.get_label(): np.asarray(line.get_xdata()) for line in axes.lines}
        np.testing.assert_allclose(by_name["O"], density.projected_per_thz[1:].sum(axis=0))
        np.testing.assert_allclose(by_name["Ti"] + by_name["O"], by_name["total"])

    def test_verdict_names_what_lies_off_the_path(self) -> None:
        stability = Stability(
            Verdict.UNSTABLE, "phonoscreen", -1.73, frozen_array([0.25, 0, 1 / 3]), "mesh", {}
        )
        found = texts(plots.plot_phonons(bands(-1.0), stability=stability))
        assert any("1.73i THz on the mesh at q = (0.25, 0, 0.333)" in text for text in found)

    def test_close_special_points_do_not_overlap(self) -> None:
        crowded = replace(
            bands(),
            labels=((0, "GAMMA"), (19, "DELTA_0"), (20, "LAMBDA_0"), (23, "SIGMA_0"), (41, "X")),
        )
        figure = plots.plot_phonons(crowded, dos())
        figure.canvas.draw()
        rows: dict[int, list[Text]] = {}
        for label in figure.axes[0].get_xticklabels():
            rows.setdefault(label.get_text().count("\n"), []).append(label)
        assert len(rows) > 1
        assert not any(boxes_overlap(figure, row) for row in rows.values())


class TestThermodynamics:
    def test_dulong_petit_and_zero_point_energy(self) -> None:
        result = einstein(5.0)
        figure = plots.plot_thermodynamics(result, title="x")
        assert [axes.get_title() for axes in figure.axes] == [
            "Free energy",
            "Entropy",
            "Heat capacity",
        ]
        limit = next(line for line in figure.axes[2].lines if line.get_linestyle() == "--")
        assert limit.get_ydata()[0] == pytest.approx(3 * 0.08617333262)
        assert figure.axes[2].get_ylim()[1] > limit.get_ydata()[0]
        assert any("31.0 meV/atom" in text for text in texts(figure))

    def test_molar_scale(self) -> None:
        axes = plots.plot_thermodynamics(einstein(5.0)).axes[2]
        axes.figure.canvas.draw()
        twin = axes.child_axes[0]
        assert twin.get_ylim()[1] == pytest.approx(axes.get_ylim()[1] * 96.48533212, rel=1e-8)

    def test_spread_is_a_band_of_two_standard_deviations(self) -> None:
        result = einstein(5.0)
        std = 0.01 * result.temperatures_k
        spread = ThermodynamicsSpread(
            free_energy_std_mev_per_atom=frozen_array(std),
            entropy_std_mev_per_k_per_atom=frozen_array(0 * std),
            heat_capacity_std_mev_per_k_per_atom=frozen_array(0 * std),
            lowest_frequency_std_thz=0.1,
            n_members=3,
        )
        figure = plots.plot_thermodynamics(result, spread)
        outline = figure.axes[0].collections[0].get_paths()[0].vertices
        assert outline[:, 1].min() == pytest.approx(
            result.free_energy_mev_per_atom[-1] - 2 * std[-1]
        )
        assert any("3 models" in text for text in texts(figure))

    def test_a_band_that_is_calibrated_is_as_wide_as_its_interval(self) -> None:
        result = einstein(5.0)
        std = frozen_array(0.01 * result.temperatures_k)
        spread = ThermodynamicsSpread(std, std, std, None, 20)
        value = float(result.free_energy_mev_per_atom[3])
        interval = Interval(Quantity(Property.FREE_ENERGY, 300.0), value, value - 6, value + 6, 0.9)
        figure = plots.plot_thermodynamics(result, spread, intervals=[interval])
        outline = figure.axes[0].collections[0].get_paths()[0].vertices
        assert outline[:, 1].min() == pytest.approx(
            result.free_energy_mev_per_atom[-1] - 2 * std[-1]
        )
        said = "band: 90 % interval\n±6 meV/atom at 300 K"
        assert any(said in text for text in texts(figure))
        bars = plots.plot_thermodynamics(result, None, intervals=[interval])
        (ends,) = (one.get_segments() for one in bars.axes[0].collections)
        assert ends[0][:, 1].tolist() == pytest.approx([value - 6, value + 6])
        assert not bars.axes[1].collections
        assert any("bars: 90 % interval" in text for text in texts(bars))

    def test_invalid_numbers_say_so(self) -> None:
        invalid = replace(einstein(5.0), valid=False, dropped_weight=0.025, imaginary_weight=0.02)
        found = texts(plots.plot_thermodynamics(invalid))
        assert any("Not valid" in text and "2.5 %" in text for text in found)
        assert not any("Not valid" in x for x in texts(plots.plot_thermodynamics(einstein(5.0))))


class TestRankingView:
    def test_names_transitions_and_experiment(self) -> None:
        document = ranking_document(rutile=(0, 6.0), anatase=(20, 5.0), broken=(5, -3.0))
        view = plots.ranking_view(
            document,
            experiments={
                "ps-0000000000000000": "stable form at ambient pressure; tetragonal",
                "ps-0000000000000001": "metastable",
            },
        )
        assert [phase.label for phase in view.phases] == ["rutile", "anatase"]
        assert [phase.label for phase in view.excluded] == ["broken"]
        assert view.experiment == "rutile at ambient pressure"
        temperature_k, below, above = view.transitions[0]
        assert (below, above) == ("rutile", "anatase")
        # both are Einstein crystals: the curves cross where the free energies say
        difference = (
            einstein(5.0).free_energy_mev_per_atom - einstein(6.0).free_energy_mev_per_atom + 20
        )
        grid = np.array(GRID.temperatures_k)
        assert temperature_k == pytest.approx(np.interp(0.0, -difference, grid), abs=2.0)

    def test_two_phases_of_one_name_are_told_apart(self) -> None:
        document = ranking_document(a=(0, 6.0), b=(1, 6.0))
        for one in document["polymorphs"]:
            one["label"] = None
        labels = [phase.label for phase in plots.ranking_view(document).phases]
        assert labels == ["P4_2/mnm …0000", "P4_2/mnm …0001"]


class TestRanking:
    def test_curves_tie_band_and_transition(self) -> None:
        view = plots.ranking_view(ranking_document(rutile=(0, 6.0), anatase=(20, 5.0)))
        figure = plots.plot_ranking(view)
        axes = figure.axes[0]
        assert axes.get_ylabel() == "$A - A$(rutile)  (meV/atom)"
        temperature_k = view.transitions[0][0]
        assert f"{temperature_k:.0f} K" in texts(figure)
        assert any(line.get_xdata()[0] == temperature_k for line in axes.lines)
        outline = axes.collections[0].get_paths()[0].vertices
        curves = np.array([phase.relative_free_energy_mev_per_atom for phase in view.phases])
        assert outline[:, 1].max() == pytest.approx(curves.min(axis=0).max() + 10.0)

    def test_excluded_phases_are_named_with_the_reason(self) -> None:
        view = plots.ranking_view(ranking_document(rutile=(0, 6.0), a=(1, 6.0), b=(5, -3.0)))
        assert any(
            "Not ordered: b" in text and view.excluded[0].reason in text
            for text in texts(plots.plot_ranking(view))
        )

    def test_many_close_curves_have_readable_names(self) -> None:
        document = ranking_document(**{f"phase{n}": (0.1 * n, 6.0) for n in range(7)})
        figure = plots.plot_ranking(plots.ranking_view(document))
        figure.canvas.draw()
        names = [
            text
            for text in figure.axes[0].findobj(Annotation)
            if text.get_text().startswith("phase")
        ]
        assert len(names) == 7
        assert not boxes_overlap(figure, names)

    def test_a_far_phase_does_not_flatten_the_others(self) -> None:
        view = plots.ranking_view(ranking_document(a=(0, 6.0), b=(2, 6.0), far=(300, 6.0)))
        figure = plots.plot_ranking(view)
        assert figure.axes[0].get_ylim()[1] < 50
        assert any(
            "Beyond the scale: far" in text and "300 to 300 meV" in text for text in texts(figure)
        )

    def test_nothing_to_order_is_said(self) -> None:
        figure = plots.plot_ranking(plots.ranking_view(ranking_document(a=(0, -1.0))))
        assert "no phase can be ordered" in texts(figure)
        assert not figure.axes[0].axison  # no frame around nothing

    def test_a_lone_phase_is_said(self) -> None:
        figure = plots.plot_ranking(plots.ranking_view(ranking_document(a=(0, 3.0))))
        assert "only one phase can be ordered" in texts(figure)


class TestOverview:
    def test_bars_change_at_the_transition(self) -> None:
        view = plots.ranking_view(ranking_document(rutile=(0, 6.0), anatase=(40, 4.0)))
        axes = plots.plot_overview([view], title="all").axes[0]
        solid = [patch for patch in axes.patches if patch.get_hatch() is None]
        edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in solid)
        temperature_k = view.transitions[0][0]
        np.testing.assert_allclose(edges, [(0.0, temperature_k), (temperature_k, 1500.0)])

    def test_ties_are_hatched(self) -> None:
        tied = plots.ranking_view(ranking_document(a=(0, 6.0), b=(5, 6.0)))
        apart = plots.ranking_view(ranking_document(a=(0, 6.0), b=(50, 6.0)))
        axes = plots.plot_overview([tied, apart]).axes[0]
        hatched = [patch for patch in axes.patches if patch.get_hatch()]
        rows = {round(bar.get_y() + bar.get_height() / 2) for bar in hatched}
        assert rows == {0}

    def test_what_cannot_be_ordered_is_not_hidden(self) -> None:
        good = plots.ranking_view(ranking_document(a=(0, 6.0), b=(50, -6.0)))
        bad = plots.ranking_view(ranking_document(a=(0, -6.0)))
        found = texts(plots.plot_overview([good, bad]))
        assert "none of 1 can be ordered" in found
        assert "a: the only one of 2 that can be ordered" in found
        some = plots.ranking_view(ranking_document(a=(0, 6.0), b=(50, 6.0), c=(60, -6.0)))
        axes = plots.plot_overview([some]).axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["TiO$_{2}$*"]

    def test_nothing_is_an_error(self) -> None:
        bad = plots.ranking_view(ranking_document(a=(0, -6.0)))
        with pytest.raises(SettingError):
            plots.plot_overview([bad])
        with pytest.raises(SettingError):
            plots.plot_rankings([])

    def test_small_multiples(self) -> None:
        view = plots.ranking_view(ranking_document(a=(0, 6.0), b=(5, 5.0)))
        figure = plots.plot_rankings([view] * 3, columns=2, title="x")
        assert sum(axes.get_visible() for axes in figure.axes) == 3


class TestFiles:
    @pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
    def test_formats(self, tmp_path: Path, suffix: str) -> None:
        path = plots.save_figure(plots.plot_phonons(bands(-1.0)), tmp_path / f"a{suffix}")
        assert path.stat().st_size > 1000
        assert list(tmp_path.iterdir()) == [path]

    def test_unknown_format(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match=r"\.doc"):
            plots.save_figure(plots.plot_phonons(bands()), tmp_path / "a.doc")

    def test_colours_are_distinct(self) -> None:
        assert len({*COLOURS, IMAGINARY_COLOUR}) == len(COLOURS) + 1

    def test_importing_loads_no_matplotlib(self) -> None:
        code = "import sys, flows.plots; sys.exit('matplotlib' in sys.modules)"
        assert run([sys.executable, "-c", code], check=False).returncode == 0
