import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pretended_spectra import debye_mesh, pair_of, path_of, scaled
from pymatgen.core import Structure

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.harmonic import MeshFrequencies
from screening.network_potential.evaluation import (
    evaluate_phonons,
    mean_of_other_groups,
    mesh_thermal_values,
)
from screening.network_potential.frequency_errors import frequency_scores
from screening.units import BOLTZMANN_MEV_PER_K, MEV_TO_JOULE_PER_MOL

PHONONDB = Path(__file__).parents[4] / "shared" / "data" / "phonondb_pbe.json.gz"


def pairs_with_factor(factor, count=6):
    meshes = [debye_mesh(5.0 + 2.0 * index, seed=index) for index in range(count)]
    return [
        pair_of(f"m{index}", f"X{index}", mesh, scaled(mesh, factor))
        for index, mesh in enumerate(meshes)
    ]


def with_mode(mesh, frequency_thz, place=(3, 0)):
    frequencies = mesh.frequencies_thz.copy()
    frequencies[place] = frequency_thz
    return replace(mesh, frequencies_thz=frequencies)


def test_a_soft_model_shows_everywhere():
    found = evaluate_phonons(pairs_with_factor(0.8))
    assert found.mesh.n_crystals == 6
    assert found.mesh.mean_slope == pytest.approx(0.8)
    assert found.mesh.median_slope == pytest.approx(0.8)
    assert found.mesh.std_slope == pytest.approx(0.0, abs=1e-12)
    assert found.mesh.pooled.slope == pytest.approx(0.8)
    for one, pair in zip(found.crystals, pairs_with_factor(0.8), strict=True):
        mean = pair.reference.weights @ pair.reference.frequencies_thz.mean(axis=1)
        assert one.mesh.mae_thz == pytest.approx(0.2 * mean)
        assert one.mesh.bias_thz == pytest.approx(-0.2 * mean)
    errors = [one.mesh.mae_thz for one in found.crystals]
    assert found.mesh.mean_mae_thz == pytest.approx(np.mean(errors))
    assert found.mesh.median_mae_thz == pytest.approx(np.median(errors))
    assert found.path is None


def test_a_classical_free_energy_of_soft_modes_is_too_low_by_its_logarithm():
    """3 k_B T ln 0.8 an atom where all modes are classical."""
    meshes = [debye_mesh(1.5 + 0.1 * index, seed=index, n_q=400) for index in range(3)]
    found = evaluate_phonons(
        [pair_of(f"m{i}", f"X{i}", mesh, scaled(mesh, 0.8)) for i, mesh in enumerate(meshes)]
    )
    scores = {(one.quantity, one.temperature_k): one for one in found.thermodynamics}
    high = scores["free_energy", 1000.0]
    expected = 3 * BOLTZMANN_MEV_PER_K * 1000.0 * np.log(0.8)
    assert high.scores.bias == pytest.approx(expected, rel=0.01)
    assert (high.unit, high.scores.count) == ("meV/atom", 3)
    entropy = scores["entropy", 1000.0]
    assert entropy.scores.bias == pytest.approx(
        -3 * BOLTZMANN_MEV_PER_K * MEV_TO_JOULE_PER_MOL * np.log(0.8), rel=0.01
    )
    assert scores["heat_capacity", 300.0].unit == "J/mol/K/atom"


def test_a_perfect_model_has_skill_one_and_its_baseline_none():
    found = evaluate_phonons(pairs_with_factor(1.0))
    assert found.mesh.pooled.r2 == found.mesh.mean_r2 == 1.0
    for one in found.thermodynamics:
        assert one.scores.mae == 0.0
        assert one.baseline_skill == one.scores.skill == one.scores.r2 == 1.0
        assert one.baseline_mae > 0.0
    single = evaluate_phonons(pairs_with_factor(0.9, count=1))
    assert single.thermodynamics[0].baseline_mae is None


