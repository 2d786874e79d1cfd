"""The trained methods by name, and what they make of stored phonons."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from random_springs import spring_crystals

from flows.trained import (
    METHODS,
    is_trained,
    load_trained,
    method_of,
    needs_electrons,
    predictor_of,
    trained_file,
    trained_method,
)
from flows.training_groups import FEWEST_FORMULAS
from screening.anharmonic import ForceConstants
from screening.descriptors.interface import AtomicSystem
from screening.errors import ModelRefusedError, SettingError, TrainingSetError
from screening.trained_model import METHOD_PREFIXES, TrainedModel
from stores.connect import open_database
from stores.model_files import write_model
from stores.training import TrainingPhonons, training_phonons


@pytest.fixture
def phonons(uri, screened):
    """Stored phonons of the crystals."""
    with open_database(uri, read_only=True) as database:
        return list(training_phonons(database, screened))


def test_the_methods_are_those_that_models_are_named_after():
    assert {name: one.method for name, one in METHODS.items()}.items() <= METHOD_PREFIXES.items()
    assert all(trained_method(name).name == name for name in METHODS)
    with pytest.raises(SettingError, match="Choose one of rf-ifc, ldml"):
        trained_method("gp")


def test_a_model_of_another_time_is_refused():
    model = TrainedModel("a-method-to-come", "x", (1,), {}, {}, {}, "0" * 64, 1)
    with pytest.raises(ModelRefusedError, match="a-method-to-come"):
        method_of(model)


def test_a_potential_is_told_apart_from_what_is_not_known():
    potential = TrainedModel(METHOD_PREFIXES["mace"], "salts", (1,), {}, {}, {}, "0" * 64, 1)
    for ask in (method_of, predictor_of):
        with pytest.raises(ModelRefusedError, match="salts: is a potential") as refused:
            ask(potential)
        assert "--calculator mace:FILE.psm" in refused.value.hint
        assert "version" not in refused.value.hint


def test_a_file_of_another_method_says_how_it_is_used(tmp_path):
    for method, hint in (
        (METHOD_PREFIXES["mace"], "--calculator mace:{}"),
        (METHODS["ldml"].method, "Write ldml:{}"),
    ):
        model = TrainedModel(method, "salts", (1,), {"x": np.ones(1)}, {}, {}, "0" * 64, 1)
        file = write_model(tmp_path / f"{method}.psm", model)
        with pytest.raises(ModelRefusedError, match="not alignn-density-of-states") as refused:
            load_trained(f"alignn:{file}")
        assert hint.format(file) in refused.value.hint


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("rf-ifc:models/a.psm", "models/a.psm"),
        ("ldml:a.psm@0123456789abcdef", "a.psm"),
        ("rf-ifc: at@home.psm ", "at@home.psm"),
        ("mace:a.psm#4", "a.psm"),
        ("mace:a.psm@0123456789abcdef#4", "a.psm"),
        ("mace:a.model@0123456789abcdef#4", None),
        ("chgnet:0.3.0", None),
        ("rf-ifc", None),
        ("rf-ifc:", None),
    ],
)
def test_a_specification_names_a_file(spec, file):
    found = trained_file(spec)
    assert (None if found is None else str(found)) == file
    assert is_trained(spec) == spec.startswith(("rf-ifc:", "ldml:"))
    assert not needs_electrons("rf-ifc:a.psm")
    assert needs_electrons("gpaw")


@pytest.fixture
def springs():
    """Phonons of a random crystal in a cell that is not repeated, and its Hessian."""
    one = spring_crystals(1)[0]
    cell, hessian = one.structure, np.asarray(one.hessian_ev_per_angstrom2)
    blocks = hessian.reshape(len(cell), 3, len(cell), 3).swapaxes(1, 2)
    constants = ForceConstants(
        primitive=cell,
        supercell_matrix=np.eye(3, dtype=np.int64),
        supercell_scaled_positions=cell.frac_coords,
        supercell_numbers=np.array(cell.atomic_numbers),
        second_order_ev_per_angstrom2=blocks,
    )
    found = TrainingPhonons("springs", "a" * 64, "NaCl", "by hand", 1, -1.0, 1e-4, None, constants)
    return found, hessian


def test_force_constants_are_learned_from_hessians_at_the_zone_centre(springs):
    phonons, hessian = springs
    label = METHODS["rf-ifc"].label(phonons)
    assert (label.material_id, label.source) == ("springs", "by hand")
    assert label.residual_force_ev_per_angstrom == 1e-4
    assert np.abs(label.hessian_ev_per_angstrom2 - hessian).max() < 1e-9


def test_the_entropy_of_a_cell_that_is_not_repeated_is_that_of_its_zone_centre(springs):
    phonons, hessian = springs
    label = METHODS["ldml"].label(phonons)
    n_atoms = len(phonons.force_constants.primitive)
    assert label.n_modes == pytest.approx(3 * n_atoms - 3)
    assert METHODS["ldml"].kind(label) == "zone_centre"
    assert label.origin.energy_ev == -n_atoms
    # the logarithm of the product of all eigenvalues but those of the three translations
    exact = np.log(np.linalg.eigvalsh(hessian)[3:]).sum()
    assert label.log_determinant == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("method", ["rf-ifc", "ldml"])  # others learn no single cell
def test_a_crystal_that_is_not_at_rest_is_refused_and_one_of_unknown_forces_is_not(method, springs):
    label = METHODS[method].label
    for known in (0.02, 0.3):
        with pytest.raises(TrainingSetError, match="force"):
            label(replace(springs[0], residual_force_ev_per_angstrom=known))
    for accepted in (0.009, None):
        label(replace(springs[0], residual_force_ev_per_angstrom=accepted))


def entropy_labels(phonons):
    """Labels of the stable crystals, and what is wrong with the others."""
    labels, refused = [], []
    for one in phonons:
        try:
            labels.append(METHODS["ldml"].label(one))
        except TrainingSetError as error:
            refused.append(error.message)
    return labels, refused


def test_the_entropy_is_learned_from_a_mesh_and_unstable_crystals_are_refused(phonons):
    labels, refused = entropy_labels(phonons)
    assert (len(labels), len(refused)) == (4, 2)  # two of the body-centred ones fall
    assert all("imaginary" in message for message in refused)
    assert {METHODS["ldml"].kind(label) for label in labels} == {"mesh"}
    assert all(label.thermodynamics is not None for label in labels)


def test_twins_are_of_one_group_so_that_none_is_tested_on_the_other(phonons, monkeypatch):
    label = entropy_labels(phonons)[0][0]
    twin = replace(label, origin=replace(label.origin, material_id="twin"))
    seen = []

    def keep(labels, *_):
        seen.extend(labels)
        return TrainedModel(METHODS["ldml"].method, "x", (13,), {}, {}, {}, "0" * 64, 2)

    monkeypatch.setattr("screening.linear_entropy.train_entropy", keep)
    model = METHODS["ldml"].train([label, twin], {}, "x", None)
    assert model.card["grouped_by"] == "structure"
    assert [one.material_id for one in seen] == [label.material_id, "twin"]
    assert [one.group for one in seen] == [label.material_id] * 2


def test_where_there_are_many_compositions_each_is_held_out_whole(phonons, monkeypatch):
    """Also told is the error where other polymorphs of a composition are known."""
    one = entropy_labels(phonons)[0][0]
    labels = [
        replace(
            one,
            origin=replace(one.origin, material_id=f"{number}-{edge}"),
            system=AtomicSystem.from_structure(
                Structure(Lattice.tetragonal(3.0, edge), [number], [[0, 0, 0]])
            ),
        )
        for number in (*range(19, 36), *range(37, 50))
        for edge in (3.0, 5.0)
    ]
    n_groups = []

    def score(labels, *_):
        n_groups.append(len({one.group for one in labels}))
        card = {"entropy_boltzmann_per_atom": {"mae": 1.0 / n_groups[-1]}, "notes": ["other"]}
        return TrainedModel(METHODS["ldml"].method, "x", (1,), {}, {}, card, "0" * 64, 60)

    monkeypatch.setattr("screening.linear_entropy.train_entropy", score)
    card = METHODS["ldml"].train(labels, {}, "x", None).card
    assert n_groups == [FEWEST_FORMULAS, 2 * FEWEST_FORMULAS]
    assert card["grouped_by"] == "formula"
    assert card["entropy_boltzmann_per_atom"]["mae"] == 1.0 / FEWEST_FORMULAS
    assert "0.0167 k_B/atom" in card["notes"][0]
