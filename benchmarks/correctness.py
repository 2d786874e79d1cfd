r"""Whether the numbers are right: against phonopy, between cells, in their limits, as published.

1. Every file of ``force_sets``: our whole way from the file to F, S and C_V per atom against
   phonopy's own from the same forces and Born charges. Both use the constants of CODATA 2018
   and the same Coulomb factor; phonopy's symmetrisation, which alternates between two
   conditions, is repeated until both hold. F is compared relative to max(\|F\|, zero-point
   energy), because it crosses zero; S and C_V relative to themselves. Without requirement:
   phonopy as it comes, with its older constants, one pass, and Born charges as in the file.
2. Crystals of PhononDB, written to files as primitive, conventional and super cell and as a
   turned, shifted and shuffled copy: the free energy that reading, the canonical cell,
   relaxation and phonons with CHGNet give.
3. Identities and limits that the spectra of 1 and those of PhononDB obey.
4. F, S and C_V stored with PhononDB, from the frequencies stored with them.

    python benchmarks/correctness.py
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_variable] = "1"  # before any library starts its threads

import gzip
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import phonopy
from identities import CUTOFF_THZ, Spectrum, Tally, check_harmonic, check_spectrum, curves
from phonondb import primitive_cell
from phonopy.physical_units import get_physical_units, set_physical_units
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon
from pymatgen.core import Lattice, Structure
from report import Figure, parser, publish
from scipy.spatial.transform import Rotation

from screening import units
from screening.calculators import load_calculator
from screening.phonons import DEFAULT_MESH_LENGTH_ANGSTROM, harmonic_from_forces, mesh_frequencies
from screening.prediction import FloatArray
from screening.predictors.potential_phonons import PotentialPhonons
from stores.importers import ReadStructure, Rejection, iter_structures

AGREEMENT, SAME_CRYSTAL = "<= 1e-06", "<= 0.02"
TEMPERATURES_K = tuple(float(t) for t in range(10, 1501, 10))
STORED_K = (300.0, 1000.0)
ROOM = TEMPERATURES_K.index(300.0)
QUANTITIES = ("F", "S", "C_V")
STORED = ("free_energy_{:.0f}K_meV_atom", "entropy_{:.0f}K_meV_K_atom")
STORED += ("heat_capacity_{:.0f}K_meV_K_atom",)
PASSES = 20
CODATA_2018 = {
    "KB_J": units.BOLTZMANN_EV_PER_K * units.EV_TO_JOULE,
    "PlanckConstant": units.PLANCK_MEV_PER_THZ * 1e-15,
    "Avogadro": units.AVOGADRO_PER_MOL,
    "SpeedOfLight": 299792458.0,
    "AMU": 1.66053906660e-27,
    "EV": units.EV_TO_JOULE,
    "Me": 9.1093837015e-31,
}
SKEW = ((1, 1, 0), (-1, 1, 0), (0, 0, 1))
TURN = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()


@contextmanager
def codata_2018() -> Iterator[None]:
    """Let phonopy use our release of the constants, and give it back its own."""
    before = get_physical_units()
    set_physical_units(**CODATA_2018)
    try:
        yield
    finally:
        set_physical_units(**{name: getattr(before, name) for name in CODATA_2018})


def read(file: Path) -> ReadStructure:
    """Read the one crystal of a file as an import does."""
    (item,) = iter_structures([file])
    if isinstance(item, Rejection):
        raise ValueError(str(item))  # noqa: TRY004 - a file that is wrong, not a type
    return item


def phonopy_curves(phonon: phonopy.Phonopy) -> FloatArray:
    """F, S and C_V per atom in meV and meV/K by phonopy, on a mesh of our length."""
    with warnings.catch_warnings():  # the mesh of a body-centred cell: ours falls back likewise
        warnings.filterwarnings("ignore", message="(?s).*incompatible with the primitive-cell")
        phonon.run_mesh(DEFAULT_MESH_LENGTH_ANGSTROM, is_gamma_center=True)
    phonon.run_thermal_properties(
        temperatures=TEMPERATURES_K, cutoff_frequency=CUTOFF_THZ, exclude_gamma_acoustic=True
    )
    found = phonon.thermal_properties
    table = np.array([np.array(found.free_energy) * 1e3, found.entropy, found.heat_capacity])
    return np.asarray(table / get_physical_units().EvTokJmol / len(phonon.primitive))


def phonopy_with(file: Path, coulomb_factor: float | None, passes: int) -> FloatArray:
    """Curves by phonopy from the file's forces, None without Born charges."""
    polar = coulomb_factor is not None
    phonon = phonopy.load(str(file), is_nac=polar, produce_fc=False, log_level=0)
    if polar:
        charges, dielectric = symmetrize_borns_and_epsilon(
            phonon.nac_params["born"], phonon.nac_params["dielectric"], phonon.primitive
        )
        phonon.nac_params = {"born": charges, "dielectric": dielectric, "factor": coulomb_factor}
    phonon.produce_force_constants(calculate_full_force_constants=False)
    phonon.symmetrize_force_constants(level=passes, show_drift=False)
    return phonopy_curves(phonon)


