"""How close the phonons of a potential come to reference phonons, crystal by crystal and pooled.

Every accuracy stands beside what a guess without physics reaches: the spread of the reference,
the mean of the other compositions, the answer that every crystal is stable. Modes that are low
or imaginary have no free energy and are left out of it; how many each side leaves out is
reported, for two sums that leave out different modes are not of the same thing.

References
----------
Lee, Hegde, Wolverton, Xia (2024), arXiv:2407.09674: mesh and path, -0.5 THz, 300 and 1000 K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.errors import InconsistentDataError
from screening.harmonic import MeshFrequencies
from screening.metrics import RegressionScores, StabilityScores, regression_scores, stability_scores
from screening.network_potential.frequency_errors import (
    FrequencyScores,
    FrequencySummary,
    frequency_scores,
    summarise_frequencies,
)
from screening.network_potential.phonon_pairs import PhononPair
from screening.network_potential.polymorph_evaluation import (
    MAX_DROPPED_WEIGHT_DIFFERENCE,
    PolymorphPair,
    PolymorphScores,
    TransitionLists,
    score_polymorphs,
    transition_lists,
)
from screening.prediction import FloatArray, Thermodynamics, Verdict
from screening.spectra import lowest_frequency
from screening.stability import CRITERIA
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import MEV_TO_JOULE_PER_MOL

__all__ = [
    "EVALUATION_TEMPERATURES_K",
    "STABILITY_CRITERION",
    "THERMAL_QUANTITIES",
    "CrystalScores",
    "DroppedWeights",
    "PhononEvaluation",
    "StabilityComparison",
    "ThermalScores",
    "evaluate_phonons",
    "mean_of_other_groups",
    "mesh_thermal_values",
]

EVALUATION_TEMPERATURES_K = (300.0, 1000.0)
STABILITY_CRITERION = "lee_2024"

THERMAL_QUANTITIES = {
    "free_energy": ("free_energy_mev_per_atom", "meV/atom", 1.0),
    "entropy": ("entropy_mev_per_k_per_atom", "J/mol/K/atom", MEV_TO_JOULE_PER_MOL),
    "heat_capacity": ("heat_capacity_mev_per_k_per_atom", "J/mol/K/atom", MEV_TO_JOULE_PER_MOL),
}
"""Name of the curve, unit of the scores, and what a meV (per K) is in it."""

_MIN_GROUPS = 2


@dataclass(frozen=True)
class CrystalScores:
    """Errors of one crystal.

    Attributes
    ----------
    material_id, group
        Which one.
    mesh, path
        Errors on the mesh, and on the band path or None.
    predicted_lowest_thz, reference_lowest_thz
        Lowest frequency over mesh and path but for the acoustic modes at the zone centre.
    predicted_dropped_weight, reference_dropped_weight
        Fraction of the modes without a free energy.
    """

    material_id: str
    group: str
    mesh: FrequencyScores
    path: FrequencyScores | None
    predicted_lowest_thz: float
    reference_lowest_thz: float
    predicted_dropped_weight: float
    reference_dropped_weight: float


@dataclass(frozen=True)
class StabilityComparison:
    """Verdicts against those of the reference.

    Attributes
    ----------
    scores
        Confusion matrix, where an unstable crystal is what must be found: the recall of
        instability and the balanced accuracy are None where the reference has none.
    always_stable_accuracy
        Accuracy of calling every crystal stable.
    threshold_thz
        A crystal with a lower frequency is unstable, in THz.
    n_with_path
        Crystals judged on mesh and path; the others on the mesh alone, on both sides.
    """

    scores: StabilityScores
    always_stable_accuracy: float
    threshold_thz: float
    n_with_path: int


@dataclass(frozen=True)
class ThermalScores:
    """Errors of one thermodynamic function at one temperature.

    Attributes
    ----------
    quantity, temperature_k, unit
        A key of `THERMAL_QUANTITIES`, the temperature in K, and the unit of all errors.
    scores
        Errors; their own ``skill`` is against the mean of these very crystals.
    baseline_mae
        Error of guessing the mean of the other compositions; None with a single composition.
    baseline_skill
        1 - mae/baseline_mae; None as above.
    """

    quantity: str
    temperature_k: float
    unit: str
    scores: RegressionScores
    baseline_mae: float | None
    baseline_skill: float | None


@dataclass(frozen=True)
class DroppedWeights:
    """Fractions of the modes that have no free energy: low or imaginary ones.

    Attributes
    ----------
    predicted_mean, predicted_max, reference_mean, reference_max
        Over crystals.
    n_differing
        Crystals where the two sides differ by more than 1e-3 and thermodynamic errors are
        errors of the number of modes.
    """

    predicted_mean: float
    predicted_max: float
    reference_mean: float
    reference_max: float
    n_differing: int


@dataclass(frozen=True)
class PhononEvaluation:
    """All of it.

    Attributes
    ----------
    crystals
        In the order given.
    mesh, path
        Frequencies; the path is None where no crystal has one.
    stability, dropped_weights
        As their classes say.
    thermodynamics
        By quantity, then temperature, over all crystals.
    comparable_thermodynamics
        The same over those crystals only where both sides drop the same modes; empty where
        there is none.
    polymorphs, transitions
        By temperature; transitions only of compositions whose static enthalpies are all known.
    """

    crystals: tuple[CrystalScores, ...]
    mesh: FrequencySummary
    path: FrequencySummary | None
    stability: StabilityComparison
    dropped_weights: DroppedWeights
    thermodynamics: tuple[ThermalScores, ...]
    comparable_thermodynamics: tuple[ThermalScores, ...]
    polymorphs: tuple[PolymorphScores, ...]
    transitions: tuple[TransitionLists, ...]


@dataclass(frozen=True, eq=False)
class _Thermal:
    """Thermodynamics of both sides of a crystal."""

    pair: PhononPair
    predicted: Thermodynamics
    reference: Thermodynamics

    @property
    def is_comparable(self) -> bool:
        difference = abs(self.predicted.dropped_weight - self.reference.dropped_weight)
        return difference <= MAX_DROPPED_WEIGHT_DIFFERENCE * (1 + 1e-9)


def evaluate_phonons(pairs: Sequence[PhononPair]) -> PhononEvaluation:
    """Compare predicted phonons with reference phonons.

    Parameters
    ----------
    pairs
        One or more crystals, each once.

    Raises
    ------
    InconsistentDataError
        If there is no crystal, or one is given twice.

    References
    ----------
    Lee, Hegde, Wolverton, Xia (2024), arXiv:2407.09674.
    """
    names = [pair.material_id for pair in pairs]
    if not names or len(set(names)) < len(names):
        raise InconsistentDataError(
            f"{len(names)} crystals of {len(set(names))} names cannot be compared",
            hint="Give one or more crystals, each once",
        )
    thermal = [_thermal(pair) for pair in pairs]
    crystals = tuple(_crystal_scores(one) for one in thermal)
    with_path = [pair for pair in pairs if pair.has_path]
    polymorphs = [
        PolymorphPair(
            one.pair.material_id,
            one.pair.group,
            one.predicted,
            one.reference,
            one.pair.static_enthalpy_ev_per_atom,
        )
        for one in thermal
    ]
    return PhononEvaluation(
        crystals=crystals,
        mesh=summarise_frequencies(
            [pair.on_mesh() for pair in pairs], [one.mesh for one in crystals]
        ),
        path=summarise_frequencies(
            [pair.on_path() for pair in with_path], [one.path for one in crystals if one.path]
        )
        if with_path
        else None,
        stability=_stability(crystals, len(with_path)),
        dropped_weights=_dropped_weights(thermal),
        thermodynamics=_thermal_scores(thermal),
        comparable_thermodynamics=_thermal_scores([one for one in thermal if one.is_comparable]),
        polymorphs=score_polymorphs(polymorphs),
        transitions=transition_lists(polymorphs),
    )


def mesh_thermal_values(
    mesh: MeshFrequencies,
    temperatures_k: tuple[float, ...] = EVALUATION_TEMPERATURES_K,
) -> dict[tuple[str, float], float]:
    """Free energy, entropy and heat capacity of a mesh in the units of `THERMAL_QUANTITIES`.

    Parameters
    ----------
    mesh
        Frequencies of one crystal; modes at or below 0.1 THz are dropped.
    temperatures_k
        Ascending, in K.
    """
    return _values(_thermodynamics(mesh, temperatures_k))


def mean_of_other_groups(values: Sequence[float], groups: Sequence[str]) -> FloatArray | None:
    """Guess every value by the mean of the other groups; None with a single group.

    Examples
    --------
    >>> mean_of_other_groups([1.0, 2.0, 6.0], ["NaCl", "NaCl", "MgO"]).tolist()
    [6.0, 6.0, 1.5]
    """
    if len(set(groups)) < _MIN_GROUPS:
        return None
    truth, names = np.asarray(values, dtype=np.float64), np.asarray(groups)
    return np.array([truth[names != name].mean() for name in names])


def _thermal(pair: PhononPair) -> _Thermal:
    sides = (
        _thermodynamics(x, EVALUATION_TEMPERATURES_K) for x in (pair.predicted, pair.reference)
    )
    return _Thermal(pair, *sides)


def _thermodynamics(mesh: MeshFrequencies, temperatures_k: tuple[float, ...]) -> Thermodynamics:
    """Sum one mesh; that modes are dropped is judged by comparing, not here."""
    settings = ThermodynamicsSettings(temperatures_k=temperatures_k, max_dropped_weight=1.0)
    n_atoms = mesh.frequencies_thz.shape[1] // 3
    return thermodynamics(
        mesh.frequencies_thz, mesh.weights, n_atoms, settings, is_gamma=mesh.is_gamma
    )


def _values(result: Thermodynamics) -> dict[tuple[str, float], float]:
    return {
        (quantity, float(temperature)): scale * float(getattr(result, curve)[index])
        for quantity, (curve, _, scale) in THERMAL_QUANTITIES.items()
        for index, temperature in enumerate(result.temperatures_k)
    }


def _crystal_scores(one: _Thermal) -> CrystalScores:
    pair = one.pair
    bands = (pair.predicted_bands, pair.reference_bands) if pair.has_path else (None, None)
    return CrystalScores(
        material_id=pair.material_id,
        group=pair.group,
        mesh=frequency_scores(*pair.on_mesh()),
        path=frequency_scores(*pair.on_path()) if pair.has_path else None,
        predicted_lowest_thz=lowest_frequency(pair.predicted, bands[0]).frequency_thz,
        reference_lowest_thz=lowest_frequency(pair.reference, bands[1]).frequency_thz,
        predicted_dropped_weight=one.predicted.dropped_weight,
        reference_dropped_weight=one.reference.dropped_weight,
    )


def _stability(crystals: Sequence[CrystalScores], n_with_path: int) -> StabilityComparison:
    threshold = CRITERIA[STABILITY_CRITERION].threshold_thz

    def verdict(lowest_thz: float) -> Verdict:
        return Verdict.UNSTABLE if lowest_thz < threshold else Verdict.STABLE

    reference = [verdict(one.reference_lowest_thz) for one in crystals]
    return StabilityComparison(
        scores=stability_scores([verdict(one.predicted_lowest_thz) for one in crystals], reference),
        always_stable_accuracy=reference.count(Verdict.STABLE) / len(reference),
        threshold_thz=threshold,
        n_with_path=n_with_path,
    )


def _dropped_weights(thermal: Sequence[_Thermal]) -> DroppedWeights:
    predicted = [one.predicted.dropped_weight for one in thermal]
    reference = [one.reference.dropped_weight for one in thermal]
    return DroppedWeights(
        predicted_mean=float(np.mean(predicted)),
        predicted_max=max(predicted),
        reference_mean=float(np.mean(reference)),
        reference_max=max(reference),
        n_differing=sum(not one.is_comparable for one in thermal),
    )


def _thermal_scores(thermal: Sequence[_Thermal]) -> tuple[ThermalScores, ...]:
    if not thermal:
        return ()
    groups = [one.pair.group for one in thermal]
    predicted = [_values(one.predicted) for one in thermal]
    reference = [_values(one.reference) for one in thermal]
    found = []
    for quantity, temperature in reference[0]:
        key = quantity, temperature
        truth = [values[key] for values in reference]
        scores = regression_scores([values[key] for values in predicted], truth)
        guess = mean_of_other_groups(truth, groups)
        baseline = None if guess is None else regression_scores(guess, truth).mae
        skill = 1.0 - scores.mae / baseline if baseline else None
        unit = THERMAL_QUANTITIES[quantity][1]
        found.append(ThermalScores(quantity, temperature, unit, scores, baseline, skill))
    return tuple(found)
