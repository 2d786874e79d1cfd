"""A second check of potentials: heat capacities of other binaries, unlike those of PhononDB.

Of each potential the same crystals are computed: drawn from the compositions that none of them is
known to have learned from, nor its frequency scale, and where the card of a trained potential does
not list what it learned from, from the reserved ones alone. The cells are those of DFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from networks_models import DISPLACEMENT_ANGSTROM, RESERVED, Potential, compositions_used_by
from phonondb import line_in_mass_and_volume
from references import HeatCapacity, read_heat_capacities
from report import Figure

from screening.calculators import check_elements
from screening.harmonic import mesh_frequencies
from screening.metrics import regression_scores
from screening.network_potential.evaluation import mean_of_other_groups, mesh_thermal_values
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces
from screening.structure import canonical_crystal
from screening.units import MEV_TO_JOULE_PER_MOL

__all__ = ["chosen_crystals", "heat_capacity_figures", "predicted_heat_capacity"]

TEMPERATURE_K = 300.0
UNIT = "J/mol/K/atom"


def heat_capacity_figures(
    potentials: Sequence[Potential], folder: Path, count: int, seed: int
) -> tuple[list[Figure], dict[str, Any]]:
    """Compare heat capacities at 300 K of each potential with DFT."""
    crystals = chosen_crystals(read_heat_capacities(folder), potentials, count, seed)
    rows = [_row(one, potentials) for one in crystals]
    figures = [
        Figure(f"C_V of held-out binaries: crystals, seed {seed}", len(rows), "", ">= 1"),
        Figure("  compositions", len({one.composition for one in crystals}), ""),
    ]
    figures += _baseline_figures(crystals)
    for one in potentials:
        figures += _figures(one.name, crystals, [row[one.name] for row in rows])
    details = [
        {"name": x.name, "composition": x.composition, **row}
        for x, row in zip(crystals, rows, strict=True)
    ]
    return figures, {"crystals": details}


def chosen_crystals(
    crystals: Sequence[HeatCapacity], potentials: Sequence[Potential], count: int, seed: int
) -> list[HeatCapacity]:
    """Draw one crystal of each composition that no potential trained here has to do with."""
    trained = [one for one in potentials if one.model is not None]
    used = [compositions_used_by(one.model) for one in trained]
    if any(one is None for one in used):
        kept = [one for one in crystals if one.composition in RESERVED]
    else:
        seen = {name for one in used if one is not None for name in one}
        kept = [one for one in crystals if one.composition not in seen]
    drawn = np.random.default_rng(seed).permutation(len(kept))
    first = {kept[index].composition: index for index in drawn[::-1].tolist()}
    chosen = [index for index in drawn.tolist() if first[kept[index].composition] == index]
    return [kept[index] for index in sorted(chosen[:count])]


def predicted_heat_capacity(crystal: HeatCapacity, potential: Potential) -> float:
    """Heat capacity at 300 K by a potential in J/mol/K/atom; low modes are left out."""
    structure = canonical_crystal(crystal.structure, subject=crystal.name).structure
    numbers = np.array([site.specie.Z for site in structure])
    check_elements(potential.calculator, numbers, subject=crystal.name)
    settings = PhononSettings(displacement_angstrom=DISPLACEMENT_ANGSTROM)
    harmonic = harmonic_from_forces(compute_forces(structure, potential.calculator, settings))
    mesh = mesh_frequencies(harmonic, settings.mesh_length_angstrom)
    return mesh_thermal_values(mesh, (TEMPERATURE_K,))["heat_capacity", TEMPERATURE_K]


def _row(crystal: HeatCapacity, potentials: Sequence[Potential]) -> dict[str, Any]:
    row: dict[str, Any] = {"reference": _reference(crystal)}
    for one in potentials:
        try:
            row[one.name] = predicted_heat_capacity(crystal, one)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            row[one.name] = None
            print(f"  FAILED {crystal.name} {type(error).__name__}: {error}", flush=True)
    values = "  ".join(f"{k} {v:.2f}" for k, v in row.items() if v is not None)
    print(f"  {crystal.name:<14} {crystal.composition:<8} {values}", flush=True)
    return row


def _reference(crystal: HeatCapacity) -> float:
    return crystal.mev_per_k_per_atom * MEV_TO_JOULE_PER_MOL


def _baseline_figures(crystals: Sequence[HeatCapacity]) -> list[Figure]:
    """Guess by the mean and by a line in mass and volume of the other compositions."""
    truth = np.array([_reference(one) for one in crystals])
    groups = [one.composition for one in crystals]
    guesses = {
        "mean of others": mean_of_other_groups(truth.tolist(), groups),
        "mass and volume": line_in_mass_and_volume(
            [one.structure for one in crystals], groups, truth
        ),
    }
    return [
        Figure(f"  baseline C_V(300 K): {name}, MAE", regression_scores(one, truth).mae, UNIT)
        for name, one in guesses.items()
        if one is not None
    ]


def _figures(
    name: str, crystals: Sequence[HeatCapacity], predicted: Sequence[float | None]
) -> list[Figure]:
    pairs = [(p, _reference(c)) for p, c in zip(predicted, crystals, strict=True) if p is not None]
    figures = [Figure(f"{name}: C_V failures", len(crystals) - len(pairs), "crystals")]
    if pairs:
        scores = regression_scores(*map(list, zip(*pairs, strict=True)))
        figures += [
            Figure(f"{name}: C_V(300 K) of held-out binaries MAE", scores.mae, UNIT),
            Figure(f"{name}: C_V(300 K) of held-out binaries bias", scores.bias, UNIT),
            Figure(f"{name}: C_V(300 K) of held-out binaries skill", scores.skill, ""),
        ]
    return figures
