"""Random crystals of a composition: where a search for metastable polymorphs starts.

Atoms are put at random into random cells of a given volume, as far apart as sums of radii ask
for. What does not fit is asked for with a little less distance, so that every draw ends.

References
----------
C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011), section 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Lattice, Structure

from screening.errors import SettingError
from screening.prediction import FloatArray

__all__ = ["random_crystal", "random_crystals"]

_ANGLES_DEGREE = (60.0, 120.0)
_LENGTH_RATIOS = (0.6, 1.7)
_LEAST_ANGLE_VOLUME = 0.55  # of the cuboid with the same lengths: flatter cells are needles
_VOLUME_SPREAD = (0.9, 1.15)
_START_FRACTION = 1.0  # of the distances asked for
_SHRINK = 0.97
_TRIES_PER_ATOM = 60
_LIKE_CHARGES = 1.25  # two atoms of one element are rarely neighbours in a compound


def random_crystals(
    composition: Composition | str,
    volume_angstrom3: float,
    count: int,
    seed: int,
) -> Iterator[Structure]:
    """Draw crystals of one composition with random cells and positions.

    Parameters
    ----------
    composition
        Content of one cell, for instance ``"K2 Zn2 F6"``.
    volume_angstrom3
        Mean volume of the cells in Å³; each differs from it by up to 15 %.
    count
        How many.
    seed
        The n-th crystal of a seed is the same whatever the count.

    Yields
    ------
    Structure
        Not relaxed.

    Raises
    ------
    SettingError
        If the volume or the count is not positive, or the composition not of whole atoms.

    Examples
    --------
    >>> [len(one) for one in random_crystals("K2 Zn2 F6", 133.0, 2, seed=0)]
    [10, 10]
    """
    if count < 1:
        raise SettingError(f"{count} crystals", subject="count", hint="Ask for at least one")
    for index in range(count):
        yield random_crystal(composition, volume_angstrom3, index, seed)


def random_crystal(
    composition: Composition | str, volume_angstrom3: float, index: int, seed: int
) -> Structure:
    """Draw one of the crystals of `random_crystals`, without those before it.

    Parameters
    ----------
    composition, volume_angstrom3, seed
        As for `random_crystals`.
    index
        Which of them, from 0.

    Raises
    ------
    SettingError
        If the volume is not positive, the composition not of whole atoms, or the index negative.

    Examples
    --------
    >>> first, second = random_crystals("K2 Zn2 F6", 133.0, 2, seed=0)
    >>> random_crystal("K2 Zn2 F6", 133.0, 1, seed=0) == second
    True
    """
    if not (np.isfinite(volume_angstrom3) and volume_angstrom3 > 0.0):
        raise SettingError(
            f"{volume_angstrom3} is no volume in Å³",
            subject="volume_angstrom3",
            hint="Give that of a known polymorph, or 15 to 20 Å³ for each atom",
        )
    if index < 0:
        raise SettingError(f"crystal {index}", subject="index", hint="Count from 0")
    rng = np.random.default_rng([seed, index])
    species = _species(Composition(composition))
    return _packed(species, volume_angstrom3 * rng.uniform(*_VOLUME_SPREAD), rng)


def _species(composition: Composition) -> list[Element]:
    """One entry per atom, the largest first: they are the hardest to place."""
    for element, amount in composition.items():
        if amount != round(amount) or not isinstance(element, Element):
            raise SettingError(
                f"{amount:g} atoms of {element}",
                subject="composition",
                hint="Give whole atoms of elements, for instance K2 Zn2 F6",
            )
    ordered = sorted(composition, key=lambda one: -_radius_angstrom(one))
    return [one for one in ordered for _ in range(round(composition[one]))]


def _radius_angstrom(element: Element) -> float:
    """Mean ionic radius, or the atomic one where the element has none, in Å."""
    return float(element.average_ionic_radius) or float(element.atomic_radius or 1.2)


def _packed(species: list[Element], volume: float, rng: np.random.Generator) -> Structure:
    least = _distances(species)
    fraction = _START_FRACTION
    while True:
        lattice = _random_cell(volume, rng)
        positions = _place(lattice, least * fraction, rng)
        if positions is not None:
            return Structure(lattice, species, positions)
        fraction *= _SHRINK


def _distances(species: list[Element]) -> FloatArray:
    """Distance in Å asked for between atoms, shape (atom, atom)."""
    radii = np.array([_radius_angstrom(one) for one in species])
    like = np.array([[a == b for b in species] for a in species])
    return np.asarray((radii[:, None] + radii) * np.where(like, _LIKE_CHARGES, 1.0))


def _random_cell(volume: float, rng: np.random.Generator) -> Lattice:
    while True:
        angles = rng.uniform(*_ANGLES_DEGREE, size=3)
        lengths = rng.uniform(*_LENGTH_RATIOS, size=3)
        try:
            lattice = Lattice.from_parameters(*lengths, *angles)
        except ValueError:  # three angles that no cell has
            continue
        if lattice.volume > _LEAST_ANGLE_VOLUME * lengths.prod():
            return Lattice(lattice.matrix * (volume / lattice.volume) ** (1 / 3))


def _place(
    lattice: Lattice, least: FloatArray, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Place one atom after the other, fractions of the cell; None where one finds no room."""
    shortest = min(lattice.abc)
    if np.any(np.diag(least) > shortest):  # its own image
        return None
    placed = np.empty((0, 3))
    for index in range(len(least)):
        for _ in range(_TRIES_PER_ATOM):
            trial = rng.random((1, 3))
            far = index == 0 or bool(
                np.all(lattice.get_all_distances(trial, placed)[0] >= least[index, :index])
            )
            if far:
                placed = np.vstack([placed, trial])
                break
        else:
            return None
    return placed
