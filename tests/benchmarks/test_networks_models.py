"""Which compositions a potential has to do with, whatever a record calls them."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.network_potential.softening import FrequencyScale, with_frequency_scale
from screening.trained_model import TrainedModel

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


def model_with(learned, scaled_by):
    """A model that learned from compositions, and whose scale was fitted to others."""
    card = {} if learned is None else {"split": {"training_groups": learned}}
    model = TrainedModel("mace-potential", "x", (8, 12), {}, {}, card, "", 3)
    scale = FrequencyScale(1.1, "frequencies", "made", 3, tuple(scaled_by), 0, 0.0, 0.2, 0.1)
    return with_frequency_scale(model, scale) if scaled_by else model


def reference(modules, formula):
    """A conventional cell of rock salt ScN of any name, as a record of the data is read."""
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    others = [[0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    cell = Structure(Lattice.cubic(4.5), ["Sc"] * 4 + ["N"] * 4, sites + others)
    names = ("free_energy_{}K_meV_atom", "entropy_{}K_meV_K_atom", "heat_capacity_{}K_meV_K_atom")
    record = {name.format(kelvin): 1.0 for name in names for kelvin in (300, 1000)}
    return modules("references").reference_of(
        record
        | {
            "material_id": "mp-0",
            "formula": formula,
            "space_group": 225,
            "structure": cell.as_dict(),
            "primitive_matrix": [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
            "q_mesh": [1, 1, 1],
            "qpoints": [[0.0, 0.0, 0.0]],
            "weights": [1.0],
            "frequencies_THz": np.zeros((1, 6)).tolist(),
        }
    )


@pytest.mark.parametrize("formula", ["ScN", "NSc", "Sc4N4", "scandium nitride"])
def test_a_composition_is_known_by_its_crystal(modules, formula):
    models, found = modules("networks_models"), reference(modules, formula)
    assert found.composition == "ScN"
    potential = models.Potential("mace:x.psm", None, model_with(["ScN"], ()))
    figures = models.training_figures(potential, [found.composition])
    [one] = [x for x in figures if x.name == "compositions of these crystals in training or scale"]
    assert (one.value, one.met) == (1, False)


@pytest.mark.parametrize(
    ("learned", "scaled_by", "expected"),
    [
        (["TiO2"], (), [1, 1, 0, 0]),
        (["TiO2"], ("ScN",), [1, 2, 1, 0]),
        (["TiO2"], ("NaCl", "TiO2"), [1, 2, 0, 1]),
        (None, ("ScN",), [None, None, None, None]),
    ],
)
def test_what_the_scale_was_fitted_to_counts(modules, learned, scaled_by, expected):
    models = modules("networks_models")
    potential = models.Potential("mace:x.psm", None, model_with(learned, scaled_by))
    figures = models.training_figures(potential, ["ScN", "CaO"])
    assert [one.value for one in figures] == expected
    assert figures[2].met is (expected[2] == 0)
    assert figures[3].met is (expected[3] == 0)


def test_the_installed_potential_has_nothing_to_do_with_what_is_reserved(modules):
    models = modules("networks_models")
    potential = models.load_potential("mace:phonoscreen-small")
    figures = models.training_figures(potential, sorted(models.RESERVED))
    assert figures[1].value >= figures[0].value > 0
    assert [one.met for one in figures[2:]] == [True, True]
