"""Parts that several documents share: a stored structure, thermal curves, stability, cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator
from pymatgen.core import Lattice, Structure

from screening.prediction import (
    Cost,
    FloatArray,
    Relaxation,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from stores.documents.base import Digest, Record, StorableKey

if TYPE_CHECKING:
    from screening.conductivity_records import ThermalConductivity

__all__ = [
    "BlobRecord",
    "ConductivityRecord",
    "CostRecord",
    "IntMatrix",
    "IntVector",
    "Matrix",
    "RelaxationRecord",
    "SpreadRecord",
    "StabilityRecord",
    "StructureRecord",
    "ThermodynamicsRecord",
    "Vector",
]

Vector = tuple[float, float, float]
"""Three numbers."""

IntVector = tuple[int, int, int]
"""Three integers."""

Matrix = tuple[Vector, Vector, Vector]
"""Rows of three numbers."""

IntMatrix = tuple[IntVector, IntVector, IntVector]
"""Rows of three integers."""


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("is not ascending")
    return values


Curve = tuple[float, ...]
Temperatures = Annotated[tuple[float, ...], Field(min_length=1), AfterValidator(_ascending)]


def _floats(values: FloatArray) -> tuple[float, ...]:
    """Python numbers of an array of one axis."""
    return tuple(float(value) for value in np.asarray(values, dtype=np.float64))


def _rows(values: Any) -> list[list[float]]:
    """Python numbers of an array of two axes."""
    rows: list[list[float]] = np.asarray(values, dtype=np.float64).tolist()
    return rows


class StructureRecord(Record):
    """A crystal: lattice, elements and positions, nothing else."""

    lattice_angstrom: Matrix = Field(description="Rows are the cell vectors in Å.")
    species: tuple[str, ...] = Field(min_length=1, description="Element symbol of every site.")
    fractional_coordinates: tuple[Vector, ...] = Field(
        description="Position of every site in fractions of the cell vectors."
    )

    @model_validator(mode="after")
    def _sites(self) -> Self:
        if len(self.species) != len(self.fractional_coordinates):
            raise ValueError("species and fractional_coordinates differ in length")
        return self

    @classmethod
    def from_pymatgen(cls, structure: Structure) -> Self:
        """Take lattice, elements and positions; everything else is left behind."""
        return cls.model_validate(
            {
                "lattice_angstrom": _rows(structure.lattice.matrix),
                "species": [site.specie.symbol for site in structure],
                "fractional_coordinates": _rows(structure.frac_coords),
            }
        )

    def to_pymatgen(self) -> Structure:
        """Return the structure, bit for bit the one that was stored."""
        lattice = Lattice([list(row) for row in self.lattice_angstrom])
        return Structure(
            lattice, list(self.species), [list(x) for x in self.fractional_coordinates]
        )


class BlobRecord(Record):
    """Where the arrays lie in the blob store."""

    sha256: Digest = Field(description="SHA-256 of the stored bytes and key in the blob store.")
    n_bytes: int = Field(ge=0, description="Stored size in bytes.")
    n_raw_bytes: int = Field(ge=0, description="Size of the arrays in bytes.")

    @classmethod
    def from_reference(cls, reference: Any) -> Self:
        """Take over what the blob store answered (``sha256``, ``n_bytes``, ``n_raw_bytes``)."""
        return cls(
            sha256=reference.sha256,
            n_bytes=int(reference.n_bytes),
            n_raw_bytes=int(reference.n_raw_bytes),
        )


class ThermodynamicsRecord(Record):
    """Harmonic thermodynamics on a temperature grid, per atom."""

    temperatures_k: Temperatures = Field(description="Temperatures in K, ascending.")
    free_energy_mev_per_atom: Curve = Field(
        description="Helmholtz free energy of vibration with zero-point energy, meV/atom."
    )
    entropy_mev_per_k_per_atom: Curve = Field(description="Entropy of vibration, meV/K/atom.")
    heat_capacity_mev_per_k_per_atom: Curve = Field(
        description="Heat capacity at constant volume, meV/K/atom."
    )
    internal_energy_mev_per_atom: Curve = Field(
        description="Internal energy of vibration with zero-point energy, meV/atom."
    )
    zero_point_energy_mev_per_atom: float = Field(description="Zero-point energy, meV/atom.")
    low_mode_policy: str = Field(
        description="What was done with low modes: drop, half_mean_optical or renormalise."
    )
    cutoff_thz: float = Field(description="Modes at or below this frequency in THz are low.")
    dropped_weight: float = Field(
        ge=0, le=1, description="Fraction of all modes at or below the cutoff."
    )
    imaginary_weight: float = Field(ge=0, le=1, description="Fraction of imaginary modes.")
    valid: bool = Field(
        description="False where too many modes are low for the numbers to be compared."
    )

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        _same_length(
            self.temperatures_k,
            self.free_energy_mev_per_atom,
            self.entropy_mev_per_k_per_atom,
            self.heat_capacity_mev_per_k_per_atom,
            self.internal_energy_mev_per_atom,
        )
        return self

    @classmethod
    def from_result(cls, result: Thermodynamics) -> Self:
        """Take the numbers of a result."""
        return cls(
            temperatures_k=_floats(result.temperatures_k),
            free_energy_mev_per_atom=_floats(result.free_energy_mev_per_atom),
            entropy_mev_per_k_per_atom=_floats(result.entropy_mev_per_k_per_atom),
            heat_capacity_mev_per_k_per_atom=_floats(result.heat_capacity_mev_per_k_per_atom),
            internal_energy_mev_per_atom=_floats(result.internal_energy_mev_per_atom),
            zero_point_energy_mev_per_atom=float(result.zero_point_energy_mev_per_atom),
            low_mode_policy=result.low_mode_policy,
            cutoff_thz=float(result.cutoff_thz),
            dropped_weight=float(result.dropped_weight),
            imaginary_weight=float(result.imaginary_weight),
            valid=bool(result.valid),
        )

    def to_result(self) -> Thermodynamics:
        """Return the frozen result with read-only arrays."""
        return Thermodynamics(
            temperatures_k=frozen_array(self.temperatures_k),
            free_energy_mev_per_atom=frozen_array(self.free_energy_mev_per_atom),
            entropy_mev_per_k_per_atom=frozen_array(self.entropy_mev_per_k_per_atom),
            heat_capacity_mev_per_k_per_atom=frozen_array(self.heat_capacity_mev_per_k_per_atom),
            internal_energy_mev_per_atom=frozen_array(self.internal_energy_mev_per_atom),
            zero_point_energy_mev_per_atom=self.zero_point_energy_mev_per_atom,
            low_mode_policy=self.low_mode_policy,
            cutoff_thz=self.cutoff_thz,
            dropped_weight=self.dropped_weight,
            imaginary_weight=self.imaginary_weight,
            valid=self.valid,
        )

    def index_of(self, temperature_k: float) -> int | None:
        """Index of a temperature on the grid, or None where the grid does not hold it."""
        return _index_of(self.temperatures_k, temperature_k)


class SpreadRecord(Record):
    """Sample standard deviation over the members of a committee."""

    free_energy_std_mev_per_atom: Curve = Field(description="Of the free energy, meV/atom.")
    entropy_std_mev_per_k_per_atom: Curve = Field(description="Of the entropy, meV/K/atom.")
    heat_capacity_std_mev_per_k_per_atom: Curve = Field(
        description="Of the heat capacity, meV/K/atom."
    )
    lowest_frequency_std_thz: float | None = Field(
        ge=0,
        description="Of the lowest frequency, THz; none for a method that does not know it.",
    )
    n_members: int = Field(ge=2, description="Number of members.")

    @model_validator(mode="after")
    def _curves(self) -> Self:
        curves = (
            self.free_energy_std_mev_per_atom,
            self.entropy_std_mev_per_k_per_atom,
            self.heat_capacity_std_mev_per_k_per_atom,
        )
        _same_length(*curves)
        if any(value < 0 for curve in curves for value in curve):
            raise ValueError("a standard deviation is negative")
        return self

    @classmethod
    def from_result(cls, result: ThermodynamicsSpread) -> Self:
        """Take the numbers of a result."""
        lowest = result.lowest_frequency_std_thz
        return cls(
            free_energy_std_mev_per_atom=_floats(result.free_energy_std_mev_per_atom),
            entropy_std_mev_per_k_per_atom=_floats(result.entropy_std_mev_per_k_per_atom),
            heat_capacity_std_mev_per_k_per_atom=_floats(
                result.heat_capacity_std_mev_per_k_per_atom
            ),
            lowest_frequency_std_thz=None if lowest is None else float(lowest),
            n_members=int(result.n_members),
        )

    def to_result(self) -> ThermodynamicsSpread:
        """Return the frozen result with read-only arrays."""
        return ThermodynamicsSpread(
            free_energy_std_mev_per_atom=frozen_array(self.free_energy_std_mev_per_atom),
            entropy_std_mev_per_k_per_atom=frozen_array(self.entropy_std_mev_per_k_per_atom),
            heat_capacity_std_mev_per_k_per_atom=frozen_array(
                self.heat_capacity_std_mev_per_k_per_atom
            ),
            lowest_frequency_std_thz=self.lowest_frequency_std_thz,
            n_members=self.n_members,
        )


class ConductivityRecord(Record):
    """Lattice thermal conductivity on a temperature grid, averaged over directions."""

    temperatures_k: Temperatures = Field(description="Temperatures in K, ascending.")
    conductivity_w_per_m_k: Curve = Field(
        description="Mean of the three principal conductivities in W/m/K."
    )
    conductivity_std_w_per_m_k: Curve | None = Field(
        description="Mean of the standard deviations along three axes in W/m/K: that of the "
        "conductivity in cubic crystals, an upper bound in others; none where not known."
    )
    method: str = Field(description="How the Boltzmann equation was solved: rta or direct.")

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        std = self.conductivity_std_w_per_m_k
        _same_length(self.temperatures_k, self.conductivity_w_per_m_k, std or self.temperatures_k)
        if std is not None and min(std) < 0:
            raise ValueError("a standard deviation is negative")
        return self

    @classmethod
    def from_result(cls, result: ThermalConductivity, std_w_per_m_k: FloatArray | None) -> Self:
        """Take the numbers of a result.

        Parameters
        ----------
        result
            Conductivity, its temperatures in any order.
        std_w_per_m_k
            Standard deviations in W/m/K, shape (temperature, 3, 3), or None.
        """
        order = np.argsort(result.temperatures_k)
        mean, std = result.mean_conductivity_w_per_m_k, None
        if std_w_per_m_k is not None:
            std = _floats(np.diagonal(std_w_per_m_k, axis1=1, axis2=2).mean(axis=1)[order])
        return cls(
            temperatures_k=_floats(result.temperatures_k[order]),
            conductivity_w_per_m_k=_floats(mean[order]),
            conductivity_std_w_per_m_k=std,
            method=result.method.value,
        )

    def index_of(self, temperature_k: float) -> int | None:
        """Index of a temperature on the grid, or None where the grid does not hold it."""
        return _index_of(self.temperatures_k, temperature_k)


class StabilityRecord(Record):
    """Dynamical stability under one named criterion, with the others beside it."""

    verdict: Verdict = Field(description="Verdict of the chosen criterion.")
    criterion: str = Field(description="Name of the chosen criterion.")
    lowest_frequency_thz: float = Field(
        description="Lowest frequency in THz, imaginary negative, without the three acoustic "
        "modes at the zone centre."
    )
    lowest_frequency_q_point: Vector = Field(
        description="Its wave vector in fractions of the primitive reciprocal lattice."
    )
    lowest_frequency_region: str = Field(description="Where it lies: mesh, path, gamma, spectrum.")
    verdicts: dict[StorableKey, Verdict] = Field(description="Verdict of every named criterion.")

    @classmethod
    def from_result(cls, result: Stability) -> Self:
        """Take the verdicts of a result."""
        return cls.model_validate(
            {
                "verdict": result.verdict,
                "criterion": result.criterion,
                "lowest_frequency_thz": float(result.lowest_frequency_thz),
                "lowest_frequency_q_point": _floats(result.lowest_frequency_q_point),
                "lowest_frequency_region": result.lowest_frequency_region,
                "verdicts": dict(result.verdicts),
            }
        )

    def to_result(self) -> Stability:
        """Return the frozen result."""
        return Stability(
            verdict=self.verdict,
            criterion=self.criterion,
            lowest_frequency_thz=self.lowest_frequency_thz,
            lowest_frequency_q_point=frozen_array(self.lowest_frequency_q_point),
            lowest_frequency_region=self.lowest_frequency_region,
            verdicts=dict(self.verdicts),
        )


class RelaxationRecord(Record):
    """How the structure was relaxed before its phonons were computed."""

    converged: bool = Field(description="Whether the tolerances were reached.")
    n_steps: int = Field(ge=0, description="Number of steps.")
    max_force_ev_per_angstrom: float = Field(ge=0, description="Largest force left, eV/Å.")
    max_stress_gpa: float = Field(ge=0, description="Largest stress component left, GPa.")
    volume_ratio: float = Field(gt=0, description="Volume after over volume before.")
    space_group_number_before: int = Field(ge=1, le=230, description="International number.")
    space_group_number_after: int = Field(ge=1, le=230, description="International number.")

    @classmethod
    def from_result(cls, result: Relaxation) -> Self:
        """Take the numbers of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})

    def to_result(self) -> Relaxation:
        """Return the frozen result."""
        return Relaxation(**self.model_dump())


class CostRecord(Record):
    """What a prediction cost."""

    wall_seconds: float = Field(ge=0, description="Wall time in s.")
    cpu_seconds: float = Field(
        ge=0, description="Processor time of all cores in s; zero where it is not known."
    )
    force_seconds: float = Field(ge=0, description="Time in force calls in s.")
    force_calls: int = Field(ge=0, description="Number of force calls.")
    relaxation_steps: int = Field(ge=0, description="Number of relaxation steps.")

    @classmethod
    def from_result(cls, result: Cost) -> Self:
        """Take the numbers of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})

    def to_result(self) -> Cost:
        """Return the frozen result."""
        return Cost(**self.model_dump())


def _index_of(temperatures_k: Sequence[float], temperature_k: float) -> int | None:
    for index, value in enumerate(temperatures_k):
        if math.isclose(value, temperature_k, rel_tol=0.0, abs_tol=1e-6):
            return index
    return None


def _same_length(*curves: Sequence[float]) -> None:
    if len({len(curve) for curve in curves}) > 1:
        raise ValueError("the curves and the temperatures differ in length")
