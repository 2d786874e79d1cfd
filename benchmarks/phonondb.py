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

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Structure
from references import (
    QUANTITIES,
    Reference,
    read_records,
    record_name,
    reference_of,
)
from report import Figure, parser, publish

from screening.calculators import ForceCalculator, check_elements, load_calculator
from screening.metrics import RegressionScores, regression_scores
from screening.network_potential.evaluation import (
    PhononEvaluation,
    evaluate_phonons,
    mesh_thermal_values,
)
from screening.network_potential.frequency_errors import frequency_scores
from screening.network_potential.phonon_pairs import PhononPair
from screening.phonons import (
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


@dataclass(frozen=True)
class Outcome:
    """What the calculator gives for one crystal."""

    pair: PhononPair
    verdicts: dict[str, Verdict]
    volume_ratio: float

    @property
    def shift_mev_per_atom(self) -> float:
        """Free energy at 300 K above the reference's."""
        ours, theirs = (mesh_thermal_values(x) for x in (self.pair.predicted, self.pair.reference))
        return ours["free_energy", 300.0] - theirs["free_energy", 300.0]


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
    mesh = mesh_of(reference, frequencies_at(harmonic, reference.q_points))
    pair = PhononPair(
        material_id=reference.name,
        group=reference.composition,
        predicted=mesh,
        reference=mesh_of(reference, reference.frequencies_thz),
    )
    verdicts = dict(assess_stability(mesh, band_structure(harmonic)).verdicts)
    return Outcome(pair, verdicts, structure.volume / reference.primitive.volume)


def mesh_of(reference: Reference, frequencies_thz: FloatArray) -> MeshFrequencies:
    """Put frequencies on the mesh of the reference."""
    weights = reference.weights / reference.weights.sum()
    return MeshFrequencies(frequencies_thz, weights, reference.q_points, reference.mesh)


def mass_and_volume(references: Sequence[Reference], key: str) -> FloatArray | None:
    """Guess every crystal by a line fitted to the other compositions; None where too few."""
    return line_in_mass_and_volume(
        [one.primitive for one in references],
        [one.composition for one in references],
        np.array([one.values[key] for one in references]),
    )


def line_in_mass_and_volume(
    structures: Sequence[Structure], compositions: Sequence[str], truth: FloatArray
) -> FloatArray | None:
    """Guess every value by a line fitted to the other compositions; None where too few."""
    names = np.array(compositions)
    masses = [float(one.composition.weight) / len(one) for one in structures]
    volumes = [one.volume / len(one) for one in structures]
    features = np.column_stack([np.ones(len(truth)), np.log(masses), np.log(volumes)])
    line = np.empty_like(truth)
    for name in np.unique(names):
        held_out = names == name
        if (~held_out).sum() < features.shape[1]:
            return None
        coefficients = np.linalg.lstsq(features[~held_out], truth[~held_out], rcond=None)[0]
        line[held_out] = features[held_out] @ coefficients
    return line


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
            guess = np.mean(others, axis=0)
            weights = np.broadcast_to(held_out.weights[:, None], guess.shape)
            errors.append(frequency_scores(guess, held_out.frequencies_thz, weights).mae_thz)
    return errors


def frequency_figures(
    references: Sequence[Reference], evaluation: PhononEvaluation
) -> list[Figure]:
    """Errors of the frequencies, each crystal counting once."""
    found = evaluation.mesh
    guessed = frequency_baseline(references)
    groups: dict[int, list[float]] = defaultdict(list)
    for reference, crystal in zip(references, evaluation.crystals, strict=True):
        groups[reference.prototype].append(crystal.mesh.mae_thz)
    return [
        Figure("frequency MAE, mean over crystals", found.mean_mae_thz, "THz"),
        Figure("frequency MAE, median over crystals", found.median_mae_thz, "THz"),
        *(
            Figure(f"  of {len(group)} in space group {number}", float(np.mean(group)), "THz")
            for number, group in sorted(groups.items())
        ),
        Figure(
            "  baseline: mean of other compositions, same prototype",
            float(np.mean(guessed)) if guessed else None,
            "THz",
        ),
        Figure("frequency MAE, all branches pooled", found.pooled.mae_thz, "THz"),
        Figure("frequency R2, all branches pooled", found.pooled.r2, ""),
        Figure("slope against DFT, mean over crystals", found.mean_slope, ""),
        Figure("slope against DFT, standard deviation", found.std_slope, ""),
    ]


def thermal_figures(references: Sequence[Reference], evaluation: PhononEvaluation) -> list[Figure]:
    """Errors of the thermodynamic functions with their baselines."""
    figures = []
    for one in evaluation.thermodynamics:
        key = f"{one.quantity}_{one.temperature_k:.0f}"
        name = f"{QUANTITIES[one.quantity][1]}({one.temperature_k:.0f} K)"
        figures += score_figures(name, one.scores, one.unit)
        line = mass_and_volume(references, key)
        truth = [r.values[key] for r in references]
        guesses = {
            "mean of others": one.baseline_mae,
            "mass and volume": None if line is None else regression_scores(line, truth).mae,
        }
        figures += [
            Figure(f"  baseline {name}: {label}, MAE", value, one.unit)
            for label, value in guesses.items()
            if value is not None
        ]
    weights = evaluation.dropped_weights
    figures += [
        Figure("dropped modes, mean of the calculator", weights.predicted_mean, ""),
        Figure("dropped modes, mean of DFT", weights.reference_mean, ""),
        Figure("crystals whose dropped modes differ by > 1e-3", weights.n_differing, ""),
    ]
    return figures


def polymorph_figures(evaluation: PhononEvaluation) -> list[Figure]:
    """Errors of differences between polymorphs, which do not cancel."""
    figures = []
    for one in evaluation.polymorphs:
        name = f"A({one.temperature_k:.0f} K) between polymorphs"
        figures.append(Figure(f"{name}: pairs", one.n_pairs, ""))
        figures.append(Figure(f"{name}: pairs not comparable", one.n_not_comparable, ""))
        if one.scores is not None:
            figures += score_figures(name, one.scores, "meV/atom")
            figures.append(Figure(f"{name}: right sign", one.sign_agreement, ""))
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
            evaluation = evaluate_phonons([outcome.pair for outcome in self.outcomes])
            figures += frequency_figures(self.references, evaluation)
            figures += thermal_figures(self.references, evaluation)
            figures += polymorph_figures(evaluation)
            figures += stability_figures(self.outcomes)
        return figures


def summary_of(reference: Reference, outcome: Outcome) -> str:
    """One line on one crystal."""
    frequencies = outcome.pair.predicted.frequencies_thz
    scores = frequency_scores(*outcome.pair.on_mesh())
    return (
        f"{reference.name:<22} MAE {scores.mae_thz:6.3f} THz  "
        f"slope {scores.slope:5.3f}  dA(300) {outcome.shift_mev_per_atom:7.2f} meV/atom  "
        f"lowest {frequencies.min():6.2f} THz  V/V0 {outcome.volume_ratio:.3f}"
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
