"""From learned force constants to the physics of a prediction, with what is not known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
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
from screening.gaussian_process.mode_response import ModeResponse, mode_response
from screening.gaussian_process.propagation import (
    functional_std,
    mesh_thermodynamics,
    propagate,
    sample_interval,
    second_order_functional,
)
from screening.gaussian_process.property_gradient import property_gradient
from screening.prediction import FloatArray, ThermodynamicsSpread
from screening.predictors.assembly import Physics, physics_from_harmonic
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.thermodynamics import ThermodynamicsSettings

__all__ = ["Assessment", "LearnedPhysics", "assess", "is_enough", "learned_physics"]

_HARMONIC, _CUBIC = 2, 3
_FORCE_CONSTANTS = ("second_order_ev_per_angstrom2", "third_order_ev_per_angstrom3")


@dataclass(frozen=True, eq=False)
class Assessment:
    """How sure the target is after some cells.

    Attributes
    ----------
    half_width
        Half the width of its interval, in the unit of the target; infinite where it has no
        value, of the mean or of a draw of the force constants.
    choose
        Picks the most telling of candidates, shape (candidate, atom, 3) in Å; None where nothing
        tells them apart.
    conductivity
        Conductivity of the mean and of draws, where the target is the conductivity.
    refusal
        Why the conductivity has no value, where it is the target and has none.
    """

    half_width: float
    choose: Callable[[FloatArray], Choice] | None
    conductivity: ConductivitySamples | None = None
    refusal: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.half_width):  # no number is narrower than nothing known
            object.__setattr__(self, "half_width", np.inf)


def is_enough(assessment: Assessment, few_cells: FewCellSettings, n_cells: int) -> bool:
    """Tell whether no further cell is computed.

    Parameters
    ----------
    assessment
        How sure the target is.
    few_cells
        Tolerance and largest number of cells.
    n_cells
        Cells that are computed.
    """
    return assessment.half_width <= few_cells.tolerance or n_cells >= few_cells.max_cells


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

    Harmonic properties by their gradient, to first order; nothing is sure of them while too many
    modes of the mean are imaginary or near zero, for such modes have no part in the sums.
    Conductivities by draws at their first temperature; what tells most about them is taken to
    be what tells most about the third-order force constants.

    Raises
    ------
    SettingError
        If the target has no gradient under the policy for low modes, or the mesh of the
        conductivity breaks the symmetry.
    InconsistentDataError, TooLargeError, CalculatorFailedError
        If the conductivity has no value for another reason than the force constants.
    """
    if few_cells.target == CONDUCTIVITY_TARGET:
        return _assess_conductivity(fit, few_cells)
    response = mode_response(fit, settings.phonons.mesh_length_angstrom)
    quantity = Quantity.parse(few_cells.target)
    if not _has_value(response, quantity, settings.thermodynamics):
        return Assessment(np.inf, partial(_most_telling, fit, _HARMONIC))
    gradient = property_gradient(response, quantity, settings.thermodynamics)
    functional = second_order_functional(fit, gradient[None])
    quantile = NormalDist().inv_cdf(0.5 * (1.0 + few_cells.coverage))
    return Assessment(
        quantile * functional_std(fit, functional),
        lambda candidates: next_displacements(fit, candidates, functional),
    )


def _has_value(
    response: ModeResponse, quantity: Quantity, settings: ThermodynamicsSettings
) -> bool:
    """Whether enough modes are above the cutoff; for the lowest frequency, any."""
    still = replace(settings, temperatures_k=(0.0,))  # which modes are low does not depend on it
    found = mesh_thermodynamics(response, response.mesh.frequencies_thz, still)
    if quantity.kind is Property.LOWEST_FREQUENCY:
        return found.zero_point_energy_mev_per_atom > 0.0
    return found.valid


def _most_telling(fit: GaussianProcessFit, order: int, candidates: FloatArray) -> Choice:
    """Choose what tells most about all force constants of an order."""
    return next_displacements(fit, candidates, order_functionals(fit, order))


def _assess_conductivity(fit: GaussianProcessFit, few_cells: FewCellSettings) -> Assessment:
    try:
        drawn = _conductivity(fit, few_cells)
    except InconsistentDataError as error:
        if error.subject not in _FORCE_CONSTANTS:
            raise
        # an imaginary mode, or no third order yet: another cell may tell more
        order = _HARMONIC if error.subject == _FORCE_CONSTANTS[0] else _CUBIC
        return Assessment(np.inf, partial(_most_telling, fit, order), refusal=error.message)
    logarithms = drawn.logarithms[:, 0]
    _, upper = sample_interval(np.zeros(()), logarithms, few_cells.coverage)
    return Assessment(float(upper), partial(_most_telling, fit, _CUBIC), drawn)


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
        How sure the target is, to say where it is not sure enough; its conductivity, or the
        lack of one, is not computed again.
    """
    propagated = propagate(fit, settings, few_cells.n_samples, few_cells.seed)
    notes = [*fit.notes]
    if assessment is not None and assessment.half_width > few_cells.tolerance:
        known = f"to ±{assessment.half_width:.3g}"
        notes.append(
            f"{few_cells.target} is {'known ' + known if _is_known(assessment) else 'not known'} "
            f"after {fit.cells.n_cells} cells, and ±{few_cells.tolerance:g} is asked for"
        )
    conductivity, refusal = _conductivity_or_refusal(fit, few_cells, assessment)
    if refusal:
        notes.append(f"no thermal conductivity: {refusal}")
    physics = physics_from_harmonic(propagated.harmonic, settings)
    return LearnedPhysics(physics, propagated.spread, conductivity, tuple(notes))


def _is_known(assessment: Assessment) -> bool:
    return bool(np.isfinite(assessment.half_width))


def _conductivity_or_refusal(
    fit: GaussianProcessFit, few_cells: FewCellSettings, assessment: Assessment | None
) -> tuple[ConductivitySamples | None, str]:
    """Take the conductivity of the assessment, else compute it where it is asked for."""
    if few_cells.conductivity is None:
        return None, ""
    if assessment is not None and few_cells.target == CONDUCTIVITY_TARGET:
        return assessment.conductivity, assessment.refusal
    try:
        return _conductivity(fit, few_cells), ""
    except (ComputationError, InconsistentDataError) as error:
        return None, error.message
