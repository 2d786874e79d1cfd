"""Messages of CHGNet's layers, by chunks that stay in the cache.

One autograd function does what a chain of two dozen elementwise operations would do: gather
the first layer, second layer, layer normalisation, gate, and the sum over the owners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from screening.calculators.chgnet_weights import N_FEATURES, Gated

__all__ = ["Layer", "Rows", "messages"]

_NORM_EPSILON = 1e-5  # of torch.nn.LayerNorm
_CHUNK_ROWS = 2048  # temporaries of a chunk stay in the cache; 512 to 4096 do as well


@dataclass(frozen=True)
class Rows:
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


@dataclass(frozen=True)
class Layer:
    """One gated perceptron on one kind of rows; ``features`` is its matrix for own features."""

    gated: Gated
    features: Tensor | None
    rows: Rows


def messages(
    layer: Layer, features: Tensor | None, weights: Tensor | None, *tables: Tensor
) -> Tensor:
    """Messages of all rows, or their weighted sums where there are weights.

    Parameters
    ----------
    layer
        The perceptron and its rows.
    features
        The rows' own features, shape (row, feature), or None.
    weights
        Smooth weights that ``layer.rows.weight_rows`` points into, shape (bond, feature), or
        None for the messages themselves.
    tables
        First layer of each source, shape (source, 2 feature).

    Returns
    -------
    Tensor
        Shape (owner, feature), or (row, feature) without weights.
    """
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
        layer: Layer,
        features: Tensor | None,
        weights: Tensor | None,
        *tables: Tensor,
    ) -> Tensor:
        rows = layer.rows
        kept: list[tuple[Tensor, Tensor]] = []
        shape = (len(rows.owners), N_FEATURES)
        out = torch.empty(shape) if weights is None else torch.zeros(rows.n_owners, N_FEATURES)
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
        layer: Layer = context.layer
        rows, gated = layer.rows, layer.gated
        weights = context.saved_tensors[0] if context.saved_tensors else None
        by_weights = None if weights is None else torch.zeros_like(weights)
        by_tables = [torch.zeros(size, 2 * N_FEATURES) for size in context.shapes]
        by_features = torch.empty(len(rows.owners), N_FEATURES) if context.has_features else None
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
    layer: Layer, features: Tensor | None, tables: tuple[Tensor, ...], chunk: slice
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


def _second_layer(gated: Gated, before: Tensor) -> Tensor:
    """Second layer of both halves, shape (2, row, feature), without a mean over features."""
    halves = before.view(-1, 2, N_FEATURES).transpose(0, 1)
    if gated.hidden is None:
        return halves.contiguous()
    active = silu(before).view(-1, 2, N_FEATURES).transpose(0, 1)
    return torch.baddbmm(gated.hidden_bias, active, gated.hidden)


def _opened(gated: Gated, inner: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """silu(normalise(core)) * sigmoid(normalise(gate)), and what the way back needs."""
    variance = torch.linalg.vecdot(inner, inner)[:, :, None] / N_FEATURES
    inverse = variance.add_(_NORM_EPSILON).rsqrt_()
    normal = inner * inverse
    core = torch.addcmul(gated.shift[0], normal[0], gated.scale[0])
    gate = torch.addcmul(gated.shift[1], normal[1], gated.scale[1]).sigmoid_()
    return silu(core).mul_(gate), (normal, inverse, core, gate)


def _close(
    gated: Gated,
    before: Tensor,
    parts: tuple[Tensor, Tensor, Tensor, Tensor],
    slope: Tensor,
) -> Tensor:
    """Turn the derivative by the message into that by the first layer's sum."""
    normal, inverse, core, gate = parts
    by_normal = torch.empty_like(normal)
    by_core = torch.ops.aten.silu_backward(slope * gate, core)
    torch.mul(by_core, gated.scale[0], out=by_normal[0])
    by_gate = torch.ops.aten.sigmoid_backward(silu(core).mul_(slope), gate)
    torch.mul(by_gate, gated.scale[1], out=by_normal[1])
    projection = torch.linalg.vecdot(by_normal, normal)[:, :, None] / -N_FEATURES
    by_inner = by_normal.addcmul_(normal, projection).mul_(inverse)
    out = torch.empty_like(before)
    halves = out.view(-1, 2, N_FEATURES).transpose(0, 1)
    if gated.hidden is None:
        halves.copy_(by_inner)
        return out
    halves.copy_(torch.bmm(by_inner, gated.hidden.transpose(1, 2)))
    by_before: Tensor = torch.ops.aten.silu_backward(out, before)
    return by_before


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + _CHUNK_ROWS) for start in range(0, n_rows, _CHUNK_ROWS)]
