from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from labelled_salts import labelled_salts

pytest.importorskip("careful_mace")

import torch

from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    TooLargeError,
    TrainingDivergedError,
    TrainingSetError,
)
from screening.network_potential import run as running
from screening.network_potential import validation
from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.checkpoint import Checkpoint, CheckpointFile
from screening.network_potential.forward import NetworkForward
from screening.network_potential.losses import predict
from screening.network_potential.network import network_of
from screening.network_potential.settings import (
    MACE_PRESETS,
    LossWeights,
    MaceArchitecture,
    TrainingStage,
)
from screening.network_potential.training import train_potential
from screening.network_potential.validation import force_scores

TINY = replace(
    MACE_PRESETS["tiny"],
    architecture=replace(MACE_PRESETS["tiny"].architecture, channels=2, max_ell=1),
    batch_atoms=8,
    valid_fraction=0.3,
)


@pytest.fixture(scope="module")
def cells():
    return labelled_salts(3)


@pytest.fixture(scope="module")
def model(cells):
    return train_potential(cells, TINY, "salts")


def same(first, second):
    assert set(first.arrays) == set(second.arrays)
    return all(np.array_equal(first.arrays[key], second.arrays[key]) for key in first.arrays)


def test_a_model_says_what_it_is(cells, model):
    assert model.method == "mace-potential"
    assert model.name == "salts"
    assert model.elements == (8, 12, 19, 35)  # without those of NaCl, which is held out
    assert any(one.startswith("does not know Na, Cl,") for one in model.card["notes"])
    assert model.n_training_samples == 8
    assert model.state["frequency_scale"] is None
    assert model.state["precision"] == "float32"
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    assert architecture.elements == (8, 11, 12, 17, 19, 35)
    card = model.card
    assert card["sources"] == ["pair potential"]
    assert card["is_complete"]
    assert len(card["history"]) == card["n_epochs"] == 4
    assert len(card["split"]["held_out_groups"]) == 1
    known = {one.group for one in cells} - set(card["split"]["held_out_groups"])
    assert set(card["split"]["training_groups"]) == known
    parity = card["parity"]["forces"]
    errors = np.subtract(parity["predicted"], parity["reference"])
    assert abs(errors).mean() == pytest.approx(card["scores"]["forces_mae"], rel=1e-4)
    assert card["split"]["n_held_out_cells"] == 4
    held_out = [one for one in cells if one.group in card["split"]["held_out_groups"]]
    forces = np.concatenate([one.forces_ev_per_angstrom for one in held_out])
    assert card["scores"]["zero_forces_mae"] == pytest.approx(abs(forces).mean(), rel=1e-6)
    assert set(card["scores"]) == {
        *("forces_mae", "zero_forces_mae", "relative", "relative_hessian"),
        *("energy_mae", "stress_mae"),
    }


def test_the_error_of_forces_is_said_for_what_is_trained_on_as_well(cells):
    frozen = replace(TINY.stages[0], epochs=1, learning_rate=1e-30, final_learning_rate=1e-30)
    still = replace(TINY, stages=(frozen,), precision="float64", device="cpu")
    heard = []
    found = train_potential(cells, still, "salts", lambda *told: heard.append(told))
    [scores] = found.card["history"]
    network = network_of(found)
    errors = []
    for cell in cells:
        if cell.group in found.card["split"]["training_groups"]:
            tensors = [cell_tensors(cell, MaceArchitecture.from_dict(found.state["architecture"]),
                                    torch.float64)]  # fmt: skip
            forces = predict(NetworkForward(network), batch_of(tensors)).forces.numpy()
            errors.append(abs(forces - cell.forces_ev_per_angstrom).mean(axis=1))
    assert scores["train_forces_mae"] == pytest.approx(np.concatenate(errors).mean(), rel=1e-6)
    assert "train_forces_mae" not in found.card["scores"]
    assert f"trained on {1e3 * scores['train_forces_mae']:.1f} meV/Å" in heard[1][0]
    begun = "begins, 8 cells of 2 compositions to learn from, 4 of 1 held out"
    assert heard[0] == (begun, 0, 1)


