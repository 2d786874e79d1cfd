"""Training on what a database holds: phonons in, a stored model out.

Structures that a filter selects and that have phonons by one source are read one after the
other; what is of no use is left out with its reason, and what is left trains the model.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.catalogue import in_chunks, materials_where
from flows.model_cards import score_rows
from flows.trained import SOURCES, Progress, TrainedMethod, trained_method
from screening.errors import NotFoundError, ScreeningError, SettingError, TrainingSetError
from screening.shipped_models import own_model_name
from stores.connect import Database, open_database
from stores.documents.model import MetricRecord
from stores.query import in_values

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel
    from stores.training import TrainingPhonons, TrainingReport

__all__ = [
    "Training",
    "TrainingTask",
    "check_options",
    "read_training_settings",
    "train",
    "train_and_store",
]

READING = "reading phonons"
_TRAINING_IDS = "training_ids"  # field of a card: what the trainer kept
_SAID_REASONS = 3
_METRICS = ("pearson", "spearman", "mae", "rmse", "skill")
_SAID_ELEMENTS = 5


@dataclass(frozen=True)
class TrainingTask:
    """What is to be trained, and on what.

    Attributes
    ----------
    method
        ``rf-ifc``, ``ldml`` or ``alignn``.
    query
        Filter on structures or summaries; empty for all that have phonons.
    source
        Model whose phonons are learned; empty where there is only one.
    name
        Name of the model; empty for that of the chemistry.
    settings
        Plain settings of the method; what is not given has its default.
    material_ids
        Only these materials; None for all that the filter selects.
    file
        File of labels that others computed, of which is learned in place of phonons of the
        database; empty for these.
    """

    method: str
    query: str = ""
    source: str = ""
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    material_ids: Sequence[str] | None = None
    file: str = ""


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
        Number of the other materials, by reason; among them what the trainer left out itself.
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


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What there is to learn from one material.

    Attributes
    ----------
    label
        As the method takes it.
    at_rest
        Key of the relaxed crystal, as a material of its own.
    has_forces
        Whether it is known how large the forces on its atoms are.
    """

    label: Any
    at_rest: str
    has_forces: bool


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


