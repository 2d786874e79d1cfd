"""Rounds of decisions: what was spent, what was lost, and which word is the last."""

from dataclasses import replace

import pytest
from pretended_calibrations import FixedWidth

from flows.catalogue import crystal_of
from flows.deciding import Judge
from flows.ladder import read_ladder
from flows.local import Crew, LocalRun
from flows.materials import key_of, record_failure
from flows.planning import plan_work
from flows.rounds import Escalation, decide_round
from flows.routing import Work, route
from flows.run import predict_missing
from flows.spending import Prices, spending_on
from flows.trail import trail_of
from screening.decisions.outcome import Outcome, Reason
from screening.decisions.parsing import parse_questions
from screening.decisions.selection import Budget
from screening.errors import ScfNotConvergedError, SettingError
from stores.connect import open_database
from stores.documents import DecisionDocument, FailureDocument, PredictionDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
HERE = Crew(workers=0)
ASKED = "free_energy at 300 K within 5 meV/atom"


@pytest.fixture
def ladder(quick):
    settings = quick.as_dict()
    return [{"calculator": EMT, "settings": settings}, {"calculator": DFT, "settings": settings}]


@pytest.fixture
def fcc(uri, names):
    """The three stable metals, by formula."""
    assert names
    with open_database(uri) as database:
        rows = database.structures.query({"space_group_number": 225})
        return {row["formula_reduced"]: row["material_id"] for row in rows}


def work(ladder, *questions, **changes):
    return Work(ladder, parse_questions(questions or (ASKED,)), **changes)


def judge(ladder, *questions, calibration=None):
    calibrations = {0: calibration or FixedWidth({})}
    return Judge(read_ladder(ladder), parse_questions(questions or (ASKED,)), 0.1, calibrations)


def predict(database, uri, names, ladder, level=0):
    step = read_ladder(ladder).steps[level]
    predict_missing(database, LocalRun(uri, tuple(names), step.maker()), crew=HERE)


def said(uri):
    """Everything that was decided."""
    with open_database(uri) as database:
        found = [DecisionDocument.load(row) for row in database.decisions.query({})]
    return {one.decision_id: (one.outcome, one.reason) for one in found}


def written(uri):
    """Everything that was decided, word for word and with the time."""
    with open_database(uri) as database:
        return {row["decision_id"]: row for row in database.decisions.query({})}


def test_with_the_same_calibration_a_second_run_writes_nothing(uri, fcc, ladder, monkeypatch):
    monkeypatch.setattr("flows.deciding.load_calibrations", lambda *_: {0: FixedWidth({})})
    asked = work(ladder, budget=Budget(max_calculations=1))
    first = route(uri, list(fcc.values()), asked, crew=HERE)
    before = written(uri)
    again = route(uri, list(fcc.values()), asked, crew=HERE)
    assert (first.n_calculations, again.n_calculations) == (1, 0)
    assert written(uri) == before
    assert set(again.written.values()) == {0}


def test_a_number_of_calculations_is_that_of_all_runs(uri, fcc, ladder):
    names, asked = list(fcc.values()), work(ladder, budget=Budget(max_calculations=1))
    first = route(uri, names, asked, crew=HERE)
    assert first.n_calculations == 1
    before = said(uri)
    again = route(uri, names, asked, crew=HERE)
    assert (again.n_calculations, again.core_hours) == (0, 0.0)
    assert said(uri) == before
    assert again.outcomes() == first.outcomes() == {"accept": 1, "reject": 2}
    more = replace(asked, budget=Budget(max_calculations=2))
    assert route(uri, names, more, crew=HERE).n_calculations == 1
    with open_database(uri) as database:
        assert database.predictions.count(by_field("tier", 3)) == 2


def test_core_hours_are_those_of_all_runs(uri, fcc, ladder):
    names = list(fcc.values())
    route(uri, names, work(ladder, budget=Budget(max_calculations=1)), crew=HERE)
    with open_database(uri) as database:
        done = PredictionDocument.load(database.predictions.query_one(by_field("tier", 3)))
        ten_hours = done.cost.model_copy(update={"cpu_seconds": 36000.0})
        database.predictions.update(done.replaced(cost=ten_hours).to_store())
    spent = route(uri, names, work(ladder, budget=Budget(core_hours=10.0)), crew=HERE)
    assert spent.n_calculations == 0
    left = route(uri, names, work(ladder, budget=Budget(core_hours=11.0)), crew=HERE)
    assert left.n_calculations == 2  # a few seconds


def test_what_is_spent_is_measured_in_time_of_cores_else_estimated(uri, fcc, ladder):
    names = list(fcc.values())
    route(uri, names, work(ladder, budget=Budget(max_calculations=2)), crew=HERE)
    asked = judge(ladder)
    with open_database(uri) as database:
        rows = database.predictions.query(by_field("tier", 3))
        one, other = (PredictionDocument.load(row) for row in rows)
        hour = one.cost.model_copy(update={"wall_seconds": 7200.0, "cpu_seconds": 36000.0})
        unknown = other.cost.model_copy(update={"wall_seconds": 7200.0, "cpu_seconds": 0.0})
        database.predictions.update(one.replaced(cost=hour).to_store())
        database.predictions.update(other.replaced(cost=unknown).to_store())
        known = asked.known_of(database, names)
        prices = Prices(database, asked.ladder)
        spent = spending_on(known.values(), prices, {})
        estimate = prices.of([(other.material_id, 1)])[other.material_id, 1]
    assert spent.core_hours == {
        (one.material_id, 1): pytest.approx(10.0),
        (other.material_id, 1): pytest.approx(estimate),
    }
    assert spent.of([(one.material_id, 1), ("nobody", 1)]) == pytest.approx(10.0)
    assert spent.left_of(Budget(5, 12.0)).max_calculations == 3
    assert spent.left_of(Budget(None, 100.0)).core_hours == pytest.approx(90.0 - estimate)
    assert spent.left_of(Budget(1, 1.0)) == Budget(0, 0.0)


