r"""What the masses of the atoms add to the determinant of a Hessian, exactly.

Let :math:`H` be a Hessian at rest, :math:`Z` an orthonormal basis of the rigid motions, which it
does not see, and :math:`M` the masses. The product of the non-zero eigenvalues obeys

.. math::
    \mathrm{pdet}(M^{-1/2} H M^{-1/2}) = \mathrm{pdet}(H) \det(Z^T M Z) / \det M.

In a crystal the rigid motions are three translations and :math:`\det(Z^T M Z)` is the third
power of the mean mass; in a cluster there are rotations as well and it holds the tensor of
inertia. So a model learns :math:`\mathrm{pdet}(H)`, which no mass enters, and isotopes cost
nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem
from screening.errors import InconsistentDataError
from screening.prediction import FloatArray

__all__ = ["log_mass_term", "natural_masses_amu", "rigid_motions"]

_INDEPENDENT = 1e-6  # smallest singular value over the largest of a motion that counts


def natural_masses_amu(numbers: NDArray[np.int64]) -> FloatArray:
    """Masses of the natural elements in amu, those of the dynamical matrices, shape (atom,).

    Examples
    --------
    >>> natural_masses_amu(np.array([11, 17])).round(2).tolist()
    [22.99, 35.45]
    """
    known, index = np.unique(numbers, return_inverse=True)
    return np.array([_natural_mass_amu(int(one)) for one in known])[index.ravel()]


@cache
def _natural_mass_amu(number: int) -> float:
    from phonopy.structure.atoms import PhonopyAtoms

    atom = PhonopyAtoms(numbers=[number], cell=np.eye(3), scaled_positions=np.zeros((1, 3)))
    return float(atom.masses[0])


def rigid_motions(system: AtomicSystem) -> FloatArray:
    """Orthonormal displacements that leave all distances as they are.

    Returns
    -------
    ndarray
        Shape (3 atom, motion): three translations of a crystal; six motions of a cluster, five
        where its atoms are in line, three where it is one atom.
    """
    n_atoms = len(system)
    moves = np.tile(np.eye(3), (n_atoms, 1)) / np.sqrt(n_atoms)
    if system.cell_angstrom is not None:
        return np.asarray(moves)
    centred = system.positions_angstrom - system.positions_angstrom.mean(axis=0)
    turns = np.cross(np.eye(3)[None], centred[:, None]).transpose(0, 2, 1).reshape(-1, 3)
    vectors, sizes, _ = np.linalg.svd(turns, full_matrices=False)
    independent = sizes > _INDEPENDENT * max(float(np.abs(centred).max()), 1.0)
    return np.hstack([moves, vectors[:, independent]])


def log_mass_term(
    system: AtomicSystem, masses_amu: FloatArray | None = None, zone_centre_weight: float = 1.0
) -> float:
    """Logarithm of what masses multiply the determinant of a Hessian by.

    Parameters
    ----------
    system
        The atoms.
    masses_amu
        Masses in amu, shape (atom,); None takes those of the natural elements.
    zone_centre_weight
        Share of the zone centre, where rigid motions are, among all wave vectors of the mean:
        1 for a cluster and for one cell, 0 for a crystal of infinite size.

    Raises
    ------
    InconsistentDataError
        If there is not one positive mass for each atom.
    """
    masses = natural_masses_amu(system.numbers) if masses_amu is None else np.asarray(masses_amu)
    if masses.shape != (len(system),) or not np.all(np.isfinite(masses) & (masses > 0.0)):
        raise InconsistentDataError(
            f"masses of shape {masses.shape} for {len(system)} atoms, or one that is not positive",
            subject="masses_amu",
            hint="Give one positive mass in amu for each atom",
        )
    total = -3.0 * float(np.log(masses).sum())
    if zone_centre_weight == 0.0:
        return total
    rigid = rigid_motions(system)
    inertia = rigid.T @ (np.repeat(masses, 3)[:, None] * rigid)
    return total + zone_centre_weight * float(np.linalg.slogdet(inertia)[1])
