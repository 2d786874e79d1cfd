from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from screening.errors import (
    ElementNotInModelError,
    InconsistentDataError,
    ModelCorruptError,
    ModelRefusedError,
    TooLargeError,
    TrainingDivergedError,
    TrainingSetError,
)
from screening.network_dos.fitting import MemberTraining
from screening.network_dos.model import (
    DensityOfStatesModel,
    Ensemble,
    PredictedDos,
    predict_histograms,
)
from screening.network_dos.training import train_density_of_states
from screening.network_potential.checkpoint import CheckpointFile
from screening.trained_model import TrainedModel


@pytest.fixture(scope="module")
def trained(made_labels, tiny_settings) -> TrainedModel:
    stages: list[tuple[str, int, int]] = []
    found = train_density_of_states(
        made_labels, tiny_settings, "salts", lambda *stage: stages.append(stage)
    )
    assert {name for name, _, _ in stages} == {"member 1 of 2", "member 2 of 2"}
    assert all(done <= total == tiny_settings.epochs for _, done, total in stages)
    return found


@pytest.fixture(scope="module")
def model(trained) -> DensityOfStatesModel:
    return DensityOfStatesModel.from_trained(trained, "cpu")


def test_the_model_is_plain_numbers_and_plain_json(trained, made_labels) -> None:
    assert trained.method == "alignn-density-of-states"
    assert trained.elements == (3, 8, 9, 11, 12, 16, 17, 19)
    assert trained.n_training_samples == len(made_labels)
    assert all(one.dtype.kind == "f" and np.isfinite(one).all() for one in trained.arrays.values())
    again = json.loads(json.dumps([trained.state, trained.card], allow_nan=False))
    assert again == [trained.state, trained.card]


def test_the_card_holds_scores_beside_all_baselines(trained) -> None:
    card = trained.card
    rows = {"network", "zero", "mean", "nearest_neighbours", "debye", "born_von_karman", "scalar"}
    assert set(card["scores"]) == rows
    network = card["scores"]["network"]
    # the made spectra scale as the network begins: it must beat what knows no scale
    assert network["wasserstein_thz"] < card["scores"]["mean"]["wasserstein_thz"]
    assert network["count"] == card["n_held_out"] == 32 - card["n_learned_from"]
    assert not set(card["split"]["calibration"]) & set(card["split"]["learning"])
    assert set(card["coverage"]["held_out_300k"]) > {"entropy", "free_energy", "heat_capacity"}
    assert {"mad", "skill", "mae"} <= set(next(iter(card["thermodynamics"].values())))
    assert len(card["history"]) == len(card["seeds"]) == 2
    assert card["sources"] == ["made"]
    assert "held_out_refused" not in card  # the limit was set on the same crystals


def test_predictions_are_modes_of_each_member(model, made_labels) -> None:
    structures = [one.structure for one in made_labels[:3]]
    doubled = structures[0].copy()
    doubled.make_supercell([1, 1, 2])
    found = predict_histograms(model, [*structures, doubled])
    assert found.shape == (4, 2, 66)
    np.testing.assert_allclose(found.sum(axis=2), [[6.0] * 2] * 3 + [[12.0] * 2], rtol=1e-6)
    np.testing.assert_allclose(found[3], 2.0 * found[0], atol=1e-3)
    assert not np.allclose(found[:, 0], found[:, 1], atol=1e-3)
    assert predict_histograms(model, []).shape == (0, 2, 66)


def test_crystals_that_do_not_fit_together_are_predicted_apart(
    model, made_labels, monkeypatch
) -> None:
    structures = [one.structure for one in made_labels[:5]]
    wanted, whole, sizes = model.predict(structures), Ensemble._evaluated, []

    def starved(self: Ensemble, graphs, priors):
        sizes.append(len(graphs))
        if len(graphs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, graphs, priors)

    monkeypatch.setattr(Ensemble, "_evaluated", starved)
    found = model.predict(structures)
    assert sizes == [5, 2, 3, 1, 2]
    np.testing.assert_allclose(found.histograms, wanted.histograms, atol=1e-5)
    np.testing.assert_allclose(found.latent, wanted.latent, atol=1e-5)


