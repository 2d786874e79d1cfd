"""Potentials that were trained here, from memory, from a file, and installed with the project."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from small_networks import ELEMENTS, cells, network

from screening import shipped_models
from screening.calculators import check_elements, load_calculator
from screening.calculators.shipped import load_shipped
from screening.calculators.specification import is_first_principles
from screening.calculators.trained_mace import (
    FLOAT32_DISPLACEMENT_ANGSTROM,
    load_trained_potential,
)
from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
)
from screening.model_files import model_bytes, model_from_bytes
from screening.trained_model import TrainedModel

if importlib.util.find_spec("mace") is None:
    pytest.skip("mace-torch is not installed", allow_module_level=True)

ATOMS = cells()["zincblende"][0]


def evaluated(calculator):
    return calculator.energy_forces_stress(ATOMS.cell.array, ATOMS.positions, ATOMS.numbers)


@pytest.fixture(scope="module")
def model():
    from screening.network_potential.network import NETWORK_ARRAYS, network_to_arrays
    from screening.network_potential.settings import MaceArchitecture

    module = network()
    architecture = MaceArchitecture(
        elements=ELEMENTS,
        channels=4,
        cutoff_angstrom=3.6,
        n_bessel=5,
        radial_mlp=(8, 8),
        mlp_channels=4,
    )
    arrays = network_to_arrays(module)
    return TrainedModel(
        method="mace-potential",
        name="small",
        elements=ELEMENTS,
        arrays={NETWORK_ARRAYS + name: array for name, array in arrays.items()},
        state={
            "architecture": architecture.as_dict(),
            "avg_num_neighbors": 6.0,
            "precision": "float64",
            "frequency_scale": None,
        },
        card={},
        training_set_digest="a" * 64,
        n_training_samples=3,
    )


def test_a_trained_potential_is_its_network(model):
    from screening.calculators.mace import MaceEngine

    calculator = load_trained_potential(model)
    assert (calculator.name, calculator.digest) == ("mace:small", model.digest)
    assert calculator.elements == frozenset(ELEMENTS)
    assert calculator.displacement_angstrom == 0.01
    assert not calculator.notes
    assert calculator.engine.is_folded
    wanted, found = evaluated(MaceEngine(network())), evaluated(calculator)
    assert found[0] == pytest.approx(wanted[0], rel=1e-12)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-10)
    np.testing.assert_allclose(found[2], wanted[2], atol=1e-11)
    with pytest.raises(ElementNotInModelError, match="U"):
        check_elements(calculator, [92])


def test_the_frequency_scale_multiplies_energies_by_its_square(model):
    from screening.network_potential.softening import FrequencyScale, with_frequency_scale

    scale = FrequencyScale(1.1, "frequencies", "made up", 9, ("NaCl",), 0, 0.0, 1.0, 0.5)
    scaled = load_trained_potential(with_frequency_scale(model, scale))
    plain = load_trained_potential(model)
    for one, other in zip(evaluated(scaled), evaluated(plain), strict=True):
        np.testing.assert_allclose(one, 1.1**2 * np.asarray(other), rtol=1e-12)
    assert scaled.digest != plain.digest
    assert "1.1000" in scaled.notes[0]


def test_float32_moves_atoms_further(model):
    fast = replace(model, state={**model.state, "precision": "float32"})
    calculator = load_trained_potential(fast)
    assert calculator.displacement_angstrom == FLOAT32_DISPLACEMENT_ANGSTROM
    wanted = evaluated(load_trained_potential(model))
    np.testing.assert_allclose(evaluated(calculator)[1], wanted[1], atol=1e-4)
    assert np.abs(evaluated(calculator)[1] - wanted[1]).max() > 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "linear-descriptor-entropy"},
        {"elements": ELEMENTS[:-1]},
        {"state": {}},
        {"precision": "float16"},
        {"frequency_scale": {"factor": 1.0}},
        {"arrays": {}},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(model, changes):
    name, value = next(iter(changes.items()))
    if name in ("precision", "frequency_scale"):
        changes = {"state": {**model.state, name: value}}
    with pytest.raises(ModelCorruptError):
        load_trained_potential(replace(model, **changes))


def test_a_file_needs_no_digest_and_may_have_one(model, tmp_path):
    path = tmp_path / "small.psm"
    path.write_bytes(model_bytes(model))
    assert model_from_bytes(path.read_bytes(), "small").digest == model.digest
    of_file = hashlib.sha256(path.read_bytes()).hexdigest()
    for pin in ("", f"@sha256={of_file[:16]}", f"@{model.digest.upper()}"):
        assert load_calculator(f"mace:{path}{pin}").digest == model.digest
    with pytest.raises(ModelRefusedError):
        load_calculator(f"mace:{path}@{'0' * 16}")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelCorruptError):
        load_calculator(f"mace:{path}")
    with pytest.raises(ModelUnavailableError):
        load_calculator(f"mace:{tmp_path / 'none.psm'}")


def test_the_shipped_potential_is_the_one_that_is_named(model, tmp_path, monkeypatch):
    data = model_bytes(model)
    digest = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(shipped_models, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setattr(shipped_models, "SHIPPED_MODELS", {"mace": {"phonoscreen-small": digest}})
    with pytest.raises(ModelUnavailableError, match="weights cannot be read"):
        load_calculator("mace:phonoscreen-small")
    (tmp_path / "phonoscreen-small.psm").write_bytes(data)
    for spec in ("mace:phonoscreen-small", "phonoscreen"):
        assert load_calculator(spec).digest == model.digest
        assert not is_first_principles(spec)
    other = model_bytes(replace(model, name="other"))
    (tmp_path / "phonoscreen-small.psm").write_bytes(other)
    with pytest.raises(ModelCorruptError, match=digest):
        load_calculator("phonoscreen")
    with pytest.raises(ModelRefusedError, match="phonoscreen-small"):
        load_shipped("phonoscreen-huge")
