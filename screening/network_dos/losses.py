"""How far predicted densities of states are from labels, for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screening.network_dos.settings import Loss

if TYPE_CHECKING:
    import torch

__all__ = ["training_loss"]


def training_loss(
    output: torch.Tensor,
    histograms: torch.Tensor,
    kind: Loss,
    width_thz: float,
    *,
    to_maximum: bool = False,
) -> torch.Tensor:
    """Loss of each crystal, shape (crystal,).

    Parameters
    ----------
    output
        What the network gives, not negative, shape (crystal, bin).
    histograms
        Labels of any normalisation, of the same shape.
    kind
        ``mse`` compares with curves whose maximum is one; ``wasserstein`` the cumulative curves
        of unit area, in THz.
    width_thz
        Width of a bin in THz.
    to_maximum
        Whether ``mse`` divides the output by its maximum, too; without it the network learns to.
    """
    if kind == "mse":
        target = histograms / histograms.amax(dim=1, keepdim=True)
        own = output / output.amax(dim=1, keepdim=True) if to_maximum else output
        return ((own - target) ** 2).mean(dim=1)
    difference = _shares(output) - _shares(histograms)
    return difference.cumsum(dim=1).abs().sum(dim=1) * width_thz


def _shares(values: torch.Tensor) -> torch.Tensor:
    return values / values.sum(dim=1, keepdim=True)
