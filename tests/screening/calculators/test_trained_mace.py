"""Potentials that were trained here, from memory, from a file, and installed with the project."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from small_networks import ELEMENTS, cells, network

from screening import shipped_models
from screening.calculators import CheckedCalculator, check_elements, load_calculator, trained_mace
from screening.calculators.mace import load_mace
from screening.calculators.shipped import load_shipped
from screening.calculators.specification import is_first_principles
from screening.calculators.trained_mace import (
    FLOAT32_DISPLACEMENT_ANGSTROM,
    load_sampled_potentials,
    load_trained_potential,
)
from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    SettingError,
)
from screening.model_files import model_bytes, model_from_bytes
from screening.network_potential.last_layer import (
    LastLayer,
    sampled_potentials,
    with_last_layer,
)
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
        {"elements": (3, *ELEMENTS)},
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


def test_a_sound_model_of_another_method_is_no_damaged_one(model, tmp_path):
    path = tmp_path / "dos.psm"
    path.write_bytes(model_bytes(replace(model, method="alignn-density-of-states", name="dos")))
    for spec in (f"mace:{path}", f"mace:{path}#4"):
        with pytest.raises(ModelRefusedError, match="alignn-density-of-states") as caught:
            load_calculator(spec)
        assert caught.value.subject == "dos"
        assert "predict --method alignn --model" in caught.value.hint


@pytest.mark.parametrize("pin", ["@da87", "@sha256=da87", "@da87da8", "@latest", f"@{65 * '0'}"])
@pytest.mark.parametrize("samples", ["", "#4"])
def test_what_is_no_digest_is_not_part_of_the_name(model, tmp_path, pin, samples):
    path = tmp_path / "good.psm"
    path.write_bytes(model_bytes(model))
    with pytest.raises(SettingError, match="is no SHA-256") as caught:
        load_calculator(f"mace:{path}{pin}{samples}")
    assert repr(pin.removeprefix("@").removeprefix("sha256=")) in caught.value.message
    assert "8 to 64" in caught.value.hint


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


@pytest.fixture(scope="module")
def carrier(model):
    """The potential with a last layer that nobody fitted."""
    ends = ("linear.weight", "linear_2.weight")
    names = [x for x in model.arrays if x.startswith("network/readouts.") and x.endswith(ends)]
    weights = tuple((name, model.arrays[name].size) for name in names)
    size = sum(count for _, count in weights)
    root = 0.05 * np.random.default_rng(0).normal(size=(size, size))
    return with_last_layer(model, LastLayer(root, weights, 0.1, 0.02, "held-out", 30, 10))


@pytest.fixture
def carrier_file(carrier, tmp_path):
    path = tmp_path / "small.psm"
    path.write_bytes(model_bytes(carrier))
    return path


def test_potentials_are_drawn_around_the_potential(carrier, carrier_file):
    committee = load_calculator(f"mace:{carrier_file}#3")
    alone = load_calculator(f"mace:{carrier_file}")
    assert (committee.name, alone.name) == ("mace:small#3", "mace:small")
    assert (committee.elements, committee.displacement_angstrom) == (alone.elements, 0.01)
    for mean, one in zip(evaluated(committee), evaluated(alone), strict=True):
        np.testing.assert_allclose(mean, one, atol=1e-10)
    drawn = sampled_potentials(carrier, 3, seed=0)
    for member, one in zip(committee.members, drawn, strict=True):
        wanted = evaluated(load_trained_potential(one))[1]
        np.testing.assert_array_equal(evaluated(member)[1], wanted)
    forces = np.array([evaluated(member)[1] for member in committee.members])
    assert forces.std(axis=0, ddof=1).max() > 1e-3
    [note] = committee.notes
    assert "10 held-out cells" in note
    assert "0.02 eV/Å" in note


@pytest.fixture
def unbuilt(monkeypatch):
    """Calculators with names and digests, and no network, which takes a second to build."""

    def named(model):
        return CheckedCalculator(None, f"mace:{model.name}", model.digest)

    monkeypatch.setattr(trained_mace, "load_trained_potential", named)


@pytest.mark.usefixtures("unbuilt")
def test_a_drawn_committee_is_the_same_on_every_machine(carrier, monkeypatch):
    """The last bits of a product of matrices are those of a processor; digests are not."""
    first = load_sampled_potentials(carrier, 2)
    exact = LastLayer.samples
    monkeypatch.setattr(LastLayer, "samples", lambda *x: exact(*x) * (1.0 + 1e-15))
    assert load_sampled_potentials(carrier, 2).digest == first.digest
    others = [load_sampled_potentials(carrier, 3), load_sampled_potentials(carrier, 2, seed=1)]
    members = [one for some in (first, *others) for one in some.members]
    assert len({one.digest for one in (first, *others, *members)} | {carrier.digest}) == 11


@pytest.mark.usefixtures("unbuilt")
def test_a_drawn_committee_may_be_pinned(carrier, carrier_file):
    wanted = load_calculator(f"mace:{carrier_file}#2").digest
    of_file = hashlib.sha256(carrier_file.read_bytes()).hexdigest()
    for pin in (f"@sha256={of_file[:16]}", f"@{carrier.digest.upper()}"):
        assert load_calculator(f"mace:{carrier_file}{pin}#2").digest == wanted
    with pytest.raises(ModelRefusedError, match="0000"):
        load_calculator(f"mace:{carrier_file}@{'0' * 16}#2")


@pytest.mark.parametrize(
    "count", ["", "0", "1", "65", "x", "-3", "2.0", "4#5", "4@0123456789abcdef", "٤"]
)
def test_what_draws_no_committee_is_refused(carrier_file, count):
    with pytest.raises(SettingError, match="2 to 64") as caught:
        load_calculator(f"mace:{carrier_file}#{count}")
    assert f"#{count} " in caught.value.message
    assert "mace:FILE.psm#4" in caught.value.hint


def test_without_a_last_layer_nothing_is_drawn(model, tmp_path):
    path = tmp_path / "bare.psm"
    path.write_bytes(model_bytes(model))
    for spec in (f"mace:{path}#4", "phonoscreen#4", "mace:phonoscreen-small#4"):
        with pytest.raises(ModelRefusedError, match="last layer") as caught:
            load_calculator(spec)
        assert "train mace --last-layer" in caught.value.hint
        assert not is_first_principles(spec)
    with pytest.raises(SettingError, match="#1 "):
        load_calculator("phonoscreen#1")
    with pytest.raises(ModelUnavailableError):
        load_calculator(f"mace:{tmp_path / 'none.psm'}#4")


@pytest.mark.usefixtures("unbuilt")
def test_a_sharp_in_the_name_of_a_file_is_no_number(carrier, tmp_path):
    path = tmp_path / "a.psm#4.psm"
    path.write_bytes(model_bytes(carrier))
    assert load_calculator(f"mace:{path}").digest == carrier.digest
    assert len(load_calculator(f"mace:{path}#2").members) == 2


def test_one_model_is_not_several(carrier_file):
    with pytest.raises(ModelRefusedError, match="several") as caught:
        load_mace(f"{carrier_file}#4")
    assert caught.value.hint == "Leave #4 out"


@pytest.mark.usefixtures("unbuilt")
def test_drawn_committees_join(carrier, carrier_file, tmp_path):
    other = tmp_path / "other.psm"
    changed = {name: 1.01 * np.asarray(array) for name, array in carrier.arrays.items()}
    other.write_bytes(model_bytes(replace(carrier, name="other", arrays=changed)))
    both = load_calculator(f"mace:{carrier_file}#2,mace:{other}#2")
    assert both.name == "mace:small#2,mace:other#2"
    parts = [load_calculator(f"mace:{one}#2") for one in (carrier_file, other)]
    digests = [one.digest for part in parts for one in part.members]
    assert [one.digest for one in both.members] == digests
    with pytest.raises(SettingError, match=r"mace:small#2 \(2\), mace:other \(1\)"):
        load_calculator(f"mace:{carrier_file}#2,mace:{other}")
    with pytest.raises(SettingError, match="different members"):
        load_calculator(f"mace:{carrier_file}#2,mace:{carrier_file}#2")


def test_another_potential_of_an_installed_name_is_told_from_it(model):
    """Predictions by it would pass for those by the installed one."""
    named = replace(model, name="phonoscreen-small")
    called = load_trained_potential(named).name
    assert called == f"mace:phonoscreen-small@{model.digest[:12]}"
    installed = shipped_models.read_shipped("mace", "phonoscreen-small")
    assert load_trained_potential(installed).name == "mace:phonoscreen-small"


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
