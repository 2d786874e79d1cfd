"""Potentials that are installed with the project, each with the SHA-256 of its file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from screening.calculators.checks import CheckedCalculator
from screening.calculators.trained_mace import load_trained_potential
from screening.errors import ModelCorruptError, ModelRefusedError, ModelUnavailableError
from screening.model_files import model_from_bytes
from screening.trained_model import TrainedModel

__all__ = [
    "DEFAULT_POTENTIAL",
    "SHIPPED_POTENTIALS",
    "WEIGHTS_FOLDER",
    "load_shipped",
    "read_shipped",
    "shipped_name",
]

WEIGHTS_FOLDER = Path(__file__).parent / "weights"

SHIPPED_POTENTIALS: Mapping[str, str] = MappingProxyType(
    {"phonoscreen-small": "942420b4aa8dfb238818d0296508397c73a230aefe447c77f667264c3ffedfda"}
)
"""SHA-256 of the file ``weights/NAME.psm``, by the name of the potential."""

DEFAULT_POTENTIAL = "phonoscreen-small"
"""The one that ``phonoscreen`` means."""


def shipped_name(spec: str) -> str | None:
    """Return the name of the installed potential that a specification means, None for others.

    Parameters
    ----------
    spec
        ``phonoscreen``, or ``mace:`` and one of `SHIPPED_POTENTIALS`.

    Examples
    --------
    >>> shipped_name("phonoscreen"), shipped_name("mace:medium")
    ('phonoscreen-small', None)
    """
    if spec == "phonoscreen":
        return DEFAULT_POTENTIAL
    family, _, name = spec.partition(":")
    return name if family == "mace" and name in SHIPPED_POTENTIALS else None


def load_shipped(name: str) -> CheckedCalculator:
    """Load a potential that is installed with the project.

    Parameters
    ----------
    name
        One of `SHIPPED_POTENTIALS`.

    Raises
    ------
    ModelRefusedError, ModelUnavailableError, ModelCorruptError
        As `read_shipped` says, or if the package mace-torch is missing.
    """
    return load_trained_potential(read_shipped(name))


def read_shipped(name: str) -> TrainedModel:
    """Read the weights and the card of a potential that is installed with the project.

    Parameters
    ----------
    name
        One of `SHIPPED_POTENTIALS`.

    Raises
    ------
    ModelRefusedError
        If there is no such potential.
    ModelUnavailableError
        If its file is not installed.
    ModelCorruptError
        If the file is another one.
    """
    if name not in SHIPPED_POTENTIALS:
        raise ModelRefusedError(
            f"no potential {name!r} is installed with the project",
            subject="calculator",
            hint=f"Installed are {', '.join(SHIPPED_POTENTIALS)}",
        )
    path = WEIGHTS_FOLDER / f"{name}.psm"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelUnavailableError(
            f"its weights cannot be read: {error.strerror or error}",
            subject=f"mace:{name}",
            hint="Install phonoscreen again, or use chgnet",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHIPPED_POTENTIALS[name]:
        raise ModelCorruptError(
            f"SHA-256 is {found}, expected {SHIPPED_POTENTIALS[name]}",
            subject=path.name,
            hint="The file is damaged or was replaced: install phonoscreen again",
        )
    return model_from_bytes(data, path.name)
