from __future__ import annotations

import pytest

from screening.out_of_memory import is_out_of_memory


class OutOfMemoryError(RuntimeError):
    """As torch has one for graphics processors."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (OutOfMemoryError(), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("memory"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_faults(error, expected):
    assert is_out_of_memory(error) is expected
