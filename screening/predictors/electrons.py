"""What a calculation from first principles knows beyond forces: its answer to an electric field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.calculators.first_principles import magnetic_elements
from screening.prediction import FloatArray
from screening.predictors.geometry import atomic_numbers
from screening.predictors.metering import Metered

__all__ = ["Electrons", "electrons_of"]


@dataclass(frozen=True, eq=False)
class Electrons:
    """Born charges and dielectric tensor where there are any, and what is left out.

    Attributes
    ----------
    born_charges_e, dielectric_constant
        Shapes (site, 3, 3) and (3, 3), or None.
    notes
        What the user should know.
    """

    born_charges_e: FloatArray | None
    dielectric_constant: FloatArray | None
    notes: tuple[str, ...]


def electrons_of(calculator: Metered, structure: Structure) -> Electrons:
    """Ask for the response of a primitive cell to an electric field.

    Raises
    ------
    ComputationError
        If the calculation fails or returns what cannot be used.
    """
    numbers = atomic_numbers(structure)
    notes = _magnetic_notes(numbers) if calculator.is_first_principles else ()
    lattice = np.array(structure.lattice.matrix)
    response = calculator.dielectric_response(lattice, structure.cart_coords, numbers)
    if response is None:
        return Electrons(None, None, notes)
    if response.refusal:
        return Electrons(None, None, (*notes, f"no Born charges: {response.refusal}"))
    return Electrons(response.born_charges_e, response.dielectric_constant, notes)


def _magnetic_notes(numbers: NDArray[np.int64]) -> tuple[str, ...]:
    names = ", ".join(Element.from_Z(number).symbol for number in magnetic_elements(numbers))
    if not names:
        return ()
    return (f"spins are not polarised: {names} may make the crystal magnetic",)
