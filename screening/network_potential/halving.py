"""Batches that are computed in smaller parts where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from screening.errors import TooLargeError
from screening.network_potential.batches import CellTensors, partners
from screening.out_of_memory import is_out_of_memory

__all__ = ["in_parts"]

_Found = TypeVar("_Found")


def in_parts(
    cells: Sequence[CellTensors],
    n_parts: int,
    device: torch.device,
    compute: Callable[[list[list[CellTensors]]], _Found],
) -> tuple[_Found, int]:
    """Compute a batch, in twice as many parts each time that memory runs out.

    Parameters
    ----------
    cells
        The batch.
    n_parts
        Number of parts to begin with; halves of pairs stay together.
    device
        Where it is computed.
    compute
        Given all parts, and called from the start again after memory ran out.

    Returns
    -------
    tuple
        What ``compute`` returned, and the number of parts that fitted.

    Raises
    ------
    TooLargeError
        If one cell, or pair of cells, alone does not fit into memory.
    """
    groups = partners(cells)
    while True:
        shares = np.array_split(np.arange(len(groups)), min(n_parts, len(groups)))
        parts = [[cells[index] for one in share for index in groups[one]] for share in shares]
        try:
            return compute(parts), n_parts
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if n_parts >= len(groups):
                raise TooLargeError(
                    f"a cell of {max(map(len, cells))} atoms does not fit into memory",
                    subject="training",
                    hint="Leave out the largest cells, or take a smaller network",
                ) from error
        # beyond the handler, whose traceback holds tensors
        n_parts *= 2
        if device.type == "cuda":
            torch.cuda.empty_cache()
