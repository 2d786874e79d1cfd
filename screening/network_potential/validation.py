"""Errors of a network on cells, beside those of predicting no force at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from screening.network_potential.batches import Batch, CellTensors, batch_of, batches, partners
from screening.network_potential.forward import NetworkForward
from screening.network_potential.halving import in_parts
from screening.network_potential.losses import Predicted, loss_terms, predict

__all__ = ["force_scores", "held_out_forces"]

_MOST_POINTS = 1000
_Found = TypeVar("_Found")


def force_scores(
    forward: NetworkForward, cells: Sequence[CellTensors], batch_atoms: int, device: torch.device
) -> dict[str, float]:
    """Score a network.

    Parameters
    ----------
    forward
        The network.
    cells
        Cells with labels; at least one.
    batch_atoms
        Number of atoms to compute at once.
    device
        Where the network is.

    Returns
    -------
    dict
        ``forces_mae`` of components and ``zero_forces_mae`` of predicting none, in eV/Å;
        ``relative`` and ``relative_hessian``, the relative losses of forces and of the parts
        odd in the displacement, which are about 0.9 for predicting none; ``energy_mae`` in eV
        per atom and ``stress_mae`` in eV/Å^3 where they are known.

    Raises
    ------
    TooLargeError
        If one cell, or pair of cells, alone does not fit into memory.
    """

    def own(batch: Batch) -> dict[str, float]:
        return _sums(predict(forward, batch), batch)

    sums: dict[str, float] = {}
    for found in _of_batches(own, cells, batch_atoms, device):
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
    return _means(sums)


def held_out_forces(
    forward: NetworkForward, cells: Sequence[CellTensors], batch_atoms: int, device: torch.device
) -> dict[str, Any]:
    """Return components of forces beside their labels, as cards keep them for a picture.

    Parameters
    ----------
    forward, cells, batch_atoms, device
        As for `force_scores`.

    Returns
    -------
    dict
        ``unit``, ``reference`` and ``predicted``, of all components, or of 1000 that are spread
        evenly over the cells.

    Raises
    ------
    TooLargeError
        As for `force_scores`.
    """

    def both(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return batch.forces.flatten(), predict(forward, batch).forces.flatten()

    found = _of_batches(both, cells, batch_atoms, device)
    whole = [torch.cat(one).cpu().numpy() for one in zip(*found, strict=True)]
    size = len(whole[0])
    kept = np.linspace(0, size - 1, min(size, _MOST_POINTS)).round().astype(int)
    shown = [one[kept].round(6).tolist() for one in whole]
    return {"unit": "eV/Å", "reference": shown[0], "predicted": shown[1]}


def _of_batches(
    compute: Callable[[Batch], _Found],
    cells: Sequence[CellTensors],
    batch_atoms: int,
    device: torch.device,
) -> list[_Found]:
    """Compute something of all cells, in smaller batches once memory has run out."""
    found: list[_Found] = []
    n_parts = 1
    for chunk in batches(cells, batch_atoms, partners(cells)):
        new, n_parts = in_parts(
            chunk,
            n_parts,
            device,
            lambda parts: [compute(batch_of(one).to(device)) for one in parts],
        )
        found += new
    return found


def _sums(found: Predicted, batch: Batch) -> dict[str, float]:
    terms = loss_terms(found, batch, "relative")
    energies = (found.energies - batch.energies) / batch.n_atoms * batch.has_energy
    stresses = (found.stresses - batch.stresses).abs().mean((1, 2)) * batch.has_stress
    return {
        "forces": float((found.forces - batch.forces).abs().sum()),
        "zero": float(batch.forces.abs().sum()),
        "components": float(batch.forces.numel()),
        "relative": float(terms["forces"]),
        "cells": float(batch.n_cells),
        "odd": float(terms["hessian"]),
        "pairs": float(batch.n_pairs),
        "energies": float(energies.abs().sum()),
        "n_energies": float(batch.has_energy.sum()),
        "stresses": float(stresses.sum()),
        "n_stresses": float(batch.has_stress.sum()),
    }


def _means(sums: dict[str, Any]) -> dict[str, float]:
    found = {
        "forces_mae": sums["forces"] / sums["components"],
        "zero_forces_mae": sums["zero"] / sums["components"],
        "relative": sums["relative"] / sums["cells"],
    }
    optional = (
        ("relative_hessian", "odd", "pairs"),
        ("energy_mae", "energies", "n_energies"),
        ("stress_mae", "stresses", "n_stresses"),
    )
    return found | {name: sums[one] / sums[n] for name, one, n in optional if sums[n]}
