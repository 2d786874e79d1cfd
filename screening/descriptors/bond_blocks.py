r"""Basis of force-constant blocks that turns with the crystal, one tensor for every bond.

A bond along the unit vector :math:`\hat r` carries the tensors
:math:`A_b = g_b(r) \, \hat r \hat r^T` and :math:`B_b = g_b(r) \, 1` with Gaussians
:math:`g_b` centred at distances between atoms. A linear model over them is equivariant by
construction, sums over images to the zone centre, and knows each image, so that it has a
dispersion. Force constants of any sum of central pair potentials lie in their span.

References
----------
F. Legrain et al., arXiv:1803.09827, whose zero-centred Gaussians are nearly collinear: trees do
not mind, linear models do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = [
    "BondBasisSettings",
    "bond_radial_functions",
]

_DEFAULT_CENTRES_ANGSTROM = tuple(float(c) for c in np.linspace(1.6, 8.0, 17).round(6))


@dataclass(frozen=True)
class BondBasisSettings:
    """Radial functions of bonds.

    Attributes
    ----------
    centres_angstrom
        Where the Gaussians have their maxima, in Å.
    width_angstrom
        Their standard deviation in Å.
    cutoff_angstrom
        Where a cosine brings all of them to zero, in Å.
    """

    centres_angstrom: tuple[float, ...] = _DEFAULT_CENTRES_ANGSTROM
    width_angstrom: float = 0.4
    cutoff_angstrom: float = 8.8

    def __post_init__(self) -> None:
        object.__setattr__(self, "centres_angstrom", tuple(float(c) for c in self.centres_angstrom))
        centres = np.array(self.centres_angstrom)
        inside = np.all((centres > 0.0) & (centres < self.cutoff_angstrom))
        if centres.size == 0 or not inside:
            raise SettingError(
                f"centres {self.centres_angstrom} for a cutoff of {self.cutoff_angstrom} Å",
                subject="centres_angstrom",
                hint="Give at least one, all between zero and the cutoff",
            )
        if not (0.0 < self.width_angstrom < np.inf and self.cutoff_angstrom < np.inf):
            raise SettingError(
                f"a width of {self.width_angstrom} Å and a cutoff of {self.cutoff_angstrom} Å",
                subject="width_angstrom",
                hint="Give positive lengths in Å",
            )

    @property
    def n_tensors(self) -> int:
        """Number of basis tensors: one along the bond and one isotropic for every Gaussian."""
        return 2 * len(self.centres_angstrom)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"centres_angstrom": list(self.centres_angstrom)}


def bond_radial_functions(
    distances_angstrom: FloatArray, settings: BondBasisSettings
) -> FloatArray:
    """Gaussians of distances times the cosine cutoff, shape (..., centre).

    Parameters
    ----------
    distances_angstrom
        In Å, any shape.
    settings
        Centres, width and cutoff.
    """
    reduced = np.minimum(distances_angstrom / settings.cutoff_angstrom, 1.0)
    cutoff = 0.5 * (1.0 + np.cos(np.pi * reduced))
    offsets = distances_angstrom[..., None] - np.array(settings.centres_angstrom)
    return np.asarray(np.exp(-0.5 * (offsets / settings.width_angstrom) ** 2) * cutoff[..., None])
