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
    │   ├── ModelUnavailableError  MODEL_UNAVAILABLE
    │   ├── ExecutableMissingError EXECUTABLE_MISSING
    │   ├── PseudopotentialMissingError PSEUDOPOTENTIAL_MISSING
    │   ├── OutOfDomainError       OUT_OF_DOMAIN
    │   ├── TrainingSetError       TRAINING_SET
    │   └── TrainingDivergedError  TRAINING_DIVERGED
    ├── ComputationError           a calculation failed
    │   ├── NonFiniteForcesError   NONFINITE_FORCES
    │   ├── ForcesExplodedError    FORCES_EXPLODED
    │   ├── WrongShapeError        WRONG_SHAPE
    │   ├── RelaxationError        RELAX_NOT_CONVERGED
    │   ├── SymmetryLostError      SYMMETRY_LOST
    │   ├── CellExplodedError      CELL_EXPLODED
    │   ├── CalculatorFailedError  CALCULATOR_FAILED
    │   ├── ScfNotConvergedError   SCF_NOT_CONVERGED
    │   ├── TimeLimitError         TIMEOUT
    │   ├── WorkerLostError        WORKER_LOST
    │   ├── QuarantinedError       QUARANTINED
    │   ├── NoImaginaryModeError   NO_IMAGINARY_MODE
    │   ├── NoLowerStructureError  NO_LOWER_STRUCTURE
    │   ├── RelaxedBackError       RELAXED_BACK
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
    ├── EngineUnavailableError     ENGINE_UNAVAILABLE
    └── ServiceUnavailableError    OFFLINE

Codes are part of the public interface: documents in the ``failures`` collection carry
them, and a code is never reused for another meaning.
"""

from __future__ import annotations

from screening.errors.base import ScreeningError
from screening.errors.computations import (
    CalculatorFailedError,
    CellExplodedError,
    ComputationError,
    ForcesExplodedError,
    NoImaginaryModeError,
    NoLowerStructureError,
    NonFiniteForcesError,
    QuarantinedError,
    RelaxationError,
    RelaxedBackError,
    ScfNotConvergedError,
    SymmetryLostError,
    TimeLimitError,
    UnexpectedError,
    WorkerLostError,
    WrongShapeError,
)
from screening.errors.databases import (
    CorruptDataError,
    DatabaseError,
    DatabaseUnavailableError,
    DatabaseUriError,
    DiskFullError,
    DuplicateKeyError,
    IndexMissingError,
    NotFoundError,
    QueryError,
    SchemaTooNewError,
    SerializationError,
)
from screening.errors.inputs import (
    ArchiveRefusedError,
    CellError,
    DisorderedError,
    InconsistentDataError,
    InputError,
    NonFiniteInputError,
    NotPeriodicError,
    OverlapError,
    ParseError,
    SettingError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.errors.models import (
    ElementNotInModelError,
    ExecutableMissingError,
    ModelCorruptError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    OutOfDomainError,
    PseudopotentialMissingError,
    TrainingDivergedError,
    TrainingSetError,
)
from screening.errors.services import (
    EngineUnavailableError,
    ServiceUnavailableError,
)

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
    "EngineUnavailableError",
    "ExecutableMissingError",
    "ForcesExplodedError",
    "InconsistentDataError",
    "IndexMissingError",
    "InputError",
    "ModelCorruptError",
    "ModelError",
    "ModelRefusedError",
    "ModelUnavailableError",
    "NoImaginaryModeError",
    "NoLowerStructureError",
    "NonFiniteForcesError",
    "NonFiniteInputError",
    "NotFoundError",
    "NotPeriodicError",
    "OutOfDomainError",
    "OverlapError",
    "ParseError",
    "PseudopotentialMissingError",
    "QuarantinedError",
    "QueryError",
    "RelaxationError",
    "RelaxedBackError",
    "ScfNotConvergedError",
    "SchemaTooNewError",
    "ScreeningError",
    "SerializationError",
    "ServiceUnavailableError",
    "SettingError",
    "SuspiciousSpeciesError",
    "SymmetryLostError",
    "TimeLimitError",
    "TooLargeError",
    "TrainingDivergedError",
    "TrainingSetError",
    "UnexpectedError",
    "WorkerLostError",
    "WrongShapeError",
]


def _concrete(kind: type[ScreeningError]) -> list[type[ScreeningError]]:
    """All subclasses with a code, depth first."""
    own = [kind] if kind.code else []
    return own + [leaf for child in kind.__subclasses__() for leaf in _concrete(child)]


ERROR_CODES: dict[str, type[ScreeningError]] = {
    kind.code: kind for kind in _concrete(ScreeningError)
}
"""Published error codes and the class that carries each."""
