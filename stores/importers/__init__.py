"""Structures from files, archives and public databases into the database."""

from __future__ import annotations

from stores.importers.materials_project import fetch_materials_project
from stores.importers.optimade import fetch_optimade
from stores.importers.reading import iter_blocks, iter_structures
from stores.importers.records import Parsed, ReadLimits, ReadStructure, Rejection
from stores.importers.writing import DuplicateLink, ImportReport, import_paths, import_structures

__all__ = [
    "DuplicateLink",
    "ImportReport",
    "Parsed",
    "ReadLimits",
    "ReadStructure",
    "Rejection",
    "fetch_materials_project",
    "fetch_optimade",
    "import_paths",
    "import_structures",
    "iter_blocks",
    "iter_structures",
]
