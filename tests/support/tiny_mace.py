"""A MACE model that is made in a moment."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np


def save_tiny_mace(path: Path, heads: list[str] | None = None, n_layers: int = 1) -> Path:
    """Save a model for Al and Cu with random weights, 4 scalars and 4 vectors a layer."""
    from screening.calculators.mace_package import default_type, import_mace

    import_mace()
    import torch
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    with default_type(torch.float64), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = modules.ScaleShiftMACE(
            r_max=4.0,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=1,
            num_interactions=n_layers,
            num_elements=2,
            interaction_cls=block,
            interaction_cls_first=block,
            hidden_irreps=o3.Irreps("4x0e+4x1o"),
            MLP_irreps=o3.Irreps("4x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros((len(heads), 2)) if heads else np.zeros(2),
            avg_num_neighbors=12.0,
            atomic_numbers=[13, 29],
            correlation=2,
            radial_MLP=[8],
            radial_type="bessel",
            atomic_inter_scale=[1.0, 2.0] if heads else 1.0,
            atomic_inter_shift=[0.0, -1.5] if heads else 0.0,
            heads=heads,
        )
        torch.save(model, path)
    return path
