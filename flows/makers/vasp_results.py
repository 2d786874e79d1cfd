"""From the outputs of an atomate2 phonon flow to forces of our kind.

The document of atomate2 has units and conventions of its own: energies per formula unit,
supercell matrices whose columns are the supercell vectors, Born charges of the inequivalent atoms
or of all. Its thermodynamics is not used; the forces go through the same physics as those of
every other method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import (
    CalculatorFailedError,
    InconsistentDataError,
    NonFiniteForcesError,
    WrongShapeError,
)
from screening.prediction import FloatArray, ForceData, frozen_array
from screening.supercell_symmetry import locate_atoms, primitive_symmetry

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = [
    "PhononOutputs",
    "StaticOutputs",
    "born_of_all_sites",
    "force_data_of",
    "missing_results",
]

_MAX_MOVED_ANGSTROM = 0.3
_SAME_PLACE_ANGSTROM = 1e-4
_CELL_TOLERANCE_ANGSTROM = 1e-3
_CHARGE_TOLERANCE_E = 1e-3


@dataclass(frozen=True)
class StaticOutputs:
    """The undisplaced crystal: what its static calculation and its relaxation gave.

    Attributes
    ----------
    structure
        The cell that is displaced, relaxed where a relaxation was made.
    energy_ev
        Total energy of the cell in eV.
    forces_ev_per_angstrom, stress_kbar
        Residual forces in eV/Å, shape (site, 3), and stress in kbar, shape (3, 3).
    band_gap_ev
        Band gap in eV, None where the code gives none.
    relaxation_steps
        Ionic steps of the relaxation.
    directories
        Folders of these runs as atomate2 names them.
    """

    structure: Structure
    energy_ev: float
    forces_ev_per_angstrom: FloatArray
    stress_kbar: FloatArray
    band_gap_ev: float | None = None
    relaxation_steps: int = 0
    directories: tuple[str | None, ...] = ()

    @property
    def energy_ev_per_formula_unit(self) -> float:
        """Total energy in eV per formula unit, as atomate2 counts."""
        _, n_units = self.structure.composition.get_reduced_composition_and_factor()
        return self.energy_ev / float(n_units)

    @classmethod
    def from_output(cls, values: Mapping[str, Any]) -> StaticOutputs:
        """Check what a job store returned.

        Raises
        ------
        CalculatorFailedError
            If the calculation left nothing.
        NonFiniteForcesError, WrongShapeError
            If a number is not finite or an array has another shape.
        """
        needed = ("structure", "energy_ev", "forces_ev_per_angstrom", "stress_kbar")
        missing = [name for name in needed if values.get(name) is None]
        if missing:
            raise missing_results("the relaxation or the static calculation", missing)
        structure = values["structure"]
        gap = values.get("band_gap_ev")
        return cls(
            structure=structure,
            energy_ev=float(_array("energy", values["energy_ev"], ())),
            forces_ev_per_angstrom=_array(
                "static forces", values["forces_ev_per_angstrom"], (len(structure), 3)
            ),
            stress_kbar=_array("stress", values["stress_kbar"], (3, 3)),
            band_gap_ev=None if gap is None else float(gap),
            relaxation_steps=len(values.get("relaxation_steps") or ()),
            directories=tuple(values.get("directories") or ()),
        )


@dataclass(frozen=True)
class PhononOutputs:
    """What an atomate2 phonon flow leaves in a job store.

    Attributes
    ----------
    document
        The ``PhononBSDOSDoc``, as the object or as the dictionary of it.
    displaced
        Displaced supercells.
    forces_ev_per_angstrom
        Their forces in eV/Å, nested lists of shape (displacement, atom, 3).
    born_expected
        Whether Born charges were asked for.
    """

    document: Any
    displaced: Sequence[Structure] | None
    forces_ev_per_angstrom: Any
    born_expected: bool = False

    def field(self, name: str) -> Any:
        """Return a field of the document; None where it is missing."""
        if isinstance(self.document, Mapping):
            return self.document.get(name)
        return getattr(self.document, name, None)

    @property
    def structure(self) -> Structure:
        """The cell that was displaced."""
        from pymatgen.core import Structure

        given = self.field("structure")
        return Structure.from_dict(dict(given)) if isinstance(given, Mapping) else given.copy()

    def directories(self) -> tuple[str | None, ...]:
        """Return the folders of all displacements and of the dielectric calculation.

        None stands for a run of which the document names no folder.
        """
        folders = self.field("jobdirs") or {}
        folders = folders if isinstance(folders, Mapping) else folders.model_dump()
        dielectric = (folders.get("born_run_job_dir"),) if self.born_expected else ()
        known = tuple(folders.get("displacements_job_dirs") or ())
        unknown = (None,) * (len(self.displaced or ()) - len(known))
        return (*known, *unknown, *dielectric)


def force_data_of(
    outputs: PhononOutputs, residual_ev_per_angstrom: FloatArray | None = None
) -> ForceData:
    """Collect forces, cells and Born charges of a flow that started from a primitive cell.

    Parameters
    ----------
    outputs
        What the flow left.
    residual_ev_per_angstrom
        Forces on the undisplaced primitive cell in eV/Å, shape (site, 3); None means zero.

    Raises
    ------
    CalculatorFailedError
        If a calculation left nothing.
    WrongShapeError, NonFiniteForcesError
        If forces do not fit the supercells or are not finite.
    InconsistentDataError
        If cells, displacements and order of atoms contradict each other.
    """
    displaced, forces = _complete(outputs)
    primitive = outputs.structure
    # columns are supercell vectors there, rows are here
    matrix = np.rint(np.array(outputs.field("supercell_matrix"))).astype(np.int64).T
    _check_cells(outputs, primitive, matrix)
    numbers = _numbers(displaced[0])
    places, sites = _undisplaced(displaced[0], primitive, matrix)
    moves = np.array([_moved(one, places, numbers) for one in displaced])
    atoms = np.linalg.norm(moves, axis=2).argmax(axis=1)
    residual = np.zeros((len(primitive), 3))
    if residual_ev_per_angstrom is not None:
        residual = residual_ev_per_angstrom
    born, dielectric = _born(outputs, primitive)
    return ForceData(
        primitive=primitive,
        supercell_matrix=matrix,
        supercell_scaled_positions=frozen_array(places),
        supercell_numbers=numbers,
        displaced_atoms=atoms.astype(np.int64),
        displacements_angstrom=frozen_array(moves[np.arange(len(atoms)), atoms]),
        forces_ev_per_angstrom=_array("forces", forces, (len(displaced), len(numbers), 3)),
        residual_forces_ev_per_angstrom=frozen_array(residual[sites]),
        born_charges_e=born,
        dielectric_constant=dielectric,
    )


def _numbers(structure: Structure) -> NDArray[np.int64]:
    return np.array([site.specie.Z for site in structure], dtype=np.int64)


def _complete(outputs: PhononOutputs) -> tuple[Sequence[Structure], Sequence[Any]]:
    """Return displaced supercells and their forces; name what failed, the first cause first."""
    given = outputs.forces_ev_per_angstrom
    given = given.get("forces") if isinstance(given, Mapping) else given
    forces: Sequence[Any] = () if given is None else given
    missing = [str(number) for number, one in enumerate(forces, start=1) if one is None]
    if missing:
        raise missing_results("the displacements", missing)
    there = {
        "displaced supercells": bool(outputs.displaced),
        "forces": len(forces) > 0,
        "document": outputs.document is not None,
    }
    if not all(there.values()) or not outputs.displaced:
        raise missing_results("the phonon flow", [name for name, ok in there.items() if not ok])
    return outputs.displaced, forces


def _check_cells(outputs: PhononOutputs, primitive: Structure, matrix: NDArray[np.int64]) -> None:
    """Refuse another cell than the one the flow was given, or another order of atoms."""
    assert outputs.displaced
    first = outputs.displaced[0]
    inner = outputs.field("primitive_matrix")
    if inner is not None and not np.allclose(inner, np.eye(3), atol=1e-4):
        raise InconsistentDataError("the flow did not start from a primitive cell")
    expected = matrix @ primitive.lattice.matrix
    if np.abs(first.lattice.matrix - expected).max() > _CELL_TOLERANCE_ANGSTROM:
        raise InconsistentDataError("the supercells do not repeat the primitive cell")
    # VASP's files are written in this order: forces of any other one would belong to other atoms
    if list(first.get_sorted_structure().species) != list(first.species):
        raise InconsistentDataError("the supercells are not in the order in which VASP has them")


def _undisplaced(
    displaced: Structure, primitive: Structure, matrix: NDArray[np.int64]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Fractional places of the atoms before they moved, shape (atom, 3), and their sites."""
    scaled = np.asarray(displaced.frac_coords)
    sites, cells = locate_atoms(primitive, matrix, scaled, _numbers(displaced), _MAX_MOVED_ANGSTROM)
    return (primitive.frac_coords[sites] + cells) @ np.linalg.inv(matrix), sites


