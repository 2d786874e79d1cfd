import json
from pathlib import Path

import pytest

from screening import shipped_models
from screening.errors import ModelCorruptError, ModelRefusedError, ModelUnavailableError
from screening.shipped_models import SHIPPED_MODELS, WEIGHTS_FOLDER, read_shipped, shipped_name
from screening.trained_model import METHOD_PREFIXES

EVERY = [(method, name) for method, names in SHIPPED_MODELS.items() for name in names]
RESERVED = {"NaCl", "MgO", "GaAs", "SiC", "ZnO", "AgI", "BN", "LiH", "PbTe", "CuH", "CsF", "KCl"}


def test_all_files_are_named_and_no_others_lie_there():
    assert {f"{name}.psm" for _, name in EVERY} == {
        one.name for one in WEIGHTS_FOLDER.glob("*.psm")
    }


@pytest.mark.parametrize(("method", "name"), EVERY)
def test_every_model_says_what_it_is_and_what_it_learned(method, name):
    model = read_shipped(method, name)
    assert model.name == name
    assert method not in METHOD_PREFIXES or model.method == METHOD_PREFIXES[method]
    assert len(model.elements) > 60
    assert model.card["sources"]
    assert any("not by DFT" in note for note in model.card["notes"])
    split = json.dumps(model.card["split"])
    assert not [formula for formula in RESERVED if f'"{formula}"' in split]
    described = (WEIGHTS_FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"# {name}\n" in described


def test_names_are_those_of_a_method():
    assert shipped_name("mace", "phonoscreen") == "phonoscreen-small"
    assert shipped_name("alignn", "phonoscreen") == "phonoscreen-dos"
    assert shipped_name("mace", "phonoscreen-dos") is None
    assert shipped_name("ldml", "phonoscreen") is None
    with pytest.raises(ModelRefusedError, match="phonoscreen-small"):
        read_shipped("mace", "medium")
    with pytest.raises(ModelRefusedError, match="none of this method"):
        read_shipped("ldml", "phonoscreen")


def test_a_file_that_is_missing_or_another_one_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shipped_models, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(ModelUnavailableError, match="weights cannot be read"):
        read_shipped("mace", "phonoscreen-small")
    whole = (WEIGHTS_FOLDER / "phonoscreen-small.psm").read_bytes()
    (tmp_path / "phonoscreen-small.psm").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelCorruptError, match="SHA-256"):
        read_shipped("mace", "phonoscreen-small")
