"""What the method learns from: logarithm of the determinant and traces of a Hessian, per cell.

Both are free of masses, temperature and the volume of phase space: with the exact terms of
`masses` and `entropy` they give the classical entropy, and the first quantum correction to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from screening.acoustic import acoustic_mask
from screening.descriptors.interface import AtomicSystem
from screening.errors import TrainingSetError
from screening.harmonic import (
    DEFAULT_MESH_LENGTH_ANGSTROM,
    Harmonic,
    MeshFrequencies,
    mesh_frequencies,
)
from screening.hessians import TrainingTolerances
from screening.linear_entropy.masses import natural_masses_amu, rigid_motions
from screening.linear_entropy.model_spectrum import log_quantiles
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.zone_centre_modes import zone_centre_thermodynamics

__all__ = [
    "LABEL_TEMPERATURES_K",
    "LabelOrigin",
    "SpectralLabel",
    "SpectrumKind",
    "label_of",
    "label_of_hessian",
]

LABEL_TEMPERATURES_K = (0.0, 50.0, 100.0, 300.0, 600.0, 1000.0, 1500.0)
"""Where labels of crystals keep their exact thermodynamics, for what is calibrated on them."""

_SYMMETRIC = 1e-4  # largest difference from the transpose over the largest element
_RIGID = 1e-3  # largest force constant of a rigid motion over the largest eigenvalue
_LEAST_EIGENVALUE = 1e-7  # over the largest
_LEAST_FREQUENCY_THZ = 0.02  # what lies below cannot be told from zero


class SpectrumKind(StrEnum):
    """Which modes a label sums over; labels of two kinds are never mixed."""

    CLUSTER = "cluster"
    ZONE_CENTRE = "zone_centre"
    MESH = "mesh"


@dataclass(frozen=True)
class LabelOrigin:
    """Where a label comes from and what it belongs to.

    Attributes
    ----------
    material_id
        Names the structure.
    group
        Parent configuration or composition: what belongs together is never split between
        training and test, and counts once in a calibration. Its own name where empty.
    family
        Class of structures of which calibrations are kept apart, such as ``vacancy`` or
        ``2000 atoms``.
    bulk
        Name of the perfect crystal that a formation entropy is taken against; empty for what
        is no defect.
    energy_ev
        Energy of the cell, for a baseline of the model card.
    largest_force_ev_per_angstrom
        Largest force on an atom in eV/Å, which vanishes at rest; None where it is not known.
        Such labels are learned from, and counted on the card.
    """

    material_id: str
    group: str = ""
    family: str = ""
    bulk: str = ""
    energy_ev: float | None = None
    largest_force_ev_per_angstrom: float | None = None


@dataclass(frozen=True, eq=False)
class SpectralLabel:
    """Logarithm of the determinant and traces of the Hessian of one structure.

    Attributes
    ----------
    origin
        Name, group and class.
    system
        The atoms at rest.
    kind
        Which modes are summed.
    n_modes
        Number of them in the cell: 3N - 6 of a cluster, 3N - 3 of one cell, and 3N less the
        share of the zone centre on a mesh.
    log_determinant
        Sum over these modes of the logarithm of the eigenvalues in eV/Å² of the Hessian
        without masses.
    site_log_determinants
        Share of each atom in the logarithm of the determinant, the trace of its block of the
        logarithm of the Hessian, shape (atom,); None where only the sum is known. A hundred
        numbers for one: with them a few dozen structures teach what some hundred do without.
    site_traces_ev_per_angstrom2
        Trace of the force constants of each atom with itself in eV/Å², shape (atom,); None
        where only classical entropies are wanted.
    zone_centre_weight
        Share of the zone centre among the wave vectors of the sum.
    thermodynamics
        Exact thermodynamics of a crystal with natural masses at `LABEL_TEMPERATURES_K`. On a mesh
        the rigid motions at the zone centre take part as if they were like the mean mode; of a
        zone centre alone they count as `screening.zone_centre_modes` says.
    log_frequency_quantiles
        Of the spectrum of a crystal with natural masses, as
        `screening.linear_entropy.model_spectrum.log_quantiles` gives them; None where only
        sums are known.
    """

    origin: LabelOrigin
    system: AtomicSystem
    kind: SpectrumKind
    n_modes: float
    log_determinant: float
    site_log_determinants: FloatArray | None = field(default=None, repr=False)
    site_traces_ev_per_angstrom2: FloatArray | None = field(default=None, repr=False)
    zone_centre_weight: float = 1.0
    thermodynamics: Thermodynamics | None = field(default=None, repr=False)
    log_frequency_quantiles: FloatArray | None = field(default=None, repr=False)

    @property
    def material_id(self) -> str:
        """Name of the structure."""
        return self.origin.material_id

    @property
    def group(self) -> str:
        """Unit of every split."""
        return self.origin.group or self.origin.material_id

    @property
    def extensive_log_determinant(self) -> float:
        """The logarithm as it would be if the missing rigid motions were like the mean mode.

        That of two copies side by side is twice that of one, in any unit.
        """
        return self.log_determinant * self.modes_per_mode

    @property
    def modes_per_mode(self) -> float:
        """Number of all motions, 3N, over the number of modes."""
        return 3.0 * len(self.system) / self.n_modes


def label_of_hessian(
    hessian_ev_per_angstrom2: FloatArray, system: AtomicSystem, origin: LabelOrigin
) -> SpectralLabel:
    """Label a cluster, or the modes of one cell at its zone centre.

    Rigid motions are projected out, so that exactly 3N - 6 or 3N - 3 modes are summed.

    Parameters
    ----------
    hessian_ev_per_angstrom2
        Second derivatives of the energy in eV/Å², without masses, shape (3 atom, 3 atom).
    system
        The atoms at rest; without a cell it is a cluster.
    origin
        Name, group and class.

    Raises
    ------
    TrainingSetError
        If the Hessian has a wrong shape, is not finite or not symmetric, if there are forces
        or a rigid motion costs energy (then the atoms are not at rest), or if a mode is negative
        or zero.
    """
    _check_rest(origin)
    hessian = _checked_hessian(hessian_ev_per_angstrom2, system, origin.material_id)
    rigid = rigid_motions(system)
    eigenvalues, vectors = _internal_modes(hessian, rigid, origin.material_id)
    shares = (vectors**2).reshape(-1, 3, len(eigenvalues)).sum(axis=1)
    return SpectralLabel(
        origin=origin,
        system=system,
        kind=SpectrumKind.CLUSTER if system.cell_angstrom is None else SpectrumKind.ZONE_CENTRE,
        n_modes=float(len(eigenvalues)),
        log_determinant=float(np.log(eigenvalues).sum()),
        site_log_determinants=frozen_array(shares @ np.log(eigenvalues)),
        site_traces_ev_per_angstrom2=frozen_array(np.diag(hessian).reshape(-1, 3).sum(axis=1)),
    )


def _check_rest(origin: LabelOrigin) -> None:
    largest = origin.largest_force_ev_per_angstrom
    allowed = TrainingTolerances().residual_force_ev_per_angstrom
    if largest is not None and not 0.0 <= largest <= allowed:
        raise TrainingSetError(
            f"forces up to {largest:.3g} eV/Å: the atoms are not at rest",
            subject=origin.material_id,
            hint="Relax the structure with the potential of the training set",
        )


def _checked_hessian(given: FloatArray, system: AtomicSystem, name: str) -> FloatArray:
    hessian = np.asarray(given, dtype=np.float64)
    size = 3 * len(system)
    if hessian.shape != (size, size):
        raise TrainingSetError(
            f"a Hessian of shape {hessian.shape} for {len(system)} atoms",
            subject=name,
            hint=f"Give second derivatives of shape ({size}, {size})",
        )
    if not np.all(np.isfinite(hessian)):
        raise TrainingSetError(
            "a second derivative is not finite", subject=name, hint="Leave this structure out"
        )
    if np.abs(hessian - hessian.T).max() > _SYMMETRIC * np.abs(hessian).max():
        raise TrainingSetError(
            "the Hessian is not symmetric",
            subject=name,
            hint="Compute it by central differences with smaller steps",
        )
    return np.asarray(0.5 * (hessian + hessian.T))


def _internal_modes(
    hessian: FloatArray, rigid: FloatArray, name: str
) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues in eV/Å² beside the rigid motions, ascending, with their eigenvectors."""
    n_rigid = rigid.shape[1]
    if n_rigid == len(hessian):
        raise TrainingSetError(
            "one atom has no vibration", subject=name, hint="Leave this structure out"
        )
    pulled = hessian @ rigid
    inner = hessian - pulled @ rigid.T - rigid @ pulled.T + rigid @ (rigid.T @ pulled) @ rigid.T
    # rigid motions are put above all others, where they cannot be mistaken
    scale = float(np.abs(hessian).sum(axis=1).max())
    values, vectors = np.linalg.eigh(inner + 2.0 * scale * (rigid @ rigid.T))
    values, vectors = values[:-n_rigid], vectors[:, :-n_rigid]
    if np.abs(pulled).max() > _RIGID * values[-1]:
        raise TrainingSetError(
            f"a rigid motion costs {np.abs(pulled).max():.3g} eV/Å²: the atoms are not at rest",
            subject=name,
            hint="Relax the structure further, or compute the Hessian with smaller steps",
        )
    if values[0] <= _LEAST_EIGENVALUE * values[-1]:
        n_negative = int(np.count_nonzero(values <= _LEAST_EIGENVALUE * values[-1]))
        raise TrainingSetError(
            f"{n_negative} modes are negative or zero, the lowest {values[0]:.3g} eV/Å²",
            subject=name,
            hint="Train on minima of the energy: relax the structure further or leave it out",
        )
    return np.asarray(values), np.asarray(vectors)


