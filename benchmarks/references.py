"""Reading the records of PhononDB: cells, and what DFT has found for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from screening.prediction import FloatArray
from screening.units import MEV_TO_JOULE_PER_MOL

__all__ = [
    "QUANTITIES",
    "SAME_Q_POINT",
    "TEMPERATURES_K",
    "HeatCapacity",
    "Reference",
    "primitive_cell",
    "read_heat_capacities",
    "read_records",
    "record_name",
    "reference_of",
    "usable_references",
]

TEMPERATURES_K = (300.0, 1000.0)
QUANTITIES = {
    "free_energy": ("free_energy_{}K_meV_atom", "A", "meV/atom", 1.0),
    "entropy": ("entropy_{}K_meV_K_atom", "S", "J/mol/K/atom", MEV_TO_JOULE_PER_MOL),
    "heat_capacity": ("heat_capacity_{}K_meV_K_atom", "C_V", "J/mol/K/atom", MEV_TO_JOULE_PER_MOL),
}
MIN_ATOMS, MAX_ATOMS = 60, 128
SAME_SITE_ANGSTROM = 1e-2
SAME_Q_POINT = 1e-6


@dataclass(frozen=True)
class Reference:
    """One crystal of the reference set.

    Its composition is the reduced formula of its cell, whatever the record calls itself.
    """

    name: str
    composition: str
    prototype: int
    primitive: Structure
    supercell_matrix: NDArray[np.int64]
    q_points: FloatArray
    weights: FloatArray
    mesh: tuple[int, int, int]
    frequencies_thz: FloatArray
    values: dict[str, float]


@dataclass(frozen=True)
class HeatCapacity:
    """Heat capacity of one crystal at 300 K by DFT, in meV/K per atom."""

    name: str
    composition: str
    structure: Structure
    mev_per_k_per_atom: float


def read_heat_capacities(folder: Path) -> list[HeatCapacity]:
    """Read the binaries whose heat capacity is published.

    The file's values are J/mol/K of the cell as it is given, whatever its number of formula
    units: divided by its atoms they agree with PhononDB for the compounds that both have
    (CuBr 24.3, ZnO 20.4, AlN 15.5, BeS 18.3 J/mol/K) and none is above 3 R; divided by the
    atoms of a formula unit 470 of 567 would be.
    """
    with gzip.open(folder / "alexandria_binary_pbe_cv300.json.gz", "rt") as stream:
        records = json.load(stream)
    found = []
    for record in records:
        structure = Structure.from_dict(record["structure"])
        value = float(record["heat_capacity"]) / MEV_TO_JOULE_PER_MOL / len(structure)
        composition = structure.composition.reduced_formula
        found.append(HeatCapacity(record["mp_id"], composition, structure, value))
    return found


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read the records of a folder."""
    with gzip.open(folder / "phonondb_pbe.json.gz", "rt") as stream:
        return list(json.load(stream))


def usable_references(records: Sequence[Any]) -> tuple[list[Reference], list[str]]:
    """Read records; those that are no use are named, with what is wrong with them."""
    found, failures = [], []
    for number, record in enumerate(records, start=1):
        try:
            found.append(reference_of(record))
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a record
            name = record_name(record) or f"record {number}"
            failures.append(f"{name}: {type(error).__name__}: {error}")
            print(f"  FAILED {failures[-1]}", flush=True)
    return found, failures


def reference_of(record: dict[str, Any]) -> Reference:
    """Bring a record to the primitive cell that its q points refer to.

    Raises
    ------
    ValueError
        If the numbers do not fit each other or are not finite.
    """
    unit_cell = Structure.from_dict(record["structure"])
    to_unit = np.linalg.inv(np.array(record["primitive_matrix"]).T)  # phonopy: columns
    primitive = primitive_cell(unit_cell, np.linalg.inv(to_unit))
    values = {
        f"{quantity}_{t:.0f}": scale * float(record[key.format(round(t))])
        for quantity, (key, _, _, scale) in QUANTITIES.items()
        for t in TEMPERATURES_K
    }
    repeats = supercell_repeats(unit_cell)
    first, second, third = record["q_mesh"]
    q_points = np.array(record["qpoints"], dtype=float)
    weights = np.array(record["weights"], dtype=float)
    frequencies = np.array(record["frequencies_THz"], dtype=float)
    shapes = q_points.shape, weights.shape, frequencies.shape
    if shapes != ((len(weights), 3), (len(weights),), (len(weights), 3 * len(primitive))):
        raise ValueError(f"q points, weights and frequencies do not fit: {shapes}")
    numbers = [q_points, weights, frequencies, np.array(list(values.values()))]
    if not all(np.isfinite(x).all() for x in numbers) or not weights.sum() > 0.0:
        raise ValueError("a number is not finite, or all weights are zero")
    return Reference(
        name=f"{record['material_id']} {record['formula']} {record['space_group']}",
        composition=primitive.composition.reduced_formula,
        prototype=int(record["space_group"]),
        primitive=primitive,
        supercell_matrix=np.rint(np.diag(repeats) @ to_unit).astype(np.int64),
        q_points=q_points,
        weights=weights,
        mesh=(first, second, third),
        frequencies_thz=frequencies,
        values=values,
    )


def primitive_cell(unit_cell: Structure, rows: FloatArray) -> Structure:
    """Reduce the unit cell to the primitive vectors ``rows @ unit vectors``, unturned."""
    lattice = Lattice(rows @ unit_cell.lattice.matrix)
    kept = Structure(lattice, [], [])
    for site in unit_cell:
        fractions = lattice.get_fractional_coords(site.coords) % 1.0
        known = kept.frac_coords.reshape(-1, 3)
        if not np.any(lattice.get_all_distances(known, fractions) < SAME_SITE_ANGSTROM):
            kept.append(site.specie, fractions)
    if len(kept) * round(1 / abs(np.linalg.det(rows))) != len(unit_cell):
        raise ValueError("the primitive matrix does not reduce the unit cell")
    return kept


def supercell_repeats(unit_cell: Structure) -> tuple[int, int, int]:
    """Repeat the shortest sides until the supercell has enough atoms, as far as they fit."""
    repeats = np.array([1, 1, 1])
    while len(unit_cell) * repeats.prod() < MIN_ATOMS:
        lengths = np.array(unit_cell.lattice.abc) * repeats
        shortest = lengths < lengths.min() * 1.02
        one_of_them = np.arange(3) == lengths.argmin()
        longer = [repeats + more for more in (shortest, one_of_them)]
        fitting = [x for x in longer if len(unit_cell) * x.prod() <= MAX_ATOMS]
        if not fitting:
            break
        repeats = fitting[0]
    a, b, c = (int(n) for n in repeats)
    return a, b, c


def record_name(record: Any) -> str:
    """Return what a record calls itself, as far as it does."""
    if not isinstance(record, dict):
        return ""
    parts = (record.get(key) for key in ("material_id", "formula", "space_group"))
    return " ".join(str(part) for part in parts if part is not None)