def _moved(displaced: Structure, places: FloatArray, numbers: NDArray[np.int64]) -> FloatArray:
    """Cartesian displacements of all atoms in Å, shape (atom, 3), of which one is not zero."""
    if not np.array_equal(_numbers(displaced), numbers):
        raise InconsistentDataError("displaced supercells hold different atoms")
    shift = displaced.frac_coords - places
    moves: FloatArray = (shift - np.rint(shift)) @ displaced.lattice.matrix
    n_moved = np.count_nonzero(np.linalg.norm(moves, axis=1) > _SAME_PLACE_ANGSTROM)
    if n_moved != 1:
        raise InconsistentDataError(f"{n_moved} atoms are displaced at once", subject="displaced")
    return moves


def _born(
    outputs: PhononOutputs, primitive: Structure
) -> tuple[FloatArray | None, FloatArray | None]:
    born, dielectric = outputs.field("born"), outputs.field("epsilon_static")
    if born is None or dielectric is None:
        if outputs.born_expected:
            raise missing_results("the dielectric calculation", ["Born charges"])
        return None, None
    charges = born_of_all_sites(np.array(born, dtype=np.float64), primitive)
    if np.abs(charges).max() < _CHARGE_TOLERANCE_E:  # an element: nothing to correct
        return None, None
    return frozen_array(charges), _array("dielectric constant", dielectric, (3, 3))


