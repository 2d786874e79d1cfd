"""CHGNet's packaged weights, arranged for evaluation.

First layers are cut into one block per concatenated source, core and gate stand side by
side, and the mean over features that layer normalisation would subtract is taken out of the
last linear layer in front of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["N_FEATURES", "N_LAYERS", "Gated", "Network", "network_from_state"]

N_LAYERS = 4
N_FEATURES = 64


@dataclass(frozen=True)
class Gated:
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
    atom_layers: tuple[Gated, ...]
    bond_layers: tuple[Gated, ...]
    angle_layers: tuple[Gated, ...]
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


def _gated(state: Mapping[str, Tensor], layer: str, name: str, n_sources: int) -> Gated:
    """Arrange one gated perceptron; its last linear layer loses its mean over features."""
    prefix = f"{layer}.{name}"
    halves = [f"{prefix}.mlp_core.layers", f"{prefix}.mlp_gate.layers"]
    is_deep = f"{halves[0]}.3.weight" in state
    first = 0 if is_deep else 1
    weights = [state[f"{half}.{first}.weight"] for half in halves]
    biases = [state[f"{half}.{first}.bias"] for half in halves]
    hidden, hidden_bias = None, torch.zeros(2, 1, N_FEATURES)
    if is_deep:
        hidden = torch.stack([_centred(state[f"{half}.3.weight"]).T for half in halves])
        hidden_bias = torch.stack([_centred(state[f"{half}.3.bias"])[None] for half in halves])
    else:
        weights, biases = [_centred(w) for w in weights], [_centred(b) for b in biases]
    out = state.get(f"{layer}.mlp_out.layers.1.weight")
    blocks = torch.cat(weights).chunk(n_sources, dim=1)
    return Gated(
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
