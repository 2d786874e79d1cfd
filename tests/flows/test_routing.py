"""The screen that stops: what is escalated and what is not, within the budget, and only once."""

import json
import math
from argparse import Namespace
from dataclasses import replace

import pytest
from jobflow import JobStore, run_locally
from monty.json import MontyDecoder, MontyEncoder
from pretended_calibrations import FixedWidth

from flows.events import Outcome as Happened
from flows.ladder import read_ladder
from flows.local import Crew
from flows.makers import RoutedScreenMaker
from flows.results import status_of
from flows.retrying import forget_failures
from flows.routing import Work, route
from flows.run import predict_missing
from screening.decisions.outcome import Outcome, Reason
from screening.decisions.parsing import parse_questions
from screening.decisions.selection import Budget
from screening.errors import SettingError
from stores.connect import open_database
from stores.documents import DecisionDocument, FailureDocument, PredictionDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"
HERE = Crew(workers=0)


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


@pytest.fixture
def calibrated(monkeypatch):
    """Put a calibration of the cheapest method where fitted ones are read."""

    def put(calibration):
        monkeypatch.setattr("flows.deciding.load_calibrations", lambda *_: {0: calibration})

    return put


def work(ladder, *questions, **changes):
    texts = questions or ("free_energy at 300 K within 5 meV/atom",)
    return Work(ladder, parse_questions(texts), **changes)


def tiers(uri):
    """Tiers of the predictions of every formula."""
    with open_database(uri) as database:
        rows = list(database.predictions.query({}, ["formula_reduced", "tier"]))
    return {
        formula: sorted(row["tier"] for row in rows if row["formula_reduced"] == formula)
        for formula in {row["formula_reduced"] for row in rows}
    }


def decisions(uri):
    with open_database(uri) as database:
        return [DecisionDocument.load(row) for row in database.decisions.query({})]


def test_what_the_interval_settles_is_accepted_and_the_rest_gets_the_better_method(
    uri, fcc, ladder, calibrated
):
    calibrated(FixedWidth({"Al": 1.0, "Cu": 4.9, "Ag": 5.1}))
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert tiers(uri) == {"Al": [1], "Cu": [1], "Ag": [1, 3]}
    assert report.n_calculations == 1
    assert report.outcomes() == {"accept": 3}
    reasons = {report.formulas[name]: one.reason for name, one in report.decisive().items()}
    assert reasons == {
        "Al": Reason.INTERVAL_WITHIN_TOLERANCE,
        "Cu": Reason.INTERVAL_WITHIN_TOLERANCE,
        "Ag": Reason.REFERENCE_METHOD,
    }
    trail = [one for one in decisions(uri) if one.material_id == fcc["Ag"]]
    assert {(one.tier, one.outcome, one.next_tier) for one in trail} == {
        (1, Outcome.ESCALATE, 3),
        (3, Outcome.ACCEPT, None),
    }
    first = next(one for one in trail if one.tier == 1)
    assert first.reason == "interval_too_wide"
    assert first.expected_core_hours > 0
    assert first.intervals[0].quantity == "free_energy_300k_mev_per_atom"
    assert "5.1" in first.detail
    with open_database(uri) as database:
        summary = database.vibrational.query_one(by_field("material_id", fcc["Ag"]))
    assert summary["tier"] == 3


def test_while_a_better_method_runs_the_database_shows_what_there_is(uri, fcc, ladder, calibrated):
    """Somebody looks, or the process is killed, when the better method begins."""
    calibrated(FixedWidth({"Al": 1.0, "Cu": 4.9, "Ag": 5.1}))
    seen = {}

    def look(step, _):
        with open_database(uri) as database:
            rows = list(database.vibrational.query({}, ["formula_reduced", "tier"]))
            seen[step.tier] = {row["formula_reduced"]: row["tier"] for row in rows}
            seen["escalated", step.tier] = status_of(database).escalated

    report = route(uri, list(fcc.values()), work(ladder), crew=HERE, announce=look)
    assert seen == {
        1: {},
        ("escalated", 1): 0,
        3: dict.fromkeys(("Al", "Cu", "Ag"), 1),
        ("escalated", 3): 1,
    }
    assert report.written["vibrational"] == 4  # that of silver twice
    with open_database(uri) as database:
        assert status_of(database).escalated == 0


def test_without_a_calibration_everything_goes_on_and_the_reason_says_why(uri, fcc, ladder):
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert report.n_calculations == 3
    assert all(found == [1, 3] for found in tiers(uri).values())
    first = [one for one in decisions(uri) if one.tier == 1]
    assert {one.reason for one in first} == {"not_calibrated"}
    assert all(one.intervals[0].lower is None for one in first)


