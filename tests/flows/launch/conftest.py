"""Queues of both engines: on a server in this process, and on MongoDB where there is one."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from in_process_servers import forget_gridfs, share_one_server
from launch_jobs import EscalatingMaker
from pymatgen.core import Lattice, Structure

from flows.imports import import_structures
from flows.launch.queues import Destination, Engine
from flows.makers import ScreenBatchMaker
from flows.resources import Resource
from screening.phonons import PhononSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings

MONGODB_URI = os.environ.get("PHONOSCREEN_TEST_MONGODB_URI", "")
NEEDS_MONGODB = pytest.mark.skipif(
    not MONGODB_URI, reason="PHONOSCREEN_TEST_MONGODB_URI names no MongoDB server"
)
SERVERS = ["in this process", pytest.param("mongodb", marks=NEEDS_MONGODB)]
ROOT = Path(__file__).parents[3]
EDGES_ANGSTROM = {"Cu": 3.61, "Al": 4.05, "Ag": 4.09}
PRIMITIVE = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


@dataclass(frozen=True)
class Server:
    """A MongoDB for the engines' queues, and the database for the results.

    Workers are processes of their own, so the results are never in this process.
    """

    host: str
    name: str
    database_uri: str


@pytest.fixture(params=SERVERS)
def server(request, monkeypatch, tmp_path):
    """A fresh server of each kind; what was patched is restored."""
    name = f"phonoscreen_test_{uuid4().hex}"
    monkeypatch.chdir(tmp_path)  # FireWorks leaves the process where the last job ran
    disabled = logging.root.manager.disable
    if request.param == "mongodb":
        import pymongo

        head, _, options = MONGODB_URI.partition("?")
        host = "/".join(head.split("/")[:3])
        yield Server(f"{host}/?{options}", name, f"{host}/{name}_results?{options}")
        with pymongo.MongoClient(MONGODB_URI) as client:
            client.drop_database(name)
            client.drop_database(f"{name}_results")
    else:
        share_one_server(monkeypatch)
        yield Server("mongodb://localhost:27017/", name, f"sqlite:///{tmp_path}/screening.db")
        forget_gridfs()
    logging.disable(disabled)


@pytest.fixture
def metals(server, tmp_path):
    """Three metals in the database of the results."""
    folder = tmp_path / "metals"
    folder.mkdir()
    for symbol, edge in EDGES_ANGSTROM.items():
        cell = Lattice([[edge * x for x in row] for row in PRIMITIVE])
        Structure(cell, [symbol], [[0, 0, 0]]).to(folder / f"{symbol}.cif")
    return import_structures(server.database_uri, [folder]).material_ids


@pytest.fixture
def escalating():
    """Makes flows whose first potential cannot do silver, and in which one job fails."""
    supercell = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
    settings = ScreeningSettings(phonons=PhononSettings(supercell=supercell))
    batch_maker = ScreenBatchMaker(
        calculator="faulty_calculators.NanForSilver", settings=settings.as_dict()
    )
    return EscalatingMaker(batch_maker=batch_maker)


@pytest.fixture
def launchpad(server, tmp_path):
    """An empty LaunchPad of FireWorks, and the destination that names its file."""
    from fireworks import LaunchPad

    file = tmp_path / "launchpad.yaml"
    file.write_text(f"host: {server.host}\nname: {server.name}\nuri_mode: true\nstrm_lvl: ERROR\n")
    pad = LaunchPad.from_file(str(file))
    pad.reset("", require_password=False)
    workers = {Resource.POTENTIAL: "gpu", Resource.DFT: "dft"}
    yield pad, Destination(Engine.FIREWORKS, launchpad=file, workers=workers)
    pad.connection.close()


@pytest.fixture
def project(server, tmp_path, monkeypatch):
    """A project of jobflow-remote with two workers on this host, and its destination."""
    import jobflow_remote

    name = "launching"
    monkeypatch.setattr(jobflow_remote.SETTINGS, "projects_folder", str(tmp_path))
    monkeypatch.setattr(jobflow_remote.SETTINGS, "project", None)
    work = tmp_path / "work"
    work.mkdir()
    python, path = Path(sys.executable).parent, f"{ROOT}:{ROOT / 'tests' / 'support'}"
    worker = f"""
    type: local
    scheduler_type: shell
    work_dir: {work}
    timeout_execute: 60
    pre_run: "export PATH={python}:$PATH PYTHONPATH={path} OMP_NUM_THREADS=1"
"""
    store = f"type: MongoStore, uri: '{server.host}', database: {server.name}"
    (tmp_path / f"{name}.yaml").write_text(f"""
name: {name}
base_dir: {tmp_path}/remote
log_level: error
runner: {{delay_checkout: 0.2, delay_check_run_status: 0.2, delay_advance_status: 0.2}}
workers:
  gpu_worker:{worker}
  dft_worker:{worker}
  cluster: {{type: remote, host: cluster.example.org, scheduler_type: slurm, work_dir: /scratch}}
queue: {{store: {{{store}, collection_name: jobs}}}}
jobstore:
  docs_store: {{{store}, collection_name: outputs}}
  additional_stores:
    data: {{{store}, collection_name: data}}
""")
    controller = jobflow_remote.JobController.from_project_name(name)
    controller.reset()
    workers = {Resource.POTENTIAL: "gpu_worker", Resource.DFT: "dft_worker"}
    yield controller, Destination(Engine.JOBFLOW_REMOTE, project=name, workers=workers)
    controller.close()