def test_what_is_held_out_can_be_kept_while_the_seed_changes(cells, model):
    seeds = [replace(TINY, seed=seed, split_seed=0) for seed in (1, 2)]
    stages = (replace(TINY.stages[0], epochs=1),)
    first, second = (train_potential(cells, replace(x, stages=stages), "salts") for x in seeds)
    held_out = model.card["split"]["held_out_groups"]
    assert first.card["split"]["held_out_groups"] == held_out
    assert second.card["split"]["held_out_groups"] == held_out
    assert not same(first, second)
    assert "split_seed" not in TINY.as_dict()  # digests of earlier trainings stay


def test_scores_on_the_card_are_those_of_the_stored_weights(cells, model):
    network = network_of(model, precision="float32")
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    held_out = [one for one in cells if one.group in model.card["split"]["held_out_groups"]]
    batch = batch_of([cell_tensors(one, architecture, torch.float32) for one in held_out])
    error = (predict(NetworkForward(network), batch).forces - batch.forces).abs().mean()
    assert float(error) == pytest.approx(model.card["scores"]["forces_mae"], rel=1e-5)


def test_interrupted_training_ends_with_the_same_bits(cells, model, tmp_path):
    file = CheckpointFile(tmp_path / "last.npz")
    told = []
    early = train_potential(
        cells, TINY, "salts", lambda *said: told.append(said), file, should_stop=lambda: True
    )
    assert not early.card["is_complete"]
    assert [one[1:] for one in told] == [(0, 4), (1, 4)]
    assert "meV" in told[1][0]
    assert file.read().header["epoch"] == 1
    whole = train_potential(cells, TINY, "salts", checkpoint=file)
    assert same(whole, model)
    assert not same(early, model)
    assert whole.digest == model.digest
    again = train_potential(cells, TINY, "salts", checkpoint=file)
    assert same(again, model)
    assert again.card["scores"] == model.card["scores"]


@pytest.mark.parametrize("what", ["settings", "cells", "name", "start"])
def test_the_checkpoint_of_another_training_is_refused(cells, model, tmp_path, what):
    file = CheckpointFile(tmp_path / "last.npz")
    file.write(Checkpoint({}, {}))
    given = [cells, TINY, "salts"]
    train_potential(
        *given, checkpoint=CheckpointFile(tmp_path / "own.npz"), should_stop=lambda: True
    )
    own = CheckpointFile(tmp_path / "own.npz")
    start = None
    if what == "settings":
        given[1] = replace(TINY, clip=1.0)
    elif what == "cells":
        given[0] = cells[:-1]
    elif what == "name":
        given[2] = "other"
    else:
        start = model
    with pytest.raises(ModelRefusedError, match="another training") as refused:
        train_potential(*given, checkpoint=own, start_from=start)
    assert refused.value.hint
    with pytest.raises(ModelRefusedError):
        train_potential(cells, TINY, "salts", checkpoint=file)


def test_a_damaged_checkpoint_is_refused(cells, tmp_path):
    file = CheckpointFile(tmp_path / "last.npz")
    train_potential(cells, TINY, "salts", checkpoint=file, should_stop=lambda: True)
    good = file.read()
    arrays = {name: one for name, one in good.arrays.items() if not name.startswith("mean/")}
    file.write(Checkpoint(good.header, arrays))
    with pytest.raises(ModelCorruptError, match="not of this network"):
        train_potential(cells, TINY, "salts", checkpoint=file)
    file.path.write_bytes(file.path.read_bytes()[:-20])
    with pytest.raises(ModelCorruptError):
        train_potential(cells, TINY, "salts", checkpoint=file)


