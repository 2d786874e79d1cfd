r"""Whether the numbers are right: against phonopy, between cells, in their limits, as published.

1. Every file of ``force_sets``: our whole way from the file to F, S and C_V per atom against
   phonopy's own from the same forces and Born charges. Both use the constants of CODATA 2018
   and the same Coulomb factor; phonopy's symmetrisation of force constants is repeated until
   it is complete. F is compared relative to max(\|F\|, zero-point energy), because it crosses
   zero; S and C_V relative to themselves. Reported beside it, without requirement: phonopy
   with its default single pass, and phonopy as it comes, with its older constants and its own
   reading of the Born charges and the Coulomb factor in the file.
2. Crystals of PhononDB, written to files as primitive, conventional and super cell and as a
   turned, shifted and shuffled copy: the free energy that reading, the canonical cell and
   CHGNet's phonons give, relaxed and as given.
3. Identities and limits that the spectra of 1 and those of PhononDB obey.
4. F, S and C_V stored with PhononDB, from the frequencies stored with them, to half of the
   last decimal of both.

A crystal that fails is counted and named; the exit code is 1 where a requirement is missed.

    python benchmarks/correctness.py
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_variable] = "1"  # before any library starts its threads

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from identities import Spectrum, Tally, check_spectrum, curves
from phonopy_agreement import QUANTITIES, compare_with_phonopy, constants_figures, read_crystal
from pymatgen.core import Lattice, Structure
from references import primitive_cell
from report import Figure, parser, publish
from scipy.spatial.transform import Rotation

from screening.calculators import load_calculator
from screening.prediction import FloatArray
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings

SAME_CRYSTAL = "<= 0.02"
STORED_K = (300.0, 1000.0)
STORED = (
    "free_energy_{:.0f}K_meV_atom",
    "entropy_{:.0f}K_meV_K_atom",
    "heat_capacity_{:.0f}K_meV_K_atom",
)
SKEW = ((1, 1, 0), (-1, 1, 0), (0, 0, 1))
TURN = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
SHIFT = (0.137, -0.291, 0.443)

Record = Mapping[str, Any]


def compare_cells(
    record: Record, name: str, predictors: Mapping[str, PotentialPhonons], tally: Tally
) -> None:
    """Free energy at 300 K of one crystal given in different ways."""
    with tempfile.TemporaryDirectory() as folder:
        crystals = [read_crystal(file).crystal for file in write_variants(record, Path(folder))]
    tally.note("2 identities of one crystal", len({c.digest for c in crystals}), name, "<= 1", "")
    for label, predictor in predictors.items():
        values, valid = [], True
        for crystal in crystals:
            result = predictor.predict(crystal).thermodynamics
            valid &= result.valid
            at_room = list(result.temperatures_k).index(300.0)
            values.append(float(result.free_energy_mev_per_atom[at_room]))
        spread = max(values) - min(values)
        tally.note(f"2 F(300 K) between cells, {label}", spread, name, SAME_CRYSTAL, "meV/atom")
        remark = "" if valid else ", thermodynamics not valid: imaginary or low modes"
        shown = f"{label:<9} {values[0]:10.5f} meV/atom, spread {spread:.1e}{remark}"
        print(f"2 {name:<20} {shown}", flush=True)


def write_variants(record: Record, folder: Path) -> list[Path]:
    """Write the crystal as primitive, conventional and super cell, and turned and shuffled."""
    conventional = Structure.from_dict(dict(record["structure"]))
    double = conventional * SKEW
    order = np.random.default_rng(0).permutation(len(double))
    shuffled = Structure(
        Lattice(double.lattice.matrix @ TURN.T),
        [double[int(i)].specie for i in order],
        double.frac_coords[order] + SHIFT,
    )
    variants = {
        "POSCAR-primitive": primitive_cell(conventional, np.array(record["primitive_matrix"]).T),
        "conventional.cif": conventional,
        "POSCAR-supercell": conventional * (2, 1, 1),
        "shuffled.json": shuffled,
    }
    for name, structure in variants.items():
        structure.to(filename=str(folder / name))
    return [folder / name for name in variants]


def check_stored(record: Record, name: str, bounds: FloatArray, tally: Tally) -> None:
    """Compare stored values with those of the stored frequencies, and check the spectrum."""
    frequencies = np.array(record["frequencies_THz"], dtype=float)
    weights, q_points = np.array(record["weights"], dtype=float), np.array(record["qpoints"])
    spectrum = Spectrum(frequencies, weights, q_points)
    ours = curves(spectrum.thermodynamics(STORED_K))
    moved = Spectrum(frequencies + rounding(frequencies), weights, q_points)
    allowed = bounds + np.abs(curves(moved.thermodynamics(STORED_K)) - ours)
    error = np.abs(ours - stored_values(record))
    for i, quantity in enumerate(QUANTITIES):
        unit = "meV/atom" if quantity == "F" else "meV/K/atom"
        for j, temperature in enumerate(STORED_K):
            label = f"{quantity}({temperature:.0f} K)"
            tally.note(f"4 {label} less stored", error[i, j], name, None, unit)
            share = error[i, j] / allowed[i, j]
            tally.note(f"4 {label} less stored, over rounding", share, name, "<= 1", "")
    check_spectrum(spectrum, name, tally)


def stored_values(record: Record) -> FloatArray:
    """F, S and C_V of a record, shape (quantity, temperature)."""
    return np.array([[float(record[key.format(t)]) for t in STORED_K] for key in STORED])


def rounding(values: FloatArray) -> float:
    """Half of the last decimal that any of the numbers has."""
    return 0.5 * 10.0 ** -max(decimals(float(x)) for x in values.flat)


def decimals(value: float) -> int:
    """Decimals of the shortest text that means this number."""
    mantissa, _, exponent = f"{value!r}".partition("e")
    return len(mantissa.partition(".")[2].rstrip("0")) - int(exponent or 0)


def read_records(folder: Path) -> dict[str, Record]:
    """Read the records of PhononDB by a readable name; none where the file is absent."""
    file = folder / "phonondb_pbe.json.gz"
    if not file.exists():
        return {}
    records = json.loads(gzip.decompress(file.read_bytes()))
    return {f"{r['material_id']} {r['formula']}": r for r in records}


def in_turn(records: Mapping[str, Record], limit: int) -> list[str]:
    """Names of records, space groups taking turns."""
    groups: dict[object, list[str]] = {}
    for name, record in records.items():
        groups.setdefault(record["space_group"], []).append(name)
    longest = max((len(group) for group in groups.values()), default=0)
    turns = [group[i] for i in range(longest) for group in groups.values() if i < len(group)]
    return turns[:limit]


def check_force_sets(folder: Path, tally: Tally) -> int:
    """Parts 1 and 3; returns how many files there are."""
    files = sorted(folder.glob("*.yaml.xz"))
    for file in files:
        name = file.name.removesuffix(".yaml.xz")
        tally.attempt("1 force sets", name, partial(compare_with_phonopy, file, name, tally))
    return len(files)


def check_cells(records: Mapping[str, Record], limit: int, tally: Tally) -> None:
    """Part 2."""
    names = in_turn(records, limit)
    if not names:
        return
    calculator = load_calculator("chgnet")
    predictors = {
        "as given": PotentialPhonons(calculator, ScreeningSettings(relaxation=None)),
        "relaxed": PotentialPhonons(calculator),
    }
    for name in names:
        work = partial(compare_cells, records[name], name, predictors, tally)
        tally.attempt("2 crystals in four cells", name, work)


def check_records(records: Mapping[str, Record], tally: Tally) -> None:
    """Parts 3 and 4."""
    values = [stored_values(record) for record in records.values()]
    bounds = np.array(
        [
            [rounding(np.array([v[i, j] for v in values])) for j in range(len(STORED_K))]
            for i in range(len(STORED))
        ]
        if values
        else []
    )
    for name, record in records.items():
        work = partial(check_stored, record, name, bounds, tally)
        tally.attempt("4 stored records", name, work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 where a requirement is missed."""
    start = time.perf_counter()
    options, tally = read_options(arguments), Tally()
    records = read_records(options.data)
    there = {"1 force sets": check_force_sets(options.data / "force_sets", tally)}
    if options.crystals:
        there["2 crystals in four cells"] = min(options.crystals, len(records))
    there["4 stored records"] = len(records)
    check_cells(records, options.crystals, tally)
    check_records(records, tally)
    figures = [
        Figure(f"0 {kind[2:]} done", tally.done[kind], "", f">= {max(n, 1)}")
        for kind, n in there.items()
    ]
    figures += [*tally.figures(), *constants_figures()]
    figures.sort(key=lambda figure: figure.name[0])
    figures.append(Figure("time", time.perf_counter() - start, "s", "<= 180"))
    return publish("correctness", figures, options.json)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    result = parser("Correctness of phonons and their thermodynamics")
    result.add_argument("--crystals", type=int, default=12, help="how many in part 2; 0 skips it")
    return result.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
