"""All builders, in the order in which they read each other's documents."""

from __future__ import annotations

from collections.abc import Sequence

from stores.builders.calibrations import build_calibrations
from stores.builders.hull import build_hulls
from stores.builders.polymorphs import build_polymorphs
from stores.builders.vibrational import build_vibrational
from stores.connect import Database

__all__ = ["build_rankings", "build_summaries"]


def build_summaries(
    database: Database, material_ids: Sequence[str] | None = None
) -> dict[str, int]:
    """Bring summaries, polymorph rankings, hulls and calibrations up to date.

    Parameters
    ----------
    database
        Where predictions are read and summaries are written.
    material_ids
        Whose summaries; None means all. Rankings of the compositions they belong to follow.

    Returns
    -------
    dict
        Number of documents written, by collection.
    """
    written = build_rankings(database, material_ids)
    return written | {"models": len(build_calibrations(database).written)}


def build_rankings(database: Database, material_ids: Sequence[str] | None = None) -> dict[str, int]:
    """Bring all but the calibrations up to date, which stay as they are during a run.

    Parameters and result are those of `build_summaries`.
    """
    built = {
        "vibrational": build_vibrational(database, material_ids),
        "polymorphs": build_polymorphs(database),
        "hulls": build_hulls(database),
    }
    return {name: len(report.written) for name, report in built.items()}
