"""Aggregation pipelines on documents in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import mongomock_ng
from mongomock_ng.aggregate import process_pipeline

from screening.errors import QueryError
from stores.query import Criteria, Operator

__all__ = ["run_pipeline", "split_pipeline"]

STAGES = frozenset(
    f"${name}"
    for name in (
        "addFields", "bucket", "count", "facet", "group", "limit", "match", "project",
        "replaceRoot", "replaceWith", "sample", "set", "setWindowFields", "skip", "sort",
        "sortByCount", "unset", "unwind",
    )
)  # fmt: skip
"""Stages that need nothing but the documents."""

CODE = frozenset({"$where", "$function", "$accumulator"})

_process: Callable[..., Iterable[dict[str, Any]]] = process_pipeline


def split_pipeline(
    pipeline: Sequence[Mapping[str, Any]],
) -> tuple[Criteria, list[Mapping[str, Any]]]:
    """Return the criteria of a leading match, and the other stages.

    Raises
    ------
    QueryError
        If a stage is not allowed.
    """
    for stage in pipeline:
        if not isinstance(stage, Mapping) or len(stage) != 1 or not STAGES.issuperset(stage):
            raise QueryError(
                f"the stage {stage!r:.60} is not allowed", hint=", ".join(sorted(STAGES))
            )
        _refuse_code(stage)
    first = pipeline[0].get(Operator.MATCH) if pipeline else None
    return (dict(first), list(pipeline[1:])) if first is not None else ({}, list(pipeline))


def _refuse_code(value: Any) -> None:
    if isinstance(value, Mapping):
        if found := CODE.intersection(value):
            raise QueryError(f"the operator {min(found)!r} is not allowed")
        for item in value.values():
            _refuse_code(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_code(item)


def run_pipeline(
    documents: list[dict[str, Any]], stages: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the stages make of the documents.

    Raises
    ------
    QueryError
        If a stage is malformed.
    """
    if not stages:
        return documents
    database: Any = mongomock_ng.MongoClient().db
    try:
        return list(_process(documents, database, stages, None))
    except (mongomock_ng.OperationFailure, NotImplementedError, TypeError, ValueError) as error:
        raise QueryError(f"the pipeline cannot be run: {error}") from error
