"""Which processor a network runs on."""

from __future__ import annotations

import torch

from screening.errors import ModelUnavailableError

__all__ = ["chosen_device"]


def chosen_device(name: str) -> torch.device:
    """Return the device that is meant.

    Parameters
    ----------
    name
        As torch names it; ``auto`` for a graphics processor where there is one.

    Raises
    ------
    ModelUnavailableError
        If a graphics processor is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if there else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not there:
        raise ModelUnavailableError(
            "there is no graphics processor that torch can use",
            subject="device",
            hint="Give the device auto or cpu",
        )
    return device
