"""Whether the router knows when the potential is not enough, in a closed loop.

The potential predicts every crystal of PhononDB as a screen does; DFT returns the stored
reference. Compositions are divided at random, some calibrate and the others are routed, twenty
times. Reported are

* the coverage of nominal 90 % intervals of finite width, each composition weighing the same,
  beside the beta-binomial band of single splits; the mean of the splits must lie between 85 and
  95 %. With fewer than 19 compositions of several polymorphs the interval of a difference is
  made of the largest score, so its coverage cannot be brought down to 90 %;
* how often accepted answers are wrong at a stated risk (see ``routing_risk.py`` for what is
  promised and what is not);
* what fraction of answers is wrong or undecided against what fraction of the crystals is sent to
  DFT, beside never, always, and a fixed threshold on the spread of a committee of two
  potentials, as it comes and with our bias correction. Never and always ask the potential alone.
  The threshold is chosen in hindsight, the risk beforehand;
* pairs of polymorphs that cannot be ordered, and crystals that are known to be unstable
  (``unstable.py``);
* the same loop through the real database, and the time that everything but the predictions
  takes.

Nothing depends on the names of the crystals: another folder has other numbers and must meet the
same requirements.

    python benchmarks/routing.py [--data FOLDER] [--json FILE] [--plots FOLDER]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from references import read_records
from report import Figure, parser, publish
from routing_coverage import coverage_figures, many_splits_figure
from routing_crystals import Crystals, worst_deviation
from routing_curves import Curve
from routing_database import loop_figures, overhead_figures
from routing_order import answer_orders
from routing_property import answer_properties
from routing_splits import LEAST_CALIBRATED, Split, make_splits
from routing_stability import answer_stability
from routing_unstable import compute_unstable

from screening.calculators import load_calculator

N_SPLITS = 20
SEED = 0
STORED_TOLERANCE = 1e-4
"""Between stored and recomputed thermal values, meV/atom and J/mol/K/atom."""


def crystal_figures(crystals: Crystals, splits: list[Split]) -> list[Figure]:
    """Say what was computed, and how it was divided."""
    compositions = {case.composition for case in crystals.cases}
    calibrated = min((len({x.composition for x in s.known}) for s in splits), default=0)
    invalid = sum(not case.cheap.thermodynamics.valid for case in crystals.cases)
    return [
        Figure("crystals", len(crystals.cases), "", ">= 1"),
        Figure("  failures", len(crystals.failures), ""),
        *(Figure(f"  FAILED {text}", 1, "") for text in crystals.failures),
        Figure(
            "  stored thermal values, largest difference",
            worst_deviation(crystals.cases),
            "",
            f"<= {STORED_TOLERANCE}",
        ),
        Figure("  thermodynamics of the potential not valid", invalid, ""),
        Figure("compositions", len(compositions), ""),
        Figure("  that calibrate in every split", calibrated, "", f">= {LEAST_CALIBRATED}"),
    ]


def evaluate(
    options: argparse.Namespace, crystals: Crystals
) -> tuple[list[Split], list[Figure], list[Curve], str]:
    """Run the loop without a database: splits, figures, curves, and why something is missed."""
    unstable, failures = compute_unstable(crystals.predictor, crystals.committee_predictor)
    splits = make_splits(crystals.cases, unstable, N_SPLITS, options.seed)
    print(f"{len(splits)} splits, seed {options.seed}", flush=True)
    figures = [*crystal_figures(crystals, splits), *coverage_figures(splits)]
    figures.append(many_splits_figure(crystals.cases, options.seed + 1))
    print("coverage done", flush=True)
    properties = answer_properties(splits)
    print("free energies done", flush=True)
    orders = answer_orders(splits)
    stability, stability_curves = answer_stability(splits, unstable, failures)
    print("order and stability done", flush=True)
    figures += [*properties.figures, *orders.figures, *stability]
    return splits, figures, [*properties.curves, *orders.curves, *stability_curves], properties.why


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    started = time.monotonic()
    crystals = Crystals(load_calculator(options.calculator), load_calculator(options.committee))
    crystals.take(read_records(options.data)[: options.limit])
    splits, figures, curves, why = evaluate(options, crystals)
    if splits[0].tested:
        figures += [*loop_figures(splits[0]), *overhead_figures(crystals.cases, splits[0])]
    if options.plots is not None:
        from routing_plots import draw_curves

        for path in draw_curves(curves, options.plots):
            print(f"wrote {path}", flush=True)
    figures.append(Figure("wall time of everything", time.monotonic() - started, "s"))
    title = f"Routing, {crystals.calculator.name} against the stored reference, seed {options.seed}"
    details = {"curves": [one.as_dict() for one in curves], "why": why}
    code = publish(title, figures, options.json, details)
    print(f"\n{why}")
    return code


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Closed loop of predictions, decisions and stored DFT")
    result.add_argument("--calculator", default="chgnet", help="as `phonoscreen --calculator`")
    result.add_argument("--committee", default="chgnet,chgnet:r2scan", help="for a native spread")
    result.add_argument("--plots", type=Path, default=None, help="draw the curves in this folder")
    result.add_argument("--seed", type=int, default=SEED, help="of the random splits")
    result.add_argument("--limit", type=int, default=None, help="first N crystals only")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
