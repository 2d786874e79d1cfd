"""Phonon documents: arrays in and out, and what does not fit is corrupt."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.conductivity_records import ThermalConductivity
from screening.errors import CorruptDataError, NotFoundError, SerializationError
from stores.documents.phonon import PhononDocument
from stores.documents.phonon_parts import PARTS, phonon_arrays


@pytest.fixture
def document(make_prediction, blobs):
    return PhononDocument.from_prediction(make_prediction(), "ps-1", blobs)


@pytest.fixture
def fitted(make_fitted, fitted_blobs):
    return PhononDocument.from_prediction(make_fitted(), "ps-1", fitted_blobs)


def readers_of(document):
    return {
        "forces": document.force_data,
        "force_constants": document.force_constants,
        "displaced_cells": document.displaced_cells,
        "conductivity": document.conductivity,
        "density_of_states": document.density_of_states,
        "band_structure": document.band_structure,
    }


def assert_same(one, two):
    for name in one.__dataclass_fields__:
        first, second = getattr(one, name), getattr(two, name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
            assert not second.flags.writeable
        else:
            assert first == second


def test_round_trip(document):
    assert PhononDocument.load(document.to_store()) == document
    assert document.blob_digests == {
        "forces": "1" * 64,
        "density_of_states": "2" * 64,
        "band_structure": "3" * 64,
    }


def test_arrays_come_back(document, make_prediction):
    given = make_prediction()
    arrays = phonon_arrays(given)
    assert_same(given.force_data, document.force_data(arrays["forces"]))
    assert_same(given.density_of_states, document.density_of_states(arrays["density_of_states"]))
    assert_same(given.band_structure, document.band_structure(arrays["band_structure"]))


def test_forces_without_born_charges(make_prediction, blobs):
    bare = replace(make_prediction().force_data, born_charges_e=None, dielectric_constant=None)
    given = make_prediction(force_data=bare)
    made = PhononDocument.from_prediction(given, "ps-1", blobs)
    assert_same(bare, made.force_data(phonon_arrays(given)["forces"]))


def test_parts_that_the_method_lacks(make_prediction):
    given = make_prediction(force_data=None, density_of_states=None, band_structure=None)
    made = PhononDocument.from_prediction(given, "ps-1", {})
    assert phonon_arrays(given) == {}
    assert made.blob_digests == {}
    for read in readers_of(made).values():
        with pytest.raises(NotFoundError):
            read({})


def test_blobs_must_match_the_parts(make_prediction, blobs):
    with pytest.raises(SerializationError, match="blobs"):
        PhononDocument.from_prediction(make_prediction(), "ps-1", {"forces": blobs["forces"]})


def assert_only_whole_arrays_are_read(document, parts):
    for part, read in readers_of(document).items():
        for name, array in parts.get(part, {}).items():
            take = document.conductivity_std if name == "conductivity_std_w_per_m_k" else read
            without = {key: value for key, value in parts[part].items() if key != name}
            with pytest.raises(CorruptDataError, match=name):
                take(without)
            with pytest.raises(CorruptDataError):
                take(parts[part] | {name: array[..., None]})
            with pytest.raises(CorruptDataError):
                take(parts[part] | {name: np.full(array.shape, np.nan)})


def test_missing_or_misshapen_arrays_are_corrupt(document, make_prediction):
    assert_only_whole_arrays_are_read(document, phonon_arrays(make_prediction()))


def test_missing_or_misshapen_arrays_of_a_fit_are_corrupt(fitted, make_fitted):
    assert_only_whole_arrays_are_read(fitted, phonon_arrays(make_fitted()))


def test_a_longer_array_of_one_axis_is_corrupt(fitted, make_fitted):
    arrays = phonon_arrays(make_fitted())["conductivity"]
    for name in ("temperatures_k", "weights"):
        with pytest.raises(CorruptDataError):
            fitted.conductivity(arrays | {name: np.append(arrays[name], 1.0)})


def test_a_fit_comes_back(fitted, make_fitted):
    given = make_fitted()
    arrays = phonon_arrays(given)
    assert PhononDocument.load(fitted.to_store()) == fitted
    assert_same(given.force_constants, fitted.force_constants(arrays["force_constants"]))
    assert_same(given.displaced_cells, fitted.displaced_cells(arrays["displaced_cells"]))
    assert_same(given.conductivity, fitted.conductivity(arrays["conductivity"]))
    std = fitted.conductivity_std(arrays["conductivity"])
    np.testing.assert_array_equal(std, given.conductivity_std_w_per_m_k)
    assert not std.flags.writeable
    with pytest.raises(NotFoundError, match="forces"):
        fitted.force_data({})
    sizes = (fitted.n_displaced_cells, fitted.n_displacements, fitted.n_supercell_atoms)
    assert sizes == (3, None, 4)
    flags = (fitted.has_born_charges, fitted.has_energies, fitted.has_third_order)
    assert flags == (True, True, True)
    assert (fitted.conductivity_method, fitted.conductivity_mesh) == ("rta", (2, 2, 2))


def test_a_fit_with_as_little_as_possible_comes_back(make_fitted, fitted_blobs):
    bare = {"born_charges_e": None, "dielectric_constant": None}
    most = make_fitted()
    given = make_fitted(
        force_constants=replace(most.force_constants, third_order_ev_per_angstrom3=None, **bare),
        displaced_cells=replace(most.displaced_cells, energies_ev=None, **bare),
        conductivity_std_w_per_m_k=None,
    )
    made = PhononDocument.from_prediction(given, "ps-1", fitted_blobs)
    arrays = phonon_arrays(given)
    assert_same(given.force_constants, made.force_constants(arrays["force_constants"]))
    assert_same(given.displaced_cells, made.displaced_cells(arrays["displaced_cells"]))
    assert made.conductivity_std(arrays["conductivity"]) is None
    assert (made.has_born_charges, made.has_energies, made.has_third_order) == (False,) * 3


def test_no_array_of_a_result_is_left_out():
    for part, kind in (
        ("force_constants", ForceConstants),
        ("displaced_cells", DisplacedCells),
        ("conductivity", ThermalConductivity),
    ):
        in_the_document = {"primitive", "supercell_matrix", "method", "mesh"}
        assert {one.name for one in fields(kind)} - in_the_document == set(PARTS[part])


def test_parts_of_different_supercells_are_refused(make_fitted, fitted_blobs):
    given = make_fitted()
    for change in (
        {"supercell_matrix": np.eye(3, dtype=np.int64)},
        {"born_charges_e": None, "dielectric_constant": None},
        {"primitive": given.structure * (2, 1, 1)},
    ):
        other = make_fitted(displaced_cells=replace(given.displaced_cells, **change))
        with pytest.raises(SerializationError, match="differ in cell"):
            PhononDocument.from_prediction(other, "ps-1", fitted_blobs)


def test_what_describes_a_part_needs_the_part(make_fitted, fitted_blobs, fitted):
    alone = make_fitted(conductivity=None)
    without = {name: blob for name, blob in fitted_blobs.items() if name != "conductivity"}
    with pytest.raises(SerializationError, match="has_conductivity_std"):
        PhononDocument.from_prediction(alone, "ps-1", without)
    for change, message in (
        ({"n_displaced_cells": None}, "n_displaced_cells"),
        ({"n_displacements": 2}, "n_displacements"),
        ({"conductivity_mesh": None}, "conductivity_mesh"),
        ({"displaced_cells_blob": None, "n_displaced_cells": None}, "has_energies"),
        ({"supercell_matrix": None}, "supercell_matrix"),
    ):
        with pytest.raises(SerializationError, match=message):
            fitted.replaced(**change)


def test_version_1_had_no_fit(request):
    path = request.path.parent / "golden" / "PhononDocument_v1.json"
    old = PhononDocument.load(json.loads(path.read_text("utf-8")))
    assert (old.n_displacements, old.n_displaced_cells, old.has_third_order) == (2, None, False)
    assert set(old.blob_digests) == {"forces", "density_of_states", "band_structure"}


def test_arrays_that_are_not_finite_are_not_stored(make_prediction):
    forces = make_prediction().force_data
    broken = forces.forces_ev_per_angstrom.copy()
    broken[0, 0, 0] = np.inf
    given = make_prediction(force_data=replace(forces, forces_ev_per_angstrom=broken))
    with pytest.raises(SerializationError, match="forces_ev_per_angstrom"):
        phonon_arrays(given)


def test_force_constants_that_are_not_finite_are_not_stored(make_fitted):
    constants = make_fitted().force_constants
    broken = constants.third_order_ev_per_angstrom3.copy()
    broken[1, 3, 2, 0, 1, 2] = np.nan
    given = make_fitted(force_constants=replace(constants, third_order_ev_per_angstrom3=broken))
    with pytest.raises(SerializationError, match="third_order_ev_per_angstrom3"):
        phonon_arrays(given)
    std = make_fitted(conductivity_std_w_per_m_k=np.full((3, 3, 3), np.inf))
    with pytest.raises(SerializationError, match="conductivity_std_w_per_m_k"):
        phonon_arrays(std)
