"""Predicting many stored structures with a trained model: in batches, read and written in bulk.

A trained model predicts hundreds of crystals in the time in which a single claim is taken and
given back, so there are no claims: whoever predicts the same crystal at the same time writes
the same document under the same key.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flows.at_rest import at_rest
from flows.catalogue import in_chunks, originals_of, prefer_predictions, work_list
from flows.checked_forces import with_forces_checked
from flows.events import MaterialEvent, Outcome, emit
from flows.materials import STAGE, key_of
from flows.summaries import build_summaries
from flows.trained import TrainedPredictor, predictor_of, training_source
from screening.errors import DatabaseUnavailableError, NotFoundError, SettingError
from screening.prediction import Prediction
from stores.connect import Database, open_database
from stores.documents import (
    FailureDocument,
    PhononDocument,
    PredictionDocument,
    StructureDocument,
    phonon_arrays,
)
from stores.models import learned_by
from stores.query import in_values

if TYPE_CHECKING:
    from screening.settings import ScreeningSettings
    from screening.structure import Crystal
    from screening.trained_model import TrainedModel

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "LEARNED",
    "BatchTimes",
    "PredictingReport",
    "crystals_of",
    "predict_crystals",
    "predict_stored",
]

DEFAULT_BATCH_SIZE = 200
LEARNED = "the model learned from this crystal: of others its errors are larger"

Told = Callable[[int, int, int], None]
"""Told how many structures are done, how many there are, and how many were refused."""


@dataclass
class BatchTimes:
    """Wall time in s of the parts of a run."""

    reading_s: float = 0.0
    predicting_s: float = 0.0
    writing_s: float = 0.0


@dataclass(frozen=True)
class PredictingReport:
    """What one run predicted.

    Attributes
    ----------
    model
        Name of the model, as its predictions carry it.
    outcomes
        Number of materials per outcome.
    refused
        Number of failures of this run and of earlier ones, by error code.
    messages
        The first message of each of these codes.
    n_predicted
        Structures given to the model in this run.
    n_learned
        How many of these the model learned from; None where nobody knows.
    n_relaxed, relaxed_by
        How many were taken as the training source relaxed them, and its name.
    times
        Wall times of reading, predicting and writing; summaries are not part of them.
    written
        Number of summary documents written, by collection.
    wall_seconds
        Duration of the run, summaries included.
    """

    model: str
    outcomes: dict[str, int]
    refused: dict[str, int]
    messages: dict[str, str]
    n_predicted: int
    n_learned: int | None
    n_relaxed: int
    relaxed_by: str
    times: BatchTimes
    written: dict[str, int]
    wall_seconds: float

    @property
    def predicting_rate(self) -> float | None:
        """Structures per second of the model alone; None where it predicted nothing."""
        return self._rate(self.times.predicting_s)

    @property
    def whole_rate(self) -> float | None:
        """Structures per second from database to database, summaries not included."""
        return self._rate(self.times.reading_s + self.times.predicting_s + self.times.writing_s)

    def _rate(self, seconds: float) -> float | None:
        return self.n_predicted / seconds if self.n_predicted and seconds > 0.0 else None


@dataclass
class _Run:
    """What a run has done so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    times: BatchTimes = field(default_factory=BatchTimes)
    n_predicted: int = 0
    n_learned: int = 0
    n_wanted: int = 0
    told: Told | None = None

    def tell(self) -> None:
        """Tell how far it is."""
        if self.told is not None:
            self.told(self.outcomes.total(), self.n_wanted, self.refused.total())

    def note(self, event: MaterialEvent) -> None:
        """Count what became of a material."""
        self.outcomes[event.outcome.value] += 1
        if event.outcome in {Outcome.FAILED, Outcome.FAILED_BEFORE}:
            code, _, message = event.detail.partition(": ")
            self.refused[code] += 1
            self.messages.setdefault(code, message)


