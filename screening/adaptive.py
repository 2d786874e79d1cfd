r"""Fewer calculations in the large supercell where a small one is proven to do.

In crystals of low symmetry every displacement :math:`u` is computed together with
:math:`-u`, so that the forces that are even in :math:`u` (third order) cancel. The even part

.. math::
    E = [F(u) + F(-u)]/2 - F(0)

is short-ranged, unlike the harmonic forces for which the supercell has to be large. It is
therefore taken from a supercell a quarter as large, and :math:`F(-u) = 2 [F(0) + E] - F(u)`
replaces the second calculation in the large one. Nothing is lost where this is refused: the
opposite displacements are then computed as always.

It is accepted if the crystal is clearly stable and if the outermost shell of the even part
does not matter: the free energy at 300 K with the even part of the whole small supercell
and with its inner part agree within the tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.displacements import DisplacementPlan
from screening.harmonic import harmonic_from_forces, mesh_frequencies
from screening.phonons import (
    PhononSettings,
    displacement_plan,
    forces_of_plan,
    mean_force_data,
)
from screening.prediction import FloatArray, ForceData, frozen_array
from screening.spectra import lowest_frequency
from screening.supercell import image_distance_angstrom, supercell_candidates
from screening.supercell_symmetry import LatticeIndex, locate_atoms
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

__all__ = ["AdaptiveForces", "adaptive_forces"]

IntArray = NDArray[np.int64]

_SMALL_FRACTION = 0.25  # of the atoms of the standard supercell
_LEAST_IMAGE_DISTANCE_ANGSTROM = 4.5
_INNER_FRACTION = 0.9  # of the radius of the sphere inscribed in the small supercell
_CLEARLY_STABLE_THZ = 0.07
_HOPELESS_THZ = -0.5
_LEAST_SAVED_FRACTION = 0.25
_COARSE_MESH_LENGTH_ANGSTROM = 30.0
_TEMPERATURE_K = 300.0
_SAME_DISTANCE_ANGSTROM = 1e-3
_SHIFTS = np.array(list(np.ndindex(5, 5, 5))) - 2


@dataclass(frozen=True, eq=False)
class AdaptiveForces:
    """Forces with the record of how they were obtained.

    Attributes
    ----------
    force_data
        Forces of the calculator, or of the mean of a committee.
    members
        Forces of the members of a committee, else empty.
    small_matrix
        Supercell that was tried for the even part, None where none was.
    estimate_mev_per_atom
        Estimated error of the free energy at 300 K in meV/atom; None where none was tried or
        the crystal is not clearly stable.
    n_saved
        Number of displacements that were not computed in the standard supercell.
    """

    force_data: ForceData
    members: tuple[ForceData, ...]
    small_matrix: IntArray | None = None
    estimate_mev_per_atom: float | None = None
    n_saved: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of forces that were not computed."""
        if not self.n_saved or self.small_matrix is None:
            return ()
        n_atoms = abs(round(np.linalg.det(self.small_matrix))) * len(self.force_data.primitive)
        note = (
            f"The even part of the forces of {self.n_saved} displacements was taken from a"
            f" supercell of {n_atoms} atoms (estimated error of the free energy"
            f" {self.estimate_mev_per_atom:.2f} meV/atom at 300 K)"
        )
        return (note,)


class _Engine(Protocol):
    @property
    def displacement_angstrom(self) -> float: ...

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> FloatArray: ...


class _Calculator(_Engine, Protocol):
    @property
    def members(self) -> Sequence[_Engine]: ...


@dataclass(frozen=True, eq=False)
class _Split:
    """Which displacements of a plan are computed first, and the pairs among all of them."""

    kept: IntArray
    firsts: IntArray
    seconds: IntArray


