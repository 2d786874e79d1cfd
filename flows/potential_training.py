"""Training of network potentials on what a database holds: cells with forces in, models out.

Cells are read first, then networks are trained with the database closed, and each is stored as
soon as it is ready. What training has reached is kept after every epoch, under a name that
follows from cells and settings: the same command goes on where it was stopped.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.gathered_cells import GatheredCells, gathered_cells
from flows.last_layers import with_own_last_layer
from flows.potential_origin import STARTED_FROM, with_earlier
from flows.trained import SOURCES
from screening.digest import digest_of
from screening.errors import ModelRefusedError, SettingError
from screening.network_potential.labelled_cells import LabelledCell, training_set_digest
from screening.network_potential.settings import MACE_PRESETS, MaceTrainingSettings
from screening.shipped_models import own_model_name
from screening.trained_model import METHOD_PREFIXES, model_name
from stores.connect import Database, open_database
from stores.documents.model import MetricRecord

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel

__all__ = [
    "PotentialTask",
    "PotentialTraining",
    "default_checkpoints",
    "potential_settings",
    "starting_model",
    "train_potentials",
]

EpochListener = Callable[[str, str, int, int], None]
"""Told the name of a model, what to know of an epoch, its number, and how many there are."""
CellListener = Callable[[str, int, int], None]
"""Told the name of a model, how many cells its last layer has seen, and how many there are."""

METHOD = METHOD_PREFIXES["mace"]
_MODEL_ENDING = ".psm"
_PINNED = re.compile(r"(?P<path>.+)@(?P<digits>[0-9a-fA-F]{8,64})")
_SAID_ELEMENTS = 5
_DIGITS = 12
_METRICS = {
    "forces_mae": "forces_ev_per_angstrom",
    "energy_mae": "energy_ev_per_atom",
    "stress_mae": "stress_ev_per_angstrom3",
}


@dataclass(frozen=True)
class PotentialTask:
    """What is to be trained, and on what.

    Attributes
    ----------
    query
        Filter on structures or summaries; empty for all.
    source
        What labelled the cells; empty where there is only one.
    files
        Extended xyz files with further cells. With files and neither query nor source, nothing
        else is trained on.
    name
        Name of the model; empty for that of the chemistry. Members of a committee have their
        seed behind it.
    preset, settings
        Name in `screening.network_potential.settings.MACE_PRESETS`, and plain settings that
        differ from it.
    epochs
        Number of epochs of all stages together; None for that of the settings.
    start_from
        A potential whose weights to start from, as `starting_model` reads it; empty for none.
    checkpoints
        Folder for what training has reached; empty for `default_checkpoints`.
    committee
        Number of models, each with a seed of its own.
    last_layer
        Whether to fit, after each training, the posterior of the last layer, which potentials
        can be drawn from: ``mace:FILE.psm#4``.
    """

    query: str = ""
    source: str = ""
    files: tuple[str, ...] = ()
    name: str = ""
    preset: str = "small"
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    start_from: str = ""
    checkpoints: str = ""
    committee: int = 1
    last_layer: bool = False


@dataclass(frozen=True, eq=False)
class PotentialTraining:
    """What came of a training.

    Attributes
    ----------
    models
        The models by their keys in the database.
    gathered
        What they were trained on.
    wall_seconds
        Duration.
    """

    models: Mapping[str, TrainedModel]
    gathered: GatheredCells
    wall_seconds: float


def default_checkpoints() -> Path:
    """Return the folder for checkpoints where none is named: below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "phonoscreen" / "training"


def potential_settings(task: PotentialTask) -> MaceTrainingSettings:
    """Return the settings of a task.

    Raises
    ------
    SettingError
        If there is no such preset, or a setting cannot be used.
    """
    if task.preset not in MACE_PRESETS:
        raise SettingError(
            f"{task.preset!r} is no preset",
            subject="--preset",
            hint=f"Choose one of {', '.join(MACE_PRESETS)}",
        )
    plain = MACE_PRESETS[task.preset].as_dict()
    given = dict(task.settings)
    if isinstance(given.get("architecture"), Mapping):
        given["architecture"] = {**plain["architecture"], **given["architecture"]}
    settings = MaceTrainingSettings.from_dict({**plain, **given})
    if task.epochs is None:
        return settings
    if task.epochs < len(settings.stages):
        raise SettingError(
            f"{task.epochs} epochs for {len(settings.stages)} stages",
            subject="--epochs",
            hint="Give each stage an epoch at least",
        )
    counts = _shared_out(task.epochs, [stage.epochs for stage in settings.stages])
    stages = [
        replace(stage, epochs=count) for stage, count in zip(settings.stages, counts, strict=True)
    ]
    return replace(settings, stages=tuple(stages))