def test_a_loss_that_is_no_number_stops_and_leaves_the_last_checkpoint(
    cells, tmp_path, monkeypatch
):
    file = CheckpointFile(tmp_path / "last.npz")
    early = train_potential(cells, TINY, "salts", checkpoint=file, should_stop=lambda: True)
    before = file.path.read_bytes()
    honest = running.total_loss
    with monkeypatch.context() as patched:
        patched.setattr(running, "total_loss", lambda *given: honest(*given) * float("nan"))
        with pytest.raises(TrainingDivergedError, match="epoch 2") as stopped:
            train_potential(cells, TINY, "salts", checkpoint=file)
    assert "max_seconds" in stopped.value.hint
    assert file.path.read_bytes() == before
    over = replace(TINY, max_seconds=1e-9)
    kept = train_potential(cells, over, "salts", checkpoint=file)
    assert same(kept, early)
    assert kept.card["n_epochs"] == 1


class Cramped:
    """Predicts where there is room for 2 cells, and remembers how many it was asked for."""

    def __init__(self):
        self.sizes = []

    def __call__(self, forward, batch, *, training=False):
        self.sizes.append(batch.n_cells)
        if batch.n_cells > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(forward, batch, training=training)


def test_a_batch_without_room_is_halved_and_retried(cells, model, monkeypatch):
    steps, scores = Cramped(), Cramped()
    monkeypatch.setattr(running, "predict", steps)
    monkeypatch.setattr(validation, "predict", scores)
    found = train_potential(cells, TINY, "salts")
    assert steps.sizes[:3] == [4, 2, 2]
    assert 4 not in steps.sizes[1:]
    assert scores.sizes == [4, 2, 2] * 5  # after each of 4 epochs, and for the picture
    for name, wanted in model.arrays.items():
        np.testing.assert_allclose(found.arrays[name], wanted, rtol=1e-3, atol=2e-4)
    assert found.card["scores"] == pytest.approx(model.card["scores"], rel=1e-3)


def test_scores_are_the_same_in_parts(cells, model, monkeypatch):
    monkeypatch.setattr(validation, "predict", Cramped())
    found = train_potential(cells, TINY, "salts")
    assert same(found, model)
    for one, wanted in zip(found.card["history"], model.card["history"], strict=True):
        assert one == pytest.approx(wanted, rel=1e-5)
    forces, wanted = (one.card["parity"]["forces"] for one in (found, model))
    assert forces["reference"] == wanted["reference"]
    assert forces["predicted"] == pytest.approx(wanted["predicted"], abs=2e-6)


def test_scores_that_fail_do_not_cost_their_epoch(cells, model, tmp_path, monkeypatch):
    file = CheckpointFile(tmp_path / "last.npz")
    scored = []

    def second_fails(*given):
        scored.append(given)
        if len(scored) == 2:
            raise TooLargeError("no room", subject="training", hint="Take a smaller network")
        return force_scores(*given)

    monkeypatch.setattr(running, "force_scores", second_fails)
    with pytest.raises(TooLargeError):
        train_potential(cells, TINY, "salts", checkpoint=file)
    assert file.read().header["epoch"] == 2
    whole = train_potential(cells, TINY, "salts", checkpoint=file)
    assert whole.digest == model.digest
    assert whole.card["history"] == model.card["history"]
    assert len(scored) == 5  # of 4 epochs, one of them twice


