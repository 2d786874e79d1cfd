"""Names of materials for people: labels in place of keys, also inside sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flows.catalogue import in_chunks
from stores.connect import Database
from stores.query import in_values

__all__ = ["names_of", "short_names", "with_names"]

_FIELDS = ["material_id", "formula_reduced", "label", "space_group_symbol", "duplicate_of"]
_KEY = re.compile(r"\bps-[0-9a-f]+\b")
_SHORT = 9  # letters of a key that commands accept in its place: ps- and six digits


def names_of(database: Database, material_ids: Iterable[str]) -> dict[str, str]:
    """Name some materials and all of their polymorphs.

    A material is called the same whichever others of its composition a text is about; one that
    the database does not hold keeps its key.
    """
    wanted = list(dict.fromkeys(material_ids))
    formulas = {
        row["formula_reduced"]
        for row in _rows(database, "material_id", wanted, ["formula_reduced"])
    }
    rows = _rows(database, "formula_reduced", sorted(formulas), _FIELDS)
    found = short_names(row for row in rows if not row.get("duplicate_of"))
    return {name: name for name in wanted} | found


def _rows(
    database: Database, field: str, values: Sequence[str], fields: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    for chunk in in_chunks(values):
        yield from database.structures.query(in_values(field, chunk), fields)


def short_names(structures: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name structures so that no two of a composition share a name.

    A name is the label; without one the space group and the start of the key, which commands
    accept in place of the key; where two would be alike, the label and that start.

    Parameters
    ----------
    structures
        With ``material_id``, ``formula_reduced``, ``label`` and ``space_group_symbol``.

    Examples
    --------
    >>> one = {"formula_reduced": "SiC", "label": None, "space_group_symbol": "F-43m"}
    >>> short_names([one | {"material_id": "ps-74b95ea4943a3e09"}])
    {'ps-74b95ea4943a3e09': 'F-43m ps-74b95e'}
    """
    rows = list(structures)
    labels = Counter((row["formula_reduced"], row.get("label")) for row in rows)
    return {
        row["material_id"]: row["label"]
        if row.get("label") and labels[row["formula_reduced"], row["label"]] == 1
        else f"{row.get('label') or row['space_group_symbol']} {row['material_id'][:_SHORT]}"
        for row in rows
    }


def with_names(text: str, names: Mapping[str, str]) -> str:
    """Put names in place of the keys of materials inside a text.

    Examples
    --------
    >>> with_names("ps-0a < ps-1b from 0 to 300 K", {"ps-0a": "3C", "ps-1b": "2H"})
    '3C < 2H from 0 to 300 K'
    """
    return _KEY.sub(lambda found: names.get(found[0], found[0]), text)
