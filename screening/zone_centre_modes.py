"""What follows from the modes of the zone centre alone: moments and thermodynamics.

With ten or more atoms in the cell the zone centre is taken for all wave vectors, whose sum is
what it is held against where it is known. Its three translations count once, as modes at half of
the mean frequency of the other modes, and so does what a repair left at zero. Force constants and
entropies that are learned at the zone centre are both summed so, labels and predictions alike.

References
----------
F. Legrain et al., arXiv:1803.09827, section on thermodynamic functions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from screening.harmonic import DEFAULT_MESH_LENGTH_ANGSTROM, Harmonic, mesh_frequencies
from screening.hessians import ZERO_MODE_FRACTION
from screening.prediction import FloatArray, Thermodynamics
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import thz_to_rad_per_ps

__all__ = [
    "SpectrumMoments",
    "mesh_thermodynamics",
    "replace_low_modes",
    "spectrum_moments",
    "zone_centre_thermodynamics",
]

_DEFAULT_CUTOFF_THZ = ThermodynamicsSettings().cutoff_thz


@dataclass(frozen=True)
class SpectrumMoments:
    """Mean, standard deviation and maximum of the frequencies of a cell in THz."""

    mean_thz: float
    standard_deviation_thz: float
    max_thz: float

    @property
    def rad_per_ps(self) -> tuple[float, float, float]:
        """Mean, standard deviation and maximum as angular frequencies in rad/ps."""
        return (
            thz_to_rad_per_ps(self.mean_thz),
            thz_to_rad_per_ps(self.standard_deviation_thz),
            thz_to_rad_per_ps(self.max_thz),
        )


def replace_low_modes(
    frequencies_thz: FloatArray, cutoff_thz: float = _DEFAULT_CUTOFF_THZ
) -> FloatArray:
    """Give low modes half of the mean frequency of the others.

    Parameters
    ----------
    frequencies_thz
        All frequencies of a cell at the zone centre in THz, shape (3 site,).
    cutoff_thz
        Modes at or below this or one hundredth of the highest frequency are low, as in
        `screening.thermodynamics` under the policy ``half_mean_optical``.

    Returns
    -------
    ndarray
        In THz, shape (3 site,); zeros where no mode is high.

    References
    ----------
    F. Legrain et al., arXiv:1803.09827, who replace all zero modes so.
    """
    threshold = max(cutoff_thz, ZERO_MODE_FRACTION * float(frequencies_thz.max()))
    high = frequencies_thz > threshold
    substitute = 0.5 * float(frequencies_thz[high].mean()) if high.any() else 0.0
    return np.where(high, frequencies_thz, substitute)


def spectrum_moments(
    frequencies_thz: FloatArray, cutoff_thz: float = _DEFAULT_CUTOFF_THZ
) -> SpectrumMoments:
    """Mean, standard deviation and maximum of the modes, low ones replaced.

    Parameters
    ----------
    frequencies_thz, cutoff_thz
        As in `replace_low_modes`.

    Examples
    --------
    >>> spectrum_moments(np.array([0.0, 0.0, 0.0, 4.0, 4.0, 4.0])).mean_thz
    3.0
    """
    modes = replace_low_modes(frequencies_thz, cutoff_thz)
    return SpectrumMoments(float(modes.mean()), float(modes.std()), float(modes.max()))


def zone_centre_thermodynamics(
    frequencies_thz: FloatArray, n_atoms: int, settings: ThermodynamicsSettings | None = None
) -> Thermodynamics:
    """Thermodynamics of the modes of the zone centre alone, low ones replaced.

    Parameters
    ----------
    frequencies_thz
        In THz, imaginary ones negative, shape (3 site,).
    n_atoms
        Atoms of the cell.
    settings
        Temperatures, cutoff and largest dropped weight; the policy for low modes is
        ``half_mean_optical`` whatever they say.

    Returns
    -------
    Thermodynamics
        Per atom. Low modes beyond the three translations count as dropped.
    """
    settings = settings or ThermodynamicsSettings()
    if settings.low_mode_policy != "half_mean_optical":
        settings = replace(settings, low_mode_policy="half_mean_optical")
    rows = np.asarray(frequencies_thz, dtype=np.float64)[None]
    return thermodynamics(rows, np.ones(1), n_atoms, settings, is_gamma=np.array([True]))


def mesh_thermodynamics(
    harmonic: Harmonic, mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM
) -> Thermodynamics | None:
    """Sum the modes of a mesh of wave vectors, for what is learned at its centre alone.

    Parameters
    ----------
    harmonic
        Force constants of the crystal.
    mesh_length_angstrom
        As in `screening.harmonic.mesh_frequencies`.

    Returns
    -------
    Thermodynamics
        At the temperatures of `screening.thermodynamics.ThermodynamicsSettings`; None where the
        forces were computed in one cell, which knows the zone centre alone, or too many modes
        are low.
    """
    if len(harmonic.dynamical_matrix.supercell) == harmonic.n_atoms:
        return None
    mesh = mesh_frequencies(harmonic, mesh_length_angstrom)
    found = thermodynamics(
        mesh.frequencies_thz, mesh.weights, harmonic.n_atoms, is_gamma=mesh.is_gamma
    )
    return found if found.valid else None
