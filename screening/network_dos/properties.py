r"""What follows from densities of states on a grid of bins, for many crystals at once.

All of a histogram counts as 3N modes. Weight below zero has no thermodynamics: sums go over the
rest, the bin around zero included, scaled up to 3N again. Both scales are kept, so that nothing
is hidden: a crystal with more than a tenth of its weight below zero is dynamically unstable, and
one with weight outside the window has no numbers that mean anything.

With the second moment of the frequency over all modes the Debye temperature is

.. math:: \theta_D = \frac{h}{k_B} \sqrt{\tfrac{5}{3} \langle \nu^2 \rangle},

to which the published code gives a factor :math:`n^{-1/3}`, n atoms in the cell; with that factor
it depends on the choice of the cell.

References
----------
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023),
doi:10.1103/PhysRevMaterials.7.023803: the rule of a tenth, and the Debye temperature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    OutOfDomainError,
    SettingError,
    WrongShapeError,
)
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.quadrature import bin_rule, thermal_kernels
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.thermodynamics import DEFAULT_TEMPERATURES_K, ThermodynamicsSettings
from screening.units import KELVIN_PER_THZ

__all__ = ["DosProperties", "DosSettings", "dos_properties"]

_NEGATIVE_STATES = 1e-9  # of the largest bin: rounding
_HINT = "Predict non-negative numbers of states, one for each bin of the grid"


@dataclass(frozen=True)
class DosSettings:
    """What the properties depend on besides the histogram.

    Attributes
    ----------
    temperatures_k
        Grid in K, ascending; zero is the exact limit.
    rising_bins
        How many bins from zero on are filled as the squared frequency, as
        `screening.network_dos.quadrature` explains. With none, weight around zero has no
        thermodynamics, as in the published code.
    largest_negative_fraction
        Crystals with a larger share of their weight below zero are unstable.
    largest_outside_fraction
        Crystals with a larger share of their weight outside the window are refused.
    end_fraction
        Share of the weight below the lowest frequency, and of that above the highest: predicted
        histograms have no sharp ends.
    """

    temperatures_k: tuple[float, ...] = DEFAULT_TEMPERATURES_K
    rising_bins: int = 2
    largest_negative_fraction: float = 0.1
    largest_outside_fraction: float = 1e-3
    end_fraction: float = 1e-3

    def __post_init__(self) -> None:
        ThermodynamicsSettings(temperatures_k=self.temperatures_k)
        for name in ("largest_negative_fraction", "largest_outside_fraction", "end_fraction"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 <= value < 0.5):  # noqa: PLR2004 - half of all
                raise SettingError(
                    f"{value} is no small share", subject=name, hint="Give 0 to 0.5, without 0.5"
                )
        if self.rising_bins < 0:
            raise SettingError(
                f"{self.rising_bins} bins", subject="rising_bins", hint="Give 0, 1 or 2"
            )


@dataclass(frozen=True, eq=False)
class DosProperties:
    """Properties of some crystals, per atom; the first axis of every array is the crystal.

    Attributes
    ----------
    grid, settings
        What the numbers belong to.
    n_atoms
        Atoms in the cell of each crystal, shape (crystal,).
    histograms
        Modes in each bin, 3N over all bins, those below zero included, shape (crystal, bin).
        Zero everywhere where nothing was predicted at all.
    positive_scale
        What the thermodynamic sums multiply the modes by, so that those that take part are 3N,
        shape (crystal,); zero where none does.
    negative_fraction
        Share of the weight below zero; the bin around zero does not count as below.
    outside_fraction
        Share of the weight outside the window, None where it is not known.
    stable
        Whether the share below zero is within the limit.
    suitable
        Whether there is weight to sum and, as far as is known, none is missing.
    free_energy_mev_per_atom, internal_energy_mev_per_atom
        With the zero-point energy, meV/atom, shape (crystal, temperature).
    entropy_mev_per_k_per_atom, heat_capacity_mev_per_k_per_atom
        In meV/K/atom, shape (crystal, temperature).
    zero_point_energy_mev_per_atom
        In meV/atom.
    mean_frequency_thz, mean_squared_frequency_thz2
        Means over the modes of the thermodynamic sums, in THz and THz².
    lowest_frequency_thz, highest_frequency_thz
        In THz, imaginary negative: where the share of the settings lies below or above, on a
        line within the bin.
    debye_temperature_k
        In K.
    published_debye_temperature_k
        In K, divided by the cube root of the number of atoms in the cell.
    """

    grid: FrequencyGrid
    settings: DosSettings
    n_atoms: NDArray[np.int64]
    histograms: FloatArray
    positive_scale: FloatArray
    negative_fraction: FloatArray
    outside_fraction: FloatArray | None
    stable: NDArray[np.bool_]
    suitable: NDArray[np.bool_]
    free_energy_mev_per_atom: FloatArray
    internal_energy_mev_per_atom: FloatArray
    entropy_mev_per_k_per_atom: FloatArray
    heat_capacity_mev_per_k_per_atom: FloatArray
    zero_point_energy_mev_per_atom: FloatArray
    mean_frequency_thz: FloatArray
    mean_squared_frequency_thz2: FloatArray
    lowest_frequency_thz: FloatArray
    highest_frequency_thz: FloatArray
    debye_temperature_k: FloatArray
    published_debye_temperature_k: FloatArray

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def temperatures_k(self) -> FloatArray:
        """Temperatures in K, shape (temperature,)."""
        return frozen_array(self.settings.temperatures_k)

    def check_suitable(self, index: int, subject: str = "") -> None:
        """Refuse a crystal whose numbers mean nothing.

        Raises
        ------
        OutOfDomainError
            If there is no weight to sum, or too much of it outside the window.
        """
        if self.positive_scale[index] == 0.0:
            raise OutOfDomainError(
                "the density of states has no weight at or above zero",
                subject=subject,
                hint="Compute its phonons with a potential",
            )
        if not self.suitable[index] and self.outside_fraction is not None:
            raise OutOfDomainError(
                f"{100.0 * self.outside_fraction[index]:.2g} % of the modes lie outside the window "
                f"of {self.grid.edges_thz[0]:.1f} to {self.grid.edges_thz[-1]:.1f} THz",
                subject=subject,
                hint="Compute its phonons with a potential, or train on a wider grid",
            )

    def thermodynamics(self, index: int) -> Thermodynamics:
        """Return the curves of one crystal as other methods give them.

        Modes below zero are dropped and the others scaled up; the record says how many. It is
        valid where the crystal is stable and suitable.
        """
        negative = float(self.negative_fraction[index])
        return Thermodynamics(
            temperatures_k=self.temperatures_k,
            free_energy_mev_per_atom=frozen_array(self.free_energy_mev_per_atom[index]),
            entropy_mev_per_k_per_atom=frozen_array(self.entropy_mev_per_k_per_atom[index]),
            heat_capacity_mev_per_k_per_atom=frozen_array(
                self.heat_capacity_mev_per_k_per_atom[index]
            ),
            internal_energy_mev_per_atom=frozen_array(self.internal_energy_mev_per_atom[index]),
            zero_point_energy_mev_per_atom=float(self.zero_point_energy_mev_per_atom[index]),
            low_mode_policy="renormalise",
            cutoff_thz=0.0,
            dropped_weight=negative,
            imaginary_weight=negative,
            valid=bool(self.stable[index] and self.suitable[index]),
        )


def dos_properties(
    histograms: ArrayLike,
    n_atoms: ArrayLike,
    grid: FrequencyGrid,
    settings: DosSettings | None = None,
    outside_fraction: ArrayLike | None = None,
) -> DosProperties:
    """Find the properties of some densities of states.

    Parameters
    ----------
    histograms
        States in each bin, not negative, of any normalisation, shape (crystal, bin).
    n_atoms
        Atoms in the cell of each crystal, shape (crystal,).
    grid
        The bins.
    settings
        Temperatures and limits.
    outside_fraction
        Share of all weight outside the window, shape (crystal,), where known. It does not
        change the numbers: it makes crystals unsuitable.

    Raises
    ------
    WrongShapeError
        If shapes do not fit.
    NonFiniteInputError
        If a number is not finite.
    InconsistentDataError
        If a bin holds a negative number of states, or a crystal has no atoms.

    Examples
    --------
    >>> from screening.network_dos.grid import PAPER_GRID
    >>> one = np.zeros((1, len(PAPER_GRID)))
    >>> one[0, PAPER_GRID.zero + 10] = 7.0
    >>> round(float(dos_properties(one, [2], PAPER_GRID).debye_temperature_k[0]), 1)
    371.5
    """
    settings = settings or DosSettings()
    counts, atoms, outside = _checked(histograms, n_atoms, grid, outside_fraction)
    fractions = _shares(counts)
    rule = bin_rule(grid, settings.rising_bins)
    kernels = thermal_kernels(grid, settings.rising_bins, settings.temperatures_k)
    kept = np.where(rule.used, fractions, 0.0)
    sums = kept.sum(axis=1)
    scale = np.where(sums > 0.0, 1.0 / np.where(sums > 0.0, sums, 1.0), 0.0)
    positive = kept * scale[:, None]
    modes = 3.0 * positive  # per atom
    negative = fractions[:, : grid.zero].sum(axis=1)
    inside = True if outside is None else outside <= settings.largest_outside_fraction
    free_energy = modes @ kernels.free_energy_mev
    entropy = modes @ kernels.entropy_mev_per_k
    mean_square = positive @ rule.moment(2)
    debye = KELVIN_PER_THZ * np.sqrt(5.0 / 3.0 * mean_square)
    return DosProperties(
        grid=grid,
        settings=settings,
        n_atoms=atoms,
        histograms=frozen_array(3.0 * atoms[:, None] * fractions),
        positive_scale=frozen_array(scale),
        negative_fraction=frozen_array(negative),
        outside_fraction=None if outside is None else frozen_array(outside),
        stable=negative <= settings.largest_negative_fraction,
        suitable=(sums > 0.0) & inside,
        free_energy_mev_per_atom=frozen_array(free_energy),
        internal_energy_mev_per_atom=frozen_array(free_energy + entropy * kernels.temperatures_k),
        entropy_mev_per_k_per_atom=frozen_array(entropy),
        heat_capacity_mev_per_k_per_atom=frozen_array(modes @ kernels.heat_capacity_mev_per_k),
        zero_point_energy_mev_per_atom=frozen_array(modes @ kernels.zero_point_energy_mev),
        mean_frequency_thz=frozen_array(positive @ rule.moment(1)),
        mean_squared_frequency_thz2=frozen_array(mean_square),
        lowest_frequency_thz=frozen_array(_quantiles(fractions, grid, settings.end_fraction)),
        highest_frequency_thz=frozen_array(
            -_quantiles(fractions[:, ::-1], grid, settings.end_fraction, backwards=True)
        ),
        debye_temperature_k=frozen_array(debye),
        published_debye_temperature_k=frozen_array(debye * atoms ** (-1.0 / 3.0)),
    )


def _checked(
    histograms: ArrayLike,
    n_atoms: ArrayLike,
    grid: FrequencyGrid,
    outside_fraction: ArrayLike | None,
) -> tuple[FloatArray, NDArray[np.int64], FloatArray | None]:
    """Arrays of fitting shapes, without rounding below zero."""
    counts = np.asarray(histograms, dtype=np.float64)
    atoms = np.asarray(n_atoms, dtype=np.int64)
    outside = None if outside_fraction is None else np.asarray(outside_fraction, dtype=np.float64)
    fit = counts.ndim == 2 and counts.shape[1] == len(grid)  # noqa: PLR2004 - a matrix
    fit = fit and atoms.shape == counts.shape[:1]
    if not (fit and (outside is None or outside.shape == atoms.shape)):
        raise WrongShapeError(
            f"{counts.shape} states and {atoms.shape} atoms on {len(grid)} bins",
            subject="histograms",
            hint="Give shapes (crystal, bin) and (crystal,)",
        )
    if not (np.isfinite(counts).all() and (outside is None or np.isfinite(outside).all())):
        raise NonFiniteInputError("a state is not finite", subject="histograms", hint=_HINT)
    largest = counts.max(axis=1, keepdims=True, initial=0.0)
    if np.any(counts < -_NEGATIVE_STATES * largest) or np.any(atoms < 1):
        raise InconsistentDataError(
            "a negative number of states, or no atoms", subject="histograms", hint=_HINT
        )
    return np.maximum(counts, 0.0), atoms, outside


def _shares(counts: FloatArray) -> FloatArray:
    """Share of each bin in the weight of its crystal; zero where there is no weight."""
    largest = counts.max(axis=1, keepdims=True, initial=0.0)
    scaled = counts / np.where(largest > 0.0, largest, 1.0)  # sums cannot overflow
    totals = scaled.sum(axis=1, keepdims=True)
    return np.asarray(scaled / np.where(totals > 0.0, totals, 1.0))


def _quantiles(
    fractions: FloatArray, grid: FrequencyGrid, share: float, *, backwards: bool = False
) -> FloatArray:
    """Frequency in THz up to which a share of the weight lies, shape (crystal,).

    With ``backwards`` the bins come from the highest on, and the sign of the result is reversed.
    """
    edges = -grid.edges_thz[::-1] if backwards else np.asarray(grid.edges_thz)
    cumulative = np.cumsum(fractions, axis=1)
    wanted = np.maximum(share, np.finfo(np.float64).tiny)
    places = np.argmax(cumulative >= wanted, axis=1)
    rows = np.arange(len(fractions))
    own = fractions[rows, places]
    before = cumulative[rows, places] - own
    part = np.where(own > 0.0, (wanted - before) / np.where(own > 0.0, own, 1.0), 0.0)
    found = edges[places] + np.clip(part, 0.0, 1.0) * np.diff(edges)[places]
    return np.asarray(np.where(fractions.any(axis=1), found, 0.0))
