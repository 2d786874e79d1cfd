"""Phonon densities of states as JARVIS hands them out: one JSON list of records.

Every record has ``atoms`` (``lattice_mat``, ``coords``, ``elements``, ``cartesian``) and a list of
numbers under ``pdos_elast``, ``pdos`` or ``target``: at the 66 points from -300 to 1000 1/cm of the
published training, or at 200 or 201 points from 0 to 1000 1/cm of the download. A record with a
list ``frequencies`` in 1/cm says itself where its points are. What lies beyond the points is not
known: densities that do not end there are left out.

References
----------
K. Choudhary et al., npj Comput. Mater. 6, 173 (2020), doi:10.1038/s41524-020-00440-1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.errors import ParseError, ScreeningError
from screening.network_dos.grid import PAPER_GRID
from screening.prediction import FloatArray, frozen_array
from screening.structure import canonical_crystal
from screening.units import THZ_TO_INVERSE_CM
from stores.importers.json_records import json_records
from stores.importers.records import ReadLimits, checked_element, finite_array

__all__ = ["JARVIS_LIMITS", "GivenDensity", "JarvisDensities", "read_jarvis_densities"]

_HINT = "Give the JSON file of a JARVIS download, as it is"

JARVIS_LIMITS = ReadLimits(max_file_bytes=2_000_000_000, max_structures_per_file=200_000)
"""Larger than of other files: the whole download is one."""

_DENSITIES = ("pdos_elast", "pdos", "target")
_NAMES = ("jid", "id", "material_id")
_HIGHEST_INVERSE_CM = 1000.0
_FROM_ZERO = (200, 201)  # numbers of points
_LARGEST_END = 1e-2  # of the largest density
_MOST_POINTS = 100_000


@dataclass(frozen=True, eq=False)
class GivenDensity:
    """A density of states at points.

    Attributes
    ----------
    material_id
        Name of the record, or its place in the file.
    structure
        The primitive cell.
    frequencies_thz
        Points in THz, ascending, shape (point,).
    density_per_thz
        Of any normalisation, shape (point,).
    """

    material_id: str
    structure: Structure
    frequencies_thz: FloatArray
    density_per_thz: FloatArray


@dataclass(frozen=True, eq=False)
class JarvisDensities:
    """What a file holds: the usable records, and how many of the others by reason."""

    records: tuple[GivenDensity, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_jarvis_densities(path: Path, limits: ReadLimits = JARVIS_LIMITS) -> JarvisDensities:
    """Read the densities of states of a file; broken records do not stop the others.

    Parameters
    ----------
    path
        ``.json``, compressed or not, or an archive with one such file.
    limits
        What may be read.

    Raises
    ------
    ParseError
        If the file cannot be read, or is no JSON list.
    TooLargeError, ArchiveRefusedError
        If it is larger than it may be.
    """
    found: list[GivenDensity] = []
    left_out: Counter[str] = Counter()
    for number, value in enumerate(json_records(path, limits, _HINT)):
        try:
            found.append(_record(value, f"record-{number + 1}"))
        except ScreeningError as error:
            left_out[error.code] += 1
        except (KeyError, TypeError, ValueError, AttributeError):
            left_out["no atoms, or not as JARVIS writes them"] += 1
    return JarvisDensities(tuple(found), dict(sorted(left_out.items())))


def _record(value: Mapping[str, Any], place: str) -> GivenDensity:
    name = next((str(value[key]) for key in _NAMES if key in value), place)
    given = next((value[key] for key in _DENSITIES if isinstance(value.get(key), list)), None)
    if given is None or not 2 < len(given) <= _MOST_POINTS:  # noqa: PLR2004 - a curve
        raise ParseError("without a density of states", subject=name, hint="Leave it out")
    density = finite_array(given, (len(given),), "the density of states")
    density = np.maximum(density, 0.0)  # interpolation leaves small ones
    points = _points(value.get("frequencies"), len(density))
    largest = float(density.max())
    if not largest > 0.0 or density[-1] > _LARGEST_END * largest:
        raise ParseError(
            "the density of states is empty, or does not end within its window",
            subject=name,
            hint="Leave it out",
        )
    crystal = canonical_crystal(_structure(value["atoms"]), subject=name)
    density_per_thz = density * THZ_TO_INVERSE_CM
    return GivenDensity(
        name,
        crystal.structure,
        frozen_array(points / THZ_TO_INVERSE_CM),
        frozen_array(density_per_thz),
    )


def _points(given: Any, count: int) -> FloatArray:
    """Return frequencies in 1/cm."""
    if given is not None:
        return finite_array(given, (count,), "the frequencies")
    if count == len(PAPER_GRID):
        return np.asarray(PAPER_GRID.centres_thz) * THZ_TO_INVERSE_CM
    if count in _FROM_ZERO:
        return np.linspace(0.0, _HIGHEST_INVERSE_CM, count)
    raise ParseError(
        f"{count} points at frequencies that are not known",
        subject="frequencies",
        hint=f"Give 'frequencies' in 1/cm, or {len(PAPER_GRID)}, 200 or 201 points",
    )


def _structure(atoms: Mapping[str, Any]) -> Structure:
    symbols = [checked_element(str(one), "elements") for one in atoms["elements"]]
    matrix = finite_array(atoms["lattice_mat"], (3, 3), "lattice_mat")
    places = finite_array(atoms["coords"], (len(symbols), 3), "coords")
    is_cartesian = str(atoms.get("cartesian", False)).lower() == "true"
    return Structure(Lattice(matrix), symbols, places, coords_are_cartesian=is_cartesian)
