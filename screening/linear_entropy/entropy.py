r"""Classical vibrational entropy from the logarithm of a determinant.

With n modes, and eigenvalues :math:`\lambda = \omega^2` of the Hessian with masses,

.. math::
    S / k_B = \sum_\nu [\ln(k_B T/\hbar\omega_\nu) + 1]
            = n [\ln(k_B T/\hbar) + 1] - \tfrac12 \ln\mathrm{pdet}(M^{-1/2} H M^{-1/2}).

A defective crystal and the perfect one have different numbers of rigid motions per atom. By
convention the missing modes of both are taken to be like the mean of the others, so that the
entropy of formation :math:`S_d - (N_d/N_b) S_b` of an element depends neither on temperature
nor on mass, nor on the unit of frequencies.
"""

from __future__ import annotations

import math

from screening.descriptors.interface import AtomicSystem
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.masses import log_mass_term, rigid_motions
from screening.prediction import FloatArray
from screening.units import KELVIN_PER_THZ, SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

__all__ = ["classical_entropy_boltzmann", "count_modes", "system_entropy_boltzmann"]


def classical_entropy_boltzmann(
    log_determinant: float, n_modes: float, temperature_k: float
) -> float:
    """Classical entropy in k_B.

    Parameters
    ----------
    log_determinant
        Sum over the modes of the logarithm of the eigenvalues, with masses, in eV/Å²/amu.
    n_modes
        Number of modes.
    temperature_k
        In K, above zero.

    Examples
    --------
    >>> at_300, at_600 = (classical_entropy_boltzmann(0.0, 3.0, t) for t in (300.0, 600.0))
    >>> round((at_600 - at_300) / math.log(2.0), 12)
    3.0
    """
    kelvin = KELVIN_PER_THZ * SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ
    return n_modes * (math.log(temperature_k / kelvin) + 1.0) - 0.5 * log_determinant


def count_modes(system: AtomicSystem, kind: SpectrumKind) -> tuple[float, float]:
    """Return the number of modes of a system, and the share of the zone centre in them."""
    if kind is SpectrumKind.MESH:
        return 3.0 * len(system), 0.0
    return 3.0 * len(system) - rigid_motions(system).shape[1], 1.0


def system_entropy_boltzmann(
    system: AtomicSystem,
    extensive_log_determinant: float,
    kind: SpectrumKind,
    temperature_k: float,
    masses_amu: FloatArray | None = None,
) -> float:
    """Classical entropy of a system in k_B, masses and missing modes exact.

    Parameters
    ----------
    system
        The atoms at rest.
    extensive_log_determinant
        As `screening.linear_entropy.labels.SpectralLabel` has it.
    kind
        Which modes are summed.
    temperature_k
        In K, above zero.
    masses_amu
        Masses in amu, shape (atom,); None takes those of the natural elements.

    Raises
    ------
    InconsistentDataError
        If there is not one positive mass for each atom.
    """
    n_modes, weight = count_modes(system, kind)
    without_masses = extensive_log_determinant * n_modes / (3.0 * len(system))
    with_masses = without_masses + log_mass_term(system, masses_amu, weight)
    return classical_entropy_boltzmann(with_masses, n_modes, temperature_k)