def test_a_crystal_that_does_not_fit_alone_is_refused(model, made_labels, monkeypatch) -> None:
    def starved(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Ensemble, "_evaluated", starved)
    with pytest.raises(TooLargeError, match="one crystal of 2 atoms"):
        model.predict([made_labels[0].structure])


def test_weight_beyond_the_grid_gathers_at_its_edges() -> None:
    histograms = np.zeros((1, 2, 66))
    histograms[0, :, [0, 30, 65]] = [[1.0, 2.0], [4.0, 8.0], [0.0, 6.0]]
    edges = PredictedDos(histograms, np.zeros((1, 3))).edge_fraction
    assert edges == pytest.approx([(1.0 / 5.0 + 8.0 / 16.0) / 2.0])


def test_what_is_like_the_training_set_is_not_novel(model, made_labels) -> None:
    found = model.predict([one.structure for one in made_labels])
    assert (model.novelty(found) <= 1.0).mean() > 0.8


def test_unknown_elements_are_refused_before_anything_is_computed(model, crystals) -> None:
    with pytest.raises(ElementNotInModelError, match="Ti"):
        model.predict([crystals["rocksalt"], crystals["rutile"]])


def test_an_interrupted_training_ends_with_the_same_model_whatever_the_order(
    trained, made_labels, tiny_settings, tmp_path
) -> None:
    """Stopped within the first member, and again within the second."""
    file = CheckpointFile(tmp_path / "training.checkpoint")
    seen: list[str] = []

    def interrupt(stage: str, _done: int, _total: int) -> None:
        seen.append(stage)
        if len(seen) in {6, 13}:
            raise KeyboardInterrupt

    for labels in (made_labels, made_labels[::-1]):
        with pytest.raises(KeyboardInterrupt):
            train_density_of_states(labels, tiny_settings, "salts", interrupt, file)
    resumed = train_density_of_states(made_labels, tiny_settings, "salts", interrupt, file)
    assert resumed.digest == trained.digest
    assert resumed.card["history"] == trained.card["history"]
    assert len(seen) == 2 * tiny_settings.epochs + 2  # one pass was lost each time


def test_a_checkpoint_of_another_training_is_refused(made_labels, tiny_settings, tmp_path) -> None:
    file = CheckpointFile(tmp_path / "training.checkpoint")
    short = replace(tiny_settings, epochs=1)
    train_density_of_states(made_labels, short, "salts", None, file)
    for labels, settings in ((made_labels[1:], short), (made_labels, tiny_settings)):
        with pytest.raises(ModelRefusedError, match="other settings or of another training set"):
            train_density_of_states(labels, settings, "salts", None, file)


def test_a_diverging_training_keeps_the_last_good_checkpoint(
    made_labels, tiny_settings, tmp_path, monkeypatch
) -> None:
    file = CheckpointFile(tmp_path / "training.checkpoint")
    whole = MemberTraining._pass

    def diverge(self: MemberTraining) -> float:
        return float("nan") if self.epoch == 5 else whole(self)

    monkeypatch.setattr(MemberTraining, "_pass", diverge)
    with pytest.raises(TrainingDivergedError, match="seed 0"):
        train_density_of_states(made_labels, tiny_settings, "salts", None, file)
    kept = file.read()
    assert kept is not None
    assert kept.header["current"]["epoch"] == 5
    assert all(np.isfinite(one).all() for one in kept.arrays.values())


