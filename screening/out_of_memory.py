"""Whether an error says that memory ran out: libraries say it in words of their own."""

from __future__ import annotations

__all__ = ["is_out_of_memory"]

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out, of the processor or of a graphics processor.

    Torch has a class of its own for graphics processors, and none for processors.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    said = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(one in said for one in _WORDS)
    )
