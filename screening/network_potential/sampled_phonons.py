"""Displaced cells of one crystal by many potentials drawn from the posterior of the last layer.

Force constants, frequencies and free energies of the samples follow as for any committee, see
`screening.predictors.assembly.member_spread`. One pass through the network serves all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from screening.calculators.interface import DEFAULT_DISPLACEMENT_ANGSTROM
from screening.network_potential.labelled_cells import LabelledCell
from screening.phonons import PhononSettings, compute_member_forces
from screening.prediction import FloatArray, ForceData

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.network_potential.force_uncertainty import ForceUncertainty

__all__ = ["sampled_force_data"]


def sampled_force_data(
    structure: Structure,
    uncertainty: ForceUncertainty,
    settings: PhononSettings,
    count: int = 16,
    seed: int = 0,
) -> tuple[ForceData, ...]:
    """Compute the forces that force constants are made of, by potentials of the posterior.

    The mean over the samples is what the potential itself gives, exactly.

    Parameters
    ----------
    structure
        Primitive cell.
    uncertainty
        The potential with its last layer.
    settings
        Supercell, displacement and symmetry tolerance; without a displacement 0.01 Å, for the
        network runs in float64.
    count
        Two or more samples; the relative error of a standard deviation is 1/sqrt(2 count).
    seed
        Of the samples.

    Raises
    ------
    SettingError
        If fewer than two samples are asked for.
    ElementNotInModelError
        If the network does not know an element.
    TooLargeError
        If the primitive cell has more atoms than the supercell may have.
    """
    return compute_member_forces(structure, _Samples(uncertainty, count, seed), settings)


@dataclass(frozen=True, eq=False)
class _Samples:
    """A committee whose members share what they compute."""

    uncertainty: ForceUncertainty
    count: int
    seed: int
    displacement_angstrom: float = DEFAULT_DISPLACEMENT_ANGSTROM
    _known: dict[bytes, FloatArray] = field(default_factory=dict)

    @property
    def members(self) -> Sequence[_Sample]:
        return [_Sample(self, index) for index in range(max(self.count, 1))]

    def forces(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> FloatArray:
        """Compute mean forces, shape (copy, atom, 3)."""
        return np.asarray(self.all_forces(cell, positions, numbers).mean(axis=0))

    def all_forces(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> FloatArray:
        """Compute the forces of every sample, shape (sample, copy, atom, 3)."""
        key = b"".join(np.ascontiguousarray(x).tobytes() for x in (cell, positions, numbers))
        if key not in self._known:
            copies = [
                LabelledCell("", "", numbers, cell, one, np.zeros_like(one)) for one in positions
            ]
            sampled = [
                self.uncertainty.sampled_forces(one, self.count, self.seed) for one in copies
            ]
            self._known[key] = np.stack(sampled, axis=1)
        return self._known[key]


@dataclass(frozen=True, eq=False)
class _Sample:
    """One of the samples."""

    committee: _Samples
    index: int

    @property
    def displacement_angstrom(self) -> float:
        return self.committee.displacement_angstrom

    def forces(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> FloatArray:
        return np.asarray(self.committee.all_forces(cell, positions, numbers)[self.index])