def test_a_model_can_correct_a_potential(made_labels, tiny_settings) -> None:
    """A potential whose frequencies are all too low by a fourth is stretched."""
    soft = [replace(one, prior=_softened(one.histogram)) for one in made_labels]
    architecture = replace(tiny_settings.architecture, with_prior=True)
    settings = replace(tiny_settings, architecture=architecture, epochs=12, learning_rate=2e-2)
    found = train_density_of_states(soft, settings, "delta")
    rows = found.card["scores"]
    assert rows["network"]["wasserstein_thz"] < 0.5 * rows["potential"]["wasserstein_thz"]
    model = DensityOfStatesModel.from_trained(found, "cpu")
    structures = [one.structure for one in soft[:2]]
    with pytest.raises(InconsistentDataError, match="no densities of states"):
        predict_histograms(model, structures)
    priors = np.array([one.prior for one in soft[:2]])
    assert predict_histograms(model, structures, priors).shape == (2, 2, 66)
    with pytest.raises(InconsistentDataError, match="shape"):
        predict_histograms(model, structures, priors[:, 1:])


def _softened(histogram: np.ndarray) -> np.ndarray:
    zero = 15
    cumulative = np.interp(
        (np.arange(67) - zero - 0.5) / 0.75, np.arange(67) - zero - 0.5,
        np.concatenate([[0.0], np.cumsum(histogram)]),
    )  # fmt: skip
    found = np.diff(cumulative)
    return found * histogram.sum() / found.sum()


def test_training_sets_that_are_too_small_or_do_not_fit_are_refused(
    made_labels, tiny_settings
) -> None:
    with pytest.raises(TrainingSetError, match="2 crystals of"):
        train_density_of_states(made_labels[:2], tiny_settings, "few")
    architecture = replace(tiny_settings.architecture, with_prior=True)
    with pytest.raises(TrainingSetError, match="without a density of states from a potential"):
        train_density_of_states(
            made_labels, replace(tiny_settings, architecture=architecture), "delta"
        )
    heavy = made_labels[0].structure.copy()
    heavy.replace(0, "Lr")
    labels = [replace(made_labels[0], structure=heavy), *made_labels[1:]]
    with pytest.raises(ElementNotInModelError, match="no features of Lr"):
        train_density_of_states(labels, tiny_settings, "heavy")


def test_too_few_stable_crystals_are_noticed_before_any_member_is_trained(
    made_labels, tiny_settings, monkeypatch
) -> None:
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(MemberTraining, "run_epoch", never)
    with pytest.raises(AssertionError):
        train_density_of_states(made_labels, tiny_settings, "stable")
    imaginary = 6.0 * np.eye(66)[0]  # of two atoms, in the lowest bin
    unstable = [replace(one, histogram=0.5 * (one.histogram + imaginary)) for one in made_labels]
    with pytest.raises(TrainingSetError, match="stable crystals of 0 compositions") as caught:
        train_density_of_states(unstable, tiny_settings, "unstable")
    assert "calibration_fraction" in caught.value.hint


def damaged(trained: TrainedModel, **changes) -> TrainedModel:
    return replace(trained, **changes)


def test_damaged_models_are_refused(trained) -> None:
    arrays, state = dict(trained.arrays), dict(trained.state)
    with pytest.raises(ModelRefusedError, match="method"):
        DensityOfStatesModel.from_trained(damaged(trained, method="mace-potential"), "cpu")
    without = {name: one for name, one in arrays.items() if not name.startswith("member/1/")}
    for changes in (
        {"arrays": without},
        {"arrays": arrays | {"element_features": arrays["element_features"][1:]}},
        {"arrays": arrays | {"member/0/core.fc.bias": arrays["member/0/core.fc.bias"][1:]}},
        {"state": state | {"settings": {}}},
        {"state": state | {"settings": state["settings"] | {"loss": "mae"}}},
        {"state": state | {"calibration": {}}},
        {"state": state | {"domain": None}},
        {"state": {}},
    ):
        with pytest.raises(ModelCorruptError):
            DensityOfStatesModel.from_trained(damaged(trained, **changes), "cpu")
