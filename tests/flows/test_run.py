"""The main job: what it writes, that it resumes, and what it does with what fails."""

from collections import Counter
from dataclasses import replace

import pytest

from flows.events import Outcome
from flows.local import Crew
from flows.retrying import forget_failures
from flows.run import screen
from screening.errors import ModelError, NotFoundError, SettingError
from stores.connect import open_database
from stores.documents import FailureDocument, PredictionDocument, VibrationalDocument
from stores.query import by_field


def test_every_crystal_gets_a_prediction_a_summary_and_a_ranking(uri, names, maker):
    report = screen(uri, names, maker, crew=Crew(workers=0))
    assert report.outcomes == {"computed": len(names)}
    assert report.written == {"vibrational": len(names), "polymorphs": 3, "hulls": 0, "models": 0}
    with open_database(uri) as database:
        predictions = list(map(PredictionDocument.load, database.predictions.query({})))
        summaries = list(map(VibrationalDocument.load, database.vibrational.query({})))
        assert {one.material_id for one in predictions} == set(names)
        assert {one.material_id for one in summaries} == set(names)
        assert {row["formula_reduced"] for row in database.polymorphs.query({})} == {
            "Al",
            "Cu",
            "Ag",
        }
        for phonons in database.phonons.query({}, ["forces_blob"]):
            assert phonons["forces_blob"]["sha256"] in database.blobs


