"""Cells to be labelled, and labelled ones, as extended xyz.

Cells that are handed out say in their comment of which crystal they are, which of its cells, and
how they were displaced: what comes back is compared with what was handed out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from screening.network_potential.labelled_cells import LabelledCell
    from screening.network_potential.rattling import RattledCell

__all__ = ["labelled_images", "rattled_images"]


def rattled_images(cells: Iterable[RattledCell], rattling: Mapping[str, Any]) -> Iterator[Any]:
    """Make an ASE ``Atoms`` of each cell that is to be labelled.

    Parameters
    ----------
    cells
        All cells of one crystal, in their order.
    rattling
        How they were displaced, as plain JSON.
    """
    text = json.dumps(dict(rattling), sort_keys=True)
    for number, cell in enumerate(cells, start=1):
        atoms = _atoms(cell)
        atoms.info |= {
            "material_id": cell.material_id,
            "formula": cell.group,
            "cell": number,
            "pair": cell.pair,
            "rattling": text,
        }
        yield _without_empty(atoms)


def labelled_images(cells: Iterable[LabelledCell]) -> Iterator[Any]:
    """Make an ASE ``Atoms`` with energy, forces and stress of each labelled cell."""
    from ase.calculators.singlepoint import SinglePointCalculator

    single_point: Any = SinglePointCalculator
    for cell in cells:
        atoms = _atoms(cell)
        atoms.info |= {
            "material_id": cell.material_id,
            "formula": cell.group,
            "pair": cell.pair,
            "source": cell.source,
        }
        stress = cell.stress_ev_per_angstrom3
        results = {
            "energy": cell.energy_ev,
            "forces": np.array(cell.forces_ev_per_angstrom),
            "stress": None if stress is None else stress.reshape(-1)[[0, 4, 8, 5, 2, 1]],
        }
        known = {name: value for name, value in results.items() if value is not None}
        atoms.calc = single_point(atoms, **known)
        yield _without_empty(atoms)


def _atoms(cell: RattledCell | LabelledCell) -> Any:
    from ase import Atoms

    return Atoms(
        numbers=np.array(cell.numbers),
        cell=np.array(cell.cell_angstrom),
        positions=np.array(cell.positions_angstrom),
        pbc=True,
    )


def _without_empty(atoms: Any) -> Any:
    """Leave out what says nothing: an empty value cannot be read back."""
    atoms.info = {name: value for name, value in atoms.info.items() if value != ""}
    return atoms
