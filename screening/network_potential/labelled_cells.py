"""Cells with the forces on their atoms: what a potential is trained on.

The two halves of an antithetic pair carry the same text in ``pair``: displaced by u and by -u,
half the difference of their forces is minus the Hessian times u, up to third order in u.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.digest import digest_of
from screening.dispensable import dispensable, elements_by_group
from screening.errors import (
    NonFiniteForcesError,
    NonFiniteInputError,
    SettingError,
    TrainingSetError,
    WrongShapeError,
)
from screening.prediction import FloatArray, frozen_array

__all__ = ["LabelledCell", "split_by_group", "training_set_digest"]

_LARGEST_NUMBER = 118


@dataclass(frozen=True, eq=False)
class LabelledCell:
    """One periodic cell, and what some calculation found for it.

    Attributes
    ----------
    material_id
        Crystal that the cell was made of.
    group
        Reduced formula: cells of one formula are trained on, or held out, together.
    numbers
        Atomic numbers, shape (atom,).
    cell_angstrom
        Lattice vectors in rows, shape (3, 3).
    positions_angstrom
        Cartesian positions, shape (atom, 3).
    forces_ev_per_angstrom
        Forces, shape (atom, 3).
    energy_ev
        Energy of the cell; None where only forces are known.
    stress_ev_per_angstrom3
        Derivative of the energy by strain over the volume, shape (3, 3); None if unknown.
    pair
        The same text for the two halves of an antithetic pair; empty for a cell alone.
    source
        What calculated the labels.

    Raises
    ------
    WrongShapeError
        If an array does not fit the number of atoms, or an atomic number is none.
    NonFiniteInputError, NonFiniteForcesError
        If the geometry, or a label, is not finite.
    """

    material_id: str
    group: str
    numbers: NDArray[np.int64]
    cell_angstrom: FloatArray
    positions_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    energy_ev: float | None = None
    stress_ev_per_angstrom3: FloatArray | None = None
    pair: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        numbers = np.array(self.numbers, dtype=np.int64)
        numbers.setflags(write=False)
        object.__setattr__(self, "numbers", numbers)
        for name in ("cell_angstrom", "positions_angstrom", "forces_ev_per_angstrom"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        if self.stress_ev_per_angstrom3 is not None:
            stress = frozen_array(self.stress_ev_per_angstrom3)
            object.__setattr__(self, "stress_ev_per_angstrom3", stress)
        _check_shapes(self)
        _check_values(self)

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.numbers)

    @property
    def volume_angstrom3(self) -> float:
        """Volume of the cell."""
        return float(abs(np.linalg.det(self.cell_angstrom)))


def _check_shapes(cell: LabelledCell) -> None:
    numbers, n_atoms = cell.numbers, len(cell.numbers)
    if (
        numbers.ndim != 1
        or not n_atoms
        or not ((numbers >= 1) & (numbers <= _LARGEST_NUMBER)).all()
    ):
        raise WrongShapeError(
            f"atomic numbers of shape {numbers.shape}, or one outside 1 to {_LARGEST_NUMBER}",
            subject=cell.material_id,
            hint="Give one atomic number for each atom",
        )
    wanted = {
        "cell_angstrom": (3, 3),
        "positions_angstrom": (n_atoms, 3),
        "forces_ev_per_angstrom": (n_atoms, 3),
        "stress_ev_per_angstrom3": (3, 3),
    }
    for name, shape in wanted.items():
        value = getattr(cell, name)
        if value is not None and value.shape != shape:
            raise WrongShapeError(
                f"{name} of shape {value.shape} instead of {shape}",
                subject=cell.material_id,
                hint="Give one row for each atom, in the order of the atomic numbers",
            )


def _check_values(cell: LabelledCell) -> None:
    geometry = (cell.cell_angstrom, cell.positions_angstrom)
    if not all(np.isfinite(one).all() for one in geometry) or cell.volume_angstrom3 <= 0.0:
        raise NonFiniteInputError(
            "a coordinate is not finite, or the cell has no volume",
            subject=cell.material_id,
            hint="Leave the cell out",
        )
    labels = [cell.forces_ev_per_angstrom, np.array(cell.energy_ev or 0.0)]
    if cell.stress_ev_per_angstrom3 is not None:
        labels.append(cell.stress_ev_per_angstrom3)
    if not all(np.isfinite(one).all() for one in labels):
        raise NonFiniteForcesError(
            "a label is not finite", subject=cell.material_id, hint="Calculate the cell again"
        )


def training_set_digest(cells: Sequence[LabelledCell]) -> str:
    """SHA-256 of a training set, whatever order its cells are in."""
    return digest_of(sorted(_digest(cell) for cell in cells))


def _digest(cell: LabelledCell) -> str:
    head = [cell.material_id, cell.group, cell.energy_ev, cell.pair, cell.source]
    found = hashlib.sha256(digest_of(head).encode())
    stress = cell.stress_ev_per_angstrom3
    arrays = (cell.numbers, cell.cell_angstrom, cell.positions_angstrom)
    for array in (*arrays, cell.forces_ev_per_angstrom, np.zeros(0) if stress is None else stress):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def split_by_group(
    cells: Sequence[LabelledCell],
    fraction: float,
    seed: int,
    learned: frozenset[str] = frozenset(),
    known: frozenset[int] = frozenset(),
) -> tuple[list[LabelledCell], list[LabelledCell]]:
    """Hold out whole compositions, whose elements others keep as long as there are such.

    Parameters
    ----------
    cells
        Cells of any number of compositions.
    fraction
        Share of the cells to hold out, at least; groups are drawn until it is reached.
    seed
        Of the drawing.
    learned
        Groups that a network has learned before: none of them is held out as long as there are
        others.
    known
        Atomic numbers that a network has learned before.

    Returns
    -------
    list, list
        To train on, and held out, each in the order given. With no fraction nothing is held
        out.

    Raises
    ------
    SettingError
        If the fraction is not in [0, 1).
    TrainingSetError
        If there are fewer than two compositions to share out.
    """
    if not 0.0 <= fraction < 1.0:
        raise SettingError(f"{fraction}", subject="valid_fraction", hint="Give 0.05 for 5 %")
    if fraction == 0.0:
        return list(cells), []
    groups = sorted({cell.group for cell in cells})
    if len(groups) < 2:  # noqa: PLR2004 - one to train on and one to hold out
        raise TrainingSetError(
            f"{len(groups)} composition cannot be shared out",
            subject="training",
            hint="Give more compositions, or hold nothing out",
        )
    held_out: set[str] = set()
    drawn = [groups[index] for index in np.random.default_rng(seed).permutation(len(groups))]
    unseen = [group for group in drawn if group not in learned]
    counts = Counter(cell.group for cell in cells)
    wanted = unseen or drawn
    elements = elements_by_group((cell.group, map(int, cell.numbers)) for cell in cells)
    harmless = list(dispensable(wanted, elements, known))
    for group in (harmless or wanted)[: len(drawn) - 1]:
        if sum(counts[one] for one in held_out) >= fraction * len(cells):
            break
        held_out.add(group)
    return (
        [cell for cell in cells if cell.group not in held_out],
        [cell for cell in cells if cell.group in held_out],
    )