def label_of(
    harmonic: Harmonic,
    origin: LabelOrigin,
    mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM,
    temperatures_k: Sequence[float] = LABEL_TEMPERATURES_K,
) -> SpectralLabel:
    """Label a crystal by the mean over a mesh of wave vectors.

    A mesh of one point, for force constants that are known in one cell only, gives a label of
    the zone centre.

    Parameters
    ----------
    harmonic
        Force constants of the crystal.
    origin
        Name, group and class.
    mesh_length_angstrom
        As in `screening.harmonic.mesh_frequencies`.
    temperatures_k
        Where the exact thermodynamics are kept, in K.

    Raises
    ------
    TrainingSetError
        If there are forces, a mode is imaginary or zero, or there is none beside the acoustic
        ones.
    """
    _check_rest(origin)
    mesh = mesh_frequencies(harmonic, mesh_length_angstrom)
    _check_frequencies(mesh, origin.material_id)
    system = AtomicSystem.from_structure(harmonic.primitive)
    logs, traces = _site_means(harmonic, mesh, natural_masses_amu(system.numbers))
    weight = float(mesh.weights[mesh.is_gamma].sum())
    return SpectralLabel(
        origin=origin,
        system=system,
        kind=SpectrumKind.MESH if weight < 1.0 else SpectrumKind.ZONE_CENTRE,
        n_modes=3.0 * (len(system) - weight),
        log_determinant=float(logs.sum()),
        site_log_determinants=frozen_array(logs),
        site_traces_ev_per_angstrom2=frozen_array(traces),
        zone_centre_weight=weight,
        thermodynamics=_exact(mesh, len(system), temperatures_k),
        log_frequency_quantiles=_quantiles(mesh),
    )


