"""What no calculator may return, checked in one place for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from screening.calculators.interface import (
    DEFAULT_DISPLACEMENT_ANGSTROM,
    DielectricCalculator,
    DielectricResponse,
    ForceCalculator,
    ForceEngine,
    IndexArray,
)
from screening.errors import (
    CalculatorFailedError,
    ElementNotInModelError,
    ForcesExplodedError,
    NonFiniteForcesError,
    ScreeningError,
    WrongShapeError,
)
from screening.prediction import FloatArray

__all__ = [
    "MAX_FORCE_EV_PER_ANGSTROM",
    "CheckedCalculator",
    "check_elements",
    "refuse_isolated_atoms",
]

MAX_FORCE_EV_PER_ANGSTROM = 500.0
"""Largest believable force: two light nuclei at half an ångström repel with about 200 eV/Å."""

_Result = TypeVar("_Result")


def check_elements(
    calculator: ForceCalculator, numbers: Iterable[int], *, subject: str = ""
) -> None:
    """Refuse elements that the calculator was not made for, before anything is computed.

    Parameters
    ----------
    calculator
        The calculator to be used; one without a list of elements accepts all.
    numbers
        Atomic numbers of the structure.
    subject
        What the structure is called, for the message.

    Raises
    ------
    ElementNotInModelError
        Naming all missing elements.
    """
    if calculator.elements is None:
        return
    missing = sorted({int(number) for number in numbers} - calculator.elements)
    if missing:
        from ase.data import chemical_symbols

        names = ", ".join(
            chemical_symbols[z] if 0 < z < len(chemical_symbols) else f"Z={z}" for z in missing
        )
        raise ElementNotInModelError(
            f"{calculator.name} was not made for {names}",
            subject=subject,
            hint="Choose another calculator for this structure",
        )


def refuse_isolated_atoms(
    n_atoms: int, bonded: IndexArray, cutoff_angstrom: float, name: str
) -> None:
    """Refuse atoms without neighbours, whose zero forces would pass for a result.

    Parameters
    ----------
    n_atoms
        How many there are.
    bonded
        Indices of those that have a neighbour within reach, in any order and repeated.
    cutoff_angstrom
        Reach of the potential in Å.
    name
        What the potential is called.

    Raises
    ------
    CalculatorFailedError
        If an atom has none.
    """
    n_alone = n_atoms - np.count_nonzero(np.bincount(bonded, minlength=n_atoms))
    if n_alone:
        raise CalculatorFailedError(
            f"{n_alone} atoms have no neighbour within {cutoff_angstrom:g} Å, "
            f"where {name} sees nothing",
            subject=name,
            hint="See whether the cell is in Å, or use a potential with a longer range",
        )


@dataclass(frozen=True)
class CheckedCalculator:
    """A potential with its name and digest, whose every result is checked.

    Attributes
    ----------
    engine
        The bare potential.
    name, digest, elements, displacement_angstrom, notes, members, is_first_principles, settings
        As in :class:`screening.calculators.interface.ForceCalculator`.
    """

    engine: ForceEngine
    name: str
    digest: str
    elements: frozenset[int] | None = None
    displacement_angstrom: float = DEFAULT_DISPLACEMENT_ANGSTROM
    notes: tuple[str, ...] = ()
    members: tuple[ForceCalculator, ...] = ()
    is_first_principles: bool = False
    settings: Mapping[str, object] = field(default_factory=dict, hash=False)

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on several copies of a cell, shape (copy, atom, 3)."""
        cell, positions, numbers = _inputs(cell, positions, numbers)
        if positions.ndim != 3:  # noqa: PLR2004 - (copy, atom, 3)
            raise WrongShapeError(
                f"positions have shape {positions.shape}, not (copy, atom, 3)", subject=self.name
            )
        out = np.empty_like(positions)
        for copy, one in enumerate(positions):
            found = self._call(lambda one=one: self.engine.forces(cell, one, numbers))  # type: ignore[misc]
            out[copy] = self._forces(found, len(numbers))
        return out

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        cell, positions, numbers = _inputs(cell, positions, numbers)
        found = self._call(lambda: self.engine.energy(cell, positions, numbers))
        return float(self._array(found, (), "energy"))

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        cell, positions, numbers = _inputs(cell, positions, numbers)
        found = self._call(lambda: self.engine.energy_forces_stress(cell, positions, numbers))
        energy, forces, stress = found
        checked = self._forces(forces, len(numbers))
        tensor = self._array(stress, (3, 3), "stress")
        value = float(self._array(energy, (), "energy"))
        return value, checked, (tensor + tensor.T) / 2

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> DielectricResponse | None:
        """Compute the response to an electric field, None where the engine offers none."""
        engine = self.engine
        if not isinstance(engine, DielectricCalculator):
            return None
        cell, positions, numbers = _inputs(cell, positions, numbers)
        found = self._call(lambda: engine.dielectric_response(cell, positions, numbers))
        if found is None or found.born_charges_e is None:
            return found
        return DielectricResponse(
            self._array(found.dielectric_constant, (3, 3), "dielectric constant"),
            self._array(found.born_charges_e, (len(numbers), 3, 3), "Born charges"),
        )

    def _call(self, compute: Callable[[], _Result]) -> _Result:
        """Run foreign code; its errors become ours, with their class and message."""
        try:
            return compute()
        except ScreeningError:
            raise
        except Exception as error:
            raise CalculatorFailedError(
                f"{type(error).__name__}: {error}",
                subject=self.name,
                hint="The calculator itself failed; try the structure with another one",
            ) from error

    def _forces(self, found: object, n_atoms: int) -> FloatArray:
        """Check shape, finiteness and size."""
        forces = self._array(found, (n_atoms, 3), "forces")
        largest = float(np.abs(forces).max(initial=0.0))
        if largest > MAX_FORCE_EV_PER_ANGSTROM:
            raise ForcesExplodedError(
                f"force of {largest:.3g} eV/Å, beyond {MAX_FORCE_EV_PER_ANGSTROM:g}",
                subject=self.name,
                hint="The structure is probably outside the potential's domain",
            )
        return forces

    def _array(self, found: object, shape: tuple[int, ...], what: str) -> FloatArray:
        """Return an array of this shape with finite numbers."""
        try:
            array = np.array(found, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise WrongShapeError(f"{what} are not numbers: {error}", subject=self.name) from error
        if array.shape != shape:
            raise WrongShapeError(f"{what} of shape {array.shape}, not {shape}", subject=self.name)
        n_bad = int(np.size(array) - np.isfinite(array).sum())
        if n_bad:
            raise NonFiniteForcesError(
                f"{n_bad} of {np.size(array)} numbers of {what} are not finite",
                subject=self.name,
                hint="The structure is probably outside the potential's domain",
            )
        return array


def _inputs(
    cell: FloatArray, positions: FloatArray, numbers: IndexArray
) -> tuple[FloatArray, FloatArray, IndexArray]:
    """Plain contiguous copies, so that no calculator can change the caller's arrays."""
    return (
        np.array(cell, dtype=np.float64),
        np.array(positions, dtype=np.float64),
        np.array(numbers, dtype=np.int64),
    )
