"""Tables of trained models: which there are, the card of one, and what they predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.model_cards import ScoreRow, notes_of, score_rows, summary_of
from flows.tables.cells import MISSING, Column, make_table
from flows.tables.runs import OUTCOME_TEXTS

if TYPE_CHECKING:
    from flows.predicting import PredictingReport
    from flows.training import Training
    from screening.trained_model import TrainedModel
    from stores.documents import ModelDocument

__all__ = [
    "payload_model",
    "payload_models",
    "payload_predicting",
    "payload_training",
    "table_model",
    "table_models",
    "table_predicting",
    "table_training",
]

_SMALL, _LARGE = 1e-3, 1e4
_CORRELATION_DECIMALS = 2


def table_models(documents: Sequence[ModelDocument], *, width: int | None = None) -> Table:
    """Make a table of stored models, a row for each version."""
    columns = (
        Column("model", wraps=True),
        Column("method", rank=2),
        Column("elements", wraps=True, rank=1),
        Column("trained on", is_number=True),
        Column("labels by", wraps=True, rank=1),
        Column("stored", rank=2),
    )
    rows = [
        [
            one.model_id,
            one.provenance.method or MISSING,
            " ".join(_symbols(one.atomic_numbers or ())),
            str(one.n_training_samples or MISSING),
            ", ".join((one.card or {}).get("sources", ())) or MISSING,
            f"{one.last_updated:%Y-%m-%d %H:%M}" if one.last_updated else MISSING,
        ]
        for one in documents
    ]
    return make_table(columns, rows, width=width)


def table_model(model: TrainedModel, model_id: str, *, width: int | None = None) -> Group:
    """Make the card of a model: what it is, its scores beside others', and notes."""
    card = model.card
    head = [
        f"{model_id}: {model.method}",
        f"{' '.join(_symbols(model.elements))}; trained on {model.n_training_samples} structures"
        + _of_sources(card),
    ]
    if summary_of(card):
        head.append(summary_of(card))
    parts: list[Table | Text] = [Text(head[0], style="bold"), *map(Text, head[1:])]
    rows = score_rows(card)
    if rows:
        parts.append(_scores(rows, width))
    parts += [Text(line, style="dim") for line in notes_of(card)]
    return Group(*parts)


def _scores(rows: Sequence[ScoreRow], width: int | None) -> Table:
    columns = (
        Column("quantity", wraps=True),
        Column("unit"),
        Column("Pearson", is_number=True, rank=2),
        Column("Spearman", is_number=True, rank=3),
        Column("MAE", is_number=True),
        Column("RMSE", is_number=True, rank=2),
        Column("MAD", is_number=True, rank=2),
        Column("skill", is_number=True),
        Column("best simple\nguess", is_number=True, rank=1),
        Column("paper\nMAE", is_number=True),
        Column("paper\nRMSE", is_number=True, rank=3),
        Column("paper\nPearson", is_number=True, rank=3),
        Column("paper\nSpearman", is_number=True, rank=3),
    )
    cells = [
        [
            one.label,
            one.unit,
            _fixed(one.pearson),
            _fixed(one.spearman),
            *map(_significant, (one.mae, one.rmse, one.mad)),
            _fixed(one.skill),
            _significant(one.baseline_mae),
            *(_significant(one.paper.get(name)) for name in ("mae", "rmse")),
            *(_fixed(one.paper.get(name)) for name in ("pearson", "spearman")),
        ]
        for one in rows
    ]
    return make_table(columns, cells, title="held-out structures", width=width)


def table_training(done: Training, *, width: int | None = None) -> Group:
    """Make the card of a model that was trained now, and say what was left out."""
    said = [
        f"{len(done.training_ids)} of {done.n_matching} materials, {done.wall_seconds:.1f} s",
    ]
    card = table_model(done.model, done.model_id, width=width)
    return Group(card, *(Text(one, style="dim") for one in said))


