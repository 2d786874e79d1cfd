"""Displaced cells with forces that others computed: fitted, stored, and found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.events import MaterialEvent, Outcome
from flows.materials import attempt, write_prediction
from flows.results import phonons_of
from flows.summaries import build_summaries
from screening.anharmonic import DisplacedCells, displaced_cells_of
from screening.errors import (
    ERROR_CODES,
    NotFoundError,
    ParseError,
    SettingError,
)
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import (
    FloatArray,
    Prediction,
    Thermodynamics,
    ThermodynamicsSpread,
)
from screening.predictors.interface import Tier
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.uncertainty.interval import Interval
from stores.connect import Database
from stores.documents import PredictionDocument
from stores.importers import import_structures, iter_blocks
from stores.importers.records import Parsed
from stores.query import by_field

if TYPE_CHECKING:
    from screening.gaussian_process.checks import CellsReport
    from screening.gaussian_process.conductivity_samples import ConductivitySamples
    from screening.gaussian_process.fit import GaussianProcessFit
    from screening.predictors.given_cells import GivenCells
    from screening.structure import Crystal

__all__ = [
    "FittedCells",
    "StoredCells",
    "cells_of_material",
    "fit_cells",
    "intervals_of",
    "predictor_of",
    "store_fit",
]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class FittedCells:
    """What displaced cells tell of a crystal.

    Attributes
    ----------
    crystal
        Which one.
    report
        What was found in the forces.
    fit
        Force constants with their distribution.
    prediction
        Everything that follows from them.
    conductivity
        Conductivity of mean and draws; None where it was not asked for.
    """

    crystal: Crystal
    report: CellsReport
    fit: GaussianProcessFit
    prediction: Prediction
    conductivity: ConductivitySamples | None


@dataclass(frozen=True, eq=False)
class StoredCells:
    """Displaced cells of a prediction in a database.

    Attributes
    ----------
    material_id
        Key of the material.
    cells
        The cells with their forces.
    source, model_digest
        Model that gave the forces, and SHA-256 of its weights or data.
    tier
        Tier of what is made of them: that of the prediction, for forces of a potential stay
        such, and at most that of few cells.
    fit, prior
        How they were fitted, and the calculator of the prior, empty without one.
    static_energy_ev_per_atom
        Energy without vibrations by the same model in eV/atom, or None.
    """

    material_id: str
    cells: DisplacedCells
    source: str
    model_digest: str
    tier: Tier
    fit: GaussianProcessSettings
    prior: str
    static_energy_ev_per_atom: float | None = None


def predictor_of(
    cells: DisplacedCells,
    few_cells: FewCellSettings,
    source: str,
    *,
    static_energy_ev_per_atom: float | None = None,
    harmonic_cells: DisplacedCells | None = None,
    tier: Tier = Tier.FEW_DFT_CELLS,
) -> GivenCells:
    """Make the predictor of the crystal of some cells, with the prior that its settings name.

    Raises
    ------
    ScreeningError
        If the cells cannot be used, or the calculator of the prior cannot be loaded.
    """
    from screening.calculators import load_calculator
    from screening.predictors.given_cells import GivenCells

    return GivenCells(
        cells,
        replace(ScreeningSettings(), few_cells=few_cells),
        source=source,
        prior=load_calculator(few_cells.prior) if few_cells.prior else None,
        static_energy_ev_per_atom=static_energy_ev_per_atom,
        harmonic_cells=harmonic_cells,
        tier=tier,
    )


def fit_cells(predictor: GivenCells, progress: Progress | None = None) -> FittedCells:
    """Fit displaced cells, and compute everything that follows.

    Parameters
    ----------
    predictor
        Of the cells.
    progress
        Called with the number of conductivities done and that of all.

    Raises
    ------
    ScreeningError
        If the forces are inconsistent, or a conductivity is asked for and has no value.
    """
    fit = predictor.fit
    crystal = canonical_crystal(fit.cells.primitive)
    prediction = predictor.predict(crystal, progress)
    return FittedCells(crystal, predictor.report, fit, prediction, predictor.drawn)


def intervals_of(
    prediction: Prediction, temperatures_k: Sequence[float] = (300.0,), coverage: float = 0.9
) -> tuple[Interval, ...]:
    """Return thermodynamics and lowest frequency with the intervals of the posterior.

    Parameters
    ----------
    prediction
        With a spread over draws.
    temperatures_k
        Temperatures of the thermodynamic functions in K.
    coverage
        Of each interval; that the draws are few is accounted for.

    Raises
    ------
    SettingError
        If a temperature is beyond those of the prediction.
    """
    from scipy.stats import t

    assert prediction.spread is not None
    spread, curves = prediction.spread, prediction.thermodynamics
    grid = curves.temperatures_k
    for temperature in temperatures_k:
        if not grid[0] <= temperature <= grid[-1]:
            raise SettingError(
                f"{temperature:g} K is beyond {grid[0]:g} to {grid[-1]:g} K", subject="temperatures"
            )
    quantile = float(t.ppf(0.5 * (1.0 + coverage), spread.n_members - 1))
    assert spread.lowest_frequency_std_thz is not None  # it has force constants
    lowest = prediction.stability.lowest_frequency_thz, spread.lowest_frequency_std_thz
    rows = {Quantity(Property.LOWEST_FREQUENCY): lowest}
    for temperature in temperatures_k:
        for kind, (values, std) in _curves(curves, spread).items():
            pair = float(np.interp(temperature, grid, values)), np.interp(temperature, grid, std)
            rows[Quantity(kind, temperature)] = pair[0], float(pair[1])
    return tuple(
        Interval(one, value, value - quantile * std, value + quantile * std, coverage)
        for one, (value, std) in rows.items()
    )


def _curves(
    curves: Thermodynamics, spread: ThermodynamicsSpread
) -> dict[Property, tuple[FloatArray, FloatArray]]:
    return {
        Property.FREE_ENERGY: (
            curves.free_energy_mev_per_atom,
            spread.free_energy_std_mev_per_atom,
        ),
        Property.ENTROPY: (
            curves.entropy_mev_per_k_per_atom,
            spread.entropy_std_mev_per_k_per_atom,
        ),
        Property.HEAT_CAPACITY: (
            curves.heat_capacity_mev_per_k_per_atom,
            spread.heat_capacity_std_mev_per_k_per_atom,
        ),
    }


def store_fit(
    database: Database, fitted: FittedCells, predictor: GivenCells, file: str, material_id: str = ""
) -> MaterialEvent:
    """Store a fit as the prediction of its crystal, which is imported if it is not there.

    Parameters
    ----------
    database
        Where.
    fitted, predictor
        What to store, and what made it.
    file
        Where the forces were read, for people.
    material_id
        Material that the cells belong to, perhaps relaxed; by default the crystal of the cells.

    Raises
    ------
    InputError
        If the crystal cannot be stored.
    """
    owner = material_id or _imported(database, fitted.crystal, file)
    crystal = replace(fitted.crystal, material_id=owner)

    def keep(prediction: Prediction) -> MaterialEvent:
        write_prediction(database, prediction, owner)
        verdict = prediction.stability.verdict.value
        return MaterialEvent(owner, crystal.formula, Outcome.COMPUTED, detail=verdict)

    event = attempt(database, crystal, predictor, lambda: fitted.prediction, keep)
    build_summaries(database, [owner])
    return event


def _imported(database: Database, crystal: Crystal, file: str) -> str:
    """Import a crystal; returns the material that stands for it."""
    blocks = iter([("", Parsed(crystal.structure))])
    report = import_structures(database, iter_blocks(file, blocks))
    if report.rejections:
        said = report.rejections[0]
        raise ERROR_CODES.get(said.code, ParseError)(said.message, subject=file, hint=said.hint)
    return report.material_ids[0]


def cells_of_material(database: Database, material_id: str) -> StoredCells:
    """Find displaced cells of a material: those that are summarised, else of the highest tier.

    Where all predictions displaced one atom after the other, these are the cells; they leave
    most of the third order open.

    Raises
    ------
    NotFoundError
        If no prediction of the material has forces of displaced cells.
    CorruptDataError
        If stored bytes do not match their digest.
    """
    same = by_field("material_id", material_id)
    summary = database.vibrational.query_one(same, ["prediction_id"]) or {}
    all_moved = _with_cells(database, material_id)
    documents = [PredictionDocument.load(row) for row in database.predictions.query(same)]
    usable = [one for one in documents if one.prediction_id in all_moved]
    best = max(
        usable,
        key=lambda one: (
            all_moved[one.prediction_id],
            one.prediction_id == summary.get("prediction_id"),
            _age(one),
        ),
        default=None,
    )
    cells = _stored_cells(database, best.prediction_id) if best else None
    if best is None or cells is None:
        raise NotFoundError(
            "no prediction of it has displaced cells",
            subject=material_id,
            hint="Predict it from a few cells, for instance with phonoscreen gp fit --db",
        )
    used: Mapping[str, Any] = best.settings.get("few_cells") or {}
    settings = ScreeningSettings.from_dict({"few_cells": {"fit": used.get("fit", {})}})
    assert settings.few_cells is not None
    return StoredCells(
        material_id=material_id,
        cells=cells,
        source=best.provenance.model or "given",
        model_digest=best.provenance.model_digest or "",
        tier=min(Tier(best.tier), Tier.FEW_DFT_CELLS),
        fit=settings.few_cells.fit,
        prior=str(used.get("prior") or ""),
        static_energy_ev_per_atom=best.static_energy_ev_per_atom,
    )


def _with_cells(database: Database, material_id: str) -> dict[str, bool]:
    """Predictions with forces, and whether all atoms of their cells are displaced."""
    rows = database.phonons.query(
        by_field("material_id", material_id),
        ["prediction_id", "displaced_cells_blob", "forces_blob"],
    )
    found = {}
    for row in rows:
        all_moved = row.get("displaced_cells_blob") is not None
        if all_moved or row.get("forces_blob") is not None:
            found[row["prediction_id"]] = all_moved
    return found


def _stored_cells(database: Database, prediction_id: str) -> DisplacedCells | None:
    phonons = phonons_of(database, prediction_id)
    if phonons.displaced_cells is not None or phonons.force_data is None:
        return phonons.displaced_cells
    return displaced_cells_of(phonons.force_data)


def _age(one: PredictionDocument) -> tuple[int, str, str]:
    """Order by tier, then by time."""
    when = one.last_updated.isoformat() if one.last_updated else ""
    return one.tier, when, one.prediction_id
