"""Settings and results of lattice thermal conductivity.

Linewidths are half widths at half maximum of ordinary frequencies in THz, as phono3py gives
them: a mode of linewidth g lives for 1 / (4 pi g) ps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from screening.errors import SettingError
from screening.prediction import FloatArray, frozen_array
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM

__all__ = [
    "DEFAULT_CONDUCTIVITY_MESH_LENGTH_ANGSTROM",
    "ConductivityMethod",
    "ConductivitySettings",
    "CumulativeConductivity",
    "ModeCoordinate",
    "ThermalConductivity",
    "cumulative_conductivity",
    "lifetimes_ps",
]

DEFAULT_CONDUCTIVITY_MESH_LENGTH_ANGSTROM = 40.0
"""Thirteen points along each vector of silicon's primitive reciprocal lattice."""

_SPACE_DIMENSION = 3


class ConductivityMethod(StrEnum):
    """How the linearised Boltzmann equation of phonons is solved."""

    RELAXATION_TIME = "rta"
    DIRECT = "direct"


class ModeCoordinate(StrEnum):
    """What a conductivity is accumulated over."""

    FREQUENCY = "frequency"
    MEAN_FREE_PATH = "mean_free_path"


@dataclass(frozen=True)
class ConductivitySettings:
    """How a thermal conductivity is computed.

    Attributes
    ----------
    mesh_length_angstrom
        Length of the wave-vector mesh in Å: along a reciprocal vector b (without 2 pi) the
        mesh has this length times the norm of b points. Not used where ``mesh`` is given.
    mesh
        Number of points along the three primitive reciprocal vectors, or None.
    temperatures_k
        Temperatures in K, all above zero.
    method
        Relaxation-time approximation, or direct solution of the linearised Boltzmann equation.
    isotopes
        Whether phonons scatter at natural isotopes. On by default, as in real crystals;
        documented calculations mostly leave them out: in silicon at 300 K they take six
        percent of the conductivity, in MgO a fifth.
    boundary_mean_free_path_micrometre
        Distance after which every phonon is scattered at a boundary in µm; None is a crystal
        without boundaries.
    symprec_angstrom
        Tolerance of the symmetry search in Å.
    """

    mesh_length_angstrom: float = DEFAULT_CONDUCTIVITY_MESH_LENGTH_ANGSTROM
    mesh: tuple[int, int, int] | None = None
    temperatures_k: tuple[float, ...] = (300.0,)
    method: ConductivityMethod = ConductivityMethod.RELAXATION_TIME
    isotopes: bool = True
    boundary_mean_free_path_micrometre: float | None = None
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperatures_k", tuple(map(float, self.temperatures_k)))
        object.__setattr__(self, "method", _method(self.method))
        object.__setattr__(self, "mesh", None if self.mesh is None else _whole_mesh(self.mesh))
        positive: dict[str, Sequence[float | None]] = {
            "boundary_mean_free_path_micrometre": [self.boundary_mean_free_path_micrometre],
            "mesh_length_angstrom": [self.mesh_length_angstrom],
            "symprec_angstrom": [self.symprec_angstrom],
            "temperatures_k": self.temperatures_k,
        }
        for name, values in positive.items():
            if not all(value is None or 0.0 < value < math.inf for value in values):
                raise SettingError(
                    f"{values} where positive and finite numbers are needed",
                    subject=name,
                    hint="Give positive numbers; at 0 K a perfect crystal has no finite"
                    " conductivity",
                )
        if not self.temperatures_k:
            raise SettingError("no temperature", subject="temperatures_k", hint="Give one in K")


def _method(name: str) -> ConductivityMethod:
    try:
        return ConductivityMethod(name)
    except ValueError as error:
        raise SettingError(
            f"{name!r} is no method", subject="method", hint="Give 'rta' or 'direct'"
        ) from error


def _whole_mesh(mesh: Sequence[int]) -> tuple[int, int, int]:
    numbers = np.asarray(mesh)
    if numbers.shape != (_SPACE_DIMENSION,) or numbers.dtype.kind not in "iu" or numbers.min() < 1:
        raise SettingError(
            f"{mesh} is no mesh", subject="mesh", hint="Give three whole numbers above zero"
        )
    first, second, third = (int(number) for number in numbers)
    return first, second, third


