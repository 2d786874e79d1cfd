"""Small crystals of many chemistries, outside the compositions of the public reference sets.

Elements and compounds of two to five atoms a cell whose phonons density functional theory gives
in minutes. Lattice parameters are where relaxations start from.
"""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

__all__ = ["CRYSTALS", "CRYSTALS_OF"]

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


def _perovskite(large: str, small: str, anion: str, length_angstrom: float) -> Structure:
    """Cubic perovskite, or antiperovskite where the anion is small."""
    face = (0.5, 0.5, 0.0)
    return _cubic("Pm-3m", length_angstrom, (large, _CORNER), (small, _HALF), (anion, face))


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

_UNLIKE_PROTOTYPES: dict[str, Structure] = {
    "MgAg": _caesium_chloride("Mg", "Ag", 3.32),
    "AlNi": _caesium_chloride("Al", "Ni", 2.90),
    **{name: CRYSTALS[name] for name in ("LiAlSi", "LiMgP", "LiAlGe", "LiZnN")},
    "Mg2Sn": _fluorite("Sn", "Mg", 6.82),
    "ScH2": _fluorite("Sc", "H", 4.78),
    "YH2": _fluorite("Y", "H", 5.20),
    "PtAl2": _fluorite("Pt", "Al", 5.93),
    "CoSi2": _fluorite("Co", "Si", 5.38),
    "HfN": _rock_salt("Hf", "N", 4.53),
    "ZrN": _rock_salt("Zr", "N", 4.59),
    "NbC": _rock_salt("Nb", "C", 4.49),
    "LiMgBi": _half_heusler("Li", "Mg", "Bi", 6.74),
    "LiMgSb": _half_heusler("Li", "Mg", "Sb", 6.62),
    "LiCdP": _half_heusler("Li", "Cd", "P", 6.10),
    "LiCdAs": _half_heusler("Li", "Cd", "As", 6.26),
    "TiCoSb": _half_heusler("Ti", "Sb", "Co", 5.88),
    "TiNiSn": _half_heusler("Ti", "Sn", "Ni", 5.95),
    "NbFeSb": _half_heusler("Nb", "Sb", "Fe", 5.96),
    "ZrNiSn": _half_heusler("Zr", "Sn", "Ni", 6.15),
    "ScNiSb": _half_heusler("Sc", "Sb", "Ni", 6.08),
    "BaZrO3": _perovskite("Ba", "Zr", "O", 4.23),
    "RbZnF3": _perovskite("Rb", "Zn", "F", 4.15),
    "BaLiH3": _perovskite("Ba", "Li", "H", 4.02),
    "BaSnO3": _perovskite("Ba", "Sn", "O", 4.16),
    "Mg3NAs": _perovskite("As", "N", "Mg", 4.22),
    "Ca3NBi": _perovskite("Bi", "N", "Ca", 4.89),
}
"""Those that density functional theory relaxes and displaces soonest come first."""

CRYSTALS_OF: dict[str, dict[str, Structure]] = {
    "chgnet": CRYSTALS,
    "phonoscreen": _UNLIKE_PROTOTYPES,
}
"""By potential: `CRYSTALS`, or where it learned most of them, others whose compositions it did
not."""
