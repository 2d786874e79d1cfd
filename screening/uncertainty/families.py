"""Names of methods whose errors are alike, so that one calibration holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from screening.predictors.interface import GIVEN_CELLS, GIVEN_FORCES

__all__ = ["closeness", "method_family"]

_DIGITS = 12
_FUNCTIONALS = {"LDA", "PBE", "PBESOL", "RPBE", "REVPBE", "SCAN", "R2SCAN", "PBE0", "HSE06"}


def method_family(
    *,
    method: str,
    method_version: int,
    model: str,
    model_digest: str,
    settings: Mapping[str, object],
) -> str:
    """Name the family of a prediction's method.

    A family is the model with its digest (weights; cutoffs, k points and datasets of a code
    from first principles), and whether the crystal is relaxed with it; other settings move
    results by far less than a cheap method's own error. Given forces are named by where they
    come from.

    Parameters
    ----------
    method, method_version, model, model_digest, settings
        As a predictor or the provenance of a prediction has them.

    Examples
    --------
    >>> method_family(
    ...     method="potential-phonons",
    ...     method_version=1,
    ...     model="chgnet:0.3.0",
    ...     model_digest="0123456789abcdef",
    ...     settings={"relaxation": None},
    ... )
    'potential-phonons/1/chgnet:0.3.0@0123456789ab/as-given'
    """
    if method in {GIVEN_CELLS, GIVEN_FORCES}:
        return f"{method}/{model}"
    geometry = "as-given" if settings.get("relaxation") is None else "relaxed"
    return f"{method}/{method_version}/{model}@{model_digest[:_DIGITS]}/{geometry}"


def closeness(family: str, wanted: str) -> int:
    """Say how near one family from first principles is to another.

    Returns
    -------
    int
        3 for the same, 2 for the same code and functional with other settings, 1 for the same
        functional, 0 for what must not stand for one another.

    Examples
    --------
    >>> closeness("dft-phonons/1/gpaw:PBE@01/relaxed", "dft-phonons/1/gpaw:PBE@02/as-given")
    2
    >>> closeness("given-forces/PhononDB-PBE", "dft-phonons/1/vasp:PBE@02/relaxed")
    1
    >>> closeness("dft-phonons/1/gpaw:LDA@01/relaxed", "dft-phonons/1/gpaw:PBE@02/relaxed")
    0
    """
    if family == wanted:
        return 3
    if family.partition("@")[0] == wanted.partition("@")[0]:
        return 2
    return 1 if _functionals(family) & _functionals(wanted) else 0


def _functionals(family: str) -> set[str]:
    """Names of functionals in the name of a model."""
    model = family.partition("@")[0].rpartition("/")[2]
    return {word for word in re.split(r"[^A-Za-z0-9]+", model.upper()) if word in _FUNCTIONALS}
