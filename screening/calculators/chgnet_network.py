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
from collections.abc import Mapping
from dataclasses import dataclass
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
from screening.prediction import FloatArray

__all__ = ["Network", "energy_and_gradients", "network_from_state"]

_N_LAYERS = 4
_N_FEATURES = 64
_CUTOFF_POWER = 8
_NORM_EPSILON = 1e-5  # of torch.nn.LayerNorm
_COSINE_SCALE = 1 - 1e-6  # keeps the derivative of the arc cosine finite
_CHUNK_ROWS = 2048  # temporaries of a chunk stay in the cache; 512 to 4096 do as well


@dataclass(frozen=True)
class _Gated:
    """A gated perceptron; core and gate stand side by side.

    ``inputs`` are the blocks of the first weight matrix, one per concatenated source, shape
    (feature, 2 feature), and ``bias`` its bias, shape (2 feature,); ``hidden`` is the second
    layer or None, shape (2, feature, feature); ``hidden_bias``, ``scale`` and ``shift`` have
    shape (2, 1, feature); ``out`` is the linear map of the sum of messages, or None.
    """

    inputs: tuple[Tensor, ...]
    bias: Tensor
    hidden: Tensor | None
    hidden_bias: Tensor
    scale: Tensor
    shift: Tensor
    out: Tensor | None


@dataclass(frozen=True)
class Network:
    """Weights of CHGNet, arranged for evaluation."""

    reference_energies: Tensor
    atom_embedding: Tensor
    outer_frequencies: Tensor
    inner_frequencies: Tensor
    angle_frequencies: Tensor
    bond_embedding: Tensor
    outer_weights: Tensor
    inner_weights: Tensor
    angle_embedding: Tensor
    atom_layers: tuple[_Gated, ...]
    bond_layers: tuple[_Gated, ...]
    angle_layers: tuple[_Gated, ...]
    readout_scale: Tensor
    readout_shift: Tensor
    readout: tuple[tuple[Tensor, Tensor], ...]


def network_from_state(state: Mapping[str, Tensor]) -> Network:
    """Arrange the state dictionary of a CHGNet 0.3.0 model.

    Raises
    ------
    KeyError
        If the dictionary is not that of this architecture.
    """
    basis = "bond_basis_expansion.rbf_expansion_"
    atom = tuple(_gated(state, f"atom_conv_layers.{i}", "twoBody_atom", 3) for i in range(4))
    bond = tuple(_gated(state, f"bond_conv_layers.{i}", "twoBody_bond", 4) for i in range(3))
    angle = tuple(_gated(state, f"angle_layers.{i}", "twoBody_bond", 4) for i in range(2))
    return Network(
        reference_energies=state["composition_model.fc.weight"][0].double(),
        atom_embedding=state["atom_embedding.embedding.weight"],
        outer_frequencies=state[f"{basis}ag.frequencies"],
        inner_frequencies=state[f"{basis}bg.frequencies"],
        angle_frequencies=state["angle_basis_expansion.fourier_expansion.frequencies"],
        bond_embedding=state["bond_embedding.weight"].T.contiguous(),
        outer_weights=state["bond_weights_ag.weight"].T.contiguous(),
        inner_weights=state["bond_weights_bg.weight"].T.contiguous(),
        angle_embedding=state["angle_embedding.weight"].T.contiguous(),
        atom_layers=atom,
        bond_layers=bond,
        angle_layers=angle,
        readout_scale=state["readout_norm.weight"],
        readout_shift=state["readout_norm.bias"],
        readout=tuple(
            (state[f"mlp.layers.{i}.weight"], state[f"mlp.layers.{i}.bias"]) for i in (0, 2, 4, 7)
        ),
    )


def _gated(state: Mapping[str, Tensor], layer: str, name: str, n_sources: int) -> _Gated:
    """Arrange one gated perceptron; its last linear layer loses its mean over features."""
    prefix = f"{layer}.{name}"
    halves = [f"{prefix}.mlp_core.layers", f"{prefix}.mlp_gate.layers"]
    is_deep = f"{halves[0]}.3.weight" in state
    first = 0 if is_deep else 1
    weights = [state[f"{half}.{first}.weight"] for half in halves]
    biases = [state[f"{half}.{first}.bias"] for half in halves]
    hidden, hidden_bias = None, torch.zeros(2, 1, _N_FEATURES)
    if is_deep:
        hidden = torch.stack([_centred(state[f"{half}.3.weight"]).T for half in halves])
        hidden_bias = torch.stack([_centred(state[f"{half}.3.bias"])[None] for half in halves])
    else:
        weights, biases = [_centred(w) for w in weights], [_centred(b) for b in biases]
    out = state.get(f"{layer}.mlp_out.layers.1.weight")
    blocks = torch.cat(weights).chunk(n_sources, dim=1)
    return _Gated(
        inputs=tuple(block.T.contiguous() for block in blocks),
        bias=torch.cat(biases),
        hidden=None if hidden is None else hidden.contiguous(),
        hidden_bias=hidden_bias,
        scale=torch.stack([state[f"{prefix}.bn{i}.weight"][None] for i in (1, 2)]),
        shift=torch.stack([state[f"{prefix}.bn{i}.bias"][None] for i in (1, 2)]),
        out=None if out is None else out.T.contiguous(),
    )


