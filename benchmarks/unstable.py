"""Crystals that are known to be dynamically unstable in the harmonic approximation at 0 K.

Every one is a saddle point of the energy by published first-principles calculations; most are
seen at high temperature only, where anharmonicity or entropy stabilises them. The lattice
parameters are near the published ones and only where a relaxation starts from.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymatgen.core import Lattice, Structure

__all__ = ["UNSTABLE", "UnstableCrystal"]

_CORNER, _CENTRE = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class UnstableCrystal:
    """One crystal with where its instability was published.

    Attributes
    ----------
    name
        Formula and prototype.
    reference
        Authors, journal, year.
    space_group
        International symbol.
    lengths_angstrom
        Of the conventional cell with right angles, in Å.
    sites
        Element and fractional coordinates of one atom of every orbit.
    """

    name: str
    reference: str
    space_group: str
    lengths_angstrom: tuple[float, float, float]
    sites: tuple[tuple[str, tuple[float, float, float]], ...]

    @property
    def structure(self) -> Structure:
        """Conventional cell."""
        elements, positions = zip(*self.sites, strict=True)
        lattice = Lattice.orthorhombic(*self.lengths_angstrom)
        return Structure.from_spacegroup(
            self.space_group, lattice, list(elements), [list(x) for x in positions]
        )


def _perovskite(
    elements: tuple[str, str, str], length_angstrom: float, reference: str
) -> UnstableCrystal:
    """ABX3 with the small cation in the middle."""
    large, small, anion = elements
    return UnstableCrystal(
        f"{large}{small}{anion}3 cubic perovskite",
        reference,
        "Pm-3m",
        (length_angstrom,) * 3,
        ((large, _CORNER), (small, _CENTRE), (anion, (0.5, 0.5, 0.0))),
    )


def _fluorite(cation: str, length_angstrom: float, reference: str) -> UnstableCrystal:
    return UnstableCrystal(
        f"{cation}O2 fluorite",
        reference,
        "Fm-3m",
        (length_angstrom,) * 3,
        ((cation, _CORNER), ("O", (0.25, 0.25, 0.25))),
    )


def _metal(element: str, lattice: str, length_angstrom: float, reference: str) -> UnstableCrystal:
    """Face- or body-centred cubic."""
    symbol = {"fcc": "Fm-3m", "bcc": "Im-3m"}[lattice]
    return UnstableCrystal(
        f"{element} {lattice}", reference, symbol, (length_angstrom,) * 3, ((element, _CORNER),)
    )


_GHOSEZ = "Ghosez, Cockayne, Waghmare, Rabe, Phys. Rev. B 60, 836 (1999)"
_YANG = "Yang, Skelton, da Silva, Frost, Walsh, J. Phys. Chem. Lett. 8, 4720 (2017)"
_SOUVATZIS = "Souvatzis, Eriksson, Katsnelson, Rudin, Phys. Rev. Lett. 100, 095901 (2008)"
_GRIMVALL = "Grimvall, Magyari-Köpe, Ozoliņš, Persson, Rev. Mod. Phys. 84, 945 (2012)"
_EINARSDOTTER = "Einarsdotter, Sadigh, Grimvall, Ozoliņš, Phys. Rev. Lett. 79, 2073 (1997)"
_ZHONG = "Zhong, King-Smith, Vanderbilt, Phys. Rev. Lett. 72, 3618 (1994)"

UNSTABLE: tuple[UnstableCrystal, ...] = (
    _perovskite(("Ba", "Ti", "O"), 4.00, _GHOSEZ),
    _perovskite(("Pb", "Ti", "O"), 3.97, _GHOSEZ),
    _perovskite(("Pb", "Zr", "O"), 4.16, _GHOSEZ),
    _perovskite(
        ("Sr", "Ti", "O"), 3.91, "LaSota, Wang, Yu, Krakauer, Ferroelectrics 194, 109 (1997)"
    ),
    _perovskite(("Ca", "Ti", "O"), 3.89, "Cockayne, Burton, Phys. Rev. B 62, 3735 (2000)"),
    _perovskite(("K", "Nb", "O"), 4.02, "Yu, Krakauer, Phys. Rev. Lett. 74, 4067 (1995)"),
    _perovskite(("Na", "Nb", "O"), 3.95, _ZHONG),
    _perovskite(
        ("Sr", "Zr", "O"), 4.15, "Amisi, Bousquet, Katcho, Ghosez, Phys. Rev. B 85, 064112 (2012)"
    ),
    _perovskite(("La", "Al", "O"), 3.80, "Hatt, Spaldin, Phys. Rev. B 82, 195402 (2010)"),
    _perovskite(("Cs", "Pb", "I"), 6.29, _YANG),
    _perovskite(("Cs", "Pb", "Br"), 5.87, _YANG),
    _perovskite(("Cs", "Pb", "Cl"), 5.61, _YANG),
    _perovskite(("Cs", "Sn", "I"), 6.22, _YANG),
    _perovskite(("Cs", "Sn", "Br"), 5.80, _YANG),
    _perovskite(("Cs", "Sn", "Cl"), 5.56, _YANG),
    _fluorite("Zr", 5.09, "Parlinski, Li, Kawazoe, Phys. Rev. Lett. 78, 4063 (1997)"),
    _fluorite("Hf", 5.08, "Huan, Sharma, Rossetti, Ramprasad, Phys. Rev. B 90, 064111 (2014)"),
    _metal("Ti", "bcc", 3.26, _SOUVATZIS),
    _metal("Zr", "bcc", 3.58, _SOUVATZIS),
    _metal("Hf", "bcc", 3.55, _SOUVATZIS),
    _metal("W", "fcc", 4.03, _EINARSDOTTER),
    _metal("Mo", "fcc", 4.00, _GRIMVALL),
    _metal("Nb", "fcc", 4.22, _GRIMVALL),
    _metal("Ta", "fcc", 4.22, _GRIMVALL),
    _metal("Al", "bcc", 3.24, _GRIMVALL),
    _metal("Cu", "bcc", 2.88, _GRIMVALL),
    UnstableCrystal(
        "GeTe rock salt",
        "Rabe, Joannopoulos, Phys. Rev. B 36, 6631 (1987)",
        "Fm-3m",
        (6.01, 6.01, 6.01),
        (("Ge", _CORNER), ("Te", _CENTRE)),
    ),
    UnstableCrystal(
        "NiTi B2",
        "Huang, Bungaro, Godlevsky, Rabe, Phys. Rev. B 65, 014108 (2001)",
        "Pm-3m",
        (3.01, 3.01, 3.01),
        (("Ti", _CORNER), ("Ni", _CENTRE)),
    ),
    UnstableCrystal(
        "SnSe Cmcm",
        "Skelton, Burton, Parker, Walsh, Kim, Soon, et al., Phys. Rev. Lett. 117, 075502 (2016)",
        "Cmcm",
        (4.31, 11.71, 4.31),
        (("Sn", (0.0, 0.12, 0.25)), ("Se", (0.0, 0.356, 0.25))),
    ),
)
"""The list; every composition once, and none that is reserved for evaluation."""
