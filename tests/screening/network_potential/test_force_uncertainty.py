from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tiny_networks import CAESIUM, network_for, put_weights, salt_cell, tiny_model

from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    SettingError,
    TooLargeError,
    TrainingSetError,
)
from screening.network_potential.last_layer import (
    LastLayer,
    sampled_potentials,
    with_last_layer,
)
from screening.network_potential.softening import FrequencyScale, with_frequency_scale
from screening.phonons import PhononSettings, harmonic_from_forces, mean_force_data
from screening.supercell import SupercellSettings

pytest.importorskip("torch")
READOUTS = ("network/readouts.0.linear.weight", "network/readouts.1.linear_2.weight")


@pytest.fixture(scope="module")
def uncertainty():
    """The module, with one network instead of many: all models here have its weights."""
    from screening.network_potential import force_uncertainty

    def same_network(model, *, precision):
        assert precision == "float64"
        put_weights(network_for("spread"), model)
        return network_for("spread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(force_uncertainty, "network_of", same_network)
        yield force_uncertainty


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@cache
def labelling_forward():
    from screening.network_potential.forward import NetworkForward

    return NetworkForward(network_for("labels"))


def network_forces(model, cell):
    """Forces by the network itself."""
    import torch

    from screening.network_potential.batches import batch_of, cell_tensors
    from screening.network_potential.losses import predict
    from screening.network_potential.settings import MaceArchitecture

    put_weights(network_for("labels"), model)
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    batch = batch_of([cell_tensors(cell, architecture, torch.float64)])
    return predict(labelling_forward(), batch).forces.detach().numpy()


def with_weights(model, weights):
    """Put numbers in the place of the last weights of the readouts."""
    arrays, start = dict(model.arrays), 0
    for name in READOUTS:
        size = arrays[name].size
        arrays[name] = np.reshape(weights[start : start + size], arrays[name].shape)
        start += size
    return replace(model, arrays=arrays)


def labelled(model, seeds, noise=0.0, **more):
    """Cells with the forces of a model, and some noise."""
    cells = [salt_cell(seed, **more) for seed in seeds]
    noises = [np.random.default_rng([seed, 1]).normal(size=(8, 3)) for seed in seeds]
    return [
        replace(cell, forces_ev_per_angstrom=network_forces(model, cell) + noise * extra)
        for cell, extra in zip(cells, noises, strict=True)
    ]


def design_by_hand(model, cell):
    """Forces for one weight at a time: what they are linear in."""
    size = sum(model.arrays[name].size for name in READOUTS)
    columns = [network_forces(with_weights(model, one), cell).ravel() for one in np.eye(size)]
    return np.array(columns).T


def test_spread_is_that_of_linear_regression_on_forces(uncertainty, model):
    cells = labelled(model, range(3), noise=0.01)
    layer = uncertainty.fit_last_layer(model, cells)
    design = np.vstack([design_by_hand(model, cell) for cell in cells])
    assert layer.weights == tuple((name, model.arrays[name].size) for name in READOUTS)
    inverse = np.linalg.inv(design.T @ design + layer.ridge * np.eye(design.shape[1]))
    expected = layer.noise_ev_per_angstrom**2 * inverse
    np.testing.assert_allclose(layer.covariance, expected, rtol=1e-5, atol=1e-9 * expected.max())
    assert layer.noise_ev_per_angstrom == pytest.approx(0.01, rel=0.3)
    assert (layer.calibration, layer.n_cells, layer.n_held_out) == ("evidence", 3, 0)
    other = salt_cell(77)
    rows = design_by_hand(model, other)
    direct = np.sqrt(np.einsum("ri,ij,rj->r", rows, expected, rows)).reshape(8, 3)
    found = uncertainty.ForceUncertainty(with_last_layer(model, layer)).of(other)
    np.testing.assert_allclose(found.std_ev_per_angstrom, direct, rtol=1e-4)
    np.testing.assert_allclose(
        found.forces_ev_per_angstrom, network_forces(model, other), atol=1e-12
    )
    assert found.energy_std_ev_per_atom > 0.0


@pytest.fixture(scope="module")
def informed(uncertainty, model):
    cells = labelled(model, range(8), noise=0.01)
    return with_last_layer(model, uncertainty.fit_last_layer(model, cells))


def test_spread_grows_away_from_what_was_seen(uncertainty, informed):
    known = uncertainty.ForceUncertainty(informed)

    def size(cell):
        return float(np.sqrt(np.mean(known.of(cell).std_ev_per_angstrom ** 2)))

    near = size(salt_cell(50))
    assert size(salt_cell(50, rattle_angstrom=0.3)) > 2 * near
    assert size(salt_cell(50, cation=CAESIUM, group="CsCl")) > 2 * near


def test_samples_reproduce_the_spread(uncertainty, informed):
    known = uncertainty.ForceUncertainty(informed)
    cell = salt_cell(60)
    drawn = known.sampled_forces(cell, 4000, seed=1)
    found = known.of(cell)
    np.testing.assert_allclose(drawn.mean(axis=0), found.forces_ev_per_angstrom, atol=1e-10)
    np.testing.assert_allclose(drawn.std(axis=0, ddof=1), found.std_ev_per_angstrom, rtol=0.06)


def test_sampled_forces_are_those_of_sampled_potentials(uncertainty, informed):
    cell = salt_cell(61)
    drawn = uncertainty.ForceUncertainty(informed).sampled_forces(cell, 3, seed=5)
    for forces, potential in zip(drawn, sampled_potentials(informed, 3, seed=5), strict=True):
        np.testing.assert_allclose(forces, network_forces(potential, cell), atol=1e-10)


def test_forces_of_a_cell_sum_to_zero_in_every_sample(uncertainty, informed):
    drawn = uncertainty.ForceUncertainty(informed).sampled_forces(salt_cell(62), 4)
    np.testing.assert_allclose(drawn.sum(axis=1), 0.0, atol=1e-10)


def test_held_out_cells_calibrate(uncertainty, model):
    """Errors of other compositions are far larger than the noise of training."""
    weights = np.concatenate([model.arrays[name].ravel() for name in READOUTS])
    other = with_weights(model, weights + 0.5 * np.random.default_rng(3).normal(size=len(weights)))
    cells = labelled(model, range(6), noise=0.002)
    held_out = labelled(other, range(20, 24), cation=CAESIUM, group="CsCl")
    layer = uncertainty.fit_last_layer(model, cells, held_out)
    assert (layer.calibration, layer.n_held_out) == ("held-out", 4)
    known = uncertainty.ForceUncertainty(with_last_layer(model, layer))
    z = []
    for cell in held_out:
        found = known.of(cell)
        error = cell.forces_ev_per_angstrom - found.forces_ev_per_angstrom
        z.append(error / found.std_ev_per_angstrom)
    assert np.mean(np.abs(z) <= 1.0) == pytest.approx(0.683, abs=0.02)


def test_the_frequency_scale_scales_forces_and_spread(uncertainty, informed):
    scale = FrequencyScale(1.2, "frequencies", "springs", 5, ("NaCl",), 0, 0.0, 1.0, 0.5)
    cell = salt_cell(63)
    before = uncertainty.ForceUncertainty(informed).of(cell)
    after = uncertainty.ForceUncertainty(with_frequency_scale(informed, scale)).of(cell)
    for name in ("forces_ev_per_angstrom", "std_ev_per_angstrom", "energy_std_ev_per_atom"):
        np.testing.assert_allclose(getattr(after, name), 1.44 * np.array(getattr(before, name)))


def test_a_subset_of_cells_is_drawn_by_seed(uncertainty, model):
    cells = labelled(model, range(5), noise=0.01)
    settings = uncertainty.LastLayerSettings(n_cells=3, seed=1)
    layer = uncertainty.fit_last_layer(model, cells, settings=settings)
    again = uncertainty.fit_last_layer(model, cells, settings=settings)
    assert layer.n_cells == 3
    np.testing.assert_array_equal(layer.root, again.root)


def test_displaced_cells_of_a_crystal_have_the_spread_of_the_samples(uncertainty, informed):
    from pymatgen.core import Lattice, Structure

    from screening.network_potential.sampled_phonons import sampled_force_data

    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure()
    small = SupercellSettings(min_length_angstrom=5.0, min_atoms=8)
    settings = PhononSettings(supercell=small)
    known = uncertainty.ForceUncertainty(informed)
    members = sampled_force_data(salt, known, settings, count=5, seed=3)
    mean = mean_force_data(members)
    bare = sampled_force_data(salt, known, settings, count=3, seed=8)
    np.testing.assert_allclose(
        mean.forces_ev_per_angstrom, mean_force_data(bare).forces_ev_per_angstrom, atol=1e-12
    )
    spread = np.std([one.forces_ev_per_angstrom for one in members], axis=0, ddof=1)
    assert spread.max() > 1e-5
    frequencies = [harmonic_from_forces(one) for one in members]
    constants = np.array([x.force_constants_ev_per_angstrom2 for x in frequencies])
    average = harmonic_from_forces(mean).force_constants_ev_per_angstrom2
    np.testing.assert_allclose(constants.mean(axis=0), average, atol=1e-10)
    with pytest.raises(SettingError):
        sampled_force_data(salt, known, settings, count=1)


def test_every_cell_is_told_of(uncertainty, model):
    cells = labelled(model, range(3), noise=0.01)
    held_out = labelled(model, [20], noise=0.01, cation=CAESIUM, group="CsCl")
    heard = []
    settings = uncertainty.LastLayerSettings(n_cells=2)
    uncertainty.fit_last_layer(
        model, cells, held_out, settings, progress=lambda *told: heard.append(told)
    )
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_cell_that_does_not_fit_into_memory_is_named(uncertainty, model, monkeypatch):
    def full(_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(uncertainty, "batch_of", full)
    with pytest.raises(TooLargeError, match="8 atoms") as caught:
        uncertainty.fit_last_layer(model, [salt_cell(4)])
    assert caught.value.subject == "NaCl-4"
    assert "--device cpu" in caught.value.hint


def test_bad_input_is_refused(uncertainty, model, informed):
    cells = labelled(model, range(2), noise=0.01)
    with pytest.raises(TrainingSetError):
        uncertainty.fit_last_layer(model, [])
    with pytest.raises(TrainingSetError):
        uncertainty.fit_last_layer(model, cells, cells[:1])
    with pytest.raises(ElementNotInModelError):
        uncertainty.fit_last_layer(model, [*cells, salt_cell(3, cation=3, group="LiCl")])
    with pytest.raises(ElementNotInModelError):
        uncertainty.ForceUncertainty(informed).of(salt_cell(3, cation=3, group="LiCl"))
    with pytest.raises(ModelRefusedError):
        uncertainty.ForceUncertainty(model)
    with pytest.raises(SettingError):
        uncertainty.LastLayerSettings(n_cells=0)
    wrong = LastLayer(np.eye(4), (("network/readouts.0.linear.weight", 4),), 1, 1, "evidence", 1, 0)
    with pytest.raises(ModelCorruptError):
        uncertainty.ForceUncertainty(with_last_layer(model, wrong))
