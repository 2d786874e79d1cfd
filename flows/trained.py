"""The trained methods: what each one learns from, what trains it, and what predicts with it.

The one place that knows them by name. A trained model stands where a calculator stands, as
``rf-ifc:FILE`` or ``ldml:FILE@SHA256``, so that a ladder can start with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from flows.dos_training import (
    DOS_OPTIONS,
    density_predictor,
    density_settings,
    jarvis_lessons,
    lesson_of,
    train_densities,
)
from flows.entropy_training import check_entropy_settings, train_entropies
from screening.errors import ModelRefusedError, SettingError
from screening.predictors.interface import Predictor
from screening.shipped_models import read_shipped, shipped_name
from screening.trained_model import METHOD_PREFIXES

if TYPE_CHECKING:
    from screening.harmonic import Harmonic
    from screening.prediction import Prediction
    from screening.settings import ScreeningSettings
    from screening.structure import Crystal
    from screening.trained_model import TrainedModel
    from stores.training import TrainingPhonons

__all__ = [
    "METHODS",
    "SOURCES",
    "Progress",
    "TrainedMethod",
    "TrainedPredictor",
    "is_trained",
    "load_trained",
    "method_of",
    "needs_electrons",
    "predictor_of",
    "trained_file",
    "trained_method",
    "training_source",
]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

SOURCES = "sources"
"""Field of a card: names of the models whose results were learned."""

_ONE_POINT_ANGSTROM = 1e-3  # a mesh of the zone centre alone
_MODEL_ENDING = ".psm"
_POTENTIAL = "mace"
_AS_CALCULATOR = "Use it as a calculator: phonoscreen screen --calculator mace:{}"
_NEWER = "Use a version of this program that knows it"
_SAMPLES = re.compile(r"#[0-9]+\s*$")
_FILE_DIGEST = re.compile(r"@([0-9a-fA-F]{8,64})$")


@runtime_checkable
class TrainedPredictor(Predictor, Protocol):
    """A predictor that takes many crystals at once, because each alone costs little."""

    def predict_many(self, crystals: Sequence[Crystal]) -> Sequence[Prediction | Exception]:
        """Predict crystals; of each the prediction, or why there is none."""
        ...


def _all_alike(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class TrainedMethod:
    """One family of trained models.

    Attributes
    ----------
    name
        What users type.
    method
        Name of the method, as models and predictions carry it.
    options
        Settings that the command line has an option for.
    label
        From stored phonons to what the method learns from; raises where they are of no use.
    train
        From labels, settings, a name and a listener to a model.
    predictor
        From a model, and settings of the thermodynamics or None, to what predicts with it.
    kind
        Which modes a label sums; labels of different kinds are never mixed.
    on_mesh
        As ``predictor``, for modes on a mesh of wave vectors where others are the rule; None
        where there is no choice.
    labels_of_file
        From a file of labels that others computed to these, and how many of its records were
        left out, by reason; None where there are no such files.
    check
        Raises where settings cannot be used, before anything is read.
    advice
        What to do where none of the phonons can be learned from.
    """

    name: str
    method: str
    options: tuple[str, ...]
    label: Callable[[TrainingPhonons], Any]
    train: Callable[[Sequence[Any], Mapping[str, Any], str, Progress | None], TrainedModel]
    predictor: Callable[[TrainedModel, ScreeningSettings | None], TrainedPredictor]
    kind: Callable[[Any], str] = _all_alike
    on_mesh: Callable[[TrainedModel, ScreeningSettings | None], TrainedPredictor] | None = None
    labels_of_file: Callable[[Path], tuple[Sequence[Any], Mapping[str, int]]] | None = None
    check: Callable[[Mapping[str, Any]], object] = dict  # takes any
    advice: str = "Use relaxed crystals without imaginary modes"


def trained_method(name: str) -> TrainedMethod:
    """Return the method that a user names.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if name not in METHODS:
        raise SettingError(
            f"{name!r} is no trained method",
            subject="method",
            hint=f"Choose one of {', '.join(METHODS)}; a potential is a calculator: "
            "--calculator mace:FILE",
        )
    return METHODS[name]


