"""What the training of a density-of-states network can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from screening.errors import SettingError
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID, FrequencyGrid

__all__ = [
    "ANEW",
    "DOS_PRESETS",
    "Axis",
    "Device",
    "DosArchitecture",
    "DosNetworkSettings",
    "Link",
    "Loss",
]

ANEW = "Export the model again from where it was trained, or train it anew"
"""What to do about a model whose numbers are not whole."""

Loss = Literal["wasserstein", "mse"]
Link = Literal["softplus", "log"]
Axis = Literal["scaled", "absolute"]
Device = Literal["auto", "cpu", "cuda"]

_LARGEST_OF_GRID = 1e6  # in 1/cm, and bins: beyond all spectra


@dataclass(frozen=True)
class DosArchitecture:
    """Size and shape of one network.

    Attributes
    ----------
    hidden, embedding
        Features of atoms, bonds and angles, and of the expansions they start from.
    angle_layers, bond_layers
        Layers that know angles (ALIGNN), and layers after them that know bonds alone.
    bond_cutoff_angstrom, angle_cutoff_angstrom
        Longest bond in Å, and longest bond that takes part in angles; no cap on neighbours.
    axis
        ``scaled``: the output is a curve over frequencies in units of a scale, which begins with
        masses and volumes and is learned as well. ``absolute``: the bins themselves, as published.
        Beside a potential the bins are those of the potential.
    link
        What makes the output positive: ``softplus``, or ``log``, whose inverse is the exponential.
        Beside a potential the first adds to its density of states, the second multiplies it.
    with_prior
        Whether a density of states from a potential is given as well, which the network then
        stretches and corrects.

    Raises
    ------
    SettingError
        If one is of the wrong type or out of range.
    """

    hidden: int = 64
    embedding: int = 64
    angle_layers: int = 2
    bond_layers: int = 2
    bond_cutoff_angstrom: float = 5.0
    angle_cutoff_angstrom: float = 3.5
    axis: Axis = "scaled"
    link: Link = "softplus"
    with_prior: bool = False

    def __post_init__(self) -> None:
        _check_range(self, {"hidden": (4, 4096), "embedding": (4, 4096)}, int)
        _check_range(self, {"angle_layers": (0, 20), "bond_layers": (0, 20)}, int)
        _check_range(self, {"bond_cutoff_angstrom": (1.0, 12.0)}, float)
        _check_range(self, {"angle_cutoff_angstrom": (1.0, self.bond_cutoff_angstrom)}, float)
        _check_choice("axis", self.axis, get_args(Axis))
        _check_choice("link", self.link, get_args(Link))
        _check_choice("with_prior", self.with_prior, (False, True))


@dataclass(frozen=True)
class DosNetworkSettings:
    """Architecture, training and calibration of an ensemble.

    Attributes
    ----------
    architecture
        Of each member.
    grid
        Bins of the density of states.
    loss
        ``mse``: mean square error of curves whose maximum is one, as published.
        ``wasserstein``: area between the cumulative curves of unit area, in THz.
    epochs, patience
        Most passes over the training set, and passes without an improvement on held-out
        compositions after which it ends.
    learning_rate, weight_decay, clip
        Of AdamW; the rate rises over the first twentieth of the epochs and falls like a cosine.
        Gradients are clipped to this norm.
    batch_size, batch_edges
        Most crystals of a batch, and most bonds and pairs of bonds.
    n_members
        Networks of other seeds and other compositions held out.
    valid_fraction
        Share of the compositions on which a member is watched.
    calibration_fraction
        Share of the compositions that no member sees: for intervals and scores.
    alpha
        Risk of the intervals; 0.1 for 90 %.
    seed
        Of everything random.
    device
        ``auto`` takes a graphics processor where there is one.

    Raises
    ------
    SettingError
        If one is of the wrong type or out of range.

    Examples
    --------
    >>> settings = DOS_PRESETS["paper"]
    >>> DosNetworkSettings.from_dict(settings.as_dict()) == settings
    True
    """

    architecture: DosArchitecture = field(default_factory=DosArchitecture)
    grid: FrequencyGrid = WIDE_GRID
    loss: Loss = "wasserstein"
    epochs: int = 200
    patience: int = 40
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip: float = 10.0
    batch_size: int = 16
    batch_edges: int = 200_000
    n_members: int = 5
    valid_fraction: float = 0.1
    calibration_fraction: float = 0.2
    alpha: float = 0.1
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        _check_kind("architecture", self.architecture, DosArchitecture)
        _check_kind("grid", self.grid, FrequencyGrid)
        counts = {"epochs": (1, 100_000), "patience": (1, 100_000), "n_members": (2, 100)}
        sizes = {"batch_size": (1, 100_000), "batch_edges": (1, 10**9), "seed": (0, 2**32 - 1)}
        _check_range(self, counts | sizes, int)
        rates = {"learning_rate": (1e-8, 1.0), "weight_decay": (0.0, 1.0), "clip": (1e-6, 1e6)}
        shares = {"valid_fraction": (0.01, 0.5), "calibration_fraction": (0.05, 0.5)}
        _check_range(self, rates | shares | {"alpha": (0.001, 0.499)}, float)
        _check_choice("loss", self.loss, get_args(Loss))
        _check_choice("device", self.device, get_args(Device))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON: all that can change a number, so without the device."""
        found = asdict(self)
        del found["device"]
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DosNetworkSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown, of the wrong type or out of range.
        """
        given = _known(cls, values, "settings")
        if "architecture" in given:
            given["architecture"] = DosArchitecture(
                **_known(DosArchitecture, given["architecture"], "architecture")
            )
        if "grid" in given:
            given["grid"] = _grid(given["grid"])
        return cls(**given)


def _grid(values: Any) -> FrequencyGrid:
    given = _known(FrequencyGrid, values, "grid")
    for name, value in given.items():
        _check_number(name, value, -_LARGEST_OF_GRID, _LARGEST_OF_GRID, float)
    return FrequencyGrid.from_dict(given)


def _known(kind: type[Any], values: Any, subject: str) -> dict[str, Any]:
    """Copy settings, all of which must be known."""
    names = sorted(one.name for one in fields(kind))
    if not isinstance(values, Mapping):
        raise SettingError(
            f"{values!r} is no object of settings",
            subject=subject,
            hint=f"Give an object with any of {', '.join(names)}",
        )
    unknown = sorted(map(str, set(values).difference(names)))
    if unknown:
        raise SettingError(
            "unknown setting", subject=unknown[0], hint=f"Choose among {', '.join(names)}"
        )
    return dict(values)


def _check_kind(name: str, value: object, kind: type[Any]) -> None:
    if not isinstance(value, kind):
        raise SettingError(
            f"{value!r} is no {kind.__name__}",
            subject=name,
            hint=f"Give an object with any of {', '.join(one.name for one in fields(kind))}",
        )


def _check_range(one: object, ranges: Mapping[str, tuple[float, float]], kind: type[Any]) -> None:
    for name, (low, high) in ranges.items():
        _check_number(name, getattr(one, name), low, high, kind)


def _check_number(name: str, value: object, low: float, high: float, kind: type[Any]) -> None:
    """Refuse another type, truth values among them, and what is out of range, as NaN always is."""
    is_whole, is_real = type(value) is int, kind is float and type(value) is float
    if not ((is_whole or is_real) and low <= value <= high):  # type: ignore[operator] # a number
        raise SettingError(
            f"{value!r} is not between {low:g} and {high:g}",
            subject=name,
            hint=f"Give {'a whole number' if kind is int else 'a number'} in this range",
        )


def _check_choice(name: str, value: object, known: tuple[object, ...]) -> None:
    if not any(type(value) is type(one) and value == one for one in known):  # 1 is not true
        raise SettingError(
            f"{value!r} is not known",
            subject=name,
            hint=f"Choose one of {', '.join(map(str, known))}",
        )


DOS_PRESETS: Mapping[str, DosNetworkSettings] = MappingProxyType(
    {
        "small": DosNetworkSettings(),
        "tiny": DosNetworkSettings(
            architecture=DosArchitecture(
                hidden=16, embedding=16, angle_layers=1, bond_layers=1, angle_cutoff_angstrom=3.0
            ),
            epochs=20,
            n_members=2,
        ),
        "paper": DosNetworkSettings(
            architecture=DosArchitecture(
                hidden=256, angle_layers=6, bond_layers=6, axis="absolute"
            ),
            grid=PAPER_GRID,
            loss="mse",
            epochs=600,
            patience=600,
            batch_size=64,
        ),
    }
)
"""``small`` trains on two cores, ``tiny`` in seconds. ``paper`` has the published layers, loss and
rates, but no cap of 20 neighbours, 92 one-hot features of elements (the package's, not 8 numbers),
a softplus in place of the ReLU (whose dead bins never learn), and compositions held out whole."""
