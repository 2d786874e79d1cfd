"""How close any calculator comes to the DFT phonons of PhononDB.

Frequencies are compared at the stored q points of the stored primitive cell, free energy,
entropy and heat capacity on the stored mesh, all without non-analytical correction. The DFT
cells are used as they are unless ``--relax`` is given. Next to every error stands what two
predictors without any physics reach, fitted on the other compositions only: their mean, and a
straight line in the logarithms of mean mass and volume per atom (what a Debye solid knows).

For CHGNet on all 103 crystals that the 48 are part of, 1.9 THz, slope 0.74 and 27 meV/atom have
been found. The means here are larger (2.2 THz, 30 meV/atom) because the errors of zincblende and
wurtzite are nearly four times those of rock salt, which is only a quarter of the 48; the lines by
space group show it.

    python benchmarks/phonondb.py --calculator chgnet
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from report import Figure, parser, publish

from screening.calculators import ForceCalculator, check_elements, load_calculator
from screening.errors import ScreeningError
from screening.metrics import RegressionScores, regression_scores
from screening.phonons import (
    Harmonic,
    MeshFrequencies,
    PhononSettings,
    compute_forces,
    frequencies_at,
    harmonic_from_forces,
)
from screening.prediction import FloatArray, Verdict
from screening.relaxation import RelaxationSettings, relax
from screening.spectra import band_structure
from screening.stability import CRITERIA, assess_stability
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

TEMPERATURES_K = (300.0, 1000.0)
QUANTITIES = {
    "free_energy": ("free_energy_{}K_meV_atom", "A", "meV/atom", 1.0),
    "entropy": ("entropy_{}K_meV_K_atom", "S", "J/mol/K/atom", 96.4853321),
    "heat_capacity": ("heat_capacity_{}K_meV_K_atom", "C_V", "J/mol/K/atom", 96.4853321),
}
MIN_ATOMS, MAX_ATOMS = 60, 128
SAME_SITE_ANGSTROM = 1e-2
SAME_Q_POINT = 1e-6


@dataclass(frozen=True)
class Reference:
    """One crystal of the reference set."""

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
class Outcome:
    """What the calculator gives for one crystal."""

    frequencies_thz: FloatArray
    values: dict[str, float]
    verdicts: dict[str, Verdict]
    volume_ratio: float


def read_references(folder: Path) -> list[Reference]:
    """Read the records of a folder."""
    with gzip.open(folder / "phonondb_pbe.json.gz", "rt") as stream:
        return [reference_of(record) for record in json.load(stream)]


def reference_of(record: dict[str, Any]) -> Reference:
    """Bring a record to the primitive cell that its q points refer to."""
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
    return Reference(
        name=f"{record['material_id']} {record['formula']} {record['space_group']}",
        composition=record["formula"],
        prototype=int(record["space_group"]),
        primitive=primitive,
        supercell_matrix=np.rint(np.diag(repeats) @ to_unit).astype(np.int64),
        q_points=np.array(record["qpoints"]),
        weights=np.array(record["weights"], dtype=float),
        mesh=(first, second, third),
        frequencies_thz=np.array(record["frequencies_THz"]),
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
    assert len(kept) * round(1 / abs(np.linalg.det(rows))) == len(unit_cell)
    return kept


def supercell_repeats(unit_cell: Structure) -> tuple[int, int, int]:
    """Repeat the shortest side until the supercell has enough atoms."""
    repeats = np.array([1, 1, 1])
    while len(unit_cell) * repeats.prod() < MIN_ATOMS:
        lengths = np.array(unit_cell.lattice.abc) * repeats
        repeats[lengths < lengths.min() * 1.02] += 1
    assert len(unit_cell) * repeats.prod() <= MAX_ATOMS, "adjust the number of atoms"
    a, b, c = (int(n) for n in repeats)
    return a, b, c


def evaluate(
    reference: Reference, calculator: ForceCalculator, settings: PhononSettings, *, relaxed: bool
) -> Outcome:
    """Compute one crystal with the calculator at the points of the reference."""
    structure = reference.primitive
    numbers = np.array([site.specie.Z for site in structure])
    check_elements(calculator, numbers, subject=reference.name)
    if relaxed:
        structure = relax(structure, calculator, RelaxationSettings())[0]
    forces = compute_forces(structure, calculator, settings, reference.supercell_matrix)
    harmonic = harmonic_from_forces(forces)
    frequencies = frequencies_at(harmonic, reference.q_points)
    return Outcome(
        frequencies,
        thermal_values(frequencies, reference, len(structure)),
        judge(harmonic, frequencies, reference),
        structure.volume / reference.primitive.volume,
    )


def judge(harmonic: Harmonic, frequencies: FloatArray, reference: Reference) -> dict[str, Verdict]:
    """Verdicts of all criteria on the reference's mesh and the band path."""
    weights = reference.weights / reference.weights.sum()
    mesh = MeshFrequencies(frequencies, weights, reference.q_points, reference.mesh)
    return dict(assess_stability(mesh, band_structure(harmonic)).verdicts)


