"""Trained models in the database: there and back, by name and version, and never a damaged one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import numpy as np
import pytest

from screening.errors import (
    CorruptDataError,
    ModelCorruptError,
    NotFoundError,
    SerializationError,
    SettingError,
)
from screening.shipped_models import read_shipped
from screening.trained_model import TrainedModel
from stores.documents import base
from stores.documents.base import content_digest_of, utc_now
from stores.documents.model import MetricRecord, ModelDocument, ModelKind
from stores.models import SOURCE_IDS, learned_by, list_models, load_model, store_model
from stores.query import by_field

RNG = np.random.default_rng(5)
MODEL = TrainedModel(
    method="random-forest-force-constants",
    name="fluorides",
    elements=(9, 19, 30),
    arrays={
        "thresholds": RNG.normal(size=(3, 40)),
        "left": RNG.integers(-1, 40, (3, 40)),
        "is_leaf": RNG.random((3, 40)) < 0.5,
        "scale": np.float64(2.5).reshape(()),
        "none": np.empty((0, 3)),
    },
    state={"settings": {"n_trees": 3, "radii": [1.0, 2.5]}, "calibration": {"q90": 0.1 + 0.2}},
    card={"scores": {"component_mae_ev_per_angstrom2": 0.16}, "notes": ["CHGNet is soft"]},
    training_set_digest="d" * 64,
    n_training_samples=121,
)
NAME = "rf-ifc:fluorides"


@pytest.fixture
def clock(monkeypatch):
    """A second passes between any two documents."""
    start, seconds = utc_now(), count()
    monkeypatch.setattr(base, "utc_now", lambda: start + timedelta(seconds=next(seconds)))


def better(model: TrainedModel) -> TrainedModel:
    """Return another version."""
    return replace(model, state=dict(model.state) | {"round": 2})


def test_a_model_comes_back_bit_for_bit(database):
    key = store_model(database, MODEL, ["ps-2", "ps-1"])
    assert key == f"{NAME}@{MODEL.digest[:12]}"
    for name in (NAME, key):
        found = load_model(database, name)
        assert found.digest == MODEL.digest
        assert found.arrays.keys() == MODEL.arrays.keys()
        for array, own in ((found.arrays[x], MODEL.arrays[x]) for x in MODEL.arrays):
            assert (array.dtype, array.shape) == (own.dtype, own.shape)
            assert array.tobytes() == own.tobytes()
        for field in ("method", "name", "elements", "state", "card", "training_set_digest"):
            assert getattr(found, field) == getattr(MODEL, field), field
        assert found.n_training_samples == 121


def test_the_document_says_where_the_model_comes_from(database):
    metric = MetricRecord(name="mae", quantity="x_ev", value=0.1, data_set="held out", n_samples=9)
    store_model(database, MODEL, ["ps-2", "ps-1"], metrics=[metric])
    (document,) = list_models(database)
    assert (document.kind, document.name) == (ModelKind.PREDICTOR, NAME)
    assert document.provenance.source_ids == ("ps-1", "ps-2")
    assert document.provenance.method == MODEL.method
    assert document.provenance.model_digest == document.model_digest == MODEL.digest
    assert document.metrics == (metric,)
    assert document.blob_digests == {"weights": document.weights_blob.sha256}
    assert database.blobs.orphans(document.blob_digests.values(), min_age_s=0) == set()


@pytest.mark.usefixtures("clock")
def test_the_newest_version_answers_to_the_name_and_each_to_its_own(database):
    old, new = store_model(database, MODEL), store_model(database, better(MODEL))
    assert load_model(database, NAME).digest == better(MODEL).digest
    assert load_model(database, old).digest == MODEL.digest
    assert [one.model_id for one in list_models(database)] == [old, new]
    assert store_model(database, MODEL) == old  # stored again it is the newest
    assert database.models.count() == 2
    assert load_model(database, NAME).digest == MODEL.digest


def test_only_trained_models_are_listed(database):
    for kind in ModelKind:
        made = ModelDocument.from_parts(
            name=NAME, version=kind.value, kind=kind, model_digest="e" * 64
        )
        database.models.update(made.to_store())
    assert list_models(database) == ()
    with pytest.raises(NotFoundError, match="None was trained"):
        load_model(database, NAME)
    with pytest.raises(NotFoundError):
        load_model(database, f"{NAME}@potential")


def test_a_name_that_is_not_there_says_which_are(database):
    key = store_model(database, MODEL)
    for name in ("rf-ifc:oxides", "ldml:fluorides", f"{NAME}@{'0' * 12}"):
        with pytest.raises(NotFoundError) as caught:
            load_model(database, name)
        assert key in (caught.value.hint or "")
    with pytest.raises(SettingError, match="names no trained model"):
        load_model(database, "fluorides")


def test_damaged_weights_are_not_used(database):
    store_model(database, MODEL)
    other = database.blobs.put({"thresholds": np.zeros(3)})
    (document,) = list_models(database)
    lying = document.weights_blob.model_copy(update={"sha256": other.sha256})
    database.models.update(document.replaced(weights_blob=lying).to_store())
    with pytest.raises(ModelCorruptError, match="digest"):
        load_model(database, NAME)
    gone = document.weights_blob.model_copy(update={"sha256": "0" * 64})
    database.models.update(document.replaced(weights_blob=gone).to_store())
    with pytest.raises(ModelCorruptError, match="no such blob"):
        load_model(database, NAME)


def test_a_changed_state_is_noticed(database):
    key = store_model(database, MODEL)
    stored = database.models.query_one(by_field("model_id", key))
    stored["state"]["calibration"]["q90"] = 0.5
    database.models.update(stored)
    with pytest.raises(CorruptDataError):
        load_model(database, NAME)
    # who also mends the digest of the document is found by that of the model
    plain = {name: value for name, value in stored.items() if name != "content_digest"}
    database.models.update(plain | {"content_digest": content_digest_of(plain)})
    with pytest.raises(ModelCorruptError, match="digest"):
        load_model(database, NAME)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "a@b"}, SettingError, "cannot name"),
        ({"method": "potential-phonons"}, SettingError, "no such method"),
        ({"arrays": {"x": np.array([np.nan])}}, SerializationError, "finite"),
        ({"arrays": {}}, SerializationError, "no arrays"),
        ({"state": {"0.5": 1}}, SerializationError, "state"),
        ({"card": {"mae": float("inf")}}, SerializationError, "card"),
        ({"n_training_samples": 0}, SerializationError, "n_training_samples"),
    ],
)
def test_what_cannot_be_stored_is_refused(database, change, error, message):
    with pytest.raises(error, match=message):
        store_model(database, replace(MODEL, **change))
    assert database.models.count() == 0


def test_what_a_model_learned_from_is_known_by_its_digest(database):
    assert learned_by(database, MODEL.digest, ["ps-1"]) is None
    store_model(database, MODEL)
    assert learned_by(database, MODEL.digest, ["ps-1"]) is None  # it does not say
    store_model(database, MODEL, ["ps-1", "ps-2"])
    assert learned_by(database, MODEL.digest, ["ps-1", "ps-3"]) == {"ps-1"}
    assert learned_by(database, better(MODEL).digest, ["ps-1"]) is None


def test_duplicates_of_what_a_model_learned_from_are_known_to_it(database):
    links = {"ps-1": None, "ps-2": "ps-1", "ps-3": None, "ps-4": "ps-3"}
    rows = [{"material_id": name, "duplicate_of": one} for name, one in links.items()]
    database.structures.update(rows)
    store_model(database, MODEL, ["ps-2", "ps-3"])
    assert learned_by(database, MODEL.digest, ["ps-1"]) == {"ps-1"}
    assert learned_by(database, MODEL.digest, ["ps-4"]) == {"ps-4"}


def test_what_a_model_learned_from_travels_on_its_card(database):
    store_model(database, replace(MODEL, card={SOURCE_IDS: ["ps-1"]}))
    assert learned_by(database, MODEL.digest, ["ps-1", "ps-2"]) == {"ps-1"}


def test_what_an_installed_model_learned_from_is_known_where_it_is_not_stored(database):
    installed = read_shipped("alignn", "phonoscreen-dos")
    first = installed.card[SOURCE_IDS][0]
    assert learned_by(database, installed.digest, [first, "ps-1"]) == {first}
