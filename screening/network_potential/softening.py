"""One factor that takes a potential's systematic softening out of its frequencies.

Universal potentials underestimate curvatures by a similar share for most crystals. A scale s of
the frequencies means that energies, forces and stresses are multiplied by s**2: the potential
stays conservative and its equilibrium stays where it was.

The scale is learned from frequencies where there are reference frequencies, or else from heat
capacities, as `screening.network_potential.heat_capacity_scale` does.

References
----------
B. Deng et al., doi:10.1038/s41524-024-01500-6, for the systematic softening.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from screening.acoustic import acoustic_mask
from screening.errors import (
    ModelCorruptError,
    SettingError,
    TrainingSetError,
)
from screening.network_potential.phonon_pairs import PhononPair
from screening.prediction import FloatArray, frozen_array
from screening.trained_model import TrainedModel

__all__ = [
    "LARGEST_SCALE",
    "SMALLEST_SCALE",
    "CompositionWeights",
    "FrequencyScale",
    "fit_frequency_scale",
    "frequency_scale_of",
    "with_frequency_scale",
]

ScaleKind = Literal["frequencies", "heat_capacity"]

SMALLEST_SCALE, LARGEST_SCALE = 0.4, 2.5
"""No potential worth correcting is further off."""

_STATE_KEY = "frequency_scale"
_LOW_THZ = 0.1
_MIN_COMPOSITIONS = 3


@dataclass(frozen=True)
class FrequencyScale:
    """A factor for all frequencies of a potential, and how it was found.

    Attributes
    ----------
    factor
        What frequencies are multiplied by.
    kind
        ``frequencies`` or ``heat_capacity``: what it was fitted to.
    source
        What data, in words.
    n_crystals
        Number of crystals that it was fitted to.
    compositions
        Their reduced formulas, in alphabetical order.
    n_left_out
        Crystals that could not be used, for too many low or imaginary modes.
    left_out_weight
        Mean fraction of the modes of the used crystals that no factor can repair, low or
        imaginary ones: left out of frequencies, classical in heat capacities.
    rms_before, rms_after
        Root mean square error with the factor 1 and with the fitted one, in THz or in
        meV/K/atom; each composition counts once.
    std
        Standard deviation of the factor over resampled compositions; None where there are too
        few.

    Raises
    ------
    SettingError
        If the factor is not between 0.4 and 2.5, or another number is out of its range.
    """

    factor: float
    kind: ScaleKind
    source: str
    n_crystals: int
    compositions: tuple[str, ...]
    n_left_out: int
    left_out_weight: float
    rms_before: float
    rms_after: float
    std: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and SMALLEST_SCALE <= self.factor <= LARGEST_SCALE):
            raise SettingError(
                f"{self.factor} is no factor between {SMALLEST_SCALE} and {LARGEST_SCALE}",
                subject="factor",
                hint="A potential that is further off is not soft but wrong: train it again",
            )
        numbers = (self.rms_before, self.rms_after, self.left_out_weight, self.std or 0.0)
        if not all(math.isfinite(x) and x >= 0.0 for x in numbers) or self.n_crystals < 1:
            raise SettingError(
                "errors, counts and the standard deviation must be finite and not negative",
                subject="frequency_scale",
                hint="Fit the scale again",
            )
        if self.kind not in get_args(ScaleKind):
            raise SettingError(
                f"a scale is not fitted to {self.kind!r}",
                subject="kind",
                hint=f"Choose one of {', '.join(get_args(ScaleKind))}",
            )

    @property
    def n_compositions(self) -> int:
        """How many compositions its crystals are of."""
        return len(self.compositions)

    @property
    def energy_factor(self) -> float:
        """What energies, forces, stresses and force constants are multiplied by."""
        return self.factor**2

    @property
    def note(self) -> str:
        """What a user of the potential must know."""
        spread = "" if self.std is None else f" ± {self.std:.3f}"
        return (
            f"frequencies are multiplied by {self.factor:.4f}{spread}, fitted to {self.kind} of "
            f"{self.n_crystals} crystals ({self.source}); energies and forces by its square"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> FrequencyScale:
        """Read what `as_dict` writes.

        Raises
        ------
        ModelCorruptError
            If a part is missing, unknown or out of its range.
        """
        try:
            return cls(
                factor=float(state["factor"]),
                kind=state["kind"],
                source=str(state["source"]),
                n_crystals=int(state["n_crystals"]),
                compositions=tuple(map(str, state["compositions"])),
                n_left_out=int(state["n_left_out"]),
                left_out_weight=float(state["left_out_weight"]),
                rms_before=float(state["rms_before"]),
                rms_after=float(state["rms_after"]),
                std=None if state["std"] is None else float(state["std"]),
            )
        except (KeyError, TypeError, ValueError, SettingError) as error:
            raise ModelCorruptError(
                f"the frequency scale cannot be read: {error!r}",
                subject=_STATE_KEY,
                hint="Fit the scale again, or take the model without it",
            ) from error


@dataclass(frozen=True, eq=False)
class CompositionWeights:
    """Weights of crystals in a fit: every composition counts once, whatever its polymorphs.

    Attributes
    ----------
    weights
        Shape (crystal,); those of one composition add up to one.
    members
        Which composition every crystal is of, shape (crystal,).
    groups
        Reduced formulas of the compositions, in alphabetical order.
    """

    weights: FloatArray
    members: NDArray[np.int64]
    groups: tuple[str, ...]

    @classmethod
    def of(cls, groups: Sequence[str]) -> CompositionWeights:
        """Make them of the reduced formulas of the crystals."""
        names, members, counts = np.unique(groups, return_inverse=True, return_counts=True)
        return cls(frozen_array(1.0 / counts[members]), members, tuple(names.tolist()))

    @property
    def n_groups(self) -> int:
        """Number of compositions."""
        return len(self.groups)

    def resampled(self, count: int, seed: int) -> Iterator[FloatArray]:
        """Yield weights of compositions drawn with replacement, shape (crystal,) each."""
        generator = np.random.default_rng(seed)
        for _ in range(count):
            drawn = generator.integers(self.n_groups, size=self.n_groups)
            times = np.bincount(drawn, minlength=self.n_groups)
            yield self.weights * times[self.members]

    def std_of(self, values: Sequence[float]) -> float | None:
        """Sample standard deviation over resampled sets; None under three compositions."""
        enough = self.n_groups >= _MIN_COMPOSITIONS and len(values) > 1
        return float(np.std(values, ddof=1)) if enough else None


def fit_frequency_scale(
    pairs: Sequence[PhononPair], source: str, *, n_resamples: int = 200, seed: int = 0
) -> FrequencyScale:
    """Fit a scale to frequencies by least squares.

    Every composition counts once, whatever its number of polymorphs, wave vectors and branches.
    Modes at or below 0.1 THz on either side, which no factor can repair, take no part.

    Parameters
    ----------
    pairs
        Crystals of the potential and the reference at the same wave vectors.
    source
        What data, in words.
    n_resamples, seed
        Resampled sets of compositions for the standard deviation.

    Raises
    ------
    TrainingSetError
        If no crystal has a mode to compare.
    SettingError
        If the best factor is not between 0.4 and 2.5.
    """
    sums = np.array([_mode_sums(pair) for pair in pairs]).reshape(len(pairs), 4)
    used = sums[:, 3] > 0.0
    if not used.any():
        raise TrainingSetError(
            "no crystal has modes that a scale can be fitted to",
            hint="Give crystals whose frequencies are real on both sides",
        )
    rows = CompositionWeights.of(
        [pair.group for pair, keep in zip(pairs, used, strict=True) if keep]
    )
    cross, own, other, kept = sums[used].T
    weights = rows.weights
    factor = float(weights @ cross) / float(weights @ own)
    squares = [np.maximum(s**2 * own - 2.0 * s * cross + other, 0.0) for s in (1.0, factor)]
    before, after = (float(np.sqrt(weights @ x / weights.sum())) for x in squares)
    resampled = [(w @ cross) / (w @ own) for w in rows.resampled(n_resamples, seed)]
    return FrequencyScale(
        factor=factor,
        kind="frequencies",
        source=source,
        n_crystals=int(used.sum()),
        compositions=rows.groups,
        n_left_out=int((~used).sum()),
        left_out_weight=float(np.mean(1.0 - kept)),
        rms_before=before,
        rms_after=after,
        std=rows.std_of(resampled),
    )


def with_frequency_scale(model: TrainedModel, scale: FrequencyScale | None) -> TrainedModel:
    """Return the model with this scale in place of any other; None takes it out.

    The scale is part of what the model predicts: its digest changes.
    """
    return replace(
        model, state={**model.state, _STATE_KEY: None if scale is None else scale.as_dict()}
    )


def frequency_scale_of(model: TrainedModel) -> FrequencyScale | None:
    """Return the scale that a model carries, None without one.

    Raises
    ------
    ModelCorruptError
        If what it carries is no scale.
    """
    state = model.state.get(_STATE_KEY)
    return None if state is None else FrequencyScale.from_dict(state)


def _mode_sums(pair: PhononPair) -> tuple[float, float, float, float]:
    """Mean products of the usable modes, and which fraction of all but acoustic ones they are."""
    predicted, reference, weights = pair.on_mesh()
    acoustic = acoustic_mask(pair.reference.frequencies_thz, pair.reference.is_gamma).ravel()
    usable = (predicted > _LOW_THZ) & (reference > _LOW_THZ)
    if not usable.any():
        return 0.0, 0.0, 0.0, 0.0
    p, r, w = predicted[usable], reference[usable], weights[usable]
    kept = float(w.sum() / max(w.sum(), weights[~acoustic].sum()))
    cross, own, other = (float(w @ x / w.sum()) for x in (p * r, p * p, r * r))
    return cross, own, other, kept
