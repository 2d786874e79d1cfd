"""The potential that is installed with the project."""

from __future__ import annotations

from screening.calculators.checks import CheckedCalculator
from screening.calculators.trained_mace import load_trained_potential
from screening.shipped_models import INSTALLED, read_shipped, shipped_name

__all__ = ["load_shipped", "shipped_potential"]


def shipped_potential(spec: str) -> str | None:
    """Return the name of the installed potential that a specification means, None for others.

    Parameters
    ----------
    spec
        ``phonoscreen``, or ``mace:`` and the name of one that is installed.

    Examples
    --------
    >>> shipped_potential("phonoscreen"), shipped_potential("mace:medium")
    ('phonoscreen-small', None)
    """
    family, _, name = spec.partition(":")
    if spec == INSTALLED or (family == "mace" and name):
        return shipped_name("mace", name or spec)
    return None


def load_shipped(name: str) -> CheckedCalculator:
    """Load a potential that is installed with the project.

    Raises
    ------
    ModelRefusedError, ModelUnavailableError, ModelCorruptError
        As `screening.shipped_models.read_shipped` says, or if the package mace-torch is missing.
    """
    return load_trained_potential(read_shipped("mace", name))
