import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.calculators import load_calculator
from screening.calculators.shipped import load_shipped
from screening.errors import CalculatorFailedError
from screening.harmonic import frequencies_at
from screening.model_files import read_model
from screening.network_potential.softening import frequency_scale_of
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces
from screening.shipped_models import SHIPPED_MODELS, WEIGHTS_FOLDER

pytest.importorskip("careful_mace")
PHONONDB = Path(__file__).parents[4] / "shared" / "data" / "phonondb_pbe.json.gz"
NAME = "phonoscreen-small"


@pytest.fixture(scope="module")
def potential():
    return load_calculator("phonoscreen")


@pytest.fixture(scope="module")
def model():
    return read_model(WEIGHTS_FOLDER / f"{NAME}.psm")


@pytest.fixture(scope="module")
def card(model):
    return model.card


def modes_thz(structure, potential, q_points, supercell):
    """Frequencies, shape (q point, mode)."""
    forces = compute_forces(structure, potential, PhononSettings(), np.array(supercell))
    return frequencies_at(harmonic_from_forces(forces), np.array(q_points))


def test_every_potential_that_is_named_can_be_loaded():
    for name in SHIPPED_MODELS["mace"]:
        found = load_shipped(name)
        assert len(found.elements) > 60
        assert found.notes


def test_a_metal_whose_atoms_it_does_not_see_is_refused():
    """Caesium has its neighbours at 5.3 Å: all forces would be zero, and no mode imaginary."""
    caesium = Structure(Lattice.cubic(6.14), ["Cs"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]])
    numbers = np.array([site.specie.Z for site in caesium])
    with pytest.raises(CalculatorFailedError, match="no neighbour within 5 Å"):
        load_calculator("phonoscreen").forces(
            caesium.lattice.matrix, caesium.cart_coords[None], numbers
        )


def test_its_card_says_what_it_has_learned(model, card):
    assert card["sources"] == ["sevennet:7net-l3i5"]
    learned = set(card["split"]["training_groups"])
    assert len(learned) == card["split"]["n_training_groups"] > 3000
    assert not learned & {"NaCl", "MgO", "GaAs", "SiC", "ZnO", "AgI", "BN", "LiH", "PbTe"}
    assert not learned & set(card["split"]["held_out_groups"])
    assert frequency_scale_of(model).factor == pytest.approx(1.1, abs=0.1)


@pytest.mark.parametrize(
    ("formula", "edge_angstrom", "optical_thz"),
    [("NaCl", 5.640, 4.92), ("MgO", 4.212, 12.0), ("GaAs", 5.653, 8.0)],
)
def test_transverse_optical_modes_are_those_of_experiment(
    potential, formula, edge_angstrom, optical_thz
):
    """No harmonic potential without charges splits them; within 15 %.

    From G. Raunio, L. Almqvist and R. Stedman, Phys. Rev. 178, 1496 (1969) for NaCl; M. J. L.
    Sangster, G. Peckham and D. H. Saunderson, J. Phys. C 3, 1026 (1970) for MgO; D. Strauch and
    B. Dorner, J. Phys.: Condens. Matter 2, 1457 (1990) for GaAs.
    """
    first, second = formula[:2], formula[2:]
    place = [0.25] * 3 if formula == "GaAs" else [0.5] * 3
    cubic = Lattice.from_parameters(*[edge_angstrom / 2**0.5] * 3, 60, 60, 60)
    crystal = Structure(cubic, [first, second], [[0, 0, 0], place])
    (modes,) = modes_thz(crystal, potential, np.zeros((1, 3)), np.diag([3, 3, 3]))
    np.testing.assert_allclose(modes[:3], 0.0, atol=0.05)
    np.testing.assert_allclose(modes[3:], optical_thz, rtol=0.15)


@pytest.mark.skipif(not PHONONDB.exists(), reason="no reference data beside the project")
def test_frequencies_of_crystals_it_never_saw_are_those_of_dft(potential, card):
    with gzip.open(PHONONDB, "rt") as file:
        records = json.load(file)[::6]
    errors = []
    for one in records:
        crystal = Structure.from_dict(one["structure"])
        assert crystal.reduced_formula not in card["split"]["training_groups"]
        primitive = crystal.get_primitive_structure()
        found = modes_thz(primitive, potential, np.zeros((1, 3)), 3 * np.eye(3, dtype=int))
        exact = np.array(one["frequencies_THz"][0])
        errors.append(np.abs(np.sort(found[0])[3:] - np.sort(exact)[3:]).mean())
    assert len(errors) >= 5
    assert np.mean(errors) < 0.2 * np.mean([np.mean(one["frequencies_THz"][0]) for one in records])
