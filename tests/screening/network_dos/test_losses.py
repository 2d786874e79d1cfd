from __future__ import annotations

import numpy as np
import pytest
import torch

from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.losses import training_loss
from screening.network_dos.scores import wasserstein_thz

WIDTH = PAPER_GRID.width_thz


def random_rows(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((7, len(PAPER_GRID))))


def test_the_distance_that_is_trained_is_the_one_that_is_reported() -> None:
    own, labels = random_rows(1), 6.0 * random_rows(2)
    loss = training_loss(own, labels, "wasserstein", WIDTH).numpy()
    reported = wasserstein_thz(own.numpy(), labels.numpy(), PAPER_GRID)
    np.testing.assert_allclose(loss, reported, rtol=1e-12)


def test_a_shifted_peak_costs_its_shift() -> None:
    peaks = torch.eye(len(PAPER_GRID), dtype=torch.float64)
    loss = training_loss(peaks[[20, 30]], peaks[[23, 30]], "wasserstein", WIDTH)
    assert loss.tolist() == pytest.approx([3.0 * WIDTH, 0.0])


def test_the_published_loss_is_of_curves_whose_maximum_is_one() -> None:
    labels = 5.0 * random_rows(3)
    curves = labels / labels.amax(dim=1, keepdim=True)
    assert training_loss(curves, labels, "mse", WIDTH).abs().max() == 0.0
    assert training_loss(2.0 * curves, labels, "mse", WIDTH).min() > 0.1
    free = training_loss(2.0 * curves, labels, "mse", WIDTH, to_maximum=True)
    assert free.abs().max() == pytest.approx(0.0, abs=1e-30)


@pytest.mark.parametrize("kind", ["mse", "wasserstein"])
def test_gradients_are_right(kind) -> None:
    own, labels = random_rows(4).requires_grad_(), random_rows(5)
    assert torch.autograd.gradcheck(lambda x: training_loss(x, labels, kind, WIDTH), own)
