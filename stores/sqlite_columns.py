"""The declared fields of a collection, each with a column of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stores.sqlite_query import Narrowed, narrow
from stores.sqlite_values import NOT_SCALAR, SQLValue, is_list_value, stored_value, value_at

__all__ = ["LISTS", "MIXED", "SCALAR", "Columns"]

SCALAR, LISTS, MIXED = 1, 2, 0
"""What a declared field holds: scalars; also lists of text; also anything else."""


@dataclass(frozen=True)
class Columns:
    """The declared fields of a collection.

    Attributes
    ----------
    quoted
        Quoted column of every declared field.
    scalar
        Those whose values are scalars in all documents.
    lists
        Those whose values are scalars or lists of text, and lists somewhere.
    """

    quoted: Mapping[str, str]
    scalar: Mapping[str, str]
    lists: Mapping[str, str]

    @cached_property
    def paths(self) -> list[tuple[str, list[str]]]:
        """Every declared field with its path."""
        return [(field, field.split(".")) for field in self.quoted]

    def narrow(self, criteria: Mapping[str, Any]) -> Narrowed:
        """Return the SQL condition for checked criteria."""
        return narrow(criteria, self.scalar, self.lists)

    def narrow_for_walk(self, criteria: Mapping[str, Any], field: str) -> Narrowed:
        """Return the condition in a form that leaves SQLite the index of one field only."""
        scalar = {name: x if name == field else f"+{x}" for name, x in self.scalar.items()}
        return narrow(criteria, scalar, {name: f"+{x}" for name, x in self.lists.items()})

    def values_of(self, document: Mapping[str, Any]) -> tuple[list[SQLValue], dict[str, int]]:
        """Return the values of the columns, and the state of fields that are no scalars here."""
        values: list[SQLValue] = []
        others = {}
        for field, path in self.paths:
            value = stored_value(value_at(document, path))
            if value is NOT_SCALAR:
                others[field] = MIXED
                value = None
            elif is_list_value(value):
                others[field] = LISTS
            values.append(value)
        return values, others
