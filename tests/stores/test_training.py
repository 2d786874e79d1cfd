"""Training sets out of the database: of one source, streamed, and why materials are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.anharmonic import ForceConstants
from screening.errors import TrainingSetError
from screening.prediction import (
    Cost,
    ForceData,
    Prediction,
    Relaxation,
    Stability,
    Thermodynamics,
    Verdict,
    frozen_array,
)
from stores import training
from stores.documents import PhononDocument, PredictionDocument, phonon_arrays
from stores.query import by_field
from stores.training import TrainingReport, training_phonons

CRYSTAL = Structure(Lattice.cubic(3.5), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CELL = {
    "primitive": CRYSTAL,
    "supercell_matrix": np.eye(3, dtype=int),
    "supercell_scaled_positions": frozen_array(CRYSTAL.frac_coords),
    "supercell_numbers": np.array([55, 17]),
}
FLAT = frozen_array([1.0])
CURVES = Thermodynamics(FLAT, FLAT, FLAT, FLAT, FLAT, 1.0, "drop", 0.1, 0.0, 0.0, valid=True)


def forces(seed):
    rng = np.random.default_rng(seed)
    return ForceData(
        **CELL,
        displaced_atoms=np.array([0, 1]),
        displacements_angstrom=frozen_array(rng.normal(size=(2, 3))),
        forces_ev_per_angstrom=frozen_array(rng.normal(size=(2, 2, 3))),
        residual_forces_ev_per_angstrom=frozen_array(np.zeros((2, 3))),
    )


def constants(seed):
    values = np.random.default_rng(seed).normal(size=(2, 2, 3, 3))
    return ForceConstants(**CELL, second_order_ev_per_angstrom2=frozen_array(values))


def prediction(name, **changes):
    fields = {
        "method": "potential-phonons",
        "method_version": 1,
        "tier": 1,
        "model": "chgnet:0.3.0",
        "model_digest": "b" * 64,
        "structure_digest": name.encode().hex().rjust(64, "0"),
        "settings": {},
        "settings_digest": "c" * 64,
        "structure": CRYSTAL,
        "thermodynamics": CURVES,
        "stability": Stability(Verdict.STABLE, "mesh", 1.0, frozen_array([0, 0, 0]), "mesh", {}),
        "cost": Cost(1.0, 1.0, 1.0, 2),
        "static_energy_ev_per_atom": -3.5,
        "static_energy_source": "chgnet:0.3.0",
        "relaxation": Relaxation(True, 7, 2e-4, 0.01, 1.01, 221, 221),
        "force_data": forces(int(name)),
    }
    return Prediction(**fields | changes)


DFT = {"model": "dft:PBE", "model_digest": "d" * 64, "tier": 3, "method": "dft-phonons"}
FITTED = {"force_data": None, "relaxation": None, "static_energy_ev_per_atom": None}


def write(database, name, **changes):
    given = prediction(name, **changes)
    blobs = {part: database.blobs.put(x) for part, x in phonon_arrays(given).items()}
    document = PredictionDocument.from_prediction(given, name)
    if blobs:
        database.phonons.update(PhononDocument.from_prediction(given, name, blobs).to_store())
    database.predictions.update(document.to_store())
    return document


def test_forces_come_back_in_the_order_asked_for(database):
    keys = {name: write(database, name).prediction_id for name in ("1", "2", "3")}
    report = TrainingReport()
    found = list(training_phonons(database, ["3", "1", "3"], report=report))
    assert [one.material_id for one in found] == ["3", "1"]
    for one in found:
        given = forces(int(one.material_id))
        assert one.force_constants is None
        assert one.prediction_id == keys[one.material_id]
        for field in ("displacements_angstrom", "forces_ev_per_angstrom"):
            np.testing.assert_array_equal(getattr(one.force_data, field), getattr(given, field))
        assert one.force_data.primitive == CRYSTAL
        assert (one.formula, one.source, one.tier) == ("CsCl", "chgnet:0.3.0", 1)
        assert one.static_energy_ev_per_atom == -3.5
        assert one.residual_force_ev_per_angstrom == 2e-4
    assert (report.source, report.n_asked, report.n_read) == ("chgnet:0.3.0", 2, 2)
    assert report.skipped == {}


def test_fitted_force_constants_come_back(database):
    write(database, "1", **FITTED | {"static_energy_source": None}, force_constants=constants(4))
    (found,) = training_phonons(database, ["1"])
    assert found.force_data is None
    np.testing.assert_array_equal(
        found.force_constants.second_order_ev_per_angstrom2,
        constants(4).second_order_ev_per_angstrom2,
    )
    assert found.static_energy_ev_per_atom is None
    assert found.residual_force_ev_per_angstrom is None


@pytest.mark.parametrize("of_dft", ["1", "2"])  # one material with both, or one with each
def test_sources_are_never_mixed(database, of_dft):
    write(database, "1")
    write(database, of_dft, **DFT)
    with pytest.raises(TrainingSetError, match=r"several sources.*chgnet:0.3.0 \(1\), dft:PBE"):
        training_phonons(database, ["1", "2"])
    for name, material in (("chgnet:0.3.0", "1"), ("dft:PBE", of_dft)):
        report = TrainingReport()
        found = list(training_phonons(database, ["1", "2"], name, report=report))
        assert [(one.material_id, one.source) for one in found] == [(material, name)]
        assert report.counts == {f"no phonons of {name}": 1}
    # materials that were not asked for do not matter
    if of_dft == "2":
        assert [one.source for one in training_phonons(database, ["2"])] == ["dft:PBE"]


def test_two_models_of_one_name_are_two_sources(database):
    write(database, "1")
    write(database, "1", model_digest="e" * 64)
    for name in (None, "chgnet:0.3.0"):
        with pytest.raises(TrainingSetError, match=r"chgnet:0.3.0@bbbbbbbbbbbb \(1\), .*@eeee"):
            training_phonons(database, ["1"], name)
    (found,) = training_phonons(database, ["1"], "chgnet:0.3.0@eeee")
    same = by_field("prediction_id", found.prediction_id)
    stored = PredictionDocument.load(database.predictions.query_one(same))
    assert stored.provenance.model_digest == "e" * 64


def test_given_forces_of_many_materials_are_one_source(database):
    for name, digit in (("1", "e"), ("2", "f")):
        write(database, name, method="given-forces", model="PBE", model_digest=digit * 64, tier=3)
    assert [one.source for one in training_phonons(database, ["1", "2"])] == ["PBE", "PBE"]


def test_of_many_sources_only_some_are_listed(database):
    for number in range(1, 10):
        write(database, "1", model=f"model-{number}", model_digest=str(number) * 64)
    with pytest.raises(TrainingSetError, match=r"model-6 \(1\) and 3 others"):
        training_phonons(database, ["1"])


def test_fast_models_are_labels_only_where_they_are_named(database):
    fast = {"tier": 0, "model": "rf-ifc:x", "model_digest": "f" * 64}
    write(database, "1")
    write(database, "1", **fast)
    write(database, "2", **fast)
    report = TrainingReport()
    assert [one.tier for one in training_phonons(database, ["1", "2"], report=report)] == [1]
    assert report.counts == {"no phonons of chgnet:0.3.0": 1}
    assert [one.tier for one in training_phonons(database, ["1", "2"], "rf-ifc:x")] == [0, 0]
    with pytest.raises(TrainingSetError, match="none of 1 materials") as caught:
        training_phonons(database, ["2"])
    assert "rf-ifc:x" in caught.value.hint


def test_of_several_by_one_source_the_highest_tier_then_the_newest_counts(database):
    write(database, "1")
    newest = write(database, "1", method_version=2)
    write(database, "1", settings_digest="0" * 64)
    (found,) = training_phonons(database, ["1"])
    assert found.prediction_id == newest.prediction_id
    best = write(database, "1", tier=2, method="gaussian-process-phonons")
    (found,) = training_phonons(database, ["1"])
    assert found.prediction_id == best.prediction_id


def test_what_has_no_phonons_is_said(database):
    write(database, "1")
    write(database, "2", force_data=None)
    report = TrainingReport()
    found = training_phonons(database, ["1", "2", "never seen"], report=report)
    assert [one.material_id for one in found] == ["1"]
    assert report.skipped == {"no phonons of chgnet:0.3.0": ["2", "never seen"]}
    assert report.lines() == [
        "1 of 3 materials have phonons of chgnet:0.3.0",
        "2 left out: no phonons of chgnet:0.3.0",
    ]
    for names, model in ((["2"], None), ([], None), (["1"], "mace:large")):
        with pytest.raises(TrainingSetError, match=f"none of {len(names)} materials"):
            training_phonons(database, names, model)


def test_a_damaged_material_is_left_out_with_its_reason(database):
    for name in ("1", "2", "3"):
        write(database, name)
    same = by_field("material_id", "1")
    document = PhononDocument.load(database.phonons.query_one(same))
    blob = document.forces_blob.model_copy(update={"sha256": "0" * 64})
    database.phonons.update(document.replaced(forces_blob=blob).to_store())
    stored = database.predictions.query_one(by_field("material_id", "2"))
    database.predictions.update(stored | {"static_energy_ev_per_atom": 0.0})
    report = TrainingReport()
    found = training_phonons(database, ["1", "2", "3"], report=report)
    assert [one.material_id for one in found] == ["3"]
    assert sorted(reason.partition(":")[0] for reason in report.skipped) == [
        "CORRUPT_DATA",
        "NOT_FOUND",
    ]
    assert report.n_read == 1


def test_arrays_are_read_when_their_turn_comes(database, monkeypatch):
    names = [str(number) for number in range(7)]
    for name in names:
        write(database, name)
    monkeypatch.setattr(
        training, "chunks", lambda values: (list(values)[i : i + 3] for i in (0, 3, 6))
    )
    read = []
    get = database.blobs.get
    monkeypatch.setattr(database.blobs, "get", lambda digest: read.append(digest) or get(digest))
    found = training_phonons(database, names)
    assert read == []
    for number in range(1, 8):
        assert next(found).material_id == names[number - 1]
        assert len(read) == number
    assert list(found) == []


def test_what_is_removed_meanwhile_is_said(database):
    write(database, "1")
    report = TrainingReport()
    found = training_phonons(database, ["1"], report=report)
    database.predictions.remove_docs(by_field("material_id", "1"))
    assert list(found) == []
    assert report.counts == {"removed meanwhile": 1}


def test_reports_are_of_their_own():
    report = TrainingReport()
    report.skip("1", "why")
    assert TrainingReport().skipped == {}
    assert replace(report).counts == {"why": 1}
