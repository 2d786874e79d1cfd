"""The geometry that a predictor displaces: relaxed first, where the settings say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.calculators import check_elements
from screening.errors import NonFiniteForcesError
from screening.prediction import Relaxation
from screening.predictors.metering import Metered
from screening.relaxation import relax
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["Geometry", "atomic_numbers", "prepare_geometry"]


@dataclass(frozen=True)
class Geometry:
    """A crystal ready to be displaced.

    Attributes
    ----------
    structure
        Primitive cell.
    relaxation
        How it was relaxed; None where it was taken as it is.
    static_energy_ev_per_atom
        Energy without vibrations in eV/atom.
    """

    structure: Structure
    relaxation: Relaxation | None
    static_energy_ev_per_atom: float


def prepare_geometry(
    crystal: Crystal, calculator: Metered, settings: ScreeningSettings
) -> Geometry:
    """Relax a crystal where the settings say so, and compute its energy.

    Raises
    ------
    ElementNotInModelError
        Before anything is computed.
    ComputationError
        If the relaxation fails or the energy is not finite.
    """
    structure = crystal.structure.copy()
    check_elements(calculator, atomic_numbers(structure), subject=crystal.formula)
    if settings.relaxation is not None:
        relaxed, relaxation, energy, _ = relax(structure, calculator, settings.relaxation)
        return Geometry(relaxed, relaxation, _finite(energy, crystal.formula))
    lattice = np.array(structure.lattice.matrix)
    total = calculator.energy(lattice, structure.cart_coords, atomic_numbers(structure))
    return Geometry(structure, None, _finite(total / len(structure), crystal.formula))


def atomic_numbers(structure: Structure) -> NDArray[np.int64]:
    """Atomic numbers of the sites, shape (site,)."""
    return np.array([site.specie.Z for site in structure], dtype=np.int64)


def _finite(energy_ev_per_atom: float, subject: str) -> float:
    if not np.isfinite(energy_ev_per_atom):
        raise NonFiniteForcesError("the static energy is not finite", subject=subject)
    return energy_ev_per_atom
