"""What the commands around displaced cells share: their group, options, and how they read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import app
from flows.cli.output import err
from screening.errors import SettingError

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells

__all__ = ["gp", "read", "working"]

gp = typer.Typer(
    name="gp",
    help="Force constants and thermal conductivity from a few cells with all atoms displaced.",
    no_args_is_help=True,
)
app.add_typer(gp)

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Displaced cells with forces, of one supercell: yaml of phono3py or phonopy, extxyz, "
        "or a folder."
    ),
]
Supercell = Annotated[
    Path | None,
    typer.Option(
        "--supercell",
        help="File of the undisplaced supercell, for extxyz: supercell.yaml of 'gp plan', POSCAR.",
    ),
]
Cutoff = Annotated[
    float | None,
    typer.Option(
        help="Largest distance of atoms in third-order force constants in Å. "
        "[default: as far as they are few]"
    ),
]
Order = Annotated[int, typer.Option(help="2 for harmonic force constants alone.")]
Cells = Annotated[int | None, typer.Option(min=1, help="Only this many cells, the first ones.")]
Prior = Annotated[
    str | None,
    typer.Option(help="Calculator whose force constants are expected beforehand: chgnet, ..."),
]
Source = Annotated[
    str,
    typer.Option(help="Where the forces come from, with the functional: PBE, 'VASP PBEsol', ..."),
]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Store the prediction in this database, sqlite:///file.db or mongodb://host/name; "
        "may also stand before 'gp'.",
    ),
]
PlanDb = Annotated[str | None, typer.Option("--db", help="Database of --material.")]
OutFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder: write files of phonopy and phono3py.")
]
Material = Annotated[
    str | None,
    typer.Option("--material", "-m", help="Material of the database: id, its start, or label."),
]


def read(files: list[Path] | None, supercell: Path | None, n_cells: int | None) -> DisplacedCells:
    """Read displaced cells of one supercell, all of them or the first ones.

    Parameters
    ----------
    files, supercell
        As `flows.cell_files.read_cells` takes them.
    n_cells
        None for all.

    Raises
    ------
    ScreeningError
        If there is no file, or as that function and `flows.cell_files.first_cells` say.
    """
    from flows.cell_files import first_cells, read_cells

    if not files:
        raise SettingError(
            "no file is given",
            subject="gp",
            hint="Give displaced cells with forces, for example phonoscreen gp fit NaCl.yaml",
        )
    with working("reading"):
        cells = read_cells(files, supercell)
    return cells if n_cells is None else first_cells(cells, n_cells)


@contextmanager
def working(what: str) -> Iterator[Any]:
    """Show on a terminal what is going on; gives a function that says what comes next."""
    with err.status(what) as status:
        yield status.update
