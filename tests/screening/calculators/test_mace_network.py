"""Folded networks give what their modules give."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from small_networks import cells, network, unusual_network

from screening.errors import CalculatorFailedError, ElementNotInModelError

if importlib.util.find_spec("mace") is None:
    pytest.skip("mace-torch is not installed", allow_module_level=True)

CELLS = cells()


def arrays(atoms):
    return atoms.cell.array, atoms.positions, atoms.numbers


@pytest.fixture(scope="module")
def pair():
    """The engine of one network, and that of its module."""
    from screening.calculators.mace import MaceEngine
    from screening.calculators.mace_network import NetworkEngine

    module = network()
    return NetworkEngine(module), MaceEngine(module)


def check_same(engine, plain, atoms, tolerance=1e-10):
    wanted, found = (x.energy_forces_stress(*arrays(atoms)) for x in (plain, engine))
    scale = max(1.0, float(np.abs(wanted[1]).max()))
    assert found[0] == pytest.approx(wanted[0], abs=tolerance * len(atoms))
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(found[2], wanted[2], rtol=0, atol=tolerance)
    assert engine.energy(*arrays(atoms)) == pytest.approx(found[0], rel=1e-12)
    np.testing.assert_array_equal(engine.forces(*arrays(atoms)), found[1])
    return found


@pytest.mark.parametrize("name", CELLS)
def test_energy_forces_and_stress_are_those_of_the_module(name, pair):
    engine, plain = pair
    assert engine.is_folded
    atoms, _ = CELLS[name]
    _, forces, stress = check_same(engine, plain, atoms)
    assert np.abs(stress).max() > 1e-3
    if name in ("whole supercell", "primitive", "diamond", "strained"):
        assert np.abs(forces).max() < 1e-11
    else:
        assert np.abs(forces).max() > 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"max_l": 0},
        {"max_l": 2, "max_ell": 3},
        {"max_l": 1, "max_ell": 2, "correlation": 3},
        {"n_interactions": 1},
        {"n_interactions": 3, "correlation": 1},
        {"radial_mlp": (), "n_polynomial": 6},
    ],
    ids=str,
)
def test_every_architecture_folds(changes):
    from screening.calculators.mace import MaceEngine
    from screening.calculators.mace_network import NetworkEngine

    module = network(**changes)
    engine = NetworkEngine(module)
    assert engine.is_folded
    for name in ("zincblende", "primitive", "crooked"):
        check_same(engine, MaceEngine(module), CELLS[name][0])


def test_forces_are_the_gradient_and_stress_the_strain_derivative(pair):
    engine, _ = pair
    cell, positions, numbers = arrays(CELLS["zincblende"][0])
    energy, forces, stress = engine.energy_forces_stress(cell, positions, numbers)
    step = np.zeros_like(positions)
    step[5] = [1e-4, -2e-4, 0.5e-4]
    ends = [engine.energy(cell, positions + sign * step, numbers) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / 2 == pytest.approx(-(forces * step).sum(), abs=1e-8)
    strain = 1e-4 * np.array([[1.0, 0.5, 0], [0.5, -0.3, 0.2], [0, 0.2, 0.7]])
    ends = [
        engine.energy(cell @ (np.eye(3) + x), positions @ (np.eye(3) + x), numbers)
        for x in (strain, -strain)
    ]
    volume = np.linalg.det(cell)
    assert (ends[0] - ends[1]) / 2 == pytest.approx(volume * (stress * strain).sum(), abs=1e-5)
    assert energy == pytest.approx(sum(ends) / 2, abs=1e-2)


def test_symmetric_cells_cost_less(pair):
    from screening.calculators.mace_fold import fold_cell

    engine, _ = pair
    for atoms, order in CELLS.values():
        cell, positions, numbers = arrays(atoms)
        folded = fold_cell(cell, positions, numbers, engine.cutoff_angstrom)
        assert len(folded.operations.rotations) == order
        assert folded.orbit_sizes.sum() == len(atoms)
        assert len(folded.representatives) >= len(atoms) / order
    assert len(folded.representatives) == len(atoms)  # the last one has no symmetry


def test_results_turn_with_the_cell_and_follow_the_order_of_atoms(pair):
    engine, _ = pair
    cell, positions, numbers = arrays(CELLS["wurtzite"][0])
    energy, forces, stress = engine.energy_forces_stress(cell, positions, numbers)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    order = np.random.default_rng(3).permutation(len(numbers))
    again = engine.energy_forces_stress(
        cell @ turn, (positions @ turn)[order] + 3.0, numbers[order]
    )
    assert again[0] == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(again[1], (forces @ turn)[order], atol=1e-10)
    np.testing.assert_allclose(again[2], turn.T @ stress @ turn, atol=1e-11)


def test_float32_is_close_and_differences_are_taken_in_float64():
    from screening.calculators.mace_network import NetworkEngine

    module = network()
    exact, fast = NetworkEngine(module), NetworkEngine(module, precision="float32")
    assert fast.is_folded
    cell, positions, numbers = arrays(CELLS["perovskite"][0])
    far = positions + 1e4 * cell[0]  # where float32 resolves a few thousandths of an ångström
    wanted = exact.energy_forces_stress(cell, positions, numbers)
    for where, tolerance in ((positions, 2e-5), (far, 2e-5)):
        found = fast.energy_forces_stress(cell, where, numbers)
        assert found[0] == pytest.approx(wanted[0], abs=1e-3)
        np.testing.assert_allclose(found[1], wanted[1], atol=tolerance * np.abs(wanted[1]).max())
        np.testing.assert_allclose(found[2], wanted[2], atol=1e-5)


def test_a_factor_multiplies_everything(pair):
    from screening.calculators.mace_network import NetworkEngine

    plain = pair[0].energy_forces_stress(*arrays(CELLS["rattled"][0]))
    for module in (network(), unusual_network(pair_repulsion=True)):
        one, two = NetworkEngine(module), NetworkEngine(module, energy_factor=1.21)
        parts = [x.energy_forces_stress(*arrays(CELLS["rattled"][0])) for x in (one, two)]
        for single, double in zip(*parts, strict=True):
            np.testing.assert_allclose(double, 1.21 * np.asarray(single), rtol=1e-12)
        assert two.energy(*arrays(CELLS["rattled"][0])) == pytest.approx(parts[1][0])
    assert plain[0] != parts[0][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"pair_repulsion": True},
        {"heads": ["pbe", "r2scan"]},
        {"kind": "MACE"},
        {"block": "RealAgnosticDensityInteractionBlock"},
        {"distance_transform": "Agnesi"},
        {"radial_type": "gaussian"},
        {"apply_cutoff": False},
        {"use_agnostic_product": True},
        {"gate": None},
    ],
    ids=str,
)
def test_other_modules_run_as_they_are(changes):
    import torch

    from screening.calculators.mace import MaceEngine
    from screening.calculators.mace_network import NetworkEngine

    if "gate" in changes:
        changes = {"gate": torch.tanh}  # of a readout, which any gate may have
    module = unusual_network(**changes)
    head = module.heads[-1]
    engine = NetworkEngine(module, head)
    assert engine.is_folded == ("gate" in changes)
    check_same(engine, MaceEngine(module, head), CELLS["rattled"][0])


def test_a_module_that_means_something_else_is_not_folded(monkeypatch):
    from dataclasses import replace

    from screening.calculators import mace_network

    module, arrange = network(), mace_network.arrange_weights
    wrong = replace(arrange(module, "float64"), shift_ev=1e-3)
    monkeypatch.setattr(mace_network, "arrange_weights", lambda *_: wrong)
    engine = mace_network.NetworkEngine(module)
    assert not engine.is_folded
    plain = mace_network.MaceEngine(module)
    assert engine.energy(*arrays(CELLS["primitive"][0])) == plain.energy(
        *arrays(CELLS["primitive"][0])
    )


def test_unknown_elements_are_named(pair):
    cell, positions, numbers = arrays(CELLS["primitive"][0])
    for engine in pair:
        for wrong in ([11, 92], [1, 17], [12, 17]):
            with pytest.raises(ElementNotInModelError, match=f"{set(wrong) - set(numbers)}"[1:-1]):
                engine.forces(cell, positions, np.array(wrong))


@pytest.mark.parametrize(("text", "n_alone"), [("Na", 1), ("NaCl", 2), ("NaClNa", 1)])
def test_atoms_without_neighbours_are_refused(pair, text, n_alone):
    """Their forces are zero, and no mode would be imaginary."""
    from ase import Atoms

    places = [[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [5.0, 2.0, 0.0]]
    atoms = Atoms(text, cell=[10.0] * 3)
    atoms.positions = places[: len(atoms)]
    for engine in pair:
        for compute in (engine.forces, engine.energy, engine.energy_forces_stress):
            with pytest.raises(CalculatorFailedError, match=f"{n_alone} atoms have no neighbour"):
                compute(*arrays(atoms))