def adaptive_forces(
    structure: Structure, calculator: _Calculator, settings: PhononSettings
) -> AdaptiveForces:
    """Compute forces, those of opposite displacements in a smaller supercell where proven equal.

    Parameters
    ----------
    structure
        Primitive cell.
    calculator
        Gives forces in eV/Å; the members of a committee are displaced alike.
    settings
        Standard supercell, displacement, and the tolerance of the estimate.

    Raises
    ------
    TooLargeError, NonFiniteForcesError, WrongShapeError
        As `screening.phonons.compute_forces`.
    """
    engines = tuple(calculator.members) or (calculator,)
    plan = displacement_plan(structure, calculator, settings)
    split = _split(plan)
    matrix = _small_supercell(structure, plan, split)
    if matrix is None:
        return _result([forces_of_plan(structure, engine, plan) for engine in engines])
    half = [forces_of_plan(structure, engine, plan.subset(split.kept)) for engine in engines]
    estimate = None
    if not _is_hopeless(mean_force_data(half), settings):
        small_plan = displacement_plan(
            structure, calculator, settings, matrix, plan.supercell_matrix
        ).subset(np.concatenate([split.firsts, split.seconds]))
        small = [forces_of_plan(structure, engine, small_plan) for engine in engines]
        estimate = _estimated_error(half, small, plan, split, settings)
        if estimate <= settings.adaptive_tolerance_mev_per_atom:
            completed = [_completed(*both, plan, split) for both in zip(half, small, strict=True)]
            return _result(completed, matrix, estimate, len(split.seconds))
    rest = [forces_of_plan(structure, engine, plan.subset(split.seconds)) for engine in engines]
    full = [
        _joined(plan, split, h, r.forces_ev_per_angstrom) for h, r in zip(half, rest, strict=True)
    ]
    return _result(full, matrix, estimate)


def _result(
    data: Sequence[ForceData],
    small_matrix: IntArray | None = None,
    estimate: float | None = None,
    n_saved: int = 0,
) -> AdaptiveForces:
    """Mean and members; the only member of a single calculator is the result itself."""
    members = tuple(data) if len(data) > 1 else ()
    mean = mean_force_data(members) if members else data[0]
    known = estimate if estimate is not None and np.isfinite(estimate) else None
    return AdaptiveForces(mean, members, small_matrix, known, n_saved)


def _split(plan: DisplacementPlan) -> _Split:
    """Find displacements that are followed by their opposite."""
    atoms, moves = plan.displaced_atoms, plan.displacements_angstrom
    opposite = (atoms[1:] == atoms[:-1]) & np.all(np.isclose(moves[1:], -moves[:-1]), axis=1)
    firsts = np.flatnonzero(opposite)
    kept = np.setdiff1d(np.arange(len(atoms)), firsts + 1)
    return _Split(kept, firsts, firsts + 1)


def _small_supercell(
    structure: Structure, plan: DisplacementPlan, split: _Split
) -> IntArray | None:
    """Return the largest supercell of at most a quarter of the atoms, None if not worth it."""
    n_pairs, n_atoms = len(split.firsts), len(plan.numbers)
    largest = int(_SMALL_FRACTION * n_atoms)
    if n_pairs == 0 or largest < len(structure):
        return None
    best = supercell_candidates(structure, largest)[-1]
    saved = n_pairs * (n_atoms - 2 * best.n_atoms) / (len(plan.displaced_atoms) * n_atoms)
    isolated = best.image_distance_angstrom >= _LEAST_IMAGE_DISTANCE_ANGSTROM
    return best.as_array() if isolated and saved >= _LEAST_SAVED_FRACTION else None


def _is_hopeless(half: ForceData, settings: PhononSettings) -> bool:
    """Whether the crystal is unstable by far, whatever the even part is."""
    harmonic = harmonic_from_forces(half, settings.symprec_angstrom)
    mesh = mesh_frequencies(harmonic, _COARSE_MESH_LENGTH_ANGSTROM)
    return lowest_frequency(mesh).frequency_thz < _HOPELESS_THZ


def _completed(
    half: ForceData,
    small: ForceData,
    plan: DisplacementPlan,
    split: _Split,
    radius_angstrom: float = np.inf,
) -> ForceData:
    """Add the opposite displacements, with the even part of the small supercell."""
    n_pairs = len(split.firsts)
    forward, backward = np.split(small.forces_ev_per_angstrom, [n_pairs])
    even = 0.5 * (forward + backward) - small.residual_forces_ev_per_angstrom
    mapper = _Mapper(small, half, radius_angstrom)
    positions = np.searchsorted(split.kept, split.firsts)
    opposite = np.empty((n_pairs, *half.residual_forces_ev_per_angstrom.shape))
    for pair, position in enumerate(positions):
        mapped = mapper.carry(
            even[pair], int(small.displaced_atoms[pair]), int(half.displaced_atoms[position])
        )
        still = half.residual_forces_ev_per_angstrom + mapped
        opposite[pair] = 2.0 * still - half.forces_ev_per_angstrom[position]
    return _joined(plan, split, half, opposite)


