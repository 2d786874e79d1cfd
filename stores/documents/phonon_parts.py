"""The arrays of a prediction, one dictionary per part, each of which becomes one blob.

Nothing here opens a blob store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from screening.errors import CorruptDataError, SerializationError
from screening.prediction import Prediction, frozen_array

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.anharmonic import DisplacedCells, ForceConstants
    from screening.conductivity_records import ThermalConductivity
    from screening.prediction import FloatArray, ForceData

__all__ = [
    "GOES_WITH",
    "PARTS",
    "Arrays",
    "RepeatedCellArrays",
    "Taker",
    "conductivity_of",
    "phonon_arrays",
    "repeated_cell_arrays",
    "repeated_cell_of",
    "sizes_of",
]

Arrays = dict[str, NDArray[Any]]
"""Named arrays of one blob."""

_SUPERCELL = ("supercell_scaled_positions", "supercell_numbers")
_RESPONSE = ("born_charges_e", "dielectric_constant")

PARTS: dict[str, tuple[str, ...]] = {
    "forces": (
        *_SUPERCELL,
        "displaced_atoms",
        "displacements_angstrom",
        "forces_ev_per_angstrom",
        "residual_forces_ev_per_angstrom",
        *_RESPONSE,
    ),
    "force_constants": (
        *_SUPERCELL,
        "second_order_ev_per_angstrom2",
        "third_order_ev_per_angstrom3",
        *_RESPONSE,
    ),
    "displaced_cells": (
        *_SUPERCELL,
        "displacements_angstrom",
        "forces_ev_per_angstrom",
        "residual_forces_ev_per_angstrom",
        "energies_ev",
        *_RESPONSE,
    ),
    "conductivity": (
        "temperatures_k",
        "conductivity_w_per_m_k",
        "relaxation_time_conductivity_w_per_m_k",
        "q_points",
        "weights",
        "frequencies_thz",
        "group_velocities_angstrom_per_ps",
        "heat_capacities_ev_per_k",
        "linewidths_thz",
        "isotope_linewidths_thz",
        "lifetimes_ps",
        "mode_conductivities_w_per_m_k",
    ),
    "density_of_states": (
        "frequencies_thz",
        "total_per_thz",
        "projected_per_thz",
        "total_std_per_thz",
    ),
    "band_structure": ("q_points", "distances_per_angstrom", "frequencies_thz"),
}
"""Arrays of each part, by the names they have in the results."""

_CELLS = ("forces", "force_constants", "displaced_cells")
GOES_WITH: dict[str, tuple[str, ...]] = {
    "supercell_matrix": _CELLS,
    "n_supercell_atoms": _CELLS,
    "has_born_charges": _CELLS,
    "n_displacements": ("forces",),
    "n_displaced_cells": ("displaced_cells",),
    "has_energies": ("displaced_cells",),
    "has_third_order": ("force_constants",),
    "conductivity_method": ("conductivity",),
    "conductivity_mesh": ("conductivity",),
    "has_conductivity_std": ("conductivity",),
    "segment_starts": ("band_structure",),
    "band_labels": ("band_structure",),
}
"""Fields of the document, and the parts of which one at least must be there for them."""


def phonon_arrays(prediction: Prediction) -> dict[str, Arrays]:
    """Arrays of a prediction by part, of the parts that the method gave; see `PARTS`.

    Raises
    ------
    SerializationError
        If an array holds a number that is not finite.
    """
    parts = {
        "forces": prediction.force_data,
        "force_constants": prediction.force_constants,
        "displaced_cells": prediction.displaced_cells,
        "conductivity": prediction.conductivity,
        "density_of_states": prediction.density_of_states,
        "band_structure": prediction.band_structure,
    }
    found = {name: _arrays_of(part, PARTS[name]) for name, part in parts.items() if part}
    if prediction.conductivity_std_w_per_m_k is not None and "conductivity" in found:
        std = np.asarray(prediction.conductivity_std_w_per_m_k)
        found["conductivity"]["conductivity_std_w_per_m_k"] = std
    for part, arrays in found.items():
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise SerializationError(
                    f"array {name} of {part} is not finite", subject=prediction.structure_digest
                )
    return found


def _arrays_of(part: object, names: tuple[str, ...]) -> Arrays:
    values = {name: getattr(part, name) for name in names}
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def repeated_cell_of(
    prediction: Prediction,
) -> ForceData | ForceConstants | DisplacedCells | None:
    """Return one of the parts that have a supercell, which is the same in all of them.

    Raises
    ------
    SerializationError
        If the parts have different supercells, or some have Born charges and some have none.
    """
    given = (prediction.force_data, prediction.force_constants, prediction.displaced_cells)
    known = [part for part in given if part is not None]
    for other in known[1:]:
        if not _same_cell(known[0], other):
            raise SerializationError(
                "forces and force constants differ in cell, supercell or Born charges",
                subject=prediction.structure_digest,
                hint="The value was not stored",
            )
    return known[0] if known else None


def _same_cell(
    one: ForceData | ForceConstants | DisplacedCells,
    other: ForceData | ForceConstants | DisplacedCells,
) -> bool:
    return bool(
        one.primitive == other.primitive
        and np.array_equal(one.supercell_matrix, other.supercell_matrix)
        and len(one.supercell_numbers) == len(other.supercell_numbers)
        and (one.born_charges_e is None) == (other.born_charges_e is None)
    )


def sizes_of(prediction: Prediction) -> dict[str, object]:
    """Sizes and flags of what has a supercell and of the conductivity, as the document has them.

    Raises
    ------
    SerializationError
        As `repeated_cell_of`.
    """
    forces, cells = prediction.force_data, prediction.displaced_cells
    constants, kappa = prediction.force_constants, prediction.conductivity
    crystal = repeated_cell_of(prediction)
    third = None if constants is None else constants.third_order_ev_per_angstrom3
    return {
        "supercell_matrix": crystal.supercell_matrix.tolist() if crystal else None,
        "n_supercell_atoms": len(crystal.supercell_numbers) if crystal else None,
        "n_displacements": len(forces.displaced_atoms) if forces else None,
        "n_displaced_cells": cells.n_cells if cells else None,
        "has_born_charges": crystal is not None and crystal.born_charges_e is not None,
        "has_energies": cells is not None and cells.energies_ev is not None,
        "has_third_order": third is not None,
        "conductivity_method": kappa.method.value if kappa else None,
        "conductivity_mesh": kappa.mesh if kappa else None,
        "has_conductivity_std": prediction.conductivity_std_w_per_m_k is not None,
    }


class RepeatedCellArrays(TypedDict):
    """What all records with a supercell have in common."""

    primitive: Structure
    supercell_matrix: NDArray[np.int64]
    supercell_scaled_positions: FloatArray
    supercell_numbers: NDArray[np.int64]
    born_charges_e: FloatArray | None
    dielectric_constant: FloatArray | None


def repeated_cell_arrays(
    take: Taker,
    primitive: Structure,
    supercell_matrix: object,
    n_atoms: int,
    *,
    has_born_charges: bool,
) -> RepeatedCellArrays:
    """Take the supercell and the response to electric fields from the arrays of a part.

    Raises
    ------
    CorruptDataError
        If an array is missing or of a wrong shape.
    """
    n_sites, born = len(primitive), has_born_charges
    return {
        "primitive": primitive,
        "supercell_matrix": _integers(supercell_matrix),
        "supercell_scaled_positions": take.floats("supercell_scaled_positions", (n_atoms, 3)),
        "supercell_numbers": take.integers("supercell_numbers", (n_atoms,)),
        "born_charges_e": take.floats("born_charges_e", (n_sites, 3, 3)) if born else None,
        "dielectric_constant": take.floats("dielectric_constant", (3, 3)) if born else None,
    }


def conductivity_of(
    take: Taker, method: str, mesh: tuple[int, int, int], n_branches: int
) -> ThermalConductivity:
    """Take the conductivity and its modes from their arrays.

    Raises
    ------
    CorruptDataError
        If an array is missing or of a wrong shape.
    """
    from screening.conductivity_records import ConductivityMethod, ThermalConductivity

    n_temperatures = len(take.floats("temperatures_k", (None,)))
    modes = (len(take.floats("weights", (None,))), n_branches)
    every = (n_temperatures, *modes)
    shapes: dict[str, tuple[int, ...]] = {
        "temperatures_k": (n_temperatures,),
        "conductivity_w_per_m_k": (n_temperatures, 3, 3),
        "relaxation_time_conductivity_w_per_m_k": (n_temperatures, 3, 3),
        "q_points": (modes[0], 3),
        "weights": modes[:1],
        "frequencies_thz": modes,
        "group_velocities_angstrom_per_ps": (*modes, 3),
        "heat_capacities_ev_per_k": every,
        "linewidths_thz": every,
        "isotope_linewidths_thz": modes,
        "lifetimes_ps": every,
        "mode_conductivities_w_per_m_k": (*every, 3, 3),
    }
    arrays = {name: take.floats(name, shapes[name]) for name in PARTS["conductivity"]}
    return ThermalConductivity(method=ConductivityMethod(method), mesh=mesh, **arrays)


def _integers(values: object) -> NDArray[np.int64]:
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


class Taker:
    """Reads arrays of a blob and checks their shapes.

    Parameters
    ----------
    arrays
        Arrays of one part.
    subject
        What they belong to, for messages.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], subject: str) -> None:
        self._arrays = arrays
        self._subject = subject

    def floats(self, name: str, shape: tuple[int | None, ...]) -> FloatArray:
        """Read-only float64 array; None in the shape is any length."""
        return frozen_array(self._checked(name, shape))

    def integers(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.int64]:
        """Read-only int64 array."""
        return _integers(self._checked(name, shape))

    def _checked(self, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            raise self._corrupt(f"array {name} is missing")
        fits = len(array.shape) == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            raise self._corrupt(f"array {name} has shape {array.shape}, not {shape}")
        if not np.all(np.isfinite(array)):
            raise self._corrupt(f"array {name} is not finite")
        return array

    def _corrupt(self, message: str) -> CorruptDataError:
        return CorruptDataError(message, subject=self._subject, hint="Compute it again")