def method_of(model: TrainedModel) -> TrainedMethod:
    """Return the method that a model belongs to.

    Raises
    ------
    ModelRefusedError
        If it belongs to none that is known here, or is a potential, which is a calculator.
    """
    for one in METHODS.values():
        if one.method == model.method:
            return one
    if model.method == METHOD_PREFIXES[_POTENTIAL]:
        raise ModelRefusedError(
            f"is a potential ({model.method}), which predicts through its forces",
            subject=model.name,
            hint=_AS_CALCULATOR.format("FILE.psm"),
        )
    raise ModelRefusedError(
        f"was trained by a method that is not known here: {model.method}",
        subject=model.name,
        hint=_NEWER,
    )


def predictor_of(
    model: TrainedModel, settings: ScreeningSettings | None = None, *, mesh: bool = False
) -> TrainedPredictor:
    """Return what predicts with a model, on a mesh of wave vectors where that is asked for.

    Raises
    ------
    SettingError
        If its method leaves no choice of the modes, or the model has no dispersion.
    ModelRefusedError
        If its method is not known here.
    """
    method = method_of(model)
    make = method.on_mesh if mesh else method.predictor
    if make is None:
        raise SettingError(
            f"{method.name} leaves no choice of the modes", subject="--mesh", hint="Leave it out"
        )
    return make(model, settings)


def is_trained(spec: str) -> bool:
    """Say whether a specification names a trained model and no force calculator.

    Examples
    --------
    >>> is_trained("rf-ifc:fluorides.psm"), is_trained("chgnet"), is_trained("mace:medium")
    (True, False, False)
    """
    family, colon, _ = spec.partition(":")
    return bool(colon) and family.strip() in METHODS


def needs_electrons(spec: str) -> bool:
    """Say whether what a specification names solves for the electrons.

    Raises
    ------
    SettingError, ModelRefusedError, ModelUnavailableError
        As `screening.calculators.specification.is_first_principles` says.
    """
    from screening.calculators.specification import is_first_principles

    return not is_trained(spec) and is_first_principles(spec)


def load_trained(spec: str, settings: ScreeningSettings | None = None) -> TrainedPredictor:
    """Load the model of a specification such as ``rf-ifc:FILE@SHA256``.

    Parameters
    ----------
    spec
        Method, file, and where wanted the start of the file's SHA-256; in the place of the file
        the name of a model that is installed with the project, or ``phonoscreen``.
    settings
        Of the thermodynamics and the criterion of stability; None for the defaults.

    Raises
    ------
    SettingError
        If no file is named.
    ModelRefusedError, ModelCorruptError
        If the file is no model of this method, or not the one of the digest.
    """
    from stores.model_files import read_model

    method = trained_method(spec.partition(":")[0].strip())
    file, digest = _file_and_digest(spec)
    if not file:
        raise SettingError(
            "names no file",
            subject=spec,
            hint=f"Write {method.name}:FILE or {method.name}:FILE@SHA256",
        )
    shipped = None if digest else shipped_name(method.name, file)
    model = (
        read_model(Path(file), digest) if shipped is None else read_shipped(method.name, shipped)
    )
    if model.method != method.method:
        raise ModelRefusedError(
            f"holds a model of the method {model.method}, not {method.method}",
            subject=file,
            hint=_right_use(model, file),
        )
    return method.predictor(model, settings)


def _right_use(model: TrainedModel, file: str) -> str:
    """Say how a file is used whose model is of another method than was named."""
    if model.method == METHOD_PREFIXES[_POTENTIAL]:
        return _AS_CALCULATOR.format(quote(file))
    known = [one.name for one in METHODS.values() if one.method == model.method]
    return f"Write {known[0]}:{file}" if known else _NEWER


def trained_file(spec: str) -> Path | None:
    """Return the file of a trained model or potential; None for anything else."""
    method = spec.partition(":")[0].strip()
    file, digest = _file_and_digest(_SAMPLES.sub("", spec) if method == _POTENTIAL else spec)
    is_one = is_trained(spec) or (method == _POTENTIAL and file.endswith(_MODEL_ENDING))
    is_shipped = not digest and shipped_name(method, file) is not None
    return Path(file) if is_one and file and not is_shipped else None


def _file_and_digest(spec: str) -> tuple[str, str]:
    place = spec.partition(":")[2].strip()
    found = _FILE_DIGEST.search(place)
    return (place[: found.start()], found[1].lower()) if found else (place, "")


def training_source(predictor: Predictor) -> str:
    """Name the model whose results a trained one learned; empty where that is not known."""
    trained = getattr(predictor, "trained", None)
    named = trained.card.get(SOURCES, ()) if trained is not None else ()
    return str(getattr(predictor, "training_source", "")) or ", ".join(named)