def test_a_second_run_computes_nothing_and_writes_nothing(uri, fcc, ladder, calibrated):
    calibrated(FixedWidth({"Al": 1.0}))
    route(uri, list(fcc.values()), work(ladder), crew=HERE)
    before = {one.decision_id: one.last_updated for one in decisions(uri)}
    again = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert again.n_calculations == 0
    assert [step.outcomes for step in again.steps] == [{"already_done": 3}]
    assert {one.decision_id: one.last_updated for one in decisions(uri)} == before
    assert again.outcomes() == {"accept": 3}
    assert set(again.written.values()) == {0}


def test_the_budget_is_kept_and_what_it_does_not_pay_for_is_rejected(uri, fcc, ladder):
    report = route(
        uri, list(fcc.values()), work(ladder, budget=Budget(max_calculations=2)), crew=HERE
    )
    assert report.n_calculations == 2
    assert report.outcomes() == {"accept": 2, "reject": 1}
    rejected = [one for one in report.decisive().values() if one.outcome is Outcome.REJECT]
    assert rejected[0].reason is Reason.BUDGET_EXHAUSTED
    with open_database(uri) as database:
        assert database.predictions.count(by_field("tier", 3)) == 2
    none = route(uri, list(fcc.values()), work(ladder, budget=Budget(core_hours=0.0)), crew=HERE)
    assert none.n_calculations == 0


def test_a_wide_interval_that_cannot_change_the_answer_is_enough(uri, fcc, ladder, calibrated):
    calibrated(FixedWidth({"Al": 30.0, "Cu": 30.0, "Ag": 30.0}))
    report = route(
        uri,
        list(fcc.values()),
        work(ladder, "free_energy_300k_mev_per_atom < 100", "free_energy_1000k_mev_per_atom < 900"),
        crew=HERE,
    )
    assert report.n_calculations == 0
    assert {one.reason for one in report.decisive().values()} == {Reason.FILTER_SURELY_MET}


def test_stability_is_accepted_outside_the_abstention_band(uri, names, ladder, calibrated):
    calibrated(FixedWidth(band_thz=0.001))
    report = route(uri, list(names), work(ladder, "stability"), crew=HERE)
    verdicts = {one.decision.answer.content["verdict"] for one in report.decided}
    assert verdicts <= {"stable", "unstable"}
    assert "unstable" in verdicts
    assert all(one.decision.answer for one in report.decided)


def test_only_the_composition_whose_order_is_open_is_computed_better(
    uri, names, ladder, calibrated
):
    calibrated(FixedWidth({"Al": 0.01, "Cu": 0.01, "Ag": 1e6}))
    report = route(uri, list(names), work(ladder, "order from 300 to 600 K"), crew=HERE)
    known = {(one.formula, one.question.text) for one in report.answers}
    assert known == {(formula, "order from 300 to 600 K") for formula in ("Al", "Cu", "Ag")}
    with open_database(uri) as database:
        better = {row["formula_reduced"] for row in database.predictions.query({"tier": 3})}
        invalid = {
            row["formula_reduced"]
            for row in database.predictions.query({"tier": 1})
            if not row["thermodynamics"]["valid"]
        }
    assert "Ag" in better
    assert better - invalid <= {"Ag"}
    assert all(one.composition in {"Al", "Cu", "Ag"} for one in decisions(uri))


def test_a_material_that_the_potential_fails_on_is_saved_by_the_better_method(
    uri, fcc, ladder, calibrated
):
    calibrated(FixedWidth({"Al": 1.0, "Cu": 1.0, "Ag": 1.0}))
    ladder[0] = ladder[0] | {"calculator": "faulty_calculators.NanForSilver"}
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert tiers(uri) == {"Al": [1], "Cu": [1], "Ag": [3]}
    assert report.outcomes() == {"accept": 3}
    trail = {one.tier: one for one in decisions(uri) if one.material_id == fcc["Ag"]}
    assert trail[1].reason == "prediction_failed"
    assert trail[1].prediction_id is None
    assert "NONFINITE_FORCES" in trail[1].detail
    assert trail[3].outcome is Outcome.ACCEPT


