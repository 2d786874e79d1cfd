import json
from pathlib import Path

import pytest

from screening import shipped_models
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    SettingError,
)
from screening.shipped_models import (
    SHIPPED_MODELS,
    WEIGHTS_FOLDER,
    own_model_name,
    read_shipped,
    shipped_name,
    shipped_with_digest,
)
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


@pytest.fixture
def unread():
    """Installed models are read anew, before and after."""
    shipped_models._readable.cache_clear()
    yield
    shipped_models._readable.cache_clear()


@pytest.mark.usefixtures("unread")
def test_a_damaged_model_does_not_keep_others_from_being_known(tmp_path: Path, monkeypatch):
    potential = read_shipped("mace", "phonoscreen-small")
    ensemble = read_shipped("alignn", "phonoscreen-dos")
    assert shipped_with_digest(potential.digest).name == potential.name
    assert shipped_with_digest("0" * 64) is None
    shipped_models._readable.cache_clear()
    monkeypatch.setattr(shipped_models, "WEIGHTS_FOLDER", tmp_path)
    whole = (WEIGHTS_FOLDER / "phonoscreen-dos.psm").read_bytes()
    (tmp_path / "phonoscreen-dos.psm").write_bytes(whole)
    assert shipped_with_digest("0" * 64) is None
    assert shipped_with_digest(potential.digest) is None  # its file is missing
    assert shipped_with_digest(ensemble.digest).name == ensemble.name
    shipped_models._readable.cache_clear()
    (tmp_path / "phonoscreen-dos.psm").write_bytes(whole[:-1])
    assert shipped_with_digest(ensemble.digest) is None


@pytest.mark.parametrize("method", METHOD_PREFIXES.values())
def test_what_users_call_the_installed_models_names_no_other(method):
    for name in ("phonoscreen", "phonoscreen-small", "phonoscreen-dos"):
        with pytest.raises(SettingError, match=f"'{name}' names the model") as caught:
            own_model_name(method, name)
        assert f"{name}-2" in caught.value.hint
    assert own_model_name(method, "phonoscreen-2").endswith(":phonoscreen-2")
    with pytest.raises(SettingError, match="cannot name"):
        own_model_name(method, "no/name")
