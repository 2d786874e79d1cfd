"""The card of a trained ensemble: scores on compositions it never saw, beside all baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from screening.metrics import regression_scores
from screening.network_dos.baseline_rows import baseline_rows
from screening.network_dos.calibration import held_out_coverage
from screening.network_dos.estimates import Estimates, Truth
from screening.network_dos.labels import DosLabel
from screening.network_dos.model import PredictedDos
from screening.network_dos.scalar_model import label_curves
from screening.network_dos.scores import SCORE_TEMPERATURES_K, dos_scores
from screening.network_dos.settings import DosNetworkSettings
from screening.network_dos.splitting import Split

__all__ = ["PAPER_FIGURES", "HeldOut", "model_card"]

PAPER_FIGURES: Mapping[str, float] = MappingProxyType(
    {
        "fraction_below_0p086": 0.78,
        "stability_accuracy": 0.90,
        "heat_capacity_300k_mae_joule_per_mol_k_of_formula_units": 1.58,
        "heat_capacity_300k_mae_over_mad": 0.03,
        "entropy_300k_mae_joule_per_mol_k_of_formula_units": 7.26,
        "entropy_300k_mae_over_mad": 0.10,
        "isotope_scattering_mae_over_mad": 0.11,
    }
)
"""Of more than 14,000 compounds with random splits, by R. Gurunathan et al. (2023)."""

_MOST_POINTS = 3000
_NOTES = (
    "scores are of compositions that no member saw; every member watched others to stop in time",
    "for structures relaxed with what computed the labels: the network knows no forces",
    "longitudinal and transverse modes are split as far as they are in the labels",
    "thermodynamics is of crystals with at most a tenth of their modes below zero",
)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the ensemble says of labels that it never saw.

    Attributes
    ----------
    labels
        The labels.
    predicted
        Of each member.
    estimates, truth
        Numbers that follow.
    """

    labels: Sequence[DosLabel]
    predicted: PredictedDos
    estimates: Estimates
    truth: Truth

    @property
    def groups(self) -> list[str]:
        """Their compositions."""
        return [one.group for one in self.labels]


def model_card(
    learned: Sequence[DosLabel],
    held_out: HeldOut,
    split: Split,
    settings: DosNetworkSettings,
) -> dict[str, Any]:
    """Collect what people should know, as plain JSON.

    Parameters
    ----------
    learned
        Labels that members learned from or watched.
    held_out
        Those that none saw.
    split
        Compositions of both.
    settings
        What the ensemble was trained with.
    """
    labels, grid = held_out.labels, settings.grid
    reference = np.array([one.histogram for one in labels])
    atoms = np.array([one.n_atoms for one in labels], dtype=np.int64)
    own = dos_scores(
        held_out.estimates.properties.histograms,
        reference,
        grid,
        atoms,
        curves=label_curves(labels, grid, SCORE_TEMPERATURES_K),
    )
    both = held_out.truth.has_thermodynamics & held_out.estimates.properties.stable
    return {
        "reference": "doi:10.1103/PhysRevMaterials.7.023803",
        "sources": sorted({one.source for one in (*learned, *labels)}),
        "n_structures": len(learned) + len(labels),
        "n_learned_from": len(learned),
        "n_held_out": len(labels),
        "split": {"calibration": sorted(split.calibration), "learning": sorted(split.learning)},
        "seeds": [settings.seed + one for one in range(settings.n_members)],
        "scores": {
            "network": own.row(),
            **baseline_rows(learned, labels, grid, settings.seed),
        },
        "thermodynamics": {name: asdict(one) for name, one in own.thermal.items()},
        "scalars": _scalars(held_out),
        "coverage": {
            "intended": 1.0 - settings.alpha,
            "held_out_300k": held_out_coverage(
                held_out.estimates, held_out.truth, held_out.groups, settings.alpha
            ),
        },
        "n_stable_in_both": int(both.sum()),
        "parity": _parity(held_out),
        "paper": dict(PAPER_FIGURES),
        "notes": list(_NOTES),
    }


def _scalars(held_out: HeldOut) -> dict[str, Any]:
    """Scores of what has no temperature."""
    found = {}
    for name, there in held_out.truth.has_scalar.items():
        if there.any():
            ours, theirs = held_out.estimates.scalars[name], held_out.truth.scalars[name]
            found[name] = asdict(regression_scores(ours[there], theirs[there]))
    return found


def _parity(held_out: HeldOut) -> dict[str, Any]:
    """Predicted beside true values at 300 K, evenly thinned out where they are many."""
    stable = np.flatnonzero(held_out.truth.has_thermodynamics)
    count = min(len(stable), _MOST_POINTS)
    chosen = stable[np.linspace(0, len(stable) - 1, count).round().astype(int)]
    kelvin = np.asarray(held_out.estimates.temperatures_k)
    at = int(np.abs(kelvin - SCORE_TEMPERATURES_K[0]).argmin())
    return {
        f"{name}_300k": {
            "reference": held_out.truth.values[name][chosen, at].tolist(),
            "predicted": held_out.estimates.values[name][chosen, at].tolist(),
            "unit": "meV/atom" if name == "free_energy" else "meV/K/atom",
        }
        for name in held_out.truth.values
    }