def test_where_all_methods_fail_both_reasons_are_on_record_and_nothing_is_tried_twice(
    uri, fcc, ladder, calibrated
):
    calibrated(FixedWidth({"Al": 1.0, "Cu": 1.0}))
    ladder[0] = ladder[0] | {"calculator": "faulty_calculators.NanForSilver"}
    ladder[1] = ladder[1] | {"calculator": "pretended_dft.FailsForSilver"}
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert report.outcomes() == {"accept": 2, "reject": 1}
    assert report.decisive()[fcc["Ag"]].reason is Reason.ALL_TIERS_FAILED
    with open_database(uri) as database:
        rows = database.failures.query(by_field("method", "dft-phonons"))
        [failure] = [FailureDocument.load(row) for row in rows]
    assert "NONFINITE_FORCES" in failure.message
    assert "CALCULATOR_FAILED" in failure.message
    again = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert again.n_calculations == 0
    assert again.decisive()[fcc["Ag"]].reason is Reason.ALL_TIERS_FAILED
    with open_database(uri) as database:
        forget_failures(database)
    ladder[1] = ladder[1] | {"calculator": DFT}
    assert route(uri, list(fcc.values()), work(ladder), crew=HERE).outcomes() == {"accept": 3}


def test_what_another_process_computes_is_waited_for_by_nobody(uri, fcc, ladder):
    from flows.materials import key_of

    step = read_ladder(ladder).steps[1]
    with open_database(uri) as database:
        row = database.structures.query_one(by_field("material_id", fcc["Ag"]))
        key = key_of(row["structure_digest"], step.predictor)
        with database.claims.acquire(key):
            report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert report.waiting == (fcc["Ag"],)
    assert report.steps[1].outcomes == {Happened.COMPUTED: 2, Happened.BUSY_ELSEWHERE: 1}
    assert report.outcomes() == {"accept": 2, "escalate": 1}


def test_an_unknown_kind_of_crystal_is_out_of_the_domain(uri, fcc, ladder, calibrated):
    calibrated(FixedWidth(dict.fromkeys(("Al", "Cu", "Ag"), 1.0), novel=frozenset({"Cu"})))
    report = route(uri, list(fcc.values()), work(ladder), crew=HERE)
    assert report.n_calculations == 1
    first = {one.material_id: one.reason for one in decisions(uri) if one.tier == 1}
    assert first[fcc["Cu"]] == "out_of_domain"


def test_workers_escalate_too(uri, fcc, ladder, calibrated):
    calibrated(FixedWidth({"Al": 1.0, "Cu": 1.0}))
    report = route(uri, list(fcc.values()), work(ladder), crew=Crew(workers=2, time_limit_s=120))
    assert report.outcomes() == {"accept": 3}
    assert tiers(uri) == {"Al": [1], "Cu": [1], "Ag": [1, 3]}


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([], "no method"),
        ([{"calculator": DFT}, {"calculator": EMT}], "is not above"),
        ([{"calculator": EMT}, {"calculator": "ase.calculators.lj.LennardJones"}], "is not above"),
        ([{"settings": {}}], "no calculator"),
        ([{"calculator": EMT, "colour": "red"}], "unknown: colour"),
        ([{"calculator": EMT, "vasp": {"encut_ev": 520}}], "another calculator"),
    ],
)
def test_a_ladder_ascends_and_is_spelled_right(values, match):
    with pytest.raises(SettingError, match=match):
        read_ladder(values)


def test_a_ladder_is_plain_values(ladder):
    again = read_ladder(json.loads(json.dumps(read_ladder(ladder).as_list())))
    assert again == read_ladder(ladder)
    assert [step.tier for step in again.steps] == [1, 3]
    assert again.standing(1, 0.1).is_reference
    assert not again.standing(0, 0.1).is_reference


def test_nothing_asked_is_refused(ladder):
    with pytest.raises(SettingError, match="nothing is asked"):
        Work(ladder, ())


@pytest.fixture
def maker(ladder):
    return RoutedScreenMaker(
        ladder=ladder, questions=["free_energy at 300 K within 5 meV/atom"], batch_size=2
    )


def test_the_maker_survives_serialisation(maker):
    assert MontyDecoder().decode(json.dumps(maker, cls=MontyEncoder)) == maker


def run(uri, flow):
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        run_locally(flow, store=store, log=False, ensure_success=True)
        names = sorted(row["name"] for row in store.query({}, ["name"]))
        return store.get_output(flow.jobs[-2].uuid), store.get_output(flow.jobs[-1].uuid), names


def test_the_same_as_one_dynamic_flow(uri, fcc, maker, calibrated):
    calibrated(FixedWidth({"Al": 1.0, "Cu": 4.9, "Ag": 5.1}))
    decided, written, jobs = run(uri, maker.make(uri, list(fcc.values())))
    assert decided["decisions"] == {"accept": 3}
    assert decided["n_calculations"] == 1
    assert written["vibrational"] == 3
    assert tiers(uri) == {"Al": [1], "Cu": [1], "Ag": [1, 3]}
    assert jobs.count("screen a batch") == 2
    assert jobs.count("decide_job") == 2
    assert jobs.count("prepare_phonons_job") == jobs.count("finish_phonons_job") == 1
    with open_database(uri) as database:
        summary = database.vibrational.query_one(by_field("material_id", fcc["Ag"]))
    assert summary["tier"] == 3


