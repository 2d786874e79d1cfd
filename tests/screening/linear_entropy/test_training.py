from __future__ import annotations

import json
from dataclasses import replace

import lennard_jones as lj
import numpy as np
import pytest

from screening.digest import digest_of
from screening.errors import InconsistentDataError, ModelCorruptError, TrainingSetError
from screening.linear_entropy import LinearEntropySettings, train_entropy
from screening.linear_entropy.model import LinearEntropyModel, predict_entropy
from screening.linear_entropy.table import folds_of

SMALL = {"cutoff_angstrom": 2.5, "n_radial": 6, "l_max": 4}
CLUSTERS = LinearEntropySettings(descriptor_settings=SMALL, n_folds=5)
DEFECTS = replace(CLUSTERS, target="formation")


@pytest.fixture(scope="module")
def clusters():
    return train_entropy(lj.clusters(), CLUSTERS, "clusters")


@pytest.fixture(scope="module")
def defects():
    return train_entropy(lj.vacancies(), DEFECTS, "defects")


def turned(system, seed=0):
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    order = random.permutation(len(system))
    cell = None if system.cell_angstrom is None else system.cell_angstrom @ rotation
    places = system.positions_angstrom[order] @ rotation + random.normal(size=3)
    return replace(system, positions_angstrom=places, cell_angstrom=cell)


def test_clusters_are_learned_far_beyond_their_energies(clusters):
    found = clusters.card["entropy_boltzmann_per_cell"]
    baselines = clusters.card["baselines"]
    assert found["rmse"] < 0.5
    assert found["rmse"] < 0.4 * baselines["linear_in_energy"]["rmse"]
    assert found["rmse"] < 0.1 * found["spread"]
    assert clusters.card["learned_from_atoms"]


def test_vacancies_are_learned_to_a_tenth(defects):
    found = defects.card["entropy_boltzmann_per_cell"]
    assert found["rmse"] < 0.15
    assert found["skill"] > 0.9
    assert set(defects.card["families"]) == {"vacancy"}
    assert defects.n_training_samples == len(lj.vacancies()) - 1  # the perfect cell is no row


def test_cards_and_states_are_plain_json(clusters, defects):
    for model in (clusters, defects):
        json.dumps(model.card, allow_nan=False)
        digest_of(dict(model.state))
        assert all(np.isfinite(array).all() for array in model.arrays.values())


def test_training_twice_gives_the_same_model(clusters):
    told = []
    again = train_entropy(lj.clusters(), CLUSTERS, "other", lambda *seen: told.append(seen))
    assert again.digest == clusters.digest
    assert told[-1] == ("cross-validation", 5, 5)
    assert ("descriptors", 60, 60) in told


def test_the_entropy_does_not_see_place_direction_or_order(clusters):
    model = LinearEntropyModel.from_trained(clusters)
    system = lj.clusters()[7].system
    here, there = predict_entropy(model, [system, turned(system)]).entropy_boltzmann
    assert here == pytest.approx(there, abs=1e-8)


def test_twice_the_cell_has_twice_the_formation_entropy(defects):
    model = LinearEntropyModel.from_trained(defects)
    bulk, one = lj.vacancies()[0].system, lj.vacancies()[4].system
    two = tiled(one, 2)
    found = predict_entropy(model, [one, two, bulk, turned(one)], bulks=[bulk] * 4)
    single, double, nothing, same = found.entropy_boltzmann
    assert double == pytest.approx(2.0 * single, abs=1e-8)
    assert nothing == pytest.approx(0.0, abs=1e-8)
    assert same == pytest.approx(single, abs=1e-8)
    alone, beside = (model.moments(x, bulk) for x in (one, two))
    assert beside.std < 2.0 * alone.std * (1.0 + 1e-8)
    assert beside.atom_leverage == pytest.approx(alone.atom_leverage)  # no atom is newer


def tiled(system, times):
    shifts = np.arange(times)[:, None, None] * system.cell_angstrom[0]
    return replace(
        system,
        positions_angstrom=(system.positions_angstrom + shifts).reshape(-1, 3),
        numbers=np.tile(system.numbers, times),
        cell_angstrom=system.cell_angstrom * np.array([[times], [1.0], [1.0]]),
    )


def test_many_copies_of_a_defect_are_no_news(defects):
    model = LinearEntropyModel.from_trained(defects)
    labels = lj.vacancies()
    sizes = [model.moments(one.system, labels[0].system).total_leverage for one in labels]
    largest = labels[int(np.argmax(sizes))].system
    found = predict_entropy(
        model, [tiled(largest, times) for times in (1, 10, 40)], bulks=[labels[0].system] * 3
    )
    assert np.all(found.novelty < 1.0)
    growth = found.half_width_boltzmann / found.half_width_boltzmann[0]
    assert np.all(np.isfinite(growth))
    assert 5.0 < growth[1] <= 10.0 * (1.0 + 1e-9)


