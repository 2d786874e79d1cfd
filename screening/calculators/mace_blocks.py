"""Which MACE modules are evaluated, trained and read without the code of the package.

A `ScaleShiftMACE` of residual blocks with Bessel functions and one head, and nothing added to it.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["is_known"]

_BLOCK = "RealAgnosticResidualInteractionBlock"
_READOUTS = {"LinearReadoutBlock", "NonLinearReadoutBlock"}
_ADDITIONS = ("joint_embedding", "embedding_readout", "pair_repulsion_fn", "pair_repulsion")


def is_known(model: Any) -> bool:
    """Say whether a module is made of the blocks that are known here, and of nothing else."""
    if type(model).__name__ != "ScaleShiftMACE" or any(hasattr(model, x) for x in _ADDITIONS):
        return False
    radial = model.radial_embedding
    n_layers = len(model.interactions)
    return bool(
        len(getattr(model, "heads", None) or ("Default",)) == 1
        and all(type(one).__name__ == _BLOCK for one in model.interactions)
        and all(type(one).__name__ in _READOUTS for one in model.readouts)
        and len(model.readouts) in (1, n_layers)
        and type(radial.bessel_fn).__name__ == "BesselBasis"
        and not hasattr(radial, "distance_transform")
        and getattr(radial, "apply_cutoff", True)
        and all(_is_plain_product(one) for one in model.products)
        and all(_is_plain_interaction(one) for one in model.interactions)
    )


def _is_plain_product(product: Any) -> bool:
    return (
        not getattr(product, "use_agnostic_product", False)
        and getattr(product, "cueq_config", None) is None
        and product.use_sc
        and hasattr(product.symmetric_contractions, "contractions")
    )


def _is_plain_interaction(interaction: Any) -> bool:
    """Say whether all its parts are e3nn's own, with vectors that turn as vectors."""
    parts = (interaction.linear_up, interaction.linear, interaction.conv_tp, interaction.skip_tp)
    layers = list(interaction.conv_tp_weights.children())
    gates = [one.act for one in layers]
    return (
        all(type(one).__module__.startswith("e3nn.") for one in parts)
        and not hasattr(interaction, "conv_fusion")
        and all(one.connection_mode == "uvu" for one in interaction.conv_tp.instructions)
        and all(one.ir.p == (-1) ** one.ir.l for one in interaction.edge_attrs_irreps)
        and all(_is_silu(one) for one in gates[:-1])
        and gates[-1] is None
    )


def _is_silu(act: Any) -> bool:
    return getattr(act, "f", None) is torch.nn.functional.silu
