"""A force calculator around another one: what both have in common is that of the one inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from screening.calculators.interface import ForceCalculator

__all__ = ["Delegating"]


@dataclass(frozen=True)
class Delegating:
    """Base of calculators that watch or remember the calls to another one.

    Attributes
    ----------
    inner
        The calculator inside.
    """

    inner: ForceCalculator

    @property
    def name(self) -> str:
        """Name of the calculator."""
        return self.inner.name

    @property
    def digest(self) -> str:
        """Digest of what makes its numbers."""
        return self.inner.digest

    @property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers it knows."""
        return self.inner.elements

    @property
    def displacement_angstrom(self) -> float:
        """Finite displacement it recommends in Å."""
        return self.inner.displacement_angstrom

    @property
    def notes(self) -> tuple[str, ...]:
        """What its users must know."""
        return self.inner.notes

    @property
    def is_first_principles(self) -> bool:
        """Whether it solves for the electrons."""
        return self.inner.is_first_principles

    @property
    def settings(self) -> Mapping[str, object]:
        """Settings that can be read."""
        return self.inner.settings
