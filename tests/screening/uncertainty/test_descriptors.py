"""Descriptors depend on the crystal, not on how its cell is written down."""

import numpy as np
import pytest
from calibrated_crystals import curves, modes
from pymatgen.core import Composition, Element, Lattice, Structure

from screening.uncertainty.descriptors import (
    CORRECTION_FEATURES,
    DOMAIN_FEATURES,
    chemistry_class,
    correction_features,
    domain_features,
    mean_frequency_thz,
)

CURVES = curves(modes(10.0))
COORDINATION = DOMAIN_FEATURES.index("coordination")


def bonds(structure):
    """Undo the scaling of the feature: its centre is 5 bonds and its scale 3."""
    return 5.0 + 3.0 * domain_features(structure, CURVES)[COORDINATION]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rocksalt", 6), ("zincblende", 4), ("fcc", 12), ("bcc", 14), ("wurtzite", 4), ("rutile", 4)],
)
def test_coordination_numbers(crystals, name, expected):
    assert bonds(crystals[name]) == pytest.approx(expected)


def test_atoms_far_apart_have_neighbours_too():
    assert bonds(Structure(Lattice.cubic(9.0), ["Xe"], [[0, 0, 0]])) == pytest.approx(6.0)


def test_a_supercell_is_the_same_crystal(crystal):
    small, large = crystal, crystal * (2, 1, 1)
    assert domain_features(large, CURVES) == pytest.approx(domain_features(small, CURVES))


def test_the_order_of_the_atoms_does_not_matter(crystal):
    rng = np.random.default_rng(0)
    shuffled = Structure.from_sites([crystal[int(i)] for i in rng.permutation(len(crystal))])
    assert domain_features(shuffled, CURVES) == pytest.approx(domain_features(crystal, CURVES))


def test_a_rotated_and_shifted_cell_is_the_same_crystal(crystal):
    rng = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = Structure(
        Lattice(crystal.lattice.matrix @ rotation),
        crystal.species,
        crystal.frac_coords + rng.uniform(size=3),
    )
    assert domain_features(moved, CURVES) == pytest.approx(domain_features(crystal, CURVES))


def test_the_domain_is_judged_by_more_than_the_bias_is_learned_from(crystals):
    found = correction_features(crystals["zincblende"], CURVES)
    assert DOMAIN_FEATURES[: len(CORRECTION_FEATURES)] == CORRECTION_FEATURES
    assert found.shape == (len(CORRECTION_FEATURES),)
    assert domain_features(crystals["zincblende"], CURVES)[: len(found)] == pytest.approx(found)


def test_features_cannot_be_written(crystals):
    with pytest.raises(ValueError, match="read-only"):
        domain_features(crystals["fcc"], CURVES)[0] = 1.0


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("NaCl", "halide"),
        ("MgO", "oxide"),
        ("BaTiO3", "oxide"),
        ("ZnS", "chalcogenide"),
        ("GaAs", "pnictide"),
        ("SiC", "covalent"),
        ("LiH", "hydride"),
        ("H2O", "oxide"),
        ("Cu3Au", "metal"),
        ("Si", "covalent"),
        ("CsPbBr3", "halide"),
        ("XeF2", "halide"),
    ],
)
def test_the_chemistry_is_that_of_the_anion(formula, expected):
    assert chemistry_class(Composition(formula)) == expected


def test_oxidation_states_do_not_change_the_chemistry(crystals):
    decorated = crystals["rocksalt"].copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert chemistry_class(decorated.composition) == "halide"
    assert domain_features(decorated, CURVES) == pytest.approx(
        domain_features(crystals["rocksalt"], CURVES)
    )


@pytest.mark.parametrize("symbol", ["He", "Ne", "Ar", "Kr", "Xe"])
def test_noble_gases_have_features_without_a_warning(symbol):
    solid = Structure(Lattice.cubic(4.0), [symbol], [[0, 0, 0]])
    assert np.all(np.isfinite(domain_features(solid, CURVES)))
    assert chemistry_class(solid.composition) == "metal"  # what has no anion


def test_every_element_has_features_and_a_class():
    for element in list(Element)[:103]:
        solid = Structure(Lattice.cubic(4.0), [element.symbol], [[0, 0, 0]])
        assert np.all(np.isfinite(correction_features(solid, CURVES))), element
        assert chemistry_class(solid.composition)


@pytest.mark.parametrize("frequency_thz", [0.3, 1.0, 5.0, 20.0, 60.0])
def test_the_mean_frequency_of_an_einstein_solid_is_its_own(frequency_thz):
    found = mean_frequency_thz(curves([frequency_thz] * 3))
    assert found == pytest.approx(frequency_thz, rel=1e-6)


@pytest.mark.parametrize("kelvin", [0.0, 100.0, 1000.0])
def test_the_mean_frequency_is_found_at_the_nearest_temperature(kelvin):
    assert mean_frequency_thz(curves([5.0] * 3, (kelvin,))) == pytest.approx(5.0, rel=1e-6)


def test_the_mean_frequency_lies_near_the_logarithmic_mean():
    frequencies = modes(8.0)
    logarithmic = float(np.exp(np.log(frequencies).mean()))
    assert mean_frequency_thz(curves(frequencies)) == pytest.approx(logarithmic, rel=0.02)


def test_stiffness_follows_the_square_of_the_frequencies(crystals):
    soft, stiff = (correction_features(crystals["fcc"], curves([x] * 3))[0] for x in (4.0, 8.0))
    assert stiff - soft == pytest.approx(np.log(4.0))