def check_options(method: str, options: Sequence[str], given: Mapping[str, Any]) -> None:
    """Refuse options of another method.

    Parameters
    ----------
    method, options
        The method that was named, and the options that it has.
    given
        What was typed, by the name of the option; None where it was not.

    Raises
    ------
    SettingError
        If one is given that the method has not.
    """
    foreign = sorted(name for name in given if name not in options and given[name] is not None)
    if foreign:
        raise SettingError(
            f"is no option of {method}",
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
        If there is no such method, or a setting or the name cannot be used; if materials are
        chosen, where a file is learned.
    QueryError
        If the filter cannot be read.
    NotFoundError
        If nothing with phonons matches.
    TrainingSetError
        If several sources match and none is chosen, or what is left is too little.
    """
    from stores.training import TrainingReport

    started = time.monotonic()
    method = trained_method(task.method)
    method.check(task.settings)  # before all the work, not after it
    if task.name:
        own_model_name(method.method, task.name)
    report = TrainingReport()
    if task.file:
        _check_file_alone(task)
        lessons = _lessons_of_file(Path(task.file), method, report)
        return _stored(database, task, method, lessons, report, progress, started)
    names = materials_where(database, task.query)
    if task.material_ids is not None:
        names = tuple(sorted(set(names).intersection(task.material_ids)))
    if not names:
        raise NotFoundError(
            "no structure matches", subject=task.query or "training set", hint="Import some first"
        )
    lessons = _lessons(database, names, task.source, method, report, progress)
    lessons = _of_one_kind(lessons, method, report)
    return _stored(database, task, method, lessons, report, progress, started)


def _stored(
    database: Database,
    task: TrainingTask,
    method: TrainedMethod,
    lessons: Mapping[str, _Lesson],
    report: TrainingReport,
    progress: Progress | None,
    started: float,
) -> Training:
    """Train, and store the model with all that is known of where it comes from."""
    from stores.models import store_model

    unnamed = "jarvis" if task.file else ""
    name = task.name or unnamed or _chemistry(database, list(lessons))
    labels = [one.label for one in lessons.values()]
    trained = method.train(labels, task.settings, name, progress)
    model = _with_origin(trained, lessons, report)
    return Training(
        model=model,
        model_id=store_model(database, model, metrics=_metrics(model)),
        source=report.source,
        n_matching=report.n_asked,
        training_ids=tuple(model.card[_TRAINING_IDS]),
        left_out=report.counts,
        wall_seconds=time.monotonic() - started,
    )


def _check_file_alone(task: TrainingTask) -> None:
    """Refuse to choose among the records of a file: all are learned."""
    chosen = {"query": task.query or None, "source": task.source or None}
    given = {**chosen, "material-ids": task.material_ids}
    check_options("a training from a file", (), given)


def _lessons_of_file(
    file: Path, method: TrainedMethod, report: TrainingReport
) -> dict[str, _Lesson]:
    """Return what a file holds; whoever made it knows whether its crystals are at rest."""
    if method.labels_of_file is None:
        raise SettingError(f"is no option of {method.name}", subject="--jarvis", hint="Leave it")
    labels, left_out = method.labels_of_file(file)
    for reason, count in left_out.items():
        report.skipped[reason] = [""] * count
    report.n_asked, report.n_read = len(labels) + sum(left_out.values()), len(labels)
    if not labels:
        raise TrainingSetError("holds nothing to learn from", subject=str(file), hint="Try another")
    report.source = labels[0].source
    return {one.material_id: _Lesson(one, one.material_id, has_forces=True) for one in labels}


def _lessons(
    database: Database,
    names: Sequence[str],
    source: str,
    method: TrainedMethod,
    report: TrainingReport,
    progress: Progress | None,
) -> dict[str, _Lesson]:
    """Return what a method learns from, by material; what is of no use goes to the report."""
    from stores.training import training_phonons

    lessons: dict[str, _Lesson] = {}
    messages: dict[str, str] = {}
    found = training_phonons(database, names, source or None, report=report)
    n_found = report.n_asked - sum(report.counts.values())
    for phonons in found:
        try:
            lessons[phonons.material_id] = _lesson(phonons, method)
        except ScreeningError as error:
            # one reason for each code: messages hold numbers of the crystal
            message = messages.setdefault(error.code, error.message)
            report.skip(phonons.material_id, f"{error.code}, the first: {message}")
        if progress is not None:
            progress(READING, report.n_read, n_found)
    if not lessons:
        reasons = sorted(report.counts.items(), key=lambda one: -one[1])[:_SAID_REASONS]
        said = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        raise TrainingSetError(
            f"nothing can be learned from the phonons of {len(names)} materials: {said}",
            subject=report.source,
            hint=method.advice,
        )
    return lessons


def _lesson(phonons: TrainingPhonons, method: TrainedMethod) -> _Lesson:
    from screening.structure import canonical_crystal

    label = method.label(phonons)
    relaxed = phonons.relaxed
    return _Lesson(
        label=label,
        at_rest=phonons.material_id if relaxed is None else canonical_crystal(relaxed).material_id,
        has_forces=phonons.residual_force_ev_per_angstrom is not None,
    )


def _of_one_kind(
    lessons: Mapping[str, _Lesson], method: TrainedMethod, report: TrainingReport
) -> dict[str, _Lesson]:
    """Keep the labels of the kind that most are of: sums over different modes never mix."""
    kinds = {name: method.kind(one.label) for name, one in lessons.items()}
    [(most, _)] = Counter(kinds.values()).most_common(1)
    for name, kind in kinds.items():
        if kind != most:
            report.skip(name, f"label of the kind {kind}, most are of the kind {most}")
    return {name: one for name, one in lessons.items() if kinds[name] == most}


def _with_origin(
    model: TrainedModel, lessons: Mapping[str, _Lesson], report: TrainingReport
) -> TrainedModel:
    """Add to the card what trainers know not: whose results were learned, of which materials.

    Reasons are kept as texts: they may not be names of fields.
    """
    from stores.models import SOURCE_IDS

    learned = list(model.card.get(_TRAINING_IDS, lessons))
    rejected = {one["material_id"]: one["reason"] for one in model.card.get("rejected", ())}
    for name in lessons.keys() - set(learned):
        report.skip(name, rejected.get(name, "nearly the same as one that is learned from"))
    said = [f"{count} left out: {reason}" for reason, count in report.counts.items()]
    n_unknown = sum(not lessons[name].has_forces for name in learned)
    if n_unknown:
        said.append(f"forces not known: {n_unknown} of {len(learned)} were taken to be at rest")
    given = {key for name, one in lessons.items() for key in (name, one.at_rest)}
    told = {
        SOURCES: [report.source],
        SOURCE_IDS: sorted(given),
        _TRAINING_IDS: learned,
        "n_forces_unknown": n_unknown,
        "notes": [*said, *model.card.get("notes", ())],
    }
    return replace(model, card={**model.card, **told})


def _metrics(model: TrainedModel) -> list[MetricRecord]:
    """Return the scores of a card as records that can be searched for."""
    is_set_aside = "n_held_out" in model.card  # else each is held out in turn
    return [
        MetricRecord(
            name=name,
            quantity=score.name,
            value=getattr(score, name),
            data_set="compositions held out" if is_set_aside else "held-out folds",
            n_samples=score.n_structures or model.n_training_samples,
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
        return re.sub(r"[()]", "", formulas.pop())  # no part of a name
    return "-".join(sorted(elements)) if len(elements) <= _SAID_ELEMENTS else "many"
