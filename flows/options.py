"""From the options of the command line to settings of the science."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from screening.errors import SettingError
from screening.settings import ScreeningSettings
from screening.thermodynamics import LowModePolicy

__all__ = ["parse_temperatures", "screening_settings"]

MAX_TEMPERATURES = 10_000
PARTS = 3


def screening_settings(  # noqa: PLR0913 - one argument per option
    file: Path | None = None,
    *,
    relax: bool = True,
    adaptive: bool = False,
    min_length_angstrom: float | None = None,
    max_atoms: int | None = None,
    displacement_angstrom: float | None = None,
    temperatures_k: str | None = None,
    low_mode_policy: str | None = None,
    stability_criterion: str | None = None,
) -> ScreeningSettings:
    """Return the settings of a file, or the defaults, changed by single options.

    Raises
    ------
    SettingError
        If the file or an option cannot be used.
    """
    settings = ScreeningSettings() if file is None else _read(file)
    if not relax:
        settings = replace(settings, relaxation=None)
    phonons, curves = settings.phonons, settings.thermodynamics
    supercell = phonons.supercell
    if min_length_angstrom is not None:
        supercell = replace(supercell, min_length_angstrom=min_length_angstrom)
    if max_atoms is not None:
        least = min(supercell.min_atoms, max_atoms)
        supercell = replace(supercell, min_atoms=least, max_atoms=max_atoms)
    phonons = replace(phonons, supercell=supercell)
    if adaptive:
        phonons = replace(phonons, adaptive=True)
    if displacement_angstrom is not None:
        phonons = replace(phonons, displacement_angstrom=displacement_angstrom)
    if temperatures_k is not None:
        curves = replace(curves, temperatures_k=parse_temperatures(temperatures_k))
    if low_mode_policy is not None:
        curves = replace(curves, low_mode_policy=cast("LowModePolicy", low_mode_policy))
    if stability_criterion is not None:
        settings = replace(settings, stability_criterion=stability_criterion)
    return replace(settings, phonons=phonons, thermodynamics=curves)


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Read ``START:STOP:STEP`` in K, the stop included, or a list such as ``0,300,1000``.

    Raises
    ------
    SettingError
        If it is neither, or gives too many temperatures.

    Examples
    --------
    >>> parse_temperatures("0:300:100")
    (0.0, 100.0, 200.0, 300.0)
    >>> parse_temperatures("0,300,1000")
    (0.0, 300.0, 1000.0)
    """
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        start, stop, step = (float(part) for part in text.split(":"))
        count = (stop - start) / step
        if not 0 <= count <= MAX_TEMPERATURES:
            raise ValueError(text)  # noqa: TRY301 - one message for all that is wrong with it
        return tuple(float(start + step * i) for i in np.arange(int(count + 1e-9) + 1))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise SettingError(
            f"{text!r} is no temperature grid",
            subject="--temperatures",
            hint="Write 0:1500:10 or 0,300,1000",
        ) from None


def _read(file: Path) -> ScreeningSettings:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(
            f"cannot be read: {error}", subject=str(file), hint="Give a JSON file of settings"
        ) from error
    if not isinstance(values, dict):
        raise SettingError("is no JSON object", subject=str(file))
    return ScreeningSettings.from_dict(values)
