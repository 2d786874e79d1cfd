r"""Fingerprints of crystals by the distances of their atoms, and who is a duplicate of whom.

For every pair of elements and every radius the fingerprint sums Gaussians of the distances of
all pairs of atoms,

.. math:: K^\alpha_{ss'} = \frac{1}{N} \sum_{i \in s, j \in s'} \sum_R \exp(-d^2/a_\alpha^2),
   \qquad d(1, 2) = \sum_{s s' \alpha} \frac{|K_1 - K_2|}{|K_1| + |K_2|} .

Per atom of the cell it is the same for every cell of a crystal. The sums over lattice vectors R
are complete: directly over neighbours for narrow Gaussians, over reciprocal vectors for wide ones,
where Poisson's formula converges within a few terms. The published sum over five by five by five
cells depends on the cell and is kept for comparison.

References
----------
F. Legrain et al., J. Chem. Inf. Model. 58, 2460 (2018), doi:10.1021/acs.jcim.8b00279,
arXiv:1803.09827, section on duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.descriptors.image_bonds import atomic_numbers, image_bonds
from screening.descriptors.pair_tensors import PAPER_RADII_ANGSTROM, PairSettings, pair_tensors
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import FloatArray, frozen_array

__all__ = [
    "DEFAULT_THRESHOLD",
    "Fingerprint",
    "FingerprintSettings",
    "fingerprint",
    "fingerprint_distance",
    "unique_structures",
]

DEFAULT_THRESHOLD = 0.35
"""The published distance below which two structures of three elements are duplicates."""

LatticeSums = Literal["complete", "block"]

_PUBLISHED_TERMS = 180  # six pairs of elements times thirty radii
_WIDEST_DIRECT_ANGSTROM = 2.5  # above, the sum over reciprocal vectors is the shorter one
_REACH = 5.5  # exp(-5.5^2) is 7e-14
_FLOOR = 1e-6  # of a sum per atom: below, a Gaussian reaches nobody, and rounding would count
_SAME_COMPOSITION = 1e-9
_CHUNK = 2_000_000  # phases at a time


@dataclass(frozen=True)
class FingerprintSettings:
    """What the fingerprint sums.

    Attributes
    ----------
    radii_angstrom
        Widths of the Gaussians in Å.
    lattice_sums
        ``complete``: over all lattice vectors. ``block``: over the published five by five by
        five cells, which depends on the choice of the cell.
    """

    radii_angstrom: tuple[float, ...] = PAPER_RADII_ANGSTROM
    lattice_sums: LatticeSums = "complete"

    def __post_init__(self) -> None:
        radii = PairSettings(radii_angstrom=self.radii_angstrom).radii_angstrom
        object.__setattr__(self, "radii_angstrom", radii)
        if self.lattice_sums not in get_args(LatticeSums):
            raise SettingError(
                f"unknown lattice sums {self.lattice_sums!r}",
                subject="lattice_sums",
                hint=f"Choose one of {', '.join(get_args(LatticeSums))}",
            )


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Sums of Gaussians of distances, per atom.

    Attributes
    ----------
    elements
        Atomic numbers, ascending.
    fractions
        Share of each element among the atoms, shape (element,).
    settings
        What was summed.
    values
        Shape (pair of elements, radius); pairs as (first, first), (first, second) and so on.
    """

    elements: tuple[int, ...]
    fractions: FloatArray
    settings: FingerprintSettings
    values: FloatArray


def fingerprint(structure: Structure, settings: FingerprintSettings | None = None) -> Fingerprint:
    """Sum Gaussians of all distances between atoms of a crystal.

    Parameters
    ----------
    structure
        Any cell of the crystal.
    settings
        Radii and lattice sums.

    Raises
    ------
    TooLargeError, OverlapError
        As `screening.descriptors.image_bonds.image_bonds`.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> salt = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> round(fingerprint_distance(fingerprint(salt), fingerprint(salt * (2, 1, 1))), 9)
    0.0
    """
    settings = settings or FingerprintSettings()
    numbers = atomic_numbers(structure)
    elements, counts = np.unique(numbers, return_counts=True)
    channels = (numbers[:, None] == elements).astype(np.float64)
    sums = _block if settings.lattice_sums == "block" else _complete
    by_element = sums(structure, channels, settings.radii_angstrom) / len(structure)
    pairs = list(combinations_with_replacement(range(len(elements)), 2))
    return Fingerprint(
        elements=tuple(int(number) for number in elements),
        fractions=frozen_array(counts / len(structure)),
        settings=settings,
        values=frozen_array([by_element[pair] for pair in pairs]),
    )


