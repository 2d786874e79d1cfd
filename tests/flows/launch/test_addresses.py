"""Databases that workers can open, and the store of their outputs."""

import json
from pathlib import Path

import pytest
from jobflow import Flow, run_locally
from launch_jobs import escalate
from monty.json import MontyDecoder, MontyEncoder

from flows.launch.addresses import job_store, refuse_file, usable_uri
from screening.errors import DatabaseUriError
from stores.connect import open_database


@pytest.mark.parametrize(
    ("given", "usable"),
    [
        ("sqlite:////data/s.db", "sqlite:////data/s.db"),
        ("mongodb://host/name", "mongodb://host/name"),
        ("no-database", "no-database"),  # refused where it is opened
    ],
)
def test_what_every_process_understands_is_left_alone(given, usable):
    assert usable_uri(given) == usable


def test_a_relative_file_gets_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert usable_uri("sqlite:///s.db") == f"sqlite:///{Path.cwd()}/s.db"
    assert usable_uri("SQLITE:///s.db") == f"sqlite:///{Path.cwd()}/s.db"


@pytest.mark.parametrize("uri", ["memory://", "memory://name", "MEMORY://name"])
def test_memory_is_refused(uri):
    with pytest.raises(DatabaseUriError, match="mongodb://"):
        usable_uri(uri)


def test_a_file_is_refused_for_another_host():
    refuse_file("mongodb://host/name", "cluster")
    with pytest.raises(DatabaseUriError, match="'cluster'"):
        refuse_file("sqlite:////data/s.db", "cluster")


def test_outputs_of_replaced_jobs_fit_beside_those_of_a_local_screen(uri, names, maker, small):
    """A replaced job has several outputs of one UUID; those of a screen are unique by UUID."""
    from flows.local import Crew
    from flows.run import screen

    screen(uri, names[:1], maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        packed = json.dumps(job_store(database), cls=MontyEncoder)
    store = MontyDecoder().decode(packed)  # as a worker gets it
    store.connect()
    work = escalate(uri, names[1:2], maker.calculator, small.as_dict(), None)
    run_locally(Flow([work]), store=store, log=False, ensure_success=True)
    assert store.count({"uuid": work.uuid}) == 2
    store.close()
