"""Heat capacities of crystals from a JSON file, brought to meV/K per atom.

Files do not say what their numbers are per, and cells, formula units and atoms are mixed up
easily: whoever reads a file states it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from screening.errors import ParseError, ScreeningError, SettingError
from screening.structure import Crystal, canonical_crystal
from screening.units import BOLTZMANN_MEV_PER_K, MEV_TO_JOULE_PER_MOL
from stores.importers.json_records import json_records
from stores.importers.records import (
    DEFAULT_READ_LIMITS,
    ReadLimits,
    finite_array,
)
from stores.importers.structure_json import structure_of

__all__ = [
    "GivenHeatCapacities",
    "GivenHeatCapacity",
    "HeatCapacityPer",
    "HeatCapacityUnit",
    "read_heat_capacities",
]

HeatCapacityPer = Literal["cell", "formula", "atom"]
HeatCapacityUnit = Literal["J/mol/K", "meV/K", "kB"]

_HINT = "Give a JSON list of records with 'structure' and 'heat_capacity'"
_MEV_PER_K = {
    "J/mol/K": 1.0 / MEV_TO_JOULE_PER_MOL,
    "meV/K": 1.0,
    "kB": BOLTZMANN_MEV_PER_K,
}
_NAMES = ("material_id", "mp_id", "entry_id", "label", "name")


@dataclass(frozen=True, eq=False)
class GivenHeatCapacity:
    """A crystal and its heat capacity at constant volume.

    Attributes
    ----------
    name
        What the file calls it.
    crystal
        The crystal.
    heat_capacity_mev_per_k_per_atom
        As given, in meV/K per atom; not yet checked against 3 k_B.
    """

    name: str
    crystal: Crystal
    heat_capacity_mev_per_k_per_atom: float


@dataclass(frozen=True, eq=False)
class GivenHeatCapacities:
    """What a file holds, and how many records could not be used, by reason."""

    crystals: tuple[GivenHeatCapacity, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_heat_capacities(
    path: Path, per: str, unit: str = "J/mol/K", limits: ReadLimits = DEFAULT_READ_LIMITS
) -> GivenHeatCapacities:
    """Read a list of records with ``structure``, as pymatgen writes it, and ``heat_capacity``.

    Parameters
    ----------
    path
        A JSON file, compressed or not.
    per
        What the numbers are per: the ``cell`` as it is given, its reduced ``formula``, or
        ``atom``.
    unit
        ``J/mol/K``, ``meV/K`` or ``kB``.
    limits
        What may be read.

    Raises
    ------
    SettingError
        If ``per`` or ``unit`` is none of these.
    ParseError
        If the file is no JSON list.
    TooLargeError
        If it is larger than it may be.
    """
    _check(per, "per", get_args(HeatCapacityPer))
    _check(unit, "unit", get_args(HeatCapacityUnit))
    found: list[GivenHeatCapacity] = []
    left_out: Counter[str] = Counter()
    for number, value in enumerate(json_records(path, limits, _HINT)):
        try:
            found.append(_record(value, f"record {number + 1}", per, _MEV_PER_K[unit], limits))
        except ScreeningError as error:
            left_out[error.code] += 1
    return GivenHeatCapacities(tuple(found), dict(sorted(left_out.items())))


def _check(value: str, name: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(f"{value!r}", subject=name, hint=f"Say one of {', '.join(choices)}")


def _record(
    value: Any, place: str, per: str, mev_per_k: float, limits: ReadLimits
) -> GivenHeatCapacity:
    if not isinstance(value, Mapping):
        raise ParseError("the record is no dictionary", subject=place, hint="Leave it out")
    name = next((str(value[key]) for key in _NAMES if key in value), place)
    structure = structure_of(value.get("structure"), limits)[0]
    given = float(finite_array(value.get("heat_capacity"), (), "heat_capacity"))
    n_units = structure.composition.get_reduced_composition_and_factor()[1]
    counts = {"cell": len(structure), "formula": len(structure) / n_units, "atom": 1.0}
    return GivenHeatCapacity(
        name, canonical_crystal(structure, subject=name), given * mev_per_k / counts[per]
    )