def test_the_baseline_never_sees_its_own_composition():
    guess = mean_of_other_groups([1.0, 2.0, 6.0, 9.0], ["A", "A", "B", "C"])
    assert guess.tolist() == [7.5, 7.5, 4.0, 3.0]
    assert mean_of_other_groups([1.0, 2.0], ["A", "A"]) is None


def test_pooling_counts_every_branch_once():
    small, large = debye_mesh(5.0, 0, n_atoms=1), debye_mesh(10.0, 1, n_atoms=3)
    pairs = [pair_of("a", "A", small, scaled(small, 0.9)), pair_of("b", "B", large, large)]
    found = evaluate_phonons(pairs)
    assert found.mesh.pooled.mae_thz == pytest.approx(found.crystals[0].mesh.mae_thz * 3 / 12)
    assert found.mesh.pooled.n_points == small.frequencies_thz.size + large.frequencies_thz.size


def test_stability_is_judged_at_minus_half_a_terahertz_without_acoustic_modes():
    mesh = debye_mesh(6.0, 0)
    soft, barely = with_mode(mesh, -0.51), with_mode(mesh, -0.49)
    acoustic = with_mode(mesh, -0.9, (0, 0))  # still one of the three nearest to zero
    cases = [(mesh, mesh), (soft, soft), (barely, mesh), (acoustic, mesh), (mesh, soft)]
    pairs = [
        pair_of(f"m{i}", f"X{i}", reference, predicted)
        for i, (predicted, reference) in enumerate(cases)
    ]
    found = evaluate_phonons(pairs).stability
    scores = found.scores
    assert (scores.unstable_found, scores.unstable_missed) == (1, 1)
    assert (scores.stable_found, scores.stable_missed) == (3, 0)
    assert scores.recall_of_instability == 0.5
    assert scores.balanced_accuracy == 0.75
    assert (scores.accuracy, found.always_stable_accuracy) == (0.8, 0.6)
    assert (found.threshold_thz, found.n_with_path) == (-0.5, 0)


def test_recall_is_unknown_where_nothing_is_unstable():
    found = evaluate_phonons(pairs_with_factor(0.9)).stability
    assert found.scores.recall_of_instability is None
    assert found.scores.balanced_accuracy is None
    assert found.always_stable_accuracy == found.scores.accuracy == 1.0


def test_an_instability_on_the_path_alone_counts_where_both_know_the_path():
    mesh = debye_mesh(6.0, 0)
    path = path_of(mesh.frequencies_thz)
    soft = replace(path, frequencies_thz=with_mode(mesh, -2.0, (9, 1)).frequencies_thz)
    both = pair_of("a", "A", mesh, mesh, predicted_bands=soft, reference_bands=path)
    one = pair_of("b", "B", mesh, mesh, predicted_bands=soft)
    found = evaluate_phonons([both, one])
    lowest = np.sort(mesh.frequencies_thz, axis=None)[3]
    assert [x.predicted_lowest_thz for x in found.crystals] == [-2.0, lowest]
    assert found.stability.scores.stable_missed == 1
    assert found.stability.n_with_path == 1
    assert found.path.n_crystals == 1
    assert found.crystals[0].path.mae_thz > 0.0
    assert found.crystals[1].path is None


def test_crystals_that_drop_other_modes_are_counted_and_can_be_left_out():
    mesh = debye_mesh(6.0, 0)
    other = debye_mesh(9.0, 1)
    pairs = [pair_of("a", "A", mesh, with_mode(mesh, -1.0)), pair_of("b", "B", other, other)]
    found = evaluate_phonons(pairs)
    weight = mesh.weights[3] / 6
    assert found.dropped_weights.n_differing == 1
    assert found.dropped_weights.predicted_max == pytest.approx(weight)
    assert found.dropped_weights.predicted_mean == pytest.approx(weight / 2)
    assert found.dropped_weights.reference_max == 0.0
    assert found.thermodynamics[0].scores.mae > 0.05
    assert found.comparable_thermodynamics[0].scores.mae == 0.0
    assert found.comparable_thermodynamics[0].scores.count == 1


