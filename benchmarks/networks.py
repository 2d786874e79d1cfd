"""What the two network models are worth: a MACE potential for phonons, ALIGNN densities of states.

* Potential: phonons of the crystals of PhononDB in their DFT cells against DFT, beside CHGNet and
  any other potential, with and without the frequency scale of the model; known instabilities; heat
  capacities of binaries that were not trained on; a check that no evaluated composition was.
* Speed: processor time of forces on the same displaced supercells, in turn with CHGNet.
* Training: a small network from six cells of NaCl and six of MgO, and how well a committee and the
  last layer know its errors.
* Density: densities of states learned from the crystals of PhononDB, on unseen compositions beside
  all baselines, coverage of intervals, crystals per second.
* Ensemble: the ensemble of densities of states that is installed, on compositions that it never saw
  and against DFT.

Every error stands beside what a guess without a model reaches, failures are named and counted.
Other crystals may lie in the same files of another folder: a record that is no use is left out, and
a part that cannot be measured on them is missed and leaves the others alone.

    python benchmarks/networks.py [--data FOLDER] [--json FILE] [--plot FOLDER]
    python benchmarks/networks.py --only speed --quick --potential mace:small.psm
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.append(sys.path.pop(0))  # behind the packages, one of which has a module's name here

from networks_models import PotentialPhonons
from report import Figure, parser, publish

from screening.errors import ScreeningError

PARTS = ("potential", "stability", "heat-capacity", "speed", "training", "density", "ensemble")
QUICK_CRYSTALS = 6
HEAT_CAPACITIES = {False: 60, True: 4}
REPEATS = {False: 3, True: 2}

Found = tuple[list[Figure], dict[str, Any]]


class Measurements:
    """The parts, which share the phonons of the potentials.

    Parameters
    ----------
    options
        Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    @cached_property
    def phonons(self) -> PotentialPhonons:
        """Phonons by every potential, computed where a part asks for them."""
        own = self._options
        limit = QUICK_CRYSTALS if own.quick else own.crystals
        return PotentialPhonons(own.data, (own.potential, *own.also), limit)

    def potential(self) -> Found:
        """Phonons against DFT."""
        from networks_potential import potential_figures

        return potential_figures(self.phonons)

    def stability(self) -> Found:
        """Known instabilities."""
        from networks_stability import stability_figures
        from unstable import UNSTABLE

        crystals = UNSTABLE[:2] if self._options.quick else UNSTABLE
        figures: list[Figure] = []
        details: dict[str, Any] = {}
        for one in self.phonons.potentials:
            found, behind = stability_figures(one, self.phonons.run(one), crystals)
            figures += found
            details[one.name] = behind
        return figures, details

    def heat_capacity(self) -> Found:
        """Heat capacities of other binaries."""
        from networks_heat_capacity import heat_capacity_figures

        own = self._options
        count = HEAT_CAPACITIES[own.quick]
        return heat_capacity_figures(self.phonons.potentials, own.data, count, own.seed)

    def speed(self) -> Found:
        """Time of forces."""
        from networks_speed import speed_figures
        from references import read_records, usable_references

        own = self._options
        limit = QUICK_CRYSTALS if own.quick else own.crystals
        records = read_records(own.data)
        chosen = records[:: 1 if limit is None else max(1, len(records) // limit)][:limit]
        references, failures = usable_references(chosen)
        potentials = self.phonons.potentials
        return speed_figures(potentials, references, REPEATS[own.quick], failures)

    def training(self) -> Found:
        """Two salts from twelve cells."""
        from networks_training import training_figures

        return training_figures(self._options.data, self._options.seed, quick=self._options.quick)

    def density(self) -> Found:
        """Densities of states."""
        from networks_density import density_figures

        own = self._options
        return density_figures(own.data, own.seed, own.seeds, quick=own.quick)

    def ensemble(self) -> Found:
        """Densities of states by a stored ensemble."""
        from networks_ensemble import ensemble_figures

        return ensemble_figures(self._options.density_model, self.phonons)


def measure(name: str, part: Callable[[], Found]) -> Found:
    """Run one part; whatever stops it is named, and counts as missed."""
    print(f"\n{name}", flush=True)
    try:
        figures, details = part()
        return figures, _as_written(details)
    except Exception as error:  # noqa: BLE001 - of any library: no part may hide the others
        if not isinstance(error, (ScreeningError, OSError)):
            traceback.print_exc()  # nobody foresaw it
        text = f"FAILED {name}: {type(error).__name__}: {error}"
        print(f"  {text}", flush=True)
        return [Figure(text, 1, "", "<= 0")], {}


def _as_written(details: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold, else no part could be written; not finite numbers are none."""
    found: dict[str, Any] = json.loads(json.dumps(details), parse_constant=lambda _: None)
    return found


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    started = time.monotonic()
    measurements = Measurements(options)
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for name in options.only or PARTS:
        found, details[name] = measure(name, getattr(measurements, name.replace("-", "_")))
        figures += found
    figures.append(Figure("wall time of everything", time.monotonic() - started, "s"))
    title = f"Network models, {options.potential}, seed {options.seed}"
    code = publish(title, figures, options.json, details)
    if options.plot is not None:
        from networks_plots import draw

        for path in draw(details, options.plot):
            print(f"wrote {path}", flush=True)
    return code


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("MACE potential and ALIGNN densities of states")
    result.add_argument("--potential", default="mace:phonoscreen-small", help="what is judged")
    result.add_argument("--also", nargs="*", default=["chgnet"], help="what it is compared with")
    result.add_argument(
        "--density-model",
        type=Path,
        default=None,
        help="an ensemble in the place of the installed one",
    )
    result.add_argument("--crystals", type=int, default=None, help="as many of PhononDB")
    result.add_argument("--plot", type=Path, default=None, help="draw in this folder")
    result.add_argument("--seed", type=int, default=0, help="of splits, draws and networks")
    result.add_argument("--seeds", type=int, default=3, help="how many splits of densities")
    result.add_argument("--quick", action="store_true", help="few crystals, cells and seeds")
    result.add_argument("--only", choices=PARTS, nargs="+", default=None, help="these parts")
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