def _harmonic_of(phonons: TrainingPhonons) -> Harmonic:
    from screening.errors import TrainingSetError
    from screening.harmonic import harmonic_from_force_constants, harmonic_from_forces

    if phonons.force_constants is not None:
        return harmonic_from_force_constants(phonons.force_constants)
    if phonons.force_data is not None:
        return harmonic_from_forces(phonons.force_data)
    raise TrainingSetError("has neither forces nor force constants", subject=phonons.material_id)


def _hessian_label(phonons: TrainingPhonons) -> Any:
    """Take the Hessian at the zone centre, and what the whole mesh sums to where it is known."""
    from screening.hessians import check_training_hessian, zone_centre_hessian
    from screening.zone_centre_modes import mesh_thermodynamics

    harmonic = _harmonic_of(phonons)
    one = zone_centre_hessian(
        harmonic,
        material_id=phonons.material_id,
        residual_force_ev_per_angstrom=phonons.residual_force_ev_per_angstrom,
        source=phonons.source,
        thermodynamics=mesh_thermodynamics(harmonic),
    )
    check_training_hessian(one)
    return one


def _spectral_label(phonons: TrainingPhonons) -> Any:
    """Label the modes on a mesh, of the zone centre alone where the cell was not repeated."""
    from screening.harmonic import DEFAULT_MESH_LENGTH_ANGSTROM
    from screening.linear_entropy.labels import LabelOrigin, label_of

    harmonic = _harmonic_of(phonons)
    energy = phonons.static_energy_ev_per_atom
    origin = LabelOrigin(
        phonons.material_id,
        energy_ev=None if energy is None else energy * harmonic.n_atoms,
        largest_force_ev_per_angstrom=phonons.residual_force_ev_per_angstrom,
    )
    is_repeated = len(harmonic.dynamical_matrix.supercell) > harmonic.n_atoms
    length = DEFAULT_MESH_LENGTH_ANGSTROM if is_repeated else _ONE_POINT_ANGSTROM
    return label_of(harmonic, origin, length)


def _train_forest(
    labels: Sequence[Any], settings: Mapping[str, Any], name: str, progress: Progress | None
) -> TrainedModel:
    from screening.random_forest import RandomForestSettings, train_force_constants

    return train_force_constants(
        labels, RandomForestSettings.from_dict(dict(settings)), name, progress
    )


def _check_forest(settings: Mapping[str, Any]) -> None:
    from screening.random_forest import RandomForestSettings

    RandomForestSettings.from_dict(dict(settings))


def _forest(model: TrainedModel, settings: ScreeningSettings | None) -> TrainedPredictor:
    from screening.predictors.random_forest import RandomForestPhonons

    return RandomForestPhonons(model, settings)


def _forest_on_mesh(model: TrainedModel, settings: ScreeningSettings | None) -> TrainedPredictor:
    from screening.predictors.random_forest import RandomForestPhonons

    return RandomForestPhonons(model, settings, modes="mesh")


def _entropy(model: TrainedModel, settings: ScreeningSettings | None) -> TrainedPredictor:
    from screening.predictors.linear_entropy import LinearDescriptorEntropy

    return LinearDescriptorEntropy(model, settings)


METHODS: dict[str, TrainedMethod] = {
    "rf-ifc": TrainedMethod(
        "rf-ifc",
        METHOD_PREFIXES["rf-ifc"],
        ("variant",),
        _hessian_label,
        _train_forest,
        _forest,
        on_mesh=_forest_on_mesh,
        check=_check_forest,
    ),
    "ldml": TrainedMethod(
        "ldml",
        METHOD_PREFIXES["ldml"],
        ("descriptor",),
        _spectral_label,
        train_entropies,
        _entropy,
        lambda label: str(label.kind),
        check=check_entropy_settings,
    ),
    "alignn": TrainedMethod(
        "alignn",
        METHOD_PREFIXES["alignn"],
        tuple(DOS_OPTIONS),
        lambda one: lesson_of(one, _harmonic_of(one)),
        train_densities,
        density_predictor,
        labels_of_file=jarvis_lessons,
        check=density_settings,
        advice="Use relaxed crystals with phonons of supercells",
    ),
}
"""The methods by the names that users type."""
