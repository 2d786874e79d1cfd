"""CHGNet's energy and its derivatives by bond lengths and angles, from the packaged weights.

The same network with the same weights as the ``chgnet`` package, evaluated in another order:

* ``Linear(cat(a, b, c))`` is ``A a + B b + C c``: the products are taken once per atom and
  once per bond, then gathered, instead of once per angle or edge;
* the mean over features that layer normalisation subtracts is linear, so it is folded into
  the weights in front of it;
* only what the energy depends on is computed: no magnetic moments, no last angle update, no
  bond updates beyond the inner cutoff (their aggregate is empty);
* every row stands for its whole class (:mod:`screening.calculators.chgnet_graph`);
* the derivatives stop at lengths and cosines; geometry is float64 outside.

References
----------
B. Deng et al., Nature Machine Intelligence 5, 1031 (2023).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, silu

from screening.calculators.chgnet_graph import (
    ATOM_CUTOFF_ANGSTROM,
    BOND_CUTOFF_ANGSTROM,
    FoldedGraph,
)
from screening.calculators.chgnet_messages import Layer, Rows, messages
from screening.calculators.chgnet_weights import N_FEATURES, N_LAYERS, Gated, Network
from screening.prediction import FloatArray

__all__ = ["energy_and_gradients"]

_CUTOFF_POWER = 8
_COSINE_SCALE = 1 - 1e-6  # keeps the derivative of the arc cosine finite


def energy_and_gradients(
    network: Network, graph: FoldedGraph, *, gradients: bool = True
) -> tuple[float, FloatArray, FloatArray]:
    """Energy of a structure and its derivatives by the classes of its graph.

    Returns
    -------
    tuple
        Energy in eV of the whole structure, its derivative by the length of each class of
        bonds in eV/Å, shape (bond class,), and by the cosine of each class of angles in eV,
        shape (angle class,).
    """
    lengths = torch.from_numpy(graph.lengths_angstrom).requires_grad_(gradients)
    cosines = torch.from_numpy(graph.cosines).requires_grad_(gradients)
    with torch.set_grad_enabled(gradients):
        site_energies = _site_energies(network, graph, lengths, cosines)
        counts = torch.from_numpy(graph.atom_counts)
        numbers = torch.from_numpy(graph.numbers) - 1
        total = (site_energies.double() * counts).sum()
    reference = float((network.reference_energies[numbers] * counts).sum())
    energy = float(total.detach()) + reference
    if not gradients:
        return energy, np.zeros(0), np.zeros(0)
    inputs = [lengths, cosines] if len(graph.cosines) else [lengths]
    found: list[Any] = list(torch.autograd.grad(total, inputs))
    slopes = found[1].numpy() if len(found) > 1 else np.zeros(0)
    return energy, found[0].numpy(), slopes


def _site_energies(
    network: Network, graph: FoldedGraph, lengths: Tensor, cosines: Tensor
) -> Tensor:
    """Run all layers; one energy in eV per class of atoms."""
    n_short = graph.n_short
    has_angles = len(graph.cosines) > 0
    narrow = lengths.float()
    outer = _radial(narrow, network.outer_frequencies, ATOM_CUTOFF_ANGSTROM)
    inner = _radial(narrow[:n_short], network.inner_frequencies, BOND_CUTOFF_ANGSTROM)
    atoms = network.atom_embedding[torch.from_numpy(graph.numbers) - 1]
    bonds = outer @ network.bond_embedding
    edge_weights, bond_weights = outer @ network.outer_weights, inner @ network.inner_weights
    edges, angles = _edge_rows(graph), _angle_rows(graph)
    spokes = torch.from_numpy(graph.spoke_centers), torch.from_numpy(graph.spoke_bonds)
    features = _angular(cosines, network.angle_frequencies) @ network.angle_embedding
    short, long = bonds[:n_short], bonds[n_short:]
    for layer in range(N_LAYERS - 1):
        atoms = _convolve_atoms(network.atom_layers[layer], atoms, bonds, edge_weights, edges)
        if not has_angles:
            continue
        gated = network.bond_layers[layer]
        tables = _angle_tables(gated, atoms, short, spokes)
        total = messages(Layer(gated, gated.inputs[2], angles), features, bond_weights, *tables)
        assert gated.out is not None
        short = torch.addmm(short, total * bond_weights, gated.out)
        bonds = torch.cat([short, long])
        if layer < len(network.angle_layers):
            gated = network.angle_layers[layer]
            tables = _angle_tables(gated, atoms, short, spokes)
            layer_rows = Layer(gated, gated.inputs[2], angles)
            features = features + messages(layer_rows, features, None, *tables)
    atoms = _convolve_atoms(network.atom_layers[-1], atoms, bonds, edge_weights, edges)
    atoms = layer_norm(atoms, (N_FEATURES,), network.readout_scale, network.readout_shift)
    for weight, bias in network.readout[:-1]:
        atoms = silu(linear(atoms, weight, bias))
    return linear(atoms, *network.readout[-1])[:, 0]


def _edge_rows(graph: FoldedGraph) -> Rows:
    """Edges read their two atoms and their bond, and add to the first atom."""
    centers, bonds = torch.from_numpy(graph.edge_centers), torch.from_numpy(graph.edge_bonds)
    return Rows(
        sources=(centers, torch.from_numpy(graph.edge_neighbors), bonds),
        owners=centers,
        n_owners=len(graph.numbers),
        weight_rows=bonds,
        counts=torch.from_numpy(graph.edge_weights).float()[:, None],
    )


def _angle_rows(graph: FoldedGraph) -> Rows:
    """Angles read the spoke they leave along and the other bond, and add to the first bond."""
    spokes, bonds = torch.from_numpy(graph.angle_spokes), torch.from_numpy(graph.angle_bonds)
    return Rows(
        sources=(spokes, bonds),
        owners=torch.from_numpy(graph.spoke_bonds[graph.angle_spokes]),
        n_owners=graph.n_short,
        weight_rows=bonds,
        counts=torch.from_numpy(graph.angle_weights).float()[:, None],
    )


def _convolve_atoms(
    gated: Gated, atoms: Tensor, bonds: Tensor, weights: Tensor, rows: Rows
) -> Tensor:
    """Add to every atom the messages of its edges."""
    center, bond, neighbor = gated.inputs
    tables = (torch.addmm(gated.bias, atoms, center), atoms @ neighbor, bonds @ bond)
    total = messages(Layer(gated, None, rows), None, weights, *tables)
    assert gated.out is not None
    return torch.addmm(atoms, total, gated.out)


def _angle_tables(
    gated: Gated, atoms: Tensor, bonds: Tensor, spokes: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """First layer of what an angle reads: its spoke (bond and centre atom), its other bond."""
    one, two, _, center = gated.inputs
    around = torch.addmm(gated.bias, atoms, center).index_select(0, spokes[0])
    return (bonds @ one).index_select(0, spokes[1]) + around, bonds @ two


def _radial(lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """Bessel functions under a polynomial envelope, shape (bond, function)."""
    scaled = (lengths / cutoff)[:, None]
    p = _CUTOFF_POWER
    power = scaled**p
    envelope = 1 - power * (
        (p + 1) * (p + 2) / 2 - scaled * (p * (p + 2) - scaled * (p * (p + 1) / 2))
    )
    envelope = torch.where(scaled < 1, envelope, torch.zeros_like(envelope))
    waves = torch.sin(frequencies * scaled)
    return waves * (envelope / lengths[:, None] * math.sqrt(2 / cutoff))


def _angular(cosines: Tensor, frequencies: Tensor) -> Tensor:
    """Fourier series of the angle, shape (angle, function)."""
    phases = torch.acos(cosines * _COSINE_SCALE).float()[:, None] * frequencies
    constant = torch.full_like(phases[:, :1], 1 / math.sqrt(2))
    return torch.cat([constant, torch.sin(phases), torch.cos(phases)], 1) / math.sqrt(math.pi)
