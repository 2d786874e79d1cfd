"""Force calls that are never paid for twice: looked up before they are made, stored after.

A first-principles calculation killed half-way goes on with the call it was in, and the
displacements of one crystal may be computed by different jobs on different machines: what is in
the database is what has been done. Potentials are too cheap to be remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flows.predictors import ForcePredictor
from screening.calculators import DielectricResponse
from screening.calculators.delegation import Delegating
from screening.calculators.interface import DielectricCalculator
from screening.digest import digest_of, digest_of_bytes
from screening.errors import CorruptDataError, NotFoundError
from screening.prediction import FloatArray, Prediction
from screening.predictors.metering import core_seconds
from stores.connect import Database
from stores.documents.forces import ForceDocument, ForceKind
from stores.query import in_values

if TYPE_CHECKING:
    from screening.predictors.interface import Predictor
    from screening.structure import Crystal

__all__ = ["Checkpointed", "force_id_of", "predict_resumably", "work_resumably"]

IntArray = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
Geometry = tuple[FloatArray, FloatArray, IntArray]
"""Cell and positions in Å, and atomic numbers."""

_Call = Callable[[FloatArray, FloatArray, IntArray], Arrays]
Result = TypeVar("Result")
_Asked = TypeVar("_Asked", bound="Predictor")
_Made = TypeVar("_Made", Prediction, Prediction | None)

PATIENCE_SECONDS = 86400.0
"""How long a process waits for a call that another one makes; then it makes it, too."""

_LOOK_SECONDS = 1.0
_CLAIM = "force:"
_STORED = ["force_id", "prediction_id", "wall_seconds", "cpu_seconds", "blob.sha256"]
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
    """What the calls of one prediction took that were served from the database."""

    seconds: float = 0.0
    core_seconds: float = 0.0


@dataclass(frozen=True)
class Checkpointed(Delegating):
    """A force calculator that remembers every call in a database; otherwise the same.

    No two processes make the same call at the same time: each is made under a claim, and who
    does not get it makes the other calls first, then waits for the result.

    Attributes
    ----------
    inner
        The calculator whose calls are remembered.
    database
        Where they are remembered.
    material_id
        Material they are made for, kept with them; None outside a screen.
    prediction_id
        Prediction they are made for; None outside one.
    remembered
        Time of the calls that were found and not made, of those that were made for the same
        prediction: what was made for another one is counted there.
    """

    database: Database
    material_id: str | None = None
    prediction_id: str | None = None
    remembered: _Remembered = field(default_factory=_Remembered)

    @cached_property
    def members(self) -> tuple[Checkpointed, ...]:
        """Members of a committee, remembered one by one."""
        return tuple(replace(self, inner=member) for member in self.inner.members)

    def missing(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> int:
        """Count the copies whose forces are not remembered; arguments as of `forces`."""
        keys = [self._key(ForceKind.FORCES, (cell, one, numbers)) for one in positions]
        stored = self._stored(keys)
        return sum(key not in stored for key in keys)

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> FloatArray:
        """Return forces in eV/Å, shape (copy, atom, 3); stored copy by copy."""
        geometries = [(cell, one, numbers) for one in positions]
        found = self._results(ForceKind.FORCES, geometries, self._forces_of_one)
        return np.array([one["forces_ev_per_angstrom"] for one in found]).reshape(
            np.shape(positions)
        )

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IntArray) -> float:
        """Return the energy of one cell in eV."""
        geometry = (cell, positions, numbers)
        [found] = self._results(ForceKind.ENERGY, [geometry], self._energy_of_one)
        return float(found["energy_ev"])

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IntArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        geometry = (cell, positions, numbers)
        kind = ForceKind.ENERGY_FORCES_STRESS
        [found] = self._results(kind, [geometry], self._everything_of_one)
        forces = np.array(found["forces_ev_per_angstrom"])
        return float(found["energy_ev"]), forces, np.array(found["stress_ev_per_angstrom3"])

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: IntArray
    ) -> DielectricResponse | None:
        """Return the response to an electric field; remembered where there is one."""
        inner = self.inner
        if not isinstance(inner, DielectricCalculator):
            return None
        kind, geometry = ForceKind.DIELECTRIC_RESPONSE, (cell, positions, numbers)
        key = self._key(kind, geometry)

        def work() -> DielectricResponse | None:
            known = self._recall(self._stored([key]).get(key))
            if known is not None:
                constant, charges = known["dielectric_constant"], known["born_charges_e"]
                return DielectricResponse(np.array(constant), np.array(charges))
            watch = _Watch()
            found = inner.dielectric_response(cell, positions, numbers)
            if found is not None and found.born_charges_e is not None:
                assert found.dielectric_constant is not None  # the two come together
                results = {
                    "dielectric_constant": found.dielectric_constant,
                    "born_charges_e": found.born_charges_e,
                }
                self._store(kind, geometry, results, watch)
            return found

        return self._alone(key, work)

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

    def _key(self, kind: ForceKind, geometry: Geometry) -> str:
        """Return the key of a call; another kind never serves: stresses have other cutoffs."""
        return force_id_of(self.digest, kind, *geometry)

    def _results(
        self, kind: ForceKind, geometries: Sequence[Geometry], call: _Call
    ) -> list[Arrays]:
        """Return the results of calls: known ones, then those nobody else makes, then the rest."""
        keys = [self._key(kind, geometry) for geometry in geometries]
        stored = self._stored(keys)
        found = [self._recall(stored.get(key)) for key in keys]
        for patient in (False, True):
            for place, (key, geometry) in enumerate(zip(keys, geometries, strict=True)):
                work = partial(self._known_or_made, kind, key, geometry, call)
                found[place] = found[place] or self._alone(key, work, patient=patient)
        return [one for one in found if one is not None]

    def _known_or_made(self, kind: ForceKind, key: str, geometry: Geometry, call: _Call) -> Arrays:
        """Look once more, then make one call and store it before anything else is done."""
        known = self._recall(self._stored([key]).get(key))
        if known is not None:
            return known
        watch = _Watch()
        results = call(*geometry)
        self._store(kind, geometry, results, watch)
        return results

    def _alone(
        self, key: str, work: Callable[[], Result], *, patient: bool = True
    ) -> Result | None:
        """Do work under the claim of a call; None where another process has it.

        A patient one waits until the other has ended, or has died and its claim has lapsed. No
        claim of another call is held meanwhile, so nobody waits in a circle.
        """
        started = time.perf_counter()
        claims = self.database.claims
        while (claim := claims.acquire(_CLAIM + key)) is None:
            if not patient:
                return None
            if time.perf_counter() - started > PATIENCE_SECONDS:
                break
            time.sleep(_LOOK_SECONDS)
        self.remembered.seconds -= time.perf_counter() - started  # waiting is no cost
        if claim is None:  # one that hangs must not stop all others
            return work()
        try:
            with claim, claim.kept():
                return work()
        finally:
            claims.forget(claim.key)

    def _stored(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Find what is stored of calls, with one query."""
        rows = self.database.forces.query(in_values("force_id", keys), _STORED)
        return {row["force_id"]: row for row in rows}

    def _recall(self, row: Mapping[str, Any] | None) -> Arrays | None:
        """Return stored arrays; None where there are none or they are broken: made again then."""
        if row is None:
            return None
        try:
            arrays = self.database.blobs.get(row["blob"]["sha256"])
        except (CorruptDataError, NotFoundError):
            return None
        if row.get("prediction_id") == self.prediction_id:
            self.remembered.seconds += float(row["wall_seconds"])
            self.remembered.core_seconds += float(row.get("cpu_seconds", 0.0))
        return arrays

    def _store(self, kind: ForceKind, geometry: Geometry, results: Arrays, watch: _Watch) -> None:
        cell, positions, numbers = geometry
        given = {
            "cell_angstrom": np.asarray(cell, dtype=np.float64),
            "positions_angstrom": np.asarray(positions, dtype=np.float64),
            "atomic_numbers": np.asarray(numbers, dtype=np.int64),
        }
        wall_seconds, cpu_seconds = watch.read()
        document = ForceDocument.from_call(
            force_id=self._key(kind, geometry),
            kind=kind,
            calculator=self.name,
            calculator_digest=self.digest,
            material_id=self.material_id,
            prediction_id=self.prediction_id,
            formula=_formula(numbers),
            n_atoms=len(numbers),
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            blob=self.database.blobs.put({**given, **results}),
        )
        self.database.forces.update(document.to_store())


