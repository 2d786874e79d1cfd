r"""Tensors that describe how two atoms and all their images lie to each other.

With Gaussians :math:`g^\alpha(d) = \exp(-d^2/a_\alpha^2)` the descriptor of a pair of atoms is
shaped like its force constants,

.. math:: D^\alpha_{ij} = -\sum_R g^\alpha(d) \, d d^T, \quad d = r_j + R - r_i .

The published sum runs over a block of five by five by five cells. It depends on which image of
an atom a file happens to list and on the choice of the cell; the default here is a sphere with a
smooth edge, which depends on neither.

References
----------
F. Legrain et al., J. Chem. Inf. Model. 58, 2460 (2018), doi:10.1021/acs.jcim.8b00279,
arXiv:1803.09827, section on descriptors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from pymatgen.core import Structure

from screening.descriptors.image_bonds import (
    fold_onto_pairs,
    image_bonds,
    mirrored,
    smooth_switch,
    symmetric_products,
    symmetric_tensors,
)
from screening.errors import SettingError, TooLargeError
from screening.prediction import FloatArray

__all__ = [
    "PAPER_RADII_ANGSTROM",
    "Images",
    "PairSettings",
    "PairTensors",
    "pair_tensors",
]

Images = Literal["smooth", "block"]

PAPER_RADII_ANGSTROM = tuple(float(radius) for radius in range(1, 31))
"""The published widths of the Gaussians in Å."""

_THINNED_RADII_ANGSTROM = (*PAPER_RADII_ANGSTROM[:10], 12.0, 15.0, 20.0, 25.0, 30.0)
_BLOCK = 5  # cells along each vector
_MAX_NUMBERS = 200_000_000
_BLOCK_CHUNK = 20_000  # images at a time, so that intermediate arrays stay in cache


@dataclass(frozen=True)
class PairSettings:
    """Which Gaussians, and which images are summed.

    Attributes
    ----------
    radii_angstrom
        Widths of the Gaussians in Å.
    cutoff_angstrom
        Radius of the sphere in Å; not used by the block.
    switch_width_angstrom
        Over which length before the cutoff the weight falls to zero, in Å.
    images
        ``smooth``: all within the sphere. ``block``: the published five by five by five cells
        around the positions as the structure gives them.

    Examples
    --------
    >>> PairSettings.published().images, len(PairSettings().radii_angstrom)
    ('block', 15)
    """

    radii_angstrom: tuple[float, ...] = _THINNED_RADII_ANGSTROM
    cutoff_angstrom: float = 8.0
    switch_width_angstrom: float = 2.0
    images: Images = "smooth"

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii_angstrom", tuple(float(a) for a in self.radii_angstrom))
        radii = np.array(self.radii_angstrom)
        if radii.size == 0 or not np.all(np.isfinite(radii)) or np.any(radii <= 0.0):
            raise SettingError(
                f"radii {self.radii_angstrom}",
                subject="radii_angstrom",
                hint="Give at least one positive length in Å",
            )
        if self.images not in get_args(Images):
            raise SettingError(
                f"unknown images {self.images!r}",
                subject="images",
                hint=f"Choose one of {', '.join(get_args(Images))}",
            )
        if not 0.0 < self.switch_width_angstrom <= self.cutoff_angstrom < np.inf:
            raise SettingError(
                f"a switch of {self.switch_width_angstrom} Å before {self.cutoff_angstrom} Å",
                subject="switch_width_angstrom",
                hint="Give positive lengths, the width not above the cutoff",
            )

    @classmethod
    def published(cls) -> PairSettings:
        """Radii and images as published."""
        return cls(radii_angstrom=PAPER_RADII_ANGSTROM, images="block")

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"radii_angstrom": list(self.radii_angstrom)}


@dataclass(frozen=True, eq=False)
class PairTensors:
    """Descriptors of all pairs of atoms of a cell.

    Attributes
    ----------
    tensors
        Negative sums of Gaussian times d dᵀ in Å², symmetric and the same for both orders of
        the atoms, shape (atom, atom, radius, 3, 3); an atom with itself has its own images.
    scalars
        Sums of Gaussians without the one of an atom with itself at zero distance, shape
        (atom, atom, radius).
    """

    tensors: FloatArray
    scalars: FloatArray

    @property
    def diagonal(self) -> FloatArray:
        """Descriptors of single atoms in Å², shape (atom, radius, 3, 3).

        They are sums over the second atom, the first and its images included.
        """
        return np.asarray(self.tensors.sum(axis=1))


def pair_tensors(structure: Structure, settings: PairSettings | None = None) -> PairTensors:
    """Describe all pairs of atoms of a crystal.

    Parameters
    ----------
    structure
        The crystal.
    settings
        Gaussians and images.

    Raises
    ------
    TooLargeError
        If the tensors would take gigabytes.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> salt = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> pair_tensors(salt).tensors.shape
    (2, 2, 15, 3, 3)
    """
    settings = settings or PairSettings()
    numbers = len(structure) ** 2 * len(settings.radii_angstrom) * 9
    if numbers > _MAX_NUMBERS:
        raise TooLargeError(
            f"{len(structure)} atoms give {numbers} numbers",
            subject=structure.composition.reduced_formula,
            hint=f"At most {_MAX_NUMBERS} fit: take the primitive cell or fewer radii",
        )
    sums = _block_sums if settings.images == "block" else _sphere_sums
    components = mirrored(sums(structure, settings))
    return PairTensors(-symmetric_tensors(components[..., :6]), components[..., 6])


def _moments(vectors_angstrom: FloatArray) -> FloatArray:
    """Products of components and one, shape (..., 7)."""
    products = symmetric_products(vectors_angstrom)
    return np.concatenate([products, np.ones((*products.shape[:-1], 1))], axis=-1)


def _gaussians(squares: FloatArray, settings: PairSettings) -> FloatArray:
    """All Gaussians of squared distances in Å², shape (..., radius)."""
    exponents = -1.0 / np.array(settings.radii_angstrom) ** 2
    return np.exp(squares[..., None] * exponents)


def _sphere_sums(structure: Structure, settings: PairSettings) -> FloatArray:
    """Sum for pairs above the diagonal and on it, shape (atom, atom, radius, product)."""
    found = image_bonds(structure, settings.cutoff_angstrom)
    bonds = found.chosen(found.first <= found.second)
    distances = bonds.distances_angstrom
    switch = smooth_switch(distances, settings.cutoff_angstrom, settings.switch_width_angstrom)
    weights = _gaussians(distances**2, settings) * switch[:, None]
    moments = _moments(bonds.vectors_angstrom)
    return fold_onto_pairs(bonds, weights[:, :, None] * moments[:, None, :])


def _block_sums(structure: Structure, settings: PairSettings) -> FloatArray:
    """Do the same over the published block of cells."""
    half = _BLOCK // 2
    cells = np.stack(np.meshgrid(*[np.arange(-half, half + 1)] * 3, indexing="ij"), axis=-1)
    translations = cells.reshape(-1, 3) @ structure.lattice.matrix
    positions = np.asarray(structure.cart_coords)
    n_atoms = len(positions)
    rows, columns = np.triu_indices(n_atoms)
    sums = np.zeros((n_atoms, n_atoms, len(settings.radii_angstrom), 7))
    step = max(1, _BLOCK_CHUNK // len(translations))
    for start in range(0, len(rows), step):
        first, second = rows[start : start + step], columns[start : start + step]
        vectors = (positions[second] - positions[first])[:, None, :] + translations
        squares = (vectors**2).sum(axis=-1)
        weights = _gaussians(squares, settings)
        weights[squares == 0.0] = 0.0  # an atom with itself
        sums[first, second] = weights.swapaxes(1, 2) @ _moments(vectors)
    return sums
