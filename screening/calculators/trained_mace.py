"""Potentials trained here: networks rebuilt from plain numbers, with their frequency scale."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from screening.calculators.checks import CheckedCalculator
from screening.calculators.interface import DEFAULT_DISPLACEMENT_ANGSTROM
from screening.errors import ModelCorruptError
from screening.model_files import read_model
from screening.trained_model import TrainedModel, model_name

__all__ = ["FLOAT32_DISPLACEMENT_ANGSTROM", "load_trained_file", "load_trained_potential"]

FLOAT32_DISPLACEMENT_ANGSTROM = 0.03
"""Finite displacement for networks in float32, whose forces are good to about 1e-6 eV/Å."""


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
    ModelCorruptError
        If it is of another method, or its state or arrays do not fit.
    ModelUnavailableError
        If the package mace-torch is missing.
    """
    from screening.calculators.mace_network import NetworkEngine, Precision
    from screening.network_potential.network import network_of
    from screening.network_potential.softening import frequency_scale_of

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
        name=model_name(model.method, model.name),
        digest=model.digest,
        elements=frozenset(model.elements),
        displacement_angstrom=(
            FLOAT32_DISPLACEMENT_ANGSTROM if is_rough else DEFAULT_DISPLACEMENT_ANGSTROM
        ),
        notes=() if scale is None else (scale.note,),
    )
