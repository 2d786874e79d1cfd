from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_salts import labelled_salts

pytest.importorskip("careful_mace")

import torch

from screening.network_potential.element_sharing import ElementSharing, element_similarity
from screening.network_potential.network import build_network, network_to_arrays
from screening.network_potential.settings import MACE_PRESETS, MaceArchitecture
from screening.network_potential.training import train_potential

SHAPE = MaceArchitecture(elements=(8, 13, 31), channels=2, max_ell=2, radial_mlp=(4,))
ALUMINIUM, GALLIUM = 1, 2
PRODUCT = "products.0.symmetric_contractions.contractions.0.weights_max"
MAP = "interactions.1.skip_tp.weight"
EMBEDDING = "node_embedding.linear.weight"


def weights(network):
    return {name: np.array(one.detach().numpy()) for name, one in network.named_parameters()}


def by_element(name, values):
    """Shape (element, everything else)."""
    if name == MAP:
        return values.reshape(-1, 3, SHAPE.channels).swapaxes(0, 1).reshape(3, -1)
    return values.reshape(3, -1)


def test_similarity_is_a_covariance_and_knows_the_columns_of_the_periodic_table():
    elements = list(range(1, 95))
    found = element_similarity(elements)
    assert np.diag(found) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    assert np.array_equal(found, found.T)
    index = {"F": 8, "O": 7, "Na": 10, "Al": 12, "S": 15, "Cl": 16, "K": 18, "Ga": 30, "Se": 33}
    pairs = [("Al", "Ga"), ("S", "Se"), ("Na", "K")]
    alike = [found[index[a], index[b]] for a, b in pairs]
    unlike = [found[index[a], index[b]] for a, b in [("Al", "O"), ("Na", "Cl"), ("K", "F")]]
    assert min(alike) > max(unlike) + 0.2


def test_nothing_shared_is_nothing_changed():
    network = build_network(SHAPE, seed=1)
    before = weights(network)
    sharing = ElementSharing(network, SHAPE, 0.0, is_random=True)
    sharing.push()
    assert all(np.array_equal(before[name], one) for name, one in weights(network).items())
    for name, one in network.named_parameters():
        assert sharing.coordinates[name] is one


def test_trained_weights_stay_what_they_are():
    network = build_network(SHAPE, seed=1)
    before = weights(network)
    ElementSharing(network, SHAPE, 0.9, is_random=False)
    for name, one in weights(network).items():
        assert one == pytest.approx(before[name], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", [PRODUCT, MAP, EMBEDDING])
def test_random_weights_become_alike_where_elements_are(name):
    share, found = 0.9, []
    network = build_network(SHAPE)
    sharing = ElementSharing(network, SHAPE, share, is_random=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        sharing.coordinates[name].normal_(generator=generator)
        sharing.push()
        found.append(by_element(name, weights(network)[name]))
    products = np.einsum("sex,sfx->ef", found, found)
    correlation = products / np.sqrt(np.outer(np.diag(products), np.diag(products)))
    expected = share * element_similarity(SHAPE.elements) + (1 - share) * np.eye(3)
    assert correlation == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", [PRODUCT, MAP, EMBEDDING])
def test_gradients_of_coordinates_are_those_of_the_function(name):
    network = build_network(SHAPE, seed=1)
    sharing = ElementSharing(network, SHAPE, 0.9, is_random=True)
    weight = dict(network.named_parameters())[name]
    direction = torch.as_tensor(np.random.default_rng(0).normal(size=weight.shape))

    def value():
        sharing.push()
        return (torch.sin(weight) * direction).sum()

    value().backward()
    sharing.pull()
    coordinate = sharing.coordinates[name]
    gradient = coordinate.grad.flatten()
    flat = coordinate.view(-1)
    for index in range(0, len(flat), 3):
        values = []
        for step in (1e-5, -2e-5):
            flat[index] += step
            values.append(float(value().detach()))
        flat[index] += 1e-5
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[index]), abs=1e-7)
    assert weight.grad is None
    sharing.zero_grad()
    assert coordinate.grad is None


def test_what_one_element_learns_moves_its_likes():
    network = build_network(SHAPE, seed=1)
    sharing = ElementSharing(network, SHAPE, 0.9, is_random=True)
    weight = dict(network.named_parameters())[PRODUCT]
    before = weight.detach().clone()
    weight[ALUMINIUM].sum().backward()
    sharing.pull()
    with torch.no_grad():
        sharing.coordinates[PRODUCT] -= sharing.coordinates[PRODUCT].grad
    sharing.push()
    moved = (weight.detach() - before).abs().flatten(1).mean(1)
    assert moved[GALLIUM] > 0.6 * moved[ALUMINIUM]
    assert moved[0] < 0.4 * moved[ALUMINIUM]


def test_training_with_it_goes_on_to_the_same_bits(tmp_path):
    from screening.network_potential.checkpoint import CheckpointFile

    cells, tiny = labelled_salts(3), MACE_PRESETS["tiny"]
    settings = replace(
        tiny,
        architecture=replace(tiny.architecture, channels=2, max_ell=1),
        batch_atoms=8,
        valid_fraction=0.3,
        element_sharing=0.9,
        weight_decay=0.1,
    )
    whole = train_potential(cells, settings, "salts")
    checkpoint = CheckpointFile(tmp_path / "last.npz")
    train_potential(cells, settings, "salts", None, checkpoint, should_stop=lambda: True)
    resumed = train_potential(cells, settings, "salts", None, checkpoint)
    assert whole.card["settings"]["element_sharing"] == 0.9
    assert all(np.array_equal(whole.arrays[key], resumed.arrays[key]) for key in whole.arrays)
    alone = train_potential(cells, replace(settings, element_sharing=0.0), "salts")
    assert any(not np.array_equal(whole.arrays[key], alone.arrays[key]) for key in whole.arrays)
    without_decay = train_potential(cells, replace(settings, weight_decay=0.0), "salts")
    norms = [
        sum(float(np.abs(one).sum()) for name, one in x.arrays.items() if "mlp" not in name)
        for x in (whole, without_decay)
    ]
    assert norms[0] < norms[1]


def test_it_is_the_arrays_of_an_ordinary_network_that_are_kept():
    network = build_network(SHAPE, seed=1)
    names = set(network_to_arrays(network))
    ElementSharing(network, SHAPE, 0.9, is_random=True)
    assert set(network_to_arrays(network)) == names