def _block(structure: Structure, channels: FloatArray, radii: tuple[float, ...]) -> FloatArray:
    """Sum over the published block of cells, shape (element, element, radius)."""
    settings = PairSettings(radii_angstrom=radii, images="block")
    scalars = pair_tensors(structure, settings).scalars
    return np.asarray(np.einsum("ijr,is,jt->str", scalars, channels, channels, optimize=True))


def _complete(structure: Structure, channels: FloatArray, radii: tuple[float, ...]) -> FloatArray:
    """Sum over all lattice vectors, shape (element, element, radius)."""
    widths = np.array(radii)
    narrow = widths <= _WIDEST_DIRECT_ANGSTROM
    n_elements = channels.shape[1]
    sums = np.empty((n_elements, n_elements, len(widths)))
    if np.any(narrow):
        sums[..., narrow] = _direct(structure, channels, widths[narrow])
    if not np.all(narrow):
        sums[..., ~narrow] = _reciprocal(structure, channels, widths[~narrow])
    return sums


def _direct(structure: Structure, channels: FloatArray, widths: FloatArray) -> FloatArray:
    """Sum over neighbours."""
    bonds = image_bonds(structure, _REACH * float(widths.max()))
    gaussians = np.exp(-(bonds.distances_angstrom[:, None] ** 2) / widths**2)
    n_elements = channels.shape[1]
    species = channels.argmax(axis=1)
    pairs = species[bonds.first] * n_elements + species[bonds.second]
    sums = [np.bincount(pairs, column, n_elements**2) for column in gaussians.T]
    return np.asarray(np.stack(sums, axis=-1), dtype=np.float64).reshape(n_elements, n_elements, -1)


def _reciprocal(structure: Structure, channels: FloatArray, widths: FloatArray) -> FloatArray:
    """Sum over reciprocal vectors, less the term of each atom with itself."""
    vectors, weights = _half_of_reciprocal_vectors(structure, 2.0 * _REACH / float(widths.min()))
    squares = ((2.0 * np.pi * vectors @ np.linalg.inv(structure.lattice.matrix).T) ** 2).sum(axis=1)
    factors = _structure_factors(np.asarray(structure.frac_coords), channels, vectors)
    products = (factors[:, :, None].conj() * factors[:, None, :]).real * weights[:, None, None]
    decay = np.exp(-0.25 * squares[:, None] * widths**2)
    sums = np.einsum("gst,gr->str", products, decay, optimize=True)
    sums *= (np.sqrt(np.pi) * widths) ** 3 / structure.volume
    return np.asarray(sums - np.diag(channels.sum(axis=0))[..., None])


