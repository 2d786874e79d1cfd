"""From the distribution of force constants to the distributions of properties.

Frequencies and thermodynamic functions are computed anew for every draw of the harmonic force
constants; conductivities for every draw of all of them. To first order the standard deviation
of a harmonic property also follows from its gradient, without draws.

References
----------
C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT Press, 2006),
section 2.2 and equations 5.10 to 5.12 (residuals of observations that are left out).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve

from screening.errors import SettingError
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.mode_response import ModeResponse, mode_response
from screening.gaussian_process.posterior import Amplitudes
from screening.gaussian_process.property_gradient import property_gradient
from screening.harmonic import Harmonic, MeshFrequencies
from screening.prediction import FloatArray, Thermodynamics, ThermodynamicsSpread, frozen_array
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.spectra import lowest_frequency
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.uncertainty import Interval

__all__ = [
    "PropagatedHarmonic",
    "first_order_std",
    "functional_std",
    "left_out_ratio",
    "mesh_thermodynamics",
    "propagate",
    "sample_interval",
    "second_order_functional",
]

_HARMONIC = 2
_CURVES = {
    Property.FREE_ENERGY: "free_energy_mev_per_atom",
    Property.ENTROPY: "entropy_mev_per_k_per_atom",
    Property.HEAT_CAPACITY: "heat_capacity_mev_per_k_per_atom",
}
_FEWEST_SAMPLES = 2


@dataclass(frozen=True, eq=False)
class PropagatedHarmonic:
    """Harmonic properties and how sure they are.

    Attributes
    ----------
    response
        Modes of the posterior mean.
    thermodynamics
        Of the posterior mean.
    frequency_std_thz
        Standard deviation of every frequency of the mesh to first order, in THz, shape
        (q, branch).
    sampled_frequencies_thz
        Frequencies of every draw in THz, shape (sample, q, branch).
    inflation
        Factor, at least one, by which deviations from the mean were widened because cells
        that are left out of the fit are predicted worse than it expects.
    settings
        Of the thermodynamic functions.
    """

    response: ModeResponse = field(repr=False)
    thermodynamics: Thermodynamics
    frequency_std_thz: FloatArray = field(repr=False)
    sampled_frequencies_thz: FloatArray = field(repr=False)
    inflation: float
    settings: ThermodynamicsSettings = field(repr=False)

    @property
    def harmonic(self) -> Harmonic:
        """Force constants of the posterior mean."""
        return self.response.harmonic

    @property
    def mesh(self) -> MeshFrequencies:
        """Frequencies of the posterior mean."""
        return self.response.mesh

    @property
    def n_samples(self) -> int:
        """Number of draws."""
        return len(self.sampled_frequencies_thz)

    @cached_property
    def spread(self) -> ThermodynamicsSpread:
        """Standard deviations over the draws."""
        results = [self._thermodynamics(one, self.settings) for one in self.sampled_frequencies_thz]
        curves = {
            name: frozen_array(np.std([getattr(one, name) for one in results], axis=0, ddof=1))
            for name in _CURVES.values()
        }
        lowest = self.samples_of(Quantity(Property.LOWEST_FREQUENCY))
        return ThermodynamicsSpread(
            free_energy_std_mev_per_atom=curves["free_energy_mev_per_atom"],
            entropy_std_mev_per_k_per_atom=curves["entropy_mev_per_k_per_atom"],
            heat_capacity_std_mev_per_k_per_atom=curves["heat_capacity_mev_per_k_per_atom"],
            lowest_frequency_std_thz=float(np.std(lowest, ddof=1)),
            n_members=self.n_samples,
        )

    def value_of(self, quantity: Quantity) -> float:
        """Return a property of the posterior mean, in the unit of the quantity.

        Raises
        ------
        SettingError
            If the quantity belongs to two crystals.
        """
        return self._property(quantity)(self.mesh.frequencies_thz)

    def samples_of(self, quantity: Quantity) -> FloatArray:
        """Return a property of every draw, shape (sample,).

        Raises
        ------
        SettingError
            If the quantity belongs to two crystals.
        """
        evaluate = self._property(quantity)
        return np.array([evaluate(one) for one in self.sampled_frequencies_thz])

    def interval(self, quantity: Quantity, coverage: float = 0.9) -> Interval:
        """Return the interval that a property lies in; see `sample_interval`.

        Raises
        ------
        SettingError
            If the quantity belongs to two crystals or the coverage is no probability.
        """
        value, samples = self.value_of(quantity), self.samples_of(quantity)
        lower, upper = sample_interval(np.array(value), samples, coverage)
        return Interval(quantity, value, float(lower), float(upper), coverage)

    def _property(self, quantity: Quantity) -> Callable[[FloatArray], float]:
        """Return the function from frequencies of the mesh to a property."""
        if quantity.kind is Property.LOWEST_FREQUENCY:
            return lambda found: lowest_frequency(self._on_mesh(found)).frequency_thz
        if quantity.kind not in _CURVES or quantity.temperature_k is None:
            raise SettingError(
                f"{quantity.name} belongs to two crystals",
                subject="quantity",
                hint="Ask for the property of each",
            )
        name = _CURVES[quantity.kind]
        settings = replace(self.settings, temperatures_k=(quantity.temperature_k,))
        return lambda found: float(getattr(self._thermodynamics(found, settings), name)[0])

    def _on_mesh(self, frequencies_thz: FloatArray) -> MeshFrequencies:
        return replace(self.mesh, frequencies_thz=frequencies_thz)

    def _thermodynamics(
        self, frequencies_thz: FloatArray, settings: ThermodynamicsSettings
    ) -> Thermodynamics:
        return mesh_thermodynamics(self.response, frequencies_thz, settings)


def propagate(
    fit: GaussianProcessFit,
    settings: ScreeningSettings | None = None,
    n_samples: int = 32,
    seed: int = 0,
) -> PropagatedHarmonic:
    """Compute harmonic properties of the posterior mean and of draws from the posterior.

    Parameters
    ----------
    fit
        Force constants with their distribution.
    settings
        Mesh, temperatures and the policy for low modes; None takes the defaults.
    n_samples
        Number of draws, at least 2.
    seed
        Seed of the draws.

    Raises
    ------
    SettingError
        If there are fewer than two draws.
    InconsistentDataError
        If Born charges break the symmetry.
    """
    if n_samples < _FEWEST_SAMPLES:
        raise SettingError(
            f"{n_samples} draws have no spread", subject="n_samples", hint="Give 2 or more"
        )
    settings = settings or ScreeningSettings()
    response = mode_response(fit, settings.phonons.mesh_length_angstrom)
    inflation = max(1.0, left_out_ratio(fit))
    place = [one.order for one in fit.basis.orders].index(_HARMONIC)
    drawn = fit.posterior.sample(n_samples, seed)[place]
    changes = inflation * (drawn - fit.posterior.amplitudes()[place][:, None])
    functional = second_order_functional(fit, np.eye(len(drawn)))
    covariance = inflation**2 * fit.posterior.force_covariance(functional, functional)
    thermal = settings.thermodynamics
    return PropagatedHarmonic(
        response=response,
        thermodynamics=mesh_thermodynamics(response, response.mesh.frequencies_thz, thermal),
        frequency_std_thz=frozen_array(response.frequency_std_thz(covariance)),
        sampled_frequencies_thz=frozen_array(response.frequencies_thz(changes)),
        inflation=inflation,
        settings=thermal,
    )


def mesh_thermodynamics(
    response: ModeResponse, frequencies_thz: FloatArray, settings: ThermodynamicsSettings
) -> Thermodynamics:
    """Sum over modes of the mesh of a fit.

    Parameters
    ----------
    response
        The mesh.
    frequencies_thz
        Frequencies there in THz, those of the mean or of a draw, shape (q, branch).
    settings
        Temperatures and the policy for low modes.
    """
    mesh = response.mesh
    return thermodynamics(
        frequencies_thz,
        mesh.weights,
        response.harmonic.n_atoms,
        settings,
        is_gamma=mesh.is_gamma,
    )


def second_order_functional(fit: GaussianProcessFit, rows: FloatArray) -> Amplitudes:
    """Linear functionals of the amplitudes of second order, in the form of a design.

    Parameters
    ----------
    fit
        What has the orders.
    rows
        Weights of the second-order amplitudes, shape (row, column).

    Returns
    -------
    tuple of ndarray
        Weights of every order, shapes (row, column), zero for the others.
    """
    return tuple(
        rows if one.order == _HARMONIC else np.zeros((len(rows), one.n_columns))
        for one in fit.basis.orders
    )


def first_order_std(
    fit: GaussianProcessFit,
    response: ModeResponse,
    quantity: Quantity,
    settings: ThermodynamicsSettings | None = None,
) -> float:
    """Compute the standard deviation of a harmonic property to first order, in its unit.

    Widened as the draws of `propagate` are, where cells that are left out of the fit are
    predicted worse than it expects.

    Parameters
    ----------
    fit, response
        Distribution of the force constants, and the modes of its mean.
    quantity, settings
        As in `property_gradient`.

    Raises
    ------
    SettingError
        As `property_gradient`.
    """
    gradient = property_gradient(response, quantity, settings)
    return functional_std(fit, second_order_functional(fit, gradient[None]))


def functional_std(fit: GaussianProcessFit, functional: Amplitudes) -> float:
    """Compute the standard deviation of a linear functional of the amplitudes.

    Widened as `first_order_std` says.

    Parameters
    ----------
    fit
        Distribution of the amplitudes.
    functional
        Weights of the amplitudes of every order, shapes (1, column).
    """
    variance = float(fit.posterior.force_covariance(functional, functional)[0, 0])
    return max(1.0, left_out_ratio(fit)) * float(np.sqrt(max(variance, 0.0)))


def left_out_ratio(fit: GaussianProcessFit) -> float:
    """How large the errors of cells that are left out are, over what the fit expects.

    The forces of each cell are predicted from all others at the same hyperparameters, in closed
    form. The ratio is the root of the mean squared error in units of the predicted covariance:
    near one where the distribution can be trusted, above one where it is too narrow.

    Parameters
    ----------
    fit
        Fitted cells.
    """
    cells = fit.cells
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    total, n_known = 0.0, 0
    for place, (moves, seen) in enumerate(zip(cells.displacements_angstrom, forces, strict=True)):
        weights, block = _left_out(fit, place, moves, seen)
        values, vectors = np.linalg.eigh(block)  # positive, but for rounding, which says nothing
        known = values > np.finfo(np.float64).eps * len(values) * values[-1]
        total += float(((weights @ vectors)[known] ** 2 / values[known]).sum())
        n_known += int(known.sum())
    return float(np.sqrt(total / n_known))


def _left_out(
    fit: GaussianProcessFit, place: int, moves: FloatArray, forces: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Rows of one cell of K⁻¹ y and of K⁻¹, with the covariance K of the forces y of all cells.

    The covariance of the cell's forces given all others is the inverse of that block B, and
    their error B⁻¹ times those rows.
    """
    posterior, size = fit.posterior, forces.size
    seen = posterior.observations
    if seen.n_hidden_rows == 0 and seen.n_rows == fit.cells.forces_ev_per_angstrom.size:
        rows = slice(place * size, (place + 1) * size)
        columns = cho_solve(posterior.factor, np.eye(seen.n_rows)[:, rows])
        return columns.T @ seen.forces_ev_per_angstrom, columns[rows]
    # rows were transformed: with many of them the fitted forces lead to the same numbers
    noise = fit.hyperparameters.noise_variance
    designs = fit.designs(moves[None])
    pairs = zip(designs, posterior.amplitudes(), strict=True)
    residual = forces.ravel() - sum(one @ known for one, known in pairs)
    fitted = posterior.force_covariance(designs, designs)
    return residual / noise, (np.eye(size) - fitted / noise) / noise


def sample_interval(
    centre: FloatArray, samples: FloatArray, coverage: float
) -> tuple[FloatArray, FloatArray]:
    """Interval that holds a further draw with a given probability.

    The draws estimate the width; that they are few is accounted for by Student's distribution,
    for what is linear in normally distributed force constants.

    Parameters
    ----------
    centre
        Middle of the interval, any shape.
    samples
        Draws, shape (sample, ...).
    coverage
        Probability, between 0 and 1.

    Returns
    -------
    lower, upper
        Of the shape of the centre.

    Raises
    ------
    SettingError
        If the coverage is no probability.
    """
    from scipy.stats import t

    if not 0.0 < coverage < 1.0:
        raise SettingError(
            f"{coverage} is not between 0 and 1", subject="coverage", hint="Give for instance 0.9"
        )
    spread = np.std(samples, axis=0, ddof=1)
    half = float(t.ppf(0.5 * (1.0 + coverage), len(samples) - 1)) * spread
    return centre - half, centre + half
