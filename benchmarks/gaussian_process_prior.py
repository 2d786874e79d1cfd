"""Whether force constants of a potential help as a prior mean, with and without locality.

For every set of randomly displaced cells whose elements the potential knows, and for
orthorhombic BaCl2, where many force constants meet few symmetries. First-principles forces of
BaCl2 are not at hand: there a second potential plays their part. Both are networks of one
architecture, trained on data of two density functionals, so that what the prior gains there need
not be what it gains against first principles; the error of the prior itself stands beside it.
BaCl2 was chosen because the forces of that potential are smooth enough to have force constants:
in marcasite, for one, a fourth of them is of higher order at 0.03 Å. Even so its third order
stays below the noise of the reference: forces that were held out tell there, and FC2.

References
----------
BaCl2, cotunnite structure: R. W. G. Wyckoff, Crystal Structures (Wiley, 1963).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from gaussian_process_cases import Case, Split, divide, make_case, some_cells
from gaussian_process_learning import Learning
from gaussian_process_measures import HeldOut, Measures, compare, forces_of, held_out_of, rms
from gaussian_process_reference import Reference, reference_of
from pymatgen.core import Lattice, Structure
from report import Figure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.calculators import ForceCalculator, load_calculator
from screening.errors import ScreeningError
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.prior_mean import computed_cells, prior_force_constants
from screening.gaussian_process.settings import Decay, GaussianProcessSettings
from screening.relaxation import relax
from screening.structure import canonical_crystal

__all__ = ["PriorStudy", "low_symmetry_case", "prior_figures", "study_prior"]

PRIOR, TRUTH = "chgnet", "chgnet:r2scan"
PRIOR_CELLS, PRIOR_SEED = 24, 100
COUNTS = (1, 3)
TRUE_CELLS, TRUE_SEED = 80, 200
LOW_SYMMETRY_UNKNOWNS = 700  # that so many cells determine well
FIXED_FACTOR = 1e-6
MEANS = ("none", "as it is", "scaled")
DECAYS = (Decay.POWER, Decay.NONE)


@dataclass(frozen=True, eq=False)
class PriorStudy:
    """What was measured of one crystal.

    Attributes
    ----------
    name
        The crystal, and whose forces are the truth.
    prior
        Errors of the prior itself, no cell seen.
    measures
        One for each fit; the method names prior mean and decay.
    trivial_mev_per_angstrom, noise_mev_per_angstrom
        Root mean square force of the held-out cells, and what the reference leaves of all.
    """

    name: str
    prior: Measures
    measures: tuple[Measures, ...]
    trivial_mev_per_angstrom: float
    noise_mev_per_angstrom: float

    def mean_error(self, method: str, n_cells: int, field: str) -> float | None:
        """Mean over the draws, None where there are none."""
        found = [
            getattr(x, field) for x in self.measures if (x.method, x.n_cells) == (method, n_cells)
        ]
        known = [x for x in found if x is not None]
        return float(np.mean(known)) if known else None


def label(mean: str, decay: Decay) -> str:
    """Name of a variant."""
    return f"mean {mean}, {'locality' if decay is Decay.POWER else 'no locality'}"


def low_symmetry_case() -> Case:
    """BaCl2, relaxed and displaced with the potential that plays first principles."""
    calculator = load_calculator(TRUTH)
    given = Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(7.872, 4.727, 9.419),
        ["Ba", "Cl", "Cl"],
        [[0.2469, 0.25, 0.1146], [0.3579, 0.25, 0.4277], [0.0292, 0.75, 0.1637]],
    )
    primitive = relax(canonical_crystal(given).structure, calculator)[0]
    matrix = np.diag([1, 2, 1])
    supercell = primitive.make_supercell(matrix, in_place=False)
    nothing = np.zeros((0, len(supercell), 3))
    undisplaced = DisplacedCells(
        primitive,
        matrix,
        np.array(supercell.frac_coords),
        np.array(supercell.atomic_numbers, dtype=np.int64),
        nothing,
        nothing,
        np.zeros((len(supercell), 3)),
    )
    moves = random_displacements(len(supercell), TRUE_CELLS, seed=TRUE_SEED)
    cells = computed_cells(undisplaced, calculator, moves)
    settings = GaussianProcessSettings(max_unknowns=LOW_SYMMETRY_UNKNOWNS)
    return make_case(f"forces of {TRUTH}", cells, settings)


def study_prior(
    learned: Sequence[Learning], n_draws: int, seed: int, progress: Callable[[str], None],
    seconds: float,
) -> list[PriorStudy]:  # fmt: skip
    """Study every set that was measured, and BaCl2.

    Parameters
    ----------
    learned
        Sets with their references.
    n_draws, seed
        Draws of the training cells.
    progress
        Told what is being done.
    seconds
        After so much time per crystal no further draw is begun.
    """
    calculator = load_calculator(PRIOR)
    found = []
    for one in learned:
        try:
            found.append(_study(one.case, one.reference, one.split, n_draws, calculator, seconds))
            progress(f"{one.case.name}: done")
        except ScreeningError as error:
            progress(f"{one.case.name}: {error.code}: {error}")
    case = low_symmetry_case()
    reference = reference_of(case, with_conductivity=False)
    split = divide(case.cells.n_cells, n_draws, max(COUNTS), seed)
    found.append(_study(case, reference, split, n_draws, calculator, seconds))
    progress(f"{case.name}: done")
    return found


def _study(
    case: Case,
    reference: Reference,
    split: Split,
    n_draws: int,
    calculator: ForceCalculator,
    seconds: float,
) -> PriorStudy:
    prior = prior_force_constants(
        case.cells, calculator, case.settings, PRIOR_CELLS, seed=PRIOR_SEED, basis=case.basis
    )
    held_out = held_out_of(case, split.held_out)
    guessed = forces_of(prior, case.basis, held_out.displacements_angstrom)
    alone = compare(Measures("prior alone", 0, 0), prior, guessed, held_out, reference)
    end = time.perf_counter() + seconds
    measures = []
    for draw in range(min(n_draws, len(split.draws))):
        if draw and time.perf_counter() > end:
            break
        for count in COUNTS:
            cells = some_cells(case.cells, split.draws[draw][:count])
            for decay in DECAYS:
                for mean in MEANS:
                    name = Measures(label(mean, decay), count, draw)
                    settings = _settings(case, mean, decay)
                    given = None if mean == "none" else prior
                    measures.append(_fit(name, case, cells, settings, given, held_out, reference))
    source = "first principles" if not case.file.startswith("forces of") else TRUTH
    return PriorStudy(
        f"{case.name} ({source})",
        alone,
        tuple(measures),
        1e3 * rms(held_out.forces_ev_per_angstrom),
        1e3 * reference.noise_ev_per_angstrom,
    )


def _settings(case: Case, mean: str, decay: Decay) -> GaussianProcessSettings:
    free = case.settings.mean_scale_std
    return replace(
        case.settings, decay=decay, mean_scale_std=free if mean == "scaled" else FIXED_FACTOR
    )


def _fit(
    name: Measures,
    case: Case,
    cells: DisplacedCells,
    settings: GaussianProcessSettings,
    prior: ForceConstants | None,
    held_out: HeldOut,
    reference: Reference,
) -> Measures:
    start = time.perf_counter()
    fit = fit_force_constants(cells, settings, prior, case.basis)
    found = replace(name, seconds=time.perf_counter() - start)
    predicted = held_out.predicted(fit.posterior.amplitudes())
    return compare(found, fit.force_constants, predicted, held_out, reference)


def prior_figures(studies: Sequence[PriorStudy]) -> list[Figure]:
    """Errors with the scaled prior mean over those without any."""
    figures = []
    for one in studies:
        error = one.prior.rmse_mev_per_angstrom
        figures.append(Figure(f"{one.name}: held-out forces, prior itself", error, "meV/Å"))
        for count in COUNTS:
            for decay in DECAYS:
                number = f"{count} cell" if count == 1 else f"{count} cells"
                kind = "locality" if decay is Decay.POWER else "no locality"
                for field, short in (("rmse_mev_per_angstrom", "forces"), ("fc3_percent", "FC3")):
                    ratio = _ratio(one, decay, count, field)
                    text = f"  {short}, scaled mean / none, {number}, {kind}"
                    figures.append(Figure(text, ratio, ""))
    return figures


def _ratio(study: PriorStudy, decay: Decay, n_cells: int, field: str) -> float | None:
    with_mean, without = (
        study.mean_error(label(mean, decay), n_cells, field) for mean in ("scaled", "none")
    )
    return with_mean / without if with_mean and without else None
