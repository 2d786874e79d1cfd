"""Structures that look alike by their fingerprint, where an import is asked to keep one of them.

Random searches end many times in nearly the same minimum. A fingerprint finds these where no
comparison atom by atom can; it may also take two similar polymorphs for one, which is why
nothing is merged in this way unless it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from screening.errors import SettingError
from screening.structure import Crystal

__all__ = ["Lookalikes"]


@dataclass
class Lookalikes:
    """Finds the crystal that another looks most like; fingerprints are made once.

    Attributes
    ----------
    limit
        Fingerprints closer than this are of structures that count as one.

    Raises
    ------
    SettingError
        If the limit is not a positive number.
    """

    limit: float
    _fingerprints: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0.0):
            raise SettingError(
                f"{self.limit} is no distance of fingerprints",
                subject="fingerprint_distance",
                hint="Give a number above zero, for instance 0.35",
            )

    def nearest(
        self, crystal: Crystal, candidates: Iterable[Crystal]
    ) -> tuple[Crystal, float] | None:
        """Return the candidate that looks most like a crystal, and its distance.

        Parameters
        ----------
        crystal
            Who looks for a twin.
        candidates
            Crystals of the same composition, in the order in which they are preferred.

        Returns
        -------
        tuple or None
            None where no candidate is within the limit.
        """
        from screening.descriptors.fingerprint import fingerprint_distance

        own = self._fingerprint(crystal)
        found = [
            (float(fingerprint_distance(own, self._fingerprint(one))), place, one)
            for place, one in enumerate(candidates)
        ]
        distance, _, twin = min(found, key=lambda one: one[:2], default=(math.inf, 0, crystal))
        return (twin, distance) if distance < self.limit else None

    def _fingerprint(self, crystal: Crystal) -> Any:
        from screening.descriptors.fingerprint import fingerprint

        if crystal.material_id not in self._fingerprints:
            self._fingerprints[crystal.material_id] = fingerprint(crystal.structure)
        return self._fingerprints[crystal.material_id]
