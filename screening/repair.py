"""Repair of a dynamically unstable crystal: follow its imaginary mode to a lower structure.

The crystal is displaced along the lowest imaginary mode by several amplitudes; from the
lowest energy found it is relaxed within the symmetry that the displacement leaves.

References
----------
I. Pallikara et al., Electron. Struct. 4, 033002 (2022) (following imaginary modes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from screening.calculators.checks import check_elements
from screening.digest import digest_of
from screening.displacements import plan_displacements
from screening.duplicates import RELAXED_TOLERANCES, same_crystal
from screening.errors import (
    NoImaginaryModeError,
    NoLowerStructureError,
    RelaxedBackError,
    SettingError,
)
from screening.harmonic import harmonic_from_forces
from screening.imaginary_modes import (
    ImaginaryMode,
    imaginary_mode,
    q_point_text,
    unsampled_supercell,
)
from screening.phonons import forces_of_plan
from screening.prediction import FloatArray, ForceData, Relaxation, frozen_array
from screening.relaxation import RelaxationSettings, relax
from screening.structure import Crystal, canonical_crystal
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM
from screening.units import EV_TO_MEV

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator

__all__ = [
    "LineScan",
    "Repair",
    "RepairSettings",
    "find_mode",
    "repair_structure",
    "same_relaxed",
    "scan_mode",
]

MAX_AMPLITUDE_ANGSTROM = 1.0
_RESTORED_SYMPREC_ANGSTROM = 0.02  # a relaxation restores a lost symmetry to about this much


def _relaxation() -> RelaxationSettings:
    # A tenth of the usual tolerance, for small parts of the displacement break the symmetry too;
    # and more room than usual, for another structure may have another volume.
    return RelaxationSettings(symprec_angstrom=1e-4, max_volume_ratio=1.5)


@dataclass(frozen=True)
class RepairSettings:
    """How far a mode is followed.

    Attributes
    ----------
    amplitudes_angstrom
        Largest displacement of an atom in Å, of every step along the mode.
    max_atoms
        Largest cell that may hold the mode.
    threshold_thz
        A mode below this frequency is imaginary, in THz.
    combine_degenerate
        Follow the sum of all modes with the lowest frequency instead of the first of them.
    least_gain_mev_per_atom
        A structure that is lower by less counts as equal, in meV/atom: energies in single
        precision are no better than this.
    relaxation
        How the displaced crystal is relaxed.

    Raises
    ------
    SettingError
        If amplitudes are not ascending or out of range, or a limit has the wrong sign.
    """

    amplitudes_angstrom: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
    max_atoms: int = 64
    threshold_thz: float = -0.1
    combine_degenerate: bool = False
    least_gain_mev_per_atom: float = 0.01
    relaxation: RelaxationSettings = field(default_factory=_relaxation)

    def __post_init__(self) -> None:
        steps = (0.0, *self.amplitudes_angstrom)
        if len(steps) == 1 or not all(a < b <= MAX_AMPLITUDE_ANGSTROM for a, b in pairwise(steps)):
            raise SettingError(
                f"are {', '.join(f'{a:g}' for a in self.amplitudes_angstrom) or 'none'}",
                subject="amplitudes_angstrom",
                hint=f"Give ascending lengths above 0 and up to {MAX_AMPLITUDE_ANGSTROM:g} Å",
            )
        if self.max_atoms < 1:
            raise SettingError(f"is {self.max_atoms}, must be positive", subject="max_atoms")
        if not -np.inf < self.threshold_thz < 0:
            raise SettingError(f"is {self.threshold_thz}, must be below 0", subject="threshold_thz")
        if not 0 <= self.least_gain_mev_per_atom < np.inf:
            raise SettingError(
                f"is {self.least_gain_mev_per_atom}, must not be negative",
                subject="least_gain_mev_per_atom",
            )

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON."""
        return asdict(self) | {"amplitudes_angstrom": list(self.amplitudes_angstrom)}

    @property
    def digest(self) -> str:
        """SHA-256 of the settings."""
        return digest_of(self.as_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> RepairSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown, of a wrong type or out of range.
        """
        from pydantic import TypeAdapter, ValidationError

        unknown = sorted(set(values) - {one.name for one in fields(cls)})
        if unknown:
            raise SettingError("unknown setting of a repair", subject=", ".join(unknown))
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except (ValidationError, TypeError, ValueError) as error:
            raise SettingError(f"settings of a repair cannot be read: {error}") from error


@dataclass(frozen=True, eq=False)
class LineScan:
    """Energies along a mode.

    Attributes
    ----------
    amplitudes_angstrom
        Largest displacement of an atom in Å, negative against the pattern, shape (step,).
    energies_mev_per_atom
        Energy above the undistorted crystal's in meV/atom, shape (step,).
    undistorted_ev_per_atom
        Energy of the undistorted crystal in eV/atom.
    """

    amplitudes_angstrom: FloatArray
    energies_mev_per_atom: FloatArray
    undistorted_ev_per_atom: float

    @property
    def lowest(self) -> tuple[float, float]:
        """Amplitude in Å and energy in meV/atom of the lowest step."""
        index = int(np.argmin(self.energies_mev_per_atom))
        return float(self.amplitudes_angstrom[index]), float(self.energies_mev_per_atom[index])


@dataclass(frozen=True, eq=False)
class Repair:
    """A lower structure that an imaginary mode leads to.

    Attributes
    ----------
    crystal
        The structure found.
    mode, scan
        The mode that was followed, and the energies along it.
    amplitude_angstrom
        Where along the mode the relaxation began, in Å.
    energy_ev_per_atom
        Energy of the structure found, in eV/atom.
    gain_mev_per_atom
        How far it lies below the crystal that was repaired, in meV/atom.
    relaxation
        How it was relaxed.
    relation
        All this in one sentence.
    """

    crystal: Crystal
    mode: ImaginaryMode
    scan: LineScan
    amplitude_angstrom: float
    energy_ev_per_atom: float
    gain_mev_per_atom: float
    relaxation: Relaxation
    relation: str


def repair_structure(
    forces: ForceData,
    calculator: ForceCalculator,
    settings: RepairSettings | None = None,
    *,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> Repair:
    """Follow the lowest imaginary mode of a crystal and relax where it leads.

    Parameters
    ----------
    forces
        Forces of the displaced supercells of the unstable crystal.
    calculator
        Where energies come from; the crystal should be relaxed with it.
    settings
        How far to go.
    symprec_angstrom
        Tolerance in Å of the symmetry of the unstable crystal.

    Raises
    ------
    NoImaginaryModeError
        If there is no imaginary mode that can be followed.
    NoLowerStructureError
        If the energy does not fall along the mode, or nothing lower is left after relaxing.
    RelaxedBackError
        If the relaxation ends where it began.
    ComputationError, ModelError
        As the calculator and `screening.relaxation.relax` say.
    """
    settings = settings or RepairSettings()
    subject = forces.primitive.composition.reduced_formula
    check_elements(calculator, np.array(forces.primitive.atomic_numbers), subject=subject)
    mode = find_mode(forces, calculator, settings, symprec_angstrom)
    scan = scan_mode(mode, calculator, settings)
    amplitude, depth = scan.lowest
    if depth > -settings.least_gain_mev_per_atom:
        raise NoLowerStructureError(
            f"no lower structure along the mode of {_mode_text(mode)}: the energy changes by "
            f"{depth:+.3f} meV/atom at best, at {amplitude:g} Å",
            subject=subject,
            hint="Give other amplitudes; or the mode is an artefact of the supercell",
        )
    relaxed, record, energy, _ = relax(mode.distorted(amplitude), calculator, settings.relaxation)
    crystal = canonical_crystal(
        relaxed, subject=subject, symprec_angstrom=_RESTORED_SYMPREC_ANGSTROM / 2
    )
    gain = (scan.undistorted_ev_per_atom - energy) * EV_TO_MEV
    _check_progress(forces.primitive, crystal, gain, settings)
    return Repair(
        crystal=crystal,
        mode=mode,
        scan=scan,
        amplitude_angstrom=amplitude,
        energy_ev_per_atom=energy,
        gain_mev_per_atom=gain,
        relaxation=record,
        relation=_relation(mode, amplitude, settings, calculator.name),
    )


def find_mode(
    forces: ForceData,
    calculator: ForceCalculator,
    settings: RepairSettings,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> ImaginaryMode:
    """Find the mode to follow, with more forces where the supercell only interpolates it.

    Raises
    ------
    NoImaginaryModeError
        If there is no imaginary mode that can be followed.
    """
    harmonics = [harmonic_from_forces(forces, symprec_angstrom)]
    limit = max(settings.max_atoms, len(forces.supercell_numbers))
    matrix = unsampled_supercell(
        harmonics[0],
        max_atoms=settings.max_atoms,
        max_supercell_atoms=limit,
        threshold_thz=settings.threshold_thz,
    )
    if matrix is not None:
        length = float(np.linalg.norm(forces.displacements_angstrom[0]))
        plan = plan_displacements(forces.primitive, matrix, length, symprec_angstrom)
        more = forces_of_plan(forces.primitive, calculator, plan)
        harmonics.append(harmonic_from_forces(more, symprec_angstrom))
    found: list[ImaginaryMode] = []
    for harmonic in harmonics:
        try:
            found.append(
                imaginary_mode(
                    harmonic,
                    max_atoms=settings.max_atoms,
                    threshold_thz=settings.threshold_thz,
                    combine_degenerate=settings.combine_degenerate,
                )
            )
        except NoImaginaryModeError:
            if harmonic is harmonics[-1] and not found:
                raise
    return min(found, key=lambda mode: mode.frequency_thz)


def scan_mode(
    mode: ImaginaryMode, calculator: ForceCalculator, settings: RepairSettings
) -> LineScan:
    """Compute the energies along a mode; in both directions where they lead to two crystals."""
    forward = np.array(settings.amplitudes_angstrom)
    farthest = (canonical_crystal(mode.distorted(sign * forward[-1])) for sign in (1, -1))
    is_even = len({crystal.digest for crystal in farthest}) == 1
    amplitudes = forward if is_even else np.concatenate([forward, -forward])
    cell = np.array(mode.undistorted.lattice.matrix)
    numbers = np.array(mode.undistorted.atomic_numbers, dtype=np.int64)
    still = np.array(mode.undistorted.cart_coords)
    energies = np.array(
        [
            calculator.energy(cell, still + amplitude * mode.pattern, numbers)
            for amplitude in (0.0, *amplitudes)
        ]
    ) / len(numbers)
    return LineScan(
        amplitudes_angstrom=frozen_array(amplitudes),
        energies_mev_per_atom=frozen_array((energies[1:] - energies[0]) * EV_TO_MEV),
        undistorted_ev_per_atom=float(energies[0]),
    )


def same_relaxed(first: Structure, second: Structure) -> bool:
    """Whether two structures are one crystal, relaxed from two sides.

    Lengths within 0.5 %, angles within 0.5°, positions within 0.05 Å, after both were brought
    to their primitive cell at 0.02 Å and to one volume per atom: how far one of them was
    relaxed makes no other crystal.
    """
    one, two = (
        canonical_crystal(each, symprec_angstrom=_RESTORED_SYMPREC_ANGSTROM)
        for each in (first, second)
    )
    if (one.space_group_number, one.n_atoms) != (two.space_group_number, two.n_atoms):
        return False
    scaled = two.structure.copy().scale_lattice(one.structure.volume)
    return same_crystal(one.structure, scaled, RELAXED_TOLERANCES)


def _check_progress(
    parent: Structure, crystal: Crystal, gain: float, settings: RepairSettings
) -> None:
    if same_relaxed(parent, crystal.structure):
        raise RelaxedBackError(
            "the displaced crystal relaxed back to where it came from",
            subject=crystal.formula,
            hint="Try larger amplitudes, or the sum of the degenerate modes",
        )
    if gain <= settings.least_gain_mev_per_atom:
        raise NoLowerStructureError(
            f"the relaxed structure lies {-gain:+.3f} meV/atom from the undistorted one",
            subject=crystal.formula,
            hint="Relax the crystal with this calculator and predict it again",
        )


def _mode_text(mode: ImaginaryMode) -> str:
    return f"{mode.frequency_thz:.2f} THz at q = {q_point_text(mode.q_point)}"


def _relation(
    mode: ImaginaryMode, amplitude: float, settings: RepairSettings, calculator: str
) -> str:
    """One sentence for people; no number of it is read back."""
    combined = settings.combine_degenerate and mode.degeneracy > 1
    which = f"sum of the {mode.degeneracy} imaginary modes" if combined else "imaginary mode"
    return (
        f"followed the {which} of {_mode_text(mode)}, amplitude {abs(amplitude):g} Å, "
        f"relaxed with {calculator}"
    )
