"""CHGNet by our evaluation against the package's own, and against physics."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib.util
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from screening.calculators import ForceCalculator, check_elements, load_calculator
from screening.calculators import chgnet as door
from screening.calculators.chgnet_graph import build_graph, fold_graph
from screening.errors import (
    CalculatorFailedError,
    ElementNotInModelError,
    ModelCorruptError,
    ModelUnavailableError,
)

if importlib.util.find_spec("chgnet") is None:
    pytest.skip("chgnet is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def calculator() -> ForceCalculator:
    return load_calculator("chgnet")


@pytest.fixture(scope="module")
def stock():
    """The calculator that comes with the package."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from chgnet.model import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")


def _clean(atoms: Atoms) -> Atoms:
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def _sheared(atoms: Atoms) -> Atoms:
    strain = [[0.01, 0.02, 0.0], [0.0, 0.03, 0.01], [0.02, 0.0, -0.01]]
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def _displaced(atoms: Atoms, vector: list[float]) -> Atoms:
    atoms = _clean(atoms)
    atoms.positions[0] += vector
    return atoms


def _rattled(atoms: Atoms) -> Atoms:
    atoms = _clean(atoms)
    atoms.rattle(0.05, seed=1)
    return atoms


ROCKSALT = bulk("LiF", "rocksalt", a=4.08, cubic=True) * (2, 2, 2)
ZINCBLENDE = bulk("GaAs", "zincblende", a=5.75, cubic=True) * (2, 2, 2)
WURTZITE = bulk("ZnO", "wurtzite", a=3.28, c=5.3, u=0.379) * (3, 3, 2)
CRYSTALS = {
    "one atom": bulk("Cu"),
    "primitive": bulk("LiF", "rocksalt", a=4.08),
    "primitive, no symmetry": _sheared(bulk("LiF", "rocksalt", a=4.08)),
    "dense, many images": bulk("H", "bcc", a=1.6),
    "sparse, no angles": bulk("Ne", "fcc", a=6.5),
    "rock salt": ROCKSALT,
    "rock salt, along an axis": _displaced(ROCKSALT, [0.01, 0, 0]),
    "rock salt, anywhere": _displaced(ROCKSALT, [0.01, 0.013, 0.007]),
    "rock salt, rattled": _rattled(ROCKSALT),
    "zinc blende, along a diagonal": _displaced(ZINCBLENDE, [0.01, 0.01, 0]),
    "wurtzite": WURTZITE,
    "wurtzite, along c": _displaced(WURTZITE, [0, 0, 0.03]),
    "wurtzite, rattled": _rattled(WURTZITE),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_energy_forces_and_stress_equal_the_stock_ones(name, calculator, stock) -> None:
    atoms = _clean(CRYSTALS[name])
    energy, forces, stress = calculator.energy_forces_stress(
        atoms.cell.array, atoms.positions, atoms.numbers
    )
    atoms.calc = stock
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = atoms.get_forces()
        reference_energy = atoms.get_potential_energy()
        reference_stress = atoms.get_stress(voigt=False)
    # The stock one rounds positions to float32: 1e-6 Å times the stiffness of a bond.
    np.testing.assert_allclose(forces, reference, atol=1e-5)
    np.testing.assert_allclose(stress, reference_stress, atol=2e-6)
    assert energy / len(atoms) == pytest.approx(reference_energy / len(atoms), abs=3e-6)


@pytest.mark.parametrize("name", ["rock salt", "rock salt, along an axis", "wurtzite, along c"])
def test_folding_changes_nothing(name, calculator, monkeypatch) -> None:
    atoms = _clean(CRYSTALS[name])
    args = (atoms.cell.array, atoms.positions, atoms.numbers)
    folded = calculator.energy_forces_stress(*args)
    monkeypatch.setattr(
        "screening.calculators.chgnet_graph._equitable_colours",
        lambda graph: (
            np.arange(len(graph.numbers), dtype=np.uint64),
            np.arange(len(graph.lengths_angstrom), dtype=np.uint64),
        ),
    )
    graph = build_graph(*args)
    assert len(fold_graph(graph).bond_counts) == len(graph.lengths_angstrom)
    plain = calculator.energy_forces_stress(*args)
    assert folded[0] == pytest.approx(plain[0], abs=1e-6 * len(atoms))
    np.testing.assert_allclose(folded[1], plain[1], atol=4e-6)
    np.testing.assert_allclose(folded[2], plain[2], atol=4e-7)


@pytest.mark.parametrize("name", CRYSTALS)
def test_classes_conserve_what_they_stand_for(name) -> None:
    atoms = _clean(CRYSTALS[name])
    graph = build_graph(atoms.cell.array, atoms.positions, atoms.numbers)
    folded = fold_graph(graph)
    counts = folded.bond_counts
    assert folded.atom_counts.sum() == len(atoms)
    assert counts.sum() == len(graph.lengths_angstrom)
    assert folded.angle_counts.sum() == len(graph.cosines)
    edges = folded.edge_weights @ folded.atom_counts[folded.edge_centers]
    assert edges == pytest.approx(2 * counts.sum())
    owners = folded.spoke_bonds[folded.angle_spokes]
    assert folded.angle_weights @ counts[owners] == pytest.approx(len(graph.cosines))
    assert folded.lengths_angstrom @ counts == pytest.approx(graph.lengths_angstrom.sum())
    assert folded.cosines @ folded.angle_counts == pytest.approx(graph.cosines.sum(), abs=1e-6)


def test_symmetry_is_found() -> None:
    def n_atoms(atoms: Atoms) -> int:
        return len(
            fold_graph(build_graph(atoms.cell.array, atoms.positions, atoms.numbers)).numbers
        )

    assert n_atoms(ROCKSALT) == 2
    assert n_atoms(_displaced(ROCKSALT, [0.01, 0, 0])) < len(ROCKSALT) / 2
    assert n_atoms(CRYSTALS["rock salt, rattled"]) == len(ROCKSALT)


def test_every_pair_within_the_cutoff_is_found() -> None:
    atoms = _sheared(bulk("LiF", "rocksalt", a=4.08, cubic=True))
    graph = build_graph(atoms.cell.array, atoms.positions, atoms.numbers)
    from ase.neighborlist import neighbor_list

    first, distances = neighbor_list("id", atoms, 6.0)
    assert 2 * len(graph.lengths_angstrom) == len(first)
    np.testing.assert_allclose(
        np.sort(np.repeat(graph.lengths_angstrom, 2)), np.sort(distances), atol=1e-12
    )
    short = np.bincount(first[distances < 3.0])
    assert len(graph.cosines) == (short * (short - 1)).sum()


def test_forces_are_the_derivative_of_the_energy(calculator) -> None:
    atoms = _sheared(bulk("ZnO", "wurtzite", a=3.28, c=5.3, u=0.379))
    args = (atoms.cell.array, atoms.numbers)
    forces = calculator.forces(args[0], atoms.positions[None], args[1])[0]
    step = 0.004
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        energies = []
        for sign in (1, -1, 2, -2):
            positions = atoms.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(calculator.energy_forces_stress(args[0], positions, args[1])[0])
        slope = (8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=2e-3)


def test_stress_is_the_derivative_by_the_strain(calculator) -> None:
    atoms = _sheared(bulk("LiF", "rocksalt", a=4.08))
    stress = calculator.energy_forces_stress(atoms.cell.array, atoms.positions, atoms.numbers)[2]
    volume = atoms.get_volume()
    for i, j in ((0, 0), (1, 2), (0, 1)):
        energies = []
        for sign in (1, -1, 2, -2):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * 0.004
            strain[j, i] += sign * 0.004
            stretch = np.eye(3) + strain
            energies.append(
                calculator.energy_forces_stress(
                    atoms.cell.array @ stretch, atoms.positions @ stretch, atoms.numbers
                )[0]
            )
        slope = (8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * 0.004)
        assert 2 * stress[i, j] == pytest.approx(slope / volume, abs=3e-4)


def test_rotation_translation_and_order_do_not_matter(calculator) -> None:
    atoms = _rattled(WURTZITE)
    forces = calculator.forces(atoms.cell.array, atoms.positions[None], atoms.numbers)[0]
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    turned = calculator.forces(
        atoms.cell.array @ rotation, (atoms.positions @ rotation)[None], atoms.numbers
    )[0]
    np.testing.assert_allclose(turned, forces @ rotation, atol=3e-6)
    moved = atoms.positions + [0.3, -5.1, 7.7] + atoms.cell.array[1]
    np.testing.assert_allclose(
        calculator.forces(atoms.cell.array, moved[None], atoms.numbers)[0], forces, atol=3e-6
    )
    order = np.random.default_rng(1).permutation(len(atoms))
    shuffled = calculator.forces(
        atoms.cell.array, atoms.positions[order][None], atoms.numbers[order]
    )[0]
    np.testing.assert_allclose(shuffled, forces[order], atol=3e-6)
    assert np.abs(forces.sum(axis=0)).max() < 1e-5


def test_a_repeated_cell_has_the_forces_of_its_parts(calculator) -> None:
    atoms = _sheared(bulk("LiF", "rocksalt", a=4.08))
    small = calculator.energy_forces_stress(atoms.cell.array, atoms.positions, atoms.numbers)
    large_atoms = atoms * (2, 1, 3)
    large = calculator.energy_forces_stress(
        large_atoms.cell.array, large_atoms.positions, large_atoms.numbers
    )
    assert large[0] == pytest.approx(6 * small[0], abs=1e-5)
    np.testing.assert_allclose(large[1], np.tile(small[1], (6, 1)), atol=3e-6)
    np.testing.assert_allclose(large[2], small[2], atol=1e-7)


def test_the_same_call_gives_the_same_bits(calculator) -> None:
    atoms = _displaced(WURTZITE, [0.01, 0.0, 0.0])
    copies = np.stack([atoms.positions] * 2)
    one, two = calculator.forces(atoms.cell.array, copies, atoms.numbers)
    np.testing.assert_array_equal(one, two)


def test_isolated_atoms_are_refused(calculator) -> None:
    atoms = bulk("Ar", "fcc", a=10.0)
    with pytest.raises(CalculatorFailedError, match="no neighbour"):
        calculator.forces(atoms.cell.array, atoms.positions[None], atoms.numbers)


def test_identity(calculator) -> None:
    assert isinstance(calculator, ForceCalculator)
    assert calculator.name == "chgnet:0.3.0"
    assert "soft" in calculator.notes[0]
    with pytest.raises(ElementNotInModelError, match="Po"):
        check_elements(calculator, [8, 84])
    path = door._package_folder() / "pretrained" / door._PACKAGED["0.3.0"][0]
    assert calculator.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    other = load_calculator("chgnet:r2scan")
    assert other.digest != calculator.digest
    assert other.name == "chgnet:r2scan"


def test_loading_does_not_import_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def spy(name: str, *args, **kwargs):
        assert name.partition(".")[0] != "chgnet"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", spy)
    load_calculator("chgnet")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_weights_are_refused(damage: str, tmp_path: Path, monkeypatch) -> None:
    name = door._PACKAGED["0.3.0"][0]
    data = (door._package_folder() / "pretrained" / name).read_bytes()
    broken = {
        "truncated": data[: len(data) // 2],
        "flipped": data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        "empty": b"",
    }[damage]
    path = tmp_path / "pretrained" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(broken)
    monkeypatch.setattr(door, "_package_folder", lambda: tmp_path)
    with pytest.raises(ModelCorruptError, match="SHA-256"):
        load_calculator("chgnet")


def test_missing_weights_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(door, "_package_folder", lambda: tmp_path)
    with pytest.raises(ModelUnavailableError, match="weights"):
        load_calculator("chgnet")


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, monkeypatch) -> None:
    import pickle

    canary = tmp_path / "canary"
    payload = pickle.dumps(_Bomb(str(canary)))
    # mace sets this for the whole process; the explicit argument must win.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ModelCorruptError):
        door._arrange(payload, "bomb")
    assert not canary.exists()


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)
