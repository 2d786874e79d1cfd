"""What the training of the method can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from screening.errors import SettingError

__all__ = ["EntropyTarget", "LinearEntropySettings"]

EntropyTarget = Literal["entropy", "formation"]
"""Entropy of the system itself, or of its defects against the perfect crystal."""

_FEWEST_FOLDS = 2
_TYPES: tuple[tuple[str, Any, str], ...] = (
    ("descriptor", str, "the name of a descriptor"),
    ("descriptor_settings", Mapping, "settings by name"),
    ("target", str, "the name of a target"),
    ("site_resolved", bool, "true or false"),
    ("n_folds", int, "a whole number"),
    ("alpha", float, "a number such as 0.1"),
    ("seed", int, "a whole number"),
)


@dataclass(frozen=True)
class LinearEntropySettings:
    """Descriptor, target and validation of a linear model of the entropy.

    Attributes
    ----------
    descriptor, descriptor_settings
        As `screening.descriptors.interface.descriptor_from` takes them. Of several elements
        ``afs`` has 10 x 7 functions for each pair of them where no number is given, or the
        features, whose number grows with the square of the elements, would be too many. The
        model's state says what was used.
    target
        ``entropy`` learns the mean per atom of whole systems, of any size; ``formation`` learns
        what defects add to the perfect crystal.
    site_resolved
        Learn from the share of each atom as well, where all labels have it and the descriptor
        describes single atoms.
    n_folds
        Number of parts that the groups are shared out to for cross-validation.
    alpha
        Risk of the intervals that are calibrated; 0.1 for 90 %.
    seed
        Of the sharing out.

    Raises
    ------
    SettingError
        If one is of the wrong type or out of range.

    Examples
    --------
    >>> settings = LinearEntropySettings(n_folds=5)
    >>> LinearEntropySettings.from_dict(settings.as_dict()) == settings
    True
    """

    descriptor: str = "afs"
    descriptor_settings: Mapping[str, Any] = field(default_factory=dict)
    target: EntropyTarget = "entropy"
    site_resolved: bool = True
    n_folds: int = 10
    alpha: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_types(self)
        if self.target not in get_args(EntropyTarget):
            raise SettingError(
                f"{self.target!r} is no target",
                subject="target",
                hint=f"Choose one of {', '.join(get_args(EntropyTarget))}",
            )
        if self.n_folds < _FEWEST_FOLDS:
            raise SettingError(
                f"{self.n_folds} parts leave nothing to test on",
                subject="n_folds",
                hint="Give at least 2, usually 10",
            )
        if self.seed < 0:
            raise SettingError(f"{self.seed}", subject="seed", hint="Give zero or more")
        if not 0.0 < self.alpha < 0.5:  # noqa: PLR2004 - a coin toss
            raise SettingError(
                f"{self.alpha} is no risk", subject="alpha", hint="Give 0.1 for 90 % coverage"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "descriptor_settings": dict(self.descriptor_settings)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LinearEntropySettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown or out of range.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise SettingError(
                "unknown setting",
                subject=unknown[0],
                hint=f"Choose among {', '.join(sorted(known))}",
            )
        return cls(**values)


def _check_types(settings: LinearEntropySettings) -> None:
    """Refuse what JSON can hold in place of a setting; true and false are no numbers."""
    for name, kind, wanted in _TYPES:
        value = getattr(settings, name)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise SettingError(f"{value!r} is not {wanted}", subject=name, hint=f"Give {wanted}")
