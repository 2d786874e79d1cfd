"""The frequency scale of a stored potential, learned from stored phonons of better methods.

The potential computes the same displaced supercells that the reference computed, as they are:
its frequencies are compared with those of the reference at the same wave vectors of the same
crystal. The corrected potential is stored as a new version.

What the potential learned from says nothing about how far it is off elsewhere, and what is
reserved stays unseen: both are left out, by composition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flows.catalogue import in_chunks, materials_where
from flows.stored_models import model_named
from screening.errors import (
    ModelRefusedError,
    NotFoundError,
    ScreeningError,
    SettingError,
    TrainingSetError,
)
from screening.network_potential.phonon_pairs import PhononPair
from screening.network_potential.softening import fit_frequency_scale, with_frequency_scale
from screening.trained_model import METHOD_PREFIXES
from stores.connect import Database, open_database
from stores.models import SOURCE_IDS, store_model
from stores.query import in_values
from stores.training import TrainingPhonons, TrainingReport, training_phonons

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator
    from screening.network_potential.softening import FrequencyScale
    from screening.prediction import ForceData
    from screening.trained_model import TrainedModel

__all__ = [
    "UNKNOWN",
    "ScaledPotential",
    "compositions_of",
    "corrected_potential",
    "learned_compositions",
    "potential_named",
    "reason_to_leave_out",
    "scale_potential",
]

Progress = Callable[[str, int, int], None]

_COMPARING = "comparing phonons"
_LEARNED = "its composition was learned from"
_RESERVED = "its composition is reserved"
_INCLUDED = "what the potential learned from was not left out"
_NOTE = "scores are of forces without the frequency scale"
_TO_FORCES = "Give phonons with the forces of displaced supercells"
_TO_LEARNED = "Give phonons of other compositions, or include those it learned: --include-learned"
_NOTE_OF_SCALE = "frequencies are multiplied by"

UNKNOWN = "what the potential learned from is not known: nothing was left out for it"
"""Said of a scale, where it is so."""


@dataclass(frozen=True, eq=False)
class ScaledPotential:
    """What came of learning a scale.

    Attributes
    ----------
    model_id, model
        The corrected potential and its key.
    scale
        The scale.
    left_out
        Number of crystals that could not be used, by reason.
    wall_seconds
        Duration.
    """

    model_id: str
    model: TrainedModel
    scale: FrequencyScale
    left_out: Mapping[str, int]
    wall_seconds: float


def scale_potential(
    database_uri: str,
    name: str,
    query: str = "",
    source: str = "",
    progress: Progress | None = None,
    *,
    exclude: frozenset[str] = frozenset(),
    include_learned: bool = False,
) -> ScaledPotential:
    """Learn the scale of a stored potential and store the corrected one.

    Parameters
    ----------
    database_uri
        Where potential and phonons are.
    name
        ``NAME`` or ``NAME@VERSION``; a scale that it has already is replaced.
    query
        Filter on structures or summaries; empty for all that have phonons of the source.
    source
        Whose phonons are right; empty where there is only one.
    progress
        Told how many crystals are done.
    exclude
        Reduced formulas of the compositions that are reserved.
    include_learned
        Whether compositions that the potential learned from are compared too.

    Raises
    ------
    NotFoundError
        If there is no such potential, or nothing matches.
    ModelRefusedError
        If the model is no potential.
    TrainingSetError
        If several sources match and none is named, or no crystal is left to compare.
    SettingError
        If the best factor is not between 0.4 and 2.5.
    """
    from screening.calculators.trained_mace import load_trained_potential

    started = time.monotonic()
    with open_database(database_uri) as database:
        stored = potential_named(database, name)
        report = TrainingReport()
        calculator = load_trained_potential(with_frequency_scale(stored, None))
        learned = frozenset() if include_learned else learned_compositions(database, stored)
        why_not = partial(reason_to_leave_out, exclude, learned or frozenset())
        pairs = _pairs(database, query, source, calculator, why_not, report, progress)
        parts = [f"phonons by {report.source}"]
        parts += [_INCLUDED] if include_learned else [UNKNOWN] if learned is None else []
        scale = fit_frequency_scale(pairs, "; ".join(parts))
        model = corrected_potential(stored, scale)
        model_id = store_model(database, model)
    return ScaledPotential(
        model_id=model_id,
        model=model,
        scale=scale,
        left_out=report.counts,
        wall_seconds=time.monotonic() - started,
    )


def potential_named(database: Database, name: str) -> TrainedModel:
    """Return a stored potential.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelRefusedError
        If it is no potential.
    """
    _, stored = model_named(database, name, "models scale {}")
    if stored.method != METHOD_PREFIXES["mace"]:
        raise ModelRefusedError(
            f"is a model of the method {stored.method}",
            subject=name,
            hint="Only potentials have a frequency scale",
        )
    return stored


def corrected_potential(stored: TrainedModel, scale: FrequencyScale) -> TrainedModel:
    """Return a potential with a scale, in place of any other, also on its card."""
    notes = [
        one
        for one in stored.card.get("notes", ())
        if one != _NOTE and not one.startswith(_NOTE_OF_SCALE)
    ]
    card = {**stored.card, "frequency_scale": scale.as_dict()}
    card["notes"] = [scale.note, _NOTE, *notes]
    return replace(with_frequency_scale(stored, scale), card=card)


def compositions_of(text: str) -> frozenset[str]:
    """Read formulas, separated by commas or blanks, or a text file of them.

    Raises
    ------
    SettingError
        If one is no formula, or the file cannot be read.

    Examples
    --------
    >>> sorted(compositions_of("Na2Cl2, MgO"))
    ['MgO', 'NaCl']
    """
    from pymatgen.core import Composition

    try:
        words = Path(text).read_text(encoding="utf-8") if text and Path(text).is_file() else text
        return frozenset(
            Composition(one, strict=True).reduced_formula for one in words.replace(",", " ").split()
        )
    except (OSError, ValueError) as error:
        raise SettingError(
            f"{error}", subject="exclude", hint="Give formulas such as NaCl,MgO, or a text file"
        ) from error


def learned_compositions(database: Database, model: TrainedModel) -> frozenset[str] | None:
    """Return the reduced formulas that a potential learned from; None where it is not known.

    The card says so, or the materials that it names are looked up. Compositions that were held
    out of the training do not count.
    """
    split = model.card.get("split", {})
    if "training_groups" in split:
        return frozenset(split["training_groups"])
    found: set[str] = set()
    for names in in_chunks(tuple(model.card.get(SOURCE_IDS, ()))):
        rows = database.structures.query(in_values("material_id", names), ["formula_reduced"])
        found.update(row["formula_reduced"] for row in rows)
    return frozenset(found.difference(split.get("held_out_groups", ()))) if found else None


def reason_to_leave_out(reserved: frozenset[str], learned: frozenset[str], formula: str) -> str:
    """Say why a composition is left out of a fit; empty where it is not."""
    if formula in reserved:
        return _RESERVED
    return _LEARNED if formula in learned else ""


def _pairs(
    database: Database,
    query: str,
    source: str,
    calculator: ForceCalculator,
    why_not: Callable[[str], str],
    report: TrainingReport,
    progress: Progress | None,
) -> list[PhononPair]:
    names = materials_where(database, query)
    if not names:
        raise NotFoundError("no structure matches", subject=query, hint="Import some first")
    pairs: list[PhononPair] = []
    found = training_phonons(database, names, source or None, report=report)
    n_found = report.n_asked - sum(report.counts.values())
    for phonons in found:
        try:
            if reason := why_not(phonons.formula):
                report.skip(phonons.material_id, reason)
            else:
                pairs.append(_pair(phonons, calculator))
        except ScreeningError as error:
            report.skip(phonons.material_id, f"{error.code}: {error.message}")
        if progress is not None:
            progress(_COMPARING, report.n_read, n_found)
    if not pairs:
        reasons = "; ".join(f"{why} ({count})" for why, count in report.counts.items())
        raise TrainingSetError(
            f"no crystal can be compared: {reasons}",
            subject=report.source,
            hint=_TO_LEARNED if _LEARNED in reasons else _TO_FORCES,
        )
    return pairs


def _pair(phonons: TrainingPhonons, calculator: ForceCalculator) -> PhononPair:
    from screening.harmonic import harmonic_from_forces, mesh_frequencies

    if phonons.force_data is None:
        raise TrainingSetError(
            "holds fitted force constants and no displaced supercells",
            subject=phonons.material_id,
            hint="Compute its phonons by finite displacements",
        )
    mine = _computed(phonons.force_data, calculator, phonons.material_id)
    return PhononPair(
        material_id=phonons.material_id,
        group=phonons.formula,
        predicted=mesh_frequencies(harmonic_from_forces(mine)),
        reference=mesh_frequencies(harmonic_from_forces(phonons.force_data)),
    )


def _computed(forces: ForceData, calculator: ForceCalculator, material_id: str) -> ForceData:
    """Compute the supercells of a reference with a potential."""
    from screening.calculators import check_elements

    numbers = np.asarray(forces.supercell_numbers, dtype=np.int64)
    check_elements(calculator, numbers, subject=material_id)
    lattice = np.asarray(forces.supercell_matrix) @ forces.primitive.lattice.matrix
    at_rest = np.asarray(forces.supercell_scaled_positions) @ lattice
    positions = np.repeat(at_rest[None], len(forces.displaced_atoms) + 1, axis=0)
    for copy, (atom, step) in enumerate(
        zip(forces.displaced_atoms, forces.displacements_angstrom, strict=True)
    ):
        positions[copy, int(atom)] += step
    found = calculator.forces(lattice, positions, numbers)
    return replace(
        forces, forces_ev_per_angstrom=found[:-1], residual_forces_ev_per_angstrom=found[-1]
    )
