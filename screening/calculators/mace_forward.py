"""Energy and gradients of a MACE network on a folded cell.

Messages are computed only into one atom of each orbit. The weights of messages depend on nothing
but the length of a bond, and most bonds of a crystal share a few lengths: they are computed once
for each, with their derivative by the length, and the chain rule is finished by hand. The sums
over neighbours are products of matrices, of harmonics with features times weights; couplings are
applied to the sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from screening.calculators.mace_fold import FoldedCell
from screening.calculators.mace_harmonics import harmonic_matrix, monomials
from screening.calculators.mace_weights import (
    LayerWeights,
    NetworkWeights,
    RadialWeights,
    ReadoutWeights,
    SenderBlock,
)
from screening.prediction import FloatArray

__all__ = ["energy_and_gradients", "network_energy"]

# Lengths in Å that differ by less are one: above the rounding of coordinates, and worth less than
# 1e-10 eV/Å in a force; for a network in float32, a tenth of what it resolves.
_SAME_LENGTH = {torch.float64: 1e-12, torch.float32: 1e-8}


@dataclass(frozen=True, eq=False)
class _Messages:
    """What the layers share.

    Attributes
    ----------
    harmonics
        Of the messages, shape (representative, harmonic, slot).
    harmonic_sizes
        Number of harmonics of each order.
    senders
        Atom that each message comes from, shape (message,).
    sender_species, sender_orbits
        Element and orbit of it.
    orbits
        Orbit of each atom, shape (atom,).
    species
        Index of the element of each representative.
    sizes
        Number of representatives of each element.
    turns
        For each order and parity of features, what turns those of the representative to
        those of each atom, shape (atom, component, component); empty where nothing turns.
    """

    harmonics: torch.Tensor
    harmonic_sizes: list[int]
    senders: torch.Tensor
    sender_species: torch.Tensor
    sender_orbits: torch.Tensor
    orbits: torch.Tensor
    species: torch.Tensor
    sizes: list[int]
    turns: dict[tuple[int, int], torch.Tensor]


def network_energy(network: NetworkWeights, folded: FoldedCell) -> float:
    """Compute the energy of the whole cell in eV."""
    with torch.no_grad():
        return _evaluate(network, folded, differentiate=False)[0]


def energy_and_gradients(network: NetworkWeights, folded: FoldedCell) -> tuple[float, FloatArray]:
    """Compute the energy of the whole cell in eV and its derivatives.

    Returns
    -------
    tuple
        Energy in eV, and its derivative by the vectors of the messages in eV/Å, shape
        (representative, slot, 3).
    """
    with torch.enable_grad():
        return _evaluate(network, folded, differentiate=True)


def _evaluate(
    network: NetworkWeights, folded: FoldedCell, *, differentiate: bool
) -> tuple[float, FloatArray]:
    dtype = network.embedding.dtype
    vectors = folded.vectors_angstrom.reshape(-1, 3)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    reach = np.where(lengths > 0.0, lengths, 1.0)
    units = vectors / reach[:, None]
    powers = monomials(units, network.max_ell)
    messages = _prepared(network, folded, powers, differentiate=differentiate)
    lengths, of_message = _distinct(lengths, folded.is_message.reshape(-1), dtype)
    rows = torch.from_numpy(of_message)
    weights: list[torch.Tensor] = []
    slopes: list[torch.Tensor] = []
    features: list[torch.Tensor] = []
    energies = torch.zeros(len(folded.representatives), dtype=dtype)
    for layer in network.layers:
        sizes = [block.n_weights for sender in layer.senders for block in sender.blocks]
        parts = [one.split_with_sizes(sizes, 1) for one in _radial(layer.radial, lengths, dtype)]
        here = [one.index_select(0, rows).requires_grad_(differentiate) for one in parts[0]]
        weights += here
        slopes += parts[1]
        features = _run_layer(layer, messages, here, features, network.embedding)
        if layer.readout is not None:
            energies = energies + _read_out(layer.readout, features[0][:, 0])
    total = energies @ torch.tensor(folded.orbit_sizes, dtype=dtype)
    alone = network.atom_energies_ev[folded.species].sum() + network.shift_ev * len(folded.species)
    energy = float(total.detach()) * network.scale + float(alone)
    if not differentiate:
        return energy, np.zeros((0, 0, 3))
    by_harmonic, *by_weight = torch.autograd.grad(total, [messages.harmonics, *weights])
    turning = _by_unit(network, powers, by_harmonic.double().numpy())
    stretching = sum(
        torch.linalg.vecdot(gradient, slope.index_select(0, rows)).double().numpy()
        for gradient, slope in zip(by_weight, slopes, strict=True)
    )
    stretching = stretching - np.einsum("ij,ij->i", turning, units) / reach
    gradients = stretching[:, None] * units + turning / reach[:, None]
    return energy, gradients.reshape(folded.vectors_angstrom.shape) * network.scale


def _by_unit(network: NetworkWeights, powers: FloatArray, by_harmonic: FloatArray) -> FloatArray:
    """Differentiate by the components of unit vectors, as if these were free."""
    flat = by_harmonic.transpose(0, 2, 1).reshape(len(powers), -1)
    slopes = [powers @ one for one in network.harmonic_slopes]
    return np.stack([np.einsum("ij,ij->i", flat, one) for one in slopes], axis=1)


def _distinct(
    lengths: FloatArray, is_message: np.ndarray, dtype: torch.dtype
) -> tuple[FloatArray, np.ndarray]:
    """Distinct lengths, and which of them each message has; empty slots have one more."""
    bins = np.rint(lengths / _SAME_LENGTH[dtype]).astype(np.int64)
    _, first, which = np.unique(bins[is_message], return_index=True, return_inverse=True)
    of_message = np.full(len(lengths), len(first))
    of_message[is_message] = which
    return lengths[is_message][first], of_message


def _radial(
    weights: RadialWeights, lengths: FloatArray, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of messages by length and their derivatives; one more row is zero."""
    x, power = lengths / weights.cutoff_angstrom, weights.power
    envelope = (
        1.0
        - (power + 1.0) * (power + 2.0) / 2.0 * x**power
        + power * (power + 2.0) * x ** (power + 1)
        - power * (power + 1.0) / 2.0 * x ** (power + 2)
    ) * (x < 1.0)
    steepness = power * (power + 1.0) * (power + 2.0) / 2.0 / weights.cutoff_angstrom
    descent = -steepness * x ** (power - 1) * (1.0 - x) ** 2 * (x < 1.0)
    phases = lengths[:, None] * weights.frequencies_per_angstrom
    waves = weights.prefactor * np.sin(phases) / lengths[:, None]
    slopes = weights.prefactor * np.cos(phases) * weights.frequencies_per_angstrom
    slopes = (slopes - waves) / lengths[:, None]
    slopes = slopes * envelope[:, None] + waves * descent[:, None]
    value = torch.tensor(waves * envelope[:, None], dtype=dtype)
    slope = torch.tensor(slopes, dtype=dtype)
    with torch.no_grad():
        for matrix in weights.matrices[:-1]:
            before, change = value @ matrix, slope @ matrix
            opening = torch.sigmoid(before)
            value = weights.gain * before * opening
            slope = weights.gain * opening * (1.0 + before * (1.0 - opening)) * change
        last = weights.matrices[-1]
        zero = value.new_zeros(1, last.shape[1])
        return torch.cat([value @ last, zero]), torch.cat([slope @ last, zero])


