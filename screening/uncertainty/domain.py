"""Whether a crystal is of the kind that was calibrated.

References
----------
Ledoit, Wolf (2004), J. Multivar. Anal. 88, 365: covariance shrunk towards a multiple of one,
here towards the fixed scales of the features. Pettifor (1984), Solid State Commun. 51, 31: the
chemical scale on which similar elements are neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from screening.prediction import FloatArray, frozen_array

__all__ = ["Domain", "fit_domain"]

_SIMILAR = 2.0  # places on Pettifor's scale
_PRIOR_CRYSTALS = 0.5
"""What one fixed scale in every direction counts for: crystals of one kind are no point."""


@dataclass(frozen=True)
class Domain:
    """Where calibrated crystals lie in the space of scaled features.

    Attributes
    ----------
    features
        Of the calibrated crystals, shape (crystal, feature).
    compositions
        Of the same crystals.
    reach
        Largest distance of a calibrated crystal from those of other compositions.
    """

    features: FloatArray
    compositions: tuple[str, ...]
    reach: float

    def novelty(self, features: FloatArray) -> float:
        """Distance from the calibrated crystals over the largest among them; above 1: novel.

        Parameters
        ----------
        features
            Shape (feature,).

        Returns
        -------
        float
            Infinite where fewer than two compositions are calibrated.
        """
        if not self.reach > 0.0:
            return np.inf
        return _distance(features, self.features) / self.reach

    @cached_property
    def _similarity_numbers(self) -> FloatArray:
        """Places of the calibrated elements on the scale of chemical similarity."""
        from pymatgen.core import Composition

        symbols = {x.symbol for name in self.compositions for x in Composition(name).elements}
        return frozen_array([_similarity_number(symbol) for symbol in sorted(symbols)])

    def unknown_elements(self, composition: str) -> tuple[str, ...]:
        """Elements that no calibrated element is, or is next but one to in similarity.

        A smooth interpolation over features would guess uranium from calcium; on Pettifor's
        scale of chemical similarity they are far apart.
        """
        from pymatgen.core import Composition

        known = self._similarity_numbers
        symbols = sorted(element.symbol for element in Composition(composition).elements)
        return tuple(
            symbol
            for symbol in symbols
            if not np.any(np.abs(known - _similarity_number(symbol)) <= _SIMILAR)
        )


def _similarity_number(symbol: str) -> float:
    from pymatgen.core import Element

    return float(Element(symbol).mendeleev_no)


def fit_domain(features: FloatArray, compositions: Sequence[str]) -> Domain:
    """Learn where calibrated crystals lie, features of shape (crystal, feature)."""
    names = np.array(compositions)
    distances = [
        _distance(features[index], features[names != name])
        for index, name in enumerate(compositions)
        if np.any(names != name)
    ]
    return Domain(frozen_array(features), tuple(compositions), max(distances, default=0.0))


def _distance(one: FloatArray, others: FloatArray) -> float:
    """Mahalanobis distance from the mean, with the covariance shrunk towards fixed scales."""
    count, size = others.shape
    centred = others - others.mean(axis=0)
    shrunk = (centred.T @ centred + _PRIOR_CRYSTALS * np.eye(size)) / (count + _PRIOR_CRYSTALS)
    offset = one - others.mean(axis=0)
    return float(np.sqrt(offset @ np.linalg.solve(shrunk, offset)))
