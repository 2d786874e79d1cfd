"""Harmonic phonons from forces of density functional theory, computed here and now."""

from __future__ import annotations

from dataclasses import replace

from pymatgen.core import Structure

from screening.prediction import ForceData
from screening.predictors.electrons import electrons_of
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
        electrons = electrons_of(calculator, forces.primitive)
        charged = replace(
            forces,
            born_charges_e=electrons.born_charges_e,
            dielectric_constant=electrons.dielectric_constant,
        )
        return charged, members, (*notes, *electrons.notes)
