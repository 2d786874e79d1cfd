"""The jobs: thin, serialisable, one database URI each.

Arguments are plain JSON, so that every manager (local, FireWorks, jobflow-remote) can carry
them; results go to the database, and a job's own output is a short report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow, JobConfig, OnMissing, Response, job

from flows.batches import screen_batch
from flows.catalogue import crystal_of
from flows.events import Outcome, batch_report
from flows.predictors import cached_predictor
from flows.resources import Resource, resource_for, tagged
from screening.errors import ModelError, SettingError

if TYPE_CHECKING:
    from flows.rounds import Escalation
    from screening.predictors.gaussian_process import GaussianProcessPhonons
    from screening.predictors.interface import Predictor
    from screening.predictors.potential_phonons import PotentialPhonons

__all__ = [
    "build_summaries_job",
    "decide_job",
    "displaced_cell_job",
    "displacements_job",
    "finish_phonons_job",
    "import_job",
    "prepare_phonons_job",
    "screen_batch_job",
]

_WHATEVER_BECAME_OF_OTHERS = JobConfig(on_missing_references=OnMissing.NONE)
"""For jobs that have to say what went wrong: they run also where their parents failed."""


@job
def import_job(database_uri: str, paths: Sequence[str]) -> dict[str, Any]:
    """Import files and folders; returns the material ids and the number of rejections."""
    from flows.imports import import_structures

    report = import_structures(database_uri, [Path(path) for path in paths])
    return {"material_ids": list(report.material_ids), "n_rejected": len(report.rejections)}


@job
def screen_batch_job(
    database_uri: str, material_ids: Sequence[str], calculator: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Predict a batch of materials.

    Parameters
    ----------
    database_uri
        The database that holds the structures and receives the results.
    material_ids
        Which materials; those that are done or being computed elsewhere are skipped.
    calculator, settings
        What to compute with, as :func:`flows.predictors.cached_predictor` takes it.

    Returns
    -------
    dict
        Number of materials per outcome, what became of each, and the wall time spent on
        computing.
    """
    from stores.connect import open_database

    predictor = cached_predictor(calculator, settings)
    with open_database(database_uri) as database:
        events = screen_batch(database, material_ids, predictor)
    return batch_report(events)


@job
def prepare_phonons_job(
    database_uri: str,
    material_id: str,
    calculator: str,
    settings: dict[str, Any],
    displacements_per_job: int,
    model_digest: str = "",
) -> dict[str, str] | Response[Any]:
    """Relax one material and go on with a job for every batch of its displacements.

    Parameters
    ----------
    database_uri, material_id
        Where the crystal is, and which one.
    calculator, settings
        What to compute with, as :func:`flows.predictors.cached_predictor` takes it.
    displacements_per_job
        Displaced supercells per job.
    model_digest
        SHA-256 of the program that whoever asked for it expects; empty for any.

    Returns
    -------
    dict or Response
        Outcome and detail where nothing is left to do or the expected program is not there,
        else the flow that does it.

    Raises
    ------
    ModelError, SettingError
        If the program is not there and none is expected.
    """
    from flows.fallback import plan_batches
    from stores.connect import open_database

    try:
        predictor = _dft_predictor(calculator, settings)
        _check_program(predictor, model_digest)
    except (ModelError, SettingError) as error:
        if not model_digest:
            raise
        # whoever expects the prediction under its key, which is not known here, writes it down
        return {"outcome": Outcome.FAILED.value, "detail": f"{error.code}: {error.message}"}
    with open_database(database_uri) as database:
        crystal = crystal_of(database, material_id)
        event, batches = plan_batches(database, crystal, predictor, displacements_per_job)
    if event.outcome is not Outcome.STARTED:
        return {"outcome": event.outcome.value, "detail": event.detail}
    common = (database_uri, material_id, calculator, settings)
    parts = [displacements_job(*common, start, stop) for start, stop in batches]
    last = finish_phonons_job(*common, [part.output for part in parts])
    flow = Flow([*parts, last], output=last.output, name=f"displacements of {crystal.formula}")
    return Response(replace=tagged(flow, Resource.DFT))


