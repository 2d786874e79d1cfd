"""Calibrations in the database: built from pairs of predictions, found by method.

Incremental like the builders: a calibration whose pairs have not changed is left alone. Each
version is kept, because decisions name the one that they rest on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screening.predictors.interface import Tier
from screening.quantities import Quantity
from screening.uncertainty.assessment import QuantityAssessment, assess_calibration
from screening.uncertainty.calibration import Calibration, default_quantities
from screening.uncertainty.families import method_family
from screening.uncertainty.fitting import Pair, fit_calibration
from screening.uncertainty.risk import LowestFrequencies
from screening.uncertainty.samples import Sample, sample_of
from screening.uncertainty.shipped import shipped_calibrations
from stores.builders.incremental import by_key, chunks, input_digest_of
from stores.documents.model import MetricRecord, ModelDocument, ModelKind, version_of
from stores.documents.prediction import PredictionDocument
from stores.models import learned_by
from stores.query import and_, by_field, compare, in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = [
    "CalibrationReport",
    "build_calibrations",
    "calibration_pairs",
    "family_of_document",
    "read_calibrations",
    "store_calibration",
]

BUILDER_VERSION = 2
ASSESSED_ALPHA = 0.1
_UNKNOWN = "it is not known here what the model learned from: train it here, or import its file"
_PREFIX = "calibration"


@dataclass(frozen=True)
class CalibrationReport:
    """What a build of calibrations did.

    Attributes
    ----------
    written
        Keys of the documents written.
    n_unchanged
        Number of calibrations whose pairs had not changed.
    left_out
        What of the predictions of trained models is no pair, by family, in words.
    """

    written: tuple[str, ...] = ()
    n_unchanged: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Family:
    """Pairs of one cheap family with one reference family."""

    pairs: dict[str, Pair] = field(default_factory=dict)
    digests: dict[str, list[str | None]] = field(default_factory=dict)


@dataclass
class _Pairs:
    """Pairs by the families of both methods, and predictions that make none.

    Attributes
    ----------
    families
        Pairs by cheap and reference family.
    n_learned
        Number of crystals that a trained model learned from, by family.
    unknown
        Families of trained models of which nobody knows what they learned from.
    """

    families: dict[tuple[str, str], _Family] = field(default_factory=lambda: defaultdict(_Family))
    n_learned: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)

    @property
    def left_out(self) -> dict[str, str]:
        """Say it in words, by family."""
        said = {
            name: f"{count} crystals that it learned from say nothing of others"
            for name, count in sorted(self.n_learned.items())
        }
        return said | dict.fromkeys(sorted(self.unknown), _UNKNOWN)


def family_of_document(document: PredictionDocument) -> str:
    """Family of the method that made a stored prediction."""
    source = document.provenance
    return method_family(
        method=source.method or "",
        method_version=source.method_version or 1,
        model=source.model or "",
        model_digest=source.model_digest or "",
        settings=document.settings,
    )


def calibration_pairs(
    database: Database, cheap_family: str | None = None, reference_family: str | None = None
) -> dict[tuple[str, str], list[Pair]]:
    """Read all pairs of predictions of the same crystal by methods of different tiers.

    A crystal that a trained model learned from is no pair of this model: its error there is
    that of a fit, not of a prediction.

    Parameters
    ----------
    database
        An open database.
    cheap_family, reference_family
        Only pairs of these families; None for all.

    Returns
    -------
    dict
        Pairs by cheap and reference family.
    """
    families = _pairs(database).families
    return {
        names: list(family.pairs.values())
        for names, family in sorted(families.items())
        if cheap_family in {None, names[0]} and reference_family in {None, names[1]}
    }


def build_calibrations(
    database: Database, quantities: Iterable[Quantity] = ()
) -> CalibrationReport:
    """Bring the calibrations of all families up to date with the predictions.

    Parameters
    ----------
    database
        An open database.
    quantities
        What to calibrate beside the usual quantities.

    Returns
    -------
    CalibrationReport
        What was written and what had not changed.
    """
    asked = tuple(dict.fromkeys((*default_quantities(), *quantities)))
    pairs = _pairs(database)
    written, unchanged = [], 0
    for names, family in sorted(pairs.families.items()):
        known = _newest(database, *names)
        wanted = _with_earlier(asked, known)
        digest = input_digest_of(
            BUILDER_VERSION,
            ModelDocument.SCHEMA_VERSION,
            families=list(names),
            quantities=sorted(quantity.name for quantity in wanted),
            pairs=family.digests,
        )
        if known is not None and known.training_set_digest == digest:
            unchanged += 1
            continue
        written.append(_build(database, names, family, wanted, digest))
    return CalibrationReport(tuple(written), unchanged, pairs.left_out)


def store_calibration(
    database: Database,
    calibration: Calibration,
    *,
    assessments: Sequence[QuantityAssessment] = (),
    training_set_digest: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Write a calibration to the models; returns its key.

    Parameters
    ----------
    database
        An open database.
    calibration
        What to store.
    assessments
        Held-out scores.
    training_set_digest
        SHA-256 of the pairs it was built from, where they are in this database.
    notes
        What users must know.
    """
    document = ModelDocument.from_parts(
        name=_name(calibration.cheap_family, calibration.reference_family),
        version=version_of(calibration.calibration_id),
        kind=ModelKind.CALIBRATION,
        model_digest=calibration.calibration_id,
        training_set_digest=training_set_digest,
        n_training_samples=len(calibration.material_ids) or None,
        metrics=[metric for one in assessments for metric in _metrics(one)],
        calibration=calibration.as_dict(),
        notes=notes,
        training_ids=calibration.material_ids,
    )
    database.models.update(document.to_store())
    return document.model_id


