"""Makers of trained models: serialisable, and a search that runs as one flow."""

import json

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, MontyEncoder

from flows.makers import PredictMaker, RandomSearchMaker, TrainMaker
from flows.predicting import LEARNED
from flows.searching import search_settings
from stores.connect import open_database

pytestmark = pytest.mark.usefixtures("springs")
EMT = "ase.calculators.emt.EMT"


def run(flow):
    return run_locally(
        flow, log=False, ensure_success=True, raise_immediately=True,
        store=JobStore(MemoryStore()),
    )  # fmt: skip


@pytest.mark.parametrize("maker", [TrainMaker(), PredictMaker(), RandomSearchMaker(count=7)])
def test_a_maker_survives_serialisation(maker):
    assert MontyDecoder().decode(json.dumps(maker, cls=MontyEncoder)) == maker


@pytest.mark.usefixtures("screened")
def test_what_one_job_trains_the_next_predicts_with(uri):
    training = TrainMaker(model_name="metals", settings={"variant": "auto"}).make(uri)
    predicting = PredictMaker(query="chemsys = Cu").make(uri, model=training.output["model_id"])
    responses = run(Flow([training, predicting]))
    trained = responses[training.uuid][1].output
    assert trained["model_id"].startswith("rf-ifc:metals@")
    assert len(trained["training_ids"]) == 4
    done = responses[predicting.uuid][1].output
    assert done["model"] == "rf-ifc:metals"
    assert done["outcomes"] == {"computed": 2}


def test_a_search_ends_with_predictions_of_its_minima(uri):
    """Four crystals of a copper-gold alloy in two batches, with their Hessians at Gamma."""
    maker = RandomSearchMaker(
        composition="Cu1 Au1", volume_angstrom3=30.0, count=4, batch_size=2, calculator=EMT,
        settings=quick_search(), train_maker=TrainMaker(model_name="alloy"),
    )  # fmt: skip
    flow = maker.make(uri)
    assert len(flow.jobs) == 2 + 2 + 1 + 3
    output = run(flow)[flow.jobs[-1].uuid][1].output
    assert output["model"] == "rf-ifc:alloy"
    assert output["outcomes"] == {"computed": output["n_predicted"]}
    with open_database(uri, read_only=True) as database:
        drawn = list(database.structures.query({"sources": {"$exists": True}}))
        sources = [source for row in drawn for source in row["sources"]]
        tiers = {row["tier"] for row in database.predictions.query({})}
        trained = database.models.query_one({"kind": "predictor"})
        marked = [row["warnings"] for row in database.predictions.query({"tier": 0})]
    assert sum(source.startswith("random Cu1 Au1") for source in sources) == 4
    assert sum(source.startswith("relaxed by") for source in sources) >= 1
    assert tiers == {0, 1}
    minima = {row["material_id"] for row in drawn if row["sources"][0].startswith("relaxed by")}
    assert minima <= set(
        trained["provenance"]["source_ids"]
    )  # known although only those that they came from are learned
    assert all(LEARNED in warnings for warnings in marked)


@pytest.mark.usefixtures("screened")
def test_a_search_learns_only_its_own_minima(uri):
    """Metals by the same potential are there already."""
    maker = RandomSearchMaker(
        composition="Cu1 Au1", volume_angstrom3=30.0, count=5, batch_size=5, calculator=EMT,
        settings=quick_search(), train_maker=TrainMaker(model_name="alloy"),
    )  # fmt: skip
    flow = maker.make(uri)
    output = run(flow)[flow.jobs[-2].uuid][1].output
    assert output["elements"] == ["Cu", "Au"]
    assert output["source"].startswith(EMT)


def test_what_is_learned_by_one_method_is_not_predicted_by_another(uri):
    maker = RandomSearchMaker(count=1, train_maker=TrainMaker(method="ldml"))
    predicting = maker.make(uri).jobs[-1]
    assert predicting.function_args[1] == "ldml"


def quick_search():
    plain = search_settings(2).as_dict()
    plain["relaxation"]["stress_tolerance_gpa"] = 0.1
    plain["thermodynamics"]["temperatures_k"] = [0.0, 300.0, 1000.0]
    return plain
