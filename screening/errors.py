"""Every error the platform raises, with a published code.

    ScreeningError
    ├── InputError                 a file or structure cannot be used
    │   ├── ParseError             PARSE_ERROR
    │   ├── DisorderedError        DISORDERED
    │   ├── OverlapError           OVERLAP
    │   ├── CellError              CELL_DEGENERATE
    │   ├── NotPeriodicError       NOT_PERIODIC
    │   ├── NonFiniteInputError    NONFINITE_INPUT
    │   ├── SuspiciousSpeciesError SUSPICIOUS_SPECIES
    │   ├── TooLargeError          TOO_LARGE
    │   ├── ArchiveRefusedError    ARCHIVE_REFUSED
    │   ├── InconsistentDataError  INCONSISTENT_DATA
    │   └── SettingError           INVALID_SETTING
    ├── ModelError                 a potential or model cannot be used
    │   ├── ElementNotInModelError ELEMENT_NOT_IN_MODEL
    │   ├── ModelRefusedError      MODEL_REFUSED
    │   ├── ModelCorruptError      MODEL_CORRUPT
    │   └── ModelUnavailableError  MODEL_UNAVAILABLE
    ├── ComputationError           a calculation failed
    │   ├── NonFiniteForcesError   NONFINITE_FORCES
    │   ├── ForcesExplodedError    FORCES_EXPLODED
    │   ├── WrongShapeError        WRONG_SHAPE
    │   ├── RelaxationError        RELAX_NOT_CONVERGED
    │   ├── SymmetryLostError      SYMMETRY_LOST
    │   ├── CellExplodedError      CELL_EXPLODED
    │   ├── CalculatorFailedError  CALCULATOR_FAILED
    │   ├── TimeLimitError         TIMEOUT
    │   ├── WorkerLostError        WORKER_LOST
    │   ├── QuarantinedError       QUARANTINED
    │   └── UnexpectedError        UNEXPECTED
    ├── DatabaseError              the database cannot do what was asked
    │   ├── DatabaseUnavailableError DB_UNAVAILABLE
    │   ├── DatabaseUriError       DB_URI
    │   ├── DuplicateKeyError      DUPLICATE_KEY
    │   ├── IndexMissingError      INDEX_MISSING
    │   ├── SerializationError     SERIALIZATION
    │   ├── SchemaTooNewError      SCHEMA_TOO_NEW
    │   ├── CorruptDataError       CORRUPT_DATA
    │   ├── DiskFullError          DISK_FULL
    │   ├── QueryError             QUERY
    │   └── NotFoundError          NOT_FOUND
    └── ServiceUnavailableError    OFFLINE

Codes are part of the public interface: documents in the ``failures`` collection carry
them, and a code is never reused for another meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ERROR_CODES",
    "ArchiveRefusedError",
    "CalculatorFailedError",
    "CellError",
    "CellExplodedError",
    "ComputationError",
    "CorruptDataError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DatabaseUriError",
    "DiskFullError",
    "DisorderedError",
    "DuplicateKeyError",
    "ElementNotInModelError",
    "ForcesExplodedError",
    "InconsistentDataError",
    "IndexMissingError",
    "InputError",
    "ModelCorruptError",
    "ModelError",
    "ModelRefusedError",
    "ModelUnavailableError",
    "NonFiniteForcesError",
    "NonFiniteInputError",
    "NotFoundError",
    "NotPeriodicError",
    "OverlapError",
    "ParseError",
    "QuarantinedError",
    "QueryError",
    "RelaxationError",
    "SchemaTooNewError",
    "ScreeningError",
    "SerializationError",
    "ServiceUnavailableError",
    "SettingError",
    "SuspiciousSpeciesError",
    "SymmetryLostError",
    "TimeLimitError",
    "TooLargeError",
    "UnexpectedError",
    "WorkerLostError",
    "WrongShapeError",
]


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


class ModelError(ScreeningError):
    """A potential or trained model cannot be used."""


class ElementNotInModelError(ModelError):
    """The structure holds an element that the model was not made for."""

    code = "ELEMENT_NOT_IN_MODEL"


class ModelRefusedError(ModelError):
    """The model's file or import path is not allowed or names nothing usable."""

    code = "MODEL_REFUSED"


