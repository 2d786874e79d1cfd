"""Stored minima as labels of the linear entropy, and models tested on what they have not seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from entropy_configurations import Labelled
from entropy_data import FOLDER, read_set
from entropy_potentials import FloatArray
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem
from screening.linear_entropy.entropy import system_entropy_boltzmann
from screening.linear_entropy.labels import LabelOrigin, SpectralLabel, SpectrumKind
from screening.linear_entropy.model import (
    EntropyPredictions,
    LinearEntropyModel,
    predict_entropy,
)
from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.training import train_entropy
from screening.metrics import regression_scores
from screening.trained_model import TrainedModel

__all__ = [
    "ARGON",
    "IRON",
    "LENNARD_JONES",
    "LENNARD_JONES_CUTOFF",
    "Crystal",
    "Pool",
    "Tested",
    "label_of_minimum",
    "labels_of",
    "linear_in_energy",
    "near_saddle",
    "predict_labels",
    "true_entropies",
]

ARGON, IRON_NUMBER = 18, 26
LENNARD_JONES_CUTOFF = 2.5  # sigma; 5 sigma is worse
IRON_CUTOFF = 4.2  # Å, three shells
N_RADIAL, L_MAX = 14, 14  # of defects: angles say more than distances
"""Chosen with the cutoff of iron by cross-validation on 400 minima of another seed, which are in
no set; the 20 x 11 functions within 5 Å of the paper are less than a tenth worse."""
IRON_N_RADIAL, IRON_L_MAX = 20, 20
"""More minima bear more functions: chosen among twelve numbers of functions and cutoffs by
cross-validation inside of each training part of `Pool.held_out`. Only 28 x 21 functions are better
there, by less than a hundredth; 14 x 15 functions are a tenth worse."""
NEAR_SADDLE = 0.1
"""Softest eigenvalue over that of the perfect crystal below which a minimum is next to a saddle
point: there the harmonic entropy itself means little."""
N_OUTER_FOLDS = 5
TEMPERATURE_K = 300.0  # of cluster entropies; formation entropies depend on none
NORMAL_90 = 1.6448536269514722


@dataclass(frozen=True)
class Crystal:
    """A crystal with its stored sets."""

    name: str
    number: int
    cutoff: float
    main: str
    small: str
    large: str
    strained: str
    damaged: str
    n_radial: int = N_RADIAL
    l_max: int = L_MAX

    def settings(self, *, site_resolved: bool = True) -> LinearEntropySettings:
        """How its defects are learned: from the share of each atom, or from whole cells alone."""
        chosen = {
            "cutoff_angstrom": self.cutoff, "n_radial": self.n_radial, "l_max": self.l_max,
        }  # fmt: skip
        return LinearEntropySettings(
            descriptor_settings=chosen, target="formation", site_resolved=site_resolved
        )


LENNARD_JONES = Crystal(
    "fcc Lennard-Jones", ARGON, LENNARD_JONES_CUTOFF,
    "lj_fcc_256", "lj_fcc_108", "lj_fcc_500", "lj_fcc_256_strained", "lj_fcc_256_damaged",
)  # fmt: skip
IRON = Crystal(
    "bcc Fe", IRON_NUMBER, IRON_CUTOFF,
    "bcc_fe_250", "bcc_fe_128", "bcc_fe_432", "bcc_fe_250_strained", "bcc_fe_250_damaged",
    IRON_N_RADIAL, IRON_L_MAX,
)  # fmt: skip


def label_of_minimum(
    one: Labelled, number: int, name: str, family: str = "", bulk: str = ""
) -> SpectralLabel:
    """Make the label of a stored minimum; sigma and epsilon count as Å and eV.

    Parameters
    ----------
    one
        The minimum.
    number
        Atomic number that its atoms get.
    name
        Of its set and of itself.
    family
        Class of its calibration.
    bulk
        Name of its perfect crystal.
    """
    cluster = one.edge is None
    return SpectralLabel(
        origin=LabelOrigin(
            name, group=f"{one.seed}-{one.parent}", family=family, bulk=bulk, energy_ev=one.energy
        ),
        system=AtomicSystem(
            one.positions,
            np.full(len(one.positions), number),
            None if one.edge is None else one.edge * np.eye(3),
        ),
        kind=SpectrumKind.CLUSTER if cluster else SpectrumKind.ZONE_CENTRE,
        n_modes=float(one.n_modes),
        log_determinant=one.log_determinant,
        site_log_determinants=one.site_log_determinants,
    )


def labels_of(set_name: str, number: int, folder: Path = FOLDER) -> list[SpectralLabel]:
    """Read the labels of a set; defects name the perfect crystal of their set and strain.

    Parameters
    ----------
    set_name, folder
        One of ``entropy_data.SETS``, and where its file lies.
    number
        Atomic number that the atoms get.
    """
    minima = read_set(set_name, folder)
    bulks = {one.strain: f"{set_name}/{k}" for k, one in enumerate(minima) if one.kind == "bulk"}
    return [
        label_of_minimum(
            one,
            number,
            f"{set_name}/{k}",
            family=_family(one),
            bulk="" if one.kind in {"bulk", "minimum"} else bulks[one.strain],
        )
        for k, one in enumerate(minima)
    ]


def near_saddle(set_name: str, folder: Path = FOLDER) -> frozenset[str]:
    """Name the minima of an unstrained crystal that are next to a saddle point.

    Parameters
    ----------
    set_name, folder
        As `labels_of` takes them.
    """
    minima = read_set(set_name, folder)
    (bulk,) = (one for one in minima if one.kind == "bulk")
    limit = NEAR_SADDLE * bulk.softest
    return frozenset(f"{set_name}/{k}" for k, one in enumerate(minima) if one.softest < limit)


def _family(one: Labelled) -> str:
    if one.kind.startswith("F"):
        return "damaged"
    strain = f", strain {100 * one.strain:g} %" if one.strain else ""
    return f"{one.n_sites} sites{strain}" if one.edge is not None else ""


@dataclass(frozen=True, eq=False)
class Tested:
    """Predictions of labels that the model has not seen."""

    labels: Sequence[SpectralLabel]
    truth: FloatArray
    found: EntropyPredictions
    ridge_std: FloatArray
    """Standard deviation of the Bayesian ridge itself: noise and posterior of the weights."""
    seconds: float

    @property
    def errors(self) -> FloatArray:
        """Predicted less true entropy in k_B."""
        return self.found.entropy_boltzmann - self.truth

    def scores(self) -> dict[str, float]:
        """Errors in k_B, coverage and novelty."""
        score = regression_scores(self.found.entropy_boltzmann, self.truth)
        refused = ~np.isfinite(self.found.half_width_boltzmann)
        inside = np.abs(self.errors) <= self.found.half_width_boltzmann
        kept = ~refused
        return {
            "count": len(self.labels),
            "rmse": score.rmse,
            "mae": score.mae,
            "bias": score.bias,
            "mad": score.mad,
            "skill": float("nan") if score.skill is None else score.skill,
            "rmse_mean": float(self.truth.std()),
            "refused": float(refused.mean()),
            "covered_or_refused": float((inside | refused).mean()),
            "covered_of_kept": float(inside[kept].mean()) if kept.any() else 1.0,
            "native": float(np.mean(np.abs(self.errors) <= NORMAL_90 * self.ridge_std)),
            "ms_per_structure": 1e3 * self.seconds / len(self.labels),
        }

    @classmethod
    def joined(cls, parts: Sequence[Tested]) -> Tested:
        """All parts after each other."""
        fields = ("entropy_boltzmann", "std_boltzmann", "half_width_boltzmann", "novelty")
        found = {name: np.concatenate([getattr(x.found, name) for x in parts]) for name in fields}
        return cls(
            [label for one in parts for label in one.labels],
            np.concatenate([one.truth for one in parts]),
            EntropyPredictions(**found, coverage=parts[0].found.coverage),
            np.concatenate([one.ridge_std for one in parts]),
            sum(one.seconds for one in parts),
        )

    def by_family(self) -> dict[str, dict[str, float]]:
        """Scores of each class."""
        names = np.array([one.origin.family for one in self.labels])
        return {name: self.some(names == name).scores() for name in sorted(set(names.tolist()))}

    def some(self, mine: NDArray[np.bool_]) -> Tested:
        """Only the labels that are chosen."""
        fields = ("entropy_boltzmann", "std_boltzmann", "half_width_boltzmann", "novelty")
        found = {name: getattr(self.found, name)[mine] for name in fields}
        return Tested(
            [label for label, one in zip(self.labels, mine, strict=True) if one],
            self.truth[mine],
            EntropyPredictions(**found, coverage=self.found.coverage),
            self.ridge_std[mine],
            self.seconds * float(np.mean(mine)),
        )

    def pairs(self) -> dict[str, list[float]]:
        """Return reference and prediction of each label, and the half width of its interval."""
        return {
            "reference": self.truth.tolist(),
            "predicted": self.found.entropy_boltzmann.tolist(),
            "half_width": [x if np.isfinite(x) else 0.0 for x in self.found.half_width_boltzmann],
        }


def predict_labels(
    trained: TrainedModel,
    labels: Sequence[SpectralLabel],
    bulks: Sequence[SpectralLabel] = (),
) -> Tested:
    """Predict what the labels know, saying of each the class where the model knows it.

    Of others nothing is said, as by a user who does not know what a cell is like: the widest
    interval of all classes has to do.

    Parameters
    ----------
    trained, labels
        A model, and what it is tested on.
    bulks
        For the target ``formation``: labels with the perfect crystals among them.
    """
    model = LinearEntropyModel.from_trained(trained)
    by_name = {one.material_id: one for one in bulks}
    own = [by_name[one.origin.bulk] for one in labels] if bulks else None
    families = [one.origin.family for one in labels]
    started = time.process_time()
    found = predict_entropy(
        model,
        [one.system for one in labels],
        bulks=None if own is None else [one.system for one in own],
        temperature_k=TEMPERATURE_K,
        families=[x if x in model.calibration.quantiles else "" for x in families],
    )
    seconds = time.process_time() - started
    return Tested(
        labels, true_entropies(labels, own), found, _ridge_std(model, labels, own), seconds
    )


def _ridge_std(
    model: LinearEntropyModel,
    labels: Sequence[SpectralLabel],
    bulks: Sequence[SpectralLabel] | None,
) -> FloatArray:
    """Return the standard deviation in k_B that the regression has of itself."""
    noise = model.fits.logarithm.noise_variance
    found = []
    for k, one in enumerate(labels):
        moments = model.moments(one.system, None if bulks is None else bulks[k].system)
        times = float(len(one.system)) if bulks is None else 1.0
        found.append(0.5 * times * np.sqrt(noise * (1.0 + moments.row_leverage)))
    return np.array(found)


def true_entropies(
    labels: Sequence[SpectralLabel], bulks: Sequence[SpectralLabel] | None
) -> FloatArray:
    """Entropies in k_B, or those of formation against the perfect crystal of each."""
    if bulks is None:
        return np.array([
            system_entropy_boltzmann(
                one.system, one.extensive_log_determinant, one.kind, TEMPERATURE_K
            )
            for one in labels
        ])  # fmt: skip
    return np.array([
        -0.5 * one.extensive_log_determinant
        + 0.5 * bulk.extensive_log_determinant * len(one.system) / len(bulk.system)
        for one, bulk in zip(labels, bulks, strict=True)
    ])  # fmt: skip


class Pool:
    """Labels of defects, and of the perfect crystals that they are taken against."""

    def __init__(self, labels: Sequence[SpectralLabel]) -> None:
        self.bulks = [one for one in labels if not one.origin.bulk]
        self.defects = [one for one in labels if one.origin.bulk]

    def first(self, count: int) -> Pool:
        """Only some of the defects."""
        return Pool([*self.bulks, *self.defects[:count]])

    def held_out(self, settings: LinearEntropySettings) -> Tested:
        """Predict every defect by models without its parent, each with its own calibration."""
        groups = sorted({one.group for one in self.defects})
        order = np.random.default_rng(1).permutation(len(groups)) % N_OUTER_FOLDS
        part_of = dict(zip(groups, order.tolist(), strict=True))
        folds = [part_of[one.group] for one in self.defects]
        parts = []
        for part in range(N_OUTER_FOLDS):
            rest = [x for x, fold in zip(self.defects, folds, strict=True) if fold != part]
            own = [x for x, fold in zip(self.defects, folds, strict=True) if fold == part]
            trained = train_entropy([*self.bulks, *rest], settings, "held-out")
            parts.append(predict_labels(trained, own, self.bulks))
        return Tested.joined(parts)

    def trained(self, settings: LinearEntropySettings) -> TrainedModel:
        """Train a model of all of these."""
        return train_entropy([*self.bulks, *self.defects], settings, "transfer")

    def predicted(self, trained: TrainedModel) -> Tested:
        """Predict all of these by a model of others."""
        return predict_labels(trained, self.defects, self.bulks)

    def with_half(self, other: Pool, settings: LinearEntropySettings) -> Tested:
        """Predict each half of others by a model of these and the other half."""
        halves = (other.defects[::2], other.defects[1::2])
        parts = []
        for rest, own in (halves, halves[::-1]):
            training = [*self.bulks, *other.bulks, *self.defects, *rest]
            trained = train_entropy(training, settings, "half")
            parts.append(predict_labels(trained, own, other.bulks))
        return Tested.joined(parts)

    def excess_atoms(self, tested: Tested) -> NDArray[np.int64]:
        """Atoms more than in the perfect crystal, of each label."""
        by_name = {one.material_id: one for one in self.bulks}
        pairs = ((one, by_name[one.origin.bulk]) for one in tested.labels)
        return np.array([len(one.system) - len(bulk.system) for one, bulk in pairs])

    def linear_in_formation_energy(self, tested: Tested) -> dict[str, float]:
        """Errors of a formation entropy that is linear in energy and in the number of atoms."""
        by_name = {one.material_id: one for one in self.bulks}

        def design(label: SpectralLabel) -> list[float]:
            bulk = by_name[label.origin.bulk]
            excess = len(label.system) - len(bulk.system)
            assert label.origin.energy_ev is not None
            assert bulk.origin.energy_ev is not None
            share = len(label.system) / len(bulk.system)
            return [label.origin.energy_ev - share * bulk.origin.energy_ev, excess, abs(excess)]

        rows = np.array([design(one) for one in tested.labels])
        # to its own data: it can only look better than it is
        weights = np.linalg.lstsq(rows, tested.truth, rcond=None)[0]
        score = regression_scores(rows @ weights, tested.truth)
        return {"rmse_linear": score.rmse, "skill_linear": score.skill or 0.0}


def linear_in_energy(training: Sequence[SpectralLabel], tested: Tested) -> dict[str, float]:
    """Errors of a straight line through entropies over energies, for systems of one size."""
    x = np.array([one.origin.energy_ev for one in training])
    line = np.polyfit(x, true_entropies(training, None), 1)
    guess = np.polyval(line, [one.origin.energy_ev for one in tested.labels])
    score = regression_scores(guess, tested.truth)
    return {"rmse_linear_in_energy": score.rmse, "skill_linear_in_energy": score.skill or 0.0}
