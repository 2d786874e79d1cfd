"""From learned force constants to the physics of a prediction, with what is not known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from screening.errors import ComputationError, InconsistentDataError
from screening.few_cells import CONDUCTIVITY_TARGET, FewCellSettings
from screening.gaussian_process.conductivity_samples import (
    ConductivitySamples,
    conductivity_samples,
)
from screening.gaussian_process.design import (
    Choice,
    next_displacements,
    order_functionals,
)
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.mode_response import mode_response
from screening.gaussian_process.propagation import (
    left_out_ratio,
    propagate,
    sample_interval,
    second_order_functional,
)
from screening.gaussian_process.property_gradient import property_gradient
from screening.prediction import FloatArray, ThermodynamicsSpread
from screening.predictors.assembly import Physics, physics_from_harmonic
from screening.quantities import Quantity
from screening.settings import ScreeningSettings

__all__ = ["Assessment", "LearnedPhysics", "assess", "learned_physics"]

_CUBIC = 3


@dataclass(frozen=True, eq=False)
class Assessment:
    """How sure the target is after some cells.

    Attributes
    ----------
    half_width
        Half the width of its interval, in the unit of the target; infinite where a draw of the
        force constants has no value of it.
    choose
        Picks the most telling of candidates, shape (candidate, atom, 3) in Å; None where nothing
        tells them apart.
    """

    half_width: float
    choose: Callable[[FloatArray], Choice] | None


@dataclass(frozen=True, eq=False)
class LearnedPhysics:
    """What follows from learned force constants.

    Attributes
    ----------
    physics
        Of the posterior mean.
    spread
        Standard deviations over draws.
    conductivity
        Conductivity of the mean and of draws; None where it is not asked for or has no value.
    notes
        What the user should know.
    """

    physics: Physics
    spread: ThermodynamicsSpread
    conductivity: ConductivitySamples | None
    notes: tuple[str, ...]


def assess(
    fit: GaussianProcessFit, settings: ScreeningSettings, few_cells: FewCellSettings
) -> Assessment:
    """Tell how sure the target is, and what would tell most about it.

    Harmonic properties by their gradient, to first order. Conductivities by draws; what tells
    most about them is taken to be what tells most about the third-order force constants.

    Raises
    ------
    SettingError
        If the target has no gradient under the policy for low modes.
    """
    if few_cells.target == CONDUCTIVITY_TARGET:
        return _assess_conductivity(fit, few_cells)
    response = mode_response(fit, settings.phonons.mesh_length_angstrom)
    quantity = Quantity.parse(few_cells.target)
    gradient = property_gradient(response, quantity, settings.thermodynamics)
    functional = second_order_functional(fit, gradient[None])
    variance = float(fit.posterior.force_covariance(functional, functional)[0, 0])
    spread = max(1.0, left_out_ratio(fit)) * np.sqrt(max(variance, 0.0))
    quantile = NormalDist().inv_cdf(0.5 * (1.0 + few_cells.coverage))
    return Assessment(
        quantile * float(spread), lambda candidates: next_displacements(fit, candidates, functional)
    )


def _assess_conductivity(fit: GaussianProcessFit, few_cells: FewCellSettings) -> Assessment:
    try:
        drawn = _conductivity(fit, few_cells)
    except (ComputationError, InconsistentDataError):  # an imaginary mode: nothing is sure
        return Assessment(np.inf, None)
    logarithms = drawn.logarithms[:, 0]
    _, upper = sample_interval(np.zeros(()), logarithms, few_cells.coverage)
    return Assessment(
        float(upper),
        lambda candidates: next_displacements(fit, candidates, order_functionals(fit, _CUBIC)),
    )


def _conductivity(fit: GaussianProcessFit, few_cells: FewCellSettings) -> ConductivitySamples:
    return conductivity_samples(
        fit, few_cells.conductivity, few_cells.n_conductivity_samples, few_cells.seed
    )


def learned_physics(
    fit: GaussianProcessFit,
    settings: ScreeningSettings,
    few_cells: FewCellSettings,
    assessment: Assessment | None = None,
) -> LearnedPhysics:
    """Compute everything a prediction holds from a fit.

    Parameters
    ----------
    fit
        Learned force constants.
    settings, few_cells
        How; a conductivity that has no value, because a mode is imaginary, is left out with a
        note.
    assessment
        How sure the target is, to say where it is not sure enough.
    """
    propagated = propagate(fit, settings, few_cells.n_samples, few_cells.seed)
    notes = [*fit.notes]
    if assessment is not None and assessment.half_width > few_cells.tolerance:
        notes.append(
            f"{few_cells.target} is known to ±{assessment.half_width:.3g} after "
            f"{fit.cells.n_cells} cells, and ±{few_cells.tolerance:g} is asked for"
        )
    conductivity = None
    if few_cells.conductivity is not None:
        try:
            conductivity = _conductivity(fit, few_cells)
        except (ComputationError, InconsistentDataError) as error:
            notes.append(f"no thermal conductivity: {error.message}")
    physics = physics_from_harmonic(propagated.harmonic, settings)
    return LearnedPhysics(physics, propagated.spread, conductivity, tuple(notes))
