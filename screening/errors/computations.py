"""What can go wrong while a material is computed."""

from __future__ import annotations

from screening.errors.base import ScreeningError

__all__ = [
    "CalculatorFailedError",
    "CellExplodedError",
    "ComputationError",
    "ForcesExplodedError",
    "NoImaginaryModeError",
    "NoLowerStructureError",
    "NonFiniteForcesError",
    "QuarantinedError",
    "RelaxationError",
    "RelaxedBackError",
    "ScfNotConvergedError",
    "SymmetryLostError",
    "TimeLimitError",
    "UnexpectedError",
    "WorkerLostError",
    "WrongShapeError",
]


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


class ScfNotConvergedError(ComputationError):
    """The electron density did not become self-consistent in any attempt."""

    code = "SCF_NOT_CONVERGED"


class TimeLimitError(ComputationError):
    """A calculation exceeded its wall time."""

    code = "TIMEOUT"


class WorkerLostError(ComputationError):
    """A worker process died while it computed this material."""

    code = "WORKER_LOST"


class QuarantinedError(ComputationError):
    """A material that repeatedly killed its worker is set aside."""

    code = "QUARANTINED"


class NoImaginaryModeError(ComputationError):
    """No imaginary mode can be followed in a supercell of the allowed size."""

    code = "NO_IMAGINARY_MODE"


class NoLowerStructureError(ComputationError):
    """No structure along the imaginary mode, or relaxed from there, is lower in energy."""

    code = "NO_LOWER_STRUCTURE"


class RelaxedBackError(ComputationError):
    """The structure displaced along an imaginary mode relaxed back to where it came from."""

    code = "RELAXED_BACK"


class UnexpectedError(ComputationError):
    """An error without a code of its own; the message names its class."""

    code = "UNEXPECTED"
