from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_salts import labelled_salts

pytest.importorskip("careful_mace")

import torch

from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.losses import Predicted, loss_terms
from screening.network_potential.settings import MaceArchitecture

ELEMENTS = (8, 11, 12, 17, 19, 35)


@pytest.fixture(scope="module")
def batch():
    """One antithetic pair."""
    cells = [one for one in labelled_salts(3) if one.pair][:2]
    assert cells[0].pair == cells[1].pair
    shape = MaceArchitecture(elements=ELEMENTS)
    return batch_of([cell_tensors(one, shape, torch.float64) for one in cells])


def with_forces(batch, size):
    """Forces that are all of one length in eV/Å, odd from one half of the pair to the other."""
    forces = torch.zeros_like(batch.forces)
    forces[: len(forces) // 2, 0], forces[len(forces) // 2 :, 0] = size, -size
    return replace(batch, forces=forces)


def losses(batch, wanted, found, kind):
    wanted = with_forces(batch, wanted)
    forces = with_forces(batch, found).forces
    terms = loss_terms(Predicted(wanted.energies, forces, wanted.stresses), wanted, kind)
    return {name: float(one) for name, one in terms.items()}


@pytest.mark.parametrize(("wanted", "found"), [(40.0, 10.0), (10.0, 40.0), (900.0, 100.0)])
def test_errors_are_those_of_frequencies(batch, wanted, found):
    said = losses(batch, wanted, found, "frequency")
    exact = abs(np.sqrt(wanted) - np.sqrt(found))
    assert said["hessian"] == pytest.approx(exact, rel=0.01)  # but for the softening by 0.05
    assert said["forces"] == pytest.approx(2 * exact, rel=0.01)  # of two cells
    assert max(said["energy"], said["stress"]) < 1e-5


@pytest.mark.parametrize("kind", ["relative", "frequency", "squared"])
def test_nothing_wrong_costs_nothing(batch, kind):
    assert losses(batch, 3.0, 3.0, kind)["forces"] == pytest.approx(0.0, abs=1e-5)


def test_one_answer_for_a_soft_and_two_stiff_crystals_is_stiff(batch):
    """Where nothing tells them apart, relative errors side with the soft one."""
    answers = np.linspace(5.0, 120.0, 47)

    def best(kind):
        costs = [
            sum(losses(batch, wanted, one, kind)["forces"] for wanted in (10.0, 100.0, 100.0))
            for one in answers
        ]
        return answers[int(np.argmin(costs))]

    assert best("frequency") == pytest.approx(100.0)
    assert best("relative") == pytest.approx(10.0)


def test_gradients_are_finite_where_nothing_is_predicted(batch):
    wanted = with_forces(batch, 1.0)
    forces = torch.zeros_like(wanted.forces, requires_grad=True)
    terms = loss_terms(Predicted(wanted.energies, forces, wanted.stresses), wanted, "frequency")
    (terms["forces"] + terms["hessian"]).backward()
    assert torch.isfinite(forces.grad).all()
    assert (forces.grad[:, 0] * wanted.forces[:, 0] < 0).all()
