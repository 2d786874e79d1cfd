"""All settings of the screening of one material, as one value with a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from screening.digest import digest_of
from screening.errors import SettingError
from screening.few_cells import FewCellSettings
from screening.phonons import PhononSettings
from screening.relaxation import RelaxationSettings
from screening.stability import CRITERIA, DEFAULT_CRITERION
from screening.thermodynamics import ThermodynamicsSettings

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["ScreeningSettings"]


@dataclass(frozen=True)
class ScreeningSettings:
    """Everything besides crystal and model that can change the numbers.

    Attributes
    ----------
    relaxation
        How the crystal is relaxed first; None takes it as given.
    phonons, thermodynamics
        Settings of these two steps.
    few_cells
        Force constants from a few cells with all atoms displaced at random; None displaces one
        atom after the other.
    stability_criterion
        Name in `screening.stability.CRITERIA` of the criterion that decides.

    Examples
    --------
    >>> settings = ScreeningSettings(relaxation=None)
    >>> ScreeningSettings.from_dict(settings.as_dict()) == settings
    True
    """

    relaxation: RelaxationSettings | None = field(default_factory=RelaxationSettings)
    phonons: PhononSettings = field(default_factory=PhononSettings)
    thermodynamics: ThermodynamicsSettings = field(default_factory=ThermodynamicsSettings)
    few_cells: FewCellSettings | None = None
    stability_criterion: str = DEFAULT_CRITERION

    def __post_init__(self) -> None:
        if self.stability_criterion not in CRITERIA:
            raise SettingError(
                f"unknown stability criterion {self.stability_criterion!r}",
                subject="stability_criterion",
                hint=f"Choose one of {', '.join(CRITERIA)}",
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON that is the same for equal settings, however they were typed."""
        # validated first: 300 and 300.0 are one temperature and must have one digest
        adapter = _adapter()
        result = dict(adapter.dump_python(adapter.validate_python(asdict(self)), mode="json"))
        if result["few_cells"] is None:  # as before there were any: old digests stay
            del result["few_cells"]
        return result

    @property
    def digest(self) -> str:
        """SHA-256 of the settings."""
        return digest_of(self.as_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScreeningSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown, of a wrong type or out of range.
        """
        from pydantic import ValidationError

        try:
            settings = _adapter().validate_python(dict(values))
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
                for one in error.errors(include_url=False)
            )
            raise SettingError(f"settings cannot be read: {told}") from error
        except (TypeError, ValueError) as error:
            raise SettingError(f"settings cannot be read: {error}") from error
        _refuse_unknown(values, settings, "")
        return settings


@cache
def _adapter() -> TypeAdapter[ScreeningSettings]:
    from pydantic import TypeAdapter

    return TypeAdapter(ScreeningSettings)


def _refuse_unknown(values: Mapping[str, Any], settings: Any, where: str) -> None:
    """Compare the names given with the fields of the dataclass they were read into."""
    names = [entry.name for entry in fields(settings)]
    for name, value in values.items():
        if name not in names:
            raise SettingError(
                "unknown setting",
                subject=f"{where}{name}",
                hint=f"Choose among {', '.join(names)}",
            )
        inner = getattr(settings, name)
        if isinstance(value, Mapping) and hasattr(inner, "__dataclass_fields__"):
            _refuse_unknown(value, inner, f"{where}{name}.")
