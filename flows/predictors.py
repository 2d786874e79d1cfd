"""From a calculator's name and plain settings to a predictor, loaded once per process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from screening.predictors.interface import Predictor

__all__ = ["cached_predictor"]


def cached_predictor(calculator: str, settings: Mapping[str, Any]) -> Predictor:
    """Return the predictor of phonons; loading weights costs seconds, so only once.

    Parameters
    ----------
    calculator
        A specification as :func:`screening.calculators.load_calculator` reads it.
    settings
        :meth:`screening.predictors.ScreeningSettings.as_dict`.

    Raises
    ------
    ModelError, SettingError
        As those two say.
    """
    return _predictor(calculator, json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=4)
def _predictor(calculator: str, settings_json: str) -> Predictor:
    from screening.calculators import load_calculator
    from screening.predictors.first_principles import FirstPrinciplesPhonons
    from screening.predictors.potential_phonons import PotentialPhonons
    from screening.settings import ScreeningSettings

    settings = ScreeningSettings.from_dict(json.loads(settings_json))
    loaded = load_calculator(calculator)
    kind = FirstPrinciplesPhonons if loaded.is_first_principles else PotentialPhonons
    return kind(loaded, settings)
