"""What structure may be computed: the checks before any calculation.

Overlapping atoms, disorder, misread labels, degenerate cells and vacuum are refused with a
typed error; what is odd but possible is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from screening.canonical import reduced_vectors
from screening.errors import (
    CellError,
    DisorderedError,
    NonFiniteInputError,
    NotPeriodicError,
    OverlapError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.prediction import FloatArray

__all__ = [
    "DEFAULT_LIMITS",
    "StructureLimits",
    "element_of",
    "inspect_structure",
    "validate_structure",
]

_LAST_REAL_ELEMENT = 103  # heavier "elements" are misread labels: NH3 -> Nh, CN -> Cn
_MAX_FRACTIONAL = 1e4  # beyond, a coordinate has lost the digits that place the atom
_MAX_LENGTH_ANGSTROM = 1e6
_MIN_VOLUME_PER_ATOM_ANGSTROM3 = 1.0
_FULL_OCCUPANCY_TOLERANCE = 1e-6
_MIN_MOMENT_BOHR = 1e-3


@dataclass(frozen=True)
class StructureLimits:
    """What a structure may look like.

    Attributes
    ----------
    max_atoms
        Atoms in the cell as given.
    min_distance_angstrom
        Closer pairs of atoms are refused, Å.
    close_contact_ratio
        Pairs closer than this fraction of the sum of their covalent radii are noted.
    min_translation_angstrom, max_translation_angstrom
        Shortest and longest vector of the reduced cell, and its thinnest height, Å.
    max_aspect_ratio
        Longest vector of the reduced cell over its shortest.
    max_vacuum_angstrom
        Widest empty layer along an axis of the reduced cell, Å: more is a slab, a chain or a
        molecule in a box.
    """

    max_atoms: int = 2000
    min_distance_angstrom: float = 0.5
    close_contact_ratio: float = 0.7
    min_translation_angstrom: float = 1.0
    max_translation_angstrom: float = 500.0
    max_aspect_ratio: float = 200.0
    max_vacuum_angstrom: float = 10.0


DEFAULT_LIMITS = StructureLimits()


def validate_structure(
    structure: Structure, *, subject: str = "", limits: StructureLimits = DEFAULT_LIMITS
) -> None:
    """Refuse a structure that no phonon calculation can use.

    Raises
    ------
    InputError
        One of the classes named at :func:`inspect_structure`.
    """
    inspect_structure(structure, subject=subject, limits=limits)


def inspect_structure(
    structure: Structure, *, subject: str = "", limits: StructureLimits = DEFAULT_LIMITS
) -> tuple[str, ...]:
    """Validate a structure and return what looks odd but may be right.

    Parameters
    ----------
    structure
        Any pymatgen structure.
    subject
        Names the structure in errors.
    limits
        What is accepted.

    Returns
    -------
    tuple of str
        Close contacts, dropped moments.

    Raises
    ------
    NotPeriodicError
        No atoms, not periodic in three directions, or with a layer of vacuum.
    TooLargeError
        Too many atoms, or coordinates without digits.
    NonFiniteInputError
        NaN or infinity among vectors or coordinates.
    DisorderedError
        Partial or shared occupancy.
    SuspiciousSpeciesError
        Dummy species, isotopes, elements that are misread labels.
    CellError
        No volume, too thin, too long.
    OverlapError
        Two atoms on nearly the same place; names them and their distance.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> cubic = Lattice.cubic(3.0)
    >>> inspect_structure(Structure(cubic, ["Po"], [[0, 0, 0]]))
    ()
    >>> inspect_structure(Structure(cubic, ["Po", "Po"], [[0, 0, 0], [0, 0, 0.9]]))
    Traceback (most recent call last):
    ...
    screening.errors.inputs.OverlapError: sites 1 (Po) and 2 (Po) are 0.300 Å apart. ...
    """
    if len(structure) == 0:
        raise NotPeriodicError("no atoms", subject=subject, hint="Give a crystal")
    if len(structure) > limits.max_atoms:
        raise TooLargeError(
            f"{len(structure)} atoms, more than {limits.max_atoms}",
            subject=subject,
            hint="Give the primitive cell, or raise max_atoms",
        )
    if not all(structure.lattice.pbc):
        raise NotPeriodicError(
            "not periodic in three directions", subject=subject, hint="Give a crystal's cell"
        )
    _check_numbers(structure, subject)
    _check_species(structure, subject)
    reduced = _check_cell(structure, subject, limits)
    _check_vacuum(structure, reduced, subject, limits)
    return (*_contacts(structure, subject, limits), *_moments(structure))


def _check_numbers(structure: Structure, subject: str) -> None:
    """Finite vectors and coordinates that still have digits."""
    if not np.isfinite(structure.lattice.matrix).all():
        raise NonFiniteInputError("a lattice vector is not finite", subject=subject)
    finite = np.isfinite(structure.frac_coords).all(axis=1)
    if not finite.all():
        site = int(np.argmin(finite))
        raise NonFiniteInputError(f"the position of site {site + 1} is not finite", subject=subject)
    largest = float(np.abs(structure.frac_coords).max())
    if largest > _MAX_FRACTIONAL:
        raise TooLargeError(
            f"a fractional coordinate is {largest:g}",
            subject=subject,
            hint="Such a number has no digits left to place the atom; wrap it into the cell",
        )


def _check_species(structure: Structure, subject: str) -> None:
    """Whole occupation by elements that form crystals."""
    for index, site in enumerate(structure, start=1):
        for species, occupancy in site.species.items():
            if isinstance(species, DummySpecies):
                raise SuspiciousSpeciesError(
                    f"site {index} is {species}, which is no element",
                    subject=subject,
                    hint="Replace dummy species by elements or leave them out",
                )
            if abs(occupancy - 1.0) > _FULL_OCCUPANCY_TOLERANCE or len(site.species) > 1:
                raise DisorderedError(
                    f"site {index} is occupied by {site.species_string}",
                    subject=subject,
                    hint="Give an ordered structure",
                )
            element = element_of(species)
            if element.name in {"D", "T"}:  # their symbol and number are hydrogen's
                raise SuspiciousSpeciesError(
                    f"site {index} is {element.name}, an isotope",
                    subject=subject,
                    hint="Write H: masses are those of natural elements",
                )
            if element.Z > _LAST_REAL_ELEMENT:
                raise SuspiciousSpeciesError(
                    f"site {index} is {element.symbol} (element {element.Z}), likely misread",
                    subject=subject,
                    hint="Write the element's symbol alone, for example N for NH3",
                )


def element_of(species: Element | Species) -> Element:
    """Return the element below an oxidation state."""
    return species if isinstance(species, Element) else species.element


def _check_cell(structure: Structure, subject: str, limits: StructureLimits) -> Lattice:
    """Return the reduced lattice of a cell that is not degenerate."""
    matrix = structure.lattice.matrix
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(matrix, axis=1)
        volume = abs(float(np.linalg.det(matrix)))
    hint = "Check the lattice vectors and their unit (Å)"
    if not np.isfinite(volume) or lengths.max() > _MAX_LENGTH_ANGSTROM:
        raise CellError(f"a lattice vector is {lengths.max():.3g} Å", subject=subject, hint=hint)
    if volume / len(structure) < _MIN_VOLUME_PER_ATOM_ANGSTROM3:
        raise CellError(
            f"the cell has {volume / len(structure):.3g} Å³ per atom", subject=subject, hint=hint
        )
    reduced = Lattice(reduced_vectors(matrix))
    heights = abs(reduced.volume) / np.array(
        [np.linalg.norm(np.cross(reduced.matrix[i - 2], reduced.matrix[i - 1])) for i in range(3)]
    )
    longest, shortest = max(reduced.abc), min(*reduced.abc, *heights)
    if shortest < limits.min_translation_angstrom or longest > limits.max_translation_angstrom:
        raise CellError(
            f"the reduced cell measures {shortest:.3g} to {longest:.3g} Å",
            subject=subject,
            hint=hint,
        )
    if longest / shortest > limits.max_aspect_ratio:
        raise CellError(
            f"the reduced cell is a needle: {shortest:.3g} by {longest:.3g} Å", subject=subject
        )
    return reduced


def _check_vacuum(
    structure: Structure, reduced: Lattice, subject: str, limits: StructureLimits
) -> None:
    """Refuse slabs, chains and molecules: an empty layer wider than any crystal has."""
    fractions = np.sort(reduced.get_fractional_coords(structure.cart_coords) % 1.0, axis=0)
    gaps = np.diff(fractions, axis=0, append=fractions[:1] + 1.0).max(axis=0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(reduced.matrix), axis=0)
    vacuum = float((gaps * heights).max())
    if vacuum > limits.max_vacuum_angstrom:
        raise NotPeriodicError(
            f"an empty layer {vacuum:.1f} Å wide: a slab, chain or molecule",
            subject=subject,
            hint="Only bulk crystals are screened; raise max_vacuum_angstrom if this is one",
        )


def _contacts(structure: Structure, subject: str, limits: StructureLimits) -> tuple[str, ...]:
    """Refuse overlapping atoms and note unusually short distances."""
    from ase.data import covalent_radii

    radii = covalent_radii[[element_of(site.specie).Z for site in structure]]
    reach = max(limits.min_distance_angstrom, 2.0 * limits.close_contact_ratio * radii.max())
    first, second, _, distances = structure.get_neighbor_list(reach, exclude_self=True)
    if len(distances) == 0:
        return ()
    closest = int(np.argmin(distances))
    names = _pair_name(structure, int(first[closest]), int(second[closest]))
    if distances[closest] < limits.min_distance_angstrom:
        raise OverlapError(
            f"sites {names} are {distances[closest]:.3f} Å apart",
            subject=subject,
            hint="Remove one of the two, or check the symmetry operations and the unit",
        )
    ratios = distances / (radii[first] + radii[second])
    close = int(np.argmin(ratios))
    if ratios[close] >= limits.close_contact_ratio:
        return ()
    names = _pair_name(structure, int(first[close]), int(second[close]))
    note = (
        f"sites {names} are {distances[close]:.3f} Å apart, {ratios[close]:.2f} of the sum of "
        "their covalent radii"
    )
    return (note,)


def _pair_name(structure: Structure, first: int, second: int) -> str:
    """Name two sites, counted from 1."""
    low, high = sorted((first, second))
    return f"{low + 1} ({structure[low].specie}) and {high + 1} ({structure[high].specie})"


def _moments(structure: Structure) -> tuple[str, ...]:
    """Note magnetic moments, which the canonical cell does not keep."""
    moments: Sequence[Any] = structure.site_properties.get("magmom") or ()
    spins = [getattr(site.specie, "spin", None) for site in structure]
    has_moment = any(
        np.any(np.abs(_plain(m)) > _MIN_MOMENT_BOHR) for m in (*moments, *spins) if m is not None
    )
    return ("magnetic moments were dropped",) if has_moment else ()


def _plain(moment: Any) -> FloatArray:
    """Return a moment as an array, whatever wraps it."""
    return np.atleast_1d(np.asarray(getattr(moment, "moment", moment), dtype=np.float64))