@job
def displacements_job(
    database_uri: str,
    material_id: str,
    calculator: str,
    settings: dict[str, Any],
    start: int,
    stop: int,
) -> dict[str, Any]:
    """Compute the forces of some displacements of one material; reports instead of raising."""
    from flows.fallback import compute_displacements
    from stores.connect import open_database

    predictor = _dft_predictor(calculator, settings)
    with open_database(database_uri) as database:
        crystal = crystal_of(database, material_id)
        return compute_displacements(database, crystal, predictor, start, stop)


@job(config=_WHATEVER_BECAME_OF_OTHERS)
def finish_phonons_job(
    database_uri: str,
    material_id: str,
    calculator: str,
    settings: dict[str, Any],
    reports: Sequence[dict[str, Any] | None],
) -> dict[str, str]:
    """Predict one material from the forces there are, or write down why they are not there."""
    from flows.fallback import finish_prediction
    from stores.connect import open_database

    predictor = _dft_predictor(calculator, settings)
    with open_database(database_uri) as database:
        crystal = crystal_of(database, material_id)
        event = finish_prediction(database, crystal, predictor, reports)
    return {"outcome": event.outcome.value, "detail": event.detail}


def _dft_predictor(calculator: str, settings: dict[str, Any]) -> PotentialPhonons:
    """Return the predictor, refusing calculators whose calls are not remembered."""
    from screening.predictors.potential_phonons import PotentialPhonons

    predictor = cached_predictor(calculator, settings)
    if not isinstance(predictor, PotentialPhonons) or not predictor.calculator.is_first_principles:
        raise SettingError(
            "does not displace one atom after the other from first principles",
            subject=calculator,
            hint="Screen with potentials in batches: ScreenBatchMaker; a few displaced cells are "
            "for GaussianProcessMaker",
        )
    return predictor


def _check_program(predictor: Predictor, model_digest: str, settings_digest: str = "") -> None:
    """Refuse to compute what nobody would find again.

    Raises
    ------
    SettingError
        If another program, other potentials or other weights of a prior are expected.
    """
    if model_digest not in {"", predictor.model_digest}:
        raise SettingError(
            f"the program or the potentials of this worker ({predictor.model_digest[:12]}) are not "
            f"those of the machine that launched the screen ({model_digest[:12]})",
            subject=predictor.model,
            hint="Install the same versions on both",
        )
    if settings_digest not in {"", predictor.settings_digest}:
        raise SettingError(
            "the weights of the prior on this worker are not those of the machine that launched "
            "the screen",
            subject="few_cells.prior",
            hint="Install the same versions on both",
        )


@job
def displaced_cell_job(
    database_uri: str,
    material_id: str,
    calculator: str,
    settings: dict[str, Any],
    n_cells: int = 1,
    expected: Sequence[str] = ("", ""),
) -> dict[str, str] | Response[Any]:
    """Predict one material from displaced cells, or go on with a job for the next cell.

    Parameters
    ----------
    database_uri, material_id
        Where the crystal is, and which one.
    calculator, settings
        What to compute with, as :func:`flows.predictors.cached_predictor` takes it; the settings
        have ``few_cells``.
    n_cells
        Displaced cells whose forces may be asked for, at least the first ones of the settings.
    expected
        SHA-256 of the program, and of the settings with the weights of the prior, that whoever
        asked for it expects; empty for any.

    Returns
    -------
    dict or Response
        Outcome and detail where nothing is left to do or what is expected is not there, else
        the next job.

    Raises
    ------
    ModelError, SettingError
        If the program is not there and none is expected.
    """
    from flows.few_cells import advance_material
    from stores.connect import open_database

    try:
        predictor = _few_cell_predictor(calculator, settings)
        _check_program(predictor, *expected)
    except (ModelError, SettingError) as error:
        if not any(expected):
            raise
        return {"outcome": Outcome.FAILED.value, "detail": f"{error.code}: {error.message}"}
    few_cells = predictor.few_cells
    n_cells = min(max(n_cells, few_cells.initial_cells), few_cells.max_cells)
    with open_database(database_uri) as database:
        crystal = crystal_of(database, material_id)
        event = advance_material(database, crystal, predictor, n_cells)
    if event.outcome is not Outcome.STARTED:
        return {"outcome": event.outcome.value, "detail": event.detail}
    if n_cells >= few_cells.max_cells:
        detail = f"{n_cells} cells are all that the settings allow, and it did not end"
        return {"outcome": Outcome.FAILED.value, "detail": detail}
    following = displaced_cell_job(
        database_uri, material_id, calculator, settings, n_cells + 1, list(expected)
    )
    following.name = f"displaced cell {n_cells + 1} of {crystal.formula}"
    return Response(replace=tagged(following, resource_for(calculator)))