def predict_stored(  # noqa: PLR0913 - every option is an argument
    database_uri: str,
    model: TrainedModel,
    material_ids: Sequence[str],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    settings: ScreeningSettings | None = None,
    mesh: bool = False,
    check_forces: str = "",
    told: Told | None = None,
) -> PredictingReport:
    """Predict stored structures, then summarise them.

    Crystals that the source of the training set has relaxed are taken as it left them, the others
    as they were given.

    Parameters
    ----------
    database_uri
        The database.
    model
        What predicts.
    material_ids
        Which; duplicates are replaced by the crystal that they duplicate.
    batch_size
        Structures that are read, predicted and written together.
    settings
        Of the thermodynamics and the criterion of stability; None for the defaults.
    mesh
        Take modes on a mesh of wave vectors, see `flows.trained.predictor_of`.
    check_forces
        Potential that is asked for the forces on every crystal first, as
        `screening.calculators.load_calculator` reads it; see `flows.checked_forces`. None where
        empty.
    told
        Told after every batch.

    Returns
    -------
    PredictingReport
        A second call predicts nothing; one that was interrupted goes on.

    Raises
    ------
    SettingError
        If a batch has no room, the model has no modes on a mesh, or it learned from another
        potential than is asked for forces.
    NotFoundError
        If there is nothing to predict, or a material is unknown.
    """
    if batch_size < 1:
        raise SettingError(f"{batch_size} structures are no batch", subject="batch_size")
    started = time.monotonic()
    predictor = with_forces_checked(predictor_of(model, settings, mesh=mesh), check_forces)
    run, written = _Run(), dict[str, int]()
    with open_database(database_uri) as database:
        wanted = originals_of(database, material_ids)
        if not wanted:
            raise NotFoundError("no structure to predict", hint="Import some, or ask for others")
        learned = learned_by(database, predictor.model_digest, wanted)
        parts = at_rest(database, wanted, predictor)
        relaxed = [name for names, one in parts if one is not predictor for name in names]
        run.told, run.n_wanted = told, len(wanted)
        try:
            marked = learned or frozenset()
            for names, one in parts:
                _predict_all(database, names, one, marked, batch_size, run)
        finally:  # what is done is summarised, also where the rest cannot go on
            for names, one in parts:
                prefer_predictions(database, names, one)
            written = build_summaries(database, wanted)
    return PredictingReport(
        model=predictor.model,
        outcomes=dict(run.outcomes),
        refused=dict(sorted(run.refused.items())),
        messages=run.messages,
        n_predicted=run.n_predicted,
        n_learned=None if learned is None else run.n_learned,
        n_relaxed=len(relaxed),
        relaxed_by=training_source(predictor) if relaxed else "",
        times=run.times,
        written=written,
        wall_seconds=time.monotonic() - started,
    )


def _predict_all(
    database: Database,
    wanted: Sequence[str],
    predictor: TrainedPredictor,
    learned: Collection[str],
    batch_size: int,
    run: _Run,
) -> None:
    work = work_list(database, wanted, predictor)
    for event in work.settled:
        run.note(event)
    run.tell()
    for names in in_chunks(work.pending, batch_size):
        began = time.monotonic()
        crystals = crystals_of(database, names)
        run.times.reading_s += time.monotonic() - began
        for event in predict_crystals(database, crystals, predictor, learned, run.times):
            run.note(event)
        run.n_predicted += len(crystals)
        run.n_learned += sum(one.material_id in learned for one in crystals)
        run.tell()


def crystals_of(database: Database, names: Sequence[str]) -> list[Crystal]:
    """Read crystals with one query, in the order of their names."""
    rows = database.structures.query(in_values("material_id", list(names)))
    found = {row["material_id"]: StructureDocument.load(row).to_crystal() for row in rows}
    return [found[name] for name in names if name in found]