def _shared_out(n_epochs: int, usual: Sequence[int]) -> list[int]:
    """Share out epochs to stages in proportion to what is usual, one to each at least."""
    counts: list[int] = []
    for index, own in enumerate(usual[:-1]):
        room = n_epochs - sum(counts) - (len(usual) - 1 - index)  # one for each that follows
        counts.append(min(room, max(1, round(n_epochs * (own / sum(usual))))))
    return [*counts, n_epochs - sum(counts)]


def starting_model(database: Database, text: str) -> TrainedModel | None:
    """Return the potential whose weights a training starts from; None where none is named.

    Parameters
    ----------
    database
        Where stored potentials are; a stored one goes before a file of the same name.
    text
        ``NAME``, ``NAME@VERSION``, a file that 'models export' wrote, ``phonoscreen`` for the
        potential that is installed with the project, or a network that was trained elsewhere,
        ``mace:FILE@SHA256``, or ``mace:medium@SHA256`` and other published names.

    Raises
    ------
    NotFoundError
        If there is no such potential.
    ModelRefusedError
        If it is no potential, or not the one of the digest, or a network that cannot be
        expressed here.
    """
    from screening.calculators.mace import published_names
    from screening.calculators.shipped import shipped_potential
    from screening.shipped_models import read_shipped
    from stores.model_files import read_model
    from stores.models import list_models, load_model

    if not text:
        return None
    bare = text.removeprefix("mace:")
    pinned = _PINNED.fullmatch(bare)
    path = Path(pinned["path"] if pinned else bare).expanduser()
    names = {name for one in list_models(database) for name in (one.name, one.model_id)}
    if f"mace:{bare}" not in names and path.is_file():
        if path.suffix != _MODEL_ENDING:
            return _foundation(bare)
        model = read_model(path, pinned["digits"] if pinned else "")
    elif text != bare and f"mace:{bare}" not in names and str(path) in published_names():
        return _foundation(bare)
    elif f"mace:{bare}" not in names and (shipped := shipped_potential(text)) is not None:
        model = read_shipped("mace", shipped)
    else:
        model = load_model(database, f"mace:{bare}")
    if model.method != METHOD:
        raise ModelRefusedError(
            f"was trained by the method {model.method}",
            subject=text,
            hint="Start from a network potential",
        )
    return model


def _foundation(text: str) -> TrainedModel:
    from screening.network_potential.foundation import foundation_potential

    return foundation_potential(text)


def train_potentials(
    database_uri: str,
    task: PotentialTask,
    listener: EpochListener | None = None,
    cell_listener: CellListener | None = None,
) -> PotentialTraining:
    """Train one potential, or a committee of them, and store each as soon as it is ready.

    Parameters
    ----------
    database_uri
        Cells are read from it, and models go to its ``models``.
    task
        What, and on what.
    listener
        Told of every epoch.
    cell_listener
        Told of every cell that a last layer is fitted to.

    Raises
    ------
    SettingError
        If a setting or the name cannot be used.
    ScreeningError
        As `gathered_cells`, `starting_model`, `with_own_last_layer` and
        `screening.network_potential.training.train_potential` say.
    """
    started = time.monotonic()
    settings = potential_settings(task)
    if task.committee < 1:
        raise SettingError(f"{task.committee}", subject="--committee", hint="Give 1 or more")
    if task.name:
        own_model_name(METHOD, task.name)  # before all the work, not after it
    with open_database(database_uri) as database:
        files = [Path(one) for one in task.files]
        gathered = gathered_cells(database, task.query, task.source, files)
        start = starting_model(database, task.start_from)
    name = task.name or _chemistry(gathered.cells)
    members = [
        (f"{name}-{seed}" if task.committee > 1 else name, _with_seed(settings, seed))
        for seed in range(settings.seed, settings.seed + task.committee)
    ]
    folder = Path(task.checkpoints) if task.checkpoints else default_checkpoints()
    models: dict[str, TrainedModel] = {}
    kept: list[Path] = []
    for own_name, own_settings in members:
        kept.append(folder / _checkpoint_name(gathered.cells, own_settings, own_name, start))
        model = _trained(gathered, own_settings, own_name, kept[-1], start, listener)
        if task.last_layer:
            seen = partial(cell_listener or _unheard, own_name)
            model = with_own_last_layer(
                database_uri, model, gathered.cells, own_settings.device, seen
            )
        models[_stored(database_uri, model)] = model
    for one in kept:  # all of them at the end: a committee goes on with the member it was at
        one.unlink(missing_ok=True)
    return PotentialTraining(models, gathered, time.monotonic() - started)


