"""MACE networks evaluated fast: folded by symmetry where their blocks are known.

A network of known blocks (:mod:`screening.calculators.mace_weights`) runs without its module, on
one atom of each orbit; the results are those of the module to rounding. All others run as they
are. Which of the two is decided once, when the network is loaded: a folded network must give the
energy of its module for a small crooked cell.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from screening.calculators.checks import refuse_isolated_atoms
from screening.calculators.interface import IndexArray
from screening.calculators.mace import MaceEngine
from screening.calculators.mace_arrangement import arrange_weights
from screening.calculators.mace_blocks import is_known
from screening.calculators.mace_fold import FoldedCell, fold_cell, unfold_gradients
from screening.calculators.mace_forward import energy_and_gradients, network_energy
from screening.calculators.mace_weights import NetworkWeights
from screening.exact_symmetry import EXACT_ANGSTROM
from screening.prediction import FloatArray

__all__ = ["NetworkEngine", "Precision"]

Precision = Literal["float32", "float64"]

# In float32 a force is not better than 1e-6 eV/Å, and coordinates in files have eight digits.
_TOLERANCES_ANGSTROM = {"float64": EXACT_ANGSTROM, "float32": 2e-8}
_SAME_ENERGY = {"float64": 1e-9, "float32": 1e-4}


class NetworkEngine(MaceEngine):
    """A MACE network on one cell at a time.

    Parameters
    ----------
    model
        The module.
    head
        Which of its heads to use; None for the only one.
    precision
        What a folded network computes in; vectors between atoms are always of float64, and so
        are modules that cannot be folded.
    energy_factor
        What energies, forces and stresses are multiplied by.
    """

    def __init__(
        self,
        model: Any,
        head: str | None = None,
        *,
        precision: Precision = "float64",
        energy_factor: float = 1.0,
    ) -> None:
        super().__init__(model, head)
        self._energy_factor = energy_factor
        self._tolerance_angstrom = _TOLERANCES_ANGSTROM[precision]
        self._network: NetworkWeights | None = None
        if is_known(self._model):
            network = arrange_weights(self._model, precision)
            if self._agrees(network, _SAME_ENERGY[precision]):
                self._network = network

    @property
    def is_folded(self) -> bool:
        """Whether the network runs without its module, on one atom of each orbit."""
        return self._network is not None

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        if self._network is None:
            return super().forces(cell, positions, numbers) * self._energy_factor
        return self._differentiated(self._network, cell, positions, numbers)[1]

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        if self._network is None:
            return super().energy(cell, positions, numbers) * self._energy_factor
        folded = self._folded(self._network, cell, positions, numbers)
        return network_energy(self._network, folded) * self._energy_factor

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        factor = self._energy_factor
        if self._network is None:
            energy, forces, stress = super().energy_forces_stress(cell, positions, numbers)
            return energy * factor, forces * factor, stress * factor
        energy, forces, virial = self._differentiated(self._network, cell, positions, numbers)
        return energy, forces, virial / abs(float(np.linalg.det(cell)))

    def _differentiated(
        self, network: NetworkWeights, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Energy, forces and virial of a folded network."""
        folded = self._folded(network, cell, positions, numbers)
        energy, gradients = energy_and_gradients(network, folded)
        factor = self._energy_factor
        forces, virial = unfold_gradients(folded, gradients)
        return energy * factor, forces * factor, virial * factor

    def _folded(
        self, network: NetworkWeights, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> FoldedCell:
        species = self._species(numbers)
        reach, tolerance = network.cutoff_angstrom, self._tolerance_angstrom
        folded = fold_cell(cell, positions, species, reach, tolerance)
        is_bonded = np.any(folded.is_message, axis=1)
        bonded = np.flatnonzero(is_bonded[folded.orbit_of_atom])
        refuse_isolated_atoms(len(species), bonded, reach, "mace")
        return folded

    def _agrees(self, network: NetworkWeights, tolerance: float) -> bool:
        """Compare with the module on four atoms, as releases of the package may change."""
        reach = self.cutoff_angstrom
        cell = reach * np.array([[0.9, 0.0, 0.1], [0.2, 0.8, 0.0], [0.0, 0.1, 0.7]])
        fractions = np.array([[0.0, 0.0, 0.0], [0.5, 0.45, 0.1], [0.1, 0.5, 0.55], [0.6, 0.1, 0.4]])
        numbers = np.resize(np.array(self.numbers), len(fractions))
        positions = fractions @ cell
        wanted = super().energy(cell, positions, numbers)
        alone = network.atom_energies_ev[self._species(numbers)].sum()
        found = network_energy(network, self._folded(network, cell, positions, numbers))
        return bool(abs(found - wanted) <= tolerance * max(1.0, abs(wanted - alone)))
