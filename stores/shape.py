"""What is done to documents in memory: sort, project, and list distinct values, as MongoDB does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from maggma.core import Sort

from screening.errors import QueryError

__all__ = [
    "Projection",
    "distinct_values",
    "grouped",
    "order_key",
    "projected",
    "sort_directions",
    "sort_key",
]

Projection = Mapping[str, Any] | Sequence[str] | None
_MISSING = object()


def order_key(value: Any) -> tuple[Any, ...]:
    """Return a key that sorts values of all types in MongoDB's order.

    Examples
    --------
    >>> sorted([True, "a", 2, None, [1], {"a": 1}, 1.5], key=order_key)
    [None, 1.5, 2, 'a', {'a': 1}, [1], True]
    """
    if value is None or value is _MISSING:
        return (5,)
    if isinstance(value, (int, float)):
        return (40, value) if isinstance(value, bool) else (10, value)
    if isinstance(value, str):
        return (15, value)
    if isinstance(value, Mapping):
        fields = ((order_key(item), name) for name, item in value.items())
        return (20, tuple((key[0], name, key) for key, name in fields))
    if isinstance(value, (list, tuple)):
        return (25, tuple(order_key(item) for item in value))
    return _order_of_special(value)


def _order_of_special(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bytes):
        return (30, len(value), value)
    if isinstance(value, ObjectId):
        return (35, value.binary)
    if isinstance(value, datetime):
        return (45, value)
    raise QueryError(f"values of type {type(value).__name__} have no order")


def sort_directions(sort: Mapping[str, Sort | int] | None) -> list[tuple[str, int]]:
    """Return fields and directions, 1 ascending and -1 descending.

    Raises
    ------
    QueryError
        For another direction.
    """
    pairs = [(f, x.value if isinstance(x, Sort) else x) for f, x in (sort or {}).items()]
    wrong = [f"{field}: {direction!r}" for field, direction in pairs if direction not in {1, -1}]
    if wrong:
        raise QueryError(f"a sort direction is 1 or -1, not {', '.join(wrong)}")
    return pairs


def sort_key(document: Mapping[str, Any], field: str, direction: int) -> tuple[Any, ...]:
    """Return the key by which a document sorts on a field.

    An array sorts by its least element ascending and by its greatest descending; an empty one
    comes before null.
    """
    keys = []
    for value in _values_at(document, field.split(".")):
        if isinstance(value, list):
            keys += [order_key(item) for item in value] or [(0,)]
        else:
            keys.append(order_key(value))
    if not keys:
        return (5,)
    return min(keys) if direction > 0 else max(keys)


def _values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield the values a dotted path reaches, through arrays of documents as well."""
    if not path:
        yield value
    elif isinstance(value, Mapping):
        yield from _values_at(value.get(path[0], _MISSING), path[1:])
    elif isinstance(value, list):
        if path[0].isdigit() and int(path[0]) < len(value):
            yield from _values_at(value[int(path[0])], path[1:])
        for item in value:
            if isinstance(item, Mapping):
                yield from _values_at(item, path)


def distinct_values(documents: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    """Return the distinct values of a field in MongoDB's order, arrays unwound.

    Examples
    --------
    >>> distinct_values([{"a": [1, 2]}, {"a": 2}, {"b": 3}], "a")
    [1, 2]
    """
    path = field.split(".")
    found: dict[tuple[Any, ...], Any] = {}
    for document in documents:
        for value in _values_at(document, path):
            for item in value if isinstance(value, list) else [value]:
                if item is not _MISSING:
                    found.setdefault(order_key(item), item)
    return [found[key] for key in sorted(found)]


def grouped(
    documents: Iterable[dict[str, Any]], fields: Sequence[str]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield the values of fields, and the documents that share them."""
    groups: dict[tuple[Any, ...], tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for document in documents:
        head = projected(document, {**dict.fromkeys(fields, 1), "_id": 0})
        groups.setdefault(order_key(head), (head, []))[1].append(document)
    yield from groups.values()


def projected(document: dict[str, Any], properties: Projection) -> dict[str, Any]:
    """Return the document with the wanted properties only.

    Parameters
    ----------
    document
        A whole document.
    properties
        Names to include (a list), or names with 1 to include or 0 to exclude; ``_id`` is
        included unless it is excluded. Nothing gives the whole document.

    Raises
    ------
    QueryError
        If including and excluding are mixed, or for another value than 0 and 1.

    Examples
    --------
    >>> projected({"_id": 1, "a": {"b": 2, "c": 3}}, {"a.b": 1, "_id": 0})
    {'a': {'b': 2}}
    """
    if not properties:
        return document
    wanted = dict(properties) if isinstance(properties, Mapping) else dict.fromkeys(properties, 1)
    with_id = wanted.pop("_id", None)
    if any(x not in (0, 1) for x in wanted.values()) or with_id not in (None, 0, 1):
        raise QueryError("a projection has the values 0 and 1 only")
    if len({bool(x) for x in wanted.values()}) > 1:
        raise QueryError("a projection either includes or excludes, only _id may differ")
    include = any(wanted.values()) or (not wanted and bool(with_id))
    tree = _tree(wanted)
    result = _include(document, tree) if include else _exclude(document, tree)
    result.pop("_id", None)
    if "_id" in document and with_id in (None, 1):
        result = {"_id": document["_id"], **result}
    return result


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    """Return nested names; an empty dictionary ends a path."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len, reverse=True):
        branch = tree
        *parents, leaf = path.split(".")
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[leaf] = {}
    return tree


def _include(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for name, branch in tree.items():
        value = document.get(name, _MISSING)
        if value is _MISSING:
            continue
        if not branch:
            result[name] = value
        elif isinstance(value, dict):
            result[name] = _include(value, branch)
        elif isinstance(value, list):
            result[name] = _include_each(value, branch)
    return result


def _include_each(values: list[Any], tree: Mapping[str, Any]) -> list[Any]:
    kept: list[Any] = []
    for item in values:
        if isinstance(item, dict):
            kept.append(_include(item, tree))
        elif isinstance(item, list):
            kept.append(_include_each(item, tree))
    return kept


def _exclude(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for name, value in document.items():
        branch = tree.get(name)
        if branch is None:
            result[name] = value
        elif branch:
            result[name] = _exclude_inside(value, branch)
    return result


def _exclude_inside(value: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return _exclude(value, tree)
    return [_exclude_inside(item, tree) for item in value] if isinstance(value, list) else value
