"""Rankings in the database: one method for all, and building only what changed."""

from __future__ import annotations

import math

import pytest

from screening.comparison import EnergyKind, Exclusion, Flag
from screening.errors import RelaxationError
from screening.ranking import RankingSettings
from stores.builders.polymorphs import build_polymorphs, rank_composition
from stores.documents.failure import FailureDocument
from stores.documents.polymorphs import PolymorphsDocument, composition_key_of


def test_ranking_of_documents(make_structure, make_prediction):
    one, two = make_structure("a", energy=-8.0), make_structure("b", energy=-7.995)
    predictions = {"a": [make_prediction(one, 1e-4)], "b": [make_prediction(two, 2e-4)]}
    made = rank_composition([one, two], predictions)
    assert PolymorphsDocument.load(made.to_store()) == made
    assert made.composition_key == "TiO2"
    assert (made.reference_id, made.lowest_300k_id) == ("a", "a")
    assert made.energy_kind is EnergyKind.GIVEN
    assert made.first_transition_temperature_k == pytest.approx(math.sqrt(1e5), abs=1e-6)
    assert made.candidate_ids == ("b",)
    assert [p.prediction_id for p in made.polymorphs] == [
        predictions["a"][0].prediction_id,
        predictions["b"][0].prediction_id,
    ]
    assert made.polymorphs[1].ranks[0] == 2
    assert made.polymorphs[1].ranks[-1] == 1


def test_without_a_shared_method_each_gets_its_best_and_it_is_flagged(
    make_structure, make_prediction
):
    one, two = make_structure("a", energy=-8.0), make_structure("b", energy=-7.9)
    predictions = {"a": [make_prediction(one)], "b": [make_prediction(two, model_digest="d" * 64)]}
    assert Flag.MIXED_METHODS in rank_composition([one, two], predictions).flags


def test_duplicates_are_left_out(make_structure, make_prediction):
    one, two = make_structure("a"), make_structure("b", duplicate_of="a")
    predictions = {"a": [make_prediction(one)], "b": [make_prediction(two)]}
    assert rank_composition([one, two], predictions).material_ids == ("a",)


def test_build_writes_once_and_then_nothing(db, make_structure, make_prediction):
    phases = [make_structure("a"), make_structure("b"), make_structure("c", "SiO2")]
    db.put(*phases, *(make_prediction(one) for one in phases))
    assert build_polymorphs(db).written == ("SiO2", "TiO2")
    db.reset_counts()
    assert build_polymorphs(db).n_unchanged == 2
    assert db.n_written == 0


def test_only_what_changed_is_rebuilt(db, make_structure, make_prediction):
    phases = [make_structure("a"), make_structure("b"), make_structure("c", "SiO2")]
    db.put(*phases, *(make_prediction(one) for one in phases))
    build_polymorphs(db)
    db.put(make_structure("d"))  # a new polymorph without a prediction
    assert build_polymorphs(db).written == ("TiO2",)
    made = PolymorphsDocument.load(db.polymorphs.query_one({"composition_key": "TiO2"}))
    assert [one.exclusion for one in made.excluded] == [Exclusion.NO_PREDICTION]
    db.put(FailureDocument.from_error(RelaxationError("x"), material_id="d", stage="relax"))
    assert build_polymorphs(db).written == ("TiO2",)
    made = PolymorphsDocument.load(db.polymorphs.query_one({"composition_key": "TiO2"}))
    assert [(one.exclusion, one.detail) for one in made.excluded] == [
        (Exclusion.FAILED, "RELAX_NOT_CONVERGED")
    ]
    assert build_polymorphs(db).written == ()


def test_only_the_compositions_asked_for(db, make_structure, make_prediction):
    phases = [make_structure("a"), make_structure("c", "SiO2")]
    db.put(*phases, *(make_prediction(one) for one in phases))
    assert build_polymorphs(db, ["TiO2"]).written == ("TiO2",)
    assert build_polymorphs(db, ["Fe2O3"]).written == ()
    assert build_polymorphs(db).written == ("SiO2",)


def test_a_grid_of_its_own_stands_beside_the_default(db, make_structure, make_prediction):
    phase = make_structure("a")
    db.put(phase, make_prediction(phase))
    build_polymorphs(db)
    chosen = RankingSettings(temperatures_k=(300.0, 600.0))
    assert build_polymorphs(db, settings=chosen).written == (
        composition_key_of("TiO2", (300.0, 600.0)),
    )
    assert db.polymorphs.count() == 2
    assert build_polymorphs(db).n_unchanged == 1


def test_other_settings_rebuild(db, make_structure, make_prediction):
    phase = make_structure("a")
    db.put(phase, make_prediction(phase))
    build_polymorphs(db)
    assert db.polymorphs.query_one()["tie_mev_per_atom"] == 10.0
    assert build_polymorphs(db, settings=RankingSettings(tie_mev_per_atom=1.0)).written == ("TiO2",)
    assert db.polymorphs.query_one()["tie_mev_per_atom"] == 1.0


def test_rankings_go_with_their_last_material(db, make_structure, make_prediction):
    phase = make_structure("a")
    db.put(phase, make_prediction(phase))
    build_polymorphs(db)
    build_polymorphs(db, settings=RankingSettings(temperatures_k=(300.0,)))
    db.structures.remove_docs({})
    assert len(build_polymorphs(db).removed) == 2
    assert db.polymorphs.count() == 0


def test_corrupt_input_is_a_named_failure_of_its_composition_only(
    db, make_structure, make_prediction
):
    phases = [make_structure("a"), make_structure("c", "SiO2")]
    db.put(*phases, *(make_prediction(one) for one in phases))
    db.structures.update([phases[0].to_store() | {"n_atoms": 99}])
    report = build_polymorphs(db)
    assert report.written == ("SiO2",)
    assert [(f.code, f.subject) for f in report.failures] == [("CORRUPT_DATA", "TiO2")]
