"""The weights of a MACE module, read off for evaluation without it.

Only modules of known blocks are read: a `ScaleShiftMACE` of residual blocks with Bessel functions
and one head, and nothing added to it. Couplings of features to harmonics are found by evaluating
the tensor product on unit vectors, so that nothing of its conventions is repeated here.

References
----------
I. Batatia et al., Adv. Neural Inf. Process. Syst. 35, 11423 (2022), equations (7) to (13).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from screening.calculators.mace_harmonics import harmonic_matrix, monomial_slopes
from screening.calculators.mace_weights import (
    HarmonicBlock,
    LayerWeights,
    NetworkWeights,
    RadialWeights,
    ReadoutWeights,
    SenderBlock,
)
from screening.network_potential.contraction import ProductBasis

__all__ = ["arrange_weights"]


def arrange_weights(model: Any, precision: str) -> NetworkWeights:
    """Read the weights of a module that `is_known` accepts.

    Parameters
    ----------
    model
        The module, in float64.
    precision
        ``float32`` or ``float64``: what the network is to run in.
    """
    dtype = getattr(torch, precision)
    with torch.no_grad():
        first = model.interactions[0]
        max_ell = first.edge_attrs_irreps.lmax
        readouts: list[Any] = list(model.readouts)
        missing = len(model.interactions) - len(readouts)
        pairs = zip(model.interactions, model.products, [None] * missing + readouts, strict=True)
        layers = tuple(_layer(model.radial_embedding, *one, dtype) for one in pairs)
        (embedding,) = _mixing(model.node_embedding.linear)
        harmonics = harmonic_matrix(max_ell)
        return NetworkWeights(
            numbers=tuple(int(number) for number in model.atomic_numbers),
            cutoff_angstrom=float(model.r_max),
            embedding=embedding.to(dtype),
            harmonics=harmonics,
            harmonic_slopes=monomial_slopes(max_ell) @ harmonics,
            max_ell=max_ell,
            layers=layers,
            scale=float(model.scale_shift.scale),
            shift_ev=float(model.scale_shift.shift),
            atom_energies_ev=model.atomic_energies_fn.atomic_energies.reshape(-1).numpy().copy(),
        )


def _layer(
    radial: Any, interaction: Any, product: Any, readout: Any, dtype: torch.dtype
) -> LayerWeights:
    order, senders = _senders(interaction, dtype)
    n_channels = interaction.conv_tp.irreps_in1[0].mul
    columns = (torch.tensor(order)[:, None] * n_channels + torch.arange(n_channels)).reshape(-1)
    contractions = product.symmetric_contractions
    if dtype != torch.float64:
        contractions = copy.deepcopy(contractions).to(dtype)
    neighbours = float(interaction.avg_num_neighbors)
    return LayerWeights(
        radial=_radial(radial, interaction.conv_tp_weights, columns, dtype),
        lift=tuple(one.to(dtype) for one in _mixing(interaction.linear_up)),
        senders=senders,
        path_orders=_path_orders(interaction.conv_tp, interaction.linear),
        mix=tuple((one / neighbours).to(dtype) for one in _mixing(interaction.linear)),
        skips=_skips(interaction.skip_tp, dtype),
        products=ProductBasis(contractions),
        update=tuple(one.to(dtype) for one in _mixing(product.linear)),
        readout=None if readout is None else _readout(readout, dtype),
    )


def _radial(
    embedding: Any, perceptron: Any, columns: torch.Tensor, dtype: torch.dtype
) -> RadialWeights:
    layers = list(perceptron.children())
    matrices = [one.weight / math.sqrt(one.h_in * one.var_in) for one in layers]
    matrices = [one * math.sqrt(x.var_out) for one, x in zip(matrices, layers, strict=True)]
    matrices[-1] = matrices[-1][:, columns]
    bessel = embedding.bessel_fn
    return RadialWeights(
        frequencies_per_angstrom=bessel.bessel_weights.detach().numpy().copy(),
        prefactor=float(bessel.prefactor),
        cutoff_angstrom=float(embedding.cutoff_fn.r_max),
        power=int(embedding.cutoff_fn.p),
        matrices=tuple(one.to(dtype) for one in matrices),
        gain=1.0 if len(layers) == 1 or layers[0].act._is_id else float(layers[0].act.cst),  # noqa: SLF001 - e3nn skips factors near 1
    )


def _mixing(linear: Any) -> list[torch.Tensor]:
    """Matrices that mix channels, one for each order of the result; all inputs below each other."""
    sizes = [math.prod(one.path_shape) for one in linear.instructions]
    rows: dict[int, list[torch.Tensor]] = {}
    for one, part in zip(linear.instructions, linear.weight.split_with_sizes(sizes), strict=True):
        rows.setdefault(one.i_out, []).append(part.view(one.path_shape) * one.path_weight)
    return [torch.cat(rows[slot]) for slot in sorted(rows)]


def _skips(skip: Any, dtype: torch.dtype) -> tuple[tuple[int, torch.Tensor] | None, ...]:
    """For each order of the result, which features are mixed, and how for each element."""
    found: list[tuple[int, torch.Tensor] | None] = [None] * len(skip.irreps_out)
    parts = skip.weight.split([math.prod(one.path_shape) for one in skip.instructions])
    for one, part in zip(skip.instructions, parts, strict=True):
        weights = part.view(one.path_shape).transpose(0, 1)
        scale = one.path_weight / math.sqrt(skip.irreps_in1[one.i_in1].ir.dim)
        found[one.i_out] = (int(one.i_in1), (weights * scale).to(dtype).contiguous())
    return tuple(found)


def _senders(interaction: Any, dtype: torch.dtype) -> tuple[list[int], tuple[SenderBlock, ...]]:
    """Order of the paths, as weights are to be sorted, and what they do."""
    product = interaction.conv_tp
    paths = list(enumerate(product.instructions))
    order: list[int] = []
    senders = []
    for slot, (n_channels, irrep) in enumerate(product.irreps_in1):
        blocks = []
        for harmonic in range(len(product.irreps_in2)):
            chosen = [x for x in paths if (x[1].i_in1, x[1].i_in2) == (slot, harmonic)]
            if chosen:
                order += [index for index, _ in chosen]
                coupling, results = _coupling(product, [one for _, one in chosen])
                n_weights = len(chosen) * n_channels
                blocks.append(HarmonicBlock(harmonic, n_weights, coupling.to(dtype), results))
        senders.append(SenderBlock(irrep.l, irrep.p, tuple(blocks)))
    return order, tuple(senders)


def _path_orders(product: Any, linear: Any) -> tuple[int, ...]:
    """Which order of the mixed messages, as an index, each path leads to."""
    kinds = [one.ir for one in linear.irreps_out]
    return tuple(kinds.index(one.ir) for one in product.irreps_out)


def _coupling(
    product: Any, paths: Sequence[Any]
) -> tuple[torch.Tensor, tuple[tuple[int, int], ...]]:
    """Coupling coefficients of paths from one order of features and one of harmonics."""
    slot, harmonic = paths[0].i_in1, paths[0].i_in2
    n_features, n_harmonics = product.irreps_in1[slot].ir.dim, product.irreps_in2[harmonic].ir.dim
    start, first = product.irreps_in1.slices()[slot].start, product.irreps_in2.slices()[harmonic]
    rows = n_harmonics * n_features
    features = torch.zeros(rows, product.irreps_in1.dim, dtype=torch.float64)
    features[:, start : start + n_features] = torch.eye(n_features).repeat(n_harmonics, 1)
    harmonics = torch.zeros(rows, product.irreps_in2.dim, dtype=torch.float64)
    harmonics[:, first] = torch.eye(n_harmonics, dtype=torch.float64).repeat_interleave(
        n_features, 0
    )
    weights = torch.ones(rows, product.weight_numel, dtype=torch.float64)
    values = product(features, harmonics, weights)
    sizes = [product.irreps_out[one.i_out].ir.dim for one in paths]
    coupling = torch.zeros(sum(sizes), n_harmonics, len(paths), n_features, dtype=torch.float64)
    blocks = coupling.split_with_sizes(sizes)
    for path, (block, one) in enumerate(zip(blocks, paths, strict=True)):
        where = product.irreps_out.slices()[one.i_out].start
        found = values[:, where : where + len(block)].T
        block[:, :, path] = found.reshape(-1, n_harmonics, n_features)
    results = tuple((int(one.i_out), size) for one, size in zip(paths, sizes, strict=True))
    return coupling.flatten(1), results


def _readout(readout: Any, dtype: torch.dtype) -> ReadoutWeights:
    if hasattr(readout, "linear"):
        return ReadoutWeights(_mixing(readout.linear)[0].to(dtype))
    return ReadoutWeights(
        first=_mixing(readout.linear_1)[0].to(dtype),
        gate=readout.non_linearity.acts[0],
        last=_mixing(readout.linear_2)[0].to(dtype),
    )
