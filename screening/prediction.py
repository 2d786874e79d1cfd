"""The frozen results of every predictor, whatever its tier.

Arrays are read-only; units stand in the names; everything extensive is per atom unless the
name says otherwise. Frequencies are in THz, imaginary ones negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells, ForceConstants
    from screening.conductivity_records import ThermalConductivity
    from screening.uncertainty.interval import Interval

__all__ = [
    "BandStructure",
    "Cost",
    "DensityOfStates",
    "FloatArray",
    "ForceData",
    "Prediction",
    "Relaxation",
    "SpectralProperties",
    "Stability",
    "Thermodynamics",
    "ThermodynamicsSpread",
    "Verdict",
    "frozen_array",
]

FloatArray = NDArray[np.float64]


def frozen_array(values: object) -> FloatArray:
    """Return a read-only float64 copy."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


class Verdict(StrEnum):
    """Dynamical stability, where unknown is a value of its own."""

    STABLE = "stable"
    UNSTABLE = "unstable"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Thermodynamics:
    """Harmonic thermodynamics on a temperature grid, per atom.

    Attributes
    ----------
    temperatures_k
        Grid in K, ascending, shape (temperature,).
    free_energy_mev_per_atom, internal_energy_mev_per_atom
        Helmholtz free energy and internal energy of vibration with the zero-point energy,
        meV/atom, shape (temperature,).
    entropy_mev_per_k_per_atom, heat_capacity_mev_per_k_per_atom
        Entropy and heat capacity at constant volume, meV/K/atom, shape (temperature,).
    zero_point_energy_mev_per_atom
        Zero-point energy in meV/atom.
    low_mode_policy
        What was done with modes below the cutoff: ``drop``, ``half_mean_optical`` or
        ``renormalise``.
    cutoff_thz
        Modes at or below this frequency (in THz) are low.
    dropped_weight
        Fraction of all 3N modes at or below the cutoff, imaginary ones included; the three
        acoustic modes at the zone centre do not count.
    imaginary_weight
        Fraction of all 3N modes that are imaginary.
    valid
        False where too many modes are low for the numbers to be compared.
    """

    temperatures_k: FloatArray
    free_energy_mev_per_atom: FloatArray
    entropy_mev_per_k_per_atom: FloatArray
    heat_capacity_mev_per_k_per_atom: FloatArray
    internal_energy_mev_per_atom: FloatArray
    zero_point_energy_mev_per_atom: float
    low_mode_policy: str
    cutoff_thz: float
    dropped_weight: float
    imaginary_weight: float
    valid: bool


@dataclass(frozen=True)
class ThermodynamicsSpread:
    """Sample standard deviation over the members of a committee, on the same grid.

    That of the lowest frequency in THz is None for a method that does not know it: no interval
    of it has ends.
    """

    free_energy_std_mev_per_atom: FloatArray
    entropy_std_mev_per_k_per_atom: FloatArray
    heat_capacity_std_mev_per_k_per_atom: FloatArray
    lowest_frequency_std_thz: float | None
    n_members: int


@dataclass(frozen=True)
class Stability:
    """Dynamical stability under one named criterion, with the others beside it.

    Attributes
    ----------
    verdict, criterion
        The verdict of the chosen criterion and its name.
    lowest_frequency_thz
        Lowest frequency over mesh and path in THz, imaginary negative, without the three
        acoustic modes at the zone centre.
    lowest_frequency_q_point
        Its wave vector in fractions of the primitive reciprocal lattice, shape (3,).
    lowest_frequency_region
        ``mesh`` or ``path``; ``gamma`` where the zone centre alone is known, and ``spectrum`` where
        no wave vector is.
    verdicts
        The verdict of every named criterion.
    """

    verdict: Verdict
    criterion: str
    lowest_frequency_thz: float
    lowest_frequency_q_point: FloatArray
    lowest_frequency_region: str
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True)
class DensityOfStates:
    """Total and site-projected density of states of the primitive cell.

    ``total_per_thz`` has shape (frequency,) and integrates to 3N modes;
    ``projected_per_thz`` has shape (site, frequency) and sums to the total, None where the method
    knows the total alone. ``total_std_per_thz`` is the standard deviation of the total over the
    members of an ensemble, shape (frequency,), None without one.
    """

    frequencies_thz: FloatArray
    total_per_thz: FloatArray
    projected_per_thz: FloatArray | None
    total_std_per_thz: FloatArray | None = None


@dataclass(frozen=True)
class SpectralProperties:
    """Numbers that follow from a density of states and have no temperature.

    Attributes
    ----------
    negative_fraction
        Share of the modes below zero, between 0 and 1.
    lowest_frequency_thz, mean_frequency_thz, highest_frequency_thz
        In THz. A thousandth of the modes lies below the lowest and above the highest; the mean is
        that of the modes at or above zero.
    debye_temperature_k
        Of the second moment of the frequencies in K.
    cell_debye_temperature_k
        The same over the cube root of the number of atoms in the primitive cell in K, as
        published.
    isotope_rate_ghz
        Mean rate of scattering by natural isotopes in 1/ns; None where they do not scatter.
    isotope_number_ghz_thz
        The published number of isotope scattering, in GHz THz; None where isotopes do
        not scatter.
    negative_fraction_ends, isotope_rate_ends_ghz, isotope_number_ends_ghz_thz
        Lower and upper end of the calibrated intervals; None where not calibrated.
    coverage
        Intended coverage of these intervals; None without any.

    References
    ----------
    R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023).
    S. Tamura, Phys. Rev. B 27, 858 (1983).
    """

    negative_fraction: float
    lowest_frequency_thz: float
    mean_frequency_thz: float
    highest_frequency_thz: float
    debye_temperature_k: float
    cell_debye_temperature_k: float
    isotope_rate_ghz: float | None = None
    isotope_number_ghz_thz: float | None = None
    negative_fraction_ends: tuple[float, float] | None = None
    isotope_rate_ends_ghz: tuple[float, float] | None = None
    isotope_number_ends_ghz_thz: tuple[float, float] | None = None
    coverage: float | None = None


