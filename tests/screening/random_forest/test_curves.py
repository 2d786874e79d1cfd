import numpy as np
from random_springs import mesh_crystals

from screening.random_forest.curves import PROPERTIES, curves_of, mesh_references, references_of
from screening.random_forest.spectrum import Spectrum

GRID = (0.0, 300.0, 1000.0)


def spectrum(copies=1, n_clipped=1):
    modes = np.concatenate([np.zeros(3), np.linspace(2.0, 9.0, 9)])
    modes = np.sort(np.tile(modes, copies))
    members = np.stack([0.98 * modes, 1.02 * modes])
    return Spectrum(modes, members, -1.0, np.array([-1.5, -0.5]), n_clipped, 0.25, 3.0)


def test_curves_are_the_thermodynamics_of_the_modes():
    found = curves_of(spectrum(), GRID)
    truth = references_of(spectrum().frequencies_thz, GRID)
    for name in PROPERTIES:
        np.testing.assert_array_equal(found.values[name], truth[name])
        assert np.all(found.deviations[name][1:] > 0.0)
    assert truth["entropy"][2] > truth["entropy"][1] > truth["entropy"][0] == 0.0


def test_difficulty_is_a_share_of_modes_and_of_the_hessian():
    assert curves_of(spectrum(), GRID).difficulty == 1.0 + 1.0 / 12.0 + 0.25
    assert curves_of(spectrum(4, 4), GRID).difficulty == curves_of(spectrum(), GRID).difficulty


def test_known_curves_are_read_at_their_own_temperatures_alone():
    known = mesh_crystals(1)[0].thermodynamics
    found = mesh_references(known, GRID)
    assert found["free_energy"][0] == known.free_energy_mev_per_atom[0]
    at = known.temperatures_k.tolist().index(1000.0)
    assert found["entropy"][2] == known.entropy_mev_per_k_per_atom[at]
    assert mesh_references(known, (301.0,)) is None
    assert mesh_references(known, (9000.0,)) is None
    assert mesh_references(None, GRID) is None
