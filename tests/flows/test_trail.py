"""Why a material has its numbers: the whole trail, and what is next."""

import json

import pytest
from rich.console import Console

from flows import tables
from flows.local import Crew
from flows.planning import plan_work
from flows.routing import Work, route
from flows.tables.payloads import payload_fields
from flows.trail import trail_of
from screening.decisions.outcome import Outcome
from screening.decisions.parsing import parse_questions
from screening.decisions.selection import Budget
from screening.errors import NotFoundError
from stores.connect import open_database
from stores.documents import PredictionDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
QUESTION = parse_questions(["free_energy at 300 K within 5 meV/atom", "stability"])


@pytest.fixture
def ladder(quick):
    settings = quick.as_dict()
    return [
        {"calculator": EMT, "settings": settings},
        {"calculator": "pretended_dft.StifferEmt", "settings": settings},
    ]


@pytest.fixture
def copper(uri, names):
    assert names
    with open_database(uri) as database:
        same = {"formula_reduced": "Cu", "space_group_number": 225}
        return database.structures.query_one(same)["material_id"]


def run(uri, copper, ladder, **changes):
    return route(uri, [copper], Work(ladder, QUESTION, **changes), crew=Crew(workers=0))


def trail(uri, name):
    with open_database(uri, read_only=True) as database:
        return trail_of(database, name)


def shown(renderable):
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_before_anything_happened(uri, copper):
    found = trail(uri, copper)
    assert (found.predictions, found.decisions, found.failures) == ((), (), ())
    assert found.next_step == "Not predicted yet: phonoscreen screen"
    assert found.formula == "Cu"


def test_an_unknown_material_is_refused(uri, names):
    assert names
    with pytest.raises(NotFoundError, match="no such material"):
        trail(uri, "ps-nothing")


def test_the_whole_way_from_the_potential_to_the_reference(uri, copper, ladder):
    run(uri, copper, ladder)
    found = trail(uri, copper)
    assert [(one.tier, one.method, one.is_shown) for one in found.predictions] == [
        (1, "potential-phonons", False),
        (3, "dft-phonons", True),
    ]
    assert all(one.force_calls and one.wall_seconds > 0 for one in found.predictions)
    assert all("phonopy" in one.versions for one in found.predictions)
    assert [(one.tier, one.outcome) for one in found.decisions] == [
        (1, Outcome.ESCALATE),
        (1, Outcome.ESCALATE),
        (3, Outcome.ACCEPT),
        (3, Outcome.ACCEPT),
    ]
    assert found.next_step == "All questions are answered"
    text = shown(tables.table_trail(found))
    for part in ("not_calibrated", "reference_method", "too few", "made with", EMT):
        assert part in text


def test_settings_of_a_model_are_shown_with_its_prediction(uri, copper, ladder):
    run(uri, copper, ladder)
    settings = {
        "ecut_ev": 350.0,
        "born": False,
        "bin_dir": "",
        "datasets": {"Cu": {"file": "Cu.PBE.gz", "sha256": "e" * 64}},
    }
    with open_database(uri) as database:
        for row in list(database.predictions.query(by_field("tier", 3))):
            document = PredictionDocument.load(row).replaced(model_settings=settings)
            database.predictions.update(document.to_store())
    found = trail(uri, copper)
    text = " ".join(shown(tables.table_trail(found)).split())
    assert ": ecut_ev 350, born no, datasets (Cu Cu.PBE.gz eeeeeeeeeeee)" in text
    assert text.count("ecut_ev") == 1  # a potential has none
    payload = tables.payload_trail(found, {})
    assert [one["model_settings"] for one in payload["predictions"]] == [{}, settings]


def test_what_is_next_depends_on_how_it_ended(uri, copper, ladder):
    run(uri, copper, ladder[:1])
    assert "--fallback" in trail(uri, copper).next_step
    run(uri, copper, ladder, budget=Budget(max_calculations=0))
    assert "--max-dft" in trail(uri, copper).next_step


def test_failures_are_part_of_the_trail(uri, names, ladder):
    assert names
    with open_database(uri) as database:
        row = database.structures.query_one(by_field("formula_reduced", "Ag"))
    silver = row["material_id"]
    ladder[0] = ladder[0] | {"calculator": "faulty_calculators.NanForSilver"}
    ladder[1] = ladder[1] | {"calculator": "pretended_dft.FailsForSilver"}
    report = run(uri, silver, ladder)
    assert report.n_failed == 1
    found = trail(uri, silver)
    assert {one.code for one in found.failures} == {"NONFINITE_FORCES", "CALCULATOR_FAILED"}
    assert "retry" in found.next_step
    assert "does not converge" in shown(tables.table_trail(found))


def test_json_says_the_same_and_every_field_is_explained(uri, copper, ladder):
    report = run(uri, copper, ladder)
    plan = plan_work(uri, [copper], ladder, QUESTION, 0.1, Budget(max_calculations=3))
    payloads = {
        "trail": tables.payload_trail(trail(uri, copper), {}),
        "routing": tables.payload_routing(report),
        "plan": tables.payload_plan(plan),
    }
    for kind, payload in payloads.items():
        assert json.loads(json.dumps(payload, allow_nan=False))["payload"] == kind
        assert set(payload) - {"payload", "payload_version"} == set(payload_fields(kind))
    assert payloads["trail"]["decisions"][0]["intervals"][0]["upper"] is None
    assert payloads["routing"]["outcomes"] == {"accept": 1}
    assert payloads["routing"]["decisions"][0]["answer"]["values"][0]["value"]
    assert payloads["plan"]["budget"] == {"max_calculations": 3, "core_hours": None}


def test_tables_of_routing_and_plan(uri, copper, ladder):
    report = run(uri, copper, ladder)
    text = shown(tables.table_routing(report))
    assert "reference_method" in text
    assert "1 escalations" in text
    plan = plan_work(uri, [copper], ladder, QUESTION, 0.1, Budget(core_hours=2.5))
    text = shown(tables.table_plan(plan))
    assert "2.5 core-hours" in text
    assert "measured" in text
    narrow = Console(width=60, no_color=True)
    with narrow.capture() as capture:
        narrow.print(tables.table_plan(plan, width=60))
    assert max(len(line) for line in capture.get().splitlines()) <= 60