def predict_crystals(
    database: Database,
    crystals: Sequence[Crystal],
    predictor: TrainedPredictor,
    learned: Collection[str],
    times: BatchTimes | None = None,
) -> list[MaterialEvent]:
    """Predict crystals at once and write what came of each, whatever is known of them.

    Predictions of crystals that the model learned from say so.

    Parameters
    ----------
    database
        Where predictions and failures go.
    crystals, predictor
        What is predicted with what.
    learned
        Materials that the model learned from, see `stores.models.learned_by`.
    times
        Wall times to add to.

    Returns
    -------
    list of MaterialEvent
        One for each crystal; the same events are emitted to the listener.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached, which says nothing about the crystals.
    """
    times = times or BatchTimes()
    began = time.monotonic()
    results = _results(crystals, predictor)
    predicted = time.monotonic()
    share = (predicted - began) / max(1, len(crystals))
    pairs = _marked(zip(crystals, results, strict=True), learned)
    events = _written(database, pairs, predictor, share)
    times.predicting_s += predicted - began
    times.writing_s += time.monotonic() - predicted
    for event in events:
        emit(event)
    return events


def _results(
    crystals: Sequence[Crystal], predictor: TrainedPredictor
) -> Sequence[Prediction | Exception]:
    """Predict all at once; where that fails as a whole, one after the other."""
    try:
        return predictor.predict_many(crystals)
    except DatabaseUnavailableError:
        raise
    except Exception:  # noqa: BLE001 - one crystal must not take the others with it
        return [_result(one, predictor) for one in crystals]


def _result(crystal: Crystal, predictor: TrainedPredictor) -> Prediction | Exception:
    try:
        return predictor.predict(crystal)
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
        return error


def _marked(
    results: Iterable[tuple[Crystal, Prediction | Exception]], learned: Collection[str]
) -> list[tuple[Crystal, Prediction | Exception]]:
    """Add a warning to predictions of crystals that the model learned from."""
    return [
        (crystal, replace(result, warnings=(*result.warnings, LEARNED)))
        if isinstance(result, Prediction) and crystal.material_id in learned
        else (crystal, result)
        for crystal, result in results
    ]


def _written(
    database: Database,
    results: Sequence[tuple[Crystal, Prediction | Exception]],
    predictor: TrainedPredictor,
    seconds: float,
) -> list[MaterialEvent]:
    """Write predictions and failures with a few calls; arrays first, the prediction last."""
    events: list[MaterialEvent] = []
    phonons, predictions, failures = [], [], []
    for crystal, result in results:
        try:
            if isinstance(result, Exception):
                raise result  # noqa: TRY301 - one place for what the model and the schema refuse
            document = PredictionDocument.from_prediction(result, crystal.material_id)
            blobs = {part: database.blobs.put(x) for part, x in phonon_arrays(result).items()}
            if blobs:
                arrays = PhononDocument.from_prediction(result, crystal.material_id, blobs)
                phonons.append(arrays.to_store())
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
            failure = _failure(crystal, predictor, error)
            failures.append(failure.to_store())
            detail = f"{failure.code}: {failure.message}"
            events.append(_event(crystal, Outcome.FAILED, seconds, detail))
            continue
        predictions.append(document.to_store())
        events.append(_event(crystal, Outcome.COMPUTED, seconds, result.stability.verdict.value))
    for store, documents in (
        (database.phonons, phonons),
        (database.predictions, predictions),
        (database.failures, failures),
    ):
        if documents:
            store.update(documents)
    return events


def _event(crystal: Crystal, outcome: Outcome, seconds: float, detail: str) -> MaterialEvent:
    return MaterialEvent(crystal.material_id, crystal.formula, outcome, seconds, detail)


def _failure(crystal: Crystal, predictor: TrainedPredictor, error: Exception) -> FailureDocument:
    return FailureDocument.from_error(
        error,
        stage=STAGE,
        material_id=crystal.material_id,
        method=predictor.method,
        prediction_id=key_of(crystal.digest, predictor),
        tier=predictor.tier,
    )
