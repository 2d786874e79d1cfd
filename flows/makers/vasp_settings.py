"""What VASP is told: every tag written out, none inherited, so that one digest covers them.

atomate2's own sets are made for another purpose: their functional is PBEsol, with a Hubbard
correction in oxides and spin everywhere. Here the INCAR is complete by itself and the mesh is
explicit, so that neither a release of atomate2 nor a user's ``~/.atomate2.yaml`` changes numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.calculators.first_principles import magnetic_elements
from screening.errors import SettingError

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["Calculation", "VaspSettings", "incar_of", "magnetism_notes"]

# Tags that make another kind of calculation, for which displacements and reading are not made.
_REFUSED_TAGS = {
    "LNONCOLLINEAR": "non-collinear magnetism is not supported",
    "LSORBIT": "spin-orbit coupling is not supported",
    "KSPACING": "the mesh is set by kpoint_spacing_per_angstrom",
    "ENCUT": "the cutoff is set by energy_cutoff_ev",
    "EDIFF": "the tolerance is set by scf_tolerance_ev",
    "SIGMA": "the smearing is set by smearing_width_ev",
    "ISPIN": "spin is set by spin_polarised",
    "GGA": "the functional is PBE, that of the reference",
    "METAGGA": "the functional is PBE, that of the reference",
    "LHFCALC": "the functional is PBE, that of the reference",
}


class Calculation(StrEnum):
    """The kinds of VASP calculation of one crystal."""

    RELAXATION = "relaxation"
    STATIC = "static"
    DISPLACEMENT = "displacement"
    DIELECTRIC = "dielectric"


@dataclass(frozen=True)
class VaspSettings:
    """How VASP computes forces; the functional is always PBE.

    Attributes
    ----------
    energy_cutoff_ev
        Plane-wave cutoff in eV, the same in all calculations of a crystal.
    kpoint_spacing_per_angstrom
        Largest distance between mesh points in 1/Å, with the factor 2 pi, as VASP's KSPACING.
        Meshes contain the zone centre.
    scf_tolerance_ev
        Change of the energy in eV at which an electronic minimisation is done.
    smearing_width_ev
        Gaussian smearing in eV.
    relaxed_force_ev_per_angstrom
        Largest force in eV/Å that a relaxation leaves, where one is asked for.
    least_gap_ev
        Born charges are computed where the band gap in eV is larger than this.
    born_charges
        Whether to compute them at all.
    spin_polarised
        Whether spins are free, collinear, starting from a ferromagnet. Symmetry is always that
        of the crystal without moments.
    potcar_functional
        Family of POTCAR files as pymatgen names it.
    potcars
        POTCAR symbols that replace atomate2's choice, by element.
    incar
        INCAR tags that replace or add to ours, in all calculations.

    Raises
    ------
    SettingError
        If a number is not positive, or a tag has a setting of its own or is not supported.
    """

    energy_cutoff_ev: float = 520.0
    kpoint_spacing_per_angstrom: float = 0.25
    scf_tolerance_ev: float = 1e-8
    smearing_width_ev: float = 0.05
    relaxed_force_ev_per_angstrom: float = 1e-3
    least_gap_ev: float = 0.1
    born_charges: bool = True
    spin_polarised: bool = False
    potcar_functional: str = "PBE_54"
    potcars: Mapping[str, str] = field(default_factory=dict)
    incar: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(entry.default, float) and not 0.0 < value < np.inf:
                raise SettingError(f"{value} is not positive and finite", subject=entry.name)
        for tag in self.incar:
            if tag in _REFUSED_TAGS or tag != tag.upper():
                reason = _REFUSED_TAGS.get(tag, "tags are written in capitals")
                raise SettingError(reason, subject=f"incar {tag}", hint="Remove the tag")

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON with every INCAR, so that its digest is that of the input."""
        plain = asdict(self) | {"incar": dict(self.incar), "potcars": dict(self.potcars)}
        return plain | {"inputs": {str(kind): incar_of(self, kind) for kind in Calculation}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VaspSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown or out of range.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known - {"inputs"})
        if unknown:
            raise SettingError(
                "unknown setting of VASP",
                subject=", ".join(unknown),
                hint=f"Choose among {', '.join(sorted(known))}",
            )
        return cls(**{name: value for name, value in values.items() if name in known})


def incar_of(settings: VaspSettings, kind: Calculation) -> dict[str, Any]:
    """Return the complete INCAR of one kind of calculation.

    Forces come out noise-free with a minimum of electronic steps, projection in reciprocal
    space and without an extra grid; no symmetry is switched off.

    References
    ----------
    VASP manual, entries of the tags; A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023).
    """
    tags: dict[str, Any] = {
        "ADDGRID": False,
        "ALGO": "Normal",
        "EDIFF": settings.scf_tolerance_ev,
        "ENCUT": settings.energy_cutoff_ev,
        "GGA": "PE",
        "IBRION": -1,
        "ISIF": 2,
        "ISMEAR": 0,
        "ISPIN": 2 if settings.spin_polarised else 1,
        "LASPH": True,
        "LCHARG": False,
        "LREAL": False,
        "LWAVE": False,
        "NELM": 200,
        "NELMIN": 5,
        "NSW": 0,
        "PREC": "Accurate",
        "SIGMA": settings.smearing_width_ev,
    }
    if kind is Calculation.RELAXATION:
        force = settings.relaxed_force_ev_per_angstrom
        tags |= {"IBRION": 2, "ISIF": 3, "NSW": 99, "EDIFFG": -force}
    if kind is Calculation.DIELECTRIC:
        tags |= {"LEPSILON": True, "LPEAD": True}
    return tags | dict(settings.incar)


def magnetism_notes(structure: Structure, settings: VaspSettings) -> tuple[str, ...]:
    """Say where a calculation without free spins may have missed magnetic order."""
    from pymatgen.core import Element

    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    found = [Element.from_Z(number).symbol for number in magnetic_elements(numbers)]
    if not found:
        return ()
    treated = "a ferromagnetic start" if settings.spin_polarised else "no spin polarisation"
    return (f"{', '.join(found)} may order magnetically; computed with {treated}",)
