"""jobflow-remote: submission, runner and worker; a flow with an escalation and a failing job."""

import sys
from contextlib import closing
from dataclasses import replace

import pytest

from flows.launch.launching import launch
from flows.launch.queues import Destination, Engine, open_queue
from flows.makers import ScreenMaker
from flows.resources import Resource
from screening.errors import DatabaseUriError, EngineUnavailableError, SettingError
from stores.connect import open_database


def run_all(destination):
    """Run all jobs, as the runner's daemon does."""
    from jobflow_remote.jobs.runner import Runner

    Runner(project_name=destination.project).run_all_jobs(max_seconds=240)


def test_a_flow_escalates_fails_in_part_and_is_not_submitted_again(
    server, metals, escalating, project
):
    controller, destination = project
    first = launch(server.database_uri, metals, escalating, destination)
    assert set(first.submitted) == set(metals)
    assert (first.n_jobs, len(first.identifiers)) == (4, 4)
    again = launch(server.database_uri, metals, escalating, destination)
    assert (again.launch_id, again.submitted, set(again.waiting)) == (None, (), set(metals))
    run_all(destination)
    jobs = sorted((job.name, job.state.name, job.worker) for job in controller.get_jobs_info())
    assert jobs == [
        ("build summaries", "COMPLETED", "gpu_worker"),
        ("escalate", "COMPLETED", "gpu_worker"),
        ("fail", "FAILED", "gpu_worker"),
        ("fall back", "COMPLETED", "dft_worker"),
        ("screen a batch", "COMPLETED", "gpu_worker"),
        ("store_inputs", "COMPLETED", "gpu_worker"),
    ]
    with open_database(server.database_uri) as database:
        models = {row["formula_reduced"]: row["model"] for row in database.vibrational.query({})}
        assert models == {
            "Al": "faulty_calculators.NanForSilver",
            "Cu": "faulty_calculators.NanForSilver",
            "Ag": "ase.calculators.emt.EMT",
        }
    after = launch(server.database_uri, metals, escalating, destination)
    assert (after.submitted, after.waiting, after.launch_id) == ((), (), None)
    assert (len(after.done), len(after.failed)) == (2, 1)
    assert controller.count_flows() == 1


def test_a_stopped_or_deleted_flow_is_submitted_again(server, metals, maker, project):
    from jobflow_remote.jobs.state import JobState

    controller, destination = project
    whole = ScreenMaker(batch_maker=maker)
    first = launch(server.database_uri, metals, whole, destination)
    controller.stop_jobs(flow_ids=[first.launch_id], states=JobState.READY)
    again = launch(server.database_uri, metals, whole, destination)
    assert set(again.submitted) == set(metals)
    assert "broken" in again.notes[-1]
    controller.delete_flows(flow_ids=[again.launch_id])
    third = launch(server.database_uri, metals, whole, destination)
    assert set(third.submitted) == set(metals)
    assert "lost" in third.notes[-1]


def test_a_worker_on_another_host_cannot_open_a_file(project, tmp_path):
    _, destination = project
    elsewhere = replace(destination, workers={Resource.DFT: "cluster"})
    with closing(open_queue(elsewhere)) as queue:
        queue.check_reach("mongodb://host/name")
        with pytest.raises(DatabaseUriError, match="'cluster'"):
            queue.check_reach(f"sqlite:///{tmp_path}/s.db")
    with closing(open_queue(destination)) as queue:
        assert queue.check_reach(f"sqlite:///{tmp_path}/s.db") == ()


def test_an_unknown_worker_is_named_with_those_there_are(project):
    _, destination = project
    with pytest.raises(SettingError, match="gpu_worker, dft_worker"):
        open_queue(replace(destination, workers={Resource.DFT: "no_such"}))


def test_without_a_project_the_hint_says_where_projects_are(tmp_path, monkeypatch):
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path))
    with pytest.raises(EngineUnavailableError, match="jf project generate") as caught:
        open_queue(Destination(Engine.JOBFLOW_REMOTE))
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "broken.yaml").write_text("name: broken\nworkers: 3\n")
    with pytest.raises(EngineUnavailableError, match="could not be parsed"):
        open_queue(Destination(Engine.JOBFLOW_REMOTE, project="broken"))


def test_a_queue_that_was_never_set_up_says_how(server, metals, maker, project):
    controller, destination = project
    controller.auxiliary.delete_many({})
    with pytest.raises(EngineUnavailableError, match="jf admin reset"):
        launch(server.database_uri, metals, ScreenMaker(batch_maker=maker), destination)


def test_without_jobflow_remote_the_hint_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jobflow_remote.config.base", None)
    with pytest.raises(EngineUnavailableError, match="extra 'remote'"):
        open_queue(Destination(Engine.JOBFLOW_REMOTE))
