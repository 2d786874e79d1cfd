"""How close any calculator comes to the DFT phonons of PhononDB.

Frequencies are compared at the stored q points of the stored primitive cell, free energy,
entropy and heat capacity on the stored mesh, all without non-analytical correction. The DFT
cells are used as they are unless ``--relax`` is given. Next to every error stands what two
predictors without any physics reach, fitted on the other compositions only: their mean, and a
straight line in the logarithms of mean mass and volume per atom (what a Debye solid knows).

For CHGNet on all 103 crystals that the 48 are part of, 1.9 THz, slope 0.74 and 27 meV/atom have
been found. The means here are larger (2.2 THz, 30 meV/atom) because the errors of zincblende and
wurtzite are nearly four times those of rock salt, which is only a quarter of the 48; the lines by
space group show it. Another folder has other means: nothing is required of them. A record that is
no use, or that the calculator fails on, is named and counted.

    python benchmarks/phonondb.py --calculator chgnet
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # worker processes inherit the path
    # after the packages: one benchmark is called like the package stores
    sys.path.append(sys.path.pop(0))

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from references import (
    QUANTITIES,
    SAME_Q_POINT,
    TEMPERATURES_K,
    Reference,
    read_records,
    record_name,
    reference_of,
)
from report import Figure, parser, publish

from screening.calculators import ForceCalculator, check_elements, load_calculator
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


@dataclass(frozen=True)
class Outcome:
    """What the calculator gives for one crystal."""

    frequencies_thz: FloatArray
    values: dict[str, float]
    verdicts: dict[str, Verdict]
    volume_ratio: float


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
    """Guess every crystal from the other compositions; empty where too few are left to learn."""
    truth = np.array([r.values[key] for r in references])
    compositions = np.array([r.composition for r in references])
    masses = [float(r.primitive.composition.weight) / len(r.primitive) for r in references]
    volumes = [r.primitive.volume / len(r.primitive) for r in references]
    features = np.column_stack([np.ones(len(truth)), np.log(masses), np.log(volumes)])
    mean, line = np.empty_like(truth), np.empty_like(truth)
    for composition in np.unique(compositions):
        held_out = compositions == composition
        if (~held_out).sum() < features.shape[1]:
            return {}
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
    guessed = frequency_baseline(references)
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
            float(np.mean(guessed)) if guessed else None,
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
        Figure(f"{name} skill, 1 - MAE/MAD", scores.skill, ""),
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


@dataclass
class Run:
    """What is compared so far, and the records that failed."""

    calculator: ForceCalculator
    settings: PhononSettings
    relaxed: bool
    references: list[Reference] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take(self, record: Any, label: str) -> None:
        """Compute one record; whatever goes wrong with it is named and counted."""
        start = time.perf_counter()
        try:
            reference = reference_of(record)
            outcome = evaluate(reference, self.calculator, self.settings, relaxed=self.relaxed)
            line = summary_of(reference, outcome)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a record
            name = record_name(record) or label
            self.failures.append(f"{name}: {type(error).__name__}: {error}")
            print(f"{label} FAILED {self.failures[-1]}", flush=True)
            return
        self.references.append(reference)
        self.outcomes.append(outcome)
        print(f"{label} {line}  {time.perf_counter() - start:5.1f} s", flush=True)

    def figures(self) -> list[Figure]:
        """All lines of the report."""
        figures = [Figure("crystals", len(self.references), "", ">= 1")]
        figures.append(Figure("failures", len(self.failures), ""))
        figures += [Figure(f"FAILED {name}", 1, "") for name in self.failures]
        if self.references:
            figures += frequency_figures(self.references, self.outcomes)
            figures += thermal_figures(self.references, self.outcomes)
            figures += stability_figures(self.outcomes)
        return figures


def summary_of(reference: Reference, outcome: Outcome) -> str:
    """One line on one crystal."""
    error = mae(outcome.frequencies_thz, reference)
    shift = outcome.values["free_energy_300"] - reference.values["free_energy_300"]
    return (
        f"{reference.name:<22} MAE {error:6.3f} THz  "
        f"slope {slope(outcome.frequencies_thz, reference):5.3f}  dA(300) {shift:7.2f} meV/atom  "
        f"lowest {outcome.frequencies_thz.min():6.2f} THz  V/V0 {outcome.volume_ratio:.3f}"
    )


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    records = read_records(options.data)[: options.limit]
    calculator = load_calculator(options.calculator)
    settings = PhononSettings(displacement_angstrom=options.displacement)
    run = Run(calculator, settings, options.relax)
    for number, record in enumerate(records, start=1):
        run.take(record, f"{number:3d}/{len(records)}")
    length = options.displacement or calculator.displacement_angstrom
    relaxed = "relaxed" if options.relax else "unrelaxed DFT cells"
    title = f"PhononDB, {calculator.name}, {length} Å, {relaxed}"
    return publish(title, run.figures(), options.json)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Accuracy of a calculator's phonons against PhononDB")
    result.add_argument("--calculator", default="chgnet", help="as `phonoscreen --calculator`")
    result.add_argument("--displacement", type=float, default=None, help="finite displacement in Å")
    result.add_argument("--relax", action="store_true", help="relax with the calculator first")
    result.add_argument("--limit", type=int, default=None, help="first N crystals only")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