def _joined(
    plan: DisplacementPlan, split: _Split, half: ForceData, opposite: FloatArray
) -> ForceData:
    """Return forces of all displacements in the order of the plan."""
    forces = np.empty((len(plan.displaced_atoms), len(plan.numbers), 3))
    forces[split.kept] = half.forces_ev_per_angstrom
    forces[split.seconds] = opposite
    return replace(
        half,
        displaced_atoms=plan.displaced_atoms,
        displacements_angstrom=frozen_array(plan.displacements_angstrom),
        forces_ev_per_angstrom=frozen_array(forces),
    )


class _Mapper:
    """Carries forces around a displaced atom from a small supercell to a large one.

    Every atom of the small supercell stands for its image next to the displaced atom; images
    at the same distance share its force. Images beyond the radius are left out.
    """

    def __init__(self, small: ForceData, large: ForceData, radius_angstrom: float) -> None:
        self._small = _located(small)
        self._large = _located(large)
        self._index = LatticeIndex(np.asarray(large.supercell_matrix), *self._large)
        self._shifts = _SHIFTS @ np.asarray(small.supercell_matrix)
        self._primitive = small.primitive
        self._radius_angstrom = radius_angstrom

    def carry(self, forces: FloatArray, start: int, end: int) -> FloatArray:
        """Return forces on the atoms of the large supercell, shape (atom, 3)."""
        sites, cells = self._small
        images = (cells - cells[start])[:, None] + self._shifts[None]
        fractional = self._primitive.frac_coords
        offsets = images + (fractional[sites] - fractional[sites[start]])[:, None]
        distances = np.linalg.norm(offsets @ self._primitive.lattice.matrix, axis=2)
        nearest = distances.min(axis=1, keepdims=True)
        near = (distances < nearest + _SAME_DISTANCE_ANGSTROM) & (nearest <= self._radius_angstrom)
        atoms, which = np.nonzero(near)
        targets = self._index.find(sites[atoms], images[atoms, which] + self._large[1][end])
        carried = np.zeros((len(self._large[0]), 3))
        np.add.at(carried, targets, forces[atoms] / near.sum(axis=1)[atoms, None])
        return carried


def _located(data: ForceData) -> tuple[IntArray, IntArray]:
    return locate_atoms(
        data.primitive,
        np.asarray(data.supercell_matrix),
        data.supercell_scaled_positions,
        np.asarray(data.supercell_numbers),
    )


def _estimated_error(
    half: Sequence[ForceData],
    small: Sequence[ForceData],
    plan: DisplacementPlan,
    split: _Split,
    settings: PhononSettings,
) -> float:
    """Effect of the outermost shell on the free energy in meV/atom, infinite if not stable."""
    lattice = np.asarray(half[0].primitive.lattice.matrix)
    distance = image_distance_angstrom(lattice, np.asarray(small[0].supercell_matrix))
    radii = (np.inf, 0.5 * _INNER_FRACTION * distance)
    (whole, lowest), (inner, _) = (
        _free_energy_and_lowest(
            mean_force_data(
                [_completed(*b, plan, split, radius) for b in zip(half, small, strict=True)]
            ),
            settings,
        )
        for radius in radii
    )
    return abs(whole - inner) if lowest > _CLEARLY_STABLE_THZ else np.inf


def _free_energy_and_lowest(data: ForceData, settings: PhononSettings) -> tuple[float, float]:
    """Free energy of vibration at 300 K in meV/atom and the lowest frequency in THz."""
    harmonic = harmonic_from_forces(data, settings.symprec_angstrom)
    mesh = mesh_frequencies(harmonic, settings.mesh_length_angstrom)
    result = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        len(data.primitive),
        ThermodynamicsSettings((_TEMPERATURE_K,)),
        is_gamma=mesh.is_gamma,
    )
    lowest = lowest_frequency(mesh).frequency_thz
    return float(result.free_energy_mev_per_atom[0]), lowest
