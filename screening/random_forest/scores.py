"""The published table of scores, for a model and for guesses that need none.

References
----------
F. Legrain et al., J. Chem. Inf. Model. 58, 2460 (2018), arXiv:1803.09827, table of scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np

from screening.descriptors.image_bonds import atomic_numbers
from screening.hessians import atomic_masses_amu
from screening.metrics import regression_scores
from screening.prediction import FloatArray
from screening.random_forest.blocks import Kind, atom_pairs, blocks_of, hessians_from_blocks
from screening.random_forest.learning import TrainingData
from screening.random_forest.spectrum import SpectrumCorrection, spectrum_of
from screening.random_forest.validation import CrossValidation, reference_frequencies
from screening.thermodynamics import ThermodynamicsSettings
from screening.zone_centre_modes import spectrum_moments, zone_centre_thermodynamics

__all__ = ["PUBLISHED", "mean_block_hessians", "parity_table", "score_table"]

_TEMPERATURE_K = 300.0
_FORCE_CONSTANT = "eV/Å²"
_FREQUENCY = "rad/ps"
_UNITS = MappingProxyType(
    {
        "force_constant_trace": _FORCE_CONSTANT,
        "force_constant_root_trace_of_square": _FORCE_CONSTANT,
        "force_constant_root_trace_of_cube": _FORCE_CONSTANT,
        "force_constant_components": _FORCE_CONSTANT,
        "all_hessian_components": _FORCE_CONSTANT,
        "frequency_standard_deviation": _FREQUENCY,
        "frequency_mean": _FREQUENCY,
        "frequency_max": _FREQUENCY,
        "heat_capacity_300k": "meV/K/atom",
        "free_energy_300k": "meV/atom",
        "entropy_300k": "meV/K/atom",
    }
)

PUBLISHED: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "force_constant_trace": (0.99, 0.98, 0.25, 0.38),
        "force_constant_root_trace_of_square": (0.98, 0.95, 0.27, 0.41),
        "force_constant_root_trace_of_cube": (0.98, 0.95, 0.28, 0.43),
        "force_constant_components": (0.99, 0.93, 0.17, 0.32),
        "frequency_standard_deviation": (0.88, 0.87, 0.88, 1.14),
        "frequency_mean": (0.92, 0.88, 0.73, 0.94),
        "frequency_max": (0.88, 0.87, 3.79, 4.63),
        "heat_capacity_300k": (0.91, 0.83, 0.0008, 0.0010),
        "free_energy_300k": (0.82, 0.80, 2.92, 3.78),
        "entropy_300k": (0.80, 0.79, 0.009, 0.012),
    }
)
"""Pearson, Spearman, mean absolute and root mean square error of 121 crystals of KZnF3, by
density functional theory; units as in the table."""


_MESH = {
    "heat_capacity_300k": "heat_capacity_mev_per_k_per_atom",
    "free_energy_300k": "free_energy_mev_per_atom",
    "entropy_300k": "entropy_mev_per_k_per_atom",
}
_PARITY = ("entropy_300k", "free_energy_300k", "heat_capacity_300k", "force_constant_components")
_MOST_POINTS = 3000


def score_table(
    data: TrainingData, validation: CrossValidation, *, mesh: bool = False
) -> list[dict[str, Any]]:
    """Score held-out predictions, and two guesses beside them.

    Parameters
    ----------
    data, validation
        The training set and its held-out predictions.
    mesh
        Whether to compare the same values with sums over all wave vectors as well; every
        structure must have them.

    Notes
    -----
    ``mean_block`` gives every pair of elements its mean block over the training folds,
    ``mean_value`` every structure the mean of the quantity.

    Returns
    -------
    list of dict
        One row per quantity: unit, scores, MAE of both guesses, published scores where there
        are any. Frequencies and what follows from them are of the zone centre alone, but for
        the truth of rows that end in ``_mesh``.
    """
    references = reference_frequencies(data)
    own = _blocks_table(data, [one[0] for one in validation.hessians])
    own |= _modes_table(data, [one.frequencies_thz for one in validation.spectra])
    guess_hessians = mean_block_hessians(data)
    guess = _blocks_table(data, guess_hessians)
    guess |= _modes_table(data, _frequencies(data, guess_hessians))
    truth = _blocks_table(data, [np.asarray(h.hessian_ev_per_angstrom2) for h in data.hessians])
    truth |= _modes_table(data, references)
    rows = [_row(name, own[name], guess[name], truth[name], data) for name in _UNITS]
    if mesh:
        rows += [_mesh_row(name, own[name], guess[name], data) for name in _MESH]
    return rows


def _mesh_row(name: str, own: FloatArray, guess: FloatArray, data: TrainingData) -> dict[str, Any]:
    curves = [one.thermodynamics for one in data.hessians if one.thermodynamics is not None]
    truth = np.array(
        [np.interp(_TEMPERATURE_K, x.temperatures_k, getattr(x, _MESH[name])) for x in curves]
    )
    return _row(name, own, guess, truth, data) | {"quantity": f"{name}_mesh", "published": None}


def parity_table(data: TrainingData, validation: CrossValidation) -> dict[str, dict[str, Any]]:
    """List true and held-out values of some quantities, thinned evenly where they are many."""
    own = _blocks_table(data, [one[0] for one in validation.hessians])
    own |= _modes_table(data, [one.frequencies_thz for one in validation.spectra])
    truth = _blocks_table(data, [np.asarray(h.hessian_ev_per_angstrom2) for h in data.hessians])
    truth |= _modes_table(data, reference_frequencies(data))
    found = {}
    for name in _PARITY:
        count = len(truth[name])
        places = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int))
        found[name] = {
            "reference": [float(x) for x in truth[name][places]],
            "predicted": [float(x) for x in own[name][places]],
            "unit": _UNITS[name],
        }
    return found


def _row(
    name: str, own: FloatArray, guess: FloatArray, truth: FloatArray, data: TrainingData
) -> dict[str, Any]:
    scores = asdict(regression_scores(own, truth))
    row: dict[str, Any] = {"quantity": name, "unit": _UNITS[name], **scores}
    row["mean_block_mae"] = float(np.abs(guess - truth).mean())
    row["mean_value_mae"] = None
    if len(truth) == len(data.hessians):
        means = np.array([truth[data.folds != fold].mean() for fold in data.folds])
        row["mean_value_mae"] = float(np.abs(means - truth).mean())
    published = PUBLISHED.get(name)
    names = ("pearson", "spearman", "mae", "rmse")
    row["published"] = dict(zip(names, published, strict=True)) if published else None
    return row


def _blocks_table(data: TrainingData, hessians: Sequence[FloatArray]) -> dict[str, FloatArray]:
    """Invariants and components of the blocks of different atoms, and all components."""
    found = []
    for one, hessian in zip(data.hessians, hessians, strict=True):
        numbers = atomic_numbers(one.structure)
        found += [blocks_of(hessian, atom_pairs(numbers, kind)) for kind in data.kinds]
    blocks = np.concatenate(found)
    symmetric = 0.5 * (blocks + blocks.swapaxes(1, 2))
    squares = symmetric @ symmetric
    cubes = squares @ symmetric
    traces = [np.trace(x, axis1=1, axis2=2) for x in (symmetric, squares, cubes)]
    return {
        "force_constant_trace": traces[0],
        "force_constant_root_trace_of_square": np.sqrt(np.maximum(traces[1], 0.0)),
        "force_constant_root_trace_of_cube": np.cbrt(traces[2]),
        "force_constant_components": blocks.ravel(),
        "all_hessian_components": np.concatenate([one.ravel() for one in hessians]),
    }


def _modes_table(data: TrainingData, frequencies: Sequence[FloatArray]) -> dict[str, FloatArray]:
    """Moments in rad/ps, and thermodynamics at 300 K per atom, one number per structure."""
    settings = ThermodynamicsSettings(temperatures_k=(_TEMPERATURE_K,))
    moments = np.array([spectrum_moments(one).rad_per_ps for one in frequencies])
    thermo = [
        zone_centre_thermodynamics(modes, len(one.structure), settings)
        for one, modes in zip(data.hessians, frequencies, strict=True)
    ]
    return {
        "frequency_mean": moments[:, 0],
        "frequency_standard_deviation": moments[:, 1],
        "frequency_max": moments[:, 2],
        "heat_capacity_300k": np.array([x.heat_capacity_mev_per_k_per_atom[0] for x in thermo]),
        "free_energy_300k": np.array([x.free_energy_mev_per_atom[0] for x in thermo]),
        "entropy_300k": np.array([x.entropy_mev_per_k_per_atom[0] for x in thermo]),
    }


def mean_block_hessians(data: TrainingData) -> list[FloatArray]:
    """Guess each block as the mean of its pair of elements over the other folds, in eV/Å²."""
    numbers = [atomic_numbers(one.structure) for one in data.hessians]
    blocks: dict[tuple[Kind, int], FloatArray] = {}
    for kind in data.kinds:
        own = [
            blocks_of(np.asarray(one.hessian_ev_per_angstrom2), atom_pairs(z, kind))
            for one, z in zip(data.hessians, numbers, strict=True)
        ]
        for fold in range(data.settings.n_folds):
            seen = np.concatenate([x for x, f in zip(own, data.folds, strict=True) if f != fold])
            blocks[kind, fold] = seen.mean(axis=0) if len(seen) else np.zeros((3, 3))
    found = []
    for z, fold in zip(numbers, data.folds, strict=True):
        guess = {
            kind: np.broadcast_to(blocks[kind, int(fold)], (1, len(atom_pairs(z, kind)), 3, 3))
            for kind in data.kinds
        }
        found.append(hessians_from_blocks(z, guess, 1)[0])
    return found


def _frequencies(data: TrainingData, hessians: Sequence[FloatArray]) -> list[FloatArray]:
    return [
        spectrum_of(
            hessian[None],
            atomic_masses_amu(one.structure),
            data.settings.repair_order,
            SpectrumCorrection(),
        ).frequencies_thz
        for one, hessian in zip(data.hessians, hessians, strict=True)
    ]