def _unheard(name: str, done: int, total: int) -> None:
    del name, done, total


def _with_seed(settings: MaceTrainingSettings, seed: int) -> MaceTrainingSettings:
    """Return the settings of a member: all of them hold the same compositions out."""
    if seed == settings.seed:
        return settings
    return replace(settings, seed=seed, split_seed=settings.held_out_seed)


def _trained(
    gathered: GatheredCells,
    settings: MaceTrainingSettings,
    name: str,
    checkpoint: Path,
    start: TrainedModel | None,
    listener: EpochListener | None,
) -> TrainedModel:
    from screening.network_potential.checkpoint import CheckpointFile
    from screening.network_potential.training import train_potential
    from stores.models import SOURCE_IDS

    def progress(said: str, epoch: int, n_epochs: int) -> None:
        if listener is not None:
            listener(name, said, epoch, n_epochs)

    model = train_potential(
        gathered.cells, settings, name, progress, CheckpointFile(checkpoint), start
    )
    earlier = {} if start is None else start.card
    split, notes = with_earlier(model.card["split"], None if start is None else earlier)
    told = {
        SOURCES: list(gathered.sources),
        SOURCE_IDS: sorted(
            {cell.material_id for cell in gathered.cells}.union(earlier.get(SOURCE_IDS, ()))
        ),
        "split": split,
        "n_cells_from_phonons": gathered.n_from_phonons,
        "n_cells_from_files": gathered.n_from_files,
        STARTED_FROM: "" if start is None else _called(start),
        "notes": [*gathered.lines(), *notes, *model.card.get("notes", ())],
    }
    return replace(model, card={**model.card, **told})


def _called(start: TrainedModel) -> str:
    return str(start.card.get("foundation") or model_name(start.method, start.name))


def _stored(database_uri: str, model: TrainedModel) -> str:
    from stores.models import store_model

    with open_database(database_uri) as database:
        return store_model(database, model, metrics=_metrics(model))


def _metrics(model: TrainedModel) -> list[MetricRecord]:
    """Return the scores of a card as records that can be searched for."""
    scores, split = model.card.get("scores", {}), model.card.get("split", {})
    return [
        MetricRecord(
            name="mae",
            quantity=quantity,
            value=scores[name],
            data_set="held-out compositions",
            n_samples=split["n_held_out_cells"],
        )
        for name, quantity in _METRICS.items()
        if name in scores
    ]


def _checkpoint_name(
    cells: Sequence[LabelledCell],
    settings: MaceTrainingSettings,
    name: str,
    start: TrainedModel | None,
) -> str:
    """Name what a training is of, so that another one never meets its checkpoint."""
    same = replace(settings, max_seconds=None, device="auto")
    parts = [training_set_digest(cells), same.as_dict(), "" if start is None else start.digest]
    return f"{name}-{digest_of(parts)[:_DIGITS]}.npz"


def _chemistry(cells: Sequence[LabelledCell]) -> str:
    """Name the chemistry of cells: their formula, their elements, or that they are many."""
    from pymatgen.core import Element

    groups = {cell.group for cell in cells}
    if len(groups) == 1:
        return re.sub(r"[()]", "", groups.pop())  # no part of a name
    symbols = sorted({Element.from_Z(int(z)).symbol for cell in cells for z in cell.numbers})
    return "-".join(symbols) if len(symbols) <= _SAID_ELEMENTS else "many"