def _prepared(
    network: NetworkWeights, folded: FoldedCell, powers: FloatArray, *, differentiate: bool
) -> _Messages:
    """Harmonics of all messages, and how features go from representatives to atoms."""
    dtype = network.embedding.dtype
    n_rows, n_slots = folded.senders.shape
    harmonics = (powers @ network.harmonics).reshape(n_rows, n_slots, -1).transpose(0, 2, 1)
    species = folded.species[folded.representatives]
    senders = folded.senders.reshape(-1)
    turns = {}
    if len(folded.operations.rotations) > 1:
        kinds = {(x.order, x.parity) for layer in network.layers for x in layer.senders}
        turns = {kind: _turns(folded, *kind, dtype) for kind in kinds - {(0, 1)}}
    return _Messages(
        harmonics=torch.tensor(harmonics, dtype=dtype).contiguous().requires_grad_(differentiate),
        harmonic_sizes=[2 * order + 1 for order in range(network.max_ell + 1)],
        senders=torch.from_numpy(senders),
        sender_species=torch.from_numpy(folded.species[senders]),
        sender_orbits=torch.from_numpy(folded.orbit_of_atom[senders]),
        orbits=torch.from_numpy(folded.orbit_of_atom),
        species=torch.from_numpy(species),
        sizes=np.bincount(species, minlength=len(network.numbers)).tolist(),
        turns=turns,
    )


def _turns(folded: FoldedCell, order: int, parity: int, dtype: torch.dtype) -> torch.Tensor:
    """Matrices that turn features of one order, for each atom, shape (atom, component, component).

    The harmonics of turned vectors are the turned harmonics, which says what the matrices are.
    """
    rotations = folded.operations.rotations
    sample, inverse, matrix = _sample(order)
    turned = np.einsum("sj,gij->gsi", sample, rotations).reshape(-1, 3)
    values = monomials(turned, order)[:, -len(matrix) :] @ matrix
    turns = (inverse @ values.reshape(len(rotations), len(sample), -1)).swapaxes(1, 2)
    if parity != (-1) ** order:
        turns = turns * np.linalg.det(rotations)[:, None, None]
    return torch.tensor(turns[folded.operation_of_atom], dtype=dtype)


