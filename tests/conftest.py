"""What holds for all tests."""

import os
import sys

import pytest
from pymatgen.symmetry.groups import SpaceGroup

KEPT_SPACE_GROUPS = tuple(map(SpaceGroup, ("Fm-3m", "Fd-3m", "F-43m", "Im-3m")))
"""Of the most operations: pymatgen forgets what nobody holds, and takes half a second for each."""

for name in ("COLUMNS", "LINES"):  # of a worker of pytest-xdist: both fix the width of consoles
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def recursion_limit():
    """Undo what a foreign import does to the whole process.

    symfc, which phonopy loads for one of its solvers, raises the limit so far that deeply nested
    input ends the interpreter instead of raising an error.
    """
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)
