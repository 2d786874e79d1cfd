"""Force constants from the forces of a few displaced cells: the symmetry-adapted Gaussian process.

The energy is a polynomial in the displacements whose coefficients, the force constants, have a
normal prior (see `screening.gaussian_process.prior`). Forces are linear in them, so that the
posterior is normal as well and known in closed form: this is a Gaussian process with the
polynomial kernel averaged over the space group.

References
----------
K. Keeratikarn and J. M. Frost, Anharmonic phonons with Gaussian processes (2024).
A. Seko and A. Togo, Phys. Rev. B 110, 214302 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, NonFiniteForcesError, WrongShapeError
from screening.gaussian_process.basis import ForceConstantBasis, force_constant_basis
from screening.gaussian_process.cutoff import automatic_cutoff, check_symmetry
from screening.gaussian_process.dipole import dipole_amplitudes
from screening.gaussian_process.evidence import maximise_evidence
from screening.gaussian_process.observations import Hyperparameters, Observations
from screening.gaussian_process.posterior import Amplitudes, Posterior, PriorMean, posterior_of
from screening.gaussian_process.prior import Locality
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import FloatArray, frozen_array
from screening.repeated_cell import PolarCell

__all__ = ["GaussianProcessFit", "basis_for", "fit_force_constants"]

_FIRST, _HARMONIC, _CUBIC = 1, 2, 3
_MANY_UNKNOWNS_PER_EQUATION = 5.0


@dataclass(frozen=True, eq=False)
class GaussianProcessFit:
    """Force constants and how sure they are, given the forces of displaced cells.

    Attributes
    ----------
    cells
        What it was fitted to.
    basis
        The independent force constants.
    settings
        How it was fitted.
    posterior
        Distribution of the amplitudes of the basis.
    log_evidence
        Logarithm of the marginal likelihood of the forces.
    notes
        What the user should know.
    """

    cells: DisplacedCells
    basis: ForceConstantBasis
    settings: GaussianProcessSettings
    posterior: Posterior
    log_evidence: float
    notes: tuple[str, ...]

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the evidence chose."""
        return self.posterior.hyperparameters

    @property
    def force_constants(self) -> ForceConstants:
        """Mean of the posterior."""
        return self.expanded(self.posterior.amplitudes())

    @property
    def unknowns_per_equation(self) -> float:
        """Independent force constants for each force component that was given."""
        return self.basis.n_unknowns / self.cells.forces_ev_per_angstrom.size

    def sample(self, n_samples: int, seed: int = 0) -> tuple[ForceConstants, ...]:
        """Draw force constants from the posterior."""
        drawn = self.posterior.sample(n_samples, seed)
        return tuple(self.expanded(tuple(one[:, k] for one in drawn)) for k in range(n_samples))

    def predict_forces(self, displacements_angstrom: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Predict the forces of other displacements of the same supercell, without noise.

        Parameters
        ----------
        displacements_angstrom
            Shape (cell, atom, 3).

        Returns
        -------
        mean, standard deviation
            In eV/Å, shape (cell, atom, 3).

        Raises
        ------
        WrongShapeError
            If the displacements belong to another supercell.
        """
        mean = np.empty(displacements_angstrom.shape)
        spread = np.empty(displacements_angstrom.shape)
        amplitudes = self.posterior.amplitudes()
        for cell, one in enumerate(displacements_angstrom):
            designs = self.designs(one[None])
            forces = sum(design @ known for design, known in zip(designs, amplitudes, strict=True))
            variance = np.diag(self.posterior.force_covariance(designs, designs))
            mean[cell] = np.reshape(forces, one.shape)
            spread[cell] = np.sqrt(np.maximum(variance, 0.0)).reshape(one.shape)
        return mean + self.cells.residual_forces_ev_per_angstrom, spread

    def designs(self, displacements_angstrom: FloatArray) -> Amplitudes:
        """Return the forces in eV/Å of unit amplitudes of every order, shapes (row, column)."""
        return _designs(self.basis, displacements_angstrom)

    def expanded(self, amplitudes: Amplitudes) -> ForceConstants:
        """Force constants of amplitudes, one array of shape (column,) for each order."""
        parts = {
            one.order: frozen_array(self.basis.expand(one.order, values))
            for one, values in zip(self.basis.orders, amplitudes, strict=True)
        }
        return ForceConstants(
            primitive=self.cells.primitive,
            supercell_matrix=self.cells.supercell_matrix,
            supercell_scaled_positions=self.cells.supercell_scaled_positions,
            supercell_numbers=self.cells.supercell_numbers,
            second_order_ev_per_angstrom2=parts[_HARMONIC],
            third_order_ev_per_angstrom3=parts.get(_CUBIC),
            born_charges_e=self.cells.born_charges_e,
            dielectric_constant=self.cells.dielectric_constant,
        )


def basis_for(cell: PolarCell, settings: GaussianProcessSettings) -> ForceConstantBasis:
    """Build the basis that a fit with these settings uses.

    Raises
    ------
    InconsistentDataError
        If the supercell does not repeat the primitive cell.
    TooLargeError
        If the crystal has too little symmetry for its size.
    SettingError
        If the cutoff leaves no triplet.
    """
    check_symmetry(cell, settings.symprec_angstrom)
    cutoff = None
    if settings.max_order == _CUBIC:
        cutoff = settings.third_order_cutoff_angstrom
        if cutoff is None:
            cutoff = automatic_cutoff(cell, settings.max_unknowns, settings.symprec_angstrom)
    orders = tuple(range(_FIRST, settings.max_order + 1))
    return force_constant_basis(cell, orders, cutoff, settings.symprec_angstrom)


def fit_force_constants(
    cells: DisplacedCells,
    settings: GaussianProcessSettings | None = None,
    prior_mean: ForceConstants | None = None,
    basis: ForceConstantBasis | None = None,
) -> GaussianProcessFit:
    """Learn force constants from the forces of displaced cells.

    Parameters
    ----------
    cells
        At least one displaced supercell.
    settings
        How; None takes the defaults.
    prior_mean
        Force constants of the same supercell, atoms in the same order, that a cheaper method
        gives. Each order of them is multiplied by a factor about one that the forces determine.
    basis
        What `basis_for` returned for the same supercell and settings; None computes it.

    Raises
    ------
    InconsistentDataError, WrongShapeError
        If cells, displacements, Born charges or the prior mean contradict each other.
    NonFiniteForcesError
        If a displacement or force is not finite.
    SettingError
        If a cutoff leaves no triplet.
    """
    with threadpool_limits(1, user_api="blas"):  # numpy's and scipy's threads hinder each other
        return _fit(cells, settings or GaussianProcessSettings(), prior_mean, basis)


def _fit(
    cells: DisplacedCells,
    settings: GaussianProcessSettings,
    prior_mean: ForceConstants | None,
    basis: ForceConstantBasis | None,
) -> GaussianProcessFit:
    _check(cells)
    basis = basis or basis_for(cells, settings)
    mean = _prior_mean(cells, basis, settings, prior_mean)
    seen = _observations(cells, basis, settings, mean)
    locality = Locality(settings.decay, basis.nearest_angstrom)
    chosen, evidence = maximise_evidence(seen, locality, settings.noise_floor_ev_per_angstrom)
    posterior = posterior_of(seen, locality, chosen, mean)
    notes = _notes(cells, basis, settings)
    return GaussianProcessFit(cells, basis, settings, posterior, evidence, notes)


def _check(cells: DisplacedCells) -> None:
    shape = (cells.n_cells, cells.n_atoms, 3)
    still = np.asarray(cells.residual_forces_ev_per_angstrom)
    if still.shape != shape[1:] or not np.all(np.isfinite(still)):
        raise WrongShapeError(
            f"finite values of shape {shape[1:]} are needed, not of {still.shape}",
            subject="residual_forces_ev_per_angstrom",
            hint="Give the forces on the undisplaced supercell, zeros where they are unknown",
        )
    for name in ("displacements_angstrom", "forces_ev_per_angstrom"):
        values = np.asarray(getattr(cells, name))
        if values.shape != shape:
            raise WrongShapeError(f"shape {values.shape} where {shape} is needed", subject=name)
        if not np.all(np.isfinite(values)):
            cell = int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))[0])
            raise NonFiniteForcesError(f"a value of cell {cell} is not finite", subject=name)
    if not np.any(cells.displacements_angstrom):
        raise InconsistentDataError(
            f"none of {cells.n_cells} cells is displaced",
            subject="displacements_angstrom",
            hint="Give cells with atoms off their places, and the forces on them",
        )


def _designs(basis: ForceConstantBasis, displacements_angstrom: FloatArray) -> Amplitudes:
    return tuple(basis.design(one.order, displacements_angstrom) for one in basis.orders)


def _prior_mean(
    cells: DisplacedCells,
    basis: ForceConstantBasis,
    settings: GaussianProcessSettings,
    given: ForceConstants | None,
) -> PriorMean:
    """Dipoles as they are; the rest of given force constants up to a factor."""
    dipoles = (
        dipole_amplitudes(cells, basis, settings.symprec_angstrom)
        if settings.subtract_dipoles
        else None
    )
    fixed = [np.zeros(one.n_columns) for one in basis.orders]
    scaled: list[tuple[int, FloatArray]] = []
    for place, one in enumerate(basis.orders):
        if one.order == _HARMONIC and dipoles is not None:
            fixed[place] = dipoles
        values = None if given is None else _given_amplitudes(given, basis, one.order)
        if values is not None:
            scaled.append((place, values - fixed[place]))
    return PriorMean(tuple(fixed), tuple(scaled))


def _given_amplitudes(
    given: ForceConstants, basis: ForceConstantBasis, order: int
) -> FloatArray | None:
    if order == _FIRST:
        return None
    values = (
        given.second_order_ev_per_angstrom2
        if order == _HARMONIC
        else given.third_order_ev_per_angstrom3
    )
    if values is None:
        return None
    shape = (basis.n_sites, *(basis.n_atoms,) * (order - 1), *(3,) * order)
    if values.shape != shape:
        raise WrongShapeError(
            f"order {order} of shape {values.shape} where {shape} is needed", subject="prior_mean"
        )
    return basis.order(order).allowed(basis.project(order, values))


def _observations(
    cells: DisplacedCells,
    basis: ForceConstantBasis,
    settings: GaussianProcessSettings,
    mean: PriorMean,
) -> Observations:
    """Collect forces without what is known, and what the rest is linear in."""
    designs = _designs(basis, cells.displacements_angstrom)
    forces = (cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom[None]).ravel()
    for design, fixed in zip(designs, mean.fixed, strict=True):
        forces = forces - design @ fixed
    rows = mean.rows(designs)
    return Observations(
        basis.orders, designs, forces - rows.sum(axis=0), rows, settings.mean_scale_std
    )


def _notes(
    cells: DisplacedCells, basis: ForceConstantBasis, settings: GaussianProcessSettings
) -> tuple[str, ...]:
    found = []
    ratio = basis.n_unknowns / cells.forces_ev_per_angstrom.size
    if ratio > _MANY_UNKNOWNS_PER_EQUATION:
        found.append(
            f"{basis.n_unknowns} force constants from {cells.forces_ev_per_angstrom.size} forces: "
            f"{ratio:.1f} unknowns per equation; what the forces do not determine follows from "
            "the prior, and its uncertainty is wide"
        )
    automatic = settings.third_order_cutoff_angstrom is None
    if automatic and basis.third_order_cutoff_angstrom is not None:
        found.append(
            f"third-order force constants reach to {basis.third_order_cutoff_angstrom:.2f} Å: "
            f"further ones would be more than {settings.max_unknowns}"
        )
    is_polar = not all(element.is_metal for element in cells.primitive.composition)
    is_polar = is_polar and len(cells.primitive.composition) > 1
    if settings.subtract_dipoles and is_polar and cells.born_charges_e is None:
        found.append("no Born charges: long-range forces of a polar crystal are not treated apart")
    return tuple(found)
