"""The running mean of the weights of a network, which predicts better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["RunningMean"]


class RunningMean:
    """Exponential mean of the weights that training changes.

    Parameters
    ----------
    network
        A module.
    decay
        Share of the mean that one step keeps, once there were many.
    """

    def __init__(self, network: Any, decay: float) -> None:
        self._decay = decay
        self.n_steps = 0
        self._weights = [one for one in network.parameters() if one.requires_grad]
        self.mean = [one.detach().clone() for one in self._weights]

    def update(self) -> None:
        """Take the weights of one more step."""
        self.n_steps += 1
        decay = min(self._decay, (1 + self.n_steps) / (10 + self.n_steps))
        with torch.no_grad():
            torch._foreach_mul_(self.mean, decay)
            torch._foreach_add_(self.mean, self._weights, alpha=1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the mean weights inside."""
        own = [one.detach().clone() for one in self._weights]
        self._copy(self.mean)
        try:
            yield
        finally:
            self._copy(own)

    def _copy(self, values: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self._weights, values, strict=True):
                weight.copy_(value)
