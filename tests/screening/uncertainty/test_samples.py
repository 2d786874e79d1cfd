"""A sample is what a prediction says."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.calculators.specification import load_calculator
from screening.phonons import PhononSettings
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings
from screening.uncertainty.samples import sample_of

QUICK = ScreeningSettings(
    relaxation=None,
    phonons=PhononSettings(
        supercell=SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64),
        mesh_length_angstrom=20.0,
    ),
)


@pytest.fixture(scope="module")
def prediction():
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]])
    predictor = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), QUICK)
    return predictor.predict(canonical_crystal(cell))


def test_a_sample_holds_what_was_predicted(prediction):
    sample = sample_of(prediction, "Cu-1")
    assert (sample.material_id, sample.composition) == ("Cu-1", "Cu")
    assert sample.thermodynamics is prediction.thermodynamics
    assert sample.verdict is prediction.stability.verdict
    assert sample.lowest_frequency_thz == prediction.stability.lowest_frequency_thz
    assert sample.static_energy_ev_per_atom == prediction.static_energy_ev_per_atom
    assert sample.static_energy_source == prediction.static_energy_source
    assert sample.spread is None


def test_features_are_computed_once(prediction):
    sample = sample_of(prediction, "Cu-1")
    assert sample.domain_features is sample.domain_features
    assert sample.chemistry == "metal"
    assert np.array_equal(sample.domain_features[:4], sample.correction_features)
