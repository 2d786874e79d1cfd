"""What is wrong with a file, a structure or a setting that a user gave."""

from __future__ import annotations

from screening.errors.base import ScreeningError

__all__ = [
    "ArchiveRefusedError",
    "CellError",
    "DisorderedError",
    "InconsistentDataError",
    "InputError",
    "NonFiniteInputError",
    "NotPeriodicError",
    "OverlapError",
    "ParseError",
    "SettingError",
    "SuspiciousSpeciesError",
    "TooLargeError",
]


class InputError(ScreeningError):
    """A file, structure or setting given by the user cannot be used."""


class ParseError(InputError):
    """A file cannot be read as the format its name says."""

    code = "PARSE_ERROR"


class DisorderedError(InputError):
    """A site is partially occupied or shared by several elements."""

    code = "DISORDERED"


class OverlapError(InputError):
    """Two atoms are closer than any bond."""

    code = "OVERLAP"


class CellError(InputError):
    """The lattice is singular, needle-like or has no volume."""

    code = "CELL_DEGENERATE"


class NotPeriodicError(InputError):
    """The structure is not periodic in three directions."""

    code = "NOT_PERIODIC"


class NonFiniteInputError(InputError):
    """A coordinate, lattice vector, force or energy is not a finite number."""

    code = "NONFINITE_INPUT"


class SuspiciousSpeciesError(InputError):
    """A label names no element, or one that is most likely misread."""

    code = "SUSPICIOUS_SPECIES"


class TooLargeError(InputError):
    """A file, structure or batch exceeds a stated limit."""

    code = "TOO_LARGE"


class ArchiveRefusedError(InputError):
    """An archive escapes its folder, holds links, or expands beyond its limits."""

    code = "ARCHIVE_REFUSED"


class InconsistentDataError(InputError):
    """Forces, displacements, cells or Born charges contradict each other."""

    code = "INCONSISTENT_DATA"


class SettingError(InputError):
    """A setting is unknown, out of range or contradicts another."""

    code = "INVALID_SETTING"
