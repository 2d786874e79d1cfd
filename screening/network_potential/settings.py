"""Architecture and training of a MACE potential, as values with presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from screening.errors import SettingError
from screening.network_potential.setting_checks import (
    check_choice,
    check_count,
    check_kind,
    check_not_negative,
    check_positive,
    check_share,
    known_settings,
    sequence_of,
    whole_numbers,
)

__all__ = [
    "MACE_PRESETS",
    "LossKind",
    "LossWeights",
    "MaceArchitecture",
    "MaceTrainingSettings",
    "Precision",
    "TrainingStage",
]

LossKind = Literal["relative", "squared", "frequency"]
Precision = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "cuda"]

_HIGHEST_CORRELATION = 3
_HIGHEST_L = 3
_HIGHEST_NUMBER = 118
_HIGHEST_SEED = 2**63 - 1
_LATER = {"split_seed": None, "element_sharing": 0.0, "weight_decay": 0.0}


def _plain(value: Any) -> Any:
    """Turn tuples into the lists that JSON gives back."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class MaceArchitecture:
    """Shape of the network.

    Attributes
    ----------
    elements
        Atomic numbers it knows, ascending; none before training has seen the cells.
    channels
        Number of channels of each order of the features of a node.
    max_l
        Highest order of the features of a node: 0 invariant, 1 with vectors.
    cutoff_angstrom
        Radius within which one layer sees neighbours.
    n_interactions
        Number of layers of messages.
    correlation
        Number of neighbours that one layer correlates at most, the body order less one.
    max_ell
        Highest order of the spherical harmonics of a bond.
    n_bessel, n_polynomial
        Number of radial functions, and the order of the polynomial that ends them smoothly.
    radial_mlp
        Widths of the hidden layers between radial functions and weights of messages.
    mlp_channels
        Width of the hidden layer of the last readout.

    Raises
    ------
    SettingError
        If one is of the wrong type or out of range.

    References
    ----------
    I. Batatia et al., Adv. Neural Inf. Process. Syst. 35, 11423 (2022).
    """

    elements: tuple[int, ...] = ()
    channels: int = 16
    max_l: int = 1
    cutoff_angstrom: float = 5.0
    n_interactions: int = 2
    correlation: int = 2
    max_ell: int = 3
    n_bessel: int = 8
    n_polynomial: int = 5
    radial_mlp: tuple[int, ...] = (32, 32)
    mlp_channels: int = 16

    def __post_init__(self) -> None:
        elements = whole_numbers("elements", self.elements, _HIGHEST_NUMBER)
        object.__setattr__(self, "elements", tuple(sorted(elements)))
        object.__setattr__(self, "radial_mlp", whole_numbers("radial_mlp", self.radial_mlp))
        counts = ("channels", "n_interactions", "n_bessel", "n_polynomial", "mlp_channels")
        for name in counts:
            check_count(name, getattr(self, name), 1)
        check_count("correlation", self.correlation, 1, _HIGHEST_CORRELATION)
        check_count("max_ell", self.max_ell, 1, _HIGHEST_L)
        check_count("max_l", self.max_l, 0, self.max_ell)
        check_positive("cutoff_angstrom", self.cutoff_angstrom)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {name: _plain(one) for name, one in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaceArchitecture:
        """Rebuild an architecture; what is not given has its default.

        Raises
        ------
        SettingError
            If a field is unknown, of the wrong type or out of range.
        """
        return known_settings(cls, values)


@dataclass(frozen=True)
class LossWeights:
    """What each kind of label counts for in the loss.

    Attributes
    ----------
    forces, energy, stress
        Of the forces, the energy per atom and the stress.
    hessian
        Of half the difference of the forces of an antithetic pair: the Hessian times the
        displacement.
    """

    forces: float = 1.0
    energy: float = 0.0
    stress: float = 0.0
    hessian: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            check_not_negative(one.name, getattr(self, one.name), "weight")
        if self.forces + self.hessian <= 0.0:
            raise SettingError(
                "forces count for nothing", subject="forces", hint="Give them a weight"
            )


@dataclass(frozen=True)
class TrainingStage:
    """One part of the training.

    Attributes
    ----------
    epochs
        Number of times that all cells are seen.
    learning_rate, final_learning_rate
        At its start and at its end; between them half a cosine.
    weights
        Of the loss.
    """

    epochs: int = 30
    learning_rate: float = 0.01
    final_learning_rate: float = 1e-4
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs, 1)
        check_positive("learning_rate", self.learning_rate)
        check_positive("final_learning_rate", self.final_learning_rate)
        check_kind("weights", self.weights, LossWeights)