def read_calibrations(
    database: Database, cheap_family: str, reference_family: str | None = None
) -> tuple[Calibration, ...]:
    """Read all calibrations of a cheap family, the newest of each reference family last.

    Raises
    ------
    CorruptDataError, InconsistentDataError
        If a stored calibration cannot be read.
    """
    found = []
    for document in sorted(_documents(database), key=_age):
        values = document.calibration or {}
        if values.get("cheap_family") != cheap_family:
            continue
        if reference_family in {None, values.get("reference_family")}:
            found.append(Calibration.from_dict(values))
    return tuple(found)


def _pairs(database: Database) -> _Pairs:
    """Pairs of predictions of one crystal, by the families of both methods."""
    better = compare("tier", ">=", int(Tier.FEW_DFT_CELLS))
    rows = by_key(database.predictions, "prediction_id", ["structure_digest"], better)
    digests = sorted({str(row["structure_digest"]) for row in rows.values()})
    found = _Pairs()
    for some in chunks(digests):
        of_tiers = database.predictions.query(in_values("structure_digest", some))
        same: dict[str, list[PredictionDocument]] = defaultdict(list)
        for document in _held_out(database, map(PredictionDocument.load, of_tiers), found):
            same[document.structure_digest].append(document)
        for documents in same.values():
            _add_pairs(found.families, documents)
    return found


def _held_out(
    database: Database, documents: Iterable[PredictionDocument], found: _Pairs
) -> list[PredictionDocument]:
    """Leave out what trained models say of crystals that they learned from, or may have."""
    kept: list[PredictionDocument] = []
    trained: dict[str, list[PredictionDocument]] = defaultdict(list)
    for one in documents:
        if one.tier == Tier.FAST_MODEL:
            trained[one.provenance.model_digest or ""].append(one)
        else:
            kept.append(one)
    for model_digest, some in trained.items():
        learned = learned_by(database, model_digest, [one.material_id for one in some])
        if learned is None:
            found.unknown.update(map(family_of_document, some))
            continue
        kept += [one for one in some if one.material_id not in learned]
        found.n_learned.update(
            family_of_document(one) for one in some if one.material_id in learned
        )
    return kept


