"""What the two descriptor models are worth: force constants by forests and ridges, linear entropy.

* Force constants: ten folds grouped by structure on the stored polymorphs of KZnF3 (CHGNet), the
  table of the paper for every variant, beside the paper's numbers and trivial baselines.
* Default: how the default variant behaves under rotations; coverage of its intervals; time of a
  prediction.
* Entropy: stored minima of Lennard-Jones clusters, vacancies, interstitials and damage in
  Lennard-Jones and iron crystals, cells and damage that the training has not seen.
* Scale: descriptors and entropy from a thousand to a million atoms, beside the diagonalisation
  and the finite differences that they replace.
* Database: crystals that a model has never seen, streamed from a database and back; how well
  two spectral moments give the thermodynamics of the crystals of ``DATA``.

    python benchmarks/descriptor_models.py [--data FOLDER] [--json FILE] [--plots FOLDER]
    python benchmarks/descriptor_models.py --only force-constants --quick
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from report import Figure, parser, publish

PARTS = ("force-constants", "default", "entropy", "scale", "database")

Part = Callable[[argparse.Namespace], tuple[list[Figure], dict[str, Any]]]


def progress(text: str) -> None:
    """Say what was done."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


def _force_constants(options: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    from descriptor_models_force_constants import force_constant_figures

    return force_constant_figures(options.seed, progress, quick=options.quick)


def _default(options: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    from descriptor_models_force_constants import default_figures

    return default_figures(options.seed, progress, quick=options.quick)


def _entropy(options: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    from descriptor_models_entropy import entropy_figures

    return entropy_figures(options.data, options.quick, progress)


def _scale(options: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    from descriptor_models_scale import scale_figures

    return scale_figures(options.data, options.quick, progress)


def _database(options: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    from descriptor_models_database import database_figures

    return database_figures(options.data, progress, quick=options.quick)


MEASURE: dict[str, Part] = dict(
    zip(PARTS, (_force_constants, _default, _entropy, _scale, _database), strict=True)
)


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    started = time.monotonic()
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for part in PARTS if options.only is None else (options.only,):
        print(f"\n{part}", flush=True)
        found, behind = MEASURE[part](options)
        figures += found
        details[part] = behind
    figures.append(Figure("wall time of everything", time.monotonic() - started, "s"))
    code = publish(f"Descriptor models, seed {options.seed}", figures, options.json, details)
    if options.plots is not None:
        from descriptor_models_plots import draw

        for path in draw(details, options.plots):
            print(f"wrote {path}", flush=True)
    return code


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Random-forest force constants and linear-descriptor entropy")
    result.add_argument("--plots", type=Path, default=None, help="draw the curves in this folder")
    result.add_argument("--seed", type=int, default=0, help="of folds and forests")
    result.add_argument("--quick", action="store_true", help="fewer structures and sizes")
    result.add_argument("--only", choices=PARTS, default=None, help="one part of it")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
