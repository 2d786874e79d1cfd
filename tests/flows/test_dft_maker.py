"""Phonons from first principles in pieces: the same numbers, no call twice, typed failures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from jobflow import Flow, JobStore, run_locally
from monty.json import MontyDecoder, MontyEncoder

from flows.catalogue import crystal_of
from flows.jobs import displacements_job, finish_phonons_job
from flows.makers import DftPhononMaker
from flows.materials import record_failure, screen_material
from flows.predictors import cached_predictor
from flows.resources import Resource, all_jobs, resource_of
from flows.results import phonons_of
from flows.retrying import forget_failures
from screening.errors import DatabaseUnavailableError, RelaxationError, SettingError
from stores.connect import open_database
from stores.documents import FailureDocument, PredictionDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"


@pytest.fixture
def dft(small, names) -> DftPhononMaker:
    assert names  # imported
    return DftPhononMaker(calculator="pretended_dft.StifferEmt", settings=small.as_dict())


def id_of(uri, formula, space_group=225):
    with open_database(uri) as database:
        row = database.structures.query_one(
            {"formula_reduced": formula, "space_group_number": space_group}
        )
    return row["material_id"]


def run(uri, flow):
    """Run a flow; returns its output and the names of the jobs that ran."""
    with open_database(uri) as database:
        store = JobStore(database.store("jobs", key="uuid", unique=False))
        run_locally(flow, store=store, log=False, ensure_success=True)
        jobs = sorted(row["name"] for row in store.query({}, ["name"]))
        return store.get_output(flow.jobs[0].uuid), jobs


def test_a_maker_survives_serialisation(dft):
    assert MontyDecoder().decode(json.dumps(dft, cls=MontyEncoder)) == dft


def test_all_its_jobs_need_the_worker_for_first_principles(uri, names, dft):
    flow = dft.make(uri, names[0])
    assert isinstance(flow, Flow)
    assert [resource_of(job) for job in all_jobs(flow)] == [Resource.DFT]


def test_a_job_per_displacement_gives_the_prediction_of_one_process(uri, dft):
    bcc = id_of(uri, "Cu", 229)
    output, jobs = run(uri, dft.make(uri, bcc))
    assert output == {"outcome": "computed", "detail": "unstable"}
    with open_database(uri) as database:
        document = PredictionDocument.load(database.predictions.query_one({}))
        assert (document.tier, document.provenance.method) == (3, "dft-phonons")
        phonons = phonons_of(database, document.prediction_id)
        crystal = crystal_of(database, bcc)
        n_calls = database.forces.count()
    count = phonons.document.n_displacements
    assert jobs.count("displacements_job") == count
    assert n_calls == document.cost.force_calls
    alone = cached_predictor(dft.calculator, dft.settings).predict(crystal)
    expected = alone.force_data.forces_ev_per_angstrom
    assert np.array_equal(phonons.force_data.forces_ev_per_angstrom, expected)


def test_batches_divide_the_displacements_without_rest(uri, names, dft):
    output, jobs = run(uri, replace(dft, displacements_per_job=100).make(uri, names[0]))
    assert output["outcome"] == "computed"
    assert jobs.count("displacements_job") == 1


def test_an_adaptive_supercell_is_left_to_one_job(uri, dft, small):
    settings = replace(small, phonons=replace(small.phonons, adaptive=True)).as_dict()
    output, jobs = run(uri, replace(dft, settings=settings).make(uri, id_of(uri, "Al")))
    assert output["outcome"] == "computed"
    assert "displacements_job" not in jobs


def test_what_is_done_is_not_done_again(uri, names, dft):
    run(uri, dft.make(uri, names[0]))
    with open_database(uri) as database:
        database.store("jobs", key="uuid", unique=False).remove_docs({})
    output, jobs = run(uri, dft.make(uri, names[0]))
    assert output == {"outcome": "already_done", "detail": ""}
    assert jobs == ["prepare_phonons_job"]


def test_a_potential_is_refused(uri, names, dft):
    flow = replace(dft, calculator=EMT).make(uri, names[0])
    with pytest.raises(SettingError, match="does not displace one atom after the other"):
        run_locally(flow, log=False, raise_immediately=True)


def test_a_failed_displacement_becomes_the_failure_of_its_material(uri, dft):
    silver = id_of(uri, "Ag")
    broken = replace(dft, calculator="pretended_dft.FailsForSilverSupercells")
    output, _ = run(uri, broken.make(uri, silver))
    assert output["outcome"] == "failed"
    with open_database(uri) as database:
        failure = FailureDocument.load(database.failures.query_one({}))
        assert failure.code == "CALCULATOR_FAILED"
        assert failure.message.endswith("the density of silver does not converge")
        assert database.forces.count() > 0  # what went well is kept
    assert run(uri, broken.make(uri, silver))[0]["outcome"] == "failed_before"
    with open_database(uri) as database:
        assert forget_failures(database) == (silver,)
    assert run(uri, dft.make(uri, silver))[0]["outcome"] == "computed"


def test_where_the_earlier_tier_had_failed_too_both_reasons_are_said(uri, dft, small):
    silver = id_of(uri, "Ag")
    with open_database(uri) as database:
        cheap = cached_predictor("faulty_calculators.NanForSilver", small.as_dict())
        screen_material(database, crystal_of(database, silver), cheap)
    run(uri, replace(dft, calculator="pretended_dft.FailsForSilver").make(uri, silver))
    with open_database(uri) as database:
        rows = database.failures.query(by_field("method", "dft-phonons"))
        [failure] = [FailureDocument.load(row) for row in rows]
    assert failure.code == "CALCULATOR_FAILED"
    before, after = failure.message.split("; ")
    assert before.startswith("potential-phonons: NONFINITE_FORCES: ")
    assert after.startswith("dft-phonons: CALCULATOR_FAILED: ")


def test_jobs_that_vanished_are_a_failure_with_a_next_step(uri, names, dft):
    arguments = (uri, names[0], dft.calculator, dft.settings)
    done = {"n_displacements": 1, "error": None}
    finish = finish_phonons_job.original(*arguments, [done, None, None])
    assert finish["outcome"] == "failed"
    with open_database(uri) as database:
        failure = FailureDocument.load(database.failures.query_one({}))
    assert failure.code == "WORKER_LOST"
    assert failure.message.startswith("2 of 3 jobs")
    assert "wall time" in failure.next_step


def test_where_a_job_vanished_behind_its_last_call_the_forces_count(uri, dft):
    bcc = id_of(uri, "Cu", 229)
    arguments = (uri, bcc, dft.calculator, dft.settings)
    assert displacements_job.original(*arguments, 0, 1)["error"] is None
    finished = finish_phonons_job.original(*arguments, [None])
    assert finished == {"outcome": "computed", "detail": "unstable"}


def test_a_database_that_is_away_is_left_to_the_engine(uri, names, dft, monkeypatch):
    def away(*_):
        raise DatabaseUnavailableError("cannot be reached")

    monkeypatch.setattr("flows.checkpoints.Checkpointed._stored", away)
    with pytest.raises(DatabaseUnavailableError):
        displacements_job.original(uri, names[0], dft.calculator, dft.settings, 0, 1)
    with open_database(uri) as database:
        assert database.failures.count() == 0


def test_only_failures_of_lower_tiers_are_repeated_each_once(uri, dft, small, quick):
    silver = id_of(uri, "Ag")
    emt = [
        cached_predictor("faulty_calculators.NanForSilver", one.as_dict()) for one in (small, quick)
    ]
    stiff = [cached_predictor(dft.calculator, one.as_dict()) for one in (small, quick)]
    error = RelaxationError("no minimum")
    with open_database(uri) as database:
        crystal = crystal_of(database, silver)
        for predictor in (*emt, *stiff, stiff[0]):
            record_failure(database, crystal, predictor, error, 1)
        rows = [FailureDocument.load(row) for row in database.failures.query({})]
        again = {one.message for one in rows if one.tier == 3}
        said = [f"{kind}-phonons: RELAX_NOT_CONVERGED: no minimum" for kind in ("potential", "dft")]
        assert again == {"; ".join(said)}
        # what succeeded since is no reason any more
        good = cached_predictor("ase.calculators.emt.EMT", quick.as_dict())
        assert screen_material(database, crystal, good).outcome == "computed"
        record_failure(database, crystal, stiff[0], error, 2)
        last = database.failures.query_one({"attempts": 2})
    assert last["message"] == "no minimum"
