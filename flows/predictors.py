"""From a calculator's name and plain settings to a predictor, loaded once per process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from flows.trained import is_trained, load_trained, trained_file
from screening.errors import SettingError
from screening.predictors.interface import Predictor

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator
    from screening.settings import ScreeningSettings

__all__ = ["ForcePredictor", "cached_predictor"]


@runtime_checkable
class ForcePredictor(Predictor, Protocol):
    """A predictor that asks a force calculator, and could ask another one."""

    @property
    def calculator(self) -> ForceCalculator:
        """The calculator that it asks for energies and forces."""
        ...

    def with_calculator(self, calculator: ForceCalculator) -> Self:
        """Return the same predictor around another calculator, settings and all."""
        ...


def cached_predictor(calculator: str, settings: Mapping[str, Any]) -> Predictor:
    """Return the predictor of phonons; loading weights costs seconds, so only once.

    Parameters
    ----------
    calculator
        A specification as :func:`screening.calculators.load_calculator` reads it, or a trained
        model as :func:`flows.trained.load_trained` does.
    settings
        :meth:`screening.settings.ScreeningSettings.as_dict`. With ``few_cells`` the predictor
        learns force constants from displaced cells; otherwise it displaces atom after atom.

    Raises
    ------
    ModelError, SettingError
        As those say.
    """
    return _predictor(calculator, json.dumps(settings, sort_keys=True), _stamp(calculator))


def _stamp(calculator: str) -> tuple[int, int]:
    """Time and size of a trained model's file, which may be written again under its name."""
    file = trained_file(calculator)
    try:
        status = file.stat() if file else None
    except OSError:  # which is said where it is read
        status = None
    return (status.st_mtime_ns, status.st_size) if status else (0, 0)


@lru_cache(maxsize=4)
def _predictor(calculator: str, settings_json: str, stamp: tuple[int, int]) -> Predictor:
    del stamp  # only tells files of one name apart
    from screening.calculators import load_calculator
    from screening.predictors.first_principles import FirstPrinciplesPhonons
    from screening.predictors.potential_phonons import PotentialPhonons
    from screening.settings import ScreeningSettings

    settings = ScreeningSettings.from_dict(json.loads(settings_json))
    if is_trained(calculator):
        return _trained(calculator, settings)
    loaded = load_calculator(calculator)
    if settings.few_cells is not None:
        from screening.predictors.gaussian_process import GaussianProcessPhonons

        named = settings.few_cells.prior
        return GaussianProcessPhonons(loaded, settings, load_calculator(named) if named else None)
    kind = FirstPrinciplesPhonons if loaded.is_first_principles else PotentialPhonons
    return kind(loaded, settings)


def _trained(specification: str, settings: ScreeningSettings) -> Predictor:
    """Load a trained model, which computes no forces."""
    if settings.few_cells is not None:
        raise SettingError(
            "a trained model computes no forces to learn from",
            subject=specification,
            hint="Name a calculator behind few-cells:",
        )
    return load_trained(specification, settings)
