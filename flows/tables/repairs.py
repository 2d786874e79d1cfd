"""Table and JSON of repairs: parents, what they led to, and whether that is stable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from flows.tables.cells import MISSING, Column, make_table, number, verdict

if TYPE_CHECKING:
    from flows.families import Family

__all__ = ["payload_repair", "table_repair"]

_OUTCOME_TEXTS = {
    "repaired": "repaired",
    "led_to_known": "leads to a structure that was there",
    "repaired_before": "repaired before",
    "not_unstable": "left alone",
    "not_screened": "not screened",
    "refused": "refused",
    "busy_elsewhere": "being repaired by another process",
    "failed": "failed",
    "failed_before": "failed before (see: phonoscreen retry)",
}
_COLUMNS = (
    Column("parent"),
    Column("formula", rank=1),
    Column("lowest THz", rank=2, is_number=True),
    Column("child"),
    Column("gain meV/atom", is_number=True),
    Column("lowest THz", is_number=True),
    Column("verdict"),
    Column("what happened", wraps=True),
)


def table_repair(families: Sequence[Family], *, width: int | None = None) -> Group:
    """Make the table of parents and children."""
    rows = [_row(one) for one in families]
    return Group(make_table(_COLUMNS, rows, title="repairs", width=width))


def _row(family: Family) -> list[Text | str]:
    event = family.event
    what = _OUTCOME_TEXTS[event.outcome.value]
    return [
        event.material_id,
        event.formula,
        number(family.parent_lowest_thz, 2),
        event.child_id or MISSING,
        number(event.gain_mev_per_atom, 2),
        number(family.child_lowest_thz, 2),
        verdict(family.child_verdict.value if family.child_verdict else None),
        f"{what}: {event.detail}",
    ]


def payload_repair(families: Sequence[Family]) -> dict[str, Any]:
    """Make the payload of ``repair``."""
    from flows.tables.payloads import PAYLOAD_VERSION

    repairs = [
        {
            "material_id": one.event.material_id,
            "formula": one.event.formula,
            "outcome": one.event.outcome.value,
            "child_id": one.event.child_id or None,
            "gain_mev_per_atom": one.event.gain_mev_per_atom,
            "detail": one.event.detail,
            "lowest_frequency_thz": one.parent_lowest_thz,
            "child_verdict": one.child_verdict.value if one.child_verdict else None,
            "child_lowest_frequency_thz": one.child_lowest_thz,
        }
        for one in families
    ]
    return {"payload": "repair", "payload_version": PAYLOAD_VERSION, "repairs": repairs}
