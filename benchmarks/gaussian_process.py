"""What force constants from a few displaced cells are worth, on every set in a folder.

Every phono3py set in ``DATA/third_order`` is read. Of sets with all atoms displaced at random

* the reference is least squares on all cells, in the same basis (our own fit of all, where they
  give fewer than four equations for each unknown). It contains the cells of every draw, so that
  the primary measure is another: forces on cells that no draw contains, beside the
  noise of the reference, no force at all, and the best harmonic force constants;
* one to five cells are drawn at random, at least five times; the worst draw is what counts;
* frequencies, free energy and conductivity (relaxation times, 300 K, no isotopes) are compared
  with those of the reference, and intervals with how often they hold it. The fraction of mesh
  frequencies within two standard deviations is the mean over all draws and numbers of cells;
* the same cells are given to least squares (where they determine it), the squared exponential
  averaged over the space group, the published one without symmetry, and our own fit without
  locality or with an exponential one.

Of systematic sets, finite differences of all cells are compared with a fit of all and of some of
them, and where it is known with the documented conductivity. Beside that: what a fit costs up
to 216 atoms, and whether a potential's force constants help as a prior mean.

Requirements hang on formula, atoms and number of cells alone. Sets without any may be cut short
after some minutes; the numbers of draws say so. A file that cannot be used is named.

    python benchmarks/gaussian_process.py [--data FOLDER] [--json FILE] [--plots FOLDER]
    python benchmarks/gaussian_process.py --quick --only NaCl        # a quick look
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gaussian_process_cases import Case, Refusal, iter_cases
from gaussian_process_cost import Cost, cost_figures, measure_costs
from gaussian_process_figures import (
    LEAST_DRAWS,
    REQUIRED,
    learning_figures,
    learning_table,
    prior_table,
    systematic_table,
)
from gaussian_process_learning import Learning, Plan, learn
from gaussian_process_prior import PriorStudy, prior_figures, study_prior
from gaussian_process_systematic import Systematic, measure_systematic, systematic_figures
from report import Figure, parser, publish

PARTS = ("cost", "prior")
LARGEST_ATOMS, QUICK_LARGEST_ATOMS = 216, 64
SYSTEMATIC_DRAWS, PRIOR_DRAWS = 3, 3
PRIOR_SECONDS = 60.0
QUICK = Plan(
    counts=(1, 2, 3), n_draws=2, peer_counts=(1,), n_peer_draws=1, least_squares_counts=(8,)
)


@dataclass
class Results:
    """All that was measured."""

    learned: list[Learning] = field(default_factory=list)
    systematic: list[Systematic] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    priors: list[PriorStudy] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON of every fit."""
        return {
            "learning": {
                f"{one.case.name} {one.case.file}": [x.as_dict() for x in one.measures]
                for one in self.learned
            },
            "systematic": {
                f"{one.case.name} {one.case.file}": [
                    x.as_dict() for x in (*one.measures, one.whole)
                ]
                for one in self.systematic
            },
            "prior": {
                one.name: [x.as_dict() for x in (one.prior, *one.measures)] for one in self.priors
            },
            "cost": [one.as_dict() for one in self.costs],
            "refused": {one.file: one.reason for one in self.refused},
        }


def measure_sets(options: argparse.Namespace, plan: Plan, results: Results) -> None:
    """Measure every set of the folder that was asked for."""
    for found in iter_cases(options.data, options.only):
        if isinstance(found, Refusal):
            print(f"\n{found.file}: refused: {found.reason}", flush=True)
            results.refused.append(found)
            continue
        print(f"\n{found.file}: {found.name} atoms, {found.cells.n_cells} cells", flush=True)
        try:
            _measure(found, plan, results)
        except Exception as error:  # noqa: BLE001 - of any library: no set may stop the others
            refusal = Refusal.of(found.file, error)
            print(f"  failed: {refusal.reason}", flush=True)
            results.refused.append(refusal)


def _measure(case: Case, plan: Plan, results: Results) -> None:
    if case.systematic:
        draws = min(SYSTEMATIC_DRAWS, plan.n_draws)
        one = measure_systematic(case, draws, plan.seed, progress)
        results.systematic.append(one)
        print(systematic_table(one), flush=True)
        return
    learned = learn(case, plan, progress, complete=case.key in REQUIRED)
    results.learned.append(learned)
    print(learning_table(learned), flush=True)


def progress(text: str) -> None:
    """Say what was done."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


def all_figures(results: Results, *, quick: bool, sets_asked: bool) -> list[Figure]:
    """Collect the figures of everything that was measured."""
    used = len(results.learned) + len(results.systematic)
    figures = [
        Figure("sets of displaced cells used", used, "", ">= 1" if sets_asked else None),
        Figure("  files that cannot be used", len(results.refused), ""),
        *(Figure(f"  REFUSED {x.file}: {x.code}", 1, "") for x in results.refused),
    ]
    n_draws = QUICK.n_draws if quick else LEAST_DRAWS
    for learned in results.learned:
        figures += learning_figures(learned, n_required_draws=n_draws)
    for systematic in results.systematic:
        figures += systematic_figures(systematic)
    figures += cost_figures(results.costs)
    figures += prior_figures(results.priors)
    return figures


def draw(results: Results, folder: Path) -> None:
    """Draw the curves."""
    from gaussian_process_plots import draw_costs, draw_learning

    paths = [draw_learning(one, folder) for one in results.learned]
    if results.costs:
        paths.append(draw_costs(results.costs, folder))
    for path in paths:
        print(f"wrote {path}", flush=True)


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    started = time.monotonic()
    plan = replace(QUICK if options.quick else Plan(), seed=options.seed)
    results = Results()
    sets_asked = options.only not in PARTS
    if sets_asked:
        measure_sets(options, plan, results)
    elif options.only == "prior":
        measure_sets(argparse.Namespace(data=options.data, only=None), QUICK, results)
    if options.only in {None, "cost"}:
        print("\ncost of a fit", flush=True)
        results.costs = measure_costs(QUICK_LARGEST_ATOMS if options.quick else LARGEST_ATOMS)
    if options.only in {None, "prior"}:
        print("\nprior mean", flush=True)
        draws = 1 if options.quick else PRIOR_DRAWS
        results.priors = study_prior(results.learned, draws, plan.seed, progress, PRIOR_SECONDS)
        print(prior_table(results.priors), flush=True)
    if options.plots is not None:
        draw(results, options.plots)
    figures = all_figures(results, quick=options.quick, sets_asked=sets_asked)
    figures.append(Figure("wall time of everything", time.monotonic() - started, "s"))
    title = f"Gaussian process of force constants, seed {options.seed}"
    return publish(title, figures, options.json, results.as_dict())


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Force constants from a few displaced cells, on real forces")
    result.add_argument("--plots", type=Path, default=None, help="draw the curves in this folder")
    result.add_argument("--seed", type=int, default=0, help="of the draws")
    result.add_argument("--quick", action="store_true", help="fewer draws and cells")
    result.add_argument(
        "--only", default=None, help="a formula, part of a file name, or one of cost and prior"
    )
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
