"""Training on what a database holds: phonons in, a stored model out.

Structures that a filter selects and that have phonons by one source are read one after the
other; what is of no use is left out with its reason, and what is left trains the model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.catalogue import in_chunks, materials_where
from flows.model_cards import score_rows
from flows.trained import SOURCES, Progress, TrainedMethod, trained_method
from screening.errors import NotFoundError, ScreeningError, SettingError, TrainingSetError
from stores.connect import Database, open_database
from stores.documents.model import MetricRecord
from stores.query import in_values

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel
    from stores.training import TrainingReport

__all__ = [
    "Training",
    "TrainingTask",
    "check_options",
    "read_training_settings",
    "train",
    "train_and_store",
]

READING = "reading phonons"
_SAID_REASONS = 3
_METRICS = ("pearson", "spearman", "mae", "rmse", "skill")
_SAID_ELEMENTS = 5


@dataclass(frozen=True)
class TrainingTask:
    """What is to be trained, and on what.

    Attributes
    ----------
    method
        ``rf-ifc`` or ``ldml``.
    query
        Filter on structures or summaries; empty for all that have phonons.
    source
        Model whose phonons are learned; empty where there is only one.
    name
        Name of the model; empty for that of the chemistry.
    settings
        Plain settings of the method; what is not given has its default.
    """

    method: str
    query: str = ""
    source: str = ""
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Training:
    """What came of a training.

    Attributes
    ----------
    model, model_id
        The model, and its key in the database.
    source
        Model whose phonons it learned.
    n_matching
        Materials that the filter selects.
    training_ids
        Materials it learned from.
    left_out
        Number of the other materials, by reason.
    wall_seconds
        Duration.
    """

    model: TrainedModel
    model_id: str
    source: str
    n_matching: int
    training_ids: tuple[str, ...]
    left_out: Mapping[str, int]
    wall_seconds: float


def read_training_settings(file: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a JSON file, changed by those given as options.

    Raises
    ------
    SettingError
        If the file cannot be read.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SettingError(
                f"cannot be read: {error}", subject=str(file), hint="Give a JSON file of settings"
            ) from error
        if not isinstance(read, dict):
            raise SettingError("is no JSON object", subject=str(file))
        values = read
    return values | {name: value for name, value in given.items() if value is not None}


def check_options(method: TrainedMethod, given: Mapping[str, Any]) -> None:
    """Refuse options of another method.

    Raises
    ------
    SettingError
        If one is given that the method has not.
    """
    foreign = sorted(name for name in given if name not in method.options and given[name])
    if foreign:
        raise SettingError(
            f"is no option of {method.name}",
            subject=", ".join(f"--{one}" for one in foreign),
            hint="Leave it out",
        )


def train_and_store(
    database_uri: str, task: TrainingTask, progress: Progress | None = None
) -> Training:
    """Open a database, train on what it holds and store the model there; see `train`."""
    with open_database(database_uri) as database:
        return train(database, task, progress)


def train(database: Database, task: TrainingTask, progress: Progress | None = None) -> Training:
    """Train a model on stored phonons, and store it.

    Parameters
    ----------
    database
        Phonons are read from it, and the model goes to its ``models``.
    task
        What, and on what.
    progress
        Told of every structure that is read, then of what the training says.

    Raises
    ------
    SettingError
        If there is no such method, or a setting cannot be used.
    QueryError
        If the filter cannot be read.
    NotFoundError
        If nothing with phonons matches.
    TrainingSetError
        If several sources match and none is chosen, or what is left is too little.
    """
    from stores.models import store_model
    from stores.training import TrainingReport

    started = time.monotonic()
    method = trained_method(task.method)
    names = materials_where(database, task.query)
    if not names:
        raise NotFoundError(
            "no structure matches", subject=task.query or "training set", hint="Import some first"
        )
    report = TrainingReport()
    labels = _labels(database, names, task.source, method, report, progress)
    name = task.name or _chemistry(database, list(labels))
    trained = method.train(list(labels.values()), task.settings, name, progress)
    model = _with_origin(trained, report)
    return Training(
        model=model,
        model_id=store_model(database, model, tuple(labels), metrics=_metrics(model)),
        source=report.source,
        n_matching=len(names),
        training_ids=tuple(labels),
        left_out=report.counts,
        wall_seconds=time.monotonic() - started,
    )


def _labels(
    database: Database,
    names: Sequence[str],
    source: str,
    method: TrainedMethod,
    report: TrainingReport,
    progress: Progress | None,
) -> dict[str, Any]:
    """Return what a method learns from, by material; what is of no use goes to the report."""
    from stores.training import training_phonons

    labels: dict[str, Any] = {}
    messages: dict[str, str] = {}
    found = training_phonons(database, names, source or None, report=report)
    n_found = report.n_asked - sum(report.counts.values())
    for phonons in found:
        try:
            labels[phonons.material_id] = method.label(phonons)
        except ScreeningError as error:
            # one reason for each code: messages hold numbers of the crystal
            message = messages.setdefault(error.code, error.message)
            report.skip(phonons.material_id, f"{error.code}, the first: {message}")
        if progress is not None:
            progress(READING, report.n_read, n_found)
    if not labels:
        reasons = sorted(report.counts.items(), key=lambda one: -one[1])[:_SAID_REASONS]
        said = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        raise TrainingSetError(
            f"nothing can be learned from the phonons of {len(names)} materials: {said}",
            subject=report.source,
            hint="Use relaxed crystals without imaginary modes",
        )
    return labels


def _with_origin(model: TrainedModel, report: TrainingReport) -> TrainedModel:
    """Add to the card whose results were learned, and what was left out, which trainers know not.

    Reasons are kept as texts: they may not be names of fields.
    """
    left_out = [f"{count} left out: {reason}" for reason, count in report.counts.items()]
    notes = [*left_out, *model.card.get("notes", ())]
    return replace(model, card={**model.card, SOURCES: [report.source], "notes": notes})


def _metrics(model: TrainedModel) -> list[MetricRecord]:
    """Return the scores of a card as records that can be searched for."""
    return [
        MetricRecord(
            name=name,
            quantity=score.name,
            value=getattr(score, name),
            data_set="held-out folds",
            n_samples=model.n_training_samples,
        )
        for score in score_rows(model.card)
        for name in _METRICS
        if getattr(score, name) is not None
    ]


def _chemistry(database: Database, names: Sequence[str]) -> str:
    """Name the chemistry of a training set: its formula, its system, or how many elements."""
    formulas: set[str] = set()
    elements: set[str] = set()
    for chunk in in_chunks(names):
        fields = ["material_id", "formula_reduced", "elements"]
        for row in database.structures.query(in_values("material_id", chunk), fields):
            formulas.add(row["formula_reduced"])
            elements.update(row["elements"])
    if len(formulas) == 1:
        return formulas.pop()
    return "-".join(sorted(elements)) if len(elements) <= _SAID_ELEMENTS else "many"
