"""The same loop through the real database, and what everything but the predictions costs.

Two predictors give back what was computed before, so that imports, claims, stores, decisions,
escalations and summaries are all that is left to measure.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyEncoder
from report import Figure
from routing_crystals import Case, StoredPredictions
from routing_policy import ask_property
from routing_splits import THERMAL, Split

from flows.calibrating import family_of
from flows.local import Crew
from flows.makers import RoutedScreenMaker
from flows.routing import RoutingReport, Work, route
from screening.decisions.outcome import Outcome
from screening.decisions.questions import PropertyQuestion
from screening.prediction import Prediction
from screening.predictors.interface import Predictor
from screening.quantities import Property
from screening.structure import Crystal, canonical_crystal
from screening.uncertainty.estimates import raw_value
from stores.builders.calibrations import store_calibration
from stores.connect import Database, open_database
from stores.documents import StructureDocument
from stores.query import by_field, in_values

__all__ = ["loop_figures", "overhead_figures"]

ALPHA = 0.1
QUESTION = PropertyQuestion(Property.FREE_ENERGY, 20.0)
N_MATERIALS, N_WARM = 200, 10
LARGEST_OVERHEAD_MS = 30.0
SAME_VALUE = 1e-8
"""Stored calibrations are rounded to ten decimals."""

_CHEAP, _REFERENCE = "chgnet", "gpaw"  # names of known kinds; what they load is replaced
_HERE = Crew(workers=0)
_ENERGY_STEP_EV_PER_ATOM = 0.02
_SCALE_STEP = 0.004  # of the lengths, many bins of the digest
_SUMMARY = ["material_id", "formula_reduced", "tier", "free_energy_300k_mev_per_atom"]


@contextmanager
def _predictors(known: Mapping[str, Predictor]) -> Iterator[None]:
    """Let the platform find these predictors by name."""
    with patch("flows.predictors._predictor", lambda calculator, _: known[calculator]):
        yield


@contextmanager
def _database(
    crystals: Sequence[Crystal], split: Split, cheap: Predictor, reference: Predictor
) -> Iterator[str]:
    """Database in a file with crystals and the calibration of a split, for these predictors."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{Path(folder) / 'routing.db'}"
        calibration = replace(
            split.calibration,
            cheap_family=family_of(cheap),
            reference_family=family_of(reference),
        )
        with open_database(uri) as database:
            documents = [StructureDocument.from_crystal(x, source="benchmark") for x in crystals]
            database.structures.update([one.to_store() for one in documents])
            store_calibration(database, calibration)
        yield uri


def loop_figures(split: Split) -> list[Figure]:
    """Route the tested crystals of a split through the database, beside the pure computation."""
    crystals = {case.crystal.digest: case for case in split.tested}
    cheap = StoredPredictions.of_potential({k: c.predictions[0] for k, c in crystals.items()})
    reference = StoredPredictions.of_dft({k: c.predictions[1] for k, c in crystals.items()})
    names = [case.crystal.material_id for case in split.tested]
    with (
        _predictors({_CHEAP: cheap, _REFERENCE: reference}),
        _database([case.crystal for case in split.tested], split, cheap, reference) as uri,
    ):
        work = Work([{"calculator": _CHEAP}, {"calculator": _REFERENCE}], (QUESTION,), ALPHA)
        report = route(uri, names, work, crew=_HERE)
        again = route(uri, names, work, crew=_HERE)
        with open_database(uri) as database:
            summaries = _by_material(database, names)
            first = _first_outcomes(database)
    return _agreement(split, report, again, summaries, first)