class ModelCorruptError(ModelError):
    """The model's file does not hold what its name or digest says."""

    code = "MODEL_CORRUPT"


class ModelUnavailableError(ModelError):
    """The model must be downloaded or its package installed first."""

    code = "MODEL_UNAVAILABLE"


class ComputationError(ScreeningError):
    """A calculation did not give a usable result."""


class NonFiniteForcesError(ComputationError):
    """The calculator returned NaN or infinity."""

    code = "NONFINITE_FORCES"


class ForcesExplodedError(ComputationError):
    """The calculator returned forces beyond any physical size."""

    code = "FORCES_EXPLODED"


class WrongShapeError(ComputationError):
    """The calculator returned an array of another shape than the structure's."""

    code = "WRONG_SHAPE"


class RelaxationError(ComputationError):
    """The relaxation did not reach its tolerances within its steps."""

    code = "RELAX_NOT_CONVERGED"


class SymmetryLostError(ComputationError):
    """The space group changed during a relaxation at fixed symmetry."""

    code = "SYMMETRY_LOST"


class CellExplodedError(ComputationError):
    """The cell changed its volume beyond the allowed ratio during relaxation."""

    code = "CELL_EXPLODED"


class CalculatorFailedError(ComputationError):
    """The calculator itself raised an error."""

    code = "CALCULATOR_FAILED"


class TimeLimitError(ComputationError):
    """A calculation exceeded its wall time."""

    code = "TIMEOUT"


class WorkerLostError(ComputationError):
    """A worker process died while it computed this material."""

    code = "WORKER_LOST"


class QuarantinedError(ComputationError):
    """A material that repeatedly killed its worker is set aside."""

    code = "QUARANTINED"


class UnexpectedError(ComputationError):
    """An error without a code of its own; the message names its class."""

    code = "UNEXPECTED"


class DatabaseError(ScreeningError):
    """The database cannot do what was asked."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be reached or opened."""

    code = "DB_UNAVAILABLE"


class DatabaseUriError(DatabaseError):
    """The database URI names no known kind of database."""

    code = "DB_URI"


class DuplicateKeyError(DatabaseError):
    """A document with this unique key exists."""

    code = "DUPLICATE_KEY"


class IndexMissingError(DatabaseError):
    """A unique index that guards against duplicates is missing."""

    code = "INDEX_MISSING"


class SerializationError(DatabaseError):
    """A value cannot be stored: non-finite, of an unknown type, or under a forbidden key."""

    code = "SERIALIZATION"


class SchemaTooNewError(DatabaseError):
    """A document was written by a newer release than this one."""

    code = "SCHEMA_TOO_NEW"


class CorruptDataError(DatabaseError):
    """Stored bytes do not match their digest, or a document breaks its schema."""

    code = "CORRUPT_DATA"


class DiskFullError(DatabaseError):
    """The disk that holds the database is full."""

    code = "DISK_FULL"


class QueryError(DatabaseError):
    """A filter names an unknown field or operator, or is not valid JSON."""

    code = "QUERY"


class NotFoundError(DatabaseError):
    """No document has this key."""

    code = "NOT_FOUND"


class ServiceUnavailableError(ScreeningError):
    """A remote database (Materials Project, OPTIMADE provider) cannot be reached."""

    code = "OFFLINE"


def _concrete(kind: type[ScreeningError]) -> list[type[ScreeningError]]:
    """All subclasses with a code, depth first."""
    own = [kind] if kind.code else []
    return own + [leaf for child in kind.__subclasses__() for leaf in _concrete(child)]


ERROR_CODES: dict[str, type[ScreeningError]] = {
    kind.code: kind for kind in _concrete(ScreeningError)
}
"""Published error codes and the class that carries each."""