@dataclass(frozen=True)
class BandStructure:
    """Frequencies along a path of straight segments through the Brillouin zone.

    Attributes
    ----------
    q_points
        Fractions of the primitive reciprocal lattice, shape (q, 3).
    distances_per_angstrom
        Path length in 1/Å without 2 pi, shape (q,).
    frequencies_thz
        Shape (q, branch).
    segment_starts
        Index of the first q point of every segment.
    labels
        Pairs of (index of the q point, name of the special point).
    """

    q_points: FloatArray
    distances_per_angstrom: FloatArray
    frequencies_thz: FloatArray
    segment_starts: tuple[int, ...]
    labels: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ForceData:
    """The forces that force constants are made of, and the cells they belong to.

    Attributes
    ----------
    primitive
        Primitive cell that all supercells repeat.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    supercell_scaled_positions, supercell_numbers
        Atoms of the supercell in the order of the forces, shapes (atom, 3) and (atom,).
    displaced_atoms
        Index of the displaced atom of each calculation, shape (displacement,).
    displacements_angstrom
        Cartesian displacement of it in Å, shape (displacement, 3).
    forces_ev_per_angstrom
        Raw forces in eV/Å, shape (displacement, atom, 3).
    residual_forces_ev_per_angstrom
        Forces on the undisplaced supercell in eV/Å, shape (atom, 3); zeros where unknown.
    born_charges_e, dielectric_constant
        Born effective charges (site, 3, 3) of the primitive cell and the high-frequency
        dielectric tensor (3, 3), or None.
    """

    primitive: Structure
    supercell_matrix: NDArray[np.int64]
    supercell_scaled_positions: FloatArray
    supercell_numbers: NDArray[np.int64]
    displaced_atoms: NDArray[np.int64]
    displacements_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    residual_forces_ev_per_angstrom: FloatArray
    born_charges_e: FloatArray | None = None
    dielectric_constant: FloatArray | None = None


@dataclass(frozen=True)
class Relaxation:
    """How a structure was relaxed before its phonons were computed."""

    converged: bool
    n_steps: int
    max_force_ev_per_angstrom: float
    max_stress_gpa: float
    volume_ratio: float
    space_group_number_before: int
    space_group_number_after: int


@dataclass(frozen=True)
class Cost:
    """What a prediction cost.

    Attributes
    ----------
    wall_seconds, force_seconds
        Wall time in s, and the part of it in force calls.
    cpu_seconds
        Time in s that cores worked, all cores and started programs together; 0 where that is
        not known, which a warning of the prediction says.
    force_calls, relaxation_steps
        Structures of which forces or energies were asked, and steps of the relaxation.
    """

    wall_seconds: float
    cpu_seconds: float
    force_seconds: float
    force_calls: int
    relaxation_steps: int = 0


@dataclass(frozen=True)
class Prediction:
    """One prediction by one method: the only type a decision or a builder ever sees.

    Attributes
    ----------
    method, method_version, tier
        Name and integer version of the method, and its tier (0 fast model, 1 potential,
        2 few DFT cells, 3 systematic DFT).
    model, model_digest
        Name of the potential or model and SHA-256 of its weights.
    structure_digest
        Digest of the structure the user asked about.
    settings, settings_digest
        Everything that can change the numbers, as plain JSON, and its SHA-256.
    structure
        The primitive cell the numbers belong to (relaxed where a relaxation was made).
    static_energy_ev_per_atom, static_energy_source
        Energy without vibrations in eV/atom and where it came from, or None.
    thermodynamics, spread, stability
        The physics.
    force_data, density_of_states, band_structure, relaxation
        Where the method has them.
    cost
        What it cost.
    warnings
        What the user should know before using the numbers.
    model_settings
        Settings of the model, as plain JSON, for people: its digest covers what of them changes
        the numbers. Empty for a potential.
    force_constants, displaced_cells
        Force constants of a method that fits them to cells with all atoms displaced, and these
        cells with their forces; such a method has no ``force_data``.
    conductivity
        Lattice thermal conductivity, where the method computes it.
    conductivity_std_w_per_m_k
        Standard deviation of each component of the conductivity over samples of the force
        constants in W/m/K, shape (temperature, 3, 3), or None.
    intervals
        Intervals that the method itself calibrated, of quantities of this crystal, each around
        the value that it predicts; empty for a method that calibrates nothing.
    spectral_properties
        Numbers that follow from the density of states, where the method gives them.
    """

    method: str
    method_version: int
    tier: int
    model: str
    model_digest: str
    structure_digest: str
    settings: Mapping[str, object]
    settings_digest: str
    structure: Structure
    thermodynamics: Thermodynamics
    stability: Stability
    cost: Cost
    static_energy_ev_per_atom: float | None = None
    static_energy_source: str | None = None
    spread: ThermodynamicsSpread | None = None
    force_data: ForceData | None = None
    density_of_states: DensityOfStates | None = None
    band_structure: BandStructure | None = None
    relaxation: Relaxation | None = None
    warnings: tuple[str, ...] = field(default=())
    model_settings: Mapping[str, object] = field(default_factory=dict)
    force_constants: ForceConstants | None = None
    displaced_cells: DisplacedCells | None = None
    conductivity: ThermalConductivity | None = None
    conductivity_std_w_per_m_k: FloatArray | None = None
    intervals: tuple[Interval, ...] = ()
    spectral_properties: SpectralProperties | None = None
