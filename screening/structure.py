"""Crystals: the canonical cell, and what identifies a material.

A structure from outside is first inspected (:mod:`screening.inspection`), then brought to one
canonical primitive cell (:func:`canonical_crystal`), whose digest is the material's identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.canonical import Cell, description_digest, find_symmetry, standard_cell
from screening.inspection import (
    DEFAULT_LIMITS,
    StructureLimits,
    element_of,
    inspect_structure,
    validate_structure,
)

__all__ = [
    "DEFAULT_LIMITS",
    "SYMPREC_ANGSTROM",
    "Crystal",
    "StructureLimits",
    "canonical_crystal",
    "inspect_structure",
    "validate_structure",
]

SYMPREC_ANGSTROM = 1e-3
"""Distance in Å within which atoms count as symmetry equivalent when a structure is read."""

_LOOSE_SYMPREC_ANGSTROM = 1e-2


@dataclass(frozen=True)
class Crystal:
    """A canonical crystal and its identity.

    Attributes
    ----------
    structure
        Standardised primitive cell, idealised so that a tolerance of 1e-5 Å finds the same
        space group, without oxidation states, moments or site properties, sites sorted by
        atomic number and position.
    digest
        SHA-256 of the canonical description: the same for every choice of cell, origin,
        orientation and order of atoms of one crystal, and for its mirror image.
    material_id
        ``ps-`` and the first 16 digits of the digest.
    space_group_number, space_group_symbol
        International number and short Hermann-Mauguin symbol.
    formula, chemsys, n_atoms
        Reduced formula (``TiO2``), elements (``O-Ti``), atoms of the primitive cell.
    prototype
        Anonymous formula, space group and Wyckoff letters per element in the order of the
        anonymous formula, such as ``AB2_136_a_f``. Letters follow the canonical origin: equal
        labels mean the same prototype, different labels may still be one.
    notes
        What was changed or looked odd.
    """

    structure: Structure
    digest: str
    material_id: str
    space_group_number: int
    space_group_symbol: str
    formula: str
    chemsys: str
    n_atoms: int
    prototype: str = ""
    notes: tuple[str, ...] = ()


def canonical_crystal(
    structure: Structure,
    *,
    subject: str = "",
    symprec_angstrom: float = SYMPREC_ANGSTROM,
    limits: StructureLimits = DEFAULT_LIMITS,
) -> Crystal:
    """Bring a structure to its canonical primitive cell and name it.

    Parameters
    ----------
    structure
        Any cell of the crystal: primitive, conventional, a supercell; rotated, translated,
        permuted, with left-handed axes.
    subject
        Names the structure in errors.
    symprec_angstrom
        Tolerance in Å of the symmetry search. Symmetry broken by less is restored.
    limits
        What is accepted.

    Returns
    -------
    Crystal
        The canonical crystal.

    Raises
    ------
    InputError
        As :func:`inspect_structure`; `CellError` too where no symmetry is found at all.

    Notes
    -----
    The digest is taken over lengths in bins of 0.001 Å, angles in bins of 0.02° and positions
    in bins of at most 0.01 Å. Bins have edges: two files that differ by noise d in one free
    number get different digests with a probability of about d over the width of the bin, about
    1 % per free number for 1e-5 Å. :mod:`screening.duplicates` finds those.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> crystal = canonical_crystal(salt)
    >>> crystal.n_atoms, crystal.space_group_symbol, crystal.formula
    (2, 'Fm-3m', 'NaCl')
    >>> crystal.digest == canonical_crystal(salt * (2, 1, 1)).digest
    True
    """
    notes = inspect_structure(structure, subject=subject, limits=limits)
    cell = _plain_cell(structure)
    cell, symmetry, identity = standard_cell(cell, symprec_angstrom, subject)
    notes += _symmetry_notes(cell, symmetry.number, symprec_angstrom, subject)
    canonical = Structure(Lattice(cell.vectors), list(cell.numbers), cell.fractions)
    digest = description_digest(identity, symmetry.number)
    return Crystal(
        structure=canonical,
        digest=digest,
        material_id=f"ps-{digest[:16]}",
        space_group_number=symmetry.number,
        space_group_symbol=symmetry.symbol,
        formula=canonical.composition.reduced_formula,
        chemsys=canonical.composition.chemical_system,
        n_atoms=len(canonical),
        prototype=_prototype(canonical, symmetry.number, symmetry.wyckoff_letters),
        notes=notes,
    )


def _plain_cell(structure: Structure) -> Cell:
    """Vectors, fractions and atomic numbers; left-handed axes are relabelled, not mirrored."""
    vectors = np.array(structure.lattice.matrix, dtype=np.float64)
    fractions = np.array(structure.frac_coords, dtype=np.float64)
    numbers = np.array([element_of(site.specie).Z for site in structure], dtype=np.int64)
    if np.linalg.det(vectors) < 0:
        vectors, fractions = vectors[[1, 0, 2]], fractions[:, [1, 0, 2]]
    return Cell(vectors, fractions, numbers)


def _symmetry_notes(cell: Cell, number: int, symprec: float, subject: str) -> tuple[str, ...]:
    """Tell when rounded coordinates hide a higher symmetry."""
    if symprec >= _LOOSE_SYMPREC_ANGSTROM:
        return ()
    loose, _ = find_symmetry(cell, _LOOSE_SYMPREC_ANGSTROM, subject)
    if loose.number == number:
        return ()
    note = (
        f"space group {number} at {symprec:g} Å, but {loose.number} ({loose.symbol}) at "
        f"{_LOOSE_SYMPREC_ANGSTROM:g} Å: coordinates with too few digits?"
    )
    return (note,)


def _prototype(structure: Structure, number: int, letters: Sequence[str]) -> str:
    """Anonymous formula, space group and Wyckoff letters of each element."""
    by_element: dict[str, list[str]] = {}
    for site, letter in zip(structure, letters, strict=True):
        by_element.setdefault(site.specie.symbol, []).append(letter)
    divisor = reduce(gcd, (len(group) for group in by_element.values()))
    groups = sorted((len(group) // divisor, sorted(group)) for group in by_element.values())
    formula = "".join(
        f"{chr(ord('A') + index)}{count if count > 1 else ''}"
        for index, (count, _) in enumerate(groups)
    )
    wyckoff = "_".join("".join(dict.fromkeys(group)) for _, group in groups)
    return f"{formula}_{number}_{wyckoff}"
