"""Force calls that are never paid for twice: looked up before they are made, stored after.

A first-principles calculation killed half-way goes on with the call it was in, and the
displacements of one crystal may be computed by different jobs on different machines: what is in
the database is what has been done. Potentials are too cheap to be remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.calculators import DielectricResponse, ForceCalculator
from screening.calculators.interface import DielectricCalculator
from screening.digest import digest_of, digest_of_bytes
from screening.errors import CorruptDataError, NotFoundError
from screening.prediction import FloatArray, Prediction
from stores.connect import Database
from stores.documents.forces import ForceDocument, ForceKind
from stores.query import in_values

if TYPE_CHECKING:
    from screening.predictors.interface import Predictor
    from screening.structure import Crystal

__all__ = ["Checkpointed", "force_id_of", "predict_resumably"]

IntArray = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
Geometry = tuple[FloatArray, FloatArray, IntArray]
"""Cell and positions in Å, and atomic numbers."""

_GRID_PER_ANGSTROM = 1e10
"""Geometries that agree to this fraction of an ångström are the same."""


def force_id_of(
    calculator_digest: str,
    kind: ForceKind,
    cell: FloatArray,
    positions: FloatArray,
    numbers: IntArray,
) -> str:
    """Return the key of one force call.

    Parameters
    ----------
    calculator_digest
        SHA-256 of what makes the numbers.
    kind
        What is asked.
    cell, positions
        In Å, shapes (3, 3) and (atom, 3); rounded to 1e-10 Å.
    numbers
        Atomic numbers, shape (atom,).
    """
    lengths = np.concatenate([np.reshape(cell, -1), np.reshape(positions, -1)])
    # whole numbers have no minus zero and no last bit
    on_grid = np.rint(lengths * _GRID_PER_ANGSTROM).astype("<i8")
    elements = np.asarray(numbers).astype("<i8")
    return digest_of(
        {
            "calculator": calculator_digest,
            "kind": kind.value,
            "lengths": digest_of_bytes(on_grid.tobytes()),
            "elements": digest_of_bytes(elements.tobytes()),
        }
    )


@dataclass
class _Remembered:
    """What the calls served from the database took when they were made."""

    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class Checkpointed:
    """A force calculator that remembers every call in a database; otherwise the same.

    Attributes
    ----------
    inner
        The calculator whose calls are remembered.
    database
        Where they are remembered.
    material_id
        Material they are made for, kept with them; None outside a screen.
    remembered
        Wall time and number of the calls that were found and not made.
    """

    inner: ForceCalculator
    database: Database
    material_id: str | None = None
    remembered: _Remembered = field(default_factory=_Remembered)

    @property
    def name(self) -> str:
        """Name of the calculator."""
        return self.inner.name

    @property
    def digest(self) -> str:
        """Digest of what makes its numbers."""
        return self.inner.digest

    @property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers it knows."""
        return self.inner.elements

    @property
    def displacement_angstrom(self) -> float:
        """Finite displacement it recommends in Å."""
        return self.inner.displacement_angstrom

    @property
    def notes(self) -> tuple[str, ...]:
        """What its users must know."""
        return self.inner.notes

    @property
    def is_first_principles(self) -> bool:
        """Whether its numbers are from first principles."""
        return self.inner.is_first_principles

    @cached_property
    def members(self) -> tuple[ForceCalculator, ...]:
        """Members of a committee, remembered one by one."""
        return tuple(replace(self, inner=member) for member in self.inner.members)

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> FloatArray:
        """Return forces in eV/Å, shape (copy, atom, 3); stored copy by copy."""
        geometries = [(cell, one, numbers) for one in positions]
        known = self._known(geometries, ForceKind.FORCES)
        found = [
            self._recall(known[index])
            or self._compute(ForceKind.FORCES, geometry, self._forces_of_one)
            for index, geometry in enumerate(geometries)
        ]
        return np.array([one["forces_ev_per_angstrom"] for one in found]).reshape(
            np.shape(positions)
        )

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> float:
        """Return the energy of one cell in eV."""
        geometry = (cell, positions, numbers)
        found = self._recall(self._known([geometry], ForceKind.ENERGY)[0]) or self._compute(
            ForceKind.ENERGY, geometry, self._energy_of_one
        )
        return float(found["energy_ev"])

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IntArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        kind = ForceKind.ENERGY_FORCES_STRESS
        geometry = (cell, positions, numbers)
        found = self._recall(self._known([geometry], kind)[0]) or self._compute(
            kind, geometry, self._everything_of_one
        )
        forces = np.array(found["forces_ev_per_angstrom"])
        return float(found["energy_ev"]), forces, np.array(found["stress_ev_per_angstrom3"])

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: IntArray
    ) -> DielectricResponse | None:
        """Return the response to an electric field; remembered where there is one."""
        if not isinstance(self.inner, DielectricCalculator):
            return None
        kind, geometry = ForceKind.DIELECTRIC_RESPONSE, (cell, positions, numbers)
        known = self._recall(self._known([geometry], kind)[0])
        if known is not None:
            constant, charges = known["dielectric_constant"], known["born_charges_e"]
            return DielectricResponse(np.array(constant), np.array(charges))
        started = time.perf_counter()
        found = self.inner.dielectric_response(cell, positions, numbers)
        if found is not None and found.born_charges_e is not None:
            assert found.dielectric_constant is not None  # the two come together
            results = {
                "dielectric_constant": found.dielectric_constant,
                "born_charges_e": found.born_charges_e,
            }
            self._store(kind, geometry, results, time.perf_counter() - started)
        return found

    def _forces_of_one(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> Arrays:
        return {"forces_ev_per_angstrom": self.inner.forces(cell, positions[None], numbers)[0]}

    def _energy_of_one(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> Arrays:
        return {"energy_ev": np.array(self.inner.energy(cell, positions, numbers))}

    def _everything_of_one(
        self, cell: FloatArray, positions: FloatArray, numbers: IntArray
    ) -> Arrays:
        energy, forces, stress = self.inner.energy_forces_stress(cell, positions, numbers)
        return {
            "energy_ev": np.array(energy),
            "forces_ev_per_angstrom": forces,
            "stress_ev_per_angstrom3": stress,
        }

    def _known(
        self, geometries: Sequence[Geometry], kind: ForceKind
    ) -> list[Mapping[str, Any] | None]:
        """Find what is stored for each geometry, with one query.

        Another kind of call never serves: calculators use other cutoffs for stresses.
        """
        keys = [force_id_of(self.digest, kind, *geometry) for geometry in geometries]
        same = in_values("force_id", keys)
        rows = self.database.forces.query(same, ["force_id", "wall_seconds", "blob.sha256"])
        stored = {row["force_id"]: row for row in rows}
        return [stored.get(key) for key in keys]

    def _recall(self, row: Mapping[str, Any] | None) -> Arrays | None:
        """Return stored arrays; None where there are none or they are broken: made again then."""
        if row is None:
            return None
        try:
            arrays = self.database.blobs.get(row["blob"]["sha256"])
        except (CorruptDataError, NotFoundError):
            return None
        self.remembered.seconds += float(row["wall_seconds"])
        self.remembered.calls += 1
        return arrays

    def _compute(
        self,
        kind: ForceKind,
        geometry: Geometry,
        call: Callable[[FloatArray, FloatArray, IntArray], Arrays],
    ) -> Arrays:
        """Make one call and store it before anything else is done."""
        started = time.perf_counter()
        results = call(*geometry)
        self._store(kind, geometry, results, time.perf_counter() - started)
        return results

    def _store(self, kind: ForceKind, geometry: Geometry, results: Arrays, seconds: float) -> None:
        cell, positions, numbers = geometry
        given = {
            "cell_angstrom": np.asarray(cell, dtype=np.float64),
            "positions_angstrom": np.asarray(positions, dtype=np.float64),
            "atomic_numbers": np.asarray(numbers, dtype=np.int64),
        }
        document = ForceDocument.from_call(
            force_id=force_id_of(self.digest, kind, *geometry),
            kind=kind,
            calculator=self.name,
            calculator_digest=self.digest,
            material_id=self.material_id,
            formula=_formula(numbers),
            n_atoms=len(numbers),
            wall_seconds=seconds,
            blob=self.database.blobs.put({**given, **results}),
        )
        self.database.forces.update(document.to_store())


def _formula(numbers: IntArray) -> str:
    from pymatgen.core import Composition, Element

    counts = {
        Element.from_Z(int(z)): int(n)
        for z, n in zip(*np.unique(numbers, return_counts=True), strict=True)
    }
    return Composition(counts).formula


def predict_resumably(predictor: Predictor, crystal: Crystal, database: Database) -> Prediction:
    """Predict a crystal; force calls from first principles are remembered, and never repeated.

    The cost of the prediction counts every force call it rests on, also those that an earlier
    run or another job made: their wall time is added to the wall time and to the time spent on
    forces. Processor time is that of this process alone, because that of other machines and
    of programs that were started is not known.

    Raises
    ------
    ScreeningError
        Whatever the predictor raises; calls made before the failure stay remembered.
    """
    from screening.predictors.potential_phonons import PotentialPhonons

    if not isinstance(predictor, PotentialPhonons) or not predictor.calculator.is_first_principles:
        return predictor.predict(crystal)
    remembering = Checkpointed(predictor.calculator, database, crystal.material_id)
    prediction = predictor.with_calculator(remembering).predict(crystal)
    earlier = remembering.remembered.seconds
    cost = replace(
        prediction.cost,
        wall_seconds=prediction.cost.wall_seconds + earlier,
        force_seconds=prediction.cost.force_seconds + earlier,
    )
    return replace(prediction, cost=cost)
