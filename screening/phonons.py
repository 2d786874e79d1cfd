"""Harmonic phonons of a crystal from the forces of displaced supercells.

The way: `compute_forces` (or `force_data_from_phonopy_yaml`) gives `ForceData`, the smallest
record worth keeping; `harmonic_from_forces` turns it into force constants; frequencies at any
wave vector follow. phonopy does the lattice dynamics, this module and its neighbours
(`supercell`, `displacements`, `force_constants`, `spectra`) are the only ones that know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.displacements import DisplacementPlan, plan_displacements
from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    SettingError,
    WrongShapeError,
)
from screening.harmonic import (
    DEFAULT_MESH_LENGTH_ANGSTROM,
    Harmonic,
    MeshFrequencies,
    frequencies_at,
    harmonic_from_forces,
    mesh_frequencies,
)
from screening.prediction import FloatArray, ForceData, frozen_array
from screening.supercell import SupercellSettings, choose_supercell
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM

__all__ = [
    "DEFAULT_MESH_LENGTH_ANGSTROM",
    "Harmonic",
    "MeshFrequencies",
    "PhononSettings",
    "check_forces",
    "check_mass",
    "compute_forces",
    "compute_member_forces",
    "displacement_plan",
    "force_data_from_phonopy_yaml",
    "forces_of_plan",
    "frequencies_at",
    "harmonic_from_forces",
    "mean_force_data",
    "mesh_frequencies",
]

IntArray = NDArray[np.int64]

_INTEGER_TOLERANCE = 1e-3
MAX_DISPLACEMENT_ANGSTROM = 0.2
MAX_MASS_DIFFERENCE = 5e-3  # tables of natural masses differ by less, isotopes by more


class _Forces(Protocol):
    """The part of a force calculator that phonons need."""

    @property
    def displacement_angstrom(self) -> float: ...

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> FloatArray: ...


class _Committee(_Forces, Protocol):
    @property
    def members(self) -> Sequence[_Forces]: ...


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed.

    Attributes
    ----------
    supercell
        Limits of the supercell.
    displacement_angstrom
        Finite displacement in Å; None takes the one the calculator recommends.
    mesh_length_angstrom
        Length of the wave-vector mesh in Å: the mesh along a reciprocal vector b (without
        2 pi) has this length times the norm of b points.
    symprec_angstrom
        Tolerance of the symmetry search in Å.
    adaptive
        Whether a smaller supercell is taken where it is proven equal (see
        `screening.adaptive`).
    adaptive_tolerance_mev_per_atom
        Largest estimated error of the free energy at 300 K in meV/atom for that.
    """

    supercell: SupercellSettings = field(default_factory=SupercellSettings)
    displacement_angstrom: float | None = None
    mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM
    adaptive: bool = False
    adaptive_tolerance_mev_per_atom: float = 0.5

    def __post_init__(self) -> None:
        positive = {
            "adaptive_tolerance_mev_per_atom": self.adaptive_tolerance_mev_per_atom,
            "displacement_angstrom": self.displacement_angstrom,
            "mesh_length_angstrom": self.mesh_length_angstrom,
            "symprec_angstrom": self.symprec_angstrom,
        }
        for name, value in positive.items():
            if value is not None and not 0.0 < value < np.inf:
                raise SettingError(
                    f"{value} is not positive and finite",
                    subject=name,
                    hint="Give a positive number",
                )
        if (self.displacement_angstrom or 0.0) > MAX_DISPLACEMENT_ANGSTROM:
            raise SettingError(
                f"{self.displacement_angstrom} Å is far from harmonic",
                subject="displacement_angstrom",
                hint=f"Give at most {MAX_DISPLACEMENT_ANGSTROM} Å, usually 0.01 to 0.03 Å",
            )


