"""Names of methods whose errors are alike, so that one calibration holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from screening.predictors.interface import Tier

__all__ = ["method_family"]

_DIGITS = 12
_GIVEN_FORCES = "given-forces"


def method_family(
    *,
    method: str,
    method_version: int,
    tier: int,
    model: str,
    model_digest: str,
    settings: Mapping[str, object],
) -> str:
    """Name the family of a prediction's method.

    A fast model or potential is its weights, and whether the crystal is relaxed with it; other
    settings move its results by far less than its own error. Methods from first principles are
    named by code and functional, given forces are one family whatever they were computed with.

    Parameters
    ----------
    method, method_version, tier, model, model_digest, settings
        As a predictor or the provenance of a prediction has them.

    Examples
    --------
    >>> method_family(
    ...     method="potential-phonons",
    ...     method_version=1,
    ...     tier=1,
    ...     model="chgnet:0.3.0",
    ...     model_digest="0123456789abcdef",
    ...     settings={"relaxation": None},
    ... )
    'potential-phonons/1/chgnet:0.3.0@0123456789ab/as-given'
    """
    if method == _GIVEN_FORCES:
        return _GIVEN_FORCES
    if tier >= Tier.FEW_DFT_CELLS:
        return f"{method}/{method_version}/{model}"
    geometry = "as-given" if settings.get("relaxation") is None else "relaxed"
    return f"{method}/{method_version}/{model}@{model_digest[:_DIGITS]}/{geometry}"
