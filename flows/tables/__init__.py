"""What the command line shows: documents as rich tables, and as JSON with stable fields.

What may live here: pure functions from plain documents to renderables and payloads. Nothing
here prints, queries or computes physics.
"""

from __future__ import annotations

from flows.tables.hull import table_hull
from flows.tables.materials import table_failures, table_query, table_show
from flows.tables.payloads import (
    payload_fields,
    payload_hull,
    payload_query,
    payload_ranking,
    payload_screen,
    payload_show,
    payload_status,
)
from flows.tables.ranking import experiments_of, table_ranking
from flows.tables.runs import Status, table_screen, table_status

__all__ = [
    "Status",
    "experiments_of",
    "payload_fields",
    "payload_hull",
    "payload_query",
    "payload_ranking",
    "payload_screen",
    "payload_show",
    "payload_status",
    "table_failures",
    "table_hull",
    "table_query",
    "table_ranking",
    "table_screen",
    "table_show",
    "table_status",
]