def thermal_values(frequencies: FloatArray, reference: Reference, n_atoms: int) -> dict[str, float]:
    """Free energy, entropy and heat capacity in the units of the table."""
    result = thermodynamics(
        frequencies,
        reference.weights,
        n_atoms,
        ThermodynamicsSettings(temperatures_k=TEMPERATURES_K),
        is_gamma=np.all(np.abs(reference.q_points) < SAME_Q_POINT, axis=1),
    )
    curves = {
        "free_energy": result.free_energy_mev_per_atom,
        "entropy": result.entropy_mev_per_k_per_atom,
        "heat_capacity": result.heat_capacity_mev_per_k_per_atom,
    }
    return {
        f"{quantity}_{t:.0f}": QUANTITIES[quantity][3] * float(curves[quantity][i])
        for quantity in QUANTITIES
        for i, t in enumerate(TEMPERATURES_K)
    }


def baselines(references: Sequence[Reference], key: str) -> dict[str, FloatArray]:
    """Guess every crystal from the other compositions."""
    truth = np.array([r.values[key] for r in references])
    compositions = np.array([r.composition for r in references])
    masses = [float(r.primitive.composition.weight) / len(r.primitive) for r in references]
    volumes = [r.primitive.volume / len(r.primitive) for r in references]
    features = np.column_stack([np.ones(len(truth)), np.log(masses), np.log(volumes)])
    mean, line = np.empty_like(truth), np.empty_like(truth)
    for composition in np.unique(compositions):
        held_out = compositions == composition
        mean[held_out] = truth[~held_out].mean()
        coefficients = np.linalg.lstsq(features[~held_out], truth[~held_out], rcond=None)[0]
        line[held_out] = features[held_out] @ coefficients
    return {"mean of others": mean, "mass and volume": line}


def frequency_baseline(references: Sequence[Reference]) -> list[float]:
    """Error of the mean over other compositions of the same prototype, per crystal in THz."""
    errors = []
    for held_out in references:
        others = [
            r.frequencies_thz
            for r in references
            if r.prototype == held_out.prototype
            and r.composition != held_out.composition
            and r.frequencies_thz.shape == held_out.frequencies_thz.shape
        ]
        if others:
            errors.append(mae(np.mean(others, axis=0), held_out))
    return errors


def mae(frequencies: FloatArray, reference: Reference) -> float:
    """Mean absolute error over the mesh in THz."""
    weights = reference.weights / reference.weights.sum()
    return float(weights @ np.abs(frequencies - reference.frequencies_thz).mean(axis=1))


def slope(frequencies: FloatArray, reference: Reference) -> float:
    """Slope of computed over reference frequencies through the origin."""
    weights = reference.weights[:, None]
    truth = reference.frequencies_thz
    return float((weights * frequencies * truth).sum() / (weights * truth**2).sum())


def frequency_figures(references: Sequence[Reference], outcomes: Sequence[Outcome]) -> list[Figure]:
    """Errors of the frequencies, each crystal counting once."""
    pairs = list(zip(references, outcomes, strict=True))
    errors = [mae(o.frequencies_thz, r) for r, o in pairs]
    slopes = [slope(o.frequencies_thz, r) for r, o in pairs]
    groups: dict[int, list[float]] = defaultdict(list)
    for reference, error in zip(references, errors, strict=True):
        groups[reference.prototype].append(error)
    return [
        Figure("frequency MAE, mean over crystals", float(np.mean(errors)), "THz"),
        Figure("frequency MAE, median over crystals", float(np.median(errors)), "THz"),
        *(
            Figure(f"  of {len(group)} in space group {number}", float(np.mean(group)), "THz")
            for number, group in sorted(groups.items())
        ),
        Figure(
            "  baseline: mean of other compositions, same prototype",
            float(np.mean(frequency_baseline(references))),
            "THz",
        ),
        Figure("slope against DFT, mean over crystals", float(np.mean(slopes)), ""),
        Figure("slope against DFT, standard deviation", float(np.std(slopes)), ""),
    ]


