"""Trained models take crystals as the source of their training set relaxed them."""

from dataclasses import replace

import pytest
from springy_models import Springs

from flows.at_rest import RELAXED_BY, at_rest
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.predicting import LEARNED, predict_stored
from flows.run import screen
from flows.training import TrainingTask, train_and_store
from screening.errors import CellError
from screening.relaxation import RelaxationSettings
from screening.structure import canonical_crystal
from stores.connect import open_database
from stores.documents import PredictionDocument, StructureDocument
from stores.relaxed_crystals import read_relaxed, relaxed_by

pytestmark = pytest.mark.usefixtures("springs")
EMT = "ase.calculators.emt.EMT"


@pytest.fixture
def relaxed(uri, names, quick):
    """Materials whose cells EMT has changed."""
    settings = replace(quick, relaxation=RelaxationSettings())
    maker = ScreenBatchMaker(calculator=EMT, settings=settings.as_dict())
    screen(uri, names, maker, crew=Crew(workers=0))
    return names


@pytest.fixture
def trained(uri, relaxed):
    return train_and_store(uri, TrainingTask("rf-ifc", name="metals", material_ids=relaxed)).model


def test_a_crystal_is_predicted_as_the_source_relaxed_it(uri, trained, relaxed):
    done = predict_stored(uri, trained, relaxed)
    assert done.outcomes == {"computed": 4, "failed": 2}
    assert (done.n_relaxed, done.relaxed_by) == (6, EMT)
    with open_database(uri, read_only=True) as database:
        rows = list(database.predictions.query({"formula_reduced": "Cu"}))
        found = [PredictionDocument.load(row) for row in rows]
        fast = {one.material_id: one for one in found if one.tier == 0}
        slow = {one.material_id: one for one in found if one.tier == 1}
        given = {
            row["material_id"]: StructureDocument.load(row).to_crystal()
            for row in database.structures.query({"formula_reduced": "Cu"})
        }
        assert fast.keys() == slow.keys() == given.keys()
        for name, one in fast.items():
            at_minimum = slow[name].structure.to_pymatgen()
            assert one.structure.to_pymatgen().volume == pytest.approx(at_minimum.volume, abs=1e-6)
            assert abs(given[name].structure.volume - at_minimum.volume) > 1e-3
            assert {RELAXED_BY.format(EMT), LEARNED} <= set(one.warnings)
            # what is known of the relaxed crystal itself has the same numbers
            alone = Springs(trained).predict(canonical_crystal(at_minimum))
            assert one.to_prediction().thermodynamics.free_energy_mev_per_atom == pytest.approx(
                alone.thermodynamics.free_energy_mev_per_atom
            )
    again = predict_stored(uri, trained, relaxed)
    assert again.outcomes == {"already_done": 4, "failed_before": 2}


def test_what_starts_elsewhere_has_a_key_of_its_own(uri, trained, relaxed):
    plain = Springs(trained)
    with open_database(uri) as database:
        ((names, first),) = at_rest(database, relaxed, plain)
        assert names == list(relaxed)
        assert first.settings == {**plain.settings, "relaxed_by": EMT}
        assert first.settings_digest != plain.settings_digest
        database.predictions.remove_docs({"material_id": names[0]})
        (rest, _), (given, second) = at_rest(database, relaxed, plain)
    assert (rest, given) == (names[1:], names[:1])
    assert second is plain


def test_other_models_relaxed_nothing_for_this_one(uri, relaxed):
    with open_database(uri, read_only=True) as database:
        assert relaxed_by(database, relaxed, "chgnet:0.3.0") == {}
        assert relaxed_by(database, relaxed, "") == {}
        found = relaxed_by(database, relaxed, EMT)
        assert set(read_relaxed(database, list(found.values()))) == set(found) == set(relaxed)
        row = database.predictions.query_one({"prediction_id": next(iter(found.values()))})
        digest = row["provenance"]["model_digest"]
        assert relaxed_by(database, relaxed, f"{EMT}@{digest[:12]}") == found
        assert relaxed_by(database, relaxed, f"{EMT}@{'0' * 12}") == {}


def test_a_relaxed_structure_that_is_no_crystal_is_one_failure(uri, trained, relaxed, monkeypatch):
    from flows import at_rest as module

    sound = module.canonical_crystal

    def broken(structure, **more):
        if structure.composition.reduced_formula == "Cu":
            raise CellError("no symmetry can be found", **more)
        return sound(structure, **more)

    monkeypatch.setattr(module, "canonical_crystal", broken)
    done = predict_stored(uri, trained, relaxed)
    assert done.outcomes == {"computed": 2, "failed": 4}
    assert done.refused == {"CELL_DEGENERATE": 2, "ELEMENT_NOT_IN_MODEL": 2}