def table_predicting(done: PredictingReport, *, width: int | None = None) -> Group:
    """Make tables of what a model predicted and refused, and how fast it was."""
    counts = [[OUTCOME_TEXTS.get(name, name), str(n)] for name, n in done.outcomes.items()]
    parts: list[Table | Text] = [
        make_table((Column(done.model), Column("structures", is_number=True)), counts)
    ]
    if done.refused:
        columns = (
            Column("refused"),
            Column("structures", is_number=True),
            Column("the first says", wraps=True),
        )
        rows = [[code, str(n), done.messages.get(code, "")] for code, n in done.refused.items()]
        parts.append(make_table(columns, rows, width=width))
    if done.predicting_rate is not None and done.whole_rate is not None:
        parts.append(
            Text(
                f"{done.predicting_rate:.0f} structures/s by the model, {done.whole_rate:.0f} "
                f"structures/s with reading ({done.times.reading_s:.1f} s) and writing "
                f"({done.times.writing_s:.1f} s)"
            )
        )
    parts.append(Text(f"{done.wall_seconds:.1f} s with the summaries"))
    if done.n_learned is None:
        parts.append(Text("it is not known here which structures the model learned from"))
    elif done.n_learned:
        said = f"the model learned from {done.n_learned} of the structures: these test nothing"
        parts.append(Text(said, style="yellow"))
    return Group(*parts)


def payload_models(documents: Sequence[ModelDocument]) -> dict[str, Any]:
    """Return plain JSON of stored models, without what they predict with."""
    return {
        "models": [
            {
                "model_id": one.model_id,
                "name": one.name,
                "version": one.version,
                "method": one.provenance.method,
                "model_digest": one.model_digest,
                "elements": _symbols(one.atomic_numbers or ()),
                "n_training_samples": one.n_training_samples,
                "sources": list((one.card or {}).get("sources", ())),
            }
            for one in documents
        ]
    }


def payload_model(model: TrainedModel, model_id: str) -> dict[str, Any]:
    """Return plain JSON of a model's card."""
    return {
        "model_id": model_id,
        "method": model.method,
        "model_digest": model.digest,
        "elements": _symbols(model.elements),
        "n_training_samples": model.n_training_samples,
        "training_set_digest": model.training_set_digest,
        "card": dict(model.card),
    }


def payload_training(done: Training) -> dict[str, Any]:
    """Return plain JSON of what a training made."""
    return payload_model(done.model, done.model_id) | {
        "source": done.source,
        "n_matching": done.n_matching,
        "training_ids": list(done.training_ids),
        "left_out": dict(done.left_out),
        "wall_seconds": done.wall_seconds,
    }


def payload_predicting(done: PredictingReport) -> dict[str, Any]:
    """Return plain JSON of what a model predicted."""
    return {
        "model": done.model,
        "outcomes": done.outcomes,
        "refused": done.refused,
        "messages": done.messages,
        "n_predicted": done.n_predicted,
        "n_learned": done.n_learned,
        "structures_per_second_predicting": done.predicting_rate,
        "structures_per_second_with_reading_and_writing": done.whole_rate,
        "reading_seconds": done.times.reading_s,
        "predicting_seconds": done.times.predicting_s,
        "writing_seconds": done.times.writing_s,
        "written": done.written,
        "wall_seconds": done.wall_seconds,
    }


def _symbols(numbers: Sequence[int]) -> list[str]:
    from pymatgen.core import Element

    return [Element.from_Z(one).symbol for one in numbers]


def _of_sources(card: Mapping[str, Any]) -> str:
    sources = card.get("sources") or ()
    return f" of {', '.join(sources)}" if sources else ""


def _fixed(value: float | None) -> str:
    return MISSING if value is None else f"{value:.{_CORRELATION_DECIMALS}f}"


def _significant(value: float | None) -> str:
    """Write three significant digits, with an exponent where there would be many zeros.

    Examples
    --------
    >>> _significant(0.16789), _significant(2.9), _significant(None), _significant(2e-6)
    ('0.168', '2.90', '-', '2.00e-06')
    """
    if value is None:
        return MISSING
    if value and not _SMALL <= abs(value) < _LARGE:
        return f"{value:.2e}"
    return f"{value:#.3g}".rstrip(".")