def test_a_cell_that_does_not_fit_alone_is_refused(cells, monkeypatch):
    def nowhere(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(running, "predict", nowhere)
    with pytest.raises(TooLargeError, match="2 atoms") as refused:
        train_potential(cells, TINY, "salts")
    assert refused.value.hint


def test_other_faults_are_not_taken_for_lack_of_memory(cells, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(running, "predict", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        train_potential(cells, TINY, "salts")


def test_two_structures_are_too_few(cells):
    with pytest.raises(TrainingSetError, match="2 cells") as refused:
        train_potential(cells[:2], TINY, "salts")
    assert refused.value.hint
    with pytest.raises(TrainingSetError, match="1 composition"):
        train_potential(cells[:4], TINY, "salts")


def test_unknown_elements_are_refused_before_any_compute(cells, model, monkeypatch):
    def nothing(*_, **__):
        raise AssertionError

    for name in ("cell_tensors", "build_network", "network_of"):
        monkeypatch.setattr(f"screening.network_potential.training.{name}", nothing)
    odd = labelled_salts(4)[-4:]
    with pytest.raises(ElementNotInModelError, match="Li, F") as refused:
        train_potential([*cells, *odd], TINY, "salts", start_from=model)
    assert refused.value.subject == "LiF-CsCl"
    known = replace(TINY, architecture=replace(TINY.architecture, elements=(3, 9, 11, 17)))
    with pytest.raises(ElementNotInModelError, match="K, Br"):
        train_potential([*cells, *odd], known, "salts")


def test_fine_tuning_starts_from_what_was_learned(cells, model):
    gentle = replace(TINY, stages=(TrainingStage(1, 1e-9, 1e-9, TINY.stages[0].weights),))
    shifted = [replace(one, energy_ev=one.energy_ev + 3.0 * len(one)) for one in cells]
    tuned = train_potential(shifted, gentle, "tuned", start_from=model)
    name = "network/node_embedding.linear.weight"
    np.testing.assert_allclose(tuned.arrays[name], model.arrays[name], atol=1e-6)
    assert tuned.state["avg_num_neighbors"] == model.state["avg_num_neighbors"]
    name = "network/atomic_energies_fn.atomic_energies"
    assert abs(tuned.arrays[name] - model.arrays[name]).max() > 1.0
    splits = [one.card["split"]["held_out_groups"] for one in (tuned, model)]
    assert splits[0] == splits[1]
    other = train_potential(cells, replace(gentle, split_seed=7), "tuned", start_from=model)
    assert other.card["split"]["held_out_groups"] == splits[1]  # the others were learned
    scores = [one.card["scores"]["forces_mae"] for one in (tuned, model)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    with pytest.raises(ModelRefusedError, match="method"):
        train_potential(cells, TINY, "x", start_from=replace(model, method="other"))


def test_time_is_kept_to(cells):
    endless = replace(TINY, stages=(replace(TINY.stages[0], epochs=10**6),), max_seconds=0.3)
    started = time.monotonic()
    found = train_potential(cells, endless, "salts")
    assert time.monotonic() - started < 30.0
    assert found.card["is_complete"]
    assert 0.3 <= found.card["wall_seconds"] < 5.0
    assert found.card["n_epochs"] < 10**5


def test_a_gpu_that_is_not_there_is_refused(cells, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnavailableError, match="no graphics processor"):
        train_potential(cells, replace(TINY, device="cuda"), "salts")


def test_forces_alone_are_enough(cells):
    bare = [replace(one, energy_ev=None, stress_ev_per_angstrom3=None, pair="") for one in cells]
    found = train_potential(bare, TINY, "salts")
    assert set(found.card["scores"]) == {"forces_mae", "zero_forces_mae", "relative"}
    assert not found.arrays["network/atomic_energies_fn.atomic_energies"].any()


def test_a_few_cells_are_learned_by_heart():
    cells = labelled_salts(2, 2, smallest_angstrom=0.05, largest_angstrom=0.15)
    architecture = replace(TINY.architecture, channels=4, max_ell=2, radial_mlp=(16,))
    weights = LossWeights(forces=1.0, energy=1.0, stress=1.0, hessian=1.0)
    settings = replace(
        TINY,
        architecture=architecture,
        stages=(TrainingStage(120, 0.03, 1e-3, weights),),
        valid_fraction=0.0,
        batch_atoms=8,
        ema_decay=0.5,
    )
    model = train_potential(cells, settings, "salts")
    network = network_of(model, precision="float32")
    chosen = MaceArchitecture.from_dict(model.state["architecture"])
    batch = batch_of([cell_tensors(one, chosen, torch.float32) for one in cells])
    found = predict(NetworkForward(network), batch)
    error = (found.forces - batch.forces).abs().mean() / batch.forces.abs().mean()
    assert float(error) < 0.1
    assert model.card["history"][-1]["loss"] < 0.1 * model.card["history"][0]["loss"]
    assert model.card["scores"] == {}
