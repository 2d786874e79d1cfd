"""Which compositions members learn from, watch, and never see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from screening.dispensable import dispensable, elements_by_group
from screening.errors import TrainingSetError
from screening.network_dos.labels import DosLabel
from screening.network_dos.settings import DosNetworkSettings
from screening.uncertainty.conformal import fewest_groups

__all__ = ["Split", "split_labels"]

_FEWEST_TO_LEARN = 4  # compositions, beside those of the calibration


@dataclass(frozen=True)
class Split:
    """Compositions by what they are for.

    Attributes
    ----------
    calibration
        No member sees them: intervals and scores come from them.
    learning
        All others, in the order in which members take turns to watch some of them.
    n_parts
        Number of parts that the latter are dealt out to.
    """

    calibration: tuple[str, ...]
    learning: tuple[str, ...]
    n_parts: int

    def watched(self, member: int) -> frozenset[str]:
        """Compositions that a member watches and does not learn from."""
        return frozenset(self.learning[member % self.n_parts :: self.n_parts])


def split_labels(labels: Sequence[DosLabel], settings: DosNetworkSettings) -> Split:
    """Split by whole compositions; an element is never in the calibration alone.

    Raises
    ------
    TrainingSetError
        If there are too few compositions.
    """
    elements = elements_by_group(
        (one.group, (int(site.specie.Z) for site in one.structure)) for one in labels
    )
    names = sorted(elements)
    needed = fewest_groups(settings.alpha)
    n_calibration = max(needed, math.ceil(settings.calibration_fraction * len(names)))
    if len(names) < needed + _FEWEST_TO_LEARN:
        raise TrainingSetError(
            f"{len(labels)} crystals of {len(names)} compositions, "
            f"{needed + _FEWEST_TO_LEARN} compositions are needed at the very least",
            subject="training",
            hint="Give some hundred crystals of different compositions",
        )
    shuffled = [names[one] for one in np.random.default_rng(settings.seed).permutation(len(names))]
    calibration = list(islice(dispensable(shuffled, elements), n_calibration))
    if len(calibration) < needed:
        raise TrainingSetError(
            f"only {len(calibration)} compositions have no element that is theirs alone, {needed} "
            "are needed to calibrate on",
            subject="training",
            hint="Give more crystals of the same elements",
        )
    learning = tuple(one for one in shuffled if one not in set(calibration))
    n_parts = min(max(2, round(1.0 / settings.valid_fraction)), len(learning))
    return Split(tuple(calibration), learning, n_parts)