def _centred(weight: Tensor) -> Tensor:
    """Remove the mean over output features, in float64."""
    wide = weight.double()
    return (wide - wide.mean(dim=0, keepdim=True)).float()


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
    for layer in range(_N_LAYERS - 1):
        atoms = _convolve_atoms(network.atom_layers[layer], atoms, bonds, edge_weights, edges)
        if not has_angles:
            continue
        gated = network.bond_layers[layer]
        tables = _angle_tables(gated, atoms, short, spokes)
        total = _apply(_Layer(gated, gated.inputs[2], angles), features, bond_weights, *tables)
        assert gated.out is not None
        short = torch.addmm(short, total * bond_weights, gated.out)
        bonds = torch.cat([short, long])
        if layer < len(network.angle_layers):
            gated = network.angle_layers[layer]
            tables = _angle_tables(gated, atoms, short, spokes)
            messages = _apply(_Layer(gated, gated.inputs[2], angles), features, None, *tables)
            features = features + messages
    atoms = _convolve_atoms(network.atom_layers[-1], atoms, bonds, edge_weights, edges)
    atoms = layer_norm(atoms, (_N_FEATURES,), network.readout_scale, network.readout_shift)
    for weight, bias in network.readout[:-1]:
        atoms = silu(linear(atoms, weight, bias))
    return linear(atoms, *network.readout[-1])[:, 0]


@dataclass(frozen=True)
class _Rows:
    """Where the rows of a layer (edges or angles) read and add.

    ``sources`` are one index per table of the first layer, ``owners`` the row of the sum that
    each message is added to, ``weight_rows`` and ``counts`` the row of the smooth weights and
    the number of equal messages.
    """

    sources: tuple[Tensor, ...]
    owners: Tensor
    n_owners: int
    weight_rows: Tensor
    counts: Tensor


def _edge_rows(graph: FoldedGraph) -> _Rows:
    """Edges read their two atoms and their bond, and add to the first atom."""
    centers, bonds = torch.from_numpy(graph.edge_centers), torch.from_numpy(graph.edge_bonds)
    return _Rows(
        sources=(centers, torch.from_numpy(graph.edge_neighbors), bonds),
        owners=centers,
        n_owners=len(graph.numbers),
        weight_rows=bonds,
        counts=torch.from_numpy(graph.edge_weights).float()[:, None],
    )


def _angle_rows(graph: FoldedGraph) -> _Rows:
    """Angles read the spoke they leave along and the other bond, and add to the first bond."""
    spokes, bonds = torch.from_numpy(graph.angle_spokes), torch.from_numpy(graph.angle_bonds)
    return _Rows(
        sources=(spokes, bonds),
        owners=torch.from_numpy(graph.spoke_bonds[graph.angle_spokes]),
        n_owners=graph.n_short,
        weight_rows=bonds,
        counts=torch.from_numpy(graph.angle_weights).float()[:, None],
    )


def _convolve_atoms(
    gated: _Gated, atoms: Tensor, bonds: Tensor, weights: Tensor, rows: _Rows
) -> Tensor:
    """Add to every atom the messages of its edges."""
    center, bond, neighbor = gated.inputs
    tables = (torch.addmm(gated.bias, atoms, center), atoms @ neighbor, bonds @ bond)
    total = _apply(_Layer(gated, None, rows), None, weights, *tables)
    assert gated.out is not None
    return torch.addmm(atoms, total, gated.out)