@dataclass(frozen=True)
class MaceTrainingSettings:
    """Everything besides the cells that can change a trained potential.

    Attributes
    ----------
    architecture
        Shape of the network; its elements are those of the cells where none are given.
    stages
        Parts of the training, one after the other.
    loss
        ``squared`` is the mean squared error; ``relative`` compares the errors of a cell with its
        own forces; ``frequency`` weighs stiff and soft crystals as their frequencies do.
    batch_atoms
        Number of atoms of the cells of one step, about.
    warm_up_steps
        Number of first steps over which the learning rate grows to its value.
    ema_decay
        Of the running mean of the weights, which is what is kept.
    clip
        Largest norm of the gradient of one step.
    valid_fraction
        Share of the cells to hold out, by whole compositions.
    max_seconds
        Wall time of all steps together, after which training ends with its schedule compressed
        to fit; None for the epochs alone.
    precision, device
        Of the calculation; ``auto`` takes a GPU where there is one.
    seed
        Of the first weights and the order of cells.
    split_seed
        Of the compositions held out; None for ``seed``.
    element_sharing
        Share of the variance of the weights of an element that chemically similar elements have
        in common: what helps where few cells hold each element.
    weight_decay
        Rate at which weights, or what elements share of them, decay beside the learning rate.

    Raises
    ------
    SettingError
        If one is of the wrong type or out of range.

    Examples
    --------
    >>> settings = MACE_PRESETS["small"]
    >>> MaceTrainingSettings.from_dict(settings.as_dict()) == settings
    True
    """

    architecture: MaceArchitecture = field(default_factory=MaceArchitecture)
    stages: tuple[TrainingStage, ...] = (TrainingStage(),)
    loss: LossKind = "relative"
    batch_atoms: int = 128
    warm_up_steps: int = 100
    ema_decay: float = 0.995
    clip: float = 10.0
    valid_fraction: float = 0.05
    max_seconds: float | None = None
    precision: Precision = "float32"
    device: Device = "auto"
    seed: int = 0
    split_seed: int | None = None
    element_sharing: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_kind("architecture", self.architecture, MaceArchitecture)
        object.__setattr__(self, "stages", sequence_of("stages", self.stages, "stages"))
        if not self.stages:
            raise SettingError("no stage", subject="stages", hint="Give at least one")
        for stage in self.stages:
            check_kind("stages", stage, TrainingStage)
        check_choice("loss", self.loss, get_args(LossKind))
        check_choice("precision", self.precision, get_args(Precision))
        check_choice("device", self.device, get_args(Device))
        check_count("batch_atoms", self.batch_atoms, 1)
        check_count("warm_up_steps", self.warm_up_steps, 0)
        check_count("seed", self.seed, 0, _HIGHEST_SEED)
        check_count("split_seed", self.held_out_seed, 0, _HIGHEST_SEED)
        check_positive("clip", self.clip)
        check_not_negative("weight_decay", self.weight_decay, "rate")
        if self.max_seconds is not None:
            check_positive("max_seconds", self.max_seconds)
        for name in ("ema_decay", "valid_fraction", "element_sharing"):
            check_share(name, getattr(self, name))

    @property
    def held_out_seed(self) -> int:
        """Seed of the compositions held out."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def n_epochs(self) -> int:
        """Number of epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def stage_at(self, progress: float) -> tuple[TrainingStage, float]:
        """Return the stage at a share of the training, and how much of it is done."""
        epoch = min(max(progress, 0.0), 1.0) * self.n_epochs
        for stage in self.stages[:-1]:
            if epoch < stage.epochs:
                return stage, epoch / stage.epochs
            epoch -= stage.epochs
        return self.stages[-1], min(epoch / self.stages[-1].epochs, 1.0)

    def learning_rate_at(self, progress: float, step: int) -> float:
        """Return the learning rate of a step, counted from 0 over the whole training."""
        stage, done = self.stage_at(progress)
        bend = 0.5 * (1.0 + math.cos(math.pi * done))
        end = stage.final_learning_rate
        rate = end + (stage.learning_rate - end) * bend
        return rate * min(1.0, (step + 1) / (self.warm_up_steps + 1))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; without later settings that change nothing, so that digests stay."""
        found = {name: _plain(one) for name, one in asdict(self).items()}
        for name, idle in _LATER.items():
            if found[name] == idle:
                del found[name]
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaceTrainingSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown, of the wrong type or out of range.
        """
        plain = dict(values)
        if isinstance(plain.get("architecture"), Mapping):
            plain["architecture"] = MaceArchitecture.from_dict(plain["architecture"])
        if isinstance(plain.get("stages"), list | tuple):
            plain["stages"] = tuple(_stage(one) for one in plain["stages"])
        return known_settings(cls, plain)


