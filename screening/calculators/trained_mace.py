"""Potentials trained here: networks rebuilt from plain numbers, with their frequency scale."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

from screening.calculators.checks import CheckedCalculator
from screening.calculators.committee import Committee
from screening.calculators.interface import DEFAULT_DISPLACEMENT_ANGSTROM
from screening.digest import digest_of
from screening.errors import ModelCorruptError, ModelRefusedError, SettingError
from screening.model_files import read_model
from screening.shipped_models import is_reserved, shipped_with_digest
from screening.trained_model import METHOD_PREFIXES, TrainedModel, model_name

__all__ = [
    "FLOAT32_DISPLACEMENT_ANGSTROM",
    "load_sampled_potentials",
    "load_trained_file",
    "load_trained_potential",
    "number_of_samples",
]

FLOAT32_DISPLACEMENT_ANGSTROM = 0.03
"""Finite displacement for networks in float32, whose forces are good to about 1e-6 eV/Å."""

_FEWEST_SAMPLES = 2
_DIGITS = 12
_MOST_SAMPLES = 64  # their standard deviation is then good to 9 %
_COUNT = re.compile(r"[0-9]{1,9}")


def load_trained_file(path: Path, sha256: str = "") -> CheckedCalculator:
    """Load a potential from a file of a trained model.

    Parameters
    ----------
    path
        The file.
    sha256
        Where given, the SHA-256 that the file or the model must have, or the start of it.

    Raises
    ------
    ModelUnavailableError, ModelCorruptError, ModelRefusedError
        If the file cannot be read, holds no potential, or is another one than asked for.
    """
    return load_trained_potential(read_model(path, sha256))


def load_trained_potential(model: TrainedModel) -> CheckedCalculator:
    """Make a calculator of a trained potential.

    Energies, forces and stresses are multiplied by the square of the model's frequency scale.

    Parameters
    ----------
    model
        A model of the method ``mace-potential``.

    Raises
    ------
    ModelRefusedError
        If it is of another method.
    ModelCorruptError
        If its state or arrays do not fit.
    ModelUnavailableError
        If the package mace-torch is missing.
    """
    from screening.calculators.mace_network import NetworkEngine, Precision
    from screening.network_potential.network import network_of
    from screening.network_potential.softening import frequency_scale_of

    _check_method(model)
    scale = frequency_scale_of(model)
    precision = str(model.state.get("precision"))
    network = network_of(model)
    if precision not in get_args(Precision):
        raise ModelCorruptError(
            f"the precision of the model is {precision!r}",
            subject=model.name,
            hint="Get the model again",
        )
    engine = NetworkEngine(
        network,
        precision=precision,  # type: ignore[arg-type] # checked above
        energy_factor=1.0 if scale is None else scale.energy_factor,
    )
    is_rough = precision == "float32"
    return CheckedCalculator(
        engine=engine,
        name=_called(model),
        digest=model.digest,
        elements=frozenset(model.elements),
        displacement_angstrom=(
            FLOAT32_DISPLACEMENT_ANGSTROM if is_rough else DEFAULT_DISPLACEMENT_ANGSTROM
        ),
        notes=() if scale is None else (scale.note,),
    )


def _called(model: TrainedModel) -> str:
    """Name a potential; one that has the name of an installed one and is another, by its digest."""
    name = model_name(model.method, model.name)
    is_another = is_reserved(model.name) and shipped_with_digest(model.digest) is None
    return f"{name}@{model.digest[:_DIGITS]}" if is_another else name


def _check_method(model: TrainedModel) -> None:
    """Refuse a model that is sound and no potential."""
    if model.method == METHOD_PREFIXES["mace"]:
        return
    prefixes = {long: short for short, long in METHOD_PREFIXES.items()}
    raise ModelRefusedError(
        f"is no potential: it was trained by the method {model.method}",
        subject=model.name,
        hint="Use a model of 'phonoscreen train mace', or predict with this one: phonoscreen "
        f"predict --method {prefixes.get(model.method, 'METHOD')} --model FILE",
    )


def number_of_samples(text: str) -> int:
    """Read how many potentials to draw, which is written behind ``#``.

    Raises
    ------
    SettingError
        If it is no number from 2 to 64.

    Examples
    --------
    >>> number_of_samples("4")
    4
    """
    count = int(text) if _COUNT.fullmatch(text) else 0
    if not _FEWEST_SAMPLES <= count <= _MOST_SAMPLES:
        raise SettingError(
            f"#{text} draws no committee: a number from {_FEWEST_SAMPLES} to {_MOST_SAMPLES} is "
            "needed",
            subject="calculator",
            hint="Write mace:FILE.psm#4 for four potentials, or mace:FILE.psm for the potential "
            "alone; a digest stands before the #",
        )
    return count


def load_sampled_potentials(model: TrainedModel, count: int, seed: int = 0) -> Committee:
    """Draw a committee from the posterior of the last layer of a trained potential.

    Its mean is the potential itself, to the rounding of its weights.

    Parameters
    ----------
    model
        A model of the method ``mace-potential`` that carries a last layer.
    count
        Number of potentials, two or more; each costs what the potential does.
    seed
        Of the draw.

    Raises
    ------
    ModelRefusedError
        If the model carries no last layer, or is no potential.
    ModelCorruptError, ModelUnavailableError
        As `load_trained_potential` says.
    SettingError
        If fewer than two are asked for.
    """
    from screening.network_potential.last_layer import required_last_layer, sampled_potentials

    alone = load_trained_potential(model)
    layer = required_last_layer(model)
    notes = (*alone.notes, layer.note)
    members = [
        replace(load_trained_potential(one), digest=_digest(model, count, seed, index), notes=notes)
        for index, one in enumerate(sampled_potentials(model, count, seed))
    ]
    return Committee(tuple(members), called=f"{alone.name}#{count}")


def _digest(model: TrainedModel, count: int, seed: int, index: int) -> str:
    """Tell one of the samples by what it is drawn from.

    The last bits of its weights depend on the machine, and with them its own digest.
    """
    return digest_of({"model": model.digest, "samples": count, "seed": seed, "index": index})
