"""The crystals of the closed loop: what the potential says of them, and what DFT has found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from references import SAME_Q_POINT, Reference, record_name, reference_of

from screening.calculators import ForceCalculator
from screening.digest import digest_of
from screening.errors import CalculatorFailedError
from screening.phonons import MeshFrequencies
from screening.prediction import Cost, Prediction
from screening.predictors.interface import Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.stability import assess_stability
from screening.structure import Crystal, canonical_crystal
from screening.thermodynamics import thermodynamics
from screening.uncertainty.estimates import raw_value
from screening.uncertainty.samples import Sample, sample_of
from screening.units import MEV_TO_JOULE_PER_MOL

__all__ = ["Case", "Crystals", "StoredPredictions", "stored_prediction", "worst_deviation"]

_MODEL = "PhononDB-PBE"
_CRITERION = "matbench_discovery"  # looks at the mesh alone, as the stored numbers do
_STORED_SCALES = {
    Property.FREE_ENERGY: 1.0,
    Property.ENTROPY: MEV_TO_JOULE_PER_MOL,
    Property.HEAT_CAPACITY: MEV_TO_JOULE_PER_MOL,
}


class StoredPredictions:
    """A predictor that gives back what was predicted before, as its own.

    Parameters
    ----------
    tier, method, model
        What it calls itself.
    settings
        Of the screen that it pretends to be.
    predictions
        By the digest of the crystal.

    Attributes
    ----------
    seconds
        Spent in `predict` so far.
    """

    method_version = 1

    def __init__(
        self,
        tier: Tier,
        method: str,
        model: str,
        settings: ScreeningSettings,
        predictions: Mapping[str, Prediction],
    ) -> None:
        self.tier, self.method, self.model = tier, method, model
        self.model_digest = digest_of({"model": model})
        self.settings: Mapping[str, object] = settings.as_dict()
        self.settings_digest = settings.digest
        self.seconds = 0.0
        self._predictions = predictions

    @classmethod
    def of_dft(cls, predictions: Mapping[str, Prediction]) -> Self:
        """Return the reference method."""
        settings = ScreeningSettings(relaxation=None, stability_criterion=_CRITERION)
        return cls(Tier.SYSTEMATIC_DFT, "stored-reference", _MODEL, settings, predictions)

    @classmethod
    def of_potential(cls, predictions: Mapping[str, Prediction]) -> Self:
        """Return the cheap method, unlike any for which a calibration is shipped."""
        settings = ScreeningSettings()
        return cls(Tier.POTENTIAL, "stored-potential", "potential", settings, predictions)

    def predict(self, crystal: Crystal) -> Prediction:
        """Look a crystal up.

        Raises
        ------
        CalculatorFailedError
            If it is none of the stored ones.
        """
        start = time.perf_counter()
        found = self._predictions.get(crystal.digest)
        if found is None:
            raise CalculatorFailedError("nothing is stored", subject=crystal.formula)
        own = replace(
            found,
            method=self.method,
            method_version=self.method_version,
            tier=int(self.tier),
            model=self.model,
            model_digest=self.model_digest,
            settings=self.settings,
            settings_digest=self.settings_digest,
        )
        self.seconds += time.perf_counter() - start
        return own


def stored_prediction(reference: Reference, crystal: Crystal) -> Prediction:
    """Make a prediction of the highest tier from stored frequencies, on the usual grid."""
    maker = StoredPredictions.of_dft({})
    weights = reference.weights / reference.weights.sum()
    mesh = MeshFrequencies(reference.frequencies_thz, weights, reference.q_points, reference.mesh)
    return Prediction(
        method=maker.method,
        method_version=maker.method_version,
        tier=maker.tier,
        model=maker.model,
        model_digest=maker.model_digest,
        structure_digest=crystal.digest,
        settings=maker.settings,
        settings_digest=maker.settings_digest,
        structure=crystal.structure,
        thermodynamics=thermodynamics(
            reference.frequencies_thz,
            weights,
            len(reference.primitive),
            is_gamma=np.all(np.abs(reference.q_points) < SAME_Q_POINT, axis=1),
        ),
        stability=assess_stability(mesh, None, _CRITERION),
        cost=Cost(wall_seconds=0.0, cpu_seconds=0.0, force_seconds=0.0, force_calls=0),
    )


@dataclass(frozen=True)
class Case:
    """One crystal, by every method.

    Attributes
    ----------
    name
        As its record calls it.
    crystal
        Its canonical cell.
    cheap, committee, better
        By the potential, by the committee, and by DFT.
    reference
        The stored record.
    predictions
        What `cheap` and `better` were taken from.
    """

    name: str
    crystal: Crystal
    cheap: Sample
    committee: Sample
    better: Sample
    reference: Reference
    predictions: tuple[Prediction, Prediction]

    @property
    def composition(self) -> str:
        """The exchangeable unit."""
        return self.cheap.composition


@dataclass
class Crystals:
    """The crystals computed so far, and the records that are no use.

    Attributes
    ----------
    calculator, committee
        Of the potential that is calibrated, and of the one with a spread.
    """

    calculator: ForceCalculator
    committee: ForceCalculator
    cases: list[Case] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @cached_property
    def predictor(self) -> PotentialPhonons:
        """Tier 1, with the settings of a screen."""
        return PotentialPhonons(self.calculator)

    @cached_property
    def committee_predictor(self) -> PotentialPhonons:
        """The same of a committee."""
        return PotentialPhonons(self.committee)

    def take(self, records: Sequence[Any]) -> None:
        """Compute all records; whatever goes wrong with one is named and counted."""
        for number, record in enumerate(records, start=1):
            label = f"{number:3d}/{len(records)}"
            start = time.perf_counter()
            try:
                case = self._case(record)
            except Exception as error:  # noqa: BLE001 - of any library: none may hide a record
                name = record_name(record) or f"record {number}"
                self.failures.append(f"{name}: {type(error).__name__}: {error}")
                print(f"{label} FAILED {self.failures[-1]}", flush=True)
                continue
            self.cases.append(case)
            print(f"{label} {_line(case)} {time.perf_counter() - start:5.1f} s", flush=True)

    def _case(self, record: Any) -> Case:
        reference = reference_of(record)
        crystal = canonical_crystal(reference.primitive, subject=reference.name)
        if any(one.crystal.digest == crystal.digest for one in self.cases):
            raise ValueError("the same crystal as another record")
        cheap = self.predictor.predict(crystal)
        committee = self.committee_predictor.predict(crystal)
        better = stored_prediction(reference, crystal)
        return Case(
            name=reference.name,
            crystal=crystal,
            cheap=sample_of(cheap, crystal.material_id),
            committee=sample_of(committee, crystal.material_id),
            better=sample_of(better, crystal.material_id),
            reference=reference,
            predictions=(cheap, better),
        )


def worst_deviation(cases: Sequence[Case]) -> float | None:
    """Largest difference between recomputed and stored thermal values, in the table's units."""
    differences = []
    for case in cases:
        for key, stored in case.reference.values.items():
            kind, _, kelvin = key.rpartition("_")
            quantity = Quantity(Property(kind), float(kelvin))
            value = _STORED_SCALES[quantity.kind] * raw_value(case.better, quantity)
            differences.append(abs(value - stored))
    return max(differences, default=None)


def _line(case: Case) -> str:
    """One line on one crystal."""
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    cheap, committee, better = (
        raw_value(x, quantity) for x in (case.cheap, case.committee, case.better)
    )
    return (
        f"{case.name:<22} F(300): potential {cheap:7.2f}  committee {committee:7.2f}  "
        f"DFT {better:7.2f} meV/atom"
    )