def _stage(values: Any) -> Any:
    """Rebuild a stage; what is none stays as it is, and is refused with the other settings."""
    if not isinstance(values, Mapping):
        return values
    plain = dict(values)
    if isinstance(plain.get("weights"), Mapping):
        plain["weights"] = known_settings(LossWeights, plain["weights"])
    return known_settings(TrainingStage, plain)


_SMALL = MaceTrainingSettings(
    stages=(TrainingStage(weights=LossWeights(forces=1.0, energy=1.0, stress=5.0, hessian=1.0)),),
)
_PAPER = MaceTrainingSettings(
    architecture=MaceArchitecture(
        channels=64,
        cutoff_angstrom=6.0,
        correlation=3,
        radial_mlp=(64, 64, 64),
    ),
    stages=(
        TrainingStage(100, 0.01, 0.01, LossWeights(forces=1000.0)),
        TrainingStage(100, 0.001, 0.001, LossWeights(forces=100.0)),  # the rate is mace-torch's
    ),
    loss="squared",  # per atom and per component, as there
    batch_atoms=600,  # four cells of 100 to 200 atoms
    ema_decay=0.99,
    precision="float64",
    seed=123,
)
MACE_PRESETS: Mapping[str, MaceTrainingSettings] = MappingProxyType(
    {
        "paper": _PAPER,
        "paper-fe": replace(
            _PAPER,
            stages=(TrainingStage(100, 0.001, 1e-4, LossWeights(forces=100.0, energy=50.0)),),
        ),
        "small": replace(_SMALL, element_sharing=0.9),
        "tiny": replace(
            _SMALL,
            architecture=MaceArchitecture(
                channels=4, cutoff_angstrom=4.0, max_ell=2, radial_mlp=(8,), mlp_channels=4
            ),
            stages=(replace(_SMALL.stages[0], epochs=4),),
            warm_up_steps=0,
            ema_decay=0.9,
            batch_atoms=32,
        ),
    }
)
"""``paper`` trains on forces alone, ``paper-fe`` continues it with energies; ``small`` is for
two processors and many elements; ``tiny`` is for trying things out.

References
----------
H. Lee, V. I. Hegde, C. Wolverton and Y. Xia, arXiv:2407.09674 (the first two).
"""
