"""What a calibration looks at in a prediction, whatever tier it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pymatgen.core import Structure

from screening.prediction import (
    FloatArray,
    Prediction,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
)
from screening.uncertainty.descriptors import (
    chemistry_class,
    correction_features,
    domain_features,
)

__all__ = ["Sample", "sample_of"]


@dataclass(frozen=True)
class Sample:
    """One prediction of one crystal, as far as calibration is concerned.

    Attributes
    ----------
    material_id
        Which crystal.
    composition
        Its reduced formula: polymorphs of one composition err alike and count as one.
    structure
        The primitive cell that the numbers belong to.
    thermodynamics, spread
        The curves, and their spread over a committee where there is one.
    lowest_frequency_thz, verdict
        Dynamical stability.
    static_energy_ev_per_atom, static_energy_source
        The method's own static energy, or None.
    """

    material_id: str
    composition: str
    structure: Structure
    thermodynamics: Thermodynamics
    spread: ThermodynamicsSpread | None
    lowest_frequency_thz: float
    verdict: Verdict
    static_energy_ev_per_atom: float | None = None
    static_energy_source: str | None = None

    @cached_property
    def correction_features(self) -> FloatArray:
        """What the bias of a method is learned from, shape (feature,)."""
        return correction_features(self.structure, self.thermodynamics)

    @cached_property
    def domain_features(self) -> FloatArray:
        """What the domain is judged by, shape (feature,)."""
        return domain_features(self.structure, self.thermodynamics)

    @cached_property
    def chemistry(self) -> str:
        """Chemistry class of the compound."""
        return chemistry_class(self.structure.composition)


def sample_of(prediction: Prediction, material_id: str) -> Sample:
    """Take from a prediction what calibration needs."""
    return Sample(
        material_id=material_id,
        composition=prediction.structure.composition.reduced_formula,
        structure=prediction.structure,
        thermodynamics=prediction.thermodynamics,
        spread=prediction.spread,
        lowest_frequency_thz=prediction.stability.lowest_frequency_thz,
        verdict=prediction.stability.verdict,
        static_energy_ev_per_atom=prediction.static_energy_ev_per_atom,
        static_energy_source=prediction.static_energy_source,
    )
