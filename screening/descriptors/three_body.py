r"""What third atoms tell about a pair, and what surrounds each atom.

Force constants obey :math:`\Phi_{ij} = \Phi_{ji}^T` but are not symmetric, while sums over the
bonds of a pair are. Paths over a third atom are not:

.. math:: T^{ab}_{ij} = \sum_k g_a(r_{ik}) \, g_b(r_{kj}) \, \hat r_{ik} \hat r_{kj}^T, \quad
   (T^{ab}_{ij})^T = T^{ba}_{ji} .

Summed over the images of k and j it is a product of sums over bonds, so that it costs no more
than they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from screening.descriptors.bond_blocks import BondBasisSettings
from screening.descriptors.image_bonds import (
    BondedCrystal,
    ImageBonds,
    atomic_numbers,
    fold_onto_pairs,
    image_bonds,
    smooth_switch,
)
from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = [
    "EnvironmentSettings",
    "ThreeBodySettings",
    "environment_names",
    "environment_scalars",
]


@dataclass(frozen=True)
class ThreeBodySettings:
    """Radial functions of the two bonds of a path: few, since they enter as products.

    Attributes
    ----------
    centres_angstrom, width_angstrom, cutoff_angstrom
        Maxima and standard deviation of the Gaussians, and where a cosine ends them, in Å.
    """

    centres_angstrom: tuple[float, ...] = (2.0, 2.8, 3.6)
    width_angstrom: float = 0.5
    cutoff_angstrom: float = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "centres_angstrom", self.radial.centres_angstrom)

    @property
    def radial(self) -> BondBasisSettings:
        """The same as settings of radial functions."""
        return BondBasisSettings(self.centres_angstrom, self.width_angstrom, self.cutoff_angstrom)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"centres_angstrom": list(self.centres_angstrom)}


@dataclass(frozen=True)
class EnvironmentSettings:
    """Which scalars describe the surroundings of an atom.

    Attributes
    ----------
    shells_angstrom
        Coordination numbers count the neighbours within these distances in Å.
    shell_width_angstrom
        A neighbour counts in full this far before the end of its shell, in Å.
    radii_angstrom
        Widths of Gaussians of the distance that are summed over neighbours, in Å.
    cutoff_angstrom, switch_width_angstrom
        Where these sums end and how smoothly, in Å.
    """

    shells_angstrom: tuple[float, ...] = (2.8, 3.8, 5.0)
    shell_width_angstrom: float = 1.0
    radii_angstrom: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    cutoff_angstrom: float = 8.0
    switch_width_angstrom: float = 2.0

    def __post_init__(self) -> None:
        for name in ("shells_angstrom", "radii_angstrom"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        lengths = np.array(
            [
                *(*self.shells_angstrom, *self.radii_angstrom, self.cutoff_angstrom),
                *(self.shell_width_angstrom, self.switch_width_angstrom),
            ]
        )
        if not np.all(np.isfinite(lengths)) or np.any(lengths <= 0.0):
            raise SettingError(
                "a length is not positive", subject="environment", hint="Give all in Å"
            )
        if max(self.shells_angstrom, default=0.0) > self.cutoff_angstrom:
            raise SettingError(
                f"shells {self.shells_angstrom} beyond the cutoff of {self.cutoff_angstrom} Å",
                subject="shells_angstrom",
                hint="Take smaller shells or a larger cutoff",
            )

    @property
    def n_per_element(self) -> int:
        """Number of scalars for every element of the neighbours."""
        return len(self.shells_angstrom) + len(self.radii_angstrom)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {
            "shells_angstrom": list(self.shells_angstrom),
            "radii_angstrom": list(self.radii_angstrom),
        }


def environment_scalars(
    structure: Structure | BondedCrystal,
    elements: Sequence[int],
    settings: EnvironmentSettings | None = None,
) -> FloatArray:
    """Count and weigh the neighbours of every atom by element.

    Parameters
    ----------
    structure
        The crystal.
    elements
        Atomic numbers of the neighbours, one channel each.
    settings
        Shells and Gaussians.

    Returns
    -------
    ndarray
        Coordination numbers and sums of Gaussians, shape (atom, element times
        `EnvironmentSettings.n_per_element`), in the order of `environment_names`.
    """
    settings = settings or EnvironmentSettings()
    bonds = image_bonds(structure, settings.cutoff_angstrom)
    folded = fold_onto_pairs(bonds, _neighbour_scalars(bonds, settings))
    is_element = atomic_numbers(structure)[:, None] == np.asarray(elements, dtype=np.int64)
    summed = (1.0 * is_element).T @ folded
    return np.asarray(summed.reshape(len(structure), -1))


def _neighbour_scalars(bonds: ImageBonds, settings: EnvironmentSettings) -> FloatArray:
    """Parts of coordination numbers and of sums of Gaussians, shape (bond, scalar)."""
    distances = bonds.distances_angstrom
    shells = [
        smooth_switch(distances, shell, settings.shell_width_angstrom)
        for shell in settings.shells_angstrom
    ]
    switch = smooth_switch(distances, settings.cutoff_angstrom, settings.switch_width_angstrom)
    sums = [np.exp(-((distances / radius) ** 2)) * switch for radius in settings.radii_angstrom]
    return np.stack([*shells, *sums], axis=1) if shells or sums else np.zeros((len(distances), 0))


def environment_names(
    elements: Sequence[int], settings: EnvironmentSettings | None = None
) -> tuple[str, ...]:
    """Names of the scalars of `environment_scalars`.

    Examples
    --------
    >>> environment_names([9], EnvironmentSettings(shells_angstrom=(3.0,), radii_angstrom=(2.0,)))
    ('F within 3 Å', 'F Gaussian of 2 Å')
    """
    from pymatgen.core import Element

    settings = settings or EnvironmentSettings()
    symbols = [Element.from_Z(number).symbol for number in elements]
    return tuple(
        name
        for symbol in symbols
        for name in (
            *(f"{symbol} within {shell:g} Å" for shell in settings.shells_angstrom),
            *(f"{symbol} Gaussian of {radius:g} Å" for radius in settings.radii_angstrom),
        )
    )
