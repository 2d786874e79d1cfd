"""Densities of states by a potential, which a trained network then corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from screening.errors import OutOfDomainError
from screening.harmonic import harmonic_from_forces
from screening.network_dos.labels import MOST_OUTSIDE, label_of_mesh
from screening.phonons import (
    PhononSettings,
    compute_forces,
    compute_member_forces,
    mean_force_data,
    mesh_frequencies,
)
from screening.prediction import FloatArray, frozen_array
from screening.predictors.metering import Meter, Metered

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.calculators import ForceCalculator
    from screening.network_dos.grid import FrequencyGrid

__all__ = ["PotentialPrior"]


class PotentialPrior:
    """Modes in each bin by a potential, of crystals as they are given.

    Parameters
    ----------
    calculator
        The potential; of a committee the mean forces are taken.
    grid
        The bins.
    settings
        Supercell, displacement and mesh.

    Attributes
    ----------
    model, model_digest
        Name of the potential and SHA-256 of its weights.
    """

    def __init__(
        self,
        calculator: ForceCalculator,
        grid: FrequencyGrid,
        settings: PhononSettings | None = None,
    ) -> None:
        self._calculator, self._grid = calculator, grid
        self._settings = settings or PhononSettings()
        self.model, self.model_digest = calculator.name, calculator.digest

    def histogram(
        self, structure: Structure, meter: Meter | None = None, subject: str = ""
    ) -> FloatArray:
        """Compute the phonons of a primitive cell and count its modes.

        Parameters
        ----------
        structure
            The cell; it is not relaxed.
        meter
            Counts what is asked of the potential.
        subject
            Name of the crystal for messages.

        Returns
        -------
        ndarray
            Modes of the cell in each bin, 3N over all, shape (bin,).

        Raises
        ------
        OutOfDomainError
            If modes lie outside the grid.
        ScreeningError
            As the potential and `screening.phonons.compute_forces` say.
        """
        calculator = Metered(self._calculator, meter or Meter())
        if calculator.members:
            forces = mean_force_data(compute_member_forces(structure, calculator, self._settings))
        else:
            forces = compute_forces(structure, calculator, self._settings)
        harmonic = harmonic_from_forces(forces, self._settings.symprec_angstrom)
        mesh = mesh_frequencies(harmonic, self._settings.mesh_length_angstrom)
        label = label_of_mesh(harmonic.primitive, mesh, subject, self._grid, self.model)
        if label.weight_outside > MOST_OUTSIDE:
            raise OutOfDomainError(
                f"{100.0 * label.weight_outside:.2g} % of the modes by {self.model} lie outside "
                "the grid of the network",
                subject=subject,
                hint="Take the potential alone, or a network of a wider grid",
            )
        share = len(structure) / len(harmonic.primitive)
        return frozen_array(np.asarray(label.histogram) * share)
