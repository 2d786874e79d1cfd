"""Random displacements of all atoms at once, from which force constants are learned.

Every atom moves by the same length in a direction of its own, uniform on the sphere, so that no
force is lost in a small displacement and none is spoilt by a large one.
"""

from __future__ import annotations

import math

import numpy as np

from screening.errors import SettingError
from screening.prediction import FloatArray, frozen_array

__all__ = ["DEFAULT_LENGTH_ANGSTROM", "random_displacements"]

DEFAULT_LENGTH_ANGSTROM = 0.03
"""Third order is then a few per cent of the forces, and fourth order below a thousandth."""


def random_displacements(
    n_atoms: int,
    n_cells: int,
    length_angstrom: float = DEFAULT_LENGTH_ANGSTROM,
    seed: int = 0,
) -> FloatArray:
    """Draw displacements of all atoms of a supercell.

    Parameters
    ----------
    n_atoms
        Atoms of the supercell.
    n_cells
        Displaced supercells. More cells of the same seed begin with the same ones.
    length_angstrom
        Length of every displacement in Å.
    seed
        Seed of the directions.

    Returns
    -------
    ndarray
        In Å, shape (cell, atom, 3).

    Raises
    ------
    SettingError
        If a number is not positive.

    Examples
    --------
    >>> moves = random_displacements(4, 2, 0.03)
    >>> np.linalg.norm(moves, axis=2).round(6).tolist()
    [[0.03, 0.03, 0.03, 0.03], [0.03, 0.03, 0.03, 0.03]]
    """
    _check(n_atoms, n_cells, length_angstrom)
    generator = np.random.default_rng(seed)
    # a normal distribution has no preferred direction, and no vector of length zero but by chance
    drawn = generator.standard_normal((n_cells, n_atoms, 3))
    moves = length_angstrom * drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
    return frozen_array(moves)


def _check(n_atoms: int, n_cells: int, length_angstrom: float) -> None:
    for name, count in (("n_atoms", n_atoms), ("n_cells", n_cells)):
        if count < 1:
            raise SettingError(f"{count} is below 1", subject=name, hint="Give a positive number")
    if not (math.isfinite(length_angstrom) and length_angstrom > 0.0):
        raise SettingError(
            f"{length_angstrom} is no length in Å",
            subject="length_angstrom",
            hint="Give a positive number, such as 0.03",
        )
