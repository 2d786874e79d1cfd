"""Training of network potentials on the command line: its options, and what it shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import ExitCode, database_uri
from flows.cli.output import out, print_json, print_lines, print_paths
from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.potential_training import PotentialTraining

__all__ = [
    "POTENTIAL",
    "CellFiles",
    "Checkpoints",
    "CommitteeSize",
    "Device",
    "Epochs",
    "HeldOut",
    "LastLayer",
    "MaxSeconds",
    "PotentialOptions",
    "Preset",
    "StartFrom",
    "train_mace",
]

POTENTIAL = "mace"
"""What users type for a network potential."""

_SAMPLES = 4  # of a last layer, as advice
_LINES = 10  # for all cells of a last layer

CellFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--cells",
        help="Of mace: also the labelled cells of this extended xyz file; without --query and "
        "--source nothing but these files.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Of mace: small, paper, paper-fe or tiny; of alignn: small, paper or tiny. "
        "[default: small]"
    ),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Of networks: epochs, of all stages.")]
MaxSeconds = Annotated[
    float | None,
    typer.Option(help="Of mace: seconds of training, into which the schedule is compressed."),
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        help="Of mace: weights to start from: a stored model, FILE.psm, or a published network "
        "as mace:FILE.model@SHA256 or mace:medium@SHA256."
    ),
]
Checkpoints = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint-dir",
        help="Of networks: folder for what training has reached. [default: phonoscreen/training in "
        "the user's cache]",
    ),
]
CommitteeSize = Annotated[
    int | None,
    typer.Option("--committee", min=1, help="Of networks: models, each with a seed of its own."),
]
Device = Annotated[str | None, typer.Option(help="Of networks: auto, cpu or cuda. [default: auto]")]
HeldOut = Annotated[
    float | None,
    typer.Option(
        help="Of networks: share to hold out, by composition. [default: 0.05; alignn: 0.2]"
    ),
]
LastLayer = Annotated[
    bool,
    typer.Option(
        "--last-layer",
        help="Of mace: fit the posterior of the last layer too, so that mace:FILE.psm#4 draws a "
        "committee of four; a pass for each of its weights and cells, of 600 cells at most.",
    ),
]


@dataclass(frozen=True)
class PotentialOptions:
    """Options of the training of potentials, as they were typed."""

    cells: list[Path] | None = None
    preset: str | None = None
    epochs: int | None = None
    max_seconds: float | None = None
    start_from: str | None = None
    checkpoints: Path | None = None
    committee: int | None = None
    device: str | None = None
    held_out: float | None = None
    last_layer: bool = False

    def given(self) -> dict[str, Any]:
        """Return what was typed, by the name of the option."""
        return {
            "cells": self.cells or None,
            "preset": self.preset,
            "epochs": self.epochs,
            "max-seconds": self.max_seconds,
            "start-from": self.start_from,
            "checkpoint-dir": self.checkpoints,
            "committee": self.committee,
            "device": self.device,
            "held-out": self.held_out,
            "last-layer": self.last_layer or None,
        }

    def settings(self) -> dict[str, Any]:
        """Return those that are settings of a training."""
        return {
            "max_seconds": self.max_seconds,
            "device": self.device,
            "valid_fraction": self.held_out,
        }


def train_mace(
    query: str | None,
    source: str,
    name: str,
    options: PotentialOptions,
    settings_file: Path | None,
    file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Train one potential, or a committee; show every epoch, and the cards.

    Raises
    ------
    ScreeningError
        As `flows.potential_training.train_potentials` says.
    """
    from flows import tables
    from flows.potential_training import PotentialTask, default_checkpoints, train_potentials
    from flows.training import read_training_settings

    if file is not None and (options.committee or 1) > 1:
        raise SettingError(
            "one file for several models",
            subject="--out",
            hint="Write each with 'phonoscreen models export'",
        )
    folder = options.checkpoints or default_checkpoints()
    task = PotentialTask(
        query=query or "",
        source=source,
        files=tuple(str(one) for one in options.cells or ()),
        name=name,
        preset=options.preset or "small",
        settings=read_training_settings(settings_file, options.settings()),
        epochs=options.epochs,
        start_from=options.start_from or "",
        checkpoints=str(folder),
        committee=options.committee or 1,
        last_layer=options.last_layer,
    )
    shown = _Epochs(folder)
    try:
        done = train_potentials(database_uri(), task, shown, shown.cell)
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    written = _written(done, file)
    if as_json:
        payload = tables.payload_potentials(done)
        print_json(payload | {"files": [str(one) for one in written]})
        return
    out.print(tables.table_potentials(done, width=out.width))
    for key in done.models:
        bare = key.partition("@")[0].partition(":")[2]
        export = f"phonoscreen models export {bare} {bare}.psm"
        print_lines([f"stored as {key}; use it: {export}, then --calculator mace:{bare}.psm"])
        if task.last_layer:
            print_lines([f"with a spread: --calculator 'mace:{bare}.psm#{_SAMPLES}'"])
    print_paths(written)


def _written(done: PotentialTraining, file: Path | None) -> list[Path]:
    from stores.model_files import write_model

    return [] if file is None else [write_model(file, one) for one in done.models.values()]


class _Epochs:
    """Shows every epoch in a line of its own, with the time since the beginning."""

    def __init__(self, folder: Path) -> None:
        self._folder: Path | None = folder
        self._started = time.monotonic()

    def __call__(self, name: str, said: str, epoch: int, n_epochs: int) -> None:
        """Show one epoch, and before the first one where what is learned is kept."""
        if self._folder is not None:
            print_lines([f"kept after every epoch in {self._folder}, until all is done"])
            self._folder = None
        seconds = time.monotonic() - self._started
        print_lines([f"{name}, epoch {epoch} of {n_epochs}, {seconds:.0f} s: {said}"])

    def cell(self, name: str, done: int, total: int) -> None:
        """Show how far the last layer is: the first cell, every tenth part, and the end."""
        if done == 1 or done * _LINES // total > (done - 1) * _LINES // total:
            seconds = time.monotonic() - self._started
            print_lines([f"{name}, last layer, cell {done} of {total}, {seconds:.0f} s"])