def compute_forces(
    structure: Structure,
    calculator: _Forces,
    settings: PhononSettings,
    supercell_matrix: IntArray | None = None,
    axes_matrix: IntArray | None = None,
) -> ForceData:
    """Compute the forces of all displacements that the force constants need.

    The residual forces of the undisplaced crystal are computed on the primitive cell, whose
    repetition they are.

    Parameters
    ----------
    structure
        Primitive cell.
    calculator
        Gives forces in eV/Å for a stack of positions.
    settings
        Supercell, displacement and symmetry tolerance.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3); None chooses
        by the settings.
    axes_matrix
        Supercell along whose vectors atoms are displaced, see `plan_displacements`.

    Raises
    ------
    TooLargeError
        If the primitive cell has more atoms than the supercell may have.
    NonFiniteForcesError, WrongShapeError
        If the calculator's forces cannot be used.
    """
    plan = displacement_plan(structure, calculator, settings, supercell_matrix, axes_matrix)
    return forces_of_plan(structure, calculator, plan)


def compute_member_forces(
    structure: Structure,
    committee: _Committee,
    settings: PhononSettings,
    supercell_matrix: IntArray | None = None,
    axes_matrix: IntArray | None = None,
) -> tuple[ForceData, ...]:
    """Compute the forces of every member of a committee at the same displacements.

    Parameters and errors are those of `compute_forces`.
    """
    plan = displacement_plan(structure, committee, settings, supercell_matrix, axes_matrix)
    return tuple(forces_of_plan(structure, member, plan) for member in committee.members)


def mean_force_data(members: Sequence[ForceData]) -> ForceData:
    """Return the forces averaged over a committee.

    Raises
    ------
    InconsistentDataError
        If there is no member, or the members were displaced differently.
    """
    if not members:
        raise InconsistentDataError("a committee has no members to average")
    first = members[0]
    for other in members[1:]:
        if not (
            np.array_equal(other.displaced_atoms, first.displaced_atoms)
            and np.array_equal(other.displacements_angstrom, first.displacements_angstrom)
            and np.array_equal(other.supercell_matrix, first.supercell_matrix)
        ):
            raise InconsistentDataError("members of a committee were displaced differently")
    return replace(
        first,
        forces_ev_per_angstrom=frozen_array(
            np.mean([m.forces_ev_per_angstrom for m in members], axis=0)
        ),
        residual_forces_ev_per_angstrom=frozen_array(
            np.mean([m.residual_forces_ev_per_angstrom for m in members], axis=0)
        ),
    )


def displacement_plan(
    structure: Structure,
    calculator: _Forces,
    settings: PhononSettings,
    supercell_matrix: IntArray | None = None,
    axes_matrix: IntArray | None = None,
) -> DisplacementPlan:
    """Choose supercell and displacements as `compute_forces` does."""
    length = settings.displacement_angstrom
    if supercell_matrix is None:
        supercell_matrix = choose_supercell(
            structure, settings.supercell, settings.symprec_angstrom
        )
    return plan_displacements(
        structure,
        supercell_matrix,
        calculator.displacement_angstrom if length is None else length,
        settings.symprec_angstrom,
        axes_matrix,
    )


def forces_of_plan(structure: Structure, calculator: _Forces, plan: DisplacementPlan) -> ForceData:
    """Compute the forces of a plan and the residual forces, as `compute_forces` does."""
    forces = calculator.forces(plan.lattice, plan.positions_angstrom, plan.numbers)
    primitive_numbers = np.array([int(site.specie.Z) for site in structure], dtype=np.int64)
    still = calculator.forces(
        np.array(structure.lattice.matrix), np.array(structure.cart_coords)[None], primitive_numbers
    )
    check_forces(forces, (len(plan.displaced_atoms), len(plan.numbers), 3))
    check_forces(still, (1, len(structure), 3))
    return ForceData(
        primitive=structure,
        supercell_matrix=plan.supercell_matrix,
        supercell_scaled_positions=frozen_array(plan.scaled_positions),
        supercell_numbers=plan.numbers,
        displaced_atoms=plan.displaced_atoms,
        displacements_angstrom=frozen_array(plan.displacements_angstrom),
        forces_ev_per_angstrom=frozen_array(forces),
        residual_forces_ev_per_angstrom=frozen_array(still[0][plan.sites]),
    )


