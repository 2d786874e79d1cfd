"""Small crystals of many chemistries, outside the compositions of the public reference sets.

Elements and compounds of two to four atoms a cell whose phonons density functional theory gives
in minutes. Lattice parameters are where relaxations start from.
"""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

__all__ = ["CRYSTALS"]

_CORNER, _QUARTER, _HALF = (0.0, 0.0, 0.0), (0.25, 0.25, 0.25), (0.5, 0.5, 0.5)


def _cubic(space_group: str, length_angstrom: float, *sites: tuple[str, object]) -> Structure:
    elements, positions = zip(*sites, strict=True)
    lattice = Lattice.cubic(length_angstrom)
    return Structure.from_spacegroup(space_group, lattice, list(elements), list(positions))


def _diamond(element: str, length_angstrom: float) -> Structure:
    return _cubic("Fd-3m", length_angstrom, (element, _CORNER))


def _rock_salt(one: str, two: str, length_angstrom: float) -> Structure:
    return _cubic("Fm-3m", length_angstrom, (one, _CORNER), (two, _HALF))


def _caesium_chloride(one: str, two: str, length_angstrom: float) -> Structure:
    return _cubic("Pm-3m", length_angstrom, (one, _CORNER), (two, _HALF))


def _zinc_blende(one: str, two: str, length_angstrom: float) -> Structure:
    return _cubic("F-43m", length_angstrom, (one, _CORNER), (two, _QUARTER))


def _fluorite(one: str, eight: str, length_angstrom: float) -> Structure:
    """Fluorite, or antifluorite where the anion is at the corner."""
    return _cubic("Fm-3m", length_angstrom, (one, _CORNER), (eight, _QUARTER))


def _half_heusler(one: str, two: str, three: str, length_angstrom: float) -> Structure:
    return _cubic("F-43m", length_angstrom, (one, _CORNER), (two, _HALF), (three, _QUARTER))


CRYSTALS: dict[str, Structure] = {
    "Si": _diamond("Si", 5.47),
    "Ge": _diamond("Ge", 5.77),
    "C": _diamond("C", 3.57),
    "Sn": _diamond("Sn", 6.65),
    "SiGe": _zinc_blende("Si", "Ge", 5.60),
    "BSb": _zinc_blende("B", "Sb", 5.28),
    "MgS": _rock_salt("Mg", "S", 5.23),
    "MgSe": _rock_salt("Mg", "Se", 5.51),
    "SrS": _rock_salt("Sr", "S", 6.05),
    "SrSe": _rock_salt("Sr", "Se", 6.30),
    "ScN": _rock_salt("Sc", "N", 4.52),
    "ScP": _rock_salt("Sc", "P", 5.32),
    "YP": _rock_salt("Y", "P", 5.68),
    "YAs": _rock_salt("Y", "As", 5.82),
    "CsCl": _caesium_chloride("Cs", "Cl", 4.20),
    "CsBr": _caesium_chloride("Cs", "Br", 4.38),
    "CsI": _caesium_chloride("Cs", "I", 4.66),
    "CaF2": _fluorite("Ca", "F", 5.50),
    "Li2O": _fluorite("O", "Li", 4.63),
    "Li2S": _fluorite("S", "Li", 5.72),
    "Li2Se": _fluorite("Se", "Li", 6.02),
    "Na2O": _fluorite("O", "Na", 5.57),
    "Na2S": _fluorite("S", "Na", 6.57),
    "Be2C": _fluorite("C", "Be", 4.33),
    "Mg2Si": _fluorite("Si", "Mg", 6.36),
    "Mg2Ge": _fluorite("Ge", "Mg", 6.42),
    "LiAlSi": _half_heusler("Li", "Al", "Si", 5.93),
    "LiAlGe": _half_heusler("Li", "Al", "Ge", 6.00),
    "LiZnN": _half_heusler("Li", "Zn", "N", 4.90),
    "LiZnP": _half_heusler("Li", "Zn", "P", 5.76),
    "LiMgN": _half_heusler("Li", "Mg", "N", 5.00),
    "LiMgP": _half_heusler("Li", "Mg", "P", 6.02),
    "LiMgAs": _half_heusler("Li", "Mg", "As", 6.20),
}
"""Conventional cells by formula."""
