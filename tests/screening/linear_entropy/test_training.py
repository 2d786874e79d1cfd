from __future__ import annotations

import json
from dataclasses import replace

import lennard_jones as lj
import numpy as np
import pytest

from screening.descriptors.interface import AtomicSystem
from screening.digest import digest_of
from screening.errors import InconsistentDataError, ModelCorruptError, TrainingSetError
from screening.linear_entropy import LinearEntropySettings, train_entropy
from screening.linear_entropy.entropy import system_entropy_boltzmann
from screening.linear_entropy.labels import LabelOrigin, SpectralLabel, SpectrumKind
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


def test_many_copies_of_a_defect_are_news_by_their_size_alone(defects):
    model = LinearEntropyModel.from_trained(defects)
    labels = lj.vacancies()
    sizes = [model.moments(one.system, labels[0].system).total_leverage for one in labels]
    largest = labels[int(np.argmax(sizes))].system
    copies = [tiled(largest, times) for times in (1, 10, 40)]
    moments = [model.moments(one, labels[0].system) for one in copies]
    assert all(model.calibration.novelty(one) < 1.0 for one in moments)
    growth = np.array([one.std for one in moments]) / moments[0].std
    assert 5.0 < growth[1] <= 10.0 * (1.0 + 1e-9)
    found = predict_entropy(model, copies, bulks=[labels[0].system] * 3)
    assert np.isfinite(found.half_width_boltzmann).tolist() == [True, False, False]
    assert found.entropy_boltzmann[1:] / found.entropy_boltzmann[0] == pytest.approx([10.0, 40.0])


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
    strange, usual = (model.calibration.novelty(model.moments(x, bulk)) for x in (large, calm))
    assert strange > 1.0 > usual


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


@pytest.mark.parametrize("alone", ["scattering", "bso4", "afs"])
def test_every_descriptor_can_be_trained_with(alone):
    """A descriptor of the whole, which knows no atoms, learns from sums."""
    given = {
        "scattering": {
            "scales": [-1, 0],
            "l_max": 4,
            "width_angstrom": 0.2,
            "points_per_width": 1.5,
        },
        "bso4": {"cutoff_angstrom": 2.5, "j_max": 2.5},
        "afs": SMALL,
    }[alone]
    settings = replace(CLUSTERS, descriptor=alone, descriptor_settings=given)
    model = train_entropy(lj.clusters(), settings, alone)
    assert model.card["learned_from_atoms"] == (alone != "scattering")
    found, mean = model.card["entropy_boltzmann_per_cell"], model.card["baselines"]["mean"]
    assert found["rmse"] < 0.8 * mean["rmse"]
    loaded = LinearEntropyModel.from_trained(model)
    seen, crushed = lj.clusters()[7].system, lj.clusters()[0].system
    crushed = replace(crushed, positions_angstrom=0.7 * crushed.positions_angstrom)
    found = predict_entropy(loaded, [seen, crushed])
    assert np.isfinite(found.half_width_boltzmann).tolist() == [True, False]


def test_defects_can_be_learned_from_a_descriptor_of_the_whole():
    given = {"scales": [-0.5, 0.0], "l_max": 2, "width_angstrom": 0.3}
    settings = replace(DEFECTS, descriptor="scattering", descriptor_settings=given)
    model = LinearEntropyModel.from_trained(train_entropy(lj.vacancies(), settings, "sums"))
    assert model.calibration.coherence_limit == 0.0  # or nothing would be new
    bulk, one = lj.vacancies()[0].system, lj.vacancies()[4].system
    strained = replace(
        one,
        positions_angstrom=1.2 * one.positions_angstrom,
        cell_angstrom=1.2 * one.cell_angstrom,
    )
    assert predict_entropy(model, [strained], bulks=[bulk]).novelty[0] > 1.0


def test_the_model_keeps_what_its_descriptor_was_made_with(clusters):
    kept = clusters.state["settings"]["descriptor_settings"]
    assert kept == {**SMALL, "neighbour_channels": "species"}


