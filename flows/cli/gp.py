"""The commands around displaced cells: what to compute, what was learned, and how it conducts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import ExitCode, Json, chosen_database_uri, database_uri
from flows.cli.gp_kernels import RbfOptions, fit_rbf, is_rbf
from flows.cli.gp_options import (
    Cells,
    Cutoff,
    Db,
    Files,
    Material,
    Order,
    OutFolder,
    PlanDb,
    Prior,
    Source,
    Supercell,
    gp,
    read,
    working,
)
from flows.cli.options import MaxAtoms, MinLength
from flows.cli.output import out, print_json, print_lines, print_paths
from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.given_cells import FittedCells
    from screening.anharmonic import DisplacedCells
    from screening.few_cells import FewCellSettings
    from screening.predictors.given_cells import GivenCells
    from screening.structure import Crystal

__all__: list[str] = []


@gp.command("plan")
def plan_command(  # noqa: PLR0913 - every option is an argument
    path: Annotated[
        Path | None, typer.Argument(metavar="[STRUCTURE]", help="File with one crystal.")
    ] = None,
    *,
    material: Material = None,
    cells: Annotated[int, typer.Option(min=1, help="Displaced supercells.")] = 1,
    displacement: Annotated[
        float, typer.Option(help="Length of all displacements in Å, at most 0.2.")
    ] = 0.03,
    supercell: Annotated[
        str | None,
        typer.Option(
            help="'2 2 2', multiples of the primitive vectors, or nine numbers, rows of a matrix. "
            "[default: by least distance and size]"
        ),
    ] = None,
    min_length: MinLength = None,
    max_atoms: MaxAtoms = None,
    order: Order = 3,
    cutoff: Cutoff = None,
    seed: Annotated[int, typer.Option(min=0, help="Other cells for another one.")] = 0,
    db: PlanDb = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path(
        "cells"
    ),
    as_json: Json = False,
) -> None:
    """Write supercells with all atoms displaced at random, whose forces any code may compute.

    Take a crystal that is relaxed with that code. More cells with the same seed begin with the
    same ones.
    """
    from flows import tables
    from flows.cell_plans import parse_supercell, plan_cells, planned_crystal, write_plan
    from flows.options import screening_settings
    from screening.few_cells import FewCellSettings
    from screening.gaussian_process.settings import GaussianProcessSettings

    if (path is None) == (material is None):
        raise SettingError(
            "give a file with a crystal, or a material of the database",
            subject="gp plan",
            hint="For example: phonoscreen gp plan NaCl.cif",
        )
    crystal = planned_crystal(path) if path is not None else _stored_crystal(material or "", db)
    fit = GaussianProcessSettings(max_order=order, third_order_cutoff_angstrom=cutoff)
    few_cells = FewCellSettings(displacement_angstrom=displacement, seed=seed, fit=fit)
    settings = screening_settings(min_length_angstrom=min_length, max_atoms=max_atoms)
    matrix = None if supercell is None else parse_supercell(supercell)
    with working("counting force constants"):
        found = plan_cells(crystal, cells, replace(settings, few_cells=few_cells), matrix)
    written = write_plan(found, folder)
    if as_json:
        print_json(tables.payload_cell_plan(found, written))
    else:
        out.print(tables.table_cell_plan(found, written))


@gp.command("fit")
def fit_command(  # noqa: PLR0913 - every option is an argument
    files: Files = None,
    *,
    supercell: Supercell = None,
    cells: Cells = None,
    order: Order = 3,
    cutoff: Cutoff = None,
    prior: Prior = None,
    source: Source = "given",
    kernel: Annotated[
        str,
        typer.Option(
            help="polynomial (force constants with symmetry), or squared exponentials, for "
            "comparison: symmetrised-rbf (averaged over the space group), rbf (as published)."
        ),
    ] = "polynomial",
    length_scale: Annotated[
        str | None,
        typer.Option(help="Of an rbf: scaled, evidence, or a number in Å. [default: scaled]"),
    ] = None,
    temperatures: Annotated[str, typer.Option(help="In K: 300,1000 or 0:1000:100.")] = "300",
    db: Db = None,
    folder: OutFolder = None,
    as_json: Json = False,
) -> None:
    """Learn force constants from forces of displaced cells, and say how sure they are."""
    from flows import tables
    from flows.given_cells import intervals_of, predictor_of
    from flows.options import parse_temperatures

    grid = parse_temperatures(temperatures)
    unused: dict[str, object] = {"--cutoff": cutoff, "--prior": prior}
    if is_rbf(kernel, length_scale, unused, db or chosen_database_uri()):
        options = RbfOptions(kernel, length_scale, order, source, grid)
        fit_rbf(read(files, supercell, cells), options, folder, as_json=as_json)
        return
    few_cells = _few_cells(order, cutoff, prior)
    predictor = predictor_of(read(files, supercell, cells), few_cells, source)
    fitted = _fitted(predictor)
    intervals = intervals_of(fitted.prediction, grid)
    material_id = _stored(fitted, predictor, _named(files), db or chosen_database_uri())
    written = _written(fitted, folder)
    if as_json:
        payload = tables.payload_fit(fitted, intervals, material_id=material_id, written=written)
        print_json(payload)
        return
    out.print(tables.table_fit(fitted, intervals, width=out.width))
    _print_ends(material_id, written)


@gp.command("kappa")
def kappa_command(  # noqa: PLR0913 - every option is an argument
    files: Files = None,
    *,
    material: Material = None,
    supercell: Supercell = None,
    cells: Cells = None,
    cutoff: Cutoff = None,
    prior: Prior = None,
    source: Source = "given",
    mesh: Annotated[
        tuple[int, int, int] | None,
        typer.Option(metavar="A B C", help="Wave vectors along the reciprocal vectors."),
    ] = None,
    mesh_length: Annotated[
        float | None,
        typer.Option(help="Or the length in Å that they resolve. [default: 40]"),
    ] = None,
    temperatures: Annotated[
        str, typer.Option(help="START:STOP:STEP in K, or a list.")
    ] = "100:1000:100",
    method: Annotated[
        str, typer.Option(help="rta (relaxation times) or direct (Boltzmann equation solved).")
    ] = "rta",
    no_isotopes: Annotated[
        bool, typer.Option("--no-isotopes", help="Leave out scattering at natural isotopes.")
    ] = False,
    no_phonon_supercell: Annotated[
        bool,
        typer.Option(
            "--no-phonon-supercell",
            help="Ignore forces of a larger supercell for second order in the same file, which "
            "replace those of the displaced cells otherwise.",
        ),
    ] = False,
    samples: Annotated[
        int, typer.Option(min=2, help="Draws of force constants for the interval.")
    ] = 8,
    db: Db = None,
    folder: OutFolder = None,
    as_json: Json = False,
) -> None:
    """Compute the lattice thermal conductivity, with an interval, from displaced cells.

    Cells come from files, or from a prediction of a material in the database.
    """
    from flows import tables
    from flows.given_cells import predictor_of
    from flows.options import parse_temperatures
    from screening.conductivity_records import ConductivitySettings

    given: dict[str, Any] = {} if mesh_length is None else {"mesh_length_angstrom": mesh_length}
    conductivity = ConductivitySettings(
        temperatures_k=parse_temperatures(temperatures),
        mesh=mesh,
        method=method,  # type: ignore[arg-type] # the settings check the word
        isotopes=not no_isotopes,
        **given,
    )
    changes: dict[str, Any] = {"conductivity": conductivity, "n_conductivity_samples": samples}
    if (material is None) == (not files):
        raise SettingError(
            "give files with displaced cells, or a material of the database",
            subject="gp kappa",
            hint="For example: phonoscreen gp kappa NaCl-forces.yaml",
        )
    owner = ""
    if material is None:
        few_cells = replace(_few_cells(3, cutoff, prior), **changes)
        given_cells = read(files, supercell, cells)
        larger = None if no_phonon_supercell else _larger(files)
        predictor = predictor_of(given_cells, few_cells, source, harmonic_cells=larger)
    else:
        predictor, owner = _predictor_of_material(material, db, changes, cutoff, prior)
    fitted = _fitted(predictor)
    uri = db or (database_uri() if owner else chosen_database_uri())
    material_id = _stored(fitted, predictor, _named(files), uri, owner)
    written = _written(fitted, folder)
    if as_json:
        print_json(tables.payload_conductivity(fitted, material_id=material_id, written=written))
        return
    out.print(tables.table_conductivity(fitted, width=out.width))
    _print_ends(material_id, written)


def _few_cells(order: int, cutoff: float | None, prior: str | None) -> FewCellSettings:
    from screening.few_cells import FewCellSettings
    from screening.gaussian_process.settings import GaussianProcessSettings

    fit = GaussianProcessSettings(max_order=order, third_order_cutoff_angstrom=cutoff)
    return FewCellSettings(prior=prior or "", fit=fit)


def _stored_crystal(name: str, db: str | None) -> Crystal:
    from flows.catalogue import crystal_of, find_material
    from stores.connect import open_database

    with open_database(db or database_uri(), read_only=True) as database:
        return crystal_of(database, find_material(database, name))


def _larger(files: list[Path] | None) -> DisplacedCells | None:
    """Look for cells of a larger supercell for second order."""
    from flows.cell_files import read_harmonic_cells

    with working("reading"):
        return read_harmonic_cells(files or [])


def _predictor_of_material(
    name: str, db: str | None, changes: dict[str, Any], cutoff: float | None, prior: str | None
) -> tuple[GivenCells, str]:
    """Take the cells of a stored prediction, fitted as they were unless something else is said."""
    from flows.catalogue import find_material
    from flows.given_cells import cells_of_material, predictor_of
    from screening.few_cells import FewCellSettings
    from stores.connect import open_database

    with open_database(db or database_uri(), read_only=True) as database:
        stored = cells_of_material(database, find_material(database, name))
    fit = replace(stored.fit, max_order=3)
    if cutoff is not None:
        fit = replace(fit, third_order_cutoff_angstrom=cutoff)
    expected = stored.prior if prior is None else prior
    few_cells = FewCellSettings(prior=expected, fit=fit, **changes)
    made = predictor_of(
        stored.cells,
        few_cells,
        stored.source,
        static_energy_ev_per_atom=stored.static_energy_ev_per_atom,
        tier=stored.tier,
    )
    return made, stored.material_id


def _fitted(predictor: GivenCells) -> FittedCells:
    from flows.given_cells import fit_cells

    with working("fitting") as say:
        return fit_cells(
            predictor, lambda done, total: say(f"{done} of {total} conductivities are done")
        )


def _stored(
    fitted: FittedCells, predictor: GivenCells, file: str, uri: str, material_id: str = ""
) -> str | None:
    """Store a fit where a database is named; returns the material."""
    from flows.given_cells import store_fit
    from stores.connect import open_database

    if not uri:
        return None
    with open_database(uri) as database:
        event = store_fit(database, fitted, predictor, file, material_id)
    print_lines([f"{event.formula} ({event.material_id}): {event.detail or event.outcome}"])
    if event.outcome.value.startswith("failed"):
        raise typer.Exit(ExitCode.SOME_FAILED)
    return event.material_id


def _written(fitted: FittedCells, folder: Path | None) -> list[Path]:
    from flows.cell_files import write_fit

    return [] if folder is None else write_fit(fitted, folder)


def _print_ends(material_id: str | None, written: list[Path]) -> None:
    print_paths(written)
    if material_id is not None:
        print_lines([f"stored: phonoscreen show {material_id}"])


def _named(files: list[Path] | None) -> str:
    return ", ".join(path.name for path in files or ())
