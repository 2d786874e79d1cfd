"""Any ASE calculator, named by its import path.

An import path is code: only classes of calculators and plain Python functions that return
one are called, never a built-in or a function of the standard library, and the path comes
from the person at the keyboard, never from a database or a file.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from screening.calculators.checks import CheckedCalculator
from screening.calculators.interface import IndexArray
from screening.digest import digest_of, digest_of_file
from screening.errors import ModelRefusedError, ScreeningError, SerializationError
from screening.prediction import FloatArray

__all__ = ["AseEngine", "load_ase"]


class AseEngine:
    """Drive one ASE calculator.

    Parameters
    ----------
    calculator
        An instance; it is reused for all structures and reset before each.
    """

    def __init__(self, calculator: Any) -> None:
        self._calculator = calculator

    def _atoms(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> Any:
        from ase import Atoms

        reset = getattr(self._calculator, "reset", None)
        if reset is not None:
            reset()
        return Atoms(
            numbers=numbers, positions=positions, cell=cell, pbc=True, calculator=self._calculator
        )

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        found: FloatArray = self._atoms(cell, positions, numbers).get_forces()
        return found

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV; all that a calculator without stress can give."""
        return float(self._atoms(cell, positions, numbers).get_potential_energy())

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        atoms = self._atoms(cell, positions, numbers)
        stress: FloatArray = atoms.get_stress(voigt=False)
        return atoms.get_potential_energy(), atoms.get_forces(), stress


def load_ase(path: str, options: Mapping[str, Any]) -> CheckedCalculator:
    """Make the calculator that an import path names.

    Parameters
    ----------
    path
        ``package.module.Class``, or a function that returns a calculator.
    options
        Keyword arguments: plain JSON values.

    Raises
    ------
    ModelRefusedError
        If the path names nothing, no calculator, or the options do not fit.
    """
    target = _import(path)
    _check_kind(target, path)
    try:
        settings = digest_of(dict(options))
    except SerializationError as error:
        raise ModelRefusedError(f"options are not plain values: {error}", subject=path) from error
    made = _make(target, path, options)
    listed = ", ".join(f"{key}={value!r}" for key, value in sorted(options.items()))
    return CheckedCalculator(
        engine=AseEngine(made),
        name=f"{path}({listed})" if options else path,
        digest=digest_of({"path": path, "options": settings, "version": _version(target)}),
        is_first_principles=bool(getattr(made, "is_first_principles", False)),
    )


def _import(path: str) -> Any:
    """Import the object at a dotted path."""
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise ModelRefusedError(
            f"{path!r} names no calculator",
            subject="calculator",
            hint="Use phonoscreen, chgnet, mace:FILE.psm, mace:FILE@SHA256, mace:NAME@SHA256, "
            "gpaw, espresso or package.module.Class(key=value); vasp goes with --fallback alone",
        )
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelRefusedError(
            f"cannot be imported: {type(error).__name__}: {error}",
            subject=path,
            hint="Check the spelling and that the package is installed",
        ) from error
    except Exception as error:
        raise ModelRefusedError(
            f"its module fails on import: {type(error).__name__}: {error}", subject=path
        ) from error


def _check_kind(target: Any, path: str) -> None:
    """Refuse what cannot be a calculator before it is called."""
    from ase.calculators.calculator import BaseCalculator

    if inspect.isclass(target):
        usable = issubclass(target, BaseCalculator)
    else:
        top = str(getattr(target, "__module__", "")).partition(".")[0]
        usable = inspect.isfunction(target) and top not in sys.stdlib_module_names
    if not usable:
        raise ModelRefusedError(
            "is neither an ASE calculator class nor a function that returns one", subject=path
        )


def _make(target: Any, path: str, options: Mapping[str, Any]) -> Any:
    """Call the class or function and check what comes back."""
    try:
        calculator = target(**options)
    except ScreeningError:
        raise
    except Exception as error:
        raise ModelRefusedError(
            f"cannot be made: {type(error).__name__}: {error}",
            subject=path,
            hint="Check its keyword arguments",
        ) from error
    if not callable(getattr(calculator, "get_property", None)):  # all of ASE's have it
        raise ModelRefusedError(
            f"returned {type(calculator).__name__}, which is no ASE calculator", subject=path
        )
    return calculator


def _version(target: Any) -> str:
    """Release of the distribution, or the digest of the source file where there is none."""
    module = str(target.__module__)
    top = module.partition(".")[0]
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top)
        if names:
            return importlib.metadata.version(names[0])
    source = inspect.getsourcefile(target)
    return digest_of_file(Path(source)) if source else ""