def test_several_elements_share_fewer_functions_unless_told():
    plain = replace(CLUSTERS, descriptor_settings={"cutoff_angstrom": 4.2})
    used = train_entropy(alloys(12), plain, "salt").state["settings"]["descriptor_settings"]
    assert (used["n_radial"], used["l_max"], used["neighbour_channels"]) == (10, 6, "species")
    told = replace(plain, descriptor_settings={"cutoff_angstrom": 4.2, "n_radial": 3})
    kept = train_entropy(alloys(12), told, "salt").state["settings"]["descriptor_settings"]
    assert (kept["n_radial"], kept["l_max"]) == (3, 10)


def alloys(n_cells=40):
    """Rocksalt cells at random spacings, with labels of a law that is easy to learn."""
    random, found = np.random.default_rng(3), []
    for number in range(n_cells):
        edge = random.uniform(2.7, 2.9)
        system = ordered(edge, random.normal(scale=0.03, size=(8, 3)))
        log = float(24.0 * (3.0 - 4.0 * np.log(edge)) + random.normal(scale=0.05))
        found.append(SpectralLabel(
            LabelOrigin(f"alloy-{number}"), system, SpectrumKind.MESH, 24.0, log, None, None, 0.0
        ))  # fmt: skip
    return found


def ordered(edge, moved=0.0, along=(1, 1, 1)):
    corner = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    numbers = np.where(corner @ np.array(along) % 2, 17, 11)
    return AtomicSystem(edge * corner + moved, numbers, 2.0 * edge * np.eye(3))


def test_another_order_of_the_same_atoms_is_new():
    given = {"cutoff_angstrom": 4.2, "n_radial": 4, "l_max": 2}
    settings = replace(CLUSTERS, descriptor_settings=given)
    model = LinearEntropyModel.from_trained(train_entropy(alloys(), settings, "salt"))
    found = predict_entropy(model, [ordered(2.8), ordered(2.8, along=(0, 0, 1))])
    assert found.novelty[0] < 1.0 < found.novelty[1]
    assert np.isinf(found.half_width_boltzmann[1])
    blind = replace(settings, descriptor_settings={**given, "neighbour_channels": "all"})
    unaware = LinearEntropyModel.from_trained(train_entropy(alloys(), blind, "blind"))
    alike = predict_entropy(unaware, [ordered(2.8), ordered(2.8, along=(0, 0, 1))])
    assert alike.entropy_boltzmann[0] == pytest.approx(alike.entropy_boltzmann[1])


def test_a_family_that_was_not_learned_is_open_and_no_name_is_the_widest(defects):
    model = LinearEntropyModel.from_trained(defects)
    bulk, one = lj.vacancies()[0].system, lj.vacancies()[4].system
    families = ["vacancy", "damaged", ""]
    found = predict_entropy(model, [one] * 3, bulks=[bulk] * 3, families=families)
    unnamed = predict_entropy(model, [one], bulks=[bulk])
    assert np.isfinite(found.half_width_boltzmann).tolist() == [True, False, True]
    assert found.half_width_boltzmann[2] == unnamed.half_width_boltzmann[0]
    assert found.half_width_boltzmann[2] >= found.half_width_boltzmann[0]


def test_intervals_at_other_risks_are_wider_or_open(clusters):
    model = LinearEntropyModel.from_trained(clusters)
    system = lj.clusters()[7].system
    widths = [
        predict_entropy(model, [system], alpha=alpha).half_width_boltzmann[0]
        for alpha in (0.5, 0.1, 0.05, 0.001)
    ]
    assert widths[0] < widths[1] <= widths[2] < np.inf
    assert np.isinf(widths[3])


def judged(found, truth):
    """Return which systems are refused, and which of all are within their intervals."""
    refused = ~np.isfinite(found.half_width_boltzmann)
    return refused, np.abs(found.entropy_boltzmann - truth) <= found.half_width_boltzmann


def test_new_minima_of_the_sizes_that_were_seen_are_covered_and_not_refused(clusters):
    model = LinearEntropyModel.from_trained(clusters)
    known = {round(one.origin.energy_ev, 5) for one in lj.clusters()}
    new = [
        one
        for one in lj.clusters(60, 10)
        if len(one.system) <= 11 and round(one.origin.energy_ev, 5) not in known
    ]
    refused, inside = judged(
        predict_entropy(model, [one.system for one in new]), cluster_entropies(new)
    )
    assert len(new) >= 10
    assert refused.mean() < 0.3
    assert inside[~refused].mean() >= 0.85


