"""Harmonic phonons from forces of density functional theory, computed here and now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pymatgen.core import Element, Structure

from screening.calculators.first_principles import magnetic_elements
from screening.prediction import ForceData
from screening.predictors.interface import Tier
from screening.predictors.metering import Metered
from screening.predictors.potential_phonons import PotentialPhonons

__all__ = ["FirstPrinciplesPhonons"]


class FirstPrinciplesPhonons(PotentialPhonons):
    """The same steps as with a potential, with a calculator that solves for the electrons.

    Where the calculator answers electric fields, Born charges and the dielectric constant of
    the crystal whose supercells are displaced give the non-analytical correction.

    Parameters
    ----------
    calculator, settings
        As `screening.predictors.potential_phonons.PotentialPhonons` has them.
    """

    method = "dft-phonons"
    method_version = 1
    tier = Tier.SYSTEMATIC_DFT

    def _forces(
        self, structure: Structure, calculator: Metered
    ) -> tuple[ForceData, tuple[ForceData, ...], tuple[str, ...]]:
        """Add the response to a field, and say what the electrons leave out."""
        forces, members, notes = super()._forces(structure, calculator)
        numbers = np.array([site.specie.Z for site in forces.primitive], dtype=np.int64)
        notes = (*notes, *_magnetic_notes(numbers))
        response = calculator.dielectric_response(
            np.array(forces.primitive.lattice.matrix), forces.primitive.cart_coords, numbers
        )
        if response is None:
            return forces, members, notes
        if response.refusal:
            return forces, members, (*notes, f"no Born charges: {response.refusal}")
        charged = replace(
            forces,
            born_charges_e=response.born_charges_e,
            dielectric_constant=response.dielectric_constant,
        )
        return charged, members, notes


def _magnetic_notes(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[str, ...]:
    names = ", ".join(Element.from_Z(number).symbol for number in magnetic_elements(numbers))
    if not names:
        return ()
    return (f"spins are not polarised: {names} may make the crystal magnetic",)
