"""The frequency scale of a stored potential, learned from heat capacities that a file holds.

Phonons of every crystal are computed with the potential, in the cell of the file: the heat
capacity of the reference is that of its own cell. What the potential learned from says nothing
about how far it is off elsewhere, and what is reserved stays unseen: both are left out, by
composition.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.potential_scale import (
    UNKNOWN,
    ScaledPotential,
    corrected_potential,
    learned_compositions,
    potential_named,
    reason_to_leave_out,
)
from screening.errors import ScreeningError, TrainingSetError
from stores.connect import open_database
from stores.importers.heat_capacities import GivenHeatCapacity, read_heat_capacities
from stores.models import store_model

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator
    from screening.network_potential.heat_capacity_scale import HeatCapacityCrystal
    from screening.phonons import PhononSettings

__all__ = ["HeatCapacityTask", "scale_potential_to_heat_capacities"]

Progress = Callable[[str, int, int], None]

_COMPUTING = "computing phonons"


@dataclass(frozen=True)
class HeatCapacityTask:
    """Which heat capacities a scale is learned from.

    Attributes
    ----------
    file
        As `stores.importers.heat_capacities.read_heat_capacities` takes it.
    per, unit
        What the numbers are per, ``cell``, ``formula`` or ``atom``, and their unit.
    temperature_k
        Of the numbers.
    exclude
        Reduced formulas of the compositions that are reserved.
    """

    file: str
    per: str
    unit: str = "J/mol/K"
    temperature_k: float = 300.0
    exclude: frozenset[str] = frozenset()


def scale_potential_to_heat_capacities(
    database_uri: str,
    name: str,
    task: HeatCapacityTask,
    progress: Progress | None = None,
    phonons: PhononSettings | None = None,
) -> ScaledPotential:
    """Learn the scale of a stored potential and store the corrected one.

    Parameters
    ----------
    database_uri
        Where the potential is.
    name
        ``NAME`` or ``NAME@VERSION``; a scale that it has already is replaced.
    task
        The heat capacities.
    progress
        Told how many crystals are done.
    phonons
        How phonons are computed.

    Raises
    ------
    NotFoundError
        If there is no such potential.
    ModelRefusedError
        If the model is no potential.
    SettingError
        If a setting cannot be used.
    ParseError, TooLargeError
        If the file cannot be read.
    TrainingSetError
        If no crystal is left, or no factor between 0.4 and 2.5 fits best.
    """
    from screening.calculators.trained_mace import load_trained_potential
    from screening.network_potential.heat_capacity_scale import (
        HeatCapacityFitSettings,
        fit_scale_to_heat_capacities,
    )
    from screening.network_potential.softening import with_frequency_scale

    started = time.monotonic()
    fit = HeatCapacityFitSettings(temperature_k=task.temperature_k)
    with open_database(database_uri, read_only=True) as database:
        stored = potential_named(database, name)
        learned = learned_compositions(database, stored)
    given = read_heat_capacities(Path(task.file), task.per, task.unit)
    left_out = Counter(given.left_out)
    wanted = _not_excluded(given.crystals, task.exclude, learned or frozenset(), left_out)
    calculator = load_trained_potential(with_frequency_scale(stored, None))
    crystals = list(_computed(wanted, calculator, phonons, left_out, progress))
    if not crystals:
        raise TrainingSetError(
            f"no crystal is left: {'; '.join(f'{why} ({n})' for why, n in left_out.items())}",
            subject=task.file,
            hint="Give heat capacities of other compositions, of elements the potential knows",
        )
    source = f"heat capacities at {task.temperature_k:g} K of {Path(task.file).name}"
    scale = fit_scale_to_heat_capacities(
        crystals, source if learned is not None else f"{source}; {UNKNOWN}", fit
    )
    model = corrected_potential(stored, scale)
    with open_database(database_uri) as database:
        model_id = store_model(database, model)
    return ScaledPotential(model_id, model, scale, dict(left_out), time.monotonic() - started)


def _not_excluded(
    crystals: Sequence[GivenHeatCapacity],
    reserved: frozenset[str],
    learned: frozenset[str],
    left_out: Counter[str],
) -> list[GivenHeatCapacity]:
    found = []
    for one in crystals:
        reason = reason_to_leave_out(reserved, learned, one.crystal.formula)
        if reason:
            left_out[reason] += 1
        else:
            found.append(one)
    return found


def _computed(
    given: Sequence[GivenHeatCapacity],
    calculator: ForceCalculator,
    phonons: PhononSettings | None,
    left_out: Counter[str],
    progress: Progress | None,
) -> Iterator[HeatCapacityCrystal]:
    """Compute crystal after crystal; one that cannot be computed is left out with its reason."""
    for number, one in enumerate(given, start=1):
        try:
            yield _crystal(one, calculator, phonons)
        except ScreeningError as error:
            left_out[error.code] += 1
        if progress is not None:
            progress(_COMPUTING, number, len(given))


def _crystal(
    given: GivenHeatCapacity, calculator: ForceCalculator, phonons: PhononSettings | None
) -> HeatCapacityCrystal:
    from screening.calculators import check_elements
    from screening.harmonic import harmonic_from_forces, mesh_frequencies
    from screening.network_potential.heat_capacity_scale import HeatCapacityCrystal
    from screening.phonons import PhononSettings, compute_forces

    settings = phonons or PhononSettings()
    structure = given.crystal.structure
    check_elements(calculator, [site.specie.Z for site in structure], subject=given.name)
    harmonic = harmonic_from_forces(compute_forces(structure, calculator, settings))
    return HeatCapacityCrystal(
        material_id=given.name,
        group=given.crystal.formula,
        predicted=mesh_frequencies(harmonic, settings.mesh_length_angstrom),
        heat_capacity_mev_per_k_per_atom=given.heat_capacity_mev_per_k_per_atom,
    )
