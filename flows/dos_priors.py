"""Densities of states by the potential that a network corrects: computed once, kept, and told.

Phonons by a potential cost more than the training that they are for. Each is kept as soon as it
is there, in a folder whose name follows from the weights of the potential, its settings and the
grid: a training that was stopped goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from screening.digest import digest_of, digest_of_bytes
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    OutOfDomainError,
    ScreeningError,
    SettingError,
)
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.network_dos.grid import FrequencyGrid
    from screening.network_dos.labels import DosLabel
    from screening.network_potential.checkpoint import Checkpoint, CheckpointFile
    from screening.predictors.dos_prior import PotentialPrior
    from screening.trained_model import TrainedModel

__all__ = ["TrainingPriors", "stored_prior", "training_priors"]

Progress = Callable[[str, int, int], None]

_DIGITS = 12
_ARRAY, _REASON, _STRUCTURE = "histogram", "refused", "structure"
_SPECIFICATION = "specification"


class TrainingPriors:
    """The potential of a training, and what it has said of each crystal so far.

    Parameters
    ----------
    prior
        The potential.
    specification
        How users name it.
    folder
        Where its densities of states are kept: a file for each crystal.

    Attributes
    ----------
    record
        What the model is to say of it.
    """

    def __init__(self, prior: PotentialPrior, specification: str, folder: Path) -> None:
        self._prior, self._folder = prior, folder
        self._files: list[CheckpointFile] = []
        self.record: Mapping[str, object] = {_SPECIFICATION: specification, **prior.record}

    def added_to(
        self, labels: Sequence[DosLabel], progress: Progress | None = None
    ) -> tuple[list[DosLabel], list[dict[str, str]]]:
        """Ask the potential for the density of states of every crystal that is not kept.

        Returns
        -------
        list, list
            Labels with it, and crystals that the potential refuses, with its reason.

        Raises
        ------
        ModelCorruptError
            If one that is kept is damaged.
        SettingError
            If one cannot be kept.
        """
        found: list[DosLabel] = []
        refused: list[dict[str, str]] = []
        for number, one in enumerate(labels, start=1):
            given = self._asked(one.structure, one.material_id)
            if isinstance(given, str):
                reason = f"{self._prior.model}: {given}"
                refused.append({"material_id": one.material_id, "reason": reason})
            else:
                found.append(replace(one, prior=given))
            if progress is not None:
                progress(f"phonons by {self._prior.model}", number, len(labels))
        return found, refused

    def forget(self) -> None:
        """Remove what was kept of the crystals that were asked for."""
        for one in self._files:
            one.path.unlink(missing_ok=True)
        with suppress(OSError):  # another training keeps some there, or nothing was kept
            self._folder.rmdir()

    def _asked(self, structure: Structure, subject: str) -> FloatArray | str:
        """Return modes in each bin, or the code of the reason that there are none."""
        from screening.network_potential.checkpoint import Checkpoint, CheckpointFile

        digest = _digest_of(structure)
        file = CheckpointFile(self._folder / f"{digest}.npz")
        self._files.append(file)
        kept = file.read()
        if kept is not None:
            return _told(kept, digest, file.path)
        header = {_STRUCTURE: digest}
        try:
            histogram = self._prior.histogram(structure, subject=subject)
        except OutOfDomainError as error:  # phonons were computed for it, and will be the same
            file.write(Checkpoint({**header, _REASON: error.code}, {}))
            return error.code
        except ScreeningError as error:
            return error.code
        file.write(Checkpoint(header, {_ARRAY: np.asarray(histogram)}))
        return histogram


def _digest_of(structure: Structure) -> str:
    """SHA-256 of a cell as it is written, the order of its atoms among it."""
    numbers = np.array([site.specie.Z for site in structure], dtype="<i8")
    places = [structure.lattice.matrix, structure.frac_coords]
    data = [np.ascontiguousarray(one, dtype="<f8").tobytes() for one in places]
    return digest_of_bytes(b"".join([numbers.tobytes(), *data]))


def _told(kept: Checkpoint, digest: str, path: Path) -> FloatArray | str:
    reason = kept.header.get(_REASON)
    known = _ARRAY in kept.arrays or isinstance(reason, str)
    if kept.header.get(_STRUCTURE) != digest or not known:
        raise ModelCorruptError(
            "is no density of states of this crystal",
            subject=str(path),
            hint="Remove the file to compute it again",
        )
    return str(reason) if reason else np.asarray(kept.arrays[_ARRAY], dtype=np.float64)


def training_priors(specification: str, grid: FrequencyGrid, folder: Path) -> TrainingPriors | None:
    """Return the potential that a training corrects; None where it names none.

    Parameters
    ----------
    specification
        As `screening.calculators.load_calculator` reads it; empty for none.
    grid
        The bins.
    folder
        Below it densities of states are kept.

    Raises
    ------
    ModelRefusedError
        If loading it would run code: models name it, and files of models run none.
    ScreeningError
        If it cannot be loaded.
    """
    from screening.calculators import load_calculator
    from screening.predictors.dos_prior import PotentialPrior

    if not specification:
        return None
    _check_plain(specification)
    prior = PotentialPrior(load_calculator(specification), grid)
    key = digest_of({"prior": prior.record, "grid": grid.as_dict()})[:_DIGITS]
    return TrainingPriors(prior, specification, folder / f"priors-{key}")


def _check_plain(specification: str) -> None:
    """Refuse what runs code: a model file names its potential, and whoever opens it did not."""
    from screening.calculators.specification import runs_no_code

    if not runs_no_code(specification):
        raise ModelRefusedError(
            "a density-of-states model may only correct a potential that runs no code when loaded",
            subject=specification,
            hint="Use phonoscreen, chgnet or mace:FILE.psm",
        )


def stored_prior(trained: TrainedModel) -> PotentialPrior | None:
    """Load the potential that a model corrects, as it was trained; None where it corrects none.

    Raises
    ------
    ModelRefusedError
        If loading the potential would run code, it has other weights now, or the model does not
        say how its phonons were computed.
    ModelCorruptError
        If the model does not say in readable form which potential, or what settings it has.
    ScreeningError
        If the potential cannot be loaded.
    """
    from screening.calculators import load_calculator
    from screening.predictors.dos_prior import prior_of

    specification = _stored_specification(trained)
    if specification is None:
        return None
    _check_plain(specification)
    grid = _stored_grid(trained)  # before a potential is loaded, which takes seconds
    return prior_of(trained, load_calculator(specification), grid)


def _stored_specification(trained: TrainedModel) -> str | None:
    """Return how a model names the potential that it corrects; None where it corrects none."""
    from screening.predictors.dos_prior import PRIOR

    if not isinstance(trained.state, Mapping):
        raise _corrupt(trained, f"its state is no object: {trained.state!r:.40}")
    named = trained.state.get(PRIOR)
    if named is None:
        return None
    found = named.get(_SPECIFICATION) if isinstance(named, Mapping) else None
    if not isinstance(found, str) or not found:
        raise _corrupt(trained, f"it does not name the potential that it corrects: {named!r:.40}")
    return found


def _stored_grid(trained: TrainedModel) -> FrequencyGrid:
    """Return the bins of a model."""
    from screening.network_dos.settings import DosNetworkSettings

    if "settings" not in trained.state:
        raise _corrupt(trained, "its settings are missing")
    try:
        return DosNetworkSettings.from_dict(trained.state["settings"]).grid
    except SettingError as error:
        raise _corrupt(
            trained, f"its settings cannot be read: {error.subject}: {error.message}"
        ) from error


def _corrupt(trained: TrainedModel, message: str) -> ModelCorruptError:
    from screening.network_dos.settings import ANEW

    return ModelCorruptError(message, subject=trained.name, hint=ANEW)
