"""What a fit sees, forces and what they are linear in, and what the evidence chooses for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from screening.gaussian_process.basis import OrderBasis
from screening.gaussian_process.prior import OrderScale
from screening.prediction import FloatArray

__all__ = ["Hyperparameters", "Observations"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Forces and what they are linear in.

    Attributes
    ----------
    bases
        The orders.
    designs
        Forces in eV/Å of unit amplitudes, one array of shape (row, column) for each order.
    forces_ev_per_angstrom
        Forces without residual and known parts, shape (row,).
    means
        Forces of each part of a prior mean, shape (part, row).
    mean_scale_std
        Standard deviation of the factor that multiplies each part.
    n_hidden_rows
        Rows of noise alone that an orthogonal transformation has put aside.
    """

    bases: tuple[OrderBasis, ...]
    designs: tuple[FloatArray, ...]
    forces_ev_per_angstrom: FloatArray
    means: FloatArray
    mean_scale_std: float
    n_hidden_rows: int = 0

    @property
    def n_rows(self) -> int:
        """Rows that are kept."""
        return len(self.forces_ev_per_angstrom)

    @property
    def n_all_rows(self) -> int:
        """Rows that are kept or put aside."""
        return self.n_rows + self.n_hidden_rows

    def rows(self, selection: slice | NDArray[np.int64]) -> Observations:
        """Return some rows."""
        return replace(
            self,
            designs=tuple(design[selection] for design in self.designs),
            forces_ev_per_angstrom=self.forces_ev_per_angstrom[selection],
            means=self.means[:, selection],
        )

    def reduced(self) -> Observations:
        """Turn more rows than unknowns into as many as matter, without loss.

        An orthogonal transformation of the rows leaves the likelihood as it is, and collects
        what no force constant explains in one row.
        """
        widths = [design.shape[1] for design in self.designs]
        n_kept = sum(widths) + len(self.means) + 1
        if self.n_rows <= n_kept:
            return self
        stacked = np.column_stack([*self.designs, self.means.T, self.forces_ev_per_angstrom])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        edges = [int(edge) for edge in np.cumsum([0, *widths])]
        return replace(
            self,
            designs=tuple(triangle[:, a:b] for a, b in pairwise(edges)),
            forces_ev_per_angstrom=triangle[:, -1],
            means=triangle[:, edges[-1] : -1].T,
            n_hidden_rows=self.n_hidden_rows + self.n_rows - len(triangle),
        )


@dataclass(frozen=True)
class Hyperparameters:
    """What the evidence chooses.

    Attributes
    ----------
    scales
        Variance and decay of every order.
    log_excess_noise_variance
        Logarithm of the variance of the noise above its floor, (eV/Å)².
    noise_floor_ev_per_angstrom
        Smallest standard deviation of a force in eV/Å.
    """

    scales: tuple[OrderScale, ...]
    log_excess_noise_variance: float
    noise_floor_ev_per_angstrom: float

    @property
    def noise_variance(self) -> float:
        """Variance of a force in (eV/Å)²."""
        return float(self.noise_floor_ev_per_angstrom**2 + np.exp(self.log_excess_noise_variance))

    @property
    def noise_ev_per_angstrom(self) -> float:
        """Standard deviation of a force in eV/Å."""
        return float(np.sqrt(self.noise_variance))

    def vector(self) -> FloatArray:
        """Return all that is optimised, as one array."""
        flat = [(scale.log_variance, scale.exponent) for scale in self.scales]
        return np.array([*np.ravel(flat), self.log_excess_noise_variance])

    def with_vector(self, vector: FloatArray) -> Hyperparameters:
        """Return the same with other values."""
        scales = tuple(
            replace(scale, log_variance=float(vector[2 * k]), exponent=float(vector[2 * k + 1]))
            for k, scale in enumerate(self.scales)
        )
        return replace(self, scales=scales, log_excess_noise_variance=float(vector[-1]))