def _few_cell_predictor(calculator: str, settings: dict[str, Any]) -> GaussianProcessPhonons:
    """Return the predictor, refusing settings that name no few cells."""
    from screening.predictors.gaussian_process import GaussianProcessPhonons

    predictor = cached_predictor(calculator, settings)
    if not isinstance(predictor, GaussianProcessPhonons):
        raise SettingError(
            "the settings say nothing of displaced cells",
            subject="few_cells",
            hint="Use GaussianProcessMaker, or the prefix few-cells: before a calculator",
        )
    return predictor


@job(config=_WHATEVER_BECAME_OF_OTHERS)
def decide_job(
    database_uri: str,
    material_ids: Sequence[str],
    work: dict[str, Any],
    earlier: Sequence[dict[str, Any]],
    after: Any = None,
) -> dict[str, Any] | Response[Any]:
    """Decide what can be decided, and go on with a flow for every material to escalate.

    Parameters
    ----------
    database_uri, material_ids
        Where, and which materials.
    work
        ``ladder``, with named methods so that no program is needed here, texts of the
        ``questions``, ``alpha`` and ``budget``, as plain values.
    earlier
        What was escalated before in this run, as :class:`flows.rounds.Escalation` writes it.
    after
        Outputs of the jobs that must be finished before: those of the last escalations, in
        their order, say what became of them; in the first round they are not used.

    Returns
    -------
    dict or Response
        Numbers of the last round; or the fallback flows with the next round behind them.
    """
    from flows.catalogue import originals_of
    from flows.deciding import judge_of
    from flows.rounds import Escalation, decide_round
    from flows.uncertainty import calibrate_for
    from screening.decisions.parsing import parse_questions
    from screening.decisions.selection import Budget
    from stores.connect import open_database

    before = [Escalation(**one) for one in earlier]
    with open_database(database_uri) as database:
        asked = parse_questions(work["questions"])
        if not before:  # later, what was escalated would bias what the others are judged by
            calibrate_for(database, asked)
        judge = judge_of(database, work["ladder"], asked, work["alpha"])
        wanted = originals_of(database, material_ids)
        budget = Budget(**work["budget"])
        ended = _last_words(before, after)
        found = decide_round(database, wanted, judge, budget, before, ended)
    if not found.escalations:
        return found.numbers() | {"n_calculations": len(before)}
    wanted_next = [(one.material_id, one.level) for one in found.escalations]
    flows, outputs = judge.ladder.flows(database_uri, wanted_next)
    known = [*earlier, *(one.as_dict() for one in found.escalations)]
    following = decide_job(database_uri, list(material_ids), work, known, outputs)
    tagged(following, Resource.DATABASE)
    rest = Flow([*flows, following], output=following.output, name="fallbacks and next decisions")
    return Response(replace=rest)


def _last_words(
    earlier: Sequence[Escalation], outputs: Sequence[dict[str, Any] | None] | None
) -> dict[tuple[str, int], str]:
    """Return what the jobs of the last escalations said, but of those that went on elsewhere."""
    if not earlier or not outputs:
        return {}
    found = {}
    for one, output in zip(earlier[-len(outputs) :], outputs, strict=True):
        said = output and output.get("materials", {}).get(one.material_id, output)
        outcome = "" if said is None else str(said.get("outcome", ""))
        if outcome != Outcome.BUSY_ELSEWHERE:
            detail = "" if said is None else str(said.get("detail", ""))
            found[one.material_id, one.level] = ", ".join(filter(None, (outcome, detail)))
    return found


@job
def build_summaries_job(
    database_uri: str, material_ids: Sequence[str] | None, after: Any = None
) -> dict[str, int]:
    """Bring summaries, rankings and hulls up to date.

    Parameters
    ----------
    database_uri
        The database to work on.
    material_ids
        Whose summaries; None means all.
    after
        Outputs of the jobs that must be finished before; their values are not used.
    """
    del after
    from flows.summaries import build_summaries
    from stores.connect import open_database

    with open_database(database_uri) as database:
        return build_summaries(database, material_ids)
