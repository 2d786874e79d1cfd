"""How cells are displaced and what is asked of the calculator, as plain JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from screening.digest import digest_of
from screening.errors import SettingError
from screening.network_potential.rattling import RattlingSettings
from screening.network_potential.soft_displacements import SoftPairSettings

__all__ = [
    "DEFAULT_GUIDE",
    "QUANTITIES",
    "LabellingSettings",
    "rattling_from",
    "rattling_to",
]

QUANTITIES = ("forces", "energy", "stress")
"""What a label may hold."""

DEFAULT_GUIDE = "phonoscreen"
"""The potential that finds soft modes where none is named."""

_Displaced = TypeVar("_Displaced", RattlingSettings, SoftPairSettings)


@dataclass(frozen=True)
class LabellingSettings:
    """How cells are displaced, and what the calculator is asked.

    Attributes
    ----------
    rattling
        How cells are displaced at random.
    quantities
        ``forces``, ``energy`` and ``stress``, or forces alone.
    soft
        How further pairs are displaced along soft modes; None for no such pairs.
    guide
        The potential that finds soft modes, as `screening.calculators.load_calculator` reads it.

    Raises
    ------
    SettingError
        If something else is asked, or a guide without soft pairs.

    Examples
    --------
    >>> settings = LabellingSettings(RattlingSettings(n_cells=2), soft=SoftPairSettings(2))
    >>> LabellingSettings.from_dict(settings.as_dict()) == settings
    True
    """

    rattling: RattlingSettings = field(default_factory=RattlingSettings)
    quantities: tuple[str, ...] = QUANTITIES
    soft: SoftPairSettings | None = None
    guide: str = DEFAULT_GUIDE

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", tuple(self.quantities))
        if self.quantities not in (QUANTITIES, QUANTITIES[:1]):
            raise SettingError(
                f"{', '.join(self.quantities)}",
                subject="quantities",
                hint="Ask for forces, energy and stress, or for forces alone",
            )
        if not isinstance(self.guide, str) or (self.soft is None and self.guide != DEFAULT_GUIDE):
            raise SettingError(
                f"{self.guide!r} has nothing to guide",
                subject="guide",
                hint="Name a potential, and ask for soft pairs",
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON that is the same for equal settings."""
        found = {"rattling": rattling_to(self.rattling), "quantities": list(self.quantities)}
        if self.soft is not None:  # cells without soft pairs keep the digest they always had
            found |= {"soft": _plain(self.soft), "guide": self.guide}
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the settings as they were asked for, whatever the guide's name stands for."""
        return digest_of(self.as_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabellingSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown, of a wrong type or out of range.
        """
        if unknown := sorted(set(values) - {one.name for one in fields(cls)}):
            raise SettingError("unknown setting", subject=unknown[0], hint="Leave it out")
        soft = values.get("soft")
        return cls(
            rattling_from(values.get("rattling", {})),
            tuple(values.get("quantities", QUANTITIES)),
            None if soft is None else _read(SoftPairSettings, soft),
            values.get("guide", DEFAULT_GUIDE),
        )


def rattling_to(settings: RattlingSettings) -> dict[str, Any]:
    """Return how cells are displaced as plain JSON, the same for equal settings."""
    return _plain(settings)


def rattling_from(values: Any) -> RattlingSettings:
    """Read what `rattling_to` returns; what is not given has its default.

    Raises
    ------
    SettingError
        If a setting is unknown, of a wrong type or out of range.
    """
    return _read(RattlingSettings, values)


def _plain(settings: RattlingSettings | SoftPairSettings) -> dict[str, Any]:
    """Give every value the type of its default, however it was typed."""
    defaults = asdict(type(settings)())
    return {name: type(defaults[name])(value) for name, value in asdict(settings).items()}


def _read(kind: type[_Displaced], values: Any) -> _Displaced:
    defaults = {one.name: one.default for one in fields(kind)}
    hint = f"Known are {', '.join(defaults)}"
    if not isinstance(values, Mapping) or not set(values) <= set(defaults):
        raise SettingError("are no settings of displacements", subject=str(values)[:60], hint=hint)
    for name, value in values.items():
        wanted = type(defaults[name])
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, wanted) or (wanted is float and is_number)) or (
            wanted is int and not is_number
        ):
            raise SettingError(f"{value!r}", subject=name, hint=hint)
    return kind(**values)
