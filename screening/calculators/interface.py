"""What every force calculator offers, and what a family of potentials has to implement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray

__all__ = [
    "DEFAULT_DISPLACEMENT_ANGSTROM",
    "DielectricCalculator",
    "DielectricResponse",
    "ForceCalculator",
    "ForceEngine",
    "IndexArray",
]

IndexArray = NDArray[np.int64]

DEFAULT_DISPLACEMENT_ANGSTROM = 0.01
"""Finite displacement for potentials that are smooth in float64, the value phonopy uses."""


@runtime_checkable
class ForceCalculator(Protocol):
    """A named potential whose results have been checked.

    Attributes
    ----------
    name
        For people: ``chgnet:0.3.0``, ``mace:medium``, ``ase.calculators.emt.EMT``.
    digest
        SHA-256 of the weights, or of import path, options and package version.
    elements
        Atomic numbers that the potential was made for; None where it does not say.
    displacement_angstrom
        Recommended finite displacement in Å.
    members
        The members of a committee, else empty.
    notes
        What a user must know before using its numbers.
    is_first_principles
        Whether it solves for the electrons: a call costs seconds to hours.
    settings
        For people, what the digest was made of, as plain JSON; empty for a potential, which
        its name and digest say all about.
    """

    @property
    def name(self) -> str:
        """Name for people."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of what makes the numbers."""
        ...

    @property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers known, or None."""
        ...

    @property
    def displacement_angstrom(self) -> float:
        """Recommended displacement in Å."""
        ...

    @property
    def members(self) -> tuple[ForceCalculator, ...]:
        """Members of a committee."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before using the numbers."""
        ...

    @property
    def is_first_principles(self) -> bool:
        """Whether it solves for the electrons."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Its settings as plain JSON."""
        ...

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces on several copies of a cell.

        Parameters
        ----------
        cell
            Lattice vectors as rows in Å, shape (3, 3).
        positions
            Cartesian coordinates in Å, shape (copy, atom, 3).
        numbers
            Atomic numbers, shape (atom,).

        Returns
        -------
        FloatArray
            Forces in eV/Å, shape (copy, atom, 3), finite and of physical size.

        Raises
        ------
        NonFiniteForcesError, WrongShapeError, ForcesExplodedError, CalculatorFailedError
            If the potential fails or returns what cannot be used.
        """
        ...

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV; positions as in `energy_forces_stress`.

        Raises
        ------
        NonFiniteForcesError, WrongShapeError, CalculatorFailedError
            If the potential fails or returns what cannot be used.
        """
        ...

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy, forces and stress of one cell.

        Parameters
        ----------
        cell
            Lattice vectors as rows in Å, shape (3, 3).
        positions
            Cartesian coordinates in Å, shape (atom, 3).
        numbers
            Atomic numbers, shape (atom,).

        Returns
        -------
        tuple
            Energy in eV, forces in eV/Å, shape (atom, 3), and stress in eV/Å^3, shape
            (3, 3): dE/dstrain / volume, positive under tension.

        Raises
        ------
        NonFiniteForcesError, WrongShapeError, ForcesExplodedError, CalculatorFailedError
            If the potential fails or returns what cannot be used.
        """
        ...


@dataclass(frozen=True)
class DielectricResponse:
    """How a crystal with clamped ions answers an electric field.

    Attributes
    ----------
    dielectric_constant
        High-frequency dielectric tensor, shape (3, 3); None where there is none.
    born_charges_e
        Born effective charges in e, shape (atom, 3, 3): change of the force along the last
        axis by a field along the middle one. None where there are none.
    refusal
        Why there are none (a metal screens every field), else empty.
    """

    dielectric_constant: FloatArray | None
    born_charges_e: FloatArray | None
    refusal: str = ""


@runtime_checkable
class DielectricCalculator(Protocol):
    """A calculator or engine that can also answer an electric field."""

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> DielectricResponse | None:
        """Compute the response of one cell; None where it is not asked for or not offered.

        Raises
        ------
        NonFiniteForcesError, WrongShapeError, CalculatorFailedError
            If the calculation fails or returns what cannot be used.
        """
        ...


class ForceEngine(Protocol):
    """The bare potential: one cell at a time, results as they come."""

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        ...

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV, without asking for forces or stress."""
        ...

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        ...
