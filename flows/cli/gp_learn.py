"""The command that shows how force constants improve with the number of displaced cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import Json
from flows.cli.gp_options import Cutoff, Files, Order, Supercell, gp, read, working
from flows.cli.output import out, print_json, print_paths

if TYPE_CHECKING:
    from screening.gaussian_process.learning import LearningCurve

__all__: list[str] = []


@gp.command("learn")
def learn_command(  # noqa: PLR0913 - every option is an argument
    files: Files = None,
    *,
    supercell: Supercell = None,
    counts: Annotated[str, typer.Option(help="Numbers of cells to fit.")] = "1,2,5,10",
    draws: Annotated[int, typer.Option(min=1, help="Random choices of the cells.")] = 3,
    methods: Annotated[
        str,
        typer.Option(
            help="adapted (force constants with symmetry), symmetrised (squared exponential "
            "averaged over the space group), paper (squared exponential as published)."
        ),
    ] = "adapted,symmetrised,paper",
    held_out: Annotated[
        int, typer.Option(min=1, help="Cells that are only predicted, the last ones.")
    ] = 10,
    order: Order = 3,
    cutoff: Cutoff = None,
    seed: Annotated[int, typer.Option(min=0, help="Other choices for another one.")] = 0,
    stem: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write STEM.png, STEM.csv and STEM.json."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare force constants of ever more cells with those of all, and with the sum rules."""
    from flows import tables
    from flows.learning_curves import LearningPlan, learn, learning_settings, parse_counts

    settings = learning_settings(methods, order, cutoff)
    plan = LearningPlan(parse_counts(counts), draws, seed, held_out, settings)
    cells = read(files, supercell, None)
    with working("learning") as say:
        curve, notes = learn(
            cells, plan, lambda done, total: say(f"learning: {done} of {total} fits are done")
        )
    name = cells.primitive.composition.reduced_formula
    title = f"{name}, {cells.n_atoms} atoms"
    written = [] if stem is None else _drawn(curve, stem, title)
    if as_json:
        print_json(tables.payload_learning(curve, cells, notes, written))
        return
    out.print(tables.table_learning(curve, cells, notes, width=out.width))
    print_paths(written)


def _drawn(curve: LearningCurve, stem: Path, title: str) -> list[Path]:
    from flows.drawing import draw_learning

    stem.parent.mkdir(parents=True, exist_ok=True)
    return draw_learning(curve, stem, title=title)
