"""The best-available vibrational summary of a material: flat, made to be filtered and sorted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from screening.prediction import Verdict
from stores.documents.base import Digest, Document, Migration

__all__ = ["INDEXED_FIELDS", "KEY", "VibrationalDocument"]

KEY = "material_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "formula_reduced",
    "chemsys",
    "elements",
    "n_elements",
    "n_atoms",
    "space_group_number",
    "prototype",
    "label",
    "method",
    "tier",
    "model",
    "verdict",
    "thermodynamics_valid",
    "lowest_frequency_thz",
    "zero_point_energy_mev_per_atom",
    "free_energy_300k_mev_per_atom",
    "entropy_300k_mev_per_k_per_atom",
    "heat_capacity_300k_mev_per_k_per_atom",
    "free_energy_1000k_mev_per_atom",
    "entropy_1000k_mev_per_k_per_atom",
    "heat_capacity_1000k_mev_per_k_per_atom",
    "thermal_conductivity_300k_w_per_m_k",
    "thermal_conductivity_300k_std_w_per_m_k",
    "thermal_conductivity_prediction_id",
    "static_energy_ev_per_atom",
    "prediction_id",
    "last_updated",
)

_ON_GRID = "none where the prediction's grid does not hold this temperature"
_STD = "Sample standard deviation over the committee, in the unit of the name; none without one."
_KAPPA = (
    "thermal_conductivity_300k_w_per_m_k",
    "thermal_conductivity_300k_std_w_per_m_k",
    "thermal_conductivity_prediction_id",
)
_INTERVAL = "of the calibrated interval, in the unit of the name; none where not calibrated."


def _without_conductivity(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no conductivity."""
    return old | dict.fromkeys(_KAPPA)


class VibrationalDocument(Document):
    """One material's best-available numbers."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_conductivity})

    material_id: str = Field(min_length=1, description="Key of the material.")
    formula_reduced: str = Field(description="Reduced formula.")
    chemsys: str = Field(description="Elements in alphabetical order, joined by hyphens.")
    elements: tuple[str, ...] = Field(min_length=1, description="Elements, alphabetical.")
    n_elements: int = Field(ge=1, description="Number of elements.")
    n_atoms: int = Field(ge=1, description="Atoms in the primitive cell.")
    space_group_number: int = Field(ge=1, le=230, description="International number.")
    space_group_symbol: str = Field(description="Hermann-Mauguin symbol.")
    prototype: str | None = Field(description="Prototype label; none where unknown.")
    label: str | None = Field(description="Name given by the user; none where none was given.")
    prediction_id: Digest = Field(description="Key of the prediction the numbers come from.")
    n_predictions: int = Field(ge=1, description="Number of predictions there were to choose from.")
    method: str = Field(description="Method of the prediction.")
    tier: int = Field(
        ge=0, le=3, description="0 fast model, 1 potential, 2 few DFT cells, 3 systematic DFT."
    )
    model: str = Field(description="Name of the prediction's model.")
    verdict: Verdict = Field(description="Dynamical stability under the named criterion.")
    criterion: str = Field(description="Name of the stability criterion.")
    lowest_frequency_thz: float | None = Field(
        description="Lowest frequency in THz, imaginary negative, without the three acoustic "
        "modes at the zone centre; none from a method that does not know it."
    )
    lowest_frequency_std_thz: float | None = Field(ge=0, description=_STD)
    thermodynamics_valid: bool = Field(
        description="False where too many modes are low for the numbers to be compared."
    )
    dropped_weight: float = Field(
        ge=0, le=1, description="Fraction of all modes at or below the cutoff."
    )
    imaginary_weight: float = Field(ge=0, le=1, description="Fraction of imaginary modes.")
    zero_point_energy_mev_per_atom: float = Field(description="Zero-point energy in meV/atom.")
    free_energy_300k_mev_per_atom: float | None = Field(
        description=f"Helmholtz free energy of vibration at 300 K in meV/atom; {_ON_GRID}."
    )
    free_energy_300k_std_mev_per_atom: float | None = Field(ge=0, description=_STD)
    free_energy_300k_lower_mev_per_atom: float | None = Field(description=f"Lower end {_INTERVAL}")
    free_energy_300k_upper_mev_per_atom: float | None = Field(description=f"Upper end {_INTERVAL}")
    entropy_300k_mev_per_k_per_atom: float | None = Field(
        description=f"Entropy at 300 K in meV/K/atom; {_ON_GRID}."
    )
    heat_capacity_300k_mev_per_k_per_atom: float | None = Field(
        description=f"Heat capacity at constant volume at 300 K in meV/K/atom; {_ON_GRID}."
    )
    free_energy_1000k_mev_per_atom: float | None = Field(
        description=f"Helmholtz free energy of vibration at 1000 K in meV/atom; {_ON_GRID}."
    )
    free_energy_1000k_std_mev_per_atom: float | None = Field(ge=0, description=_STD)
    entropy_1000k_mev_per_k_per_atom: float | None = Field(
        description=f"Entropy at 1000 K in meV/K/atom; {_ON_GRID}."
    )
    heat_capacity_1000k_mev_per_k_per_atom: float | None = Field(
        description=f"Heat capacity at constant volume at 1000 K in meV/K/atom; {_ON_GRID}."
    )
    thermal_conductivity_300k_w_per_m_k: float | None = Field(
        description="Lattice thermal conductivity at 300 K in W/m/K, mean of the principal ones; "
        "none where no prediction gives it."
    )
    thermal_conductivity_300k_std_w_per_m_k: float | None = Field(
        ge=0,
        description="Its standard deviation in W/m/K, an upper bound where the crystal is not "
        "cubic; none where not known.",
    )
    thermal_conductivity_prediction_id: Digest | None = Field(
        description="Key of the prediction that gives the conductivity, not always that of the "
        "other numbers; none without a conductivity."
    )
    static_energy_ev_per_atom: float | None = Field(
        description="Energy without vibrations in eV/atom, a given one before the model's; "
        "none where there is neither."
    )
    static_energy_source: str | None = Field(
        description="Where the static energy comes from; none where there is no energy."
    )
    warnings: tuple[str, ...] = Field(description="What to know before using the numbers.")
    input_digest: Digest = Field(
        description="SHA-256 of the inputs and of the builder's version: unchanged, not rebuilt."
    )

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.static_energy_ev_per_atom is None) != (self.static_energy_source is None):
            raise ValueError("static_energy_ev_per_atom and static_energy_source go together")
        kappa, kappa_std, kappa_id = (getattr(self, name) for name in _KAPPA)
        if (kappa is None) != (kappa_id is None) or (kappa is None and kappa_std is not None):
            raise ValueError("the thermal conductivity and its prediction go together")
        ends = (self.free_energy_300k_lower_mev_per_atom, self.free_energy_300k_upper_mev_per_atom)
        if (ends[0] is None) != (ends[1] is None):
            raise ValueError("the two ends of free_energy_300k go together")
        if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
            raise ValueError("the ends of free_energy_300k are in the wrong order")
        return self
