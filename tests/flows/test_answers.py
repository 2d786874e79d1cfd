"""Tables of answers: by question, with names, without what has nothing to decide."""

import math
from dataclasses import replace

import pytest
from decision_cases import CHEAP, REFERENCE, difference, evidence, interval, polymorph
from rich.console import Console

from flows.deciding import Decided, GroupAnswer
from flows.routing import RoutingReport
from flows.tables import payload_routing, table_routing
from screening.decisions.groups import decide_group
from screening.decisions.outcome import Standing
from screening.decisions.policy import decide
from screening.decisions.questions import OrderQuestion, PropertyQuestion, StabilityQuestion
from screening.quantities import Property, Quantity

CUBIC, HEXAGONAL, SALT = (f"ps-{digit * 16}" for digit in "abc")
FORMULAS = {CUBIC: "SiC", HEXAGONAL: "SiC", SALT: "NaCl"}
NAMES = {CUBIC: "3C", HEXAGONAL: "2H", SALT: "Fm-3m ps-cccccc"}
ENERGY = PropertyQuestion(Property.FREE_ENERGY, 10.0)
ORDER = OrderQuestion()


def report(decided, answers=()):
    questions = tuple(dict.fromkeys(one.question.text for one in decided))
    return RoutingReport(
        questions=questions,
        alpha=0.1,
        formulas=FORMULAS,
        names=NAMES,
        decided=tuple(decided),
        answers=tuple(answers),
        steps=(),
        n_calculations=0,
        core_hours=0.0,
        waiting=(),
        written={},
        wall_seconds=0.0,
    )


def shown(found, width=80):
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table_routing(found, width=width))
    return capture.get()


def line_of(text, *words):
    [line] = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


def decided_on(name, question, decision, standing, group=None):
    return Decided(
        material_id=name,
        question=question,
        decision=decision,
        standing=standing,
        prediction_id="0" * 64,
        key="0" * 64,
        group=group,
    )


def about_energy(name, *intervals, question=ENERGY, standing=CHEAP):
    decision = decide(question, evidence(*intervals, name=name), standing)
    return decided_on(name, question, decision, standing)


def about_order(differences, *members):
    polymorphs = [polymorph(name, standing=CHEAP) for name in members]
    found = decide_group(ORDER, polymorphs, differences)
    formula = FORMULAS[members[0]]
    decided = [
        decided_on(name, ORDER, one, CHEAP, group=formula) for name, one in found.decisions.items()
    ]
    return decided, GroupAnswer(formula, ORDER, found.answer)


def test_numbers_stand_in_columns_and_formulas_once():
    text = shown(
        report(
            [
                about_energy(CUBIC, interval(82.188, 5.0)),
                about_energy(HEXAGONAL, interval(84.78, 12.0)),
                about_energy(SALT, interval(-37.16, 0.0), standing=REFERENCE),
            ]
        )
    )
    assert "free_energy at 300 K within 10 meV/atom" in text
    assert line_of(text, "3C").split()[-3:] == ["77.2", "to", "87.2"]
    assert "SiC" not in line_of(text, "3C")
    assert line_of(text, "2H").split()[0] == "SiC"
    assert "escalate" in line_of(text, "2H")
    assert line_of(text, "Fm-3m", "reference method").split()[-2:] == ["-37.2", "-"]
    assert "ps-aaaa" not in text


def test_several_temperatures_get_lines_of_their_own():
    question = PropertyQuestion(Property.FREE_ENERGY, 10.0, (300.0, 600.0))
    hot = interval(3.0, 1.0, quantity=Quantity(Property.FREE_ENERGY, 600.0))
    text = shown(report([about_energy(SALT, interval(5.0, 1.0), hot, question=question)]))
    assert line_of(text, "600", "2.0 to 4.0")
    assert line_of(text, "300", "4.0 to 6.0")


def test_a_corrected_value_stands_beside_the_predicted_one():
    moved = replace(about_energy(CUBIC, interval(61.7, 5.0)), raw_values=(41.74,))
    found = replace(report([moved]), notes=("calibrated against another",))
    text = shown(found, 100)
    assert "as predicted  corrected" in text
    assert line_of(text, "3C").split()[-6:-3] == ["41.7", "61.7", "56.7"]
    assert "corrected for the potential's bias" in text
    assert "note: calibrated against another" in text
    [value] = payload_routing(found)["decisions"][0]["values"]
    assert (value["value"], value["raw_value"]) == (61.7, 41.74)
    assert payload_routing(found)["notes"] == ["calibrated against another"]
    assert "corrected" not in shown(report([replace(moved, raw_values=(61.7,))]), 100)


def test_an_open_interval_is_said_in_words():
    text = shown(report([about_energy(CUBIC, interval(82.0, math.inf))]))
    assert "82.0  not calibrated" in line_of(text, "3C")
    assert "unbounded" not in text


def test_polymorphs_are_named_and_lone_ones_only_counted():
    pair, answer = about_order({(CUBIC, HEXAGONAL): [difference(-5.2, math.inf)]}, CUBIC, HEXAGONAL)
    alone, lone_answer = about_order({}, SALT)
    text = shown(report([*pair, *alone], [answer, lone_answer]), 120)
    assert "-5.2 meV/atom to 2H at 300 K (not calibrated)" in line_of(
        text, "3C", "escalate", "to 2H"
    )
    assert "SiC: 3C ? 2H at 300 K; not settled: 3C and 2H" in text
    assert "1 compositions with one phase only" in text
    assert "NaCl" not in text
    assert "single" not in text


def test_what_only_lone_polymorphs_were_asked_has_no_table():
    alone, answer = about_order({}, SALT)
    text = shown(report(alone, [answer]))
    assert "decisions" not in text
    assert "1 compositions with one phase only" in text


def test_questions_are_not_repeated_on_every_row():
    failed = evidence(name=SALT, failures=("NONFINITE_FORCES",))
    last = Standing(tier=1, next_tier=None)
    decision = decide(StabilityQuestion(), failed, last)
    decided = decided_on(SALT, StabilityQuestion(), decision, last)
    text = shown(report([decided, about_energy(CUBIC, interval(1.0, 1.0))]))
    assert text.count("stability") == 1
    assert text.count("within 10 meV/atom") == 1
    assert "NONFINITE_FORCES" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits(width):
    pair, answer = about_order({(CUBIC, HEXAGONAL): [difference(-5.2, 9.0)]}, CUBIC, HEXAGONAL)
    energies = [about_energy(name, interval(-372.7, 57.0)) for name in (CUBIC, HEXAGONAL, SALT)]
    text = shown(report([*energies, *pair], [answer]), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
