"""Thermodynamics learned directly from composition and structure, without a density of states.

A random forest of a few features gives heat capacity, entropy and free energy at some
temperatures: a network that predicts a whole density of states must do better at these than a
model that predicts nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from screening.errors import InconsistentDataError, TrainingSetError
from screening.network_dos.features import structure_features
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel, check_labels
from screening.network_dos.properties import DosSettings, dos_properties
from screening.prediction import FloatArray
from screening.random_forest.trees import Forest, grow_forest

__all__ = ["ScalarForest", "ThermalCurves", "label_curves"]

_N_TREES = 200
_FEATURE_SHARE = 0.5  # of the features, at every split
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class ThermalCurves:
    """Thermodynamic functions of some crystals, shapes (crystal, temperature).

    Attributes
    ----------
    temperatures_k
        In K.
    heat_capacity_mev_per_k_per_atom, entropy_mev_per_k_per_atom
        In meV/K/atom.
    free_energy_mev_per_atom
        With the zero-point energy, meV/atom.
    """

    temperatures_k: tuple[float, ...]
    heat_capacity_mev_per_k_per_atom: FloatArray
    entropy_mev_per_k_per_atom: FloatArray
    free_energy_mev_per_atom: FloatArray


def label_curves(
    labels: Sequence[DosLabel], grid: FrequencyGrid, temperatures_k: tuple[float, ...]
) -> ThermalCurves:
    """Take the exact sums over modes where labels hold them, else those over the histogram.

    Parameters
    ----------
    labels
        Labels on the grid.
    grid
        Their bins.
    temperatures_k
        In K.

    Raises
    ------
    InconsistentDataError
        If the exact sums of a label are at other temperatures.
    """
    histograms = np.array([one.histogram for one in labels]).reshape(-1, len(grid))
    atoms = np.array([one.n_atoms for one in labels], dtype=np.int64)
    found = dos_properties(histograms, atoms, grid, DosSettings(temperatures_k=temperatures_k))
    curves = [
        found.heat_capacity_mev_per_k_per_atom.copy(),
        found.entropy_mev_per_k_per_atom.copy(),
        found.free_energy_mev_per_atom.copy(),
    ]
    for row, label in enumerate(labels):
        if label.thermodynamics is not None:
            for curve, exact in zip(curves, _exact(label, temperatures_k), strict=True):
                curve[row] = exact
    return ThermalCurves(temperatures_k, *curves)


def _exact(label: DosLabel, temperatures_k: tuple[float, ...]) -> tuple[FloatArray, ...]:
    """Heat capacity, entropy and free energy of a label at some of its temperatures."""
    exact = label.thermodynamics
    assert exact is not None
    known = np.asarray(exact.temperatures_k)
    places = np.abs(known[:, None] - np.array(temperatures_k)).argmin(axis=0)
    if not np.allclose(known[places], temperatures_k, atol=1e-6):
        raise InconsistentDataError(
            f"the label holds no sums at all of {temperatures_k} K",
            subject=label.material_id,
            hint=f"Choose among {', '.join(f'{one:g}' for one in known)} K",
        )
    return (
        exact.heat_capacity_mev_per_k_per_atom[places],
        exact.entropy_mev_per_k_per_atom[places],
        exact.free_energy_mev_per_atom[places],
    )


@dataclass(frozen=True, eq=False)
class ScalarForest:
    """Random forest of the features of `screening.network_dos.features`.

    Attributes
    ----------
    forest
        The trees; outputs are heat capacity, entropy and free energy, each at all temperatures.
    temperatures_k
        In K.
    """

    forest: Forest
    temperatures_k: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        labels: Sequence[DosLabel],
        grid: FrequencyGrid,
        temperatures_k: tuple[float, ...] = (300.0, 1000.0),
        seed: int = 0,
    ) -> ScalarForest:
        """Grow the forest.

        Parameters
        ----------
        labels
            The training set.
        grid
            Their bins.
        temperatures_k
            In K.
        seed
            Of the random choices.

        Raises
        ------
        TrainingSetError
            As `screening.network_dos.labels.check_labels`, or of fewer than two labels.
        """
        if len(labels) < _FEWEST:
            raise TrainingSetError(
                f"{len(labels)} labels", subject="labels", hint="Give two crystals at least"
            )
        check_labels(labels, grid)
        curves = label_curves(labels, grid, temperatures_k)
        targets = np.hstack(
            [
                curves.heat_capacity_mev_per_k_per_atom,
                curves.entropy_mev_per_k_per_atom,
                curves.free_energy_mev_per_atom,
            ]
        )
        spread = targets.std(axis=0)
        scale = np.where(spread > 0.0, spread, 1.0)  # else the largest numbers choose the splits
        rows = structure_features([one.structure for one in labels])
        grown = grow_forest(
            rows,
            targets / scale,
            n_trees=_N_TREES,
            max_features=_FEATURE_SHARE,
            seed=seed,
            n_jobs=1,
        )
        values = grown.values * scale
        forest = Forest(
            grown.roots, grown.features, grown.thresholds, grown.children, values, grown.depth
        )
        return cls(forest, temperatures_k)

    def predict(self, structures: Sequence[Structure]) -> ThermalCurves:
        """Predict the curves of some crystals."""
        found = self.forest.by_tree(structure_features(structures)).mean(axis=0)
        capacity, entropy, free_energy = np.split(found, 3, axis=1)
        return ThermalCurves(self.temperatures_k, capacity, entropy, free_energy)
