from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_salts import labelled_salts

pytest.importorskip("careful_mace")

import torch
from scipy.spatial.transform import Rotation

from screening.calculators.mace_blocks import is_known
from screening.errors import ModelRefusedError
from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.forward import NetworkForward
from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.losses import predict
from screening.network_potential.network import build_network
from screening.network_potential.settings import MACE_PRESETS, MaceArchitecture

TINY = MACE_PRESETS["tiny"].architecture
SALTS = (3, 8, 9, 11, 12, 17, 19, 35)
SHAPES = {
    "vectors": {},
    "scalars": {"max_l": 0},
    "third order": {"correlation": 3, "channels": 3},
    "all harmonics": {"max_ell": 3, "max_l": 2},
    "one layer": {"n_interactions": 1, "correlation": 1},
    "three layers": {"n_interactions": 3},
}


@pytest.fixture(scope="module")
def cells():
    return labelled_salts(4, largest_angstrom=0.3)


def network_of_shape(name: str = "vectors"):
    architecture = replace(TINY, elements=SALTS, **SHAPES[name])
    return architecture, build_network(architecture, 12.0, 2.0)


def predicted(network, architecture: MaceArchitecture, cells):
    batch = batch_of([cell_tensors(cell, architecture, torch.float64) for cell in cells])
    return predict(NetworkForward(network), batch)


def by_the_package(network, architecture: MaceArchitecture, cell: LabelledCell):
    from mace import data, tools
    from mace.tools import torch_geometric

    config = data.Configuration(
        atomic_numbers=cell.numbers,
        positions=np.array(cell.positions_angstrom),
        cell=np.array(cell.cell_angstrom),
        pbc=(True, True, True),
        properties={},
        property_weights={},
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        graph = data.AtomicData.from_config(
            config,
            z_table=tools.AtomicNumberTable(list(architecture.elements)),
            cutoff=architecture.cutoff_angstrom,
        )
        batch = torch_geometric.batch.Batch.from_data_list([graph]).to_dict()
        return network(batch, compute_force=True, compute_stress=True)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_the_network_of_the_package(cells, name):
    architecture, network = network_of_shape(name)
    found = predicted(network, architecture, [cells[0], cells[5]])
    start = 0
    for index, cell in enumerate((cells[0], cells[5])):
        wanted = by_the_package(network, architecture, cell)
        own = found.forces[start : start + len(cell)]
        start += len(cell)
        energy = float(wanted["interaction_energy"].detach())
        assert float(found.energies[index]) == pytest.approx(energy, rel=1e-12, abs=1e-12)
        scale = float(wanted["forces"].abs().max())
        torch.testing.assert_close(own, wanted["forces"], rtol=0, atol=1e-11 * scale)
        scale = float(wanted["stress"].abs().max())
        torch.testing.assert_close(
            found.stresses[index], wanted["stress"][0], rtol=0, atol=1e-11 * scale
        )


def test_forces_and_stress_are_derivatives_of_the_energy(cells):
    architecture, network = network_of_shape("third order")
    cell = cells[1]
    found = predicted(network, architecture, [cell])

    def energy(step, strain):
        moved = replace(
            cell,
            cell_angstrom=cell.cell_angstrom @ (np.eye(3) + strain),
            positions_angstrom=(cell.positions_angstrom + step) @ (np.eye(3) + strain),
        )
        return float(predicted(network, architecture, [moved]).energies)

    size, nothing = 1e-4, np.zeros((3, 3))
    for atom, axis in ((0, 0), (1, 2)):
        step = np.zeros((len(cell), 3))
        step[atom, axis] = size
        slope = (energy(step, nothing) - energy(-step, nothing)) / (2 * size)
        assert float(found.forces[atom, axis]) == pytest.approx(-slope, abs=1e-7)
    for i, j in ((0, 0), (0, 1)):
        strain = np.zeros((3, 3))
        strain[i, j] = size
        still = np.zeros((len(cell), 3))
        slope = (energy(still, strain) - energy(still, -strain)) / (2 * size)
        assert float(found.stresses[0, i, j]) == pytest.approx(
            slope / cell.volume_angstrom3, abs=1e-7
        )


def test_energies_are_invariant_and_forces_turn_with_the_cell(cells):
    architecture, network = network_of_shape("all harmonics")
    cell = cells[2]
    turn = Rotation.random(random_state=1).as_matrix()
    order = np.arange(len(cell))[::-1]
    moved = replace(
        cell,
        numbers=cell.numbers[order],
        cell_angstrom=cell.cell_angstrom @ turn.T,
        positions_angstrom=(cell.positions_angstrom[order] + 0.7) @ turn.T,
        forces_ev_per_angstrom=cell.forces_ev_per_angstrom[order],
    )
    first, second = (predicted(network, architecture, [one]) for one in (cell, moved))
    torch.testing.assert_close(first.energies, second.energies, rtol=1e-12, atol=0)
    turned = first.forces.numpy()[order] @ turn.T
    np.testing.assert_allclose(second.forces.numpy(), turned, atol=1e-12)
    turned = turn @ first.stresses[0].numpy() @ turn.T
    np.testing.assert_allclose(second.stresses[0].numpy(), turned, atol=1e-12)
    np.testing.assert_allclose(first.forces.sum(0).numpy(), 0.0, atol=1e-12)


def test_a_repeated_cell_has_repeated_forces(cells):
    architecture, network = network_of_shape()
    cell = cells[3]
    twice = replace(
        cell,
        numbers=np.tile(cell.numbers, 2),
        cell_angstrom=np.diag([2.0, 1.0, 1.0]) @ cell.cell_angstrom,
        positions_angstrom=np.concatenate(
            [cell.positions_angstrom, cell.positions_angstrom + cell.cell_angstrom[0]]
        ),
        forces_ev_per_angstrom=np.tile(cell.forces_ev_per_angstrom, (2, 1)),
    )
    small, large = (predicted(network, architecture, [one]) for one in (cell, twice))
    torch.testing.assert_close(2.0 * small.energies, large.energies, rtol=1e-12, atol=0)
    torch.testing.assert_close(small.forces.repeat(2, 1), large.forces, rtol=0, atol=1e-12)


def test_atoms_without_neighbours_are_atoms_alone():
    architecture, network = network_of_shape("three layers")
    apart = LabelledCell("m", "NaCl", np.array([11, 17]), 50.0 * np.eye(3),
                         np.array([[0.0, 0, 0], [25.0, 25, 25]]), np.zeros((2, 3)))  # fmt: skip
    found = predicted(network, architecture, [apart])
    package = by_the_package(network, architecture, apart)
    np.testing.assert_allclose(found.energies.numpy(), package["interaction_energy"].detach())
    assert not found.forces.any()
    assert not found.stresses.any()


def test_blocks_that_are_not_known_are_refused():
    _, network = network_of_shape()
    assert is_known(network)
    network.heads = ["a", "b"]
    assert not is_known(network)
    with pytest.raises(ModelRefusedError, match="ScaleShiftMACE") as refused:
        NetworkForward(network)
    assert refused.value.hint
