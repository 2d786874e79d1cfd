"""Scalar features of a tiny MACE model of two layers with random weights."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny_mace import save_tiny_mace

from screening.descriptors.interface import AtomicSystem, Descriptor, descriptor_from
from screening.digest import digest_of_file
from screening.errors import ElementNotInModelError, ModelCorruptError, TooLargeError

if importlib.util.find_spec("mace") is None:  # importing it would change the process
    pytest.skip("mace-torch is not installed", allow_module_level=True)

POSITIONS = np.random.default_rng(0).random((8, 3)) * 5.0
NUMBERS = np.array([13, 29] * 4)


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mace") / "two_layers.model"
    save_tiny_mace(path, n_layers=2)  # the last layer has scalars alone
    return f"mace:{path}@{digest_of_file(path)[:16]}"


@pytest.fixture(scope="module")
def invariants(name: str) -> Descriptor:
    return descriptor_from(name)


@pytest.mark.parametrize("cell", [None, np.array([[6.0, 0, 0], [1, 6.5, 0], [0, 2, 7]])])
def test_scalars_of_all_layers_do_not_turn(invariants: Descriptor, cell: np.ndarray | None) -> None:
    turn = Rotation.random(rng=1).as_matrix()
    turned = AtomicSystem(
        POSITIONS @ turn.T + 3.0, NUMBERS, None if cell is None else cell @ turn.T
    )
    rows = invariants.per_atom(AtomicSystem(POSITIONS, NUMBERS, cell))
    assert rows.shape == (8, 8)
    assert np.ptp(rows, axis=0).min() > 1e-6
    np.testing.assert_allclose(invariants.per_atom(turned), rows, atol=1e-10)


def test_sums_are_blocks_by_the_central_element(invariants: Descriptor) -> None:
    system = AtomicSystem(POSITIONS, NUMBERS)
    rows = invariants.per_atom(system)
    found = invariants.summed(system, [29, 13])
    blocks = [rows[::2].sum(axis=0), rows[1::2].sum(axis=0), [4.0, 4.0]]
    np.testing.assert_allclose(found, np.concatenate(blocks), atol=1e-12)
    assert len(found) == invariants.n_features([13, 29])
    distant = AtomicSystem(np.concatenate([POSITIONS, POSITIONS + 50.0]), np.tile(NUMBERS, 2))
    np.testing.assert_allclose(invariants.summed(distant, [13, 29]), 2.0 * found, atol=1e-10)


def test_settings_bring_the_same_weights_back(invariants: Descriptor, name: str) -> None:
    assert descriptor_from(invariants.name, invariants.settings) == invariants
    with pytest.raises(ModelCorruptError):
        descriptor_from(name, {"digest": "0" * 64})


def test_what_the_model_cannot_describe_is_refused(invariants: Descriptor) -> None:
    with pytest.raises(ElementNotInModelError):
        invariants.per_atom(AtomicSystem(POSITIONS, np.full(8, 26)))
    many = AtomicSystem(np.random.default_rng(0).random((5001, 3)) * 100.0, np.full(5001, 13))
    with pytest.raises(TooLargeError):
        invariants.summed(many, [13])