def compare_with_phonopy(file: Path, name: str, tally: Tally) -> None:
    """Compare our curves with phonopy's for one set of forces."""
    forces = read(file).force_data  # first: it refuses what phonopy's loader would execute
    if forces is None:
        raise ValueError("the file holds no forces")
    harmonic = harmonic_from_forces(forces)
    mesh = mesh_frequencies(harmonic)
    spectrum = Spectrum(mesh.frequencies_thz, mesh.weights, mesh.q_points)
    result = spectrum.thermodynamics(TEMPERATURES_K)
    polar = forces.born_charges_e is not None
    stock = phonopy.load(str(file), is_nac=polar, log_level=0)
    own = get_physical_units()
    stock_curves, factor = phonopy_curves(stock), own.Hartree * own.Bohr if polar else None
    with codata_2018():
        theirs, one_pass = (phonopy_with(file, factor, passes) for passes in (PASSES, 1))
    zero_point = result.zero_point_energy_mev_per_atom
    scale = np.abs(theirs)
    scale[0] = np.maximum(scale[0], zero_point)
    error, loose, older = (
        np.abs(curves(result) - x) / scale for x in (theirs, one_pass, stock_curves)
    )
    worst = int(np.argmax(error.max(axis=1)))
    tally.note(f"1 {name}: F, S, C_V, worst", error.max(), QUANTITIES[worst], AGREEMENT)
    for i, quantity in enumerate(QUANTITIES):
        tally.note(f"1 {quantity}, 10-1500 K", error[i].max(), name, AGREEMENT)
        tally.note(f"1 {quantity}, phonopy symmetrised once", loose[i].max(), name)
        tally.note(f"1 {quantity}, phonopy as it comes", older[i].max(), name)
        tally.note(f"1 {quantity}, phonopy as it comes, 300 K", older[i, ROOM], name)
    tally.note("1 phonopy once against 20 times", (np.abs(one_pass - theirs) / scale).max(), name)
    if polar:
        ratio = abs(stock.nac_params.get("factor", factor) / factor - 1.0)
        tally.note("1 why: Coulomb factor of the file", ratio, name)
    print(
        f"1 {name:<16}"
        + "".join(f" {q} {e.max():.1e}" for q, e in zip(QUANTITIES, error, strict=True))
    )
    check_harmonic(harmonic, spectrum, theirs, TEMPERATURES_K, name, tally)
    check_spectrum(spectrum, name, tally)


def constants_figures() -> list[Figure]:
    """How far phonopy's constants are from ours."""
    own = get_physical_units()
    pairs = {
        "k_B": own.KB / units.BOLTZMANN_EV_PER_K,
        "h": own.PlanckConstant / CODATA_2018["PlanckConstant"],
        "THz of sqrt(eV/Å²/amu)": own.DefaultToTHz / units.SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ,
        "kJ/mol of eV": own.EvTokJmol / units.MEV_TO_JOULE_PER_MOL,
    }
    return [
        Figure(f"1 why: {name}, phonopy over CODATA 2018", ratio - 1.0, "relative")
        for name, ratio in pairs.items()
    ]


def compare_cells(
    record: dict[str, Any], name: str, predictor: PotentialPhonons, tally: Tally
) -> None:
    """Free energy at 300 K of one crystal, given in different ways."""
    values, digests = {}, set()
    with tempfile.TemporaryDirectory() as folder:
        for label, file in write_variants(record, Path(folder)).items():
            crystal = read(file).crystal
            result = predictor.predict(crystal).thermodynamics
            at_room = list(result.temperatures_k).index(300.0)
            values[label] = float(result.free_energy_mev_per_atom[at_room])
            digests.add(crystal.digest)
    spread = max(values.values()) - min(values.values())
    tally.note("2 F(300 K) between cells", spread, name, SAME_CRYSTAL, "meV/atom")
    tally.note("2 identities of one crystal", len(digests), name, "<= 1", "")
    print(f"2 {name:<16} {values['primitive']:10.5f} meV/atom, spread {spread:.1e}", flush=True)