def _by_material(database: Database, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    rows = database.vibrational.query(in_values("material_id", names), _SUMMARY)
    return {row["material_id"]: row for row in rows}


def _first_outcomes(database: Database) -> dict[str, str]:
    """Decisions that stand on the potential."""
    rows = database.decisions.query(by_field("tier", 1), ["material_id", "outcome"])
    return {row["material_id"]: row["outcome"] for row in rows}


def _agreement(
    split: Split,
    report: RoutingReport,
    again: RoutingReport,
    summaries: Mapping[str, Mapping[str, Any]],
    first: Mapping[str, str],
) -> list[Figure]:
    """Count where the database says something else than the policy alone."""
    quantity = THERMAL[0]
    escalations = answers = values = 0
    final = report.decisive()
    for case in split.tested:
        name = case.crystal.material_id
        interval = split.interval(case, quantity, ALPHA)
        sent = bool(ask_property(split, case, QUESTION, interval, ALPHA).sent)
        truth = raw_value(case.better, quantity)
        escalations += (first.get(name) == Outcome.ESCALATE.value) != sent
        given = final[name].answer
        expected = truth if sent else interval.value
        answers += given is None or abs(given.content["values"][0]["value"] - expected) > SAME_VALUE
        shown = truth if sent else raw_value(case.cheap, quantity)
        row = summaries[name]
        values += row["tier"] != (3 if sent else 1) or abs(row[quantity.name] - shown) > SAME_VALUE
    return [
        Figure("through the database: crystals", len(split.tested), ""),
        Figure("  sent to DFT", report.n_calculations, ""),
        Figure("  escalations unlike the policy alone", escalations, "", "<= 0"),
        Figure("  answers unlike the policy alone", answers, "", "<= 0"),
        Figure("  summaries without the best prediction", values, "", "<= 0"),
        Figure("  sent again by a second run", again.n_calculations, "", "<= 0"),
    ]


@dataclass(frozen=True)
class _Synthetic:
    """Distinct crystals with predictions by both methods."""

    crystals: tuple[Crystal, ...]
    cheap: StoredPredictions
    reference: StoredPredictions


def _synthetic(cases: Sequence[Case], how_many: int) -> _Synthetic:
    """Stretch crystals until there are enough, keeping what was predicted for each."""
    crystals: list[Crystal] = []
    cheap: dict[str, Prediction] = {}
    reference: dict[str, Prediction] = {}
    steps = (step for step in count(1) for _ in cases)
    for step, case in islice(zip(steps, cycle(cases), strict=False), how_many):
        structure = case.crystal.structure.copy()
        structure.scale_lattice(structure.volume * (1.0 + _SCALE_STEP * step) ** 3)
        crystal = canonical_crystal(structure)
        crystals.append(crystal)
        rise = _ENERGY_STEP_EV_PER_ATOM * step
        cheap[crystal.digest] = _moved(case.predictions[0], crystal, rise)
        reference[crystal.digest] = _moved(case.predictions[1], crystal, rise)
    return _Synthetic(
        tuple(crystals),
        StoredPredictions.of_potential(cheap),
        StoredPredictions.of_dft(reference),
    )


def _moved(prediction: Prediction, crystal: Crystal, rise_ev_per_atom: float) -> Prediction:
    """Return the same numbers, and as many of them, for another crystal.

    Its energy is higher, as that of a stretched crystal is: equal ones would all be compared
    atom by atom, to see whether they relaxed into the same phase.
    """
    forces, energy = prediction.force_data, prediction.static_energy_ev_per_atom
    return replace(
        prediction,
        structure=crystal.structure,
        structure_digest=crystal.digest,
        static_energy_ev_per_atom=None if energy is None else energy + rise_ev_per_atom,
        force_data=None if forces is None else replace(forces, primitive=crystal.structure),
    )


def overhead_figures(cases: Sequence[Case], split: Split) -> list[Figure]:
    """Time per material of everything but the predictions, in batches of 200.

    A few crystals are routed first, so that what Python loads once is loaded. Beside the wall
    time stands that of the processor, which other programs on the machine do not change.
    """
    _overhead(cases, split, N_WARM)
    found: list[Figure] = []
    for label, (wall_ms, cpu_ms, escalated) in _overhead(cases, split, N_MATERIALS).items():
        found += [
            Figure(
                f"overhead of {label}, {N_MATERIALS} materials",
                wall_ms,
                "ms/material",
                f"<= {LARGEST_OVERHEAD_MS:g}",
            ),
            Figure("  of this on the processor", cpu_ms, "ms/material"),
            Figure("  materials with a second method", escalated, ""),
        ]
    return found


def _overhead(
    cases: Sequence[Case], split: Split, how_many: int
) -> dict[str, tuple[float, float, int]]:
    """Wall and processor time in ms per material, and the number escalated, of both ways."""
    made = _synthetic(cases, how_many)
    names = [crystal.material_id for crystal in made.crystals]
    found = {}
    with _predictors({_CHEAP: made.cheap, _REFERENCE: made.reference}):
        for label, run in (("route", _by_route), ("a flow of jobs", _by_flow)):
            with _database(made.crystals, split, made.cheap, made.reference) as uri:
                wall, cpu, escalated = _timed(partial(run, uri, names), made)
            found[label] = 1000.0 * wall / how_many, 1000.0 * cpu / how_many, escalated
    return found


def _timed(run: Callable[[], int], made: _Synthetic) -> tuple[float, float, int]:
    """Wall and processor time in s without the predictors, and the number escalated."""
    before = made.cheap.seconds + made.reference.seconds
    wall, cpu = time.perf_counter(), time.process_time()
    escalated = run()
    spent = made.cheap.seconds + made.reference.seconds - before
    return time.perf_counter() - wall - spent, time.process_time() - cpu - spent, escalated


def _by_route(uri: str, names: Sequence[str]) -> int:
    ladder = [{"calculator": _CHEAP}, {"calculator": _REFERENCE}]
    return route(uri, names, Work(ladder, (QUESTION,), ALPHA), crew=_HERE).n_calculations


def _by_flow(uri: str, names: Sequence[str]) -> int:
    """Build, serialise and run a flow whose ladder ends after the potential."""
    maker = RoutedScreenMaker(
        ladder=[{"calculator": _CHEAP}],
        questions=[QUESTION.text],
        alpha=ALPHA,
        batch_size=N_MATERIALS,
    )
    flow = maker.make(uri, list(names))
    json.dumps(flow, cls=MontyEncoder)
    with warnings.catch_warnings():
        # jobflow 0.4 changes into its folder with a function monty has deprecated
        warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning)
        run_locally(flow, store=JobStore(MemoryStore()), log=False, ensure_success=True)
    return 0
