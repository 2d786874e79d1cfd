"""The frequency scale of a stored potential, learned from phonons that differ by a known factor."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from tiny_networks import tiny_model

from flows.cli import ExitCode
from flows.imports import import_structures
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.potential_scale import (
    compositions_of,
    corrected_potential,
    learned_compositions,
    scale_potential,
)
from flows.run import screen
from screening.errors import ModelRefusedError, NotFoundError, SettingError, TrainingSetError
from screening.network_potential.softening import (
    FrequencyScale,
    frequency_scale_of,
    with_frequency_scale,
)
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.model_files import write_model
from stores.models import SOURCE_IDS, load_model, store_model

FACTOR = 1.2
SCALE = FrequencyScale(FACTOR, "frequencies", "made up", 1, ("NaCl",), 0, 0.0, 1.0, 0.0)
LEARNED = {"split": {"training_groups": ["NaCl"], "held_out_groups": ["CsCl"]}}


@pytest.fixture
def potential(uri, quick, tmp_path):
    """A potential, and phonons by the same one with all frequencies a fifth higher."""
    model = replace(tiny_model(), n_training_samples=1)
    file = write_model(tmp_path / "stiffer.psm", with_frequency_scale(model, SCALE))
    fcc = Lattice.cubic(5.64)
    sites = [[0, 0, 0], [0.5] * 3]
    crystals = {
        "rocksalt": Structure.from_spacegroup("Fm-3m", fcc, ["Na", "Cl"], sites),
        "caesium": Structure(Lattice.cubic(4.1), ["Cs", "Cl"], sites),
        "sodium": Structure(Lattice.cubic(4.2), ["Na", "Na"], sites),
    }
    for name, structure in crystals.items():
        structure.to(tmp_path / f"{name}.cif")
    names = import_structures(uri, sorted(tmp_path.glob("*.cif"))).material_ids
    maker = ScreenBatchMaker(calculator=f"mace:{file}", settings=quick.as_dict())
    report = screen(uri, names, maker, crew=Crew(workers=0))
    assert report.outcomes == {"computed": 3}
    with open_database(uri) as database:
        store_model(database, model)
    return model


def test_the_factor_between_two_potentials_is_found(uri, potential):
    heard = []
    done = scale_potential(uri, "tiny", progress=lambda *told: heard.append(told))
    assert done.scale.factor == pytest.approx(FACTOR, rel=1e-6)
    assert done.scale.rms_after < 1e-5 * done.scale.rms_before
    assert done.scale.n_compositions == 3
    assert heard[-1] == ("comparing phonons", 3, 3)
    with open_database(uri, read_only=True) as database:
        assert database.models.count() == 2
        newest = load_model(database, "mace:tiny")
    assert newest.digest == done.model.digest != potential.digest
    assert frequency_scale_of(newest) == done.scale
    for name, values in potential.arrays.items():
        np.testing.assert_array_equal(newest.arrays[name], values)
    assert done.scale.note in newest.card["notes"]


@pytest.mark.usefixtures("potential")
def test_a_second_scale_replaces_the_first(uri):
    first = scale_potential(uri, "tiny", query="chemsys = Cl-Na")
    second = scale_potential(uri, "tiny")
    assert second.scale.factor == pytest.approx(first.scale.factor, rel=1e-6)
    assert sum("are multiplied by" in one for one in second.model.card["notes"]) == 1


def test_all_notes_of_earlier_scales_go_wherever_they_stand():
    other = replace(SCALE, factor=1.1)
    notes = ["labels are made up", other.note, "kept", SCALE.note]
    model = replace(tiny_model(), card={"notes": notes})
    newest = replace(SCALE, factor=1.3)
    found = corrected_potential(model, newest).card["notes"]
    unscaled = "scores are of forces without the frequency scale"
    assert found == [newest.note, unscaled, "labels are made up", "kept"]
    assert corrected_potential(replace(model, card={"notes": found}), newest).card["notes"] == found


def test_compositions_that_were_learned_or_are_reserved_are_left_out(uri, potential):
    with open_database(uri) as database:
        store_model(database, replace(potential, name="taught", card=LEARNED))
    done = scale_potential(uri, "taught", exclude=frozenset({"Na"}))
    assert done.scale.compositions == ("CsCl",)
    assert done.left_out == {
        "its composition is reserved": 1,
        "its composition was learned from": 1,
    }
    assert "learned" not in done.scale.source
    both = scale_potential(uri, "taught", exclude=frozenset({"Na"}), include_learned=True)
    assert both.scale.compositions == ("CsCl", "NaCl")
    assert both.left_out == {"its composition is reserved": 1}
    assert both.scale.source.endswith("what the potential learned from was not left out")
    with pytest.raises(TrainingSetError, match="learned from") as caught:
        scale_potential(uri, "taught", query="chemsys = Cl-Na")
    assert "--include-learned" in caught.value.hint
    unknown = scale_potential(uri, "tiny", query="chemsys = Cl-Na").scale.source
    assert "not known" in unknown


def test_what_a_potential_learned_from_is_looked_up(uri, screened):
    with open_database(uri, read_only=True) as database:
        assert learned_compositions(database, replace(tiny_model(), card=LEARNED)) == {"NaCl"}
        assert learned_compositions(database, tiny_model()) is None
        rows = database.structures.query({}, ["material_id", "formula_reduced"])
        formulas = {row["material_id"]: row["formula_reduced"] for row in rows}
        card = {SOURCE_IDS: list(screened), "split": {"held_out_groups": ["Cu"]}}
        found = learned_compositions(database, replace(tiny_model(), card=card))
    assert found == set(formulas.values()) - {"Cu"}


def test_compositions_are_read_from_text_or_a_file(tmp_path):
    path = tmp_path / "reserved.txt"
    path.write_text("Na2Cl2\nMgO, CuCu\n")
    assert compositions_of(str(path)) == {"NaCl", "MgO", "Cu"}
    assert compositions_of("") == frozenset()
    with pytest.raises(SettingError):
        compositions_of("Xyz7")


@pytest.mark.usefixtures("potential")
def test_what_has_no_scale_or_no_phonons_is_refused(uri, names):
    entropy = TrainedModel(
        "linear-descriptor-entropy", "x", (13,), {"a": np.zeros(1)}, {}, {}, "0" * 64, 1
    )
    with open_database(uri) as database:
        store_model(database, entropy)
    with pytest.raises(ModelRefusedError, match="linear-descriptor-entropy"):
        scale_potential(uri, "x")
    with pytest.raises(NotFoundError):
        scale_potential(uri, "nobody")
    with pytest.raises(NotFoundError):
        scale_potential(uri, "tiny", query="chemsys = Pt")
    with pytest.raises(TrainingSetError):
        scale_potential(uri, "tiny", source="nobody")
    with pytest.raises(TrainingSetError):
        scale_potential(uri, "tiny", query=f"material_id = {names[0]}")


@pytest.mark.usefixtures("potential")
def test_the_command(phonoscreen):
    code, out, err = phonoscreen("models", "scale", "tiny", "--json")
    assert code == ExitCode.DONE, err
    assert json.loads(out)["frequency_scale"]["factor"] == pytest.approx(FACTOR, rel=1e-6)
    code, out, _ = phonoscreen("models", "scale", "tiny")
    assert code == ExitCode.DONE
    assert "frequencies are multiplied by" in out
    assert "1.2000" in out
    code, out, _ = phonoscreen("models", "scale", "tiny", "--exclude", "Na,CsCl", "--json")
    assert (code, json.loads(out)["frequency_scale"]["compositions"]) == (ExitCode.DONE, ["NaCl"])
    assert json.loads(out)["left_out"] == {"its composition is reserved": 2}
    code, out, _ = phonoscreen("models", "scale", "tiny", "--include-learned", "--json")
    assert "was not left out" in json.loads(out)["frequency_scale"]["source"]
    assert code == ExitCode.DONE
    code, out, _ = phonoscreen("models", "show", "tiny")
    assert "frequencies are multiplied by 1.2000" in " ".join(out.split())