def write_variants(record: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Write the crystal in different cells and formats."""
    conventional = Structure.from_dict(record["structure"])
    primitive = primitive_cell(conventional, np.array(record["primitive_matrix"]).T)
    order = np.random.default_rng(0).permutation(2 * len(conventional))
    double = conventional * SKEW
    shuffled = Structure(
        Lattice(double.lattice.matrix @ TURN.T),
        [double[i].specie for i in order],
        double.frac_coords[order] + [0.137, -0.291, 0.443],
    )
    written = {
        "primitive": (primitive, "primitive.vasp", "poscar"),
        "conventional": (conventional, "conventional.cif", "cif"),
        "supercell": (conventional * (2, 1, 1), "supercell.vasp", "poscar"),
        "turned, shifted, shuffled": (shuffled, "shuffled.json", "json"),
    }
    for structure, file, form in written.values():
        structure.to(filename=str(folder / file), fmt=form)
    return {label: folder / file for label, (_, file, _) in written.items()}


def check_stored(record: dict[str, Any], name: str, bounds: FloatArray, tally: Tally) -> None:
    """Compare stored curves with those of the stored frequencies."""
    spectrum = stored_spectrum(record)
    ours = curves(spectrum.thermodynamics(STORED_K))
    stored = stored_values(record)
    for i, quantity in enumerate(QUANTITIES):
        for j, temperature in enumerate(STORED_K):
            error = abs(ours[i, j] - stored[i, j])
            unit = "meV/atom" if quantity == "F" else "meV/K/atom"
            label = f"4 {quantity}({temperature:.0f} K) as stored"
            tally.note(label, error, name, f"<= {bounds[i, j]:g}", unit)
    check_spectrum(spectrum, name, tally)


def stored_spectrum(record: dict[str, Any]) -> Spectrum:
    """Modes of a record."""
    frequencies = np.array(record["frequencies_THz"], dtype=float)
    return Spectrum(frequencies, np.array(record["weights"], float), np.array(record["qpoints"]))


def stored_values(record: dict[str, Any]) -> FloatArray:
    """F, S and C_V of a record, shape (quantity, temperature)."""
    return np.array([[float(record[key.format(t)]) for t in STORED_K] for key in STORED])


def rounding(records: Sequence[dict[str, Any]]) -> FloatArray:
    """Half of the last decimal that any record has, shape (quantity, temperature)."""
    table = np.array([stored_values(r) for r in records])
    decimals = np.vectorize(lambda x: len(repr(float(x)).partition(".")[2]))(table).max(axis=0)
    return np.asarray(0.5 * 10.0**-decimals)


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Records of PhononDB by a readable name; none where the file is absent."""
    file = folder / "phonondb_pbe.json.gz"
    if not file.exists():
        return {}
    records = json.loads(gzip.decompress(file.read_bytes()))
    return {f"{r['material_id']} {r['formula']}": r for r in records}


def in_turn(records: dict[str, dict[str, Any]], limit: int) -> list[str]:
    """Names of records, space groups taking turns."""
    groups: dict[Any, list[str]] = {}
    for name, record in records.items():
        groups.setdefault(record["space_group"], []).append(name)
    longest = max((len(group) for group in groups.values()), default=0)
    turns = [group[i] for i in range(longest) for group in groups.values() if i < len(group)]
    return turns[:limit]


def main() -> int:
    """Run the benchmark; the exit code is 1 where a requirement is missed."""
    command_line = parser("Correctness of phonons and thermodynamics")
    command_line.add_argument("--crystals", type=int, default=12, help="of part 2; 0 skips it")
    options = command_line.parse_args()
    start, tally = time.perf_counter(), Tally()
    for file in sorted((options.data / "force_sets").glob("*.yaml.xz")):
        name = file.name.removesuffix(".yaml.xz")
        tally.attempt("1 force sets", name, partial(compare_with_phonopy, file, name, tally))
    records = read_records(options.data)
    if options.crystals:
        predictor = PotentialPhonons(load_calculator("chgnet"))
        for name in in_turn(records, options.crystals):
            work = partial(compare_cells, records[name], name, predictor, tally)
            tally.attempt("2 crystals in four cells", name, work)
    bounds = rounding(list(records.values())) if records else np.zeros((0, 0))
    for name, record in records.items():
        tally.attempt("4 stored records", name, partial(check_stored, record, name, bounds, tally))
    counts = {"1 force sets": 1, "2 crystals in four cells": 6, "4 stored records": 1}
    if not options.crystals:
        counts.pop("2 crystals in four cells")
    figures = [Figure(k, tally.done[k], "", f">= {n}") for k, n in counts.items()]
    figures.append(Figure("failures", len(tally.failures), "", "<= 0"))
    figures += sorted([*tally.figures(), *constants_figures()], key=lambda f: f.name[0])
    figures.append(Figure("time", time.perf_counter() - start, "s", "<= 180"))
    for failure in tally.failures:
        print(f"FAILED {failure}")
    publish("correctness", figures, options.json)
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    raise SystemExit(main())
