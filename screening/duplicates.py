"""The same crystal from two sources, and never two polymorphs as one.

The digest of :mod:`screening.structure` finds the same crystal in another cell. This module
finds the same crystal with other last digits: a CIF with three decimals, another program's
output. Volumes are not scaled and the tolerances are tight, so that what differs by 0.2 % in a
lattice parameter stays two crystals, since its phonons differ too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymatgen.core import Structure

from screening.structure import Crystal

__all__ = [
    "DEFAULT_TOLERANCES",
    "RELAXED_TOLERANCES",
    "DuplicateTolerances",
    "find_duplicate",
    "same_crystal",
]


@dataclass(frozen=True)
class DuplicateTolerances:
    """How far two descriptions of one crystal may lie apart.

    Attributes
    ----------
    length_fraction
        Relative difference of lattice vectors. 5e-4 covers a lattice parameter rounded to three
        decimals and separates volumes that differ by 0.2 %.
    angle_degree
        Difference of cell angles in degrees.
    displacement_angstrom
        Largest displacement of an atom in Å, after the best translation. 0.02 Å covers
        fractions rounded to three decimals in cells up to 20 Å.
    """

    length_fraction: float = 5e-4
    angle_degree: float = 0.1
    displacement_angstrom: float = 0.02

    @property
    def volume_fraction(self) -> float:
        """Relative difference of volumes beyond which no two descriptions are one crystal."""
        return 3.0 * self.length_fraction


DEFAULT_TOLERANCES = DuplicateTolerances()
"""For two descriptions of one file or one calculation."""

RELAXED_TOLERANCES = DuplicateTolerances(
    length_fraction=5e-3, angle_degree=0.5, displacement_angstrom=0.05
)
"""For structures that were relaxed from two sides: they end at different residual forces, so that
cells agree less well than two descriptions of one file."""


def same_crystal(
    first: Structure, second: Structure, tolerances: DuplicateTolerances = DEFAULT_TOLERANCES
) -> bool:
    """Whether two primitive cells are one crystal within the tolerances.

    Parameters
    ----------
    first, second
        Primitive cells, for instance those of two canonical crystals. Mirror images are the
        same crystal.
    tolerances
        What may differ.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> def copper(a):
    ...     return Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]])
    >>> same_crystal(copper(3.35), copper(3.351)), same_crystal(copper(3.35), copper(3.36))
    (True, False)
    """
    if len(first) != len(second) or first.composition != second.composition:
        return False
    if abs(first.volume / second.volume - 1.0) > tolerances.volume_fraction:
        return False
    return _matches(first, second, tolerances)


def _matches(first: Structure, second: Structure, tolerances: DuplicateTolerances) -> bool:
    """Compare atom by atom over all equivalent lattices."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    spacing = (first.volume / len(first)) ** (1.0 / 3.0)  # the matcher's unit of distance
    matcher = StructureMatcher(
        ltol=tolerances.length_fraction,
        stol=tolerances.displacement_angstrom / spacing,
        angle_tol=tolerances.angle_degree,
        primitive_cell=False,
        scale=False,
        attempt_supercell=False,
    )
    distances: tuple[float, float] | None = matcher.get_rms_dist(  # type: ignore[no-untyped-call]
        first, second
    )
    if distances is None:
        return False
    return bool(distances[1] * spacing <= tolerances.displacement_angstrom)


def find_duplicate(
    crystal: Crystal,
    candidates: Iterable[Crystal],
    tolerances: DuplicateTolerances = DEFAULT_TOLERANCES,
) -> Crystal | None:
    """First candidate that is the same crystal.

    Candidates of another composition, number of atoms or space group are never the same: a
    distortion that lowers the symmetry is another crystal, however small.

    Parameters
    ----------
    crystal
        Who looks for a twin.
    candidates
        Canonical crystals, in the order in which they are preferred.
    tolerances
        What may differ.

    Returns
    -------
    Crystal or None
        The twin.
    """
    for candidate in candidates:
        if candidate.digest == crystal.digest:
            return candidate
        if _comparable(crystal, candidate) and same_crystal(
            crystal.structure, candidate.structure, tolerances
        ):
            return candidate
    return None


def _comparable(crystal: Crystal, candidate: Crystal) -> bool:
    """Whether two crystals are worth a comparison atom by atom."""
    from screening.canonical import space_group_type

    return (crystal.formula, crystal.n_atoms) == (candidate.formula, candidate.n_atoms) and (
        space_group_type(crystal.space_group_number)
        == space_group_type(candidate.space_group_number)
    )
