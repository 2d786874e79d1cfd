"""Which kind of worker a job needs: one tag per job, given by its Maker and read when launching.

Jobs that are made while another job runs (a fallback, the displacements of a crystal) are placed
by the same table: it travels in the metadata of the running job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from enum import StrEnum
from typing import Any, TypeVar

from jobflow import CURRENT_JOB, Flow, Job

__all__ = [
    "RESOURCE_TAG",
    "Resource",
    "all_jobs",
    "place",
    "resource_for",
    "resource_of",
    "tagged",
]

RESOURCE_TAG = "phonoscreen_resource"
_TABLE = "phonoscreen_manager_configs"
_OUTPUT_JOB = "store_inputs"  # jobflow's own, which gives a replaced job the output of its flow

Work = TypeVar("Work", bound=Job | Flow)


class Resource(StrEnum):
    """What a job needs of the machine that runs it."""

    POTENTIAL = "potential"
    DFT = "dft"
    DATABASE = "database"


def tagged(work: Work, resource: Resource) -> Work:
    """Say what a job, or every job of a flow, needs of its worker.

    A running job that makes others tags all of them, or none, which then go where it runs: so
    do those that other packages' jobs make.

    Parameters
    ----------
    work
        Changed in place, and returned.
    resource
        What it needs.
    """
    running = CURRENT_JOB.job
    table = {} if running is None else running.metadata.get(_TABLE, {})
    if table:
        running.config = deepcopy(running.config)  # jobs of one function may share it
        running.config.pass_manager_config = False  # it would overwrite what is said here
    for job in all_jobs(work):
        job.metadata[RESOURCE_TAG] = resource.value
        if table:
            _place(job, table)
    return work


def resource_for(calculator: str) -> Resource:
    """Return what jobs need that compute with a calculator, given as users write it."""
    from flows.trained import needs_electrons

    return Resource.DFT if needs_electrons(calculator) else Resource.POTENTIAL


def resource_of(job: Job) -> Resource:
    """Return what a job needs; a job without a tag only reads and writes."""
    return Resource(job.metadata.get(RESOURCE_TAG, Resource.DATABASE))


def place(work: Job | Flow, manager_configs: Mapping[Resource, Mapping[str, Any]]) -> None:
    """Configure every job, and those it will make at run time, for the worker of its resource.

    Parameters
    ----------
    work
        A job or flow, changed in place.
    manager_configs
        For each resource what jobflow hands to the workflow engine: keys of a FireWorks ``spec``
        such as ``_category``, or ``worker``, ``resources`` and ``exec_config`` of jobflow-remote.
    """
    table = {resource.value: dict(config) for resource, config in manager_configs.items()}
    for job in all_jobs(work):
        _place(job, table)


def all_jobs(work: Job | Flow) -> Iterator[Job]:
    """Walk through the jobs of a flow and of the flows inside it."""
    if isinstance(work, Job):
        yield work
        return
    for part in work.jobs:
        yield from all_jobs(part)


def _place(job: Job, table: Mapping[str, Mapping[str, Any]]) -> None:
    job.metadata[_TABLE] = deepcopy(dict(table))
    job.config = deepcopy(job.config)  # jobs of one function may share it
    job.config.manager_config = deepcopy(dict(table.get(resource_of(job).value, {})))
    at_database = {"manager_config": deepcopy(dict(table.get(Resource.DATABASE.value, {})))}
    job.update_config(at_database, name_filter=_OUTPUT_JOB, dynamic=True)
