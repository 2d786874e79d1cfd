"""The frequency scale of a stored potential, learned from stored phonons of better methods.

The potential computes the same displaced supercells that the reference computed, as they are:
its frequencies are compared with those of the reference at the same wave vectors of the same
crystal. The corrected potential is stored as a new version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flows.catalogue import materials_where
from flows.stored_models import model_named
from screening.errors import ModelRefusedError, NotFoundError, ScreeningError, TrainingSetError
from screening.network_potential.phonon_pairs import PhononPair
from screening.network_potential.softening import fit_frequency_scale, with_frequency_scale
from screening.trained_model import METHOD_PREFIXES
from stores.connect import Database, open_database
from stores.training import TrainingPhonons, TrainingReport, training_phonons

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator
    from screening.network_potential.softening import FrequencyScale
    from screening.prediction import ForceData
    from screening.trained_model import TrainedModel

__all__ = ["ScaledPotential", "corrected_potential", "potential_named", "scale_potential"]

Progress = Callable[[str, int, int], None]

_COMPARING = "comparing phonons"
_NOTE = "scores are of forces without the frequency scale"


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

    Raises
    ------
    NotFoundError
        If there is no such potential, or nothing matches.
    ModelRefusedError
        If the model is no potential.
    TrainingSetError
        If several sources match and none is named, or no crystal can be compared.
    SettingError
        If the best factor is not between 0.4 and 2.5.
    """
    from screening.calculators.trained_mace import load_trained_potential
    from stores.models import store_model

    started = time.monotonic()
    with open_database(database_uri) as database:
        stored = potential_named(database, name)
        report = TrainingReport()
        calculator = load_trained_potential(with_frequency_scale(stored, None))
        pairs = _pairs(database, query, source, calculator, report, progress)
        scale = fit_frequency_scale(pairs, f"phonons by {report.source}")
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
    notes = [one for one in stored.card.get("notes", ()) if one != _NOTE]
    card = {**stored.card, "frequency_scale": scale.as_dict()}
    card["notes"] = [scale.note, _NOTE, *notes[_n_old(notes) :]]
    return replace(with_frequency_scale(stored, scale), card=card)


def _n_old(notes: list[str]) -> int:
    """Count the notes of an earlier scale, which stand first."""
    return int(bool(notes) and notes[0].startswith("frequencies are multiplied by"))


def _pairs(
    database: Database,
    query: str,
    source: str,
    calculator: ForceCalculator,
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
            hint="Give phonons with the forces of displaced supercells",
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
