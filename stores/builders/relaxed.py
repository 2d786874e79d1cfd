"""Polymorphs that relaxed into one and the same crystal.

A relaxation may leave its minimum: a distorted polymorph ends in the undistorted one, which
would then be ranked twice, tied with itself. Two phases are one where the same model gives both
nearly the same energy and their relaxed cells agree atom by atom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from screening.duplicates import RELAXED_TOLERANCES, same_crystal
from screening.errors import ScreeningError
from screening.structure import canonical_crystal
from screening.units import EV_TO_MEV
from stores.documents.prediction import PredictionDocument

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["relaxed_into_another"]

_ENERGY_TOLERANCE_MEV_PER_ATOM = 2.0
_SYMPREC_ANGSTROM = 0.02  # a relaxation restores a lost translation to about this much


def relaxed_into_another(predictions: Mapping[str, PredictionDocument]) -> dict[str, str]:
    """Find materials whose relaxed structure is that of another one, which stands for them.

    Parameters
    ----------
    predictions
        One prediction per material, all of one composition.

    Returns
    -------
    dict
        By material the one of lower key that stands for it. Structures are compared only where
        one of the two was relaxed, and the same model gives both an energy.

    Notes
    -----
    Mirror images are the same crystal. Static energies within 2 meV/atom, lengths within 0.5 %,
    angles within 0.5°, positions within 0.05 Å, after both were brought to their primitive cell
    at 0.02 Å: a supercell that relaxed back to its parent is the parent.
    """
    kept: list[str] = []
    found: dict[str, str] = {}
    cells: dict[str, Structure] = {}
    for name in sorted(n for n, one in predictions.items() if one.thermodynamics.valid):
        near = [other for other in kept if _may_agree(predictions[name], predictions[other])]
        for one in (name, *near) if near else ():
            if one not in cells:
                cells[one] = _primitive(predictions[one])
        twin = next(
            (o for o in near if same_crystal(cells[name], cells[o], RELAXED_TOLERANCES)), None
        )
        if twin is None:
            kept.append(name)
        else:
            found[name] = twin
    return found


def _may_agree(one: PredictionDocument, two: PredictionDocument) -> bool:
    """Whether two phases are worth a comparison atom by atom."""
    energies = (one.static_energy_ev_per_atom, two.static_energy_ev_per_atom)
    if energies[0] is None or energies[1] is None:
        return False
    if one.relaxation is None and two.relaxation is None:
        return False
    same_model = one.provenance.model_digest == two.provenance.model_digest
    gap_mev = abs(energies[0] - energies[1]) * EV_TO_MEV
    return same_model and gap_mev <= _ENERGY_TOLERANCE_MEV_PER_ATOM


def _primitive(prediction: PredictionDocument) -> Structure:
    """Canonical cell of the relaxed structure; as it is where no symmetry is found."""
    structure = prediction.structure.to_pymatgen()
    try:
        return canonical_crystal(structure, symprec_angstrom=_SYMPREC_ANGSTROM).structure
    except ScreeningError:
        return structure
