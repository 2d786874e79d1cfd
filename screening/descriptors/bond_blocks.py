r"""Basis of force-constant blocks that turns with the crystal, one tensor for every bond.

A bond along the unit vector :math:`\hat r` carries the tensors
:math:`A_b = g_b(r) \, \hat r \hat r^T` and :math:`B_b = g_b(r) \, 1` with Gaussians
:math:`g_b` centred at distances between atoms. A linear model over them is equivariant by
construction, sums over images to the zone centre, and knows each image, so that it has a
dispersion. Force constants of any sum of central pair potentials lie in their span.

References
----------
F. Legrain et al., arXiv:1803.09827, whose zero-centred Gaussians are nearly collinear: trees do
not mind, linear models do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from screening.descriptors.image_bonds import (
    ImageBonds,
    fold_onto_pairs,
    image_bonds,
    symmetric_products,
    symmetric_tensors,
)
from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = [
    "BondBasisSettings",
    "bond_basis",
    "bond_radial_functions",
    "dynamical_blocks",
    "zone_centre_basis",
]

_DEFAULT_CENTRES_ANGSTROM = tuple(float(c) for c in np.linspace(1.6, 8.0, 17).round(6))


@dataclass(frozen=True)
class BondBasisSettings:
    """Radial functions of bonds.

    Attributes
    ----------
    centres_angstrom
        Where the Gaussians have their maxima, in Å.
    width_angstrom
        Their standard deviation in Å.
    cutoff_angstrom
        Where a cosine brings all of them to zero, in Å.
    """

    centres_angstrom: tuple[float, ...] = _DEFAULT_CENTRES_ANGSTROM
    width_angstrom: float = 0.4
    cutoff_angstrom: float = 8.8

    def __post_init__(self) -> None:
        object.__setattr__(self, "centres_angstrom", tuple(float(c) for c in self.centres_angstrom))
        centres = np.array(self.centres_angstrom)
        inside = np.all((centres > 0.0) & (centres < self.cutoff_angstrom))
        if centres.size == 0 or not inside:
            raise SettingError(
                f"centres {self.centres_angstrom} for a cutoff of {self.cutoff_angstrom} Å",
                subject="centres_angstrom",
                hint="Give at least one, all between zero and the cutoff",
            )
        if not (0.0 < self.width_angstrom < np.inf and self.cutoff_angstrom < np.inf):
            raise SettingError(
                f"a width of {self.width_angstrom} Å and a cutoff of {self.cutoff_angstrom} Å",
                subject="width_angstrom",
                hint="Give positive lengths in Å",
            )

    @property
    def n_tensors(self) -> int:
        """Number of basis tensors: one along the bond and one isotropic for every Gaussian."""
        return 2 * len(self.centres_angstrom)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"centres_angstrom": list(self.centres_angstrom)}


def bond_radial_functions(
    distances_angstrom: FloatArray, settings: BondBasisSettings
) -> FloatArray:
    """Gaussians of distances times the cosine cutoff, shape (..., centre).

    Parameters
    ----------
    distances_angstrom
        In Å, any shape.
    settings
        Centres, width and cutoff.
    """
    reduced = np.minimum(distances_angstrom / settings.cutoff_angstrom, 1.0)
    cutoff = 0.5 * (1.0 + np.cos(np.pi * reduced))
    offsets = distances_angstrom[..., None] - np.array(settings.centres_angstrom)
    return np.asarray(np.exp(-0.5 * (offsets / settings.width_angstrom) ** 2) * cutoff[..., None])


def _components(bonds: ImageBonds, settings: BondBasisSettings) -> FloatArray:
    """Six components along the bond and one isotropic, shape (bond, centre, 7)."""
    radial = bond_radial_functions(bonds.distances_angstrom, settings)
    products = symmetric_products(bonds.directions)
    angular = np.concatenate([products, np.ones((len(products), 1))], axis=1)
    return np.asarray(radial[:, :, None] * angular[:, None, :])


def _tensors(components: FloatArray) -> FloatArray:
    """Tensors along the bonds, then isotropic ones, shape (..., basis, 3, 3)."""
    along = symmetric_tensors(components[..., :6])
    isotropic = components[..., 6, None, None] * np.eye(3)
    return np.concatenate([along, isotropic], axis=-3)


def bond_basis(bonds: ImageBonds, settings: BondBasisSettings | None = None) -> FloatArray:
    """Basis tensors of each bond.

    Parameters
    ----------
    bonds
        All bonds within the cutoff of the settings, or some of them.
    settings
        Radial functions.

    Returns
    -------
    ndarray
        Shape (bond, basis, 3, 3): first the tensors along the bond for every centre, then the
        isotropic ones.
    """
    return _tensors(_components(bonds, settings or BondBasisSettings()))


def zone_centre_basis(
    structure: Structure, settings: BondBasisSettings | None = None
) -> FloatArray:
    """Sum basis tensors over the images of every pair of atoms.

    Parameters
    ----------
    structure
        The crystal.
    settings
        Radial functions.

    Returns
    -------
    ndarray
        Shape (atom, atom, basis, 3, 3); an atom with itself has its own images.

    Raises
    ------
    TooLargeError
        If there are more bonds than memory holds.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> salt = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> zone_centre_basis(salt).shape
    (2, 2, 34, 3, 3)
    """
    settings = settings or BondBasisSettings()
    bonds = image_bonds(structure, settings.cutoff_angstrom)
    return _tensors(fold_onto_pairs(bonds, _components(bonds, settings)))


def dynamical_blocks(
    bonds: ImageBonds, blocks: FloatArray, q_points: FloatArray
) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
    """Sum the force constants of bonds with the phases of wave vectors.

    What the acoustic sum rule asks for is put on the atoms themselves, so that at the zone
    centre rigid translations cost nothing.

    Parameters
    ----------
    bonds
        Bonds of a crystal.
    blocks
        Force constants in eV/Å² of the first atom with the image of the second, shape
        (bond, 3, 3).
    q_points
        Fractions of the reciprocal lattice, shape (q, 3).

    Returns
    -------
    ndarray
        In eV/Å², not mass weighted, with the phases of lattice vectors, shape
        (q, 3 site + axis, 3 site + axis); hermitian where opposite bonds have transposed blocks.
    """
    phases = np.exp(2j * np.pi * np.asarray(q_points) @ bonds.images.T)
    own = -fold_onto_pairs(bonds, blocks).sum(axis=1)
    atoms = np.arange(bonds.n_atoms)
    matrices = np.empty((len(phases), 3 * bonds.n_atoms, 3 * bonds.n_atoms), dtype=np.complex128)
    for index, phase in enumerate(phases):
        folded = fold_onto_pairs(bonds, phase[:, None, None] * blocks)
        folded[atoms, atoms] += 0.5 * (own + own.swapaxes(1, 2))
        matrices[index] = folded.transpose(0, 2, 1, 3).reshape(matrices.shape[1:])
    return matrices