def _half_of_reciprocal_vectors(
    structure: Structure, longest: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Integers of the reciprocal vectors up to a length in 1/Å, and how many each stands for."""
    matrix = np.asarray(structure.lattice.matrix)
    reach = np.floor(longest * np.linalg.norm(matrix, axis=1) / (2.0 * np.pi)).astype(np.int64)
    axes = [np.arange(-reach[0], 1), *(np.arange(-n, n + 1) for n in reach[1:])]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[: len(grid) - int(np.prod(2 * reach[1:] + 1)) // 2]  # up to the origin
    lengths = np.linalg.norm(2.0 * np.pi * grid @ np.linalg.inv(matrix).T, axis=1)
    grid = grid[lengths <= longest]
    return grid, np.where(np.any(grid != 0, axis=1), 2.0, 1.0)


def _structure_factors(
    fractions: FloatArray, channels: FloatArray, vectors: NDArray[np.int64]
) -> NDArray[np.complex128]:
    """Sum of phases of the atoms of each element, shape (vector, element)."""
    step = max(1, _CHUNK // len(fractions))
    parts = [
        np.exp(2j * np.pi * vectors[start : start + step] @ fractions.T) @ channels
        for start in range(0, len(vectors), step)
    ]
    return np.concatenate(parts)


def fingerprint_distance(first: Fingerprint, second: Fingerprint) -> float:
    """Distance of two fingerprints, on the published scale.

    The published sum has 180 terms, six pairs of elements times thirty radii. Other numbers of
    elements or radii are scaled to as many, so that a threshold means the same mean difference.

    Parameters
    ----------
    first, second
        Fingerprints with the same settings.

    Returns
    -------
    float
        Between 0 and 180; infinite where compositions differ.

    Raises
    ------
    InconsistentDataError
        If the settings differ.
    """
    if first.settings != second.settings:
        raise InconsistentDataError(
            "fingerprints with different settings cannot be compared",
            subject="fingerprint",
            hint="Compute both with the same radii and lattice sums",
        )
    if not _same_composition(first, second):
        return float("inf")
    return float(_distances(first.values, second.values[None])[0])


def _same_composition(first: Fingerprint, second: Fingerprint) -> bool:
    return first.elements == second.elements and bool(
        np.all(np.abs(first.fractions - second.fractions) < _SAME_COMPOSITION)
    )


def _distances(one: FloatArray, others: FloatArray) -> FloatArray:
    """Distances of one set of values (pair, radius) to many (other, pair, radius)."""
    scale = np.maximum(np.abs(one) + np.abs(others), _FLOOR)
    return np.asarray((np.abs(one - others) / scale).mean(axis=(1, 2)) * _PUBLISHED_TERMS)


def unique_structures(
    structures: Sequence[Structure],
    threshold: float = DEFAULT_THRESHOLD,
    *,
    energies_ev_per_atom: Sequence[float] | FloatArray | None = None,
    energy_tolerance_ev_per_atom: float = 1e-3,
    settings: FingerprintSettings | None = None,
) -> list[int]:
    """Keep the first of all structures that are closer than a threshold.

    Parameters
    ----------
    structures
        In the order in which they are preferred, for instance by energy.
    threshold
        Structures at a smaller distance are duplicates.
    energies_ev_per_atom
        Energies in eV/atom, shape (structure,). Where they are given, structures whose energies
        differ by more than the tolerance are never duplicates.
    energy_tolerance_ev_per_atom
        In eV/atom.
    settings
        Radii and lattice sums.

    Returns
    -------
    list of int
        Indices of the structures kept, ascending. Each one left out is closer than the threshold
        to one kept.

    Raises
    ------
    InconsistentDataError
        If there is not one energy for every structure.
    NonFiniteInputError
        If an energy is not finite.
    """
    energies = _energies(len(structures), energies_ev_per_atom)
    kept: dict[tuple[object, ...], list[tuple[int, FloatArray]]] = {}
    for index, structure in enumerate(structures):
        own = fingerprint(structure, settings)
        group = kept.setdefault((own.elements, *own.fractions.round(9)), [])
        near = [
            values
            for other, values in group
            if abs(energies[index] - energies[other]) <= energy_tolerance_ev_per_atom
        ]
        if not near or _distances(own.values, np.stack(near)).min() >= threshold:
            group.append((index, own.values))
    return sorted(index for group in kept.values() for index, _ in group)


def _energies(count: int, given: Sequence[float] | FloatArray | None) -> FloatArray:
    """One energy for every structure; all the same where none are given."""
    energies = np.zeros(count) if given is None else np.asarray(given, dtype=np.float64)
    if energies.shape != (count,):
        raise InconsistentDataError(
            f"energies of shape {energies.shape} for {count} structures",
            subject="energies_ev_per_atom",
            hint="Give one energy for every structure",
        )
    if not np.all(np.isfinite(energies)):
        raise NonFiniteInputError(
            "an energy is not finite",
            subject="energies_ev_per_atom",
            hint="Leave energies out where some are not known",
        )
    return energies
