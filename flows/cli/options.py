"""Options that several commands take: what to compute, with what, and for which materials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__: list[str] = []

Query = Annotated[str | None, typer.Option("--query", "-q", help="Only what matches.")]
Calculator = Annotated[
    str,
    typer.Option(
        "--calculator",
        "-c",
        help="phonoscreen, chgnet, mace:FILE, mace:FILE.psm#4 (four drawn potentials), "
        "mace:NAME@SHA256, gpaw, espresso, or an ASE calculator by import path such as "
        "'ase.calculators.emt.EMT'; several, separated by commas, make a committee. "
        "To screen and plan, also a trained model: rf-ifc:FILE, ldml:FILE or alignn:FILE.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", help="Worker processes, one thread each; 0: none. [default: cores]"
    ),
]
NoRelax = Annotated[bool, typer.Option("--no-relax", help="Take the crystals as they are.")]
Adaptive = Annotated[
    bool, typer.Option("--adaptive", help="Smaller supercells where they are proven equal.")
]
MinLength = Annotated[
    float | None,
    typer.Option(help="Least distance between periodic images in Å. [default: 10.5]"),
]
MaxAtoms = Annotated[
    int | None,
    typer.Option(help="Largest supercell; wins over the least distance. [default: 240]"),
]
Displacement = Annotated[
    float | None,
    typer.Option(
        help="Finite displacement in Å. [default: the calculator's, 0.03 for CHGNet, else 0.01]"
    ),
]
Temperatures = Annotated[
    str | None, typer.Option(help="START:STOP:STEP in K. [default: 0:1500:10]")
]
LowModes = Annotated[
    str | None, typer.Option(help="drop, half_mean_optical or renormalise. [default: drop]")
]
Criterion = Annotated[
    str | None,
    typer.Option(
        help="phonoscreen, atomate2, emmet_legacy, matbench_discovery, ml_peg, alexandria or "
        "lee_2024. [default: phonoscreen]"
    ),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="JSON file with settings of the science.")
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Seconds after which a material is given up.")
]
