"""The scalars that a MACE model keeps for each atom, as a descriptor.

They are made of all layers of the network and know as much of the surroundings as its energies
do. They turn with nothing and are numbers of one atom each, so that sums of them are extensive.

References
----------
I. Batatia et al., arXiv:2206.07697.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from screening.calculators.checks import CheckedCalculator
from screening.calculators.mace import MaceEngine, load_mace
from screening.descriptors.interface import AtomicSystem, atom_counts, sorted_elements
from screening.errors import (
    ModelCorruptError,
    ModelUnavailableError,
    SettingError,
    TooLargeError,
)
from screening.prediction import FloatArray

__all__ = ["MaceInvariants"]

_MOST_ATOMS = 5000  # the network holds about a megabyte for each


@dataclass(frozen=True, kw_only=True)
class MaceInvariants:
    """Scalar node features of a MACE model.

    Attributes
    ----------
    name
        ``mace:`` and a published name, or a file and its digest.
    digest
        Digest that the model must have; empty takes the one it has.
    workers
        Not used: the network has threads of its own.

    Raises
    ------
    ModelError
        If the model cannot be used.
    SettingError
        If the name is no model's.
    """

    describes_atoms: ClassVar[bool] = True

    name: str
    digest: str = ""
    workers: int = 1
    _engine: MaceEngine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prefix, _, text = self.name.partition(":")
        if prefix != "mace" or not text:
            raise SettingError(
                f"{self.name!r} names no model",
                subject="descriptor",
                hint="Write mace:<calculator>",
            )
        loaded = _loaded(text)
        if self.digest not in ("", loaded.digest):
            raise ModelCorruptError(
                f"the model has the digest {loaded.digest}, not {self.digest}",
                subject=self.name,
                hint="Use the weights that the descriptor was made with",
            )
        object.__setattr__(self, "digest", loaded.digest)
        assert isinstance(loaded.engine, MaceEngine)
        object.__setattr__(self, "_engine", loaded.engine)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings as plain JSON."""
        return {"digest": self.digest}

    def n_features(self, elements: Sequence[int]) -> int:
        """Length of what `summed` returns for these elements."""
        return len(sorted_elements(elements)) * (self._engine.n_invariants + 1)

    def per_atom(self, system: AtomicSystem, elements: Sequence[int] | None = None) -> FloatArray:
        """Describe each atom, shape (atom, feature).

        Raises
        ------
        ElementNotInModelError
            If the system holds another element, or the model knows it not.
        TooLargeError
            If there are too many atoms for one evaluation of the network.
        """
        atom_counts(system.numbers, self._engine.numbers)
        if elements is not None:
            atom_counts(system.numbers, sorted_elements(elements))
        if len(system) > _MOST_ATOMS:
            raise TooLargeError(
                f"{len(system)} atoms, more than {_MOST_ATOMS}",
                subject=self.name,
                hint="Take afs or bso4 for large systems",
            )
        cell = system.cell_angstrom
        if cell is None:  # images out of reach
            reach = 2.0 * self._engine.cutoff_angstrom
            cell = np.diag(np.ptp(system.positions_angstrom, axis=0) + reach)
        return self._engine.invariants(cell, system.positions_angstrom, system.numbers)

    def summed(self, system: AtomicSystem, elements: Sequence[int]) -> FloatArray:
        """Sum over the atoms, as `Descriptor.summed` says.

        Raises
        ------
        ElementNotInModelError, TooLargeError
            As `per_atom`.
        """
        known = sorted_elements(elements)
        counts = atom_counts(system.numbers, known)
        is_element = np.array(known)[:, None] == system.numbers
        total = is_element.astype(np.float64) @ self.per_atom(system, known)
        return np.concatenate([total.ravel(), counts])


def _loaded(text: str) -> CheckedCalculator:
    """Load the model; where it is not there the advice is about descriptors, not potentials."""
    try:
        return load_mace(text)
    except ModelUnavailableError as error:
        raise ModelUnavailableError(
            error.message,
            subject=f"mace:{text}",
            hint="Install the package and run once with a network, or take the descriptor afs, "
            "bso4 or scattering, which need neither",
        ) from error
