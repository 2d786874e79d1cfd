"""Scalar features of a tiny MACE model of two layers with random weights."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from screening.descriptors.interface import AtomicSystem, Descriptor, descriptor_from
from screening.digest import digest_of_file
from screening.errors import ElementNotInModelError, ModelCorruptError, TooLargeError

if importlib.util.find_spec("mace") is None:  # importing it would change the process
    pytest.skip("mace-torch is not installed", allow_module_level=True)

POSITIONS = np.random.default_rng(0).random((8, 3)) * 5.0
NUMBERS = np.array([13, 29] * 4)


def _save_model(path: Path) -> None:
    """Save a model for Al and Cu: 4 scalars and 4 vectors, then 4 scalars."""
    from screening.calculators.mace import _float64, _import_mace

    _import_mace()
    import torch
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    with _float64(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = modules.ScaleShiftMACE(
            r_max=4.0,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=1,
            num_interactions=2,
            num_elements=2,
            interaction_cls=block,
            interaction_cls_first=block,
            hidden_irreps=o3.Irreps("4x0e+4x1o"),
            MLP_irreps=o3.Irreps("4x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros(2),
            avg_num_neighbors=12.0,
            atomic_numbers=[13, 29],
            correlation=2,
            radial_MLP=[8],
            radial_type="bessel",
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
        torch.save(model, path)


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mace") / "two_layers.model"
    _save_model(path)
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
