"""Makers: serialisable, and a flow that runs under jobflow's own manager."""

import json

from jobflow import Flow, JobStore, run_locally
from monty.json import MontyDecoder, MontyEncoder

from flows.makers import ImportMaker, ScreenBatchMaker, ScreenMaker, SummaryMaker
from stores.connect import open_database


def test_a_maker_survives_serialisation(maker):
    whole = ScreenMaker(batch_maker=maker, batch_size=4)
    again = MontyDecoder().decode(json.dumps(whole, cls=MontyEncoder))
    assert again == whole


def test_a_maker_can_be_changed_by_class_in_a_flow(uri, names, maker):
    flow = ScreenMaker(batch_maker=maker, batch_size=2).make(uri, names)
    flow.update_maker_kwargs(
        {"calculator": "changed"}, class_filter=ScreenBatchMaker, dict_mod=False
    )
    assert len(flow.jobs) == 4


def test_the_whole_screen_runs_as_one_flow_with_its_outputs_in_the_same_database(uri, names, maker):
    flow = ScreenMaker(batch_maker=maker, batch_size=2).make(uri, names)
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        responses = run_locally(
            flow, store=store, log=False, ensure_success=True, raise_immediately=True
        )
        summary = responses[flow.jobs[-1].uuid][1].output
        assert summary == {"vibrational": len(names), "polymorphs": 3, "hulls": 0, "models": 0}
        batch = store.get_output(flow.jobs[0].uuid)
        assert batch["outcomes"] == {"computed": 2}


def test_import_and_summary_are_jobs_too(uri, crystals):
    imported = ImportMaker().make(uri, [crystals])
    summary = SummaryMaker().make(uri, imported.output["material_ids"])
    responses = run_locally(
        Flow([imported, summary]), log=False, ensure_success=True, raise_immediately=True
    )
    assert len(responses[imported.uuid][1].output["material_ids"]) == 6
    assert responses[summary.uuid][1].output == {
        "vibrational": 0,
        "polymorphs": 3,
        "hulls": 0,
        "models": 0,
    }
