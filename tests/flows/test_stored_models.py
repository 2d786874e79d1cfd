"""Which model a user means: a stored one by name or version, a file, or the only one there is."""

from dataclasses import replace

import pytest

from flows.stored_models import find_model, model_named
from flows.training import TrainingTask, train_and_store
from screening.errors import ModelCorruptError, NotFoundError, SettingError
from screening.shipped_models import read_shipped
from stores.connect import open_database
from stores.model_files import write_model
from stores.models import store_model

pytestmark = pytest.mark.usefixtures("springs", "screened")


@pytest.fixture
def trained(uri):
    """A model of copper and aluminium."""
    return train_and_store(uri, TrainingTask("rf-ifc", name="metals")).model


@pytest.fixture
def file(trained, tmp_path):
    return write_model(tmp_path / "metals.psm", trained)


def test_a_model_is_found_by_name_by_version_by_file_or_because_it_is_the_only_one(
    uri, trained, file
):
    with open_database(uri) as database:
        named = f"metals@{trained.digest[:12]}"
        for text in (None, "metals", "rf-ifc:metals", named, f"rf-ifc:{named}", str(file)):
            assert find_model(database, "rf-ifc", text).digest == trained.digest
        with pytest.raises(NotFoundError, match="no such trained model"):
            find_model(database, "rf-ifc", "missing")
        with pytest.raises(NotFoundError, match="no model of ldml"):
            find_model(database, "ldml", None)
        with pytest.raises(SettingError, match="--method rf-ifc"):
            find_model(database, "ldml", str(file))
    train_and_store(uri, TrainingTask("rf-ifc", name="others"))
    with open_database(uri) as database, pytest.raises(SettingError) as caught:
        find_model(database, "rf-ifc", None)
    assert "rf-ifc:metals, rf-ifc:others" in str(caught.value)


@pytest.mark.parametrize("text", [None, "phonoscreen", "phonoscreen-dos", "alignn:phonoscreen-dos"])
def test_where_no_model_is_stored_the_one_that_is_installed_is_meant(uri, text):
    installed = read_shipped("alignn", "phonoscreen-dos")
    with open_database(uri) as database:
        assert find_model(database, "alignn", text).digest == installed.digest
        with pytest.raises(NotFoundError, match="no model of ldml"):
            find_model(database, "ldml", None)


def test_where_nothing_is_named_no_file_is_meant(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    installed = read_shipped("alignn", "phonoscreen-dos")
    other = replace(installed, state={**installed.state, "other": 1})
    write_model(tmp_path / "phonoscreen-dos", other)
    with open_database(uri) as database:
        assert find_model(database, "alignn", None).digest == installed.digest
        assert find_model(database, "alignn", "phonoscreen-dos").digest == other.digest


def test_a_model_cannot_be_called_what_the_installed_ones_are(uri, trained, monkeypatch):
    with open_database(uri) as database:
        n_models = database.models.count()
        for name in ("phonoscreen", "phonoscreen-small"):
            with pytest.raises(SettingError, match="installed with the project") as caught:
                store_model(database, replace(trained, name=name))
            assert f"{name}-2" in caught.value.hint
        assert database.models.count() == n_models
    monkeypatch.setattr("flows.training.materials_where", lambda *_: pytest.fail("work was done"))
    for method in ("rf-ifc", "ldml", "alignn"):
        with pytest.raises(SettingError, match="installed with the project"):
            train_and_store(uri, TrainingTask(method, name="phonoscreen"))


def test_a_copy_of_the_installed_model_may_be_stored_and_no_other_of_its_name(uri):
    installed = read_shipped("alignn", "phonoscreen-dos")
    other = replace(installed, state={**installed.state, "other": 1})
    with open_database(uri) as database:
        store_model(database, installed)
        with pytest.raises(SettingError, match="'phonoscreen-dos' names the model"):
            store_model(database, other)
        store_model(database, replace(other, name="own"))
        assert find_model(database, "alignn", "own").digest == other.digest
        for text in ("phonoscreen-dos", "phonoscreen"):
            assert find_model(database, "alignn", text).digest == installed.digest


def test_the_method_is_what_a_name_of_no_method_gets_wrong(uri, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_database(uri) as database:
        for asked in (
            lambda: model_named(database, "nothing:metals", "models export {} x"),
            lambda: find_model(database, "rf-ifc", "nothing:metals"),
        ):
            with pytest.raises(SettingError, match="trained by a method 'nothing'") as caught:
                asked()
            assert "rf-ifc:metals or ldml:metals" in str(caught.value)
        write_model(tmp_path / "nothing:metals", trained)
        assert find_model(database, "rf-ifc", "nothing:metals").digest == trained.digest


def test_a_file_in_the_folder_does_not_stand_before_a_stored_model(
    uri, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "metals", replace(trained, state={**trained.state, "other": 1}))
    (tmp_path / "junk").write_text("no model")
    with open_database(uri) as database:
        assert find_model(database, "rf-ifc", "metals").digest == trained.digest
        assert find_model(database, "rf-ifc", "./metals").digest != trained.digest
        with pytest.raises(ModelCorruptError):
            find_model(database, "rf-ifc", "junk")


def test_a_name_of_two_methods_needs_the_method(uri, trained):
    with open_database(uri) as database:
        key, model = model_named(database, "metals")
        assert (key, model.digest) == (f"rf-ifc:metals@{trained.digest[:12]}", trained.digest)
        store_model(database, replace(trained, method="linear-descriptor-entropy"))
        with pytest.raises(SettingError) as caught:
            model_named(database, "metals", "models export {} 'my file'")
        assert caught.value.hint == (
            "Use phonoscreen models export ldml:metals 'my file' or "
            "phonoscreen models export rf-ifc:metals 'my file'"
        )
        assert model_named(database, "rf-ifc:metals")[0] == key
        with pytest.raises(NotFoundError):
            model_named(database, "missing")


@pytest.mark.parametrize("text", ["alignn:phonoscreen", "phonoscreen-dos"])
def test_an_installed_model_is_shown_where_it_is_not_stored(uri, text):
    installed = read_shipped("alignn", "phonoscreen-dos")
    with open_database(uri) as database:
        key, model = model_named(database, text)
        assert key == f"alignn:phonoscreen-dos@{installed.digest[:12]}"
        assert model.digest == installed.digest
        with pytest.raises(SettingError, match="2 methods have this name"):
            model_named(database, "phonoscreen")
