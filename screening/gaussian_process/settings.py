"""Settings of a fit of force constants by a Gaussian process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from screening.errors import SettingError

__all__ = ["DEFAULT_NOISE_FLOOR_EV_PER_ANGSTROM", "Decay", "GaussianProcessSettings"]

DEFAULT_NOISE_FLOOR_EV_PER_ANGSTROM = 1e-4
_ORDERS = (2, 3)


class Decay(StrEnum):
    """How force constants are expected to fall off with the extent of their atoms.

    See `screening.gaussian_process.prior` for the formulas.
    """

    POWER = "power"
    EXPONENTIAL = "exponential"
    NONE = "none"


@dataclass(frozen=True)
class GaussianProcessSettings:
    """How force constants are learned from the forces of displaced cells.

    Attributes
    ----------
    max_order
        2 for harmonic force constants alone, 3 for those of third order too.
    third_order_cutoff_angstrom
        Largest distance in Å of two atoms of a triplet. None takes all triplets of the supercell,
        or the largest distance that keeps the unknowns below ``max_unknowns``.
    max_unknowns
        Independent force constants of third order that are estimated without asking.
    decay
        How force constants are expected to fall off with distance.
    subtract_dipoles
        Whether the dipole-dipole part of polar crystals is known beforehand; needs Born charges.
    noise_floor_ev_per_angstrom
        Smallest standard deviation of a force in eV/Å. Higher orders than ``max_order`` act as
        noise too; how much noise there is above the floor follows from the forces.
    mean_scale_std
        Standard deviation of the factors, about one, that multiply a prior mean.
    symprec_angstrom
        Tolerance of the symmetry search in Å.
    """

    max_order: int = 3
    third_order_cutoff_angstrom: float | None = None
    max_unknowns: int = 3000
    decay: Decay = Decay.POWER
    subtract_dipoles: bool = True
    noise_floor_ev_per_angstrom: float = DEFAULT_NOISE_FLOOR_EV_PER_ANGSTROM
    mean_scale_std: float = 0.3
    symprec_angstrom: float = 1e-5

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "decay", Decay(self.decay))
        except ValueError as error:
            raise SettingError(
                f"{self.decay!r} is no decay", subject="decay", hint=f"Give {', '.join(Decay)}"
            ) from error
        if self.max_order not in _ORDERS:
            raise SettingError(
                f"{self.max_order} is no order that can be fitted",
                subject="max_order",
                hint="Give 2 or 3",
            )
        positive = {
            "third_order_cutoff_angstrom": self.third_order_cutoff_angstrom,
            "max_unknowns": self.max_unknowns,
            "noise_floor_ev_per_angstrom": self.noise_floor_ev_per_angstrom,
            "mean_scale_std": self.mean_scale_std,
            "symprec_angstrom": self.symprec_angstrom,
        }
        for name, value in positive.items():
            if value is not None and not 0.0 < value < np.inf:
                raise SettingError(
                    f"{value} is not positive and finite",
                    subject=name,
                    hint="Give a positive number",
                )
