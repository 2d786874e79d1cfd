"""What training makes small, and what a network predicts for a batch.

The energy is a function of the vectors between neighbours alone, so that one derivative gives
forces and stress: a bond pulls its two ends against each other, and its vector times its pull
is its share of the virial.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from screening.network_potential.batches import Batch
from screening.network_potential.forward import NetworkForward
from screening.network_potential.settings import LossKind, LossWeights

__all__ = ["Predicted", "loss_terms", "predict", "total_loss"]

_SOFT_EV_PER_ANGSTROM = 0.02  # forces below are noise to relative errors
_TINY = 1e-12  # under roots, whose slope at zero is infinite


@dataclass(frozen=True, eq=False)
class Predicted:
    """Energies (cell,), forces (atom, 3) and stresses (cell, 3, 3) in eV and Å."""

    energies: torch.Tensor
    forces: torch.Tensor
    stresses: torch.Tensor


def predict(forward: NetworkForward, batch: Batch, *, training: bool = False) -> Predicted:
    """Compute energies without those of the atoms alone, forces and stresses.

    Parameters
    ----------
    forward
        The network.
    batch
        Cells.
    training
        Whether weights will be differentiated by.
    """
    vectors = batch.vectors.detach().requires_grad_()
    energies = forward.cell_energies(batch.graph, vectors)
    (pulls,) = torch.autograd.grad(energies.sum(), vectors, create_graph=training)
    graph = batch.graph
    forces = torch.zeros_like(batch.forces)
    forces = forces.index_add(0, graph.senders, pulls).index_add(0, graph.receivers, -pulls)
    shares = (vectors[:, :, None] * pulls[:, None, :]).flatten(1)
    virials = torch.zeros_like(batch.stresses).flatten(1).index_add(0, batch.bond_cell, shares)
    stresses = virials.view(-1, 3, 3) / batch.volumes[:, None, None]
    if not training:
        energies = energies.detach()
        stresses = stresses.detach()
    return Predicted(energies, forces, stresses)


def loss_terms(predicted: Predicted, batch: Batch, kind: LossKind) -> dict[str, torch.Tensor]:
    """Losses of forces, energies, stresses and Hessians, each a sum over cells.

    With ``squared`` the mean squared error of a cell; with ``relative`` the mean length of the
    errors of its forces over the root mean square of its forces and 0.02 eV/Å, and the absolute
    errors of energy per atom and stress; ``frequency`` is as ``relative``, but the lengths are over
    the sum of the roots of both root mean squares, learned and predicted. For one mode that is the
    difference of the roots of two force constants: of frequencies. It is as long for one too soft
    as for one too stiff, while relative errors make a network that cannot tell two crystals apart
    as soft as the softer one. The term ``hessian`` compares half the differences of the forces of
    antithetic pairs, which are odd in the displacement.
    """
    error = (predicted.energies - batch.energies) / batch.n_atoms * batch.has_energy
    stress = (predicted.stresses - batch.stresses).flatten(1) * batch.has_stress[:, None]
    first, second = batch.pair_atoms
    odd = [0.5 * (one[first] - one[second]) for one in (predicted.forces, batch.forces)]
    forces = (predicted.forces, batch.forces)
    if kind == "squared":
        energies, stresses = error.square(), stress.square().mean(1)
    else:
        energies, stresses = error.abs(), (stress.square().sum(1) + _TINY).sqrt()
    return {
        "forces": _of_vectors(*forces, batch.graph.atom_cell, batch.n_cells, kind),
        "energy": energies.sum(),
        "stress": (stresses * batch.has_stress).sum(),
        "hessian": _of_vectors(odd[0], odd[1], batch.pair_index, batch.n_pairs, kind),
    }


def _of_vectors(
    found: torch.Tensor, wanted: torch.Tensor, index: torch.Tensor, n: int, kind: LossKind
) -> torch.Tensor:
    """Sum over groups of atoms of the loss of the vectors of each."""

    def mean(values: torch.Tensor) -> torch.Tensor:
        sums = values.new_zeros(n).index_add(0, index, values)
        return sums / values.new_zeros(n).index_add(0, index, torch.ones_like(values))

    squares = (found - wanted).square().sum(1)
    if kind == "squared":
        return mean(squares).sum() / 3.0
    errors = mean((squares + _TINY).sqrt())
    size = mean(wanted.square().sum(1)).sqrt() + _SOFT_EV_PER_ANGSTROM
    if kind == "relative":
        return (errors / size).sum()
    own = (mean(found.square().sum(1)) + _TINY).sqrt() + _SOFT_EV_PER_ANGSTROM
    return (errors / (size.sqrt() + own.sqrt())).sum()


def total_loss(
    terms: dict[str, torch.Tensor], counts: dict[str, float], weights: LossWeights
) -> torch.Tensor:
    """Add up the losses, each a mean over the cells or pairs that count for it."""
    parts = [
        getattr(weights, name) * term / max(counts[name], 1.0)
        for name, term in terms.items()
        if getattr(weights, name) > 0.0
    ]
    return torch.stack(parts).sum()
