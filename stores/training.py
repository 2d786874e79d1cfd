"""Stored phonons as a training set: all of one source, read one after the other.

A model learns what one potential or functional says. Phonons of two sources are therefore never
mixed: where the materials have more than one, whoever trains says which. Predictions of fast
models are labels only where they are asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.errors import ScreeningError, TrainingSetError
from screening.predictors.interface import GIVEN_CELLS, GIVEN_FORCES, Tier
from stores.builders.incremental import chunks
from stores.documents.phonon import PhononDocument
from stores.documents.prediction import PredictionDocument
from stores.query import in_values
from stores.training_sources import Sourced, counts_of_sources, listed_counts

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.anharmonic import ForceConstants
    from screening.prediction import ForceData
    from stores.connect import Database  # brings the databases along

__all__ = ["TrainingPhonons", "TrainingReport", "training_phonons"]

_GIVEN = frozenset({GIVEN_CELLS, GIVEN_FORCES})
_FORCES, _CONSTANTS = "forces", "force_constants"


@dataclass(frozen=True, eq=False)
class TrainingPhonons:
    """The force constants of one material, or the forces that they follow from.

    Attributes
    ----------
    material_id, prediction_id
        Keys of the material and of the prediction.
    formula
        Reduced formula.
    source
        Name of the model whose forces they are.
    tier
        Tier of the prediction.
    static_energy_ev_per_atom
        Energy without vibrations in eV/atom by the same model, or None.
    residual_force_ev_per_angstrom
        Largest force on an atom at rest in eV/Å: what the relaxation left, or that of the
        undisplaced crystal; None where it is not known.
    force_data, force_constants
        One of the two; the other is None.
    relaxed
        The crystal as it was relaxed; None where it was taken as it was given.
    """

    material_id: str
    prediction_id: str
    formula: str
    source: str
    tier: int
    static_energy_ev_per_atom: float | None
    residual_force_ev_per_angstrom: float | None = None
    force_data: ForceData | None = None
    force_constants: ForceConstants | None = None
    relaxed: Structure | None = None


@dataclass
class TrainingReport:
    """What became of the materials that a training set was asked of; filled while it is read.

    Attributes
    ----------
    source
        Name of the model that all phonons are of.
    n_asked, n_read
        Number of materials asked for, and of those read so far.
    skipped
        Keys of the materials left out, by reason.
    """

    source: str = ""
    n_asked: int = 0
    n_read: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, material_id: str, reason: str) -> None:
        """Leave a material out."""
        self.skipped.setdefault(reason, []).append(material_id)

    @property
    def counts(self) -> dict[str, int]:
        """Number of materials left out, by reason."""
        return {reason: len(names) for reason, names in sorted(self.skipped.items())}

    def lines(self) -> list[str]:
        """Say it in words: a summary, then every reason."""
        head = f"{self.n_read} of {self.n_asked} materials have phonons of {self.source}"
        return [head, *(f"{count} left out: {reason}" for reason, count in self.counts.items())]


@dataclass(frozen=True, kw_only=True)
class _Candidate(Sourced):
    """A prediction with phonons."""

    material_id: str
    prediction_id: str
    merit: tuple[Any, ...]


def training_phonons(
    database: Database,
    material_ids: Sequence[str],
    model: str | None = None,
    *,
    report: TrainingReport | None = None,
) -> Iterator[TrainingPhonons]:
    """Read the phonons of some materials, all of one source.

    Of several predictions of one material by one source that of the highest tier counts, then
    that of the latest version of the method, then the newest.

    Parameters
    ----------
    database
        An open database; it must stay open while the phonons are read.
    material_ids
        Which materials, each once, in the order in which they are read.
    model
        Name of the source, as predictions carry it, where needed with ``@`` and the start of
        its digest; None where there is but one source.
    report
        Filled with what was left out and why.

    Returns
    -------
    iterator of TrainingPhonons
        The arrays of one material after those of the other.

    Raises
    ------
    TrainingSetError
        If no material has phonons of the source, or there are several sources and none is
        named; says which there are.
    """
    report = TrainingReport() if report is None else report
    wanted = list(dict.fromkeys(material_ids))
    report.n_asked = len(wanted)
    found = _candidates(database, wanted)
    chosen = _of_one_source(found, model, report)
    for name in wanted:
        if name not in chosen:
            report.skip(name, f"no phonons of {report.source}")
    return _read(database, [chosen[name] for name in wanted if name in chosen], report)


def _candidates(database: Database, material_ids: Sequence[str]) -> list[_Candidate]:
    """Find all predictions of the materials that force constants can be had of."""
    found = []
    for names in chunks(material_ids):
        same = in_values("material_id", names)
        blobs = ["prediction_id", "forces_blob", "force_constants_blob"]
        having = {
            row["prediction_id"]
            for row in database.phonons.query(same, blobs)
            if row.get("forces_blob") or row.get("force_constants_blob")
        }
        fields = ["prediction_id", "material_id", "tier", "provenance", "last_updated"]
        rows = database.predictions.query(same, fields)
        found += [_candidate(row) for row in rows if row["prediction_id"] in having]
    return found


def _candidate(row: Mapping[str, Any]) -> _Candidate:
    source = row["provenance"]
    when = str(row.get("last_updated") or "")
    # of given forces the digest is that of the numbers, which differ for every material
    given = source["method"] in _GIVEN
    return _Candidate(
        material_id=str(row["material_id"]),
        prediction_id=str(row["prediction_id"]),
        model=str(source["model"]),
        model_digest="" if given else str(source["model_digest"]),
        merit=(int(row["tier"]), source["method_version"], when, row["prediction_id"]),
    )


def _of_one_source(
    found: Sequence[_Candidate], model: str | None, report: TrainingReport
) -> dict[str, _Candidate]:
    """Choose a prediction of one source for every material that has one."""
    if model is None:
        fitting = [one for one in found if one.merit[0] != Tier.FAST_MODEL]
    else:
        fitting = [one for one in found if one.is_called(model)]
    sources = {one.named for one in fitting}
    if len(sources) != 1:
        raise _no_one_source(fitting or found, model, report.n_asked, is_none=not fitting)
    report.source = model or fitting[0].model
    chosen: dict[str, _Candidate] = {}
    for one in sorted(fitting, key=lambda candidate: candidate.merit):
        chosen[one.material_id] = one
    return chosen


def _no_one_source(
    found: Sequence[_Candidate], model: str | None, n_asked: int, *, is_none: bool
) -> TrainingSetError:
    """Say which sources there are, and of how many materials."""
    one_each = {(one.material_id, one.named): one for one in found}
    listed = listed_counts(counts_of_sources(list(one_each.values())))
    if is_none:
        return TrainingSetError(
            f"none of {n_asked} materials has phonons" + (f" of {model}" if model else ""),
            hint=f"There are phonons of {listed}; name one of these models"
            if listed
            else "Compute phonons first, for instance with 'phonoscreen screen'",
        )
    return TrainingSetError(
        f"the materials have phonons of several sources, which do not mix: {listed}",
        hint="Name the model to learn from",
    )


def _read(
    database: Database, chosen: Sequence[_Candidate], report: TrainingReport
) -> Iterator[TrainingPhonons]:
    for some in chunks(chosen):
        same = in_values("prediction_id", [one.prediction_id for one in some])
        predictions = {row["prediction_id"]: row for row in database.predictions.query(same)}
        phonons = {row["prediction_id"]: row for row in database.phonons.query(same)}
        for one in some:
            key = one.prediction_id
            if key not in predictions or key not in phonons:
                report.skip(one.material_id, "removed meanwhile")
                continue
            try:
                made = _made(database, one, predictions[key], phonons[key])
            except ScreeningError as error:
                report.skip(one.material_id, f"{error.code}: {error.message}")
                continue
            report.n_read += 1
            yield made


def _made(
    database: Database,
    one: _Candidate,
    prediction: Mapping[str, Any],
    phonons: Mapping[str, Any],
) -> TrainingPhonons:
    """Read the arrays of one material; fitted force constants before forces."""
    stored, document = PredictionDocument.load(prediction), PhononDocument.load(phonons)
    blobs, relaxation = document.blob_digests, stored.relaxation
    part = _CONSTANTS if _CONSTANTS in blobs else _FORCES
    arrays = database.blobs.get(blobs[part])
    is_fitted = part == _CONSTANTS
    forces = None if is_fitted else document.force_data(arrays)
    residual = _force_at_rest(forces, is_given=stored.provenance.method in _GIVEN)
    return TrainingPhonons(
        material_id=one.material_id,
        prediction_id=one.prediction_id,
        formula=stored.formula_reduced,
        source=one.model,
        tier=stored.tier,
        static_energy_ev_per_atom=stored.static_energy_ev_per_atom,
        residual_force_ev_per_angstrom=(
            residual if relaxation is None else relaxation.max_force_ev_per_angstrom
        ),
        force_data=forces,
        force_constants=document.force_constants(arrays) if is_fitted else None,
        relaxed=None if relaxation is None else stored.structure.to_pymatgen(),
    )


def _force_at_rest(forces: ForceData | None, *, is_given: bool) -> float | None:
    """Largest force of the undisplaced cell in eV/Å; files without such a cell say zero."""
    if forces is None:
        return None
    found = float(np.linalg.norm(forces.residual_forces_ev_per_angstrom, axis=1).max(initial=0.0))
    return None if is_given and found == 0.0 else found
