"""Several calculators as one: the mean of their energies, forces and stresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from screening.calculators.interface import ForceCalculator, IndexArray
from screening.digest import digest_of
from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = ["Committee", "joined"]

_MIN_MEMBERS = 2


@dataclass(frozen=True)
class Committee:
    """The mean of several calculators.

    Attributes
    ----------
    members
        At least two calculators, no two with the same digest.
    called
        What the name says in place of the names of the members; empty for those.

    Raises
    ------
    SettingError
        If there are fewer than two members or two are the same.
    """

    members: tuple[ForceCalculator, ...]
    called: str = ""

    def __post_init__(self) -> None:
        if len({member.digest for member in self.members}) < max(_MIN_MEMBERS, len(self.members)):
            names = ", ".join(member.name for member in self.members)
            raise SettingError(
                f"a committee needs two or more different members, not ({names})",
                subject="calculator",
            )

    @cached_property
    def name(self) -> str:
        """What it is called, or the names of the members in the order given."""
        return self.called or ",".join(member.name for member in self.members)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of the members, in any order."""
        return digest_of({"committee": sorted(member.digest for member in self.members)})

    @cached_property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers that all members know."""
        known = [member.elements for member in self.members if member.elements is not None]
        return frozenset.intersection(*known) if known else None

    @cached_property
    def displacement_angstrom(self) -> float:
        """The largest of the recommended displacements, which the roughest member needs."""
        return max(member.displacement_angstrom for member in self.members)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Notes of all members, each once."""
        return tuple(dict.fromkeys(note for member in self.members for note in member.notes))

    @cached_property
    def is_first_principles(self) -> bool:
        """Whether all members solve for the electrons."""
        return all(member.is_first_principles for member in self.members)

    @cached_property
    def settings(self) -> Mapping[str, object]:
        """Settings of the members, in their order; empty where no member has any."""
        if not any(member.settings for member in self.members):
            return {}
        return {"members": [{"name": one.name, **one.settings} for one in self.members]}

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute mean forces in eV/Å, shape (copy, atom, 3)."""
        return _mean([member.forces(cell, positions, numbers) for member in self.members])

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the mean energy in eV."""
        return float(np.mean([m.energy(cell, positions, numbers) for m in self.members]))

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute mean energy in eV, forces in eV/Å and stress in eV/Å^3."""
        results = [member.energy_forces_stress(cell, positions, numbers) for member in self.members]
        energies, forces, stresses = zip(*results, strict=True)
        return float(np.mean(energies)), _mean(forces), _mean(stresses)


def joined(parts: Sequence[ForceCalculator]) -> ForceCalculator:
    """Make one calculator of several, each of which may be a committee itself.

    Parameters
    ----------
    parts
        One calculator, which is returned as it is, or several: their members together are then
        the committee, so that the spread is that of all of them.

    Raises
    ------
    SettingError
        If two members are the same, or the parts have different numbers of members: the mean
        would silently weigh one part more than another.
    """
    if len(parts) == 1:
        return parts[0]
    own = [part.members or (part,) for part in parts]
    if len({len(members) for members in own}) > 1:
        said = ", ".join(f"{x.name} ({len(y)})" for x, y in zip(parts, own, strict=True))
        raise SettingError(
            f"the parts of a committee have different numbers of members: {said}",
            subject="calculator",
            hint="Draw as many potentials of each, such as mace:A.psm#4,mace:B.psm#4, or of none",
        )
    is_nested = any(part.members for part in parts)
    members = tuple(one for some in own for one in some)
    return Committee(members, called=",".join(part.name for part in parts) if is_nested else "")


def _mean(arrays: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.mean(np.stack(arrays), axis=0), dtype=np.float64)
