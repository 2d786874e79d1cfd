"""Numbers of a density of states that have no temperature, as they are stored."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from screening.prediction import SpectralProperties
from stores.documents.base import Record

__all__ = ["SpectralRecord"]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the ends are in the wrong order")
    return ends


Ends = Annotated[tuple[float, float], AfterValidator(_ascending)]

_ENDS = "Lower and upper end of the calibrated interval {}; none where not calibrated."


class SpectralRecord(Record):
    """Frequencies, Debye temperatures and isotope scattering, from a density of states."""

    negative_fraction: float = Field(ge=0, le=1, description="Share of the modes below zero.")
    lowest_frequency_thz: float = Field(
        description="Frequency in THz that a thousandth of the modes lies below."
    )
    mean_frequency_thz: float = Field(
        description="Mean frequency in THz of the modes at or above zero."
    )
    highest_frequency_thz: float = Field(
        description="Frequency in THz that a thousandth of the modes lies above."
    )
    debye_temperature_k: float = Field(
        ge=0, description="Debye temperature in K of the second moment of the frequencies."
    )
    cell_debye_temperature_k: float = Field(
        ge=0,
        description="The same in K over the cube root of the number of atoms in the primitive "
        "cell, as published.",
    )
    isotope_rate_ghz: float | None = Field(
        ge=0,
        description="Mean rate of scattering by natural isotopes in 1/ns; none where they do not "
        "scatter.",
    )
    isotope_number_ghz_thz: float | None = Field(
        ge=0,
        description="Published number of isotope scattering in GHz THz; none where "
        "isotopes do not scatter.",
    )
    negative_fraction_ends: Ends | None = Field(description=_ENDS.format("of the share"))
    isotope_rate_ends_ghz: Ends | None = Field(description=_ENDS.format("of the rate in 1/ns"))
    isotope_number_ends_ghz_thz: Ends | None = Field(
        description=_ENDS.format("of the published number")
    )
    coverage: float | None = Field(
        gt=0, lt=1, description="Intended coverage of these intervals; none without any."
    )

    @classmethod
    def from_result(cls, result: SpectralProperties) -> Self:
        """Take the numbers of a result."""
        return cls(**asdict(result))

    def to_result(self) -> SpectralProperties:
        """Return the frozen result."""
        return SpectralProperties(**self.model_dump())
