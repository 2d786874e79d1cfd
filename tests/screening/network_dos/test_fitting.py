from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from screening.errors import ModelCorruptError, TooLargeError, TrainingDivergedError
from screening.network_dos.fitting import MemberTraining, Sample
from screening.network_dos.graphs import GraphBuilder, element_features
from screening.network_potential.checkpoint import Checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples(made_labels) -> list[Sample]:
    builder = GraphBuilder(5.0, 3.0)
    return [Sample(builder.graph(one.structure), one.histogram) for one in made_labels]


@pytest.fixture
def training(samples, tiny_settings):
    def make(n: int = 10, n_watched: int = 4, **changes) -> MemberTraining:
        settings = replace(tiny_settings, **changes)
        return MemberTraining(
            samples[:n], samples[n : n + n_watched], settings, element_features(), 1, CPU
        )

    return make


def same(first, second) -> bool:
    return set(first) == set(second) and all(np.array_equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("axis", ["scaled", "absolute"])
def test_training_lowers_the_loss(training, tiny_settings, axis: str) -> None:
    architecture = replace(tiny_settings.architecture, axis=axis)
    run = training(n=6, n_watched=0, architecture=architecture, epochs=30, learning_rate=5e-3)
    run.run()
    losses = [own for own, _ in run.history]
    assert len(losses) == 30
    assert losses[-1] < 0.5 * losses[0]


def test_a_training_that_is_resumed_ends_with_the_same_bits(training) -> None:
    whole = training()
    wanted = whole.run()
    first = training()
    for _ in range(3):
        first.run_epoch()
    second = training()
    second.restore(first.checkpoint())
    assert same(second.run(), wanted)
    assert second.history == whole.history


def test_training_stops_when_the_watched_loss_no_longer_falls(training) -> None:
    run = training(epochs=50, patience=3, learning_rate=1e-8)
    run.best_loss, run.epoch, run.best_epoch = -1.0, 5, 5  # nothing will be better
    run.run()
    assert run.epoch == 8


def test_the_best_weights_are_kept_not_the_last(training) -> None:
    run = training()
    run.run_epoch()
    best = run.best_arrays
    run.best_loss = -1.0
    run.run_epoch()
    assert same(run.best_arrays, best)


def test_a_loss_that_is_no_number_stops_and_leaves_the_checkpoint(training) -> None:
    run = training()
    run.run_epoch()
    kept = run.checkpoint()
    before = {name: value.copy() for name, value in kept.arrays.items()}
    with torch.no_grad():
        run._network.core.fc.bias.fill_(torch.nan)
    with pytest.raises(TrainingDivergedError, match=r"became nan.*after 1 passes.*Lower"):
        run.run_epoch()
    assert same(kept.arrays, before)
    again = training()
    again.restore(kept)
    assert np.isfinite(again.history).all()


class Starved:
    """Stands for a network on a machine where few bonds fit into the memory."""

    def __init__(self, training: MemberTraining, largest: int) -> None:
        self.losses, self.largest, self.refused = training._losses, largest, 0

    def __call__(self, batch):
        if sum(one.graph.size for one in batch) > self.largest:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.losses(batch)


def test_a_batch_that_does_not_fit_is_halved_to_the_same_gradients(training, monkeypatch) -> None:
    run, starved = training(), training()
    batch = run._training[:4]
    largest = max(one.graph.size for one in batch)
    limited = Starved(starved, largest)
    monkeypatch.setattr(starved, "_losses", limited)
    assert starved._gradients(batch) == pytest.approx(run._gradients(batch), rel=1e-5)
    assert limited.refused > 0
    for own, other in zip(starved._network.parameters(), run._network.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-5)
    refused = limited.refused
    starved._gradients(batch)
    assert limited.refused == refused  # later batches are small at once


def test_a_crystal_that_does_not_fit_alone_is_named(training, monkeypatch) -> None:
    run = training()
    monkeypatch.setattr(run, "_losses", Starved(run, 0))
    with pytest.raises(TooLargeError, match=r"one crystal of 2 atoms"):
        run.run_epoch()


def test_other_errors_of_torch_are_not_taken_for_memory(training, monkeypatch) -> None:
    def broken(_):
        raise RuntimeError("shapes do not match")

    run = training()
    monkeypatch.setattr(run, "_losses", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run.run_epoch()


def test_a_checkpoint_of_another_network_is_refused(training) -> None:
    run = training()
    run.run_epoch()
    kept = run.checkpoint()
    arrays = dict(kept.arrays)
    arrays["network/core.fc.bias"] = arrays["network/core.fc.bias"][:-1]
    with pytest.raises(ModelCorruptError):
        training().restore(Checkpoint(kept.header, arrays))
    with pytest.raises(ModelCorruptError):
        training().restore(Checkpoint({}, kept.arrays))
