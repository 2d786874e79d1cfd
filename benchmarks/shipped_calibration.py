"""The calibration that the package ships: how it was made, and what it is worth.

A potential and GPAW (PBE) relax the crystals of ``calibration_crystals.py`` and predict their
phonons, into a database that is resumed where it exists; the potential also predicts the crystals
of ``unstable.py``, whose dynamical instability is known from the literature. None of the
compositions is one of the public reference sets that accuracy is measured on, and none is one that
the potential learned, or its frequency scale. With ``--out`` the calibration is written where the
package finds it.

GPAW takes one to ten minutes a crystal on one core.

    python benchmarks/shipped_calibration.py --potential chgnet --out screening/uncertainty/shipped
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from calibration_crystals import CRYSTALS_OF
from networks_models import compositions_used_by, load_potential
from pymatgen.core import Structure
from report import Figure, parser, publish
from unstable import UNSTABLE

from flows.calibrating import assessed_by_default, export_calibrations
from flows.catalogue import crystal_of
from flows.imports import import_structures
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.predictors import cached_predictor
from flows.run import screen
from screening.predictors.interface import prediction_key
from screening.settings import ScreeningSettings
from screening.uncertainty.assessment import QuantityAssessment, assess_calibration
from screening.uncertainty.fitting import Pair, fit_calibration
from screening.uncertainty.risk import LowestFrequencies
from stores.builders.calibrations import calibration_pairs
from stores.connect import Database, open_database
from stores.query import by_field

REFERENCE = "gpaw(ecut_ev=350, relaxation_ecut_ev=600, kpoint_spacing_per_angstrom=0.4)"
REFERENCE_SUPERCELL = {"min_length_angstrom": 7.0, "min_atoms": 16, "max_atoms": 40}
ALPHA = 0.1


def main() -> int:
    """Run what is missing, fit, and publish held-out scores."""
    options = arguments()
    uri = options.db
    settings = ScreeningSettings.from_dict({"phonons": {"supercell": REFERENCE_SUPERCELL}})
    crew = Crew(workers=options.workers)
    potential = load_potential(options.potential)
    name = potential.calculator.name
    learned = compositions_used_by(potential.model) or frozenset()
    offered = CRYSTALS_OF[options.potential]
    chosen = not_learned(offered, learned)
    n_learned = len(offered) - len(chosen)
    calibrated = import_all(uri, dict(list(chosen.items())[: options.limit]))
    unstable = import_all(uri, not_learned({one.name: one.structure for one in UNSTABLE}, learned))
    maker = ScreenBatchMaker(calculator=options.potential)
    screen(uri, (*calibrated, *unstable), maker, crew=crew)
    if not options.potential_only:
        reference = ScreenBatchMaker(calculator=REFERENCE, settings=settings.as_dict())
        screen(uri, calibrated, reference, crew=crew)
    with open_database(uri) as database:
        known = lowest_frequencies(database, options.potential, unstable)
        cheap, reference, pairs = merged_pairs(database, name)
    calibration = fit_calibration(
        pairs, cheap_family=cheap, reference_family=reference, known_verdicts=known
    )
    if options.out is not None:
        print(*export_calibrations([calibration], options.out))
    found = assess_calibration(pairs, assessed_by_default(), ALPHA)
    figures = [
        Figure("crystals that both methods predicted", len(pairs), ""),
        Figure("left out: the potential learned their composition", n_learned, ""),
        Figure("compositions calibrated", calibration.n_compositions, "", ">= 9"),
        Figure("crystals known to be unstable", len(known.unstable_thz), "", ">= 9"),
        *(Figure(f"pairs left out: {why}", n, "") for why, n in calibration.skipped.items()),
        *(figure for one in found for figure in assessment_figures(one)),
    ]
    return publish(f"{cheap} against {reference}", figures, options.json)


def not_learned(crystals: Mapping[str, Structure], learned: frozenset[str]) -> dict[str, Structure]:
    """Leave out crystals whose composition a potential learned, in whatever structure."""
    return {
        name: crystal
        for name, crystal in crystals.items()
        if crystal.reduced_formula not in learned
    }


def merged_pairs(database: Database, name: str) -> tuple[str, str, list[Pair]]:
    """Pairs of a potential with one code and functional, and the name of both families.

    Where releases or settings of the code differ between crystals, the reference is named
    without a digest.
    """
    found = {
        families: pairs
        for families, pairs in calibration_pairs(database).items()
        if f"/{name}@" in families[0]
    }
    (cheap,) = {families[0] for families in found}
    (code,) = {families[1].partition("@")[0] for families in found}
    reference = next(iter(found))[1] if len(found) == 1 else code
    by_material = {pair[0].material_id: pair for pairs in found.values() for pair in pairs}
    return cheap, reference, list(by_material.values())


def import_all(uri: str, structures: Mapping[str, Structure]) -> tuple[str, ...]:
    """Import structures by way of files, as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        for name, structure in structures.items():
            structure.to(filename=str(Path(folder) / f"{name.replace(' ', '-')}.cif"))
        return import_structures(uri, [Path(folder)]).material_ids


def lowest_frequencies(
    database: Database, potential: str, material_ids: Sequence[str]
) -> LowestFrequencies:
    """Lowest frequencies of the potential for crystals known to be unstable; failed ones miss."""
    predictor = cached_predictor(potential, {})
    values, names = [], []
    for material_id in material_ids:
        crystal = crystal_of(database, material_id)
        key = prediction_key(
            crystal.digest,
            predictor.method,
            predictor.method_version,
            predictor.model_digest,
            predictor.settings_digest,
        )
        row = database.predictions.query_one(by_field("prediction_id", key), ["stability"])
        if row is not None:
            values.append(float(row["stability"]["lowest_frequency_thz"]))
            names.append(crystal.formula)
    return LowestFrequencies(unstable_thz=tuple(values), unstable_compositions=tuple(names))


def assessment_figures(one: QuantityAssessment) -> list[Figure]:
    """Held-out scores of one quantity."""
    name = one.quantity.name
    band = f">= {one.coverage_low:.3f}"
    return [
        Figure(f"{name}: MAE as it comes", one.mae_raw, one.quantity.unit),
        Figure("  MAE corrected", one.mae_corrected, one.quantity.unit),
        Figure("  skill, 1 - MAE/MAD", one.skill, ""),
        Figure("  coverage of nominal 90 % on compositions held out", one.coverage, "", band),
        Figure("  median half width", one.median_half_width, one.quantity.unit),
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    result = parser("How the shipped calibration was made, and what it is worth")
    result.add_argument("--potential", choices=list(CRYSTALS_OF), default="phonoscreen")
    result.add_argument("--db", default="sqlite:///calibration.db", help="resumed where it exists")
    result.add_argument("--out", type=Path, help="folder: write the calibration as JSON")
    result.add_argument("--workers", type=int, default=None, help="as `phonoscreen --workers`")
    result.add_argument("--limit", type=int, default=None, help="first N crystals only")
    result.add_argument(
        "--potential-only", action="store_true", help="use the reference predictions that are there"
    )
    return result.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