def test_a_flow_ends_well_where_a_fallback_fails(uri, fcc, maker, ladder):
    broken = [ladder[0], ladder[1] | {"calculator": "pretended_dft.FailsForSilverSupercells"}]
    flow = replace(maker, ladder=broken, max_calculations=2).make(uri, list(fcc.values()))
    decided, written, _ = run(uri, flow)
    assert decided["n_calculations"] == 2
    assert sum(decided["decisions"].values()) == 3
    assert decided["decisions"]["reject"] >= 1
    assert written["vibrational"] == 3
    whole = replace(maker, ladder=broken).make(uri, list(fcc.values()))
    decided, _, _ = run(uri, whole)
    assert decided["decisions"] == {"accept": 2, "reject": 1}
    with open_database(uri) as database:
        predictions = [PredictionDocument.load(row) for row in database.predictions.query({})]
        assert database.failures.count() == 1
    assert sorted(one.tier for one in predictions) == [1, 1, 1, 3, 3]
    assert not math.isnan(decided["core_hours"])


def test_contradictory_questions_never_become_a_flow(uri, maker):
    asked = ["free_energy within 5 meV/atom", "free_energy within 10 meV/atom"]
    with pytest.raises(SettingError):
        replace(maker, questions=asked).make(uri, [])


def plain_work(maker, uri):
    """What the first decide job of a flow is given."""
    flow = maker.make(uri, ["ps-1"])
    return json.loads(json.dumps(flow.jobs[-2].function_args[2]))


def test_a_flow_decides_where_no_program_is_installed(uri, maker, ladder, monkeypatch):
    given = plain_work(maker, uri)
    known = [one.predictor.model_digest for one in read_ladder(ladder).steps]

    def refuse(*_):
        raise AssertionError("a calculator was loaded")

    monkeypatch.setattr("flows.ladder.cached_predictor", refuse)
    named = read_ladder(given["ladder"])
    assert [one.predictor.model_digest for one in named.steps] == known
    assert named.named() == given["ladder"]
    with pytest.raises(SettingError, match="not loaded"):
        named.steps[0].predictor.predict(Namespace(material_id="ps-1"))
    with pytest.raises(SettingError, match="names no method"):
        read_ladder([given["ladder"][0] | {"method": {"tier": 1}}])


def test_a_worker_with_another_program_refuses_and_the_reason_is_on_record(uri, fcc, maker):
    flow = maker.make(uri, [fcc["Ag"]])
    work_of_flow = flow.jobs[-2].function_args[2]
    work_of_flow["ladder"][1]["method"]["model_digest"] = "f" * 64
    decided, _, jobs = run(uri, flow)
    assert decided["decisions"] == {"reject": 1}
    assert decided["n_waiting"] == 0
    assert "finish_phonons_job" not in jobs
    with open_database(uri) as database:
        [failure] = [FailureDocument.load(row) for row in database.failures.query({})]
        assert database.predictions.count(by_field("tier", 3)) == 0
    assert failure.code == "WORKER_LOST"
    assert "are not those of the machine that launched the screen" in failure.message


def test_a_flow_whose_fallback_dies_says_so(uri, fcc, maker, monkeypatch):
    def die(*_):
        raise KeyError("killed")  # of no kind that anybody expects

    monkeypatch.setattr("flows.fallback.plan_batches", die)
    flow = maker.make(uri, [fcc["Ag"], fcc["Cu"]])
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        run_locally(flow, store=store, log=False)
        rows = [FailureDocument.load(row) for row in database.failures.query({})]
        last = [DecisionDocument.load(row) for row in database.decisions.query({"tier": 3})]
    assert {one.code for one in rows} == {"WORKER_LOST"}
    assert [one.reason for one in last] == ["all_tiers_failed"] * 2


def test_the_better_method_has_a_time_limit_of_its_own(uri, fcc, ladder, monkeypatch):
    crews = []

    def predict(_database, whole, *, crew, listener):
        crews.append((whole.maker.calculator, crew))
        return predict_missing(_database, whole, crew=HERE, listener=listener)

    monkeypatch.setattr("flows.routing.predict_missing", predict)
    first, second = Crew(2, 60.0), Crew(2, 3600.0)
    route(uri, [fcc["Ag"]], work(ladder), crew=first, better_crew=second)
    assert crews == [(EMT, first), (DFT, second)]