def born_of_all_sites(charges_e: FloatArray, primitive: Structure) -> FloatArray:
    """Turn the Born charges of the inequivalent sites into those of all, by symmetry.

    Parameters
    ----------
    charges_e
        Charges of all sites, or of the first of each set of equivalent ones, shape (n, 3, 3).
    primitive
        The cell.

    Raises
    ------
    InconsistentDataError
        If their number is neither.
    """
    symmetry = primitive_symmetry(primitive, _SAME_PLACE_ANGSTROM)
    firsts = [int(i) for i in symmetry.get_independent_atoms()]
    if charges_e.shape == (len(primitive), 3, 3):
        return charges_e
    if charges_e.shape != (len(firsts), 3, 3):
        raise InconsistentDataError(
            f"Born charges of shape {charges_e.shape} for {len(primitive)} sites, of which"
            f" {len(firsts)} are inequivalent",
            subject="born",
        )
    operations = symmetry.symmetry_operations
    everything = np.zeros((len(primitive), 3, 3))
    columns = primitive.lattice.matrix.T
    for first, charge in zip(firsts, charges_e, strict=True):
        for rotation, shift in zip(
            operations["rotations"], operations["translations"], strict=True
        ):
            image = rotation @ primitive.frac_coords[first] + shift - primitive.frac_coords
            away = np.linalg.norm((image - np.rint(image)) @ primitive.lattice.matrix, axis=1)
            turn = columns @ rotation @ np.linalg.inv(columns)
            everything[away.argmin()] = turn @ charge @ turn.T
    return everything


def _array(name: str, values: Any, shape: tuple[int, ...]) -> FloatArray:
    try:
        array = frozen_array(values)
    except (TypeError, ValueError) as error:
        raise WrongShapeError(f"not an array of shape {shape}", subject=name) from error
    if array.shape != shape:
        raise WrongShapeError(f"shape {array.shape} where {shape} is needed", subject=name)
    if not np.all(np.isfinite(array)):
        raise NonFiniteForcesError("a number is not finite", subject=name)
    return array


def missing_results(what: str, missing: Sequence[str]) -> CalculatorFailedError:
    """Return the error that says which results a calculation did not leave."""
    return CalculatorFailedError(
        f"{what} left no result: {', '.join(missing)}",
        hint="Look at the failed job in the workflow engine, mend it and run it again",
    )
