"""Stored reference entropies: they are minima, and their labels are those of their positions."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


def potential_of(configurations, name):
    if name.startswith("bcc_fe"):
        return configurations.BCC_IRON.potential
    if name.startswith("lj_fcc"):
        return configurations.FCC_LENNARD_JONES.potential
    return configurations.CLUSTER_POTENTIAL


@pytest.mark.parametrize("name", ["lj13", "lj38", "lj_fcc_108", "bcc_fe_128"])
def test_stored_labels_are_those_of_the_stored_positions(modules, name):
    configurations, potentials = modules("entropy_configurations"), modules("entropy_potentials")
    potential = potential_of(configurations, name)
    for one in modules("entropy_data").read_set(name)[::29]:
        pairs = potentials.candidate_pairs(one.positions, one.edge, potential.cutoff)
        energy, forces = potentials.energy_and_forces(potential, one.positions, pairs)
        assert energy == pytest.approx(one.energy, abs=1e-5)
        assert np.abs(forces).max() < 0.02  # stiffness times the resolution of the positions
        values, weights = configurations.spectrum(potential, one.positions, one.edge)
        assert 0.5 * np.log(values).sum() == pytest.approx(0.5 * one.log_determinant, abs=1e-3)
        assert len(values) == one.n_modes == 3 * len(one.positions) - (3 if one.edge else 6)
        np.testing.assert_allclose(weights @ np.log(values), one.site_log_determinants, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "kinds", "least"),
    [
        ("lj13", "minimum", 300),
        ("lj38", "minimum", 800),
        ("lj_fcc_256", "V1 V2 V3 V4 I1 I2 I3 I4", 140),
        ("bcc_fe_250", "V1 V2 V3 V4 I1 I2 I3 I4", 150),
        ("lj_fcc_256_damaged", "F2 F12", 120),
        ("bcc_fe_250_damaged", "F2 F12", 60),
    ],
)
def test_sets_hold_distinct_minima_of_every_kind(modules, name, kinds, least):
    found = modules("entropy_data").read_set(name)
    assert len(found) >= least
    assert set(kinds.split()) <= {one.kind for one in found}
    for place, one in enumerate(found):
        assert not any(one.is_like(other) for other in found[:place])
        assert one.site_log_determinants.sum() == pytest.approx(one.log_determinant, abs=0.02)


def test_parents_are_the_same_in_all_sizes_and_strains(modules):
    read = modules("entropy_data").read_set
    for small, large in (("lj_fcc_108", "lj_fcc_256"), ("bcc_fe_128", "bcc_fe_250_strained")):
        kinds = {one.parent: one.kind for one in read(small)}
        both = [one for one in read(large) if one.parent in kinds and one.kind != "bulk"]
        assert len(both) > 10
        assert all(one.kind == kinds[one.parent] for one in both)


@pytest.mark.parametrize(("name", "count"), [("lj13", 5), ("bcc_fe_128", 3)])
def test_a_set_made_again_is_the_same(modules, tmp_path, name, count):
    data = modules("entropy_data")
    made = list(replace(data.SETS[name], n_minima=count).make())
    data.write_set(tmp_path / f"{name}.npz", made)
    assert len(made) >= count
    stored = data.read_set(name)[: len(made)]
    for one, other in zip(data.read_set(name, tmp_path), stored, strict=True):
        assert one.is_like(other)
        assert one.parent == other.parent
        assert one.log_determinant == pytest.approx(other.log_determinant, abs=1e-6)


@pytest.mark.parametrize("kind", ["V3", "I2", "F4"])
def test_defects_relax_to_minima_with_the_right_number_of_atoms(modules, kind):
    configurations = modules("entropy_configurations")
    lattice = configurations.BCC_IRON
    (one,) = configurations.crystal_minima(lattice, 3, (kind,), 1, seed=5, strains=(0.01,))
    change = {"V": -1, "I": 1, "F": 0}[kind[0]] * int(kind[1:])
    assert len(one.positions) == 54 + change
    assert one.edge == pytest.approx(3 * 1.01 * lattice.edge)
    assert configurations.relax(lattice.potential, one.positions, one.edge) is not None


def test_saddle_points_and_free_atoms_are_refused(modules):
    configurations = modules("entropy_configurations")
    potential = configurations.CLUSTER_POTENTIAL
    row = np.arange(3)[:, None] * np.array([[1.12, 0.0, 0.0]])  # three in line: it bends
    assert configurations.spectrum(potential, row, None) is None
    far = np.vstack([np.zeros(3), [1.12, 0, 0], [0.5, 0.9, 0], [40.0, 0, 0]])
    assert configurations.label(potential, far, None) is None
