"""Settings of phonons from a few supercells with all atoms displaced at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from screening.conductivity_records import ConductivitySettings
from screening.errors import SettingError
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.quantities import Quantity

__all__ = ["CONDUCTIVITY_TARGET", "FewCellSettings"]

CONDUCTIVITY_TARGET = "thermal_conductivity"
"""Target whose tolerance is a fraction of the value."""

_CUBIC = 3
_MAX_DISPLACEMENT_ANGSTROM = 0.2


@dataclass(frozen=True)
class FewCellSettings:
    """How many cells are displaced, how, and when they are enough.

    Attributes
    ----------
    initial_cells, max_cells
        Cells before the first look at the tolerance, and at most.
    displacement_angstrom
        Length in Å by which every atom is displaced in a direction of its own.
    target
        The quantity whose interval decides: a name that `screening.quantities.Quantity.parse`
        reads, or ``thermal_conductivity``, whose first temperature decides.
    tolerance
        Half the width of its interval at which no further cell is computed: in the unit of the
        quantity, for the conductivity as a fraction of it.
    coverage
        Nominal coverage of the interval.
    choose_next
        Whether the next cell is, of several random ones, the one that lowers the variance of
        the target most; otherwise it is the next random one.
    n_candidates
        Random cells to choose from.
    n_samples
        Force constants drawn from the posterior for standard deviations.
    n_conductivity_samples
        The same for the conductivity, which costs seconds each.
    seed
        Seed of displacements and draws.
    prior
        Force calculator whose force constants are expected beforehand, as
        `screening.calculators.load_calculator` reads it; empty for none.
    prior_cells
        Displaced cells of which that calculator gives forces.
    fit
        How force constants are fitted.
    conductivity
        How the thermal conductivity is computed; None leaves it out.
    """

    initial_cells: int = 1
    max_cells: int = 4
    displacement_angstrom: float = 0.03
    target: str = "free_energy_300k_mev_per_atom"
    tolerance: float = 1.0
    coverage: float = 0.9
    choose_next: bool = True
    n_candidates: int = 16
    n_samples: int = 32
    n_conductivity_samples: int = 8
    seed: int = 0
    prior: str = ""
    prior_cells: int = 24
    fit: GaussianProcessSettings = field(default_factory=GaussianProcessSettings)
    conductivity: ConductivitySettings | None = None

    def __post_init__(self) -> None:
        for name in ("initial_cells", "n_candidates", "prior_cells"):
            self._require(getattr(self, name) >= 1, name, "Give at least 1")
        for name in ("n_samples", "n_conductivity_samples"):
            self._require(getattr(self, name) >= 2, name, "Give at least 2")  # noqa: PLR2004
        self._require(
            self.max_cells >= self.initial_cells, "max_cells", "Give initial_cells or more"
        )
        self._require(0.0 < self.tolerance < np.inf, "tolerance", "Give a positive number")
        self._require(0.0 < self.coverage < 1.0, "coverage", "Give a fraction such as 0.9")
        length = self.displacement_angstrom
        fits = 0.0 < length <= _MAX_DISPLACEMENT_ANGSTROM
        hint = f"Give at most {_MAX_DISPLACEMENT_ANGSTROM} Å, usually 0.01 to 0.05 Å"
        self._require(fits, "displacement_angstrom", hint)
        self._check_target()
        if self.conductivity is not None and self.fit.max_order < _CUBIC:
            raise SettingError(
                "a conductivity needs third-order force constants",
                subject="fit.max_order",
                hint="Give max_order 3, or leave the conductivity out",
            )

    def _require(self, condition: bool, name: str, hint: str) -> None:
        if not condition:
            raise SettingError(f"{getattr(self, name)} is out of range", subject=name, hint=hint)

    def _check_target(self) -> None:
        if self.target != CONDUCTIVITY_TARGET:
            quantity = Quantity.parse(self.target)
            self._require(
                not quantity.kind.is_difference, "target", "Name a quantity of one crystal"
            )
            return
        if self.conductivity is None:
            raise SettingError(
                "the conductivity is the target, and is not computed",
                subject="target",
                hint="Give conductivity settings",
            )
