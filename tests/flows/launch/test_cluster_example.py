"""The configuration of the cluster example is what the engines read."""

from pathlib import Path

import pytest
import yaml
from jobflow import JobStore

from flows.launch.queues import Destination, Engine, open_queue
from flows.resources import Resource

FOLDER = Path(__file__).parents[3] / "examples" / "cluster"
FILES = sorted(path for path in FOLDER.rglob("*.yaml"))


def test_jobflow_remote_reads_its_project(monkeypatch):
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(FOLDER / "jobflow_remote"))
    named = {
        Resource.POTENTIAL: "gpu_worker",
        Resource.DFT: "dft_worker",
        Resource.DATABASE: "database_worker",
    }
    queue = open_queue(Destination(Engine.JOBFLOW_REMOTE, project="phonoscreen", workers=named))
    assert queue.check_reach("mongodb://db.example.org/phonoscreen") == ()
    assert queue.address == "project phonoscreen"
    queue.close()


def test_slurm_gets_every_resource_of_every_worker(monkeypatch):
    from jobflow_remote import ConfigManager
    from qtoolkit.io.slurm import SlurmIO

    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(FOLDER / "jobflow_remote"))
    workers = ConfigManager().get_project("phonoscreen").workers
    slurm = {name: one for name, one in workers.items() if one.scheduler_type == "slurm"}
    assert set(slurm) == {"gpu_worker", "dft_worker", "vasp_worker"}
    for worker in slurm.values():
        script = SlurmIO().get_submission_script("true", worker.resources)
        assert all(str(value) in script for value in worker.resources.values())


@pytest.mark.parametrize("kind", ["gpu", "dft"])
def test_fireworks_reads_its_workers(kind):
    from fireworks import FWorker
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    worker = FWorker.from_file(str(FOLDER / "fireworks" / f"{kind}_fworker.yaml"))
    assert worker.category == kind
    adapter = CommonAdapter.from_file(str(FOLDER / "fireworks" / f"{kind}_qadapter.yaml"))
    script = adapter.get_script_str("/scratch/me")
    assert f"{kind}_fworker.yaml" in script
    assert "OMP_NUM_THREADS=1" in script
    assert f"--time={adapter['walltime']}" in script


def test_fireworks_and_jobflow_read_the_rest(monkeypatch):
    from fireworks import LaunchPad

    seen = yaml.safe_load((FOLDER / "fireworks" / "my_launchpad.yaml").read_text())
    monkeypatch.setattr(
        "fireworks.core.launchpad.MongoClient", lambda *_, **__: {seen["name"]: FakeDb()}
    )
    monkeypatch.setattr("fireworks.core.launchpad.GRIDFS_FALLBACK_COLLECTION", None)
    pad = LaunchPad.from_file(str(FOLDER / "fireworks" / "my_launchpad.yaml"))
    assert (pad.host, pad.name) == ("db.example.org", seen["name"])
    store = JobStore.from_dict_spec(
        yaml.safe_load((FOLDER / "jobflow.yaml").read_text())["JOB_STORE"]
    )
    assert "data" in store.additional_stores


class FakeDb:
    """A database whose collections nobody uses."""

    def __getattr__(self, name):
        return name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_real_host_or_password_is_shipped(file):
    text = file.read_text(encoding="utf-8")
    for line in text.splitlines():
        if "host:" in line:
            assert "example.org" in line
        if "password:" in line:
            assert "CHANGE_ME" in line
