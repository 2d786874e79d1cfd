"""The weights of a MACE network, arranged for its evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from screening.network_potential.contraction import ProductBasis
from screening.prediction import FloatArray

__all__ = [
    "HarmonicBlock",
    "LayerWeights",
    "NetworkWeights",
    "RadialWeights",
    "ReadoutWeights",
    "SenderBlock",
]


@dataclass(frozen=True, eq=False)
class RadialWeights:
    """From the length of a bond to the weights of its messages, in one layer.

    Attributes
    ----------
    frequencies_per_angstrom
        Of the Bessel functions.
    prefactor
        Of the Bessel functions.
    cutoff_angstrom, power
        Of the polynomial that ends them.
    matrices
        Of the layers of the perceptron, (in, out).
    gain
        Factor of the activation x / (1 + exp(-x)) between them.
    """

    frequencies_per_angstrom: FloatArray
    prefactor: float
    cutoff_angstrom: float
    power: int
    matrices: tuple[torch.Tensor, ...]
    gain: float


@dataclass(frozen=True, eq=False)
class HarmonicBlock:
    """Coupling of the features of one order with the harmonics of one order.

    Attributes
    ----------
    order
        Order of the harmonics.
    n_weights
        Number of weights of messages that belong to it.
    coupling
        From harmonic, path and component of the feature to the components of all results,
        shape (result, harmonic x path x component).
    results
        For each path its place among all paths, and its number of results.
    """

    order: int
    n_weights: int
    coupling: torch.Tensor
    results: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class SenderBlock:
    """All that happens to the sent features of one order.

    Attributes
    ----------
    order, parity
        How they turn.
    blocks
        Coupling with the harmonics, one for each order.
    """

    order: int
    parity: int
    blocks: tuple[HarmonicBlock, ...]


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer.

    Attributes
    ----------
    radial
        Weights of messages by length.
    lift
        For each order of what is sent, mixing of channels (channel, channel).
    senders
        Messages, by the order of what is sent.
    path_orders
        For each path the order it leads to, as an index into those of the sum of messages.
    mix
        For each order of the sum of messages, mixing of paths and channels, divided by the
        mean number of neighbours, (path x channel, channel).
    skips
        For each order of the new features, which of the old are added and their mixing by
        element, (element, channel, channel), or None.
    products
        Products of the neighbourhood.
    update
        For each order of the new features, mixing of channels.
    readout
        From the scalars to the energy; None where this layer has none.
    """

    radial: RadialWeights
    lift: tuple[torch.Tensor, ...]
    senders: tuple[SenderBlock, ...]
    path_orders: tuple[int, ...]
    mix: tuple[torch.Tensor, ...]
    skips: tuple[tuple[int, torch.Tensor] | None, ...]
    products: ProductBasis
    update: tuple[torch.Tensor, ...]
    readout: ReadoutWeights | None


@dataclass(frozen=True, eq=False)
class ReadoutWeights:
    """From scalars to an energy.

    Attributes
    ----------
    first
        Mixing of channels before the gate, or to the energy where there is none.
    gate, last
        Function of the hidden channels, and their mixing to the energy.
    """

    first: torch.Tensor
    gate: Callable[[torch.Tensor], torch.Tensor] | None = None
    last: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class NetworkWeights:
    """A whole network.

    Attributes
    ----------
    numbers
        Atomic numbers of the elements.
    cutoff_angstrom
        Reach of one layer.
    embedding
        Features of each element, (element, channel).
    harmonics, harmonic_slopes
        From monomials of the unit vector to harmonics, (monomial, harmonic), and to their
        derivatives by its components, (axis, monomial, harmonic).
    max_ell
        Highest order of the harmonics.
    layers
        The layers.
    scale, shift_ev
        Of the energy of an atom.
    atom_energies_ev
        Energy of each element alone.
    """

    numbers: tuple[int, ...]
    cutoff_angstrom: float
    embedding: torch.Tensor
    harmonics: FloatArray
    harmonic_slopes: FloatArray
    max_ell: int
    layers: tuple[LayerWeights, ...]
    scale: float
    shift_ev: float
    atom_energies_ev: FloatArray
