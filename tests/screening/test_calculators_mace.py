"""MACE models by name and by file, with a tiny model of random weights."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from tiny_mace import save_tiny_mace

from screening.calculators import ForceCalculator, load_calculator
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
)

if importlib.util.find_spec("mace") is None:  # importing it would change the process
    pytest.skip("mace-torch is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_mace(tmp_path_factory.mktemp("mace") / "tiny.model")


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Specification of a model with two heads, without the head."""
    path = save_tiny_mace(tmp_path_factory.mktemp("mace") / "two.model", ["pbe", "r2scan"])
    return f"mace:{path}@{_digest(path)[:16]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def calculator(model_file: Path) -> ForceCalculator:
    return load_calculator(f"mace:{model_file}@{_digest(model_file)[:16]}")


def test_identity(calculator: ForceCalculator, model_file: Path) -> None:
    assert isinstance(calculator, ForceCalculator)
    assert calculator.name == "mace:tiny.model"
    assert calculator.digest == _digest(model_file)
    assert calculator.elements == {13, 29}


def test_gives_what_the_stock_calculator_gives(calculator, model_file: Path) -> None:
    from mace.calculators import MACECalculator

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.numbers[0] = 13
    energy, forces, stress = calculator.energy_forces_stress(
        atoms.cell.array, atoms.positions, atoms.numbers
    )
    copies = np.stack([atoms.positions, atoms.positions + 0.1])
    batch = calculator.forces(atoms.cell.array, copies, atoms.numbers)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # it loads without the argument
        atoms.calc = MACECalculator(
            model_paths=[str(model_file)], device="cpu", default_dtype="float64"
        )
        reference = atoms.get_forces()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-12)
    assert np.abs(reference).max() > 1e-3
    np.testing.assert_allclose(forces, reference, atol=1e-11)
    np.testing.assert_allclose(batch, [reference] * 2, atol=1e-11)


def test_leaves_the_process_as_it_was(calculator: ForceCalculator) -> None:
    import torch

    atoms = bulk("Cu")
    calculator.forces(atoms.cell.array, atoms.positions[None], atoms.numbers)
    assert torch.get_default_dtype() == torch.float32
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_file_without_its_digest_is_refused_with_the_text_to_type(model_file: Path) -> None:
    with pytest.raises(ModelRefusedError) as caught:
        load_calculator(f"mace:{model_file}")
    assert _digest(model_file) in caught.value.message
    spec = caught.value.hint.split()[-1]
    assert load_calculator(spec).digest == _digest(model_file)


def test_a_replaced_or_truncated_file_is_refused(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.model"
    digits = _digest(model_file)[:16]
    for data in (model_file.read_bytes()[:-100], b""):
        path.write_bytes(data)
        with pytest.raises(ModelCorruptError, match=digits):
            load_calculator(f"mace:{path}@{digits}")


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("digits", ["", "@0000", "@sha256=0123456789abcdef"])
def test_code_in_a_file_nobody_vouches_for_does_not_run(digits: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "bomb.model"
    path.write_bytes(pickle.dumps(_Bomb(str(canary))))
    with pytest.raises((ModelRefusedError, ModelCorruptError, ModelUnavailableError)):
        load_calculator(f"mace:{path}{digits}")
    assert not canary.exists()


def test_a_trusted_file_that_is_no_model(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "other.model"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(ModelRefusedError, match="dict"):
        load_calculator(f"mace:{path}@{_digest(path)}")
    path.write_bytes(b"not a pickle")
    with pytest.raises(ModelCorruptError):
        load_calculator(f"mace:{path}@{_digest(path)}")


def test_unknown_names_and_missing_files() -> None:
    with pytest.raises(ModelRefusedError, match="medium"):
        load_calculator("mace:gigantic")
    with pytest.raises(ModelUnavailableError, match="no such file"):
        load_calculator("mace:/no/such/file.model")
    with pytest.raises(ModelUnavailableError, match="no such file"):
        load_calculator("mace:https://example.org/x.model")


def test_a_published_model_is_read_only_under_its_digest(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = _digest(model_file)[:16]
    monkeypatch.setattr("screening.calculators.mace._published", lambda _: model_file)
    with pytest.raises(ModelRefusedError, match="runs code") as caught:
        load_calculator("mace:medium")
    assert f"mace:medium@{digits}" in caught.value.hint
    assert load_calculator(f"mace:medium@{digits}").name == "mace:medium"
    with pytest.raises(ModelCorruptError, match="expected 0000"):
        load_calculator(f"mace:medium@{'0' * 16}")


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_args: object, **_kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(ModelUnavailableError) as caught:
        load_calculator("mace:medium")
    assert "chgnet" in caught.value.hint


@pytest.mark.parametrize("head", ["", "#none", "#PBE"])
def test_a_model_with_several_heads_needs_one_of_them_named(two_heads: str, head: str) -> None:
    with pytest.raises(ModelRefusedError, match="pbe, r2scan"):
        load_calculator(two_heads + head)


def test_each_head_gives_its_own_energies_under_its_own_digest(two_heads: str) -> None:
    from mace.calculators import MACECalculator

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    args = (atoms.cell.array, atoms.positions, atoms.numbers)
    found = {head: load_calculator(f"{two_heads}#{head}") for head in ("pbe", "r2scan")}
    assert found["pbe"].name == "mace:two.model#pbe"
    assert found["pbe"].digest != found["r2scan"].digest
    assert abs(found["pbe"].energy(*args) - found["r2scan"].energy(*args)) > 1.0
    for head, calculator in found.items():
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")
            patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
            path = two_heads.removeprefix("mace:").partition("@")[0]
            atoms.calc = MACECalculator(
                model_paths=[path], device="cpu", default_dtype="float64", head=head
            )
            assert calculator.energy(*args) == pytest.approx(
                atoms.get_potential_energy(), abs=1e-10
            )


def test_the_only_head_may_be_named_and_no_other(model_file: Path) -> None:
    spec = f"mace:{model_file}@{_digest(model_file)[:16]}"
    assert load_calculator(f"{spec}#Default").digest == load_calculator(spec).digest
    with pytest.raises(ModelRefusedError, match="no head 'pbe'"):
        load_calculator(f"{spec}#pbe")