def check_forces(forces: FloatArray, shape: tuple[int, ...]) -> None:
    """Refuse computed forces that cannot be used.

    Parameters
    ----------
    forces
        In eV/Å.
    shape
        The shape they must have.

    Raises
    ------
    WrongShapeError, NonFiniteForcesError
        If they have another shape or are not finite.
    """
    if np.shape(forces) != shape:
        raise WrongShapeError(
            f"forces of shape {np.shape(forces)} where {shape} is needed", subject="forces"
        )
    if not np.all(np.isfinite(forces)):
        raise NonFiniteForcesError("a force is not finite", subject="forces")


def force_data_from_phonopy_yaml(data: Mapping[str, Any]) -> ForceData:
    """Read forces, cells and Born charges from the content of a phonopy yaml file.

    Parameters
    ----------
    data
        What a safe loader makes of ``phonopy.yaml`` or ``phonopy_params.yaml`` with forces.

    Raises
    ------
    InconsistentDataError
        If cells or forces are missing, or not of the shape that phonopy writes.
    """
    try:
        primitive = _yaml_cell(data["primitive_cell"])
        supercell = _yaml_cell(data["supercell"])
        entries = _yaml_displacements(data)
        born, dielectric = _yaml_nac(data)
        return ForceData(
            primitive=primitive,
            supercell_matrix=_whole(supercell.lattice.matrix @ primitive.lattice.inv_matrix),
            supercell_scaled_positions=frozen_array(supercell.frac_coords),
            supercell_numbers=np.array([site.specie.Z for site in supercell], dtype=np.int64),
            displaced_atoms=np.array([int(e["atom"]) - 1 for e in entries], dtype=np.int64),
            displacements_angstrom=frozen_array([e["displacement"] for e in entries]),
            forces_ev_per_angstrom=frozen_array([e["forces"] for e in entries]),
            residual_forces_ev_per_angstrom=frozen_array(np.zeros((len(supercell), 3))),
            born_charges_e=born,
            dielectric_constant=dielectric,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InconsistentDataError(
            f"no phonopy data with forces: {type(error).__name__}: {error}",
            hint="Give the file that phonopy-init --fz or --sp writes, with forces in it",
        ) from error


def _yaml_cell(cell: Mapping[str, Any]) -> Structure:
    points = cell["points"]
    symbols = [Element(str(point["symbol"])) for point in points]
    for element, point in zip(symbols, points, strict=True):
        check_mass(element, point.get("mass"))
    return Structure(cell["lattice"], symbols, [point["coordinates"] for point in points])


def check_mass(element: Element, mass_amu: float | None) -> None:
    """Refuse isotopes: a structure here knows its elements, so their masses would be lost.

    Raises
    ------
    InconsistentDataError
        If the mass in amu is another than that of the natural element.
    """
    natural = float(element.atomic_mass)
    if mass_amu is not None and abs(float(mass_amu) - natural) > MAX_MASS_DIFFERENCE * natural:
        raise InconsistentDataError(
            f"{element.symbol} has the mass {mass_amu} where the element has {natural}",
            subject="mass",
            hint="Isotopes are not supported; remove the masses to use the natural ones",
        )


def _yaml_displacements(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    entries = data["displacements"]
    if not entries or not isinstance(entries[0], Mapping):
        raise InconsistentDataError(
            "the file displaces all atoms at once",
            subject="displacements",
            hint="Learn force constants from it with: phonoscreen gp fit FILE",
        )
    return list(entries)


def _yaml_nac(data: Mapping[str, Any]) -> tuple[FloatArray | None, FloatArray | None]:
    nac = data.get("nac")
    if nac is None:
        return None, None
    return frozen_array(nac["born_effective_charge"]), frozen_array(nac["dielectric_constant"])


def _whole(matrix: FloatArray) -> IntArray:
    rounded = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - rounded).max() > _INTEGER_TOLERANCE:
        raise InconsistentDataError("the supercell is no multiple of the primitive cell")
    return rounded