def test_close_packed_copper_is_stable_and_below_the_body_centred_one(uri, names, maker):
    screen(uri, names, maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        ranking = database.polymorphs.query_one(by_field("formula_reduced", "Cu"))
        fcc = database.vibrational.query_one({"formula_reduced": "Cu", "space_group_number": 225})
    lowest = min(ranking["polymorphs"], key=lambda one: one["relative_static_energy_mev_per_atom"])
    assert lowest["material_id"] == fcc["material_id"]
    assert fcc["verdict"] == "stable"


def test_a_second_run_computes_and_writes_nothing(uri, names, maker):
    screen(uri, names, maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        before = {row["_id"]: row["last_updated"] for row in database.predictions.query({})}
    report = screen(uri, names, maker, crew=Crew(workers=0))
    assert report.outcomes == {"already_done": len(names)}
    assert report.written == {"vibrational": 0, "polymorphs": 0, "hulls": 0, "models": 0}
    with open_database(uri) as database:
        after = {row["_id"]: row["last_updated"] for row in database.predictions.query({})}
    assert after == before


def test_other_settings_are_another_prediction_beside_the_first(uri, names, maker, small):
    screen(uri, names[:1], maker, crew=Crew(workers=0))
    phonons = replace(small.phonons, displacement_angstrom=0.02)
    other = replace(maker, settings=replace(small, phonons=phonons).as_dict())
    assert screen(uri, names[:1], other, crew=Crew(workers=0)).outcomes == {"computed": 1}
    with open_database(uri) as database:
        assert database.predictions.count(by_field("material_id", names[0])) == 2


@pytest.mark.parametrize(
    ("calculator", "code"),
    [
        ("faulty_calculators.NanForSilver", "NONFINITE_FORCES"),
        ("faulty_calculators.HugeForSilver", "FORCES_EXPLODED"),
        ("faulty_calculators.RaisesForSilver", "CALCULATOR_FAILED"),
    ],
)
def test_a_failure_is_a_document_and_the_others_go_on(uri, names, maker, calculator, code):
    report = screen(uri, names, replace(maker, calculator=calculator), crew=Crew(workers=0))
    assert report.outcomes == {"computed": 4, "failed": 2}
    with open_database(uri) as database:
        failures = list(map(FailureDocument.load, database.failures.query({})))
        assert [failure.code for failure in failures] == [code] * 2
        failed = {failure.material_id for failure in failures}
        assert failed == {event.material_id for event in report.failures}
        done = {row["material_id"] for row in database.predictions.query({}, ["material_id"])}
        assert failed | done == set(names)
        assert not failed & done
        silver = database.polymorphs.query_one(by_field("formula_reduced", "Ag"))
        assert {one["material_id"] for one in silver["excluded"]} == failed


def test_a_failure_is_not_tried_again_until_it_is_forgotten(uri, names, maker):
    faulty = replace(maker, calculator="faulty_calculators.RaisesForSilver")
    screen(uri, names, faulty, crew=Crew(workers=0))
    assert screen(uri, names, faulty, crew=Crew(workers=0)).outcomes == {
        "already_done": 4,
        "failed_before": 2,
    }
    with open_database(uri) as database:
        assert len(forget_failures(database, "CALCULATOR_FAILED")) == 2
        assert forget_failures(database) == ()
    assert screen(uri, names, faulty, crew=Crew(workers=0)).outcomes == {
        "already_done": 4,
        "failed": 2,
    }


def test_success_clears_the_failure_of_the_same_prediction(uri, names, maker):
    faulty = replace(maker, calculator="faulty_calculators.RaisesForSilver")
    screen(uri, names, faulty, crew=Crew(workers=0))
    screen(uri, names, maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        assert database.failures.count() == 2  # those of the faulty calculator remain
        assert database.predictions.count(by_field("provenance.model", "ase.calculators.emt.EMT"))


def test_an_upside_down_potential_gives_no_valid_thermodynamics(uri, names, maker, small):
    settings = replace(small, relaxation=None).as_dict()
    upside = replace(maker, calculator="faulty_calculators.SaddlePoint", settings=settings)
    report = screen(uri, names[:1], upside, crew=Crew(workers=0))
    assert report.outcomes == {"computed": 1}
    with open_database(uri) as database:
        summary = VibrationalDocument.load(database.vibrational.query_one({}))
    assert summary.verdict == "unstable"
    assert not summary.thermodynamics_valid
    assert summary.imaginary_weight > 0.5


def test_events_begin_and_end_every_material(uri, names, maker):
    events = []
    screen(uri, names, maker, crew=Crew(workers=0), listener=events.append)
    counts = Counter((event.material_id, event.outcome) for event in events)
    assert counts == Counter(
        {(name, outcome): 1 for name in names for outcome in (Outcome.STARTED, Outcome.COMPUTED)}
    )


def test_nothing_to_screen_is_an_error(uri, maker):
    with pytest.raises(NotFoundError, match="no materials"):
        screen(uri, [], maker)


def test_an_unknown_material_is_named(uri, names, maker):
    with pytest.raises(NotFoundError, match="ps-nothing"):
        screen(uri, [*names, "ps-nothing"], maker)


def test_an_unknown_calculator_stops_before_anything_is_computed(uri, names, maker):
    with pytest.raises(ModelError):
        screen(uri, names, replace(maker, calculator="no.such.Calculator"), crew=Crew(workers=0))
    with open_database(uri) as database:
        assert database.failures.count() == 0


def test_unknown_settings_are_refused(uri, names, maker):
    with pytest.raises(SettingError, match="unknown setting"):
        screen(uri, names, replace(maker, settings={"supercel": 1}), crew=Crew(workers=0))


def test_asking_again_for_other_settings_brings_their_prediction_back(uri, names, maker, small):
    screen(uri, names, maker, crew=Crew(workers=0))
    first = shown_predictions(uri)
    phonons = replace(small.phonons, displacement_angstrom=0.05)
    other = replace(maker, settings=replace(small, phonons=phonons).as_dict())
    screen(uri, names, other, crew=Crew(workers=0))
    assert not set(first.values()) & set(shown_predictions(uri).values())
    report = screen(uri, names, maker, crew=Crew(workers=0))
    assert report.outcomes == {"already_done": len(names)}
    assert shown_predictions(uri) == first
    with open_database(uri) as database:
        for ranking in database.polymorphs.query({}):
            for phase in ranking["polymorphs"]:
                assert phase["prediction_id"] == first[phase["material_id"]]


def shown_predictions(uri):
    with open_database(uri) as database:
        rows = database.vibrational.query({}, ["material_id", "prediction_id"])
        return {row["material_id"]: row["prediction_id"] for row in rows}
