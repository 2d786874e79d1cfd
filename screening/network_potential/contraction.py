"""Products of the neighbourhood of an atom with itself, contracted to equivariant features.

A product of order n of the components x_i is symmetric, so that only the monomials with
ascending indices are formed, and only those that couple to a wanted order; the coupling of all
of them is one matrix.

References
----------
I. Batatia et al., Adv. Neural Inf. Process. Syst. 35, 11423 (2022), equations (10) and (11).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch

__all__ = ["Contraction", "ProductBasis"]

_ZERO = 1e-7  # of coupling coefficients, which are of order one


@dataclass(frozen=True)
class _Order:
    """Products of one order for features of one kind.

    Attributes
    ----------
    indices
        Components of each monomial, one tensor for each factor.
    coupling
        From monomials to couplings, shape (component x path, monomial).
    """

    indices: tuple[torch.Tensor, ...]
    coupling: torch.Tensor
    n_components: int


class Contraction:
    """Products of all orders, contracted to features of one order l.

    Parameters
    ----------
    block
        The block of the network that holds couplings and weights.
    """

    def __init__(self, block: Any) -> None:
        self._orders: list[tuple[_Order, torch.Tensor]] = []
        for order in range(1, block.correlation + 1):
            weights = (
                block.weights_max
                if order == block.correlation
                else block.weights[block.correlation - 1 - order]
            )
            coupling = getattr(block, f"U_matrix_{order}")
            found = _order(coupling, order)
            if found is not None:
                self._orders.append((found, weights))

    def __call__(self, values: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """Contract.

        Parameters
        ----------
        values
            Neighbourhoods, shape (atom, component, channel).
        species
            Index of the element of each atom.

        Returns
        -------
        torch.Tensor
            Shape (atom, component of the features, channel).
        """
        parts = [_contracted(order, weights, values, species) for order, weights in self._orders]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


class ProductBasis:
    """Contractions to all kinds of features of one layer, by order l."""

    def __init__(self, block: Any) -> None:
        self._contractions = [Contraction(one) for one in block.contractions]

    def __call__(self, values: torch.Tensor, species: torch.Tensor) -> list[torch.Tensor]:
        """Contract; returns one tensor for each order, shape (atom, component, channel)."""
        return [one(values, species) for one in self._contractions]


def _contracted(
    order: _Order, weights: torch.Tensor, values: torch.Tensor, species: torch.Tensor
) -> torch.Tensor:
    monomials = values.index_select(1, order.indices[0])
    for index in order.indices[1:]:
        monomials = monomials * values.index_select(1, index)
    coupled = torch.matmul(order.coupling, monomials)
    n_atoms, _, n_channels = coupled.shape
    coupled = coupled.view(n_atoms, order.n_components, -1, n_channels)
    return (coupled * weights.index_select(0, species)[:, None]).sum(2)


def _order(coupling: torch.Tensor, order: int) -> _Order | None:
    """Find the monomials that couple, and the matrix that couples them."""
    full = coupling.detach().cpu().numpy()
    if full.ndim == order + 1:  # of scalars: no component of the result
        full = full[None]
    n_components, n_paths = full.shape[0], full.shape[-1]
    turned = [
        full.transpose(0, *(1 + np.array(one)), order + 1) for one in permutations(range(order))
    ]
    symmetric = np.sum(turned, axis=0)
    indices = np.array(
        [one for one in np.ndindex(*full.shape[1:-1]) if list(one) == sorted(one)], dtype=np.int64
    )
    rows = np.array([symmetric[(slice(None), *one)] for one in indices])
    counts = np.array([_n_equal_orders(one) for one in indices])
    rows = rows.reshape(len(indices), n_components * n_paths) / counts[:, None]
    kept = np.abs(rows).max(axis=1) > _ZERO
    if not kept.any():
        return None
    device = coupling.device
    return _Order(
        tuple(torch.tensor(column, device=device) for column in indices[kept].T),
        torch.tensor(np.ascontiguousarray(rows[kept].T), dtype=coupling.dtype, device=device),
        n_components,
    )


def _n_equal_orders(indices: Any) -> int:
    """Count the orders of indices that are the same, each of which the sum holds once."""
    everything = list(permutations(indices))
    return everything.count(tuple(indices))
