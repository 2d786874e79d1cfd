"""The commands of labelled cells: displace and label, hand out, take back, hand on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import ExitCode, Json, app, database_uri, selected_materials
from flows.cli.options import Calculator, Query, TimeLimit, Workers
from flows.cli.output import err, out, print_json, print_lines, print_paths
from screening.calculators import DEFAULT_CALCULATOR

if TYPE_CHECKING:
    from flows.labelling_settings import LabellingSettings
    from screening.network_potential.rattling import RattlingSettings

__all__: list[str] = []

cells = typer.Typer(
    help="Cells with forces that potentials are trained on: displace crystals and label them.",
    no_args_is_help=False,
)
app.add_typer(cells, name="cells", invoke_without_command=True)

Count = Annotated[
    int, typer.Option("--cells", min=1, help="Cells of each crystal, in antithetic pairs.")
]
Smallest = Annotated[float, typer.Option(help="Least displacement of an atom in Å.")]
Largest = Annotated[float, typer.Option(help="Largest displacement of an atom in Å.")]
Strain = Annotated[float, typer.Option(help="Largest random strain of a pair; 0.01 is 1 %.")]
Length = Annotated[
    float, typer.Option("--min-length", help="Least distance between periodic images in Å.")
]
Atoms = Annotated[int, typer.Option("--max-atoms", min=1, help="Largest supercell.")]
Seed = Annotated[int, typer.Option(min=0, help="Other displacements for another one.")]
Alone = Annotated[
    bool, typer.Option("--alone", help="Every cell by itself instead of antithetic pairs.")
]
SoftPairs = Annotated[
    int,
    typer.Option(
        "--soft-pairs", min=0, help="Further pairs, displaced along what the guide finds soft."
    ),
]
Guide = Annotated[
    str | None,
    typer.Option(
        help="Potential that finds the soft modes, as --calculator. [default: phonoscreen]"
    ),
]
Labeller = Annotated[
    str, typer.Option("--source", help="Only what this calculator labelled. [default: all]")
]


@cells.callback(invoke_without_command=True)
def _list_cells(context: typer.Context, *, as_json: Json = False) -> None:
    """List the labelled cells of the database, by what labelled them."""
    if context.invoked_subcommand is not None:
        return
    from flows import tables
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        rows = list(database.labelled_cells.query({}))
    if as_json:
        print_json(tables.payload_labelled_cells(rows))
    elif rows:
        out.print(tables.table_labelled_cells(rows, width=out.width))
    else:
        print_lines(["no cell was labelled here yet: phonoscreen cells label"])


@cells.command("label")
def label_command(  # noqa: PLR0913 - every option is an argument
    *,
    query: Query = None,
    calculator: Calculator = DEFAULT_CALCULATOR,
    n_cells: Count = 6,
    smallest: Smallest = 0.01,
    largest: Largest = 0.05,
    strain: Strain = 0.0,
    min_length: Length = 9.0,
    max_atoms: Atoms = 120,
    seed: Seed = 0,
    alone: Alone = False,
    soft_pairs: SoftPairs = 0,
    guide: Guide = None,
    forces_only: Annotated[
        bool, typer.Option("--forces-only", help="Ask for no energies and stresses.")
    ] = False,
    workers: Workers = None,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> None:
    """Displace all atoms of stored crystals at random and let a calculator label the cells.

    Displacements at random tell little of soft modes: --soft-pairs adds cells displaced along
    them. Crystals are taken as they are stored. Run it again to go on where it stopped; calls from
    first principles are remembered one by one.
    """
    from flows import tables
    from flows.labelling_run import label
    from flows.local import Crew, limit_threads
    from flows.makers import LabelBatchMaker
    from flows.progress import ScreenProgress

    rattling = _rattling(
        n_cells, (smallest, largest), strain, (min_length, max_atoms), seed, alone=alone
    )
    settings = _labelling(rattling, soft_pairs, guide, forces_only=forces_only)
    maker = LabelBatchMaker(calculator=calculator, settings=settings.as_dict())
    names = selected_materials(query, "nothing to displace")
    limit_threads(1)
    try:
        with ScreenProgress(len(names), err) as progress:
            progress.begin("labelling", len(names))
            report = label(
                database_uri(),
                names,
                maker,
                crew=Crew(workers=workers, time_limit_s=time_limit),
                listener=progress,
            )
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(tables.payload_screen(report) | {"material_ids": list(names)})
    else:
        out.print(tables.table_screen(report, width=out.width))
        print_lines(["train on them: phonoscreen train mace"])
    if report.failures:
        raise typer.Exit(ExitCode.SOME_FAILED)
    if report.outcomes.get("busy_elsewhere"):
        raise typer.Exit(ExitCode.BUSY)


@cells.command("write")
def write_command(  # noqa: PLR0913 - every option is an argument
    file: Annotated[Path, typer.Argument(help="The extended xyz file to write.")],
    *,
    query: Query = None,
    n_cells: Count = 6,
    smallest: Smallest = 0.01,
    largest: Largest = 0.05,
    strain: Strain = 0.0,
    min_length: Length = 9.0,
    max_atoms: Atoms = 120,
    seed: Seed = 0,
    alone: Alone = False,
) -> None:
    """Write displaced cells for any program to label; 'cells import' takes them back.

    Each frame says in its comment of which crystal and which cell it is: keep that. There are no
    soft pairs: what comes back is compared with cells that are made again without a potential.
    """
    from flows.labelled_files import write_unlabelled_cells
    from stores.connect import open_database

    rattling = _rattling(
        n_cells, (smallest, largest), strain, (min_length, max_atoms), seed, alone=alone
    )
    names = selected_materials(query, "nothing to displace")
    with open_database(database_uri(), read_only=True) as database:
        count, refused = write_unlabelled_cells(database, names, rattling, file)
    print_lines([f"{name}: {error.code}: {error.message}" for name, error in refused])
    print_lines([f"{count} cells of {len(names) - len(refused)} crystals"])
    print_paths([file])
    if refused:
        raise typer.Exit(ExitCode.SOME_FAILED)


@cells.command("import")
def import_cells_command(
    files: Annotated[list[Path], typer.Argument(help="Extended xyz files with forces.")],
    *,
    source: Annotated[
        str,
        typer.Option(
            help="What labelled them, where a frame does not say. [default: the name of the file]"
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Read cells that any program labelled; forces in eV/Å are required.

    Frames are compared with the cells that were handed out. The same files again change nothing.
    """
    from flows import tables
    from flows.labelled_files import import_cells
    from stores.connect import open_database

    with open_database(database_uri()) as database:
        done = import_cells(database, files, source)
    if as_json:
        print_json(tables.payload_imported_cells(done))
    else:
        out.print(tables.table_imported_cells(done, width=out.width))
    if not done.sources:
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    if done.rejections:
        raise typer.Exit(ExitCode.SOME_FAILED)


