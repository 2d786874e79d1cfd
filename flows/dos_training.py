"""Training of density-of-states networks: what they learn from, and where their progress is kept.

A label depends on the grid of the settings, so what is read of a crystal is kept until these are
known: the frequencies on a mesh, or a density of states that somebody hands out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flows.dos_priors import stored_prior, training_priors
from screening.digest import digest_of
from screening.errors import ScreeningError, SettingError, TrainingSetError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.harmonic import Harmonic, MeshFrequencies
    from screening.network_dos.grid import FrequencyGrid
    from screening.network_dos.labels import DosLabel
    from screening.network_dos.settings import DosNetworkSettings
    from screening.predictors.alignn_dos import DensityOfStatesNetwork
    from screening.settings import ScreeningSettings
    from screening.trained_model import TrainedModel
    from stores.importers.jarvis_densities import GivenDensity
    from stores.training import TrainingPhonons

__all__ = [
    "DOS_OPTIONS",
    "JARVIS",
    "DosLesson",
    "density_predictor",
    "density_settings",
    "jarvis_lessons",
    "lesson_of",
    "train_densities",
    "with_training",
]

Progress = Callable[[str, int, int], None]

JARVIS = "JARVIS-DFT (OptB88vdW)"
"""What computed the labels of JARVIS."""

DOS_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "preset": "preset",
        "epochs": "epochs",
        "committee": "n_members",
        "device": "device",
        "held-out": "calibration_fraction",
        "checkpoint-dir": "checkpoints",
        "prior": "prior",
        "jarvis": "file",
    }
)
"""Options of the command line that networks of densities of states have, and what they set."""

_PRESET, _CHECKPOINTS, _PRIOR = "preset", "checkpoints", "prior"
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        _CHECKPOINTS: "Give the path of a folder, as text",
        _PRIOR: "Give the name of a potential, as text, such as 'chgnet'",
    }
)
_DEFAULT_PRESET = "small"
_MOST_AT_ZERO = 0.2  # of the modes, in the bin around zero
_OUTSIDE = "modes outside the grid of the model"
_NOT_REPEATED = "the cell is small and was not repeated: modes beside the zone centre are not known"
_DIGITS = 12


@dataclass(frozen=True, eq=False)
class DosLesson:
    """What is known of the modes of one crystal.

    Attributes
    ----------
    material_id, source
        Key of the material, and what computed its phonons.
    structure
        The primitive cell.
    modes
        Frequencies on a mesh, or a given density of states.
    """

    material_id: str
    source: str
    structure: Structure
    modes: MeshFrequencies | GivenDensity

    def label_for(self, settings: DosNetworkSettings) -> DosLabel:
        """Return the label that networks of some settings can learn.

        Raises
        ------
        TrainingSetError
            If modes lie outside the grid, or many have no frequency: the crystal falls apart.
        OutOfDomainError
            If an atom has no neighbour within reach of the networks.
        """
        from screening.network_dos.graphs import check_bonds

        check_bonds(self.structure, settings.architecture.bond_cutoff_angstrom)
        found = self.label(settings.grid)
        share = float(found.histogram[settings.grid.zero]) / found.histogram.sum()
        if share > _MOST_AT_ZERO:
            raise TrainingSetError(
                f"{100 * share:.0f} % of the modes have no frequency: it falls apart",
                subject=self.material_id,
                hint="Leave it out of the training set",
            )
        return found

    def label(self, grid: FrequencyGrid) -> DosLabel:
        """Return the label on a grid.

        Raises
        ------
        TrainingSetError
            If modes lie outside the grid.
        """
        from screening.network_dos.labels import MOST_OUTSIDE, label_of_density, label_of_mesh
        from stores.importers.jarvis_densities import GivenDensity

        if isinstance(self.modes, GivenDensity):
            points, density = self.modes.frequencies_thz, self.modes.density_per_thz
            found = label_of_density(
                self.structure, points, density, self.material_id, grid, self.source
            )
        else:
            found = label_of_mesh(self.structure, self.modes, self.material_id, grid, self.source)
        if found.weight_outside > MOST_OUTSIDE:
            raise TrainingSetError(_OUTSIDE, subject=self.material_id, hint="Take a wider grid")
        return found


def lesson_of(phonons: TrainingPhonons, harmonic: Harmonic) -> DosLesson:
    """Take the modes of stored phonons on a mesh; imaginary ones are part of what is learned.

    Raises
    ------
    TrainingSetError
        If the cell was not repeated and is not as large as supercells are, so that a mesh would
        be interpolated from its zone centre; if the atoms are not at rest.
    """
    from screening.harmonic import mesh_frequencies
    from screening.hessians import TrainingTolerances
    from screening.predictors.assembly import knows_zone_centre_alone

    if knows_zone_centre_alone(harmonic):
        raise TrainingSetError(
            _NOT_REPEATED,
            subject=phonons.material_id,
            hint="Compute its phonons with a supercell",
        )
    largest = phonons.residual_force_ev_per_angstrom
    if largest is not None and largest > TrainingTolerances().residual_force_ev_per_angstrom:
        raise TrainingSetError(
            f"forces up to {largest:.3g} eV/Å: the atoms are not at rest",
            subject=phonons.material_id,
            hint="Relax the crystal with what computes its phonons",
        )
    return DosLesson(
        phonons.material_id, phonons.source, harmonic.primitive, mesh_frequencies(harmonic)
    )


def jarvis_lessons(file: Path) -> tuple[list[DosLesson], Mapping[str, int]]:
    """Read the densities of states of a file of JARVIS, and how many were left out, by reason.

    Raises
    ------
    ParseError, TooLargeError
        If the file cannot be read.
    """
    from stores.importers.jarvis_densities import read_jarvis_densities

    found = read_jarvis_densities(file)
    lessons = {
        one.material_id: DosLesson(one.material_id, _jarvis_source(one), one.structure, one)
        for one in found.records
    }
    return list(lessons.values()), found.left_out


def _jarvis_source(given: GivenDensity) -> str:
    """Name the source, and where its points begin at zero that it shows no instability."""
    knows_imaginary = float(given.frequencies_thz[0]) < 0.0
    return JARVIS if knows_imaginary else f"{JARVIS}, without imaginary modes"


def density_settings(given: Mapping[str, Any]) -> DosNetworkSettings:
    """Return the settings of a training: those of a preset, with what differs from it.

    Raises
    ------
    SettingError
        If there is no such preset, or a setting is unknown, of the wrong type or out of range.
    """
    from screening.network_dos.settings import DOS_PRESETS, DosNetworkSettings

    plain = dict(given)
    preset = plain.pop(_PRESET, _DEFAULT_PRESET)
    if not isinstance(preset, str) or preset not in DOS_PRESETS:
        raise SettingError(
            f"{preset!r} is no preset",
            subject="--preset",
            hint=f"Choose one of {', '.join(DOS_PRESETS)}",
        )
    for name, advice in _TEXTS.items():
        _check_text(name, plain.pop(name, None), advice)
    base = DOS_PRESETS[preset].as_dict()
    shape = plain.pop("architecture", {})
    if isinstance(shape, Mapping):  # what is none is refused with the other settings
        corrected = {"with_prior": True} if given.get(_PRIOR) else {}
        shape = {**base["architecture"], **shape, **corrected}
    return DosNetworkSettings.from_dict({**base, **plain, "architecture": shape})


def _check_text(name: str, value: object, advice: str) -> None:
    """Refuse what is neither a text nor nothing at all."""
    if value is not None and not isinstance(value, str | Path):
        raise SettingError(f"{value!r}", subject=name, hint=advice)


def train_densities(
    lessons: Sequence[DosLesson],
    given: Mapping[str, Any],
    name: str,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train an ensemble; what training has reached is kept, and the same call goes on from it.

    Densities of states by a potential are kept too, as they are computed, until all is done.

    Parameters
    ----------
    lessons
        What to learn from.
    given
        Settings as `density_settings` takes them; ``prior`` names a potential to correct, and
        ``checkpoints`` the folder for what training has reached.
    name
        Name of the model.
    progress
        Told of every stage.

    Raises
    ------
    SettingError
        If a setting cannot be used.
    ScreeningError
        As the potential and `screening.network_dos.training.train_density_of_states` say.
    """
    from flows.potential_training import default_checkpoints
    from screening.network_dos.labels import labels_digest
    from screening.network_dos.training import train_density_of_states
    from screening.network_potential.checkpoint import CheckpointFile
    from screening.predictors.dos_prior import PRIOR

    settings, rejected = density_settings(given), list[dict[str, str]]()
    labels = _labels(lessons, settings, rejected)
    folder = Path(given.get(_CHECKPOINTS) or default_checkpoints())
    priors = training_priors(str(given.get(_PRIOR) or ""), settings.grid, folder)
    if priors is not None:
        labels, refused = priors.added_to(labels, progress)
        rejected += refused
    key = digest_of([labels_digest(labels), settings.as_dict()])[:_DIGITS]
    kept = folder / f"alignn-{name}-{key}.npz"
    model = train_density_of_states(labels, settings, name, progress, CheckpointFile(kept))
    kept.unlink(missing_ok=True)
    if priors is not None:
        priors.forget()
    told = with_training(model, labels, settings)
    card, state = {**told.card, "rejected": rejected}, dict(model.state)
    if priors is not None:
        state[PRIOR] = card[PRIOR] = priors.record
    return replace(model, card=card, state=state)


