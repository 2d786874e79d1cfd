"""The package ``mace``, imported without what its import does to the process."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from screening.errors import ModelUnavailableError

if TYPE_CHECKING:
    import torch

__all__ = ["default_type", "import_mace"]


def import_mace() -> None:
    """Import mace before e3nn, which fails the other way round, and keep torch.load careful.

    Raises
    ------
    ModelUnavailableError
        If the package is missing.
    """
    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # e3nn 0.4 on a current torch
            import mace.calculators
            import mace.data
            import mace.tools  # noqa: F401
    except ImportError as error:
        raise ModelUnavailableError(
            f"the package mace-torch cannot be imported: {error}",
            subject="mace",
            hint="Install phonoscreen with its extra 'mace'",
        ) from error
    finally:
        # mace makes every later torch.load of the process an unrestricted one; undo it.
        if before is None:
            os.environ.pop(variable, None)


@contextlib.contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    """Let tensors be made of one type, then restore torch's default."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
