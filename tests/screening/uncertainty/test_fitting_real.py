"""Coverage on the phonons of 48 real binaries, with cheap frequencies made from the stored ones."""

import gzip
import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from calibrated_crystals import GRID_K, calibrate
from pymatgen.core import Structure

from screening.acoustic import gamma_mask
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.uncertainty.conformal import coverage_band
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.samples import Sample

PHONONDB = Path(__file__).parents[4] / "shared" / "data" / "phonondb_pbe.json.gz"
SINGLE = (
    Quantity(Property.FREE_ENERGY, 300.0),
    Quantity(Property.ENTROPY, 300.0),
    Quantity(Property.HEAT_CAPACITY, 300.0),
    Quantity(Property.LOWEST_FREQUENCY),
)
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
SPLITS, CALIBRATED = 20, 15  # of 30 compositions


def sample(record, structure, factor, temperatures_k):
    """Sample whose frequencies are the stored ones times a factor."""
    frequencies = np.array(record["frequencies_THz"]) * factor
    q_points = np.array(record["qpoints"])
    return Sample(
        material_id=f"{record['formula']}-{record['space_group']}",
        composition=structure.composition.reduced_formula,
        structure=structure,
        thermodynamics=thermodynamics(
            frequencies,
            np.array(record["weights"]),
            frequencies.shape[1] // 3,
            ThermodynamicsSettings(temperatures_k=temperatures_k),
            is_gamma=gamma_mask(q_points),
        ),
        spread=None,
        lowest_frequency_thz=float(frequencies[~gamma_mask(q_points)].min()),
        verdict=Verdict.STABLE,
    )


@pytest.fixture(scope="module")
def real_pairs():
    """A potential that is a quarter too soft, and errs with composition and structure."""
    if not PHONONDB.exists():
        pytest.skip(f"no reference data at {PHONONDB}")
    with gzip.open(PHONONDB, "rt") as stream:
        records = json.load(stream)
    rng = np.random.default_rng(0)
    shifts: dict[str, float] = {}
    found = []
    for record in records:
        structure = Structure.from_dict(record["structure"]).get_primitive_structure()
        shift = shifts.setdefault(structure.composition.reduced_formula, 0.05 * rng.normal())
        factor = 0.75 * math.exp(shift + 0.03 * rng.normal())
        found.append(
            (
                sample(record, structure, factor, GRID_K[:41]),
                sample(record, structure, 1.0, (300.0,)),
            )
        )
    return found


@pytest.fixture(scope="module")
def splits(real_pairs):
    """Calibrations, each with the pairs whose compositions it has not seen."""
    rng = np.random.default_rng(1)
    names = np.array(sorted({cheap.composition for cheap, _ in real_pairs}))
    found = []
    for _ in range(SPLITS):
        chosen = set(rng.permutation(names)[:CALIBRATED])
        fitted = calibrate(
            [pair for pair in real_pairs if pair[0].composition in chosen], *SINGLE, DIFFERENCE
        )
        found.append((fitted, [pair for pair in real_pairs if pair[0].composition not in chosen]))
    return found


def band(n_groups, n_tested):
    """Three standard errors of the mean over the splits, as coverage is beta-binomial."""
    low, high = coverage_band(n_groups, 0.1, n_tested=n_tested)
    return 3.0 * (high - low) / (2.0 * 1.96) / math.sqrt(SPLITS)


@pytest.mark.parametrize("quantity", SINGLE)
def test_intervals_cover_new_compositions(real_pairs, splits, quantity):
    covered, widths = [], []
    for fitted, new in splits:
        by_composition: dict[str, list[bool]] = {}
        for cheap, better in new:
            interval = fitted.interval(cheap, quantity, 0.1)
            if interval.is_finite:
                inside = interval.lower <= raw_value(better, quantity) <= interval.upper
                by_composition.setdefault(cheap.composition, []).append(inside)
                widths.append(interval.half_width)
        covered.append(np.mean([np.mean(hits) for hits in by_composition.values()]))
    n_compositions = len({cheap.composition for cheap, _ in real_pairs})
    allowed = band(CALIBRATED, n_compositions - CALIBRATED)
    assert 0.9 - allowed <= np.mean(covered) <= 15 / 16 + allowed
    raw = [abs(raw_value(a, quantity) - raw_value(b, quantity)) for a, b in real_pairs]
    assert len(widths) > 0.7 * sum(len(new) for _, new in splits)
    if quantity.kind is not Property.LOWEST_FREQUENCY:
        assert np.median(widths) < np.quantile(raw, 0.9)  # what the correction is for


def test_differences_of_polymorphs_are_covered(splits):
    hits, n_finite, n_all = [], 0, 0
    for fitted, new in splits:
        for (one, true_one), (two, true_two) in combinations(new, 2):
            if one.composition != two.composition:
                continue
            n_all += 1
            interval = fitted.difference(one, two, DIFFERENCE, 0.1)
            truth = estimate_difference(true_one, true_two, DIFFERENCE, 0.0, 1.0).value
            n_finite += interval.is_finite
            hits.append(interval.lower <= truth <= interval.upper)
    assert n_finite > 0.2 * n_all
    assert np.mean(hits) >= 0.85
