from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_networks import tiny_model

pytest.importorskip("careful_mace")

import torch

from screening.errors import ModelCorruptError, SettingError
from screening.network_potential.network import (
    NETWORK_ARRAYS,
    build_network,
    network_from_arrays,
    network_of,
    network_to_arrays,
    set_atomic_energies,
)
from screening.network_potential.settings import MaceArchitecture


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def arrays(model):
    return {key.removeprefix(NETWORK_ARRAYS): one for key, one in model.arrays.items()}


def test_arrays_there_and_back_are_the_same_network(model, arrays):
    network = network_of(model)
    found = network_to_arrays(network)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    wanted = build_network(
        MaceArchitecture.from_dict(model.state["architecture"]), 12.0, 2.0
    ).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, wanted[name]), name


def test_what_the_architecture_settles_is_of_full_precision(model):
    narrow = network_of(model, precision="float32")
    assert all(one.dtype == torch.float32 for one in narrow.parameters())
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    wide = network_from_arrays(architecture, network_to_arrays(narrow), 12.0)
    exact = network_of(model)
    name = "products.0.symmetric_contractions.contractions.0.U_matrix_2"
    assert torch.equal(wide.state_dict()[name], exact.state_dict()[name])


def test_building_leaves_no_trace():
    architecture = MaceArchitecture(elements=(11, 17), channels=2, max_ell=1, radial_mlp=(4,))
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    before = torch.get_default_dtype()
    first, second = (build_network(architecture, seed=seed) for seed in (0, 1))
    assert torch.get_default_dtype() == before
    assert torch.equal(torch.rand(3), wanted)
    name = "node_embedding.linear.weight"
    assert not torch.equal(first.state_dict()[name], second.state_dict()[name])
    with pytest.raises(SettingError, match="elements"):
        build_network(MaceArchitecture())


def test_energies_of_atoms_are_stored(model):
    network = network_of(model)
    set_atomic_energies(network, np.array([1.0, 2.0, 3.0]))
    found = network_to_arrays(network)["atomic_energies_fn.atomic_energies"]
    np.testing.assert_array_equal(found.ravel(), [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "what", ["missing", "unknown", "shape", "nan", "method", "elements", "no state"]
)
def test_a_model_that_does_not_fit_is_refused(model, what):
    arrays = dict(model.arrays)
    name = NETWORK_ARRAYS + "node_embedding.linear.weight"
    changes = {"arrays": arrays}
    if what == "missing":
        del arrays[name]
    elif what == "unknown":
        arrays[NETWORK_ARRAYS + "x"] = np.zeros(1)
    elif what == "shape":
        arrays[name] = arrays[name][:-1]
    elif what == "nan":
        arrays[name] = np.full_like(arrays[name], np.nan)
    elif what == "method":
        changes["method"] = "linear-descriptor-entropy"
    elif what == "elements":
        changes["elements"] = (1, 2, 3)
    else:
        changes["state"] = {}
    with pytest.raises(ModelCorruptError) as refused:
        network_of(replace(model, **changes))
    assert refused.value.hint