@cells.command("export")
def export_cells_command(
    file: Annotated[Path, typer.Argument(help="The extended xyz file to write.")],
    *,
    query: Query = None,
    source: Labeller = "",
) -> None:
    """Write labelled cells for other programs to train on."""
    from flows.gathered_cells import gathered_cells
    from flows.labelled_files import write_labelled_cells
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        found = gathered_cells(database, query or "", source)
    print_lines(found.lines())
    print_paths([write_labelled_cells(found.cells, file)])


def _rattling(
    n_cells: int,
    lengths: tuple[float, float],
    strain: float,
    size: tuple[float, int],
    seed: int,
    *,
    alone: bool,
) -> RattlingSettings:
    from screening.network_potential.rattling import RattlingSettings

    return RattlingSettings(
        n_cells=n_cells,
        smallest_angstrom=lengths[0],
        largest_angstrom=lengths[1],
        antithetic=not alone,
        largest_strain=strain,
        min_length_angstrom=size[0],
        max_atoms=size[1],
        seed=seed,
    )


def _labelling(
    rattling: RattlingSettings, soft_pairs: int, guide: str | None, *, forces_only: bool
) -> LabellingSettings:
    from flows.labelling_settings import DEFAULT_GUIDE, QUANTITIES, LabellingSettings
    from screening.network_potential.soft_displacements import SoftPairSettings

    return LabellingSettings(
        rattling,
        QUANTITIES[:1] if forces_only else QUANTITIES,
        SoftPairSettings(soft_pairs) if soft_pairs else None,
        DEFAULT_GUIDE if guide is None else guide,
    )
