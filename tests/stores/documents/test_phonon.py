"""Phonon documents: arrays in and out, and what does not fit is corrupt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.errors import CorruptDataError, NotFoundError, SerializationError
from stores.documents.phonon import PhononDocument, phonon_arrays


@pytest.fixture
def document(make_prediction, blobs):
    return PhononDocument.from_prediction(make_prediction(), "ps-1", blobs)


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
    for read in (made.force_data, made.density_of_states, made.band_structure):
        with pytest.raises(NotFoundError):
            read({})


def test_blobs_must_match_the_parts(make_prediction, blobs):
    with pytest.raises(SerializationError, match="blobs"):
        PhononDocument.from_prediction(make_prediction(), "ps-1", {"forces": blobs["forces"]})


def test_missing_or_misshapen_arrays_are_corrupt(document, make_prediction):
    parts = phonon_arrays(make_prediction())
    readers = {
        "forces": document.force_data,
        "density_of_states": document.density_of_states,
        "band_structure": document.band_structure,
    }
    for part, read in readers.items():
        for name, array in parts[part].items():
            without = {key: value for key, value in parts[part].items() if key != name}
            with pytest.raises(CorruptDataError, match=name):
                read(without)
            with pytest.raises(CorruptDataError):
                read(parts[part] | {name: array[..., None]})
            with pytest.raises(CorruptDataError):
                read(parts[part] | {name: np.full(array.shape, np.nan)})


def test_arrays_that_are_not_finite_are_not_stored(make_prediction):
    forces = make_prediction().force_data
    broken = forces.forces_ev_per_angstrom.copy()
    broken[0, 0, 0] = np.inf
    given = make_prediction(force_data=replace(forces, forces_ev_per_angstrom=broken))
    with pytest.raises(SerializationError, match="forces_ev_per_angstrom"):
        phonon_arrays(given)
