r"""Scattering of phonons by isotopes, from a density of states.

With the density of states :math:`\bar g` of an atom, of integral 3, phonons of one frequency are
scattered at the rate

.. math:: \tau^{-1}(\omega) = \frac{\pi}{6} \Gamma \omega^2 \bar g(\omega).

Its mean over all modes is a rate. The published number is the integral of the rate over the
frequency itself, in THz without 2 pi: of the dimension of a squared frequency, though quoted in
GHz. It ranks compounds; it is no rate.

References
----------
S. Tamura, Phys. Rev. B 27, 858 (1983), doi:10.1103/PhysRevB.27.858.
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023),
doi:10.1103/PhysRevMaterials.7.023803, for the number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.errors import WrongShapeError
from screening.network_dos.isotopes import MassVariances
from screening.network_dos.properties import DosProperties
from screening.network_dos.quadrature import bin_rule
from screening.prediction import FloatArray, frozen_array
from screening.units import RAD_PER_PS_PER_THZ

__all__ = ["IsotopeScattering", "isotope_scattering"]

_GHZ_PER_THZ = 1000.0


@dataclass(frozen=True, eq=False)
class IsotopeScattering:
    """Isotope scattering of some crystals, all shapes (crystal,).

    Attributes
    ----------
    variances
        Variances of the masses.
    suitable
        Where isotopes scatter and the density of states has thermodynamics; the numbers of all
        other crystals are zero and stay out of comparisons.
    published_number
        The published number, a thousand times THz², with the variance of the compound.
    mean_rate_ghz
        Mean of Tamura's rate over the modes in 1/ns, with the variance of the sites. It follows
        the square of the density of states and so the width of the bins.
    mean_rate_of_compound_ghz
        The same with the variance of the compound.
    """

    variances: MassVariances
    suitable: NDArray[np.bool_]
    published_number: FloatArray
    mean_rate_ghz: FloatArray
    mean_rate_of_compound_ghz: FloatArray


def isotope_scattering(properties: DosProperties, variances: MassVariances) -> IsotopeScattering:
    """Find how strongly isotopes scatter.

    Parameters
    ----------
    properties
        Of some crystals.
    variances
        Of the same crystals.

    Raises
    ------
    WrongShapeError
        If they are not as many.
    """
    if len(variances.known) != len(properties):
        raise WrongShapeError(
            f"{len(variances.known)} variances for {len(properties)} crystals",
            subject="variances",
            hint="Find the variances of the masses of the same crystals",
        )
    rule = bin_rule(properties.grid, properties.settings.rising_bins)
    modes = _modes_per_atom(properties)
    suitable = properties.suitable & variances.scatters
    moment = modes @ rule.moment(2)  # integral of nu^2 g, THz²
    overlap = modes**2 @ rule.squared_overlaps_thz / 3.0  # mean of nu^2 g over modes, THz
    number = math.pi / 6.0 * moment * _GHZ_PER_THZ
    rate = math.pi / 6.0 * RAD_PER_PS_PER_THZ * overlap * _GHZ_PER_THZ
    site = np.where(suitable, variances.site, 0.0)
    compound = np.where(suitable, variances.compound, 0.0)
    return IsotopeScattering(
        variances=variances,
        suitable=suitable,
        published_number=frozen_array(compound * number),
        mean_rate_ghz=frozen_array(site * rate),
        mean_rate_of_compound_ghz=frozen_array(compound * rate),
    )


def _modes_per_atom(properties: DosProperties) -> FloatArray:
    """Modes of the thermodynamic sums in each bin, 3 over all bins."""
    rule = bin_rule(properties.grid, properties.settings.rising_bins)
    scale = properties.positive_scale / properties.n_atoms
    return np.asarray(np.where(rule.used, properties.histograms, 0.0) * scale[:, None])