def test_a_failure_of_the_better_method_alone_stops_nobody(uri, fcc, ladder):
    with open_database(uri) as database:
        step = read_ladder(ladder).steps[1]
        crystal = crystal_of(database, fcc["Ag"])
        record_failure(database, crystal, step.predictor, ScfNotConvergedError("x"), 1)
    names = list(fcc.values())
    first, second = plan_work(uri, names, ladder, parse_questions(["stability"]), 0.1).steps
    assert (first.n_materials, second.n_materials, second.n_failed) == (3, 2, 1)
    report = route(uri, names, work(ladder), crew=HERE)
    assert report.outcomes() == {"accept": 2, "reject": 1}
    assert report.decisive()[fcc["Ag"]].reason is Reason.ALL_TIERS_FAILED


@pytest.mark.parametrize(
    "question", ["order from 1100 to 1500 K", "entropy at 1100 K within 1 meV/K/atom"]
)
def test_what_the_grid_does_not_reach_is_refused_before_anything_is_computed(ladder, question):
    with pytest.raises(SettingError, match="beyond the temperatures"):
        work(ladder, question)


def test_an_order_is_not_accepted_without_the_other_polymorphs(uri, fcc, names, ladder):
    report = route(uri, [fcc["Ag"]], work(ladder, "order from 300 to 600 K"), crew=HERE)
    assert report.decisive()[fcc["Ag"]].reason is Reason.POLYMORPHS_MISSING
    assert len(report.waiting) == 1
    assert set(report.waiting) < set(names) - {fcc["Ag"]}
    assert report.waiting[0] in report.names
    with open_database(uri, read_only=True) as database:
        assert "screen them too" in trail_of(database, fcc["Ag"]).next_step


def test_calibrations_do_not_change_within_a_run(uri, fcc, ladder, monkeypatch):
    built = []
    monkeypatch.setattr("flows.routing.calibrate_for", lambda *_: built.append("first"))
    loaded = []

    def load(*_):
        loaded.append("once")
        return {0: FixedWidth({})}

    monkeypatch.setattr("flows.deciding.load_calibrations", load)
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert report.n_calculations == 3
    assert (built, loaded) == (["first"], ["once"])


def test_what_ended_without_a_result_is_given_up_and_said_so(uri, fcc, ladder):
    asked, silver = judge(ladder), fcc["Ag"]
    escalation, ended = Escalation(silver, 1, 0.5), {(silver, 1): ""}
    with open_database(uri) as database:
        predict(database, uri, [silver], ladder)
        waiting = decide_round(database, [silver], asked, Budget(), [escalation])
        assert waiting.waiting == (silver,)
        predictor = asked.ladder.steps[1].predictor
        key = key_of(crystal_of(database, silver).digest, predictor)
        with database.claims.acquire(key):
            held = decide_round(database, [silver], asked, Budget(), [escalation], ended)
        assert held.waiting == (silver,)
        found = decide_round(database, [silver], asked, Budget(), [escalation], ended)
        [failure] = [FailureDocument.load(row) for row in database.failures.query({})]
    assert (failure.code, failure.prediction_id) == ("WORKER_LOST", key)
    assert found.waiting == ()
    assert found.escalations == ()
    [decided] = found.judgement.decided
    assert decided.decision.reason is Reason.ALL_TIERS_FAILED
    assert "WORKER_LOST" in decided.decision.detail
    assert found.core_hours > 0.0


def test_failures_of_two_methods_of_one_tier_have_decisions_of_their_own(uri, fcc, ladder):
    silver = fcc["Ag"]
    others = [ladder[0], ladder[1] | {"calculator": "pretended_dft.FailsForSilver"}]
    broken = [ladder[0], ladder[1] | {"calculator": "pretended_dft.FailsForSilverSupercells"}]
    for steps in (others, broken):
        route(uri, [silver], work(steps), crew=HERE)
    with open_database(uri) as database:
        rows = [DecisionDocument.load(row) for row in database.decisions.query({"tier": 3})]
    assert len({one.decision_id for one in rows}) == 2
    assert {one.reason for one in rows} == {"all_tiers_failed"}


def test_the_newest_decision_is_the_last_word_whatever_its_tier(uri, fcc, ladder):
    silver = fcc["Ag"]

    def next_step():
        with open_database(uri, read_only=True) as database:
            return trail_of(database, silver).next_step

    broken = [ladder[0], ladder[1] | {"calculator": "pretended_dft.FailsForSilver"}]
    route(uri, [silver], work(broken), crew=HERE)
    assert next_step().startswith("Every method failed")
    wide = FixedWidth({"Ag": 1.0})
    with open_database(uri) as database:
        good = decide_round(database, [silver], judge(ladder, calibration=wide), Budget())
        assert good.judgement.decided[0].decision.outcome is Outcome.ACCEPT
    assert next_step() == "All questions are answered"
    with open_database(uri) as database:
        again = decide_round(database, [silver], judge(broken), Budget())
        assert again.n_written == 1
        assert decide_round(database, [silver], judge(broken), Budget()).n_written == 0
    assert next_step().startswith("Every method failed")
