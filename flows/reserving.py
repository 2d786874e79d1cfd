"""Predictions that a flow of foreign jobs makes: no process holds their claim all the time.

Such a flow reserves its prediction as long as its launch goes on; the launches say so. A flow
that nobody launched reserves nothing, because nobody would learn that it was given up.
"""

from __future__ import annotations

from collections.abc import Iterable

from jobflow import CURRENT_JOB

from flows.catalogue import in_chunks
from stores.connect import Database
from stores.documents.launch import LaunchState
from stores.query import and_, by_field, in_values

__all__ = ["reserve", "reserved", "running_flow"]


def running_flow() -> str:
    """Return the UUID of the whole flow that the running job belongs to, empty outside a job."""
    running = CURRENT_JOB.job
    if running is None:
        return ""
    return str(running.hosts[-1] if running.hosts else running.uuid)


def reserve(database: Database, key: str, flow: str) -> bool:
    """Reserve a prediction for a flow, which a process does that holds the claim of the key.

    Parameters
    ----------
    database
        Where.
    key
        Of the prediction.
    flow
        As `running_flow` returns it, which is the identifier of its launch.

    Returns
    -------
    bool
        False if another launched flow, which goes on, makes this prediction.
    """
    holder = database.claims.reservations([key]).get(key)
    going_on = _going_on(database, {flow, holder or ""})
    if holder in going_on and holder != flow:
        return False
    if flow in going_on:
        database.claims.reserve(key, flow)
    return True


def reserved(database: Database, keys: Iterable[str]) -> set[str]:
    """Return the keys that launched flows have reserved, of those flows that still go on."""
    holders = database.claims.reservations(keys)
    going_on = _going_on(database, set(holders.values()))
    return {key for key, holder in holders.items() if holder in going_on}


def _going_on(database: Database, flows: Iterable[str]) -> set[str]:
    """Return the launches among flows that were last known to go on."""
    submitted = by_field("state", LaunchState.SUBMITTED.value)
    return {
        row["launch_id"]
        for names in in_chunks(sorted(flows))
        for row in database.launches.query(
            and_(submitted, in_values("launch_id", names)), ["launch_id"]
        )
    }
