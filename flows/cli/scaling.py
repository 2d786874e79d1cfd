"""The command that corrects the frequencies of a potential: models scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import Json, database_uri
from flows.cli.models import models
from flows.cli.options import Query
from flows.cli.output import err, out, print_json

if TYPE_CHECKING:
    from flows.potential_scale import ScaledPotential

__all__: list[str] = []

HeatCapacities = Annotated[
    Path | None,
    typer.Option(
        "--heat-capacities",
        help="JSON list of records with 'structure' and 'heat_capacity', at constant volume.",
    ),
]
Per = Annotated[
    str | None,
    typer.Option(help="With --heat-capacities: the numbers are per cell, formula or atom."),
]
Unit = Annotated[
    str | None,
    typer.Option(help="With --heat-capacities: J/mol/K, meV/K or kB. [default: J/mol/K]"),
]
Temperature = Annotated[
    float | None,
    typer.Option(help="With --heat-capacities: of the numbers, in K. [default: 300]"),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        metavar="FORMULAS",
        help="Compositions that are reserved, as 'NaCl,MgO' or a text file of them; those that "
        "the potential learned from are left out anyway.",
    ),
]
IncludeLearned = Annotated[
    bool,
    typer.Option(
        "--include-learned", help="Of phonons: compositions that the potential learned from too."
    ),
]


@dataclass(frozen=True)
class _CapacityOptions:
    """Options of a scale from heat capacities, as they were typed."""

    file: Path | None = None
    per: str | None = None
    unit: str | None = None
    temperature_k: float | None = None
    settings: Path | None = None

    def given(self) -> dict[str, Any]:
        """Return what was typed, by the name of the option."""
        return {
            "per": self.per,
            "unit": self.unit,
            "temperature": self.temperature_k,
            "settings": self.settings,
        }


def _scale_from_file(
    name: str,
    options: _CapacityOptions,
    exclude: frozenset[str],
    progress: Callable[[str, int, int], None],
) -> ScaledPotential:
    """Learn the scale of a potential from the heat capacities of a file.

    Raises
    ------
    ScreeningError
        As `flows.potential_heat_capacities.scale_potential_to_heat_capacities` says.
    """
    from flows.options import screening_settings
    from flows.potential_heat_capacities import HeatCapacityTask, scale_potential_to_heat_capacities

    task = HeatCapacityTask(
        file=str(options.file),
        per=options.per or "",
        unit=options.unit or "J/mol/K",
        temperature_k=300.0 if options.temperature_k is None else options.temperature_k,
        exclude=exclude,
    )
    phonons = screening_settings(options.settings).phonons
    return scale_potential_to_heat_capacities(database_uri(), name, task, progress, phonons)


@models.command("scale")
def scale_command(  # noqa: PLR0913 - every option is an argument
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION of a potential.")],
    *,
    query: Query = None,
    source: Annotated[
        str, typer.Option(help="Whose stored phonons are right. [default: the only one]")
    ] = "",
    heat_capacities: HeatCapacities = None,
    per: Per = None,
    unit: Unit = None,
    temperature: Temperature = None,
    exclude: Exclude = None,
    include_learned: IncludeLearned = False,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="With --heat-capacities: JSON file of the science."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn what the frequencies of a potential are to be multiplied by, and store it with that.

    The potential computes the displaced supercells of stored phonons of a better method; or,
    with --heat-capacities, phonons of the crystals of a file, as they are there.
    """
    from flows import tables
    from flows.potential_scale import compositions_of, scale_potential
    from flows.progress import StageProgress
    from flows.training import check_options

    options = _CapacityOptions(heat_capacities, per, unit, temperature, settings)
    of_phonons = {
        "query": query,
        "source": source or None,
        "include-learned": include_learned or None,
    }
    reserved = compositions_of(exclude or "")
    if heat_capacities is None:
        check_options("a scale from phonons", (), options.given())
    else:
        check_options("a scale from heat capacities", (), of_phonons)
    with StageProgress(err, "crystals") as progress:
        if heat_capacities is None:
            done = scale_potential(
                database_uri(),
                name,
                query or "",
                source,
                progress,
                exclude=reserved,
                include_learned=include_learned,
            )
        else:
            done = _scale_from_file(name, options, reserved, progress)
    if as_json:
        print_json(tables.payload_scaled(done))
    else:
        out.print(tables.table_scaled(done, width=out.width))