def test_clusters_of_sizes_that_were_not_seen_are_refused(clusters):
    """Without the size as a novelty 16 of 18 with 13 atoms are kept, and 6 of these covered."""
    model = LinearEntropyModel.from_trained(clusters)
    larger = lj.clusters(30, 12)
    found = predict_entropy(model, [one.system for one in larger])
    refused, inside = judged(found, cluster_entropies(larger))
    assert (refused | inside).mean() >= 0.85
    assert np.all(found.novelty > 1.0)


def cluster_entropies(labels):
    return np.array([
        system_entropy_boltzmann(one.system, one.extensive_log_determinant, one.kind, 300.0)
        for one in labels
    ])  # fmt: skip


def formation_entropies(labels, bulk):
    mean = bulk.extensive_log_determinant / len(bulk.system)
    return np.array([-0.5 * (x.extensive_log_determinant - len(x.system) * mean) for x in labels])


@pytest.mark.parametrize("strain", [0.97, 1.0, 1.02])
def test_strained_defects_are_covered_or_refused(defects, strain):
    """At 0.97 the bias is 0.5 k_B: closed intervals would miss."""
    sites, edge = lj.fcc(2, lj.FCC_EDGE * strain)
    bulk, random = lj.label(sites, edge, "bulk"), np.random.default_rng(11)
    cells = []
    for number in range(8):
        left = np.delete(sites, random.permutation(len(sites))[: number % 4 + 1], axis=0)
        cells.append(lj.label(lj.at_rest(left, edge), edge, f"strained-{number}"))
    found = predict_entropy(
        LinearEntropyModel.from_trained(defects),
        [one.system for one in cells],
        bulks=[bulk.system] * len(cells),
    )
    refused, inside = judged(found, formation_entropies(cells, bulk))
    assert (refused | inside).mean() >= 0.85
    if strain == 1.0:
        assert inside[~refused].mean() >= 0.85
        assert refused.mean() < 0.3


@pytest.mark.parametrize(
    "broken",
    [
        {"arrays": {"logarithm.weights": np.zeros(3)}},
        {"arrays": {"logarithm.weights": np.full(31, np.nan)}},
        {"arrays": {"logarithm.scales": np.zeros(31)}},
        {"arrays": {"logarithm.single": np.array([-1.0, 1.0, 1.0])}},
        {"arrays": {"logarithm.single": np.array([1.0, 1.0])}},
        {"arrays": {"logarithm.misfit": np.zeros((2, 2))}},
        {"arrays": {"logarithm.directions": np.zeros(3)}},
        {"state": {"n_traces": "a"}},
        {"state": {"n_traces": 1}},
        {"state": {"kind": "unknown"}},
        {"state": {"settings": {"target": "energy"}}},
        {"state": {"settings": {"descriptor": "none"}}},
        {"state": {"settings": {"descriptor_settings": {"cutoff": 1.0}}}},
        {"state": {"settings": 5}},
        {"state": {"calibration": {}}},
        {"state": {"settings": {"target": "formation"}}},
        {"elements": (18, 36)},
        {"elements": ()},
    ],
)
def test_a_model_with_wrong_numbers_is_refused(clusters, broken):
    given = {
        "arrays": {**clusters.arrays, **broken.get("arrays", {})},
        "state": {**clusters.state, **broken.get("state", {})},
        "elements": broken.get("elements", clusters.elements),
    }
    with pytest.raises(ModelCorruptError):
        LinearEntropyModel.from_trained(replace(clusters, **given))


def test_a_novelty_that_is_no_number_has_no_interval(clusters, monkeypatch):
    model = LinearEntropyModel.from_trained(clusters)
    monkeypatch.setattr(type(model.calibration), "novelty", lambda *_: float("nan"))
    assert np.isinf(predict_entropy(model, [lj.clusters()[7].system]).half_width_boltzmann[0])


def test_a_model_of_another_method_or_in_parts_is_refused(clusters):
    with pytest.raises(ModelCorruptError, match="of the method"):
        LinearEntropyModel.from_trained(replace(clusters, method="other"))
    few = {name: clusters.arrays[name] for name in ("logarithm.weights",)}
    with pytest.raises(ModelCorruptError, match="cannot be read"):
        LinearEntropyModel.from_trained(replace(clusters, arrays=few))