def _add_pairs(
    found: Mapping[tuple[str, str], _Family], documents: Sequence[PredictionDocument]
) -> None:
    """Pair every prediction with those of a higher tier; of one family the newest counts."""
    newest: dict[str, PredictionDocument] = {}
    for one in sorted(documents, key=_age):
        newest[family_of_document(one)] = one
    for cheap_name, cheap in newest.items():
        for better_name, better in newest.items():
            if better.tier <= cheap.tier or better.tier < Tier.FEW_DFT_CELLS:
                continue
            family = found[cheap_name, better_name]
            family.pairs[cheap.material_id] = (_sample(cheap), _sample(better))
            family.digests[cheap.material_id] = [cheap.prediction_id, better.prediction_id]


def _sample(document: PredictionDocument) -> Sample:
    return sample_of(document.to_prediction(), document.material_id)


def _build(
    database: Database,
    names: tuple[str, str],
    family: _Family,
    quantities: Sequence[Quantity],
    digest: str,
) -> str:
    pairs = list(family.pairs.values())
    calibration = fit_calibration(
        pairs,
        cheap_family=names[0],
        reference_family=names[1],
        quantities=quantities,
        known_verdicts=_shipped_verdicts(names[0]),
    )
    assessed = [q for q in quantities if q.temperature_k in {None, 300.0, 1000.0}]
    return store_calibration(
        database,
        calibration,
        assessments=assess_calibration(pairs, assessed, ASSESSED_ALPHA),
        training_set_digest=digest,
    )


def _shipped_verdicts(cheap_family: str) -> LowestFrequencies:
    """Lowest frequencies of crystals that this release knows the stability of.

    Few databases hold first-principles instabilities; without any, nothing could be called
    stable at a stated risk.
    """
    for one in shipped_calibrations():
        if one.cheap_family == cheap_family:
            return one.lowest_frequencies
    return LowestFrequencies()


def _with_earlier(
    quantities: Sequence[Quantity], known: ModelDocument | None
) -> tuple[Quantity, ...]:
    """Keep calibrating what a question once asked for."""
    tables = (known.calibration or {}).get("tables", {}) if known else {}
    return tuple(dict.fromkeys((*quantities, *(Quantity.parse(name) for name in tables))))


def _documents(database: Database) -> list[ModelDocument]:
    criteria = by_field("kind", ModelKind.CALIBRATION.value)
    return [ModelDocument.load(stored) for stored in database.models.query(criteria)]


def _newest(database: Database, cheap_family: str, reference_family: str) -> ModelDocument | None:
    criteria = and_(
        by_field("kind", ModelKind.CALIBRATION.value),
        by_field("name", _name(cheap_family, reference_family)),
    )
    found = [ModelDocument.load(stored) for stored in database.models.query(criteria)]
    return max(found, key=_age, default=None)


def _name(cheap_family: str, reference_family: str) -> str:
    return f"{_PREFIX} of {cheap_family} by {reference_family}"


def _age(document: ModelDocument | PredictionDocument) -> tuple[str, str]:
    """Order by time; of one time by key, so that every process picks the same."""
    when = document.last_updated.isoformat() if document.last_updated else ""
    return when, str(document.key)


def _metrics(one: QuantityAssessment) -> list[MetricRecord]:
    """Held-out scores as records; what does not exist is left out."""
    values = {
        "mae_raw": one.mae_raw,
        "mae_corrected": one.mae_corrected,
        "skill": one.skill,
        "coverage_of_finite": one.coverage,
        "median_half_width": one.median_half_width,
        "finite_fraction": one.finite_fraction,
    }
    return [
        MetricRecord(
            name=name,
            quantity=one.quantity.name,
            value=value,
            data_set=f"held-out compositions, alpha {one.alpha:g}",
            n_samples=one.n_values,
        )
        for name, value in values.items()
        if value is not None
    ]