def test_the_formation_entropy_is_that_of_the_hessians(defects):
    model = LinearEntropyModel.from_trained(defects)
    bulk, *labels = lj.vacancies()
    found = predict_entropy(
        model, [label.system for label in labels], bulks=[bulk.system] * len(labels)
    )
    mean = bulk.extensive_log_determinant / len(bulk.system)
    exact = [-0.5 * (x.extensive_log_determinant - len(x.system) * mean) for x in labels]
    assert found.entropy_boltzmann == pytest.approx(exact, abs=0.2)
    assert np.all(found.novelty < 1.0)
    assert np.mean(np.abs(found.entropy_boltzmann - exact) <= found.half_width_boltzmann) > 0.8


def test_what_is_like_nothing_in_the_training_set_has_no_interval(clusters):
    model = LinearEntropyModel.from_trained(clusters)
    crushed = replace(
        lj.clusters()[0].system,
        positions_angstrom=0.7 * lj.clusters()[0].system.positions_angstrom,
    )
    found = predict_entropy(model, [crushed])
    assert found.novelty[0] > 1.0
    assert np.isinf(found.half_width_boltzmann[0])


def test_one_strange_atom_is_seen_in_a_large_system(defects):
    model = LinearEntropyModel.from_trained(defects)
    bulk = lj.vacancies()[0].system
    sites, edge = lj.fcc(5)
    places = sites + np.random.default_rng(0).normal(scale=1e-3, size=sites.shape)
    places[0] += 0.45
    large = lj.system(places, edge)
    calm = lj.system(sites, edge)
    found = predict_entropy(model, [large, calm], bulks=[bulk] * 2)
    assert found.novelty[0] > 1.0 > found.novelty[1]


def test_without_shares_of_atoms_sums_are_learned(defects):
    plain = [replace(label, site_log_determinants=None) for label in lj.vacancies()]
    model = train_entropy(plain, DEFECTS, "sums")
    assert not model.card["learned_from_atoms"]
    assert model.card["entropy_boltzmann_per_cell"]["rmse"] < 0.5
    off = train_entropy(lj.vacancies(), replace(DEFECTS, site_resolved=False), "sums")
    assert np.allclose(off.arrays["logarithm.weights"], model.arrays["logarithm.weights"])
    assert off.digest != defects.digest


def test_groups_are_never_split():
    groups = ["a", "b", "a", "c", "b", "d"] * 3
    folds = folds_of(groups, 3, 0)
    for name in set(groups):
        assert len({fold for fold, group in zip(folds, groups, strict=True) if group == name}) == 1


def test_bad_training_sets_are_refused():
    labels = list(lj.vacancies())
    lost = [replace(x, origin=replace(x.origin, bulk="lost")) for x in labels[1:]]
    one_group = [replace(x, origin=replace(x.origin, group="same")) for x in labels]
    for training, told in (
        (labels[:3], "3 structures"),
        (labels[:8], "7 independent groups"),
        (one_group, "1 independent groups"),
        ([*labels, labels[3]], "2 labels"),
        ([*labels, lj.clusters()[0]], "2 kinds"),
        ([*labels[1:], replace(labels[0], log_determinant=np.nan)], "ln det"),
        ([*labels[1:], replace(labels[0], site_log_determinants=np.zeros(2))], "2,"),
        (lost, "is not in the training set"),
        (list(lj.clusters()), "names its perfect crystal"),
    ):
        with pytest.raises(TrainingSetError, match=told):
            train_entropy(training, DEFECTS, "none")


def test_a_formation_entropy_of_two_elements_is_refused():
    labels = list(lj.vacancies())
    other = labels[3].system
    mixed = replace(other, numbers=np.where(np.arange(len(other)) == 0, 36, other.numbers))
    with pytest.raises(TrainingSetError, match="2 elements"):
        train_entropy([*labels[:3], *labels[4:], replace(labels[3], system=mixed)], DEFECTS, "x")


def test_a_perfect_crystal_is_given_where_it_is_needed(clusters, defects):
    bulk = lj.vacancies()[0].system
    with pytest.raises(InconsistentDataError, match="no perfect crystal"):
        predict_entropy(LinearEntropyModel.from_trained(defects), [bulk])
    with pytest.raises(InconsistentDataError, match="a perfect crystal"):
        predict_entropy(LinearEntropyModel.from_trained(clusters), [bulk], bulks=[bulk])


def test_a_model_of_another_method_or_in_parts_is_refused(clusters):
    with pytest.raises(ModelCorruptError, match="of the method"):
        LinearEntropyModel.from_trained(replace(clusters, method="other"))
    few = {name: clusters.arrays[name] for name in ("logarithm.weights",)}
    with pytest.raises(ModelCorruptError, match="cannot be read"):
        LinearEntropyModel.from_trained(replace(clusters, arrays=few))