def _angle_tables(
    gated: _Gated, atoms: Tensor, bonds: Tensor, spokes: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """First layer of what an angle reads: its spoke (bond and centre atom), its other bond."""
    one, two, _, center = gated.inputs
    around = torch.addmm(gated.bias, atoms, center).index_select(0, spokes[0])
    return (bonds @ one).index_select(0, spokes[1]) + around, bonds @ two


@dataclass(frozen=True)
class _Layer:
    """One gated perceptron on one kind of rows; ``features`` is its matrix for own features."""

    gated: _Gated
    features: Tensor | None
    rows: _Rows


def _apply(
    layer: _Layer, features: Tensor | None, weights: Tensor | None, *tables: Tensor
) -> Tensor:
    out: Tensor = _Messages.apply(layer, features, weights, *tables)  # type: ignore[no-untyped-call]
    return out


class _Messages(torch.autograd.Function):
    """Messages of all rows: gather, perceptron, gate, and add to their owners, by chunks.

    Written by hand because the chain of small operations is bound by memory: a chunk passes
    through all of them while it is in the cache. Without ``weights`` the messages themselves
    are returned, else their weighted sums.
    """

    @staticmethod
    def forward(
        context: Any,
        layer: _Layer,
        features: Tensor | None,
        weights: Tensor | None,
        *tables: Tensor,
    ) -> Tensor:
        rows = layer.rows
        kept: list[tuple[Tensor, Tensor]] = []
        shape = (len(rows.owners), _N_FEATURES)
        out = torch.empty(shape) if weights is None else torch.zeros(rows.n_owners, _N_FEATURES)
        for chunk in _chunks(shape[0]):
            before = _first_layer(layer, features, tables, chunk)
            inner = _second_layer(layer.gated, before)
            kept.append((before, inner))
            message = _opened(layer.gated, inner)[0]
            if weights is None:
                out[chunk] = message
            else:
                weight = weights.index_select(0, rows.weight_rows[chunk])
                message.mul_(weight.mul_(rows.counts[chunk]))
                out.index_add_(0, rows.owners[chunk], message)
        context.layer, context.kept, context.shapes = layer, kept, [len(t) for t in tables]
        context.has_features = features is not None
        context.save_for_backward(*([] if weights is None else [weights]))
        return out

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Any:
        layer: _Layer = context.layer
        rows, gated = layer.rows, layer.gated
        weights = context.saved_tensors[0] if context.saved_tensors else None
        by_weights = None if weights is None else torch.zeros_like(weights)
        by_tables = [torch.zeros(size, 2 * _N_FEATURES) for size in context.shapes]
        by_features = torch.empty(len(rows.owners), _N_FEATURES) if context.has_features else None
        for chunk, (before, inner) in zip(_chunks(len(rows.owners)), context.kept, strict=True):
            message, parts = _opened(gated, inner)
            if weights is None or by_weights is None:
                towards = slope[chunk]
            else:
                towards = slope.index_select(0, rows.owners[chunk]).mul_(rows.counts[chunk])
                index = rows.weight_rows[chunk]
                by_weights.index_add_(0, index, message.mul_(towards))
                towards.mul_(weights.index_select(0, index))
            by_before = _close(gated, before, parts, towards)
            if by_features is not None:
                assert layer.features is not None
                torch.mm(by_before, layer.features.T, out=by_features[chunk])
            for table, index in zip(by_tables, rows.sources, strict=True):
                table.index_add_(0, index[chunk], by_before)
        return None, by_features, by_weights, *by_tables


def _first_layer(
    layer: _Layer, features: Tensor | None, tables: tuple[Tensor, ...], chunk: slice
) -> Tensor:
    """Sum of the first layer over all sources, shape (row, 2 feature): core, then gate."""
    sources = list(zip(tables, layer.rows.sources, strict=True))
    if features is None or layer.features is None:
        table, index = sources.pop()
        total = table.index_select(0, index[chunk])
    else:
        total = features[chunk] @ layer.features
    for table, index in sources:
        total += table.index_select(0, index[chunk])
    return total


def _second_layer(gated: _Gated, before: Tensor) -> Tensor:
    """Second layer of both halves, shape (2, row, feature), without a mean over features."""
    halves = before.view(-1, 2, _N_FEATURES).transpose(0, 1)
    if gated.hidden is None:
        return halves.contiguous()
    active = silu(before).view(-1, 2, _N_FEATURES).transpose(0, 1)
    return torch.baddbmm(gated.hidden_bias, active, gated.hidden)


def _opened(gated: _Gated, inner: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """silu(normalise(core)) * sigmoid(normalise(gate)), and what the way back needs."""
    variance = torch.linalg.vecdot(inner, inner)[:, :, None] / _N_FEATURES
    inverse = variance.add_(_NORM_EPSILON).rsqrt_()
    normal = inner * inverse
    core = torch.addcmul(gated.shift[0], normal[0], gated.scale[0])
    gate = torch.addcmul(gated.shift[1], normal[1], gated.scale[1]).sigmoid_()
    return silu(core).mul_(gate), (normal, inverse, core, gate)


def _close(
    gated: _Gated,
    before: Tensor,
    parts: tuple[Tensor, Tensor, Tensor, Tensor],
    slope: Tensor,
) -> Tensor:
    """Derivative by the first layer's sum, from the derivative by the message."""
    normal, inverse, core, gate = parts
    by_normal = torch.empty_like(normal)
    by_core = torch.ops.aten.silu_backward(slope * gate, core)
    torch.mul(by_core, gated.scale[0], out=by_normal[0])
    by_gate = torch.ops.aten.sigmoid_backward(silu(core).mul_(slope), gate)
    torch.mul(by_gate, gated.scale[1], out=by_normal[1])
    projection = torch.linalg.vecdot(by_normal, normal)[:, :, None] / -_N_FEATURES
    by_inner = by_normal.addcmul_(normal, projection).mul_(inverse)
    out = torch.empty_like(before)
    halves = out.view(-1, 2, _N_FEATURES).transpose(0, 1)
    if gated.hidden is None:
        halves.copy_(by_inner)
        return out
    halves.copy_(torch.bmm(by_inner, gated.hidden.transpose(1, 2)))
    return torch.ops.aten.silu_backward(out, before)


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + _CHUNK_ROWS) for start in range(0, n_rows, _CHUNK_ROWS)]


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
