"""The one door to spglib, which says on the standard error what its callers handle.

Of a nearly symmetric crystal spglib tries several tolerances, and writes a line for each one that
fails, past Python and past whoever looks at its result. Failures are errors of ours where they
matter.
"""

from __future__ import annotations

import os
from types import ModuleType

__all__ = ["symmetry_finder"]

_WARNING = "SPGLIB_WARNING"  # spglib looks at each line that it would write


def symmetry_finder() -> ModuleType:
    """Return spglib, silent from now on unless the environment says otherwise.

    Whatever calls spglib later in this process, phonopy among them, is silent too.

    Examples
    --------
    >>> symmetry_finder().__name__
    'spglib'
    """
    import spglib

    os.environ.setdefault(_WARNING, "OFF")
    return spglib