@cache
def _sample(order: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Directions, the inverse of their harmonics of one order, and what makes these."""
    sample = np.random.default_rng(order).normal(size=(4 * order + 4, 3))
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    n_harmonics, n_monomials = 2 * order + 1, (order + 1) * (order + 2) // 2
    matrix = harmonic_matrix(order)[-n_monomials:, -n_harmonics:]
    values = monomials(sample, order)[:, -n_monomials:] @ matrix
    inverse: FloatArray = np.linalg.pinv(values).astype(np.float64)
    return sample, inverse, matrix


def _run_layer(
    layer: LayerWeights,
    messages: _Messages,
    weights: Sequence[torch.Tensor],
    features: list[torch.Tensor],
    embedding: torch.Tensor,
) -> list[torch.Tensor]:
    """From features of the representatives to new ones, each (representative, component, channel).

    Before the first layer there are none but the scalars of the elements.
    """
    paths: dict[int, torch.Tensor] = {}
    harmonics = messages.harmonics.split_with_sizes(messages.harmonic_sizes, 1)
    of_block = iter(weights)
    for slot, (sender, lift) in enumerate(zip(layer.senders, layer.lift, strict=True)):
        if features:
            sent = _sent(messages, features[slot] @ lift, (sender.order, sender.parity))
        else:
            sent = (embedding @ lift).index_select(0, messages.sender_species)[:, None]
        paths |= _sum_messages(sender, harmonics, of_block, sent)
    mixed = []
    for order, mix in enumerate(layer.mix):
        leading = [paths[path] for path, one in enumerate(layer.path_orders) if one == order]
        mixed.append(torch.cat(leading, 2) @ mix)
    products = layer.products(torch.cat(mixed, 1), messages.species)
    updated = [one @ matrix for one, matrix in zip(products, layer.update, strict=True)]
    return [
        one if skip is None else one + _skip(messages, features, embedding, skip)
        for one, skip in zip(updated, layer.skips, strict=True)
    ]


def _sent(messages: _Messages, lifted: torch.Tensor, kind: tuple[int, int]) -> torch.Tensor:
    """Features of the senders, from those of representatives, (message, component, channel)."""
    if kind not in messages.turns:
        return lifted.index_select(0, messages.sender_orbits)
    of_atoms = torch.bmm(messages.turns[kind], lifted.index_select(0, messages.orbits))
    return of_atoms.index_select(0, messages.senders)


def _sum_messages(
    sender: SenderBlock,
    harmonics: Sequence[torch.Tensor],
    weights: Iterator[torch.Tensor],
    sent: torch.Tensor,
) -> dict[int, torch.Tensor]:
    """Add up messages from features of one order, one sum for each path.

    Each is of shape (representative, component, channel).
    """
    n_rows, _, n_slots = harmonics[0].shape
    n_messages, _, n_channels = sent.shape
    found: dict[int, torch.Tensor] = {}
    for block in sender.blocks:
        weighted = _weighted(next(weights).view(n_messages, -1, n_channels), sent)
        total = torch.bmm(harmonics[block.order], weighted.view(n_rows, n_slots, -1))
        coupled = torch.matmul(block.coupling, total.view(n_rows, -1, n_channels))
        results = coupled.split_with_sizes([size for _, size in block.results], 1)
        found |= {path: one for (path, _), one in zip(block.results, results, strict=True)}
    return found


class _Weighted(torch.autograd.Function):
    """Products of weights (message, path, channel) with features (message, component, channel)."""

    @staticmethod
    def forward(context: Any, weight: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(weight, sent)
        return weight[:, :, None] * sent[:, None]

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        # sums over components and over paths, without an array of all the products
        weight, sent = context.saved_tensors
        by_weight = gradient[:, :, 0] * sent[:, None, 0]
        for component in range(1, sent.shape[1]):
            by_weight.addcmul_(gradient[:, :, component], sent[:, None, component])
        if not context.needs_input_grad[1]:
            return by_weight, None
        by_sent = gradient[:, 0] * weight[:, 0, None]
        for path in range(1, weight.shape[1]):
            by_sent.addcmul_(gradient[:, path], weight[:, path, None])
        return by_weight, by_sent


def _weighted(weight: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _Weighted.apply(weight, sent)  # type: ignore[no-untyped-call]
    return found


def _skip(
    messages: _Messages,
    features: list[torch.Tensor],
    embedding: torch.Tensor,
    skip: tuple[int, torch.Tensor],
) -> torch.Tensor:
    """Features that go on without messages, mixed by a map of each element's own."""
    slot, matrices = skip
    if not features:
        return torch.bmm(embedding[:, None], matrices).index_select(0, messages.species)
    parts = features[slot].split_with_sizes(messages.sizes)
    present = [(one, matrix) for one, matrix in zip(parts, matrices, strict=True) if len(one)]
    return torch.cat([one @ matrix for one, matrix in present])


def _read_out(readout: ReadoutWeights, scalars: torch.Tensor) -> torch.Tensor:
    """Turn the scalar features of atoms into energies, shape (representative,)."""
    values = scalars @ readout.first
    if readout.gate is not None and readout.last is not None:
        values = readout.gate(values) @ readout.last
    return values[:, 0]