@dataclass(frozen=True, eq=False)
class ThermalConductivity:
    """Lattice thermal conductivity and the modes that carry it.

    Modes are those of the irreducible points of the mesh, each once: points at the border of
    the Brillouin zone are not repeated.

    Attributes
    ----------
    method, mesh
        How it was computed, and the number of points along the vectors of the mesh.
    temperatures_k
        In K, shape (temperature,).
    conductivity_w_per_m_k
        In W/m/K, shape (temperature, 3, 3).
    relaxation_time_conductivity_w_per_m_k
        The same in the relaxation-time approximation; equal unless the method is direct.
    q_points
        Fractions of the primitive reciprocal lattice, shape (q, 3).
    weights
        Fraction of the mesh that each point stands for, shape (q,); they sum to one.
    frequencies_thz
        In THz, shape (q, branch); zero for the translations of the crystal.
    group_velocities_angstrom_per_ps
        In Å/ps (100 m/s), shape (q, branch, 3).
    heat_capacities_ev_per_k
        Heat capacity of each mode in eV/K, shape (temperature, q, branch).
    linewidths_thz
        Half widths at half maximum in THz of all scattering together, phonons, isotopes and
        boundaries, shape (temperature, q, branch).
    isotope_linewidths_thz
        The part of isotopes, shape (q, branch); zero where it is left out.
    lifetimes_ps
        ``1 / (4 pi linewidth)`` in ps, shape (temperature, q, branch). Zero for modes that
        are not scattered and carry no heat: translations, and modes without group velocity
        that no others can decay into.
    mode_conductivities_w_per_m_k
        Contribution of each mode and all that symmetry makes of it, weights included, shape
        (temperature, q, branch, 3, 3); they sum to the conductivity.
    """

    method: ConductivityMethod
    mesh: tuple[int, int, int]
    temperatures_k: FloatArray
    conductivity_w_per_m_k: FloatArray
    relaxation_time_conductivity_w_per_m_k: FloatArray
    q_points: FloatArray
    weights: FloatArray
    frequencies_thz: FloatArray
    group_velocities_angstrom_per_ps: FloatArray
    heat_capacities_ev_per_k: FloatArray
    linewidths_thz: FloatArray
    isotope_linewidths_thz: FloatArray
    lifetimes_ps: FloatArray
    mode_conductivities_w_per_m_k: FloatArray

    @cached_property
    def mean_free_paths_angstrom(self) -> FloatArray:
        """Group velocity times lifetime in Å, shape (temperature, q, branch)."""
        speeds = np.linalg.norm(self.group_velocities_angstrom_per_ps, axis=2)
        return frozen_array(speeds * self.lifetimes_ps)

    @property
    def mean_conductivity_w_per_m_k(self) -> FloatArray:
        """Mean of the three principal conductivities in W/m/K, shape (temperature,)."""
        trace = np.trace(self.conductivity_w_per_m_k, axis1=1, axis2=2)
        return frozen_array(trace / _SPACE_DIMENSION)


@dataclass(frozen=True, eq=False)
class CumulativeConductivity:
    """Conductivity of all modes up to a frequency or a mean free path.

    Attributes
    ----------
    coordinate
        Frequency in THz or mean free path in Å of every mode, ascending, shape (mode,).
    conductivity_w_per_m_k
        Conductivity of the modes up to this one in W/m/K, shape (mode, 3, 3).
    """

    coordinate: FloatArray
    conductivity_w_per_m_k: FloatArray


def lifetimes_ps(linewidths_thz: FloatArray) -> FloatArray:
    """Lifetimes in ps from half widths at half maximum in THz; zero where there is no width.

    Examples
    --------
    >>> lifetimes_ps(np.array([0.0, 0.1])).round(6).tolist()
    [0.0, 0.795775]
    """
    widths = np.asarray(linewidths_thz, dtype=np.float64)
    lifetimes = np.zeros_like(widths)
    np.divide(1.0, 4.0 * np.pi * widths, out=lifetimes, where=widths > 0.0)
    return lifetimes


def cumulative_conductivity(
    result: ThermalConductivity,
    coordinate: ModeCoordinate = ModeCoordinate.MEAN_FREE_PATH,
    temperature_index: int = 0,
) -> CumulativeConductivity:
    """Accumulate the conductivity over frequency or mean free path, without smearing.

    Parameters
    ----------
    result
        Conductivity with its modes.
    coordinate
        What to accumulate over.
    temperature_index
        Position of the temperature in the result.
    """
    if ModeCoordinate(coordinate) is ModeCoordinate.FREQUENCY:
        values = result.frequencies_thz.ravel()
    else:
        values = result.mean_free_paths_angstrom[temperature_index].ravel()
    modes = result.mode_conductivities_w_per_m_k[temperature_index].reshape(-1, 3, 3)
    order = np.argsort(values, kind="stable")
    return CumulativeConductivity(
        frozen_array(values[order]), frozen_array(np.cumsum(modes[order], axis=0))
    )