def _exact(mesh: MeshFrequencies, n_atoms: int, temperatures_k: Sequence[float]) -> Thermodynamics:
    """Sum all modes."""
    if mesh.is_gamma.all():
        settings = ThermodynamicsSettings(temperatures_k=tuple(temperatures_k))
        return zone_centre_thermodynamics(mesh.frequencies_thz[0], n_atoms, settings)
    settings = ThermodynamicsSettings(
        temperatures_k=tuple(temperatures_k), low_mode_policy="renormalise", cutoff_thz=1e-6
    )
    return thermodynamics(
        mesh.frequencies_thz, mesh.weights, n_atoms, settings, is_gamma=mesh.is_gamma
    )


def _quantiles(mesh: MeshFrequencies) -> FloatArray:
    """Shape of the spectrum without the translations."""
    kept = ~acoustic_mask(mesh.frequencies_thz, mesh.is_gamma)
    weights = np.broadcast_to(mesh.weights[:, None], kept.shape)
    return log_quantiles(mesh.frequencies_thz[kept], weights[kept])


def _check_frequencies(mesh: MeshFrequencies, name: str) -> None:
    kept = ~acoustic_mask(mesh.frequencies_thz, mesh.is_gamma)
    lowest = float(mesh.frequencies_thz[kept].min(initial=np.inf))
    if not _LEAST_FREQUENCY_THZ < lowest < np.inf:
        raise TrainingSetError(
            f"the lowest mode is at {lowest:.3f} THz: imaginary or zero modes have no entropy",
            subject=name,
            hint="Train on dynamically stable crystals, or choose a longer mesh",
        )


def _site_means(
    harmonic: Harmonic, mesh: MeshFrequencies, masses_amu: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Means over the mesh of each site's share of ln det and of the trace, without masses.

    The three acoustic modes of the zone centre are left out of the logarithm. One irreducible
    wave vector does not show which of several equivalent sites moves at its images: the shares
    are averaged over them.
    """
    roots = np.repeat(np.sqrt(masses_amu), 3)
    matrices = harmonic.dynamical_matrices(mesh.q_points) * np.outer(roots, roots)
    values, vectors = np.linalg.eigh(matrices)
    values[acoustic_mask(values, mesh.is_gamma)] = 1.0
    shares = (np.abs(vectors) ** 2).reshape(len(values), -1, 3, values.shape[1]).sum(axis=2)
    logs = np.einsum("q,qsb,qb->s", mesh.weights, shares, np.log(values))
    blocks = np.diagonal(matrices, axis1=1, axis2=2).real.reshape(len(values), -1, 3)
    traces = mesh.weights @ blocks.sum(axis=2)
    orbits = np.asarray(harmonic.symmetry.get_map_atoms())
    same = (orbits[:, None] == orbits[None]).astype(np.float64)
    same /= same.sum(axis=1, keepdims=True)
    return np.asarray(same @ logs), np.asarray(same @ traces)
