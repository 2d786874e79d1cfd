"""A trained linear model of the entropy: what it holds, and what it says of systems of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.descriptors.interface import (
    AtomicSystem,
    descriptor_from,
    sorted_elements,
)
from screening.errors import (
    InconsistentDataError,
    ModelCorruptError,
    OutOfDomainError,
    SettingError,
    TooLargeError,
)
from screening.linear_entropy.calibration import Calibration
from screening.linear_entropy.cells import PerfectCrystal, measure_cell, perfect_crystal
from screening.linear_entropy.entropy import system_entropy_boltzmann
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.model_spectrum import shape_from
from screening.linear_entropy.moments import Fits, Moments, moments_of
from screening.linear_entropy.rows import RowMaker, check_one_element, structure_of
from screening.linear_entropy.settings import LinearEntropySettings
from screening.novelty import Novelty
from screening.novelty_limits import said_times
from screening.prediction import FloatArray, frozen_array
from screening.trained_model import METHOD_PREFIXES, TrainedModel
from screening.trained_refusals import check_learned_elements, size_refusal
from screening.uncertainty.conformal import check_alpha

__all__ = ["LINEAR_ENTROPY", "EntropyPredictions", "LinearEntropyModel", "predict_entropy"]

LINEAR_ENTROPY = METHOD_PREFIXES["ldml"]
"""Method of models and predictions of this kind."""


@dataclass(frozen=True, eq=False)
class LinearEntropyModel:
    """The parts of a trained model, ready to use.

    Attributes
    ----------
    settings
        What it was trained with.
    maker
        Makes rows of systems.
    kind
        Which modes its labels summed.
    fits
        The linear models.
    calibration
        Quantiles and limits of novelty.
    shape
        Of spectra of crystals, shape (node,); None where no quantum statistics are wanted.
    at_rest
        What crystals at rest of the training set have in common, of entropies of crystals; else
        None.
    """

    settings: LinearEntropySettings
    maker: RowMaker
    kind: SpectrumKind
    fits: Fits
    calibration: Calibration
    shape: FloatArray | None = None
    at_rest: Novelty | None = None

    @classmethod
    def from_trained(cls, trained: TrainedModel, *, workers: int = 1) -> LinearEntropyModel:
        """Take it from its stored form.

        Parameters
        ----------
        trained
            Of the method `LINEAR_ENTROPY`.
        workers
            Threads that the descriptor of a large system is shared out to.

        Raises
        ------
        ModelCorruptError
            If it is of another method, or a part of it is missing, of another type or shape, or
            out of its range.
        ModelError
            If its descriptor is made of another model that cannot be used.
        """
        if trained.method != LINEAR_ENTROPY:
            raise ModelCorruptError(
                f"a model of the method {trained.method!r}, not {LINEAR_ENTROPY!r}",
                subject=trained.name,
                hint="Give a model that was trained by this method",
            )
        try:
            state = trained.state
            settings = LinearEntropySettings.from_dict(state["settings"])
            descriptor = descriptor_from(
                settings.descriptor, settings.descriptor_settings, workers=workers
            )
            calibration = Calibration.from_dict(state["calibration"])
            elements = sorted_elements(trained.elements)
            with_rest = calibration.at_rest is not None
            found = cls(
                settings=settings,
                maker=RowMaker(descriptor, elements, settings.target),
                kind=SpectrumKind(state["kind"]),
                fits=Fits.from_arrays(trained.arrays, int(state["n_traces"])),
                calibration=calibration,
                shape=shape_from(trained.arrays) if calibration.temperatures_k else None,
                at_rest=Novelty.from_arrays(trained.arrays, elements) if with_rest else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError, SettingError) as error:
            raise ModelCorruptError(
                f"a part of the model cannot be read: {error!r}",
                subject=trained.name,
                hint="Export or train the model again",
            ) from error
        found._check_shapes(trained)
        found._check_cells(trained.name)
        return found

    def _check_cells(self, name: str) -> None:
        """Refuse a model of crystals that does not say of which cells it is."""
        crystals, defects = (
            self.kind is not SpectrumKind.CLUSTER,
            self.settings.target == "formation",
        )
        has_cells = self.calibration.cells is not None
        has_rest = self.calibration.at_rest is not None
        if has_cells != (crystals and defects) or has_rest != (crystals and not defects):
            raise ModelCorruptError(
                "what is known of cells is given where it should not be, or missing",
                subject=name,
                hint="Export or train the model again",
            )
        single_cells = self.kind is SpectrumKind.ZONE_CENTRE and not defects
        if (self.calibration.sites_per_cell is not None) != single_cells:
            raise ModelCorruptError(
                "the number of sites of the cells whose zone centres were learned is missing, or "
                "given where none were",
                subject=name,
                hint="Train the model again",
            )

    def _check_shapes(self, trained: TrainedModel) -> None:
        """Refuse fits that are not of the features of the descriptor."""
        elements = self.maker.elements
        expected = [self.maker.descriptor.n_features(elements)]
        if self.fits.traces:
            expected += [len(self.maker.trace_columns(one)) for one in range(len(elements))]
        found = [len(one.weights) for one in (self.fits.logarithm, *self.fits.traces)]
        if expected != found or elements != tuple(trained.elements):
            raise ModelCorruptError(
                f"weights of {found} features, where the descriptor has {expected}",
                subject=trained.name,
                hint="Export or train the model again",
            )

    def unrest(self, system: AtomicSystem, subject: str) -> tuple[float, OutOfDomainError | None]:
        """Say how unlike crystals at rest a crystal is, and why it is refused above 1.

        Zero of what is no crystal, and of defects: their cells are measured otherwise
        (`screening.linear_entropy.cells`).
        """
        limits = self.calibration.at_rest
        if self.at_rest is None or limits is None:
            return 0.0, None
        try:
            measures = self.at_rest.measures(structure_of(system))
        except TooLargeError as error:
            return math.inf, OutOfDomainError(
                f"whether it is at rest cannot be told: {error.message}",
                subject=subject,
                hint="Give a smaller cell of the crystal",
            )
        return limits.novelty(measures), limits.refusal(measures, subject)

    def moments(self, system: AtomicSystem, bulk: AtomicSystem | None = None) -> Moments:
        """Say what the linear models say of a system.

        Parameters
        ----------
        system
            The atoms at rest.
        bulk
            Perfect crystal, any cell of it, for the target ``formation``.

        Raises
        ------
        ElementNotInModelError
            If an element was not in the training set.
        InconsistentDataError
            If the target needs a perfect crystal and none is given, or the other way round.
        TrainingSetError
            If the system and the perfect crystal are not of one element.
        """
        check_learned_elements(system.numbers.tolist(), self.maker.elements)
        if (bulk is not None) != (self.settings.target == "formation"):
            given = "no perfect crystal" if bulk is None else "a perfect crystal"
            raise InconsistentDataError(
                f"{given} for a model of the target {self.settings.target!r}",
                subject="bulk",
                hint="Give one where entropies of formation are predicted, and only there",
            )
        if bulk is None:
            return moments_of(self.fits, self.maker, system)
        check_one_element(system, bulk, "bulk")
        mean = self.maker.features(bulk) / len(bulk)
        return moments_of(self.fits, self.maker, system, mean)


@dataclass(frozen=True, eq=False)
class EntropyPredictions:
    """Classical entropies of some systems, or entropies of formation.

    Attributes
    ----------
    entropy_boltzmann
        Entropy of each whole system in k_B, shape (system,).
    std_boltzmann
        Standard deviation as the regression states it, in k_B, shape (system,).
    half_width_boltzmann
        Half width of the calibrated interval in k_B, shape (system,): infinite where the system
        is newer than all that the calibration saw, or of a family that it does not know.
    novelty
        Above 1 where it is newer, shape (system,).
    coverage
        Intended probability that an interval holds the truth.
    refusals
        Of each system why it has no interval where it is newer, and what to do; else None.
    """

    entropy_boltzmann: FloatArray
    std_boltzmann: FloatArray
    half_width_boltzmann: FloatArray
    novelty: FloatArray
    coverage: float
    refusals: tuple[OutOfDomainError | None, ...] = ()


def predict_entropy(  # noqa: PLR0913 - every option is an argument
    model: LinearEntropyModel,
    systems: Sequence[AtomicSystem],
    *,
    bulks: Sequence[AtomicSystem] | None = None,
    temperature_k: float = 300.0,
    masses_amu: Sequence[FloatArray] | None = None,
    families: Sequence[str] | None = None,
    alpha: float | None = None,
    strict: bool = False,
) -> EntropyPredictions:
    """Predict classical entropies of clusters, defective cells and crystals of any size.

    Parameters
    ----------
    model
        A trained model.
    systems
        At rest, in the units of the training set.
    bulks
        For the target ``formation``: the perfect crystal of each system, any cell of it, in its
        orientation and strain.
    temperature_k
        In K. Entropies of formation do not depend on it.
    masses_amu
        Masses of the atoms of each system in amu; None takes those of the natural elements.
    families
        Class of each system, where the calibration keeps classes apart: the interval of one
        that it does not know is open. None, or an empty name, takes the widest of all.
    alpha
        Risk of the intervals; None takes that of the training. Intervals at a smaller risk than
        the calibration has groups for are open.
    strict
        Refuse systems that are newer than all that the calibration saw. Else their entropies
        stand without an interval, and ``refusals`` says why.

    Raises
    ------
    OutOfDomainError
        The first refusal, where ``strict``.
    ScreeningError
        As `LinearEntropyModel.moments`.

    Notes
    -----
    Large systems are described block by block: memory does not grow with them.
    """
    found, refusals = [], []
    crystals: dict[int, PerfectCrystal | None] = {}  # a crystal is often given for many systems
    for number, system in enumerate(systems):
        bulk = None if bulks is None else bulks[number]
        moments = model.moments(system, bulk)
        if bulk is not None and id(bulk) not in crystals:
            crystals[id(bulk)] = perfect_crystal(bulk)
        novelty, refusal = _domain(model, system, moments, crystals.get(id(bulk)), number)
        if strict and refusal is not None:
            raise refusal
        family = "" if families is None else families[number]
        masses = None if masses_amu is None else masses_amu[number]
        entropy, std = _entropy(model, system, moments, temperature_k, masses)
        factor = model.calibration.quantile(family, alpha) if refusal is None else math.inf
        found.append((entropy, std, factor * std, novelty))
        refusals.append(refusal)
    entropies, stds, half_widths, novelties = np.array(found).reshape(-1, 4).T
    return EntropyPredictions(
        entropy_boltzmann=frozen_array(entropies),
        std_boltzmann=frozen_array(stds),
        half_width_boltzmann=frozen_array(half_widths),
        novelty=frozen_array(novelties),
        coverage=1.0 - (model.calibration.alpha if alpha is None else check_alpha(alpha)),
        refusals=tuple(refusals),
    )


def _domain(
    model: LinearEntropyModel,
    system: AtomicSystem,
    moments: Moments,
    crystal: PerfectCrystal | None,
    number: int,
) -> tuple[float, OutOfDomainError | None]:
    """Say how new a system is and, where it is newer than the calibration, why."""
    cells, subject = model.calibration.cells, f"system {number}"
    cell = None if crystal is None or cells is None else measure_cell(system, crystal)
    novelty = model.calibration.novelty(moments, len(system), cell)
    unrest, refusal = model.unrest(system, subject)
    refusal = refusal or size_refusal(
        len(system), model.calibration.sites_per_cell, subject, instead="of sums over a mesh"
    )
    if max(novelty, unrest) <= 1.0:  # one that is not a number is no reason to go on
        return max(novelty, unrest), None
    if refusal is None and cell is not None and cells is not None:
        refusal = cells.refusal(cell, subject)
    return max(novelty, unrest), refusal or OutOfDomainError(
        f"{said_times(novelty)} newer than the newest structure of the calibration",
        subject=subject,
        hint="Use a potential, or add structures like it to the training set",
    )


def _entropy(
    model: LinearEntropyModel,
    system: AtomicSystem,
    moments: Moments,
    temperature_k: float,
    masses_amu: FloatArray | None,
) -> tuple[float, float]:
    """Entropy and its standard deviation in k_B."""
    if model.settings.target == "formation":
        return -0.5 * moments.log_determinant, 0.5 * moments.std
    entropy = system_entropy_boltzmann(
        system, moments.log_determinant, model.kind, temperature_k, masses_amu
    )
    return entropy, 0.5 * moments.std