def thermal_figures(references: Sequence[Reference], outcomes: Sequence[Outcome]) -> list[Figure]:
    """Errors of the thermodynamic functions with their baselines."""
    figures = []
    for quantity, (_, symbol, unit, _) in QUANTITIES.items():
        for temperature in TEMPERATURES_K:
            key = f"{quantity}_{temperature:.0f}"
            truth = [r.values[key] for r in references]
            name = f"{symbol}({temperature:.0f} K)"
            scores = regression_scores([o.values[key] for o in outcomes], truth)
            figures += score_figures(name, scores, unit)
            for label, guess in baselines(references, key).items():
                other = regression_scores(guess, truth)
                figures.append(Figure(f"  baseline {name}: {label}, MAE", other.mae, unit))
    return figures


def score_figures(name: str, scores: RegressionScores, unit: str) -> list[Figure]:
    """Three lines for one quantity."""
    return [
        Figure(f"{name} MAE", scores.mae, unit),
        Figure(f"{name} bias", scores.bias, unit),
        Figure(f"{name} skill, 1 - MAE/MAD", scores.skill or 0.0, ""),
    ]


def stability_figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """How many crystals are wrongly called unstable: all of them are stable by DFT."""
    figures = []
    for criterion in CRITERIA:
        counts = Counter(outcome.verdicts[criterion] for outcome in outcomes)
        unstable, open_ = counts[Verdict.UNSTABLE], counts[Verdict.UNDETERMINED]
        figures.append(Figure(f"unstable by {criterion} (DFT: 0)", unstable, "crystals"))
        if open_:
            figures.append(Figure(f"undetermined by {criterion}", open_, "crystals"))
    return figures


def main() -> None:
    """Run the benchmark."""
    options = arguments()
    references = read_references(options.data)[: options.limit]
    calculator = load_calculator(options.calculator)
    settings = PhononSettings(displacement_angstrom=options.displacement)
    done, outcomes, failures = [], [], 0
    for number, reference in enumerate(references, start=1):
        start = time.perf_counter()
        label = f"{number:3d}/{len(references)} {reference.name:<22}"
        try:
            outcome = evaluate(reference, calculator, settings, relaxed=options.relax)
        except ScreeningError as error:
            failures += 1
            print(f"{label} failed: {error.code} {error}", flush=True)
            continue
        done.append(reference)
        outcomes.append(outcome)
        shift = outcome.values["free_energy_300"] - reference.values["free_energy_300"]
        print(
            f"{label} MAE {mae(outcome.frequencies_thz, reference):6.3f} THz  slope "
            f"{slope(outcome.frequencies_thz, reference):5.3f}  dA(300) {shift:7.2f} meV/atom  "
            f"lowest {outcome.frequencies_thz.min():6.2f} THz  V/V0 {outcome.volume_ratio:.3f}  "
            f"{time.perf_counter() - start:5.1f} s",
            flush=True,
        )
    length = options.displacement or calculator.displacement_angstrom
    figures = [Figure("crystals", len(done), ""), Figure("failures", failures, "")]
    if done:
        figures += frequency_figures(done, outcomes) + thermal_figures(done, outcomes)
        figures += stability_figures(outcomes)
    relaxed = "relaxed" if options.relax else "unrelaxed DFT cells"
    publish(f"PhononDB, {calculator.name}, {length} Å, {relaxed}", figures, options.json)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Accuracy of a calculator's phonons against PhononDB")
    result.add_argument("--calculator", default="chgnet", help="as `phonoscreen --calculator`")
    result.add_argument("--displacement", type=float, default=None, help="finite displacement in Å")
    result.add_argument("--relax", action="store_true", help="relax with the calculator first")
    result.add_argument("--limit", type=int, default=None, help="first N crystals only")
    return result.parse_args()


if __name__ == "__main__":
    main()