def test_polymorphs_are_compared_within_a_composition():
    meshes = [debye_mesh(value, seed) for seed, value in enumerate((6.0, 6.2, 8.0))]
    pairs = [
        pair_of(
            f"m{i}",
            "AB" if i < 2 else "CD",
            mesh,
            scaled(mesh, 0.9 + 0.01 * i),
            static_enthalpy_ev_per_atom=-3.0 + 0.001 * i,
        )
        for i, mesh in enumerate(meshes)
    ]
    found = evaluate_phonons(pairs)
    assert [one.n_pairs for one in found.polymorphs] == [1, 1]
    assert [one.temperature_k for one in found.transitions] == [300.0, 1000.0]
    assert found.transitions[0].n_compositions == 1


def test_points_that_differ_are_refused():
    mesh = debye_mesh(6.0, 0)
    moved = replace(mesh, q_points=mesh.q_points + 0.01)
    with pytest.raises(InconsistentDataError):
        pair_of("a", "A", mesh, moved)
    with pytest.raises(InconsistentDataError):
        pair_of("a", "A", mesh, replace(mesh, weights=mesh.weights[::-1].copy()))
    with pytest.raises(InconsistentDataError):
        pair_of("a", "A", mesh, debye_mesh(6.0, 0, n_atoms=1))
    with pytest.raises(NonFiniteInputError):
        pair_of("a", "A", mesh, with_mode(mesh, np.nan))
    with pytest.raises(InconsistentDataError):
        pair_of("a", "A", mesh, mesh).on_path()
    with pytest.raises(InconsistentDataError):
        evaluate_phonons([])
    with pytest.raises(InconsistentDataError):
        evaluate_phonons(pairs_with_factor(0.9, 1) * 2)


def test_constant_references_have_no_r2():
    scores = frequency_scores(np.ones(3), np.zeros(3), np.ones(3))
    assert (scores.r2, scores.slope, scores.mae_thz) == (None, None, 1.0)


@pytest.fixture(scope="module")
def published():
    """Meshes and values of some published crystals."""
    if not PHONONDB.exists():
        pytest.skip(f"reference data not found: {PHONONDB}")
    records = json.loads(gzip.decompress(PHONONDB.read_bytes()))[:12]
    return [
        (
            record,
            MeshFrequencies(
                np.array(record["frequencies_THz"]),
                np.array(record["weights"], float),
                np.array(record["qpoints"]),
                tuple(record["q_mesh"]),
            ),
        )
        for record in records
    ]


def test_published_thermodynamics_are_those_of_the_published_frequencies(published):
    keys = {
        "free_energy": ("free_energy_{:.0f}K_meV_atom", 1.0),
        "entropy": ("entropy_{:.0f}K_meV_K_atom", MEV_TO_JOULE_PER_MOL),
        "heat_capacity": ("heat_capacity_{:.0f}K_meV_K_atom", MEV_TO_JOULE_PER_MOL),
    }
    for record, mesh in published:
        for (quantity, temperature), value in mesh_thermal_values(mesh).items():
            key, scale = keys[quantity]
            expected = scale * record[key.format(temperature)]  # given to six decimals at most
            assert value == pytest.approx(expected, rel=2e-4, abs=6e-5), key


def test_softened_dft_has_the_errors_of_softened_dft(published):
    """What is measured of CHGNet's kind of error, where it is known exactly."""
    pairs = [
        pair_of(
            record["material_id"],
            Structure.from_dict(record["structure"]).composition.reduced_formula,
            mesh,
            scaled(mesh, 0.74),
        )
        for record, mesh in published
    ]
    found = evaluate_phonons(pairs)
    assert found.mesh.mean_slope == pytest.approx(0.74)
    free_energy = found.thermodynamics[0]
    assert (free_energy.quantity, free_energy.temperature_k) == ("free_energy", 300.0)
    assert -35.0 < free_energy.scores.bias < -20.0
    assert found.stability.scores.recall_of_instability is None
