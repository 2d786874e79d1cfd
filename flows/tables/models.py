"""Tables of trained models: which there are, the card of one, and what they predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.model_cards import ScoreRow, notes_of, score_rows, summary_of, warnings_of
from flows.tables.cells import MISSING, Column, make_table
from flows.tables.runs import OUTCOME_TEXTS
from screening.trained_model import METHOD_PREFIXES

if TYPE_CHECKING:
    from flows.potential_scale import ScaledPotential
    from flows.potential_training import PotentialTraining
    from flows.predicting import PredictingReport
    from flows.training import Training
    from screening.trained_model import TrainedModel
    from stores.documents import ModelDocument

__all__ = [
    "payload_model",
    "payload_models",
    "payload_potentials",
    "payload_predicting",
    "payload_scaled",
    "payload_training",
    "table_model",
    "table_models",
    "table_potentials",
    "table_predicting",
    "table_scaled",
    "table_training",
]

_SMALL, _LARGE = 1e-3, 1e4
_CORRELATION_DECIMALS = 2
_PAPER = {"mae": "MAE", "rmse": "RMSE", "pearson": "Pearson", "spearman": "Spearman"}


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
        f"{' '.join(_symbols(model.elements))}; trained on {model.n_training_samples} "
        f"{'cells' if model.method == METHOD_PREFIXES['mace'] else 'structures'}"
        + _of_sources(card),
    ]
    if summary_of(card):
        head.append(summary_of(card))
    parts: list[Table | Text] = [Text(head[0], style="bold"), *map(Text, head[1:])]
    rows = score_rows(card)
    if rows:
        parts.append(_scores(rows, width))
    parts += [Text(line, style="yellow") for line in warnings_of(card)]
    parts += [Text(line, style="dim") for line in notes_of(card)]
    return Group(*parts)


def _scores(rows: Sequence[ScoreRow], width: int | None) -> Table:
    found = [name for name in _PAPER if any(name in one.paper for one in rows)]
    first = next(iter(found), "")  # always stays, and what it is to be compared with

    def own(name: str, rank: int) -> Column:
        return Column(_PAPER[name], is_number=True, rank=0 if name == first else rank)

    columns = [
        Column("quantity", wraps=True),
        Column("unit"),
        own("pearson", 3),
        own("spearman", 4),
        own("mae", 0),
        own("rmse", 3),
        Column("MAD", is_number=True, rank=3),
        Column("skill", is_number=True),
        Column("best simple\nguess", rank=2),
        Column("MAE of\nguess", is_number=True, rank=1),
        Column("skill over\nguess", is_number=True, rank=1),
    ]
    cells = [
        [
            one.label,
            one.unit,
            _fixed(one.pearson),
            _fixed(one.spearman),
            *map(_significant, (one.mae, one.rmse, one.mad)),
            _fixed(one.skill),
            one.baseline,
            _significant(one.baseline_mae),
            _fixed(one.skill_over_guess),
        ]
        for one in rows
    ]
    for name in found:
        columns.append(Column(f"paper\n{_PAPER[name]}", is_number=True, rank=4 * (name != first)))
        write = _significant if name in {"mae", "rmse"} else _fixed
        for cell, one in zip(cells, rows, strict=True):
            cell.append(write(one.paper.get(name)))
    title = "held-out structures"
    return make_table(columns, cells, title=title, width=width, tells_hidden=True)


def table_training(done: Training, *, width: int | None = None) -> Group:
    """Make the card of a model that was trained now, and say what was left out."""
    said = [
        f"{len(done.training_ids)} of {done.n_matching} materials, {done.wall_seconds:.1f} s",
    ]
    card = table_model(done.model, done.model_id, width=width)
    return Group(card, *(Text(one, style="dim") for one in said))


def table_potentials(done: PotentialTraining, *, width: int | None = None) -> Group:
    """Make the cards of potentials that were trained now."""
    cards = [table_model(one, key, width=width) for key, one in done.models.items()]
    return Group(*cards, Text(f"{done.wall_seconds:.1f} s", style="dim"))


def table_scaled(done: ScaledPotential, *, width: int | None = None) -> Table:
    """Make a table of a learned scale: what it is, and what it does to the errors."""
    scale = done.scale
    unit = "THz" if scale.kind == "frequencies" else "meV/K/atom"
    left_out = [(f"left out: {why}", str(count)) for why, count in sorted(done.left_out.items())]
    rows = [
        ("frequencies are multiplied by", f"{scale.factor:.4f}"),
        ("standard deviation", MISSING if scale.std is None else f"{scale.std:.4f}"),
        ("learned from", scale.source),
        ("crystals", str(scale.n_crystals)),
        ("compositions", str(scale.n_compositions)),
        ("without usable modes", str(scale.n_left_out)),
        (f"error before, {unit}", f"{scale.rms_before:.3f}"),
        (f"error after, {unit}", f"{scale.rms_after:.3f}"),
        *left_out,
    ]
    columns = (Column(done.model_id, wraps=True), Column("", wraps=True, is_number=True))
    return make_table(columns, rows, width=width)


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
    if done.n_relaxed:
        parts.append(
            Text(f"{done.n_relaxed} structures were taken as {done.relaxed_by} relaxed them")
        )
    if done.n_learned is None and done.n_predicted:
        parts.append(Text("it is not known here which structures the model learned from"))
    elif done.n_learned:
        said = (
            f"the model learned from {done.n_learned} of the {done.n_predicted} structures that it"
            " was given now: these test nothing"
        )
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


def payload_potentials(done: PotentialTraining) -> dict[str, Any]:
    """Return plain JSON of potentials that were trained now."""
    return {
        "models": [payload_model(one, key) for key, one in done.models.items()],
        "model_id": next(iter(done.models)),
        "sources": done.gathered.sources,
        "n_cells_from_phonons": done.gathered.n_from_phonons,
        "n_cells_from_files": done.gathered.n_from_files,
        "left_out": dict(done.gathered.left_out),
        "wall_seconds": done.wall_seconds,
    }


def payload_scaled(done: ScaledPotential) -> dict[str, Any]:
    """Return plain JSON of a learned scale."""
    return {
        "model_id": done.model_id,
        "model_digest": done.model.digest,
        "frequency_scale": done.scale.as_dict(),
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
        "n_relaxed": done.n_relaxed,
        "relaxed_by": done.relaxed_by,
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
