"""Calibrations are built from pairs of predictions, once, and found by method."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from flows.calibrating import best_calibration
from screening.quantities import Property, Quantity
from screening.structure import canonical_crystal
from screening.trained_model import TrainedModel
from screening.uncertainty.calibration import Calibration
from stores.builders.calibrations import (
    build_calibrations,
    calibration_pairs,
    family_of_document,
    read_calibrations,
    store_calibration,
)
from stores.documents import PredictionDocument
from stores.models import store_model

ELEMENTS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In")
FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)
MODEL = TrainedModel(
    method="random-forest-force-constants",
    name="parrot",
    elements=(9,),
    arrays={"weights": np.ones(3)},
    state={},
    card={},
    training_set_digest="d" * 64,
    n_training_samples=9,
)


def rock_salt(symbol):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.0), [symbol, "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture
def put_pairs(database, make_einstein):
    """Write predictions of some fluorides by a soft potential and by DFT."""

    def put(symbols, *, better=True):
        for place, symbol in enumerate(symbols):
            crystal = canonical_crystal(rock_salt(symbol))
            frequency_thz = 5.0 + 0.3 * place
            found = [make_einstein(crystal, 0.75 * frequency_thz)]
            if better:
                found.append(make_einstein(crystal, frequency_thz, tier=3))
            for one in found:
                document = PredictionDocument.from_prediction(one, crystal.material_id)
                database.predictions.update(document.to_store())

    return put


def test_nothing_to_learn_from(database, put_pairs):
    put_pairs(ELEMENTS, better=False)
    assert build_calibrations(database).written == ()
    assert calibration_pairs(database) == {}


def test_learned_once_and_again_when_something_is_new(database, put_pairs):
    put_pairs(ELEMENTS[:10])
    first = build_calibrations(database)
    assert len(first.written) == 1
    again = build_calibrations(database)
    assert (again.written, again.n_unchanged) == ((), 1)
    put_pairs(ELEMENTS[:11])
    assert len(build_calibrations(database).written) == 1
    ((names, pairs),) = calibration_pairs(database).items()
    assert len(pairs) == 11
    newest = read_calibrations(database, names[0])[-1]
    assert newest.n_compositions == 11
    assert len(list(database.models.query({}))) == 2  # decisions may name the older one


def test_a_quantity_once_asked_for_stays_calibrated(database, put_pairs):
    put_pairs(ELEMENTS)
    asked = Quantity(Property.ENTROPY, 450.0)
    build_calibrations(database, [asked])
    assert build_calibrations(database).written == ()
    ((names, _),) = calibration_pairs(database).items()
    found = read_calibrations(database, *names)[-1]
    assert asked.name in found.tables


def test_the_bias_is_found_and_scores_are_stored(database, put_pairs):
    put_pairs(ELEMENTS)
    (key,) = build_calibrations(database).written
    stored = database.models.query_one({"model_id": key})
    json.dumps(stored["calibration"], allow_nan=False)
    metrics = {(m["name"], m["quantity"]): m["value"] for m in stored["metrics"]}
    raw = metrics["mae_raw", FREE_ENERGY.name]
    assert metrics["mae_corrected", FREE_ENERGY.name] < 0.25 * raw
    ((names, pairs),) = calibration_pairs(database).items()
    (calibration,) = read_calibrations(database, *names)
    assert np.allclose(calibration.correction.log_scales, np.log(1 / 0.75), atol=1e-6)
    cheap, better = pairs[0]
    interval = calibration.interval(cheap, FREE_ENERGY, 0.1)
    truth = better.thermodynamics.free_energy_mev_per_atom[30]
    assert interval.lower <= truth <= interval.upper
    assert interval.calibration == stored["model_digest"]


def test_three_compositions_settle_nothing(database, put_pairs):
    put_pairs(ELEMENTS[:3])
    build_calibrations(database)
    ((names, pairs),) = calibration_pairs(database).items()
    (calibration,) = read_calibrations(database, *names)
    interval = calibration.interval(pairs[0][0], FREE_ENERGY, 0.1)
    assert not interval.is_finite


def test_an_imported_calibration_is_found(database, put_pairs):
    put_pairs(ELEMENTS)
    build_calibrations(database)
    ((names, _),) = calibration_pairs(database).items()
    (calibration,) = read_calibrations(database, *names)
    database.models.remove_docs({})
    assert read_calibrations(database, names[0]) == ()
    store_calibration(database, Calibration.from_dict(calibration.as_dict()))
    (found,) = read_calibrations(database, names[0])
    assert found.calibration_id == calibration.calibration_id
    assert read_calibrations(database, "another method") == ()


def test_relaxed_and_as_given_are_two_families(make_structure, make_prediction):
    structure = make_structure("a")
    relaxed = make_prediction(structure, settings={"relaxation": {"max_steps": 9}})
    assert family_of_document(relaxed) != family_of_document(make_prediction(structure))


def test_a_good_calibration_is_not_shadowed_by_a_new_one(database, put_pairs):
    put_pairs(ELEMENTS)
    build_calibrations(database)
    ((names, _),) = calibration_pairs(database).items()
    good = read_calibrations(database, *names)[-1]
    for name in ("models", "predictions"):
        getattr(database, name).remove_docs({})
    store_calibration(database, good)
    put_pairs(ELEMENTS[:1])
    build_calibrations(database)
    assert read_calibrations(database, *names)[-1].n_compositions == 1
    chosen = best_calibration(database, *names, 0.1)
    assert chosen.calibration_id == good.calibration_id
    # Nothing that was calibrated against another functional stands in for this one.
    assert best_calibration(database, names[0], "dft-phonons/1/dft:LDA@0/relaxed", 0.1) is None
    assert (
        best_calibration(database, names[0], "dft-phonons/1/other:PBE@0/relaxed", 0.1) is not None
    )


@pytest.fixture
def put_memorised(database, make_einstein):
    """Write what a model that knows its training set by heart says of it and of others."""

    def put(learned, others, *, is_stored=True):
        names = []
        for place, symbol in enumerate((*learned, *others)):
            crystal = canonical_crystal(rock_salt(symbol))
            frequency_thz = 5.0 + 0.3 * place
            is_known = symbol in learned
            fast = replace(
                make_einstein(crystal, (1.0 if is_known else 0.7) * frequency_thz),
                tier=0,
                method=MODEL.method,
                model="rf-ifc:parrot",
                model_digest=MODEL.digest,
            )
            names += [crystal.material_id] if is_known else []
            for one in (fast, make_einstein(crystal, frequency_thz, tier=3)):
                document = PredictionDocument.from_prediction(one, crystal.material_id)
                database.predictions.update(document.to_store())
        if is_stored:
            store_model(database, MODEL, names)

    return put


def test_what_a_model_learned_by_heart_says_nothing_of_its_errors(database, put_memorised):
    put_memorised(ELEMENTS[:4], ELEMENTS[4:7])
    report = build_calibrations(database)
    ((names, pairs),) = calibration_pairs(database).items()
    assert len(pairs) == 3
    assert report.left_out == {names[0]: "4 crystals that it learned from say nothing of others"}
    (calibration,) = read_calibrations(database, *names)
    interval = calibration.interval(pairs[0][0], FREE_ENERGY, 0.1)
    assert not interval.is_finite  # three pairs settle nothing


@pytest.mark.parametrize("learned", [ELEMENTS[:2], ()])
def test_where_nobody_knows_what_a_model_learned_there_is_no_pair(database, put_memorised, learned):
    put_memorised(learned, ELEMENTS[2:4], is_stored=not learned)
    report = build_calibrations(database)
    assert report.written == ()
    ((_, reason),) = report.left_out.items()
    assert "not known here" in reason
    assert calibration_pairs(database) == {}
