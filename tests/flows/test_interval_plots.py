"""Pictures of intervals show what was decided: tested by what is drawn, not by pixels."""

import math
from dataclasses import replace

import pytest
from calibrated_crystals import crystal, modes, sample
from decision_cases import CHEAP, LOWEST, REFERENCE, difference, evidence, interval, polymorph
from matplotlib.colors import to_hex
from matplotlib.text import Text

from flows import plots
from flows.plots.intervals import MOST_ROWS, OUTCOMES
from screening.decisions.groups import decide_group
from screening.decisions.outcome import Decision
from screening.decisions.policy import decide
from screening.decisions.questions import (
    FilterQuestion,
    PropertyQuestion,
    StabilityQuestion,
    TransitionQuestion,
)
from screening.errors import SettingError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.estimates import raw_value
from screening.uncertainty.risk import StabilityJudgement
from stores.documents import DecisionDocument

ENERGY = PropertyQuestion(Property.FREE_ENERGY, 10.0)
CHEAP_KEY, BETTER_KEY = "1" * 64, "3" * 64


def row(name, outcome="accept", value=0.0, below=1.0, **changes):
    return plots.IntervalRow(name, outcome, value, value - below, value + below, **changes)


def view(*rows, **changes):
    return plots.IntervalView("energy", "meV/atom", rows, 0.9, **changes)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def marks(figure, marker):
    """Horizontal places of the markers of one shape, top row first."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    return [float(line.get_xdata()[0]) for line in sorted(lines, key=lambda x: x.get_ydata()[0])]


def whiskers(figure, colour):
    """From where to where lines of one colour reach."""
    lines = [x for x in figure.axes[0].lines if len(x.get_xdata()) == 2 and x.get_color() == colour]
    ends = [float(x) for line in lines for x in line.get_xdata()]
    return min(ends), max(ends)


def document(question, decision, *, name="ps-a", standing=CHEAP, key=CHEAP_KEY):
    assert isinstance(decision, Decision)
    return DecisionDocument.from_decision(
        decision, question=question.text, material_id=name, prediction_id=key, standing=standing
    )


def crystals(**changes):
    made = {
        CHEAP_KEY: sample("ps-a", crystal("Na", "Cl"), modes(5.0)),
        BETTER_KEY: sample("ps-a", crystal("Na", "Cl"), modes(6.0)),
    }
    return plots.DecidedCrystals({"ps-a": "NaCl  rocksalt", "ps-b": "NaCl  other"}, made, **changes)


class TestDrawing:
    def test_values_intervals_and_outcomes(self):
        figure = plots.plot_intervals(
            view(
                row("a", "accept", 5.0, 2.0, raw=1.0), row("b", "escalate", 20.0, 8.0, better=25.0)
            )
        )
        green, marker, _ = OUTCOMES["accept"]
        orange = OUTCOMES["escalate"][0]
        assert whiskers(figure, green) == (3.0, 7.0)
        assert whiskers(figure, orange) == (12.0, 28.0)
        assert marks(figure, "D") == [25.0]
        assert 1.0 in marks(figure, marker)
        assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == ["a", "b"]
        low, high = figure.axes[0].get_xlim()
        assert low < 1.0
        assert high > 28.0

    def test_an_open_interval_runs_dashed_across(self):
        figure = plots.plot_intervals(view(row("a", "escalate", 5.0, math.inf), row("b")))
        axes = figure.axes[0]
        assert whiskers(figure, OUTCOMES["escalate"][0]) == axes.get_xlim()
        assert "not calibrated" in texts(figure)
        assert "not calibrated" not in texts(plots.plot_intervals(view(row("b"))))

    def test_the_tolerance_is_a_bar_around_every_value(self):
        figure = plots.plot_intervals(
            view(row("a", value=5.0), row("b", value=40.0), tolerance=10.0)
        )
        found = sorted(
            (bar.get_x(), bar.get_x() + bar.get_width()) for bar in figure.axes[0].patches
        )
        assert found == [(-5.0, 15.0), (30.0, 50.0)]

    def test_only_what_is_drawn_is_explained(self):
        found = texts(plots.plot_intervals(view(row("a"))))
        assert "accepted" in found
        assert "better method" not in found
        assert "left open" not in found

    def test_many_rows_keep_what_is_not_settled(self):
        rows = [row(f"a{place}") for place in range(MOST_ROWS)] + [row("needy", "reject")]
        figure = plots.plot_intervals(view(*rows))
        shown = [one.get_text() for one in figure.axes[0].get_yticklabels()]
        assert len(shown) == MOST_ROWS
        assert "needy" in shown
        assert any(f"{MOST_ROWS} of {MOST_ROWS + 1}" in text for text in texts(figure))

    def test_without_a_cheap_value_the_better_one_is_shown(self):
        lost = plots.IntervalRow("a", "escalate", None, better=3.0)
        figure = plots.plot_intervals(view(lost))
        assert marks(figure, "D") == [3.0]
        assert "a (no cheap value)" in texts(figure)

    def test_nothing_is_an_error(self):
        with pytest.raises(SettingError, match="no decisions"):
            plots.plot_intervals(view())

    def test_colours_tell_outcomes_apart(self):
        assert len({to_hex(colour) for colour, _, _ in OUTCOMES.values()}) == len(OUTCOMES)
        assert len({marker for _, marker, _ in OUTCOMES.values()}) == len(OUTCOMES)


class TestViews:
    def test_a_property_before_and_after_the_better_method(self):
        about = crystals()
        cheap = decide(ENERGY, evidence(interval(7.0, 20.0)), CHEAP)
        better = decide(ENERGY, evidence(interval(9.0, 0.0)), REFERENCE)
        [found] = plots.interval_views(
            [
                document(ENERGY, better, standing=REFERENCE, key=BETTER_KEY),
                document(ENERGY, cheap),
            ],
            about,
        )
        quantity = ENERGY.quantities[0]
        raw, asked = (raw_value(about.samples[key], quantity) for key in (CHEAP_KEY, BETTER_KEY))
        expected = plots.IntervalRow("NaCl  rocksalt", "escalate", 7.0, -13.0, 27.0, raw, asked)
        assert found.rows == (expected,)
        assert (found.tolerance, found.coverage) == (10.0, 0.9)
        assert found.x_label == "Free energy at 300 K (meV/atom)"
        assert "risk 10 %" in found.question

    def test_one_view_for_every_temperature(self):
        question = PropertyQuestion(Property.FREE_ENERGY, 10.0, (300.0, 600.0))
        hot = interval(3.0, 1.0, quantity=Quantity(Property.FREE_ENERGY, 600.0))
        decision = decide(question, evidence(interval(5.0, 1.0), hot), CHEAP)
        found = plots.interval_views([document(question, decision)], crystals())
        assert [one.rows[0].value for one in found] == [5.0, 3.0]

    def test_a_filter_has_its_bound(self):
        question = FilterQuestion(LOWEST, ">", 0.5)
        decision = decide(question, evidence(interval(2.0, 1.0, quantity=LOWEST)), CHEAP)
        [found] = plots.interval_views([document(question, decision)], crystals())
        assert found.limits == ((0.5, "asked for: > 0.5"),)
        assert found.question.startswith("lowest frequency > 0.5 THz")
        assert found.tolerance is None

    def test_stability_has_thresholds_and_the_band_between(self):
        judgement = StabilityJudgement(Verdict.UNDETERMINED, 0.0, 0.3, -1.5)
        question = StabilityQuestion()
        decision = decide(question, evidence(stability=judgement), CHEAP)
        about = crystals(thresholds={0.1: judgement})
        [found] = plots.interval_views([document(question, decision)], about)
        lowest = about.samples[CHEAP_KEY].lowest_frequency_thz
        assert found.open_band == (-1.5, 0.3)
        assert [value for value, _ in found.limits] == [-1.5, 0.3]
        assert (found.rows[0].value, found.rows[0].outcome) == (lowest, "escalate")

    def test_every_risk_has_its_own_thresholds(self):
        judged = {
            alpha: StabilityJudgement(Verdict.UNDETERMINED, 0.0, above, -1.5)
            for alpha, above in ((0.1, 0.3), (0.3, 0.1))
        }
        question = StabilityQuestion()
        made = [
            document(
                question,
                decide(question, evidence(stability=one), replace(CHEAP, alpha=alpha)),
                standing=replace(CHEAP, alpha=alpha),
            )
            for alpha, one in judged.items()
        ]
        found = plots.interval_views(made, crystals(thresholds=judged))
        assert [view.open_band for view in found] == [(-1.5, 0.3), (-1.5, 0.1)]

    def test_thresholds_that_cross_decide_in_their_middle(self):
        crossed = StabilityJudgement(Verdict.STABLE, 1.0, -1.0, 0.0)
        decision = decide(StabilityQuestion(), evidence(stability=crossed), CHEAP)
        about = crystals(thresholds={0.1: crossed})
        [found] = plots.interval_views([document(StabilityQuestion(), decision)], about)
        assert found.open_band is None
        assert {value for value, _ in found.limits} == {-0.5}

    def test_every_pair_once_against_the_lower_static_energy(self):
        question = TransitionQuestion(300.0, 300.0)
        members = [polymorph("ps-a", -1.0), polymorph("ps-b", -2.0)]
        group = decide_group(question, members, {("ps-a", "ps-b"): [difference(12.0, 5.0)]})
        keys = {"ps-a": CHEAP_KEY, "ps-b": BETTER_KEY}
        structure = crystal("Na", "Cl")
        samples = {
            keys[one.material_id]: sample(
                one.material_id,
                structure,
                modes(5.0),
                static_energy_ev_per_atom=one.static_energy_ev_per_atom,
                static_energy_source="toy",
            )
            for one in members
        }
        names = {"ps-a": "NaCl  upper", "ps-b": "NaCl  lower"}
        [found] = plots.interval_views(
            [
                document(question, one, name=name, key=keys[name])
                for name, one in group.decisions.items()
            ],
            plots.DecidedCrystals(names, samples),
        )
        [one] = found.rows
        assert one.name == "NaCl  upper minus lower, 300 K"
        assert (one.value, one.lower, one.upper, one.better) == (12.0, 7.0, 17.0, None)
        assert one.raw == pytest.approx(1000.0)
        assert (10.0, "candidates below") in found.limits

    def test_lone_polymorphs_make_no_picture(self):
        question = TransitionQuestion()
        group = decide_group(question, [polymorph("ps-a", -1.0)], {})
        found = plots.interval_views([document(question, group.decisions["ps-a"])], crystals())
        assert found == ()
