r"""How much the natural isotopes of a compound scatter its phonons.

With the fractions :math:`f_i` and masses :math:`m_i` of the isotopes on a site of mean mass
:math:`\bar m_s`, and :math:`\bar m` the mean mass of the compound,

.. math::
    g_s = \sum_i f_i (1 - m_i / \bar m_s)^2, \qquad
    \Gamma_{site} = \sum_s c_s g_s, \qquad
    \Gamma_{compound} = \sum_s c_s (\bar m_s / \bar m)^2 g_s .

The second is the mean over the sites of what Tamura's formula weighs with the squared shares of
the sites in a mode; the third, where a heavy site counts for more, is the published one. They are
equal in an element.

References
----------
S. Tamura, Phys. Rev. B 27, 858 (1983), doi:10.1103/PhysRevB.27.858.
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023),
doi:10.1103/PhysRevMaterials.7.023803, for the mean mass of the compound.
J. R. de Laeter et al., Pure Appl. Chem. 75, 683 (2003), natural abundances, as phonopy has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray, frozen_array

__all__ = [
    "IsotopeMixture",
    "MassVariances",
    "element_mass_variance",
    "has_natural_isotopes",
    "mass_variances",
    "natural_isotopes",
]


@dataclass(frozen=True, eq=False)
class IsotopeMixture:
    """Isotopes of an element as nature mixes them.

    Attributes
    ----------
    masses_amu
        Shape (isotope,).
    fractions
        Shares of the atoms, of sum one, shape (isotope,).
    """

    masses_amu: FloatArray
    fractions: FloatArray

    @property
    def mean_mass_amu(self) -> float:
        """Mean mass in amu."""
        return float(self.fractions @ self.masses_amu)

    @property
    def mass_variance(self) -> float:
        """Variance of the mass over its squared mean."""
        deviations = self.masses_amu / self.mean_mass_amu - 1.0
        return float(self.fractions @ deviations**2)


@dataclass(frozen=True, eq=False)
class MassVariances:
    """Variances of the masses of compounds, without a unit.

    Attributes
    ----------
    site
        Mean over the sites of the variance over the squared mean mass of the site, shape
        (crystal,).
    compound
        Mean over the sites of the variance over the squared mean mass of the compound, shape
        (crystal,).
    known
        False where an element has no natural isotopes; the variances are then zero, shape
        (crystal,).
    """

    site: FloatArray
    compound: FloatArray
    known: NDArray[np.bool_]

    @property
    def scatters(self) -> NDArray[np.bool_]:
        """Where isotopes scatter at all; all other crystals stay out of comparisons."""
        return np.asarray(self.known & (self.compound > 0.0))


@cache
def _table() -> dict[int, IsotopeMixture]:
    """Natural isotopes by atomic number."""
    from phonopy.structure.atomic_data import get_atomic_data

    data = get_atomic_data()
    found = {}
    for symbol, isotopes in data.isotope_data.items():
        if isotopes:
            _, masses, fractions = np.array(isotopes).T
            found[int(data.symbol_map[symbol])] = IsotopeMixture(
                frozen_array(masses), frozen_array(fractions / fractions.sum())
            )
    return found


def has_natural_isotopes(number: int) -> bool:
    """Tell whether nature has isotopes of an element.

    Examples
    --------
    >>> has_natural_isotopes(14), has_natural_isotopes(43)
    (True, False)
    """
    return number in _table()


def natural_isotopes(number: int) -> IsotopeMixture:
    """Return the natural isotopes of an element.

    Parameters
    ----------
    number
        Atomic number.

    Raises
    ------
    InconsistentDataError
        If it has none.

    Examples
    --------
    >>> len(natural_isotopes(14).fractions)
    3
    """
    if number not in _table():
        raise InconsistentDataError(
            "the element has no natural isotopes",
            subject=f"atomic number {number}",
            hint="Leave isotope scattering out for its compounds",
        )
    return _table()[number]


def element_mass_variance(number: int) -> float:
    """Variance of the mass of a natural element over its squared mean.

    Raises
    ------
    InconsistentDataError
        As `natural_isotopes`.

    Examples
    --------
    >>> round(element_mass_variance(14) * 1e4, 2)
    2.01
    """
    return natural_isotopes(number).mass_variance


def mass_variances(numbers: Sequence[NDArray[np.int64]]) -> MassVariances:
    """Find how much the masses vary in some crystals.

    Parameters
    ----------
    numbers
        Atomic numbers of the sites of each crystal, shape (site,) each.

    Raises
    ------
    InconsistentDataError
        If a crystal has no atom.

    Examples
    --------
    >>> found = mass_variances([np.array([31, 33]), np.array([11, 9])])
    >>> found.scatters.tolist()
    [True, False]
    """
    if any(len(one) == 0 for one in numbers):
        raise InconsistentDataError(
            "a crystal without atoms", subject="numbers", hint="Leave it out"
        )
    pairs = [_of_compound(np.asarray(one)) for one in numbers]
    values = np.array([(0.0, 0.0) if pair is None else pair for pair in pairs]).reshape(-1, 2)
    known = np.array([pair is not None for pair in pairs], dtype=np.bool_)
    return MassVariances(frozen_array(values[:, 0]), frozen_array(values[:, 1]), known)


def _of_compound(numbers: NDArray[np.int64]) -> tuple[float, float] | None:
    """Both variances, None where isotopes are unknown."""
    elements, counts = np.unique(numbers, return_counts=True)
    if not all(has_natural_isotopes(int(one)) for one in elements):
        return None
    mixtures = [natural_isotopes(int(one)) for one in elements]
    variances = np.array([one.mass_variance for one in mixtures])
    masses = np.array([one.mean_mass_amu for one in mixtures])
    shares = counts / counts.sum()
    heaviness = (masses / (shares @ masses)) ** 2
    return float(shares @ variances), float(shares @ (heaviness * variances))
