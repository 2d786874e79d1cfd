"""The root of all errors: what is wrong, with what, and what to do next."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["ScreeningError"]


class ScreeningError(Exception):
    """Base of all errors of the platform.

    Parameters
    ----------
    message
        What is wrong, with the offending value.
    subject
        What it is about: a file, a material id, a setting's name.
    hint
        What the user can do next.
    """

    code: ClassVar[str] = ""

    def __init__(self, message: str, *, subject: str = "", hint: str = "") -> None:
        self.message = message
        self.subject = subject
        self.hint = hint
        super().__init__(message, subject, hint)

    def __str__(self) -> str:
        head = f"{self.subject}: {self.message}" if self.subject else self.message
        return f"{head}. {self.hint}" if self.hint else head

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.subject, self.hint)


def _rebuild(kind: type[ScreeningError], message: str, subject: str, hint: str) -> ScreeningError:
    """Restore an error that crossed a process boundary."""
    return kind(message, subject=subject, hint=hint)
