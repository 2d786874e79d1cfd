"""Densities of states by ALIGNN: what it holds, what it says of unseen compositions, how fast.

Labels are the crystals of PhononDB themselves: some thirty compositions to learn from, so the
baselines are strong. For accuracy whole compositions are set aside, of which no network saw
anything; for coverage a few others again, which neither networks nor calibration saw. Everything is
repeated over seeds, which split anew. The ten or so compositions left to calibrate on make wide
intervals, so what coverage has to be is asked of the installed ensemble, in `networks_ensemble`.
Where other crystals are too few for a split, that split is counted as failed and the rest stands.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_coverage import coverage_figures, coverage_of, deviations
from networks_models import failure_figures
from phonondb import mesh_of
from references import Reference, read_records, usable_references
from report import Figure

from screening.errors import ScreeningError, TrainingSetError
from screening.network_dos.estimates import CURVES
from screening.network_dos.fitting import MemberTraining, Sample
from screening.network_dos.graphs import GraphBuilder, batch_of, element_features
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID, FrequencyGrid
from screening.network_dos.labels import MOST_OUTSIDE, DosLabel, label_of_mesh
from screening.network_dos.model import DensityOfStatesModel, Ensemble
from screening.network_dos.network import (
    build_network,
    network_from_arrays,
    network_to_arrays,
)
from screening.network_dos.scores import DosScores, dos_scores
from screening.network_dos.settings import DOS_PRESETS, DosNetworkSettings
from screening.network_dos.training import train_density_of_states
from screening.prediction import FloatArray

__all__ = [
    "BEATEN",
    "LEAST_PER_SECOND",
    "REQUIRED",
    "GridLabels",
    "density_figures",
    "dos_labels",
    "label_figures",
    "ratio_figures",
    "throughput",
    "unseen_compositions",
]

N_HELD, MOST_HELD_MAE = 20, 0.02
LEAST_PER_SECOND, RISK = 100.0, 0.1
N_UNSEEN = 3  # compositions: more, and too few are left to calibrate on
BEATEN = ("zero", "mean", "nearest_neighbours")
MEASURES = {
    "wasserstein_thz": ("Wasserstein distance", "THz"),
    "entropy_300k_mev_per_k_per_atom_mae": ("S(300 K) MAE", "meV/K/atom"),
    "heat_capacity_300k_mev_per_k_per_atom_mae": ("C_V(300 K) MAE", "meV/K/atom"),
    "free_energy_300k_mev_per_atom_mae": ("A(300 K) MAE", "meV/atom"),
    "mae": ("MAE of curves over their maximum", ""),
}
REQUIRED = tuple(MEASURES)[:3]
GRIDS = {"paper": PAPER_GRID, "wide": WIDE_GRID}

Row = Mapping[str, float | int | None]


@dataclass(frozen=True)
class GridLabels:
    """Labels of the DFT crystals on one grid.

    Attributes
    ----------
    labels
        Of crystals that fit on it.
    n_outside
        Crystals with modes outside.
    failures
        Crystals that no label can be made of, and why.
    """

    labels: list[DosLabel]
    n_outside: int
    failures: list[str]


def density_figures(
    folder: Path, seed: int, n_seeds: int, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Train and judge networks; accuracy over so many splits, coverage over twice as many."""
    base = replace(DOS_PRESETS["small"], batch_size=8, device="cpu")
    references, failures = usable_references(read_records(folder))
    figures = failure_figures("density: records left out, of no use", failures)
    on_grids = {name: dos_labels(references, grid) for name, grid in GRIDS.items()}
    held, overfit = _overfit(on_grids["paper"].labels, base, quick=quick)
    details = {"overfit": overfit} if overfit else {}
    figures += held
    for name, grid in GRIDS.items():
        labels, chosen = on_grids[name].labels, _split_settings(base, grid, quick=quick)
        figures += label_figures(f"{name} grid", on_grids[name])
        seeds = range(seed, seed + (1 if quick else n_seeds))
        figures += _accuracy(labels, chosen, seeds, name, details)
        more = range(seed, seed + (1 if quick else 2 * n_seeds))
        figures += _coverages(labels, chosen, more, name, details)
        if quick:
            break
    return [*figures, *_speed(on_grids["wide"].labels, base)], details


def label_figures(name: str, found: GridLabels) -> list[Figure]:
    """Count what fits on a grid, and name what no label can be made of."""
    return [
        Figure(f"{name}: crystals", len(found.labels), ""),
        Figure(f"{name}: left out, modes outside", found.n_outside, "crystals"),
        *failure_figures(f"{name}: left out, no label", found.failures),
    ]


def dos_labels(references: Sequence[Reference], grid: FrequencyGrid) -> GridLabels:
    """Make labels of the DFT crystals that fit on a grid; the others are counted."""
    labels, failures, n_outside = [], [], 0
    for one in references:
        mesh = mesh_of(one, one.frequencies_thz)
        try:
            label = label_of_mesh(one.primitive, mesh, one.name, grid, "PhononDB-PBE")
        except TrainingSetError:  # no mode at all on the grid
            n_outside += 1
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            failures.append(f"{one.name}: {type(error).__name__}: {error}")
        else:
            if label.weight_outside < MOST_OUTSIDE:
                labels.append(label)
            else:
                n_outside += 1
    return GridLabels(labels, n_outside, failures)