def with_training(
    model: TrainedModel, labels: Sequence[DosLabel], settings: DosNetworkSettings
) -> TrainedModel:
    """Return an ensemble whose card says what it was trained on, and with what settings."""
    told = dict(model.card)
    told["member_histories"] = told.pop("history", [])  # that of a potential is of epochs
    told["training_ids"] = [one.material_id for one in labels]
    told["settings"] = settings.as_dict()
    return replace(model, card=told)


def _labels(
    lessons: Sequence[DosLesson], settings: DosNetworkSettings, rejected: list[dict[str, str]]
) -> list[DosLabel]:
    found = []
    for one in lessons:
        try:
            found.append(one.label_for(settings))
        except ScreeningError as error:
            rejected.append({"material_id": one.material_id, "reason": error.message})
    return found


def density_predictor(
    trained: TrainedModel, settings: ScreeningSettings | None
) -> DensityOfStatesNetwork:
    """Return what predicts with a model, with the potential that it corrects, where it does.

    Raises
    ------
    ModelRefusedError
        If the potential of that name has other weights now, or the model does not say how its
        phonons were computed.
    ModelError
        If model or potential cannot be loaded.
    """
    from screening.predictors.alignn_dos import DensityOfStatesNetwork

    return DensityOfStatesNetwork(trained, settings, stored_prior(trained))