class _Watch:
    """Wall time and time of all cores since it was made."""

    def __init__(self) -> None:
        self._wall, self._cores = time.perf_counter(), core_seconds()

    def read(self) -> tuple[float, float]:
        """Return both in s."""
        return time.perf_counter() - self._wall, core_seconds() - self._cores


def _formula(numbers: IntArray) -> str:
    from pymatgen.core import Composition, Element

    counts = {
        Element.from_Z(int(z)): int(n)
        for z, n in zip(*np.unique(numbers, return_counts=True), strict=True)
    }
    return Composition(counts).formula


def predict_resumably(
    predictor: Predictor, crystal: Crystal, database: Database, prediction_id: str | None = None
) -> Prediction:
    """Predict a crystal; force calls from first principles are remembered, and never repeated.

    The cost of the prediction counts every force call that was made for it, also by an earlier
    run or another job. Calls that were made for another prediction were paid there.

    Parameters
    ----------
    predictor, crystal, database
        What is predicted with what, and where calls are remembered.
    prediction_id
        Key that the prediction will have; None outside a screen.

    Raises
    ------
    ScreeningError
        Whatever the predictor raises; calls made before the failure stay remembered.
    """
    return work_resumably(
        predictor, lambda one: one.predict(crystal), crystal, database, prediction_id
    )


def work_resumably(
    predictor: _Asked,
    work: Callable[[_Asked], _Made],
    crystal: Crystal,
    database: Database,
    prediction_id: str | None = None,
) -> _Made:
    """Let a predictor work while its force calls from first principles are remembered.

    Parameters
    ----------
    predictor
        What works; a potential does so without memory.
    work
        Given the predictor, or its like whose calls are remembered; returns a prediction, or
        None where there is none yet.
    crystal, database, prediction_id
        As `predict_resumably` has them.

    Raises
    ------
    ScreeningError
        Whatever the work raises; calls made before the failure stay remembered.
    """
    if not isinstance(predictor, ForcePredictor) or not predictor.calculator.is_first_principles:
        return work(predictor)
    remembering = Checkpointed(predictor.calculator, database, crystal.material_id, prediction_id)
    made = work(predictor.with_calculator(remembering))
    return made if made is None else _with_remembered(made, remembering.remembered)


def _with_remembered(prediction: Prediction, earlier: _Remembered) -> Prediction:
    """Add what the calls took that were not made again."""
    cost = prediction.cost
    cost = replace(
        cost,
        wall_seconds=max(0.0, cost.wall_seconds + earlier.seconds),
        cpu_seconds=cost.cpu_seconds + earlier.core_seconds,
        force_seconds=max(0.0, cost.force_seconds + earlier.seconds),
    )
    return replace(prediction, cost=cost)