def _split_settings(
    base: DosNetworkSettings, grid: FrequencyGrid, *, quick: bool
) -> DosNetworkSettings:
    return replace(
        base,
        grid=grid,
        epochs=min(base.epochs, 20 if quick else 100),
        n_members=2 if quick else 3,
        valid_fraction=0.15,
        calibration_fraction=0.35,
        alpha=RISK,
    )


def _overfit(
    labels: Sequence[DosLabel], base: DosNetworkSettings, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Let one network learn a few crystals by heart; no details without any."""
    epochs, required = 20 if quick else 300, None if quick else f"< {MOST_HELD_MAE:g}"
    settings = replace(base, grid=PAPER_GRID, epochs=epochs, patience=epochs, batch_size=5)
    chosen, started = labels[:N_HELD], time.process_time()
    at = f"{len(chosen)} crystals learned by heart"
    if not chosen:
        return [Figure(f"{at}: MAE, {epochs} epochs", None, "", required)], {}
    found = _learned_by_heart(chosen, settings)
    scores = dos_scores(
        found,
        np.array([one.histogram for one in chosen]),
        PAPER_GRID,
        [one.n_atoms for one in chosen],
    )
    figures = [
        Figure(f"{at}: MAE, {epochs} epochs", scores.mae, "", required),
        Figure("  baseline: zero, MAE", scores.zero_mae, ""),
        Figure("  baseline: mean, MAE", scores.mad, ""),
        Figure(f"{at}: Wasserstein distance", scores.wasserstein_thz, "THz"),
        Figure(f"{at}: processor time", time.process_time() - started, "s"),
    ]
    return figures, {
        "centres_thz": np.asarray(PAPER_GRID.centres_thz).tolist(),
        "examples": _examples(chosen, found, scores),
    }


def _learned_by_heart(labels: Sequence[DosLabel], settings: DosNetworkSettings) -> FloatArray:
    """Predicted curves after a training without anything held out, shape (crystal, bin)."""
    own, device = settings.architecture, torch.device("cpu")
    builder = GraphBuilder(own.bond_cutoff_angstrom, own.angle_cutoff_angstrom)
    samples = [Sample(builder.graph(one.structure), one.histogram) for one in labels]
    features = element_features()
    weights = MemberTraining(samples, [], settings, features, settings.seed + 1, device).run()
    network = network_from_arrays(own, settings.grid, features.shape[1], weights).eval()
    with torch.inference_mode():
        batch = batch_of([one.graph for one in samples], torch.from_numpy(features.copy()), device)
        return np.asarray(network(batch).double().numpy())


def _examples(
    labels: Sequence[DosLabel], found: FloatArray, scores: DosScores, count: int = 6
) -> list[dict[str, Any]]:
    """Take the best, the worst and some between, as shares of the modes."""
    order = np.argsort(scores.wasserstein_thz_by_crystal)
    places = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return [
        {
            "name": labels[k].material_id,
            "reference": (labels[k].histogram / labels[k].histogram.sum()).tolist(),
            "predicted": (found[k] / found[k].sum()).tolist(),
            "wasserstein_thz": float(scores.wasserstein_thz_by_crystal[k]),
        }
        for k in places.tolist()
    ]


def _accuracy(
    labels: Sequence[DosLabel],
    settings: DosNetworkSettings,
    seeds: Sequence[int],
    name: str,
    details: dict[str, Any],
) -> list[Figure]:
    """Compare the networks with all baselines, each measure averaged over the splits."""
    cards = []
    for seed in seeds:
        try:
            trained = train_density_of_states(labels, replace(settings, seed=seed), "splits")
        except ScreeningError as error:
            print(f"  FAILED accuracy, {name} grid, seed {seed}: {error}", flush=True)
            continue
        cards.append(dict(trained.card))
        print(f"  {name} grid, seed {seed}: {trained.card['n_held_out']} held out", flush=True)
    rows = _mean_rows([card["scores"] for card in cards])
    if cards:
        details[f"rows, {name} grid"] = rows
        details[f"parity, {name} grid"] = cards[-1]["parity"]
    held_out = sum(card["n_held_out"] for card in cards)
    text = f"{name} grid: held-out predictions, seeds {seeds[0]} to {seeds[-1]}"
    return [
        Figure(f"{name} grid: splits for accuracy that failed", len(seeds) - len(cards), ""),
        Figure(text, held_out, ""),
        *ratio_figures(rows, f"{name} grid", REQUIRED),
        *_card_coverages(cards, name),
    ]


def _card_coverages(cards: Sequence[Mapping[str, Any]], name: str) -> list[Figure]:
    """Coverage where each composition of the calibration is left out in turn."""
    figures = []
    for quantity in CURVES:
        found = [card["coverage"]["held_out_300k"][quantity] for card in cards]
        is_known = bool(found) and all(one is not None for one in found)
        mean = float(np.mean(found)) if is_known else None
        figures.append(Figure(f"{name} grid: {quantity}, coverage by the card", mean, ""))
    return figures


def _mean_rows(tables: Sequence[Mapping[str, Row]]) -> dict[str, dict[str, float]]:
    """Average every number over tables; what one of them lacks is left out."""
    rows: dict[str, dict[str, float]] = {}
    for name in tables[0] if tables else ():
        columns = {key: [table[name].get(key) for table in tables] for key in tables[0][name]}
        rows[name] = {
            key: float(np.mean([x for x in values if x is not None]))
            for key, values in columns.items()
            if all(value is not None for value in values)
        }
    return rows


def ratio_figures(rows: Mapping[str, Row], name: str, required: Sequence[str] = ()) -> list[Figure]:
    """Say every measure of every row, and the network's over the best of the baselines."""
    figures = []
    for key, (label, unit) in MEASURES.items():
        values = {who: row[key] for who, row in rows.items() if row.get(key) is not None}
        own = values.pop("network", None)
        figures.append(Figure(f"{name}: {label}, network", own, unit))
        figures += [Figure(f"  baseline: {who}", value, unit) for who, value in values.items()]
        simple = [float(values[who] or 0.0) for who in BEATEN if who in values]
        ratios = {
            "zero, mean and neighbours": simple,
            "all baselines": [float(one or 0.0) for one in values.values()],
        }
        for others, found in ratios.items():
            ratio = own / min(found) if own is not None and found and min(found) > 0 else None
            limit = "< 1" if key in required and others.startswith("zero") else None
            figures.append(Figure(f"{name}: {label} over best of {others}", ratio, "", limit))
    return figures


def _coverages(
    labels: Sequence[DosLabel],
    settings: DosNetworkSettings,
    seeds: Sequence[int],
    name: str,
    details: dict[str, Any],
) -> list[Figure]:
    """Hold out compositions from training and calibration alike, and count."""
    found = []
    for seed in seeds:
        unseen = unseen_compositions(labels, seed)
        rest = [one for one in labels if one.group not in unseen]
        held_out = [one for one in labels if one.group in unseen]
        try:
            trained = train_density_of_states(rest, replace(settings, seed=seed), "coverage")
            model = DensityOfStatesModel.from_trained(trained, "cpu")
            found.append(coverage_of(model, held_out))
        except ScreeningError as error:
            print(f"  FAILED coverage, {name} grid, seed {seed}: {error}", flush=True)
            continue
        print(f"  {name} grid, coverage, seed {seed}: {sorted(unseen)}", flush=True)
    details[f"coverage, {name} grid"] = {
        quantity: [
            sum(sum(one.inside[quantity]) for one in found),
            sum(len(one.inside[quantity]) for one in found),
        ]
        for quantity in CURVES
    }
    return [
        Figure(f"{name} grid: splits for coverage that failed", len(seeds) - len(found), ""),
        *coverage_figures(found, f"{name} grid", deviations(labels, settings.grid), required=False),
    ]


def unseen_compositions(
    labels: Sequence[DosLabel], seed: int, count: int = N_UNSEEN
) -> frozenset[str]:
    """Draw compositions whose elements others have as well."""
    groups = {one.group: {site.specie.Z for site in one.structure} for one in labels}
    left = Counter(element for elements in groups.values() for element in elements)
    names, chosen = sorted(groups), set()
    for index in np.random.default_rng(seed).permutation(len(names)):
        elements = groups[names[index]]
        if len(chosen) < count and all(left[one] > 1 for one in elements):
            left.subtract(elements)
            chosen.add(names[index])
    return frozenset(chosen)


def _speed(labels: Sequence[DosLabel], base: DosNetworkSettings) -> list[Figure]:
    """Time one network of the default size, whose weights do not matter, graphs included."""
    found, n_atoms = throughput(labels, replace(base, grid=WIDE_GRID)) if labels else (None, None)
    return [
        Figure("atoms per crystal of the timed", n_atoms, ""),
        Figure("crystals per second of processor time", found, "1/s", f">= {LEAST_PER_SECOND:g}"),
    ]


def throughput(
    labels: Sequence[DosLabel], settings: DosNetworkSettings, repeats: int = 4
) -> tuple[float, float]:
    """Crystals per second of one thread by one network, and their mean number of atoms."""
    features = element_features()
    network = build_network(settings.architecture, settings.grid, features.shape[1])
    weights = network_to_arrays(network)
    ensemble = Ensemble(settings, [weights], features)
    structures = [one.structure for one in labels] * repeats
    ensemble.predict(structures[:4])  # the first call also prepares
    started = time.process_time()
    ensemble.predict(structures)
    per_second = len(structures) / (time.process_time() - started)
    return per_second, float(np.mean([len(one) for one in structures]))
