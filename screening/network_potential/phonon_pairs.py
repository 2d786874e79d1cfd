"""One crystal's phonons twice, as predicted and as they should be, at the same wave vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.harmonic import MeshFrequencies
from screening.prediction import BandStructure, FloatArray

__all__ = ["PhononPair"]

_SAME_Q_POINT = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class PhononPair:
    """One crystal as predicted and as it should be, at the same wave vectors.

    Attributes
    ----------
    material_id, group
        What it is, and its composition as reduced formula.
    predicted, reference
        Frequencies on one mesh, imaginary ones negative.
    predicted_bands, reference_bands
        The same on one band path, or None; used where both are there.
    static_enthalpy_ev_per_atom
        Energy without vibrations, of the reference method, in eV/atom; None where unknown.

    Raises
    ------
    InconsistentDataError
        If the two sides are not at the same wave vectors, or shapes do not fit.
    NonFiniteInputError
        If a number is not finite.
    """

    material_id: str
    group: str
    predicted: MeshFrequencies
    reference: MeshFrequencies
    predicted_bands: BandStructure | None = None
    reference_bands: BandStructure | None = None
    static_enthalpy_ev_per_atom: float | None = None

    def __post_init__(self) -> None:
        _check_same_points(self.predicted, self.reference, self.material_id)
        if self.predicted_bands is not None and self.reference_bands is not None:
            _check_same_points(self.predicted_bands, self.reference_bands, self.material_id)
        weights, other = self.predicted.weights, self.reference.weights
        n_q = len(self.reference.q_points)
        if weights.shape != (n_q,) or other.shape != (n_q,) or min(weights.sum(), other.sum()) <= 0:
            raise InconsistentDataError(
                "weights do not belong to the wave vectors of the mesh",
                subject=self.material_id,
                hint="Give one positive weight to every wave vector",
            )
        if not np.allclose(weights / weights.sum(), other / other.sum(), atol=1e-9):
            raise InconsistentDataError(
                "the two meshes have different weights",
                subject=self.material_id,
                hint="Evaluate the prediction at the wave vectors of the reference",
            )

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the primitive cell."""
        return int(self.reference.frequencies_thz.shape[1]) // 3

    @property
    def has_path(self) -> bool:
        """Whether both sides know a band path."""
        return self.predicted_bands is not None and self.reference_bands is not None

    def on_mesh(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return frequencies and weights on the mesh, shapes (mode,).

        The weights add up to the number of branches of the primitive cell.
        """
        predicted, reference = self.predicted.frequencies_thz, self.reference.frequencies_thz
        fractions = self.reference.weights / self.reference.weights.sum()
        weights = np.broadcast_to(fractions[:, None], reference.shape)
        return predicted.ravel(), reference.ravel(), weights.ravel()

    def on_path(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return frequencies and weights on the path, as `on_mesh` does.

        Raises
        ------
        InconsistentDataError
            If one of the sides has no path.
        """
        if self.predicted_bands is None or self.reference_bands is None:
            raise InconsistentDataError(
                "one side has no band path",
                subject=self.material_id,
                hint="Compute the path of both, or ask for the mesh",
            )
        predicted = self.predicted_bands.frequencies_thz.ravel()
        reference = self.reference_bands.frequencies_thz.ravel()
        return (
            predicted,
            reference,
            np.full(reference.shape, 1.0 / len(self.reference_bands.q_points)),
        )


def _check_same_points(
    one: MeshFrequencies | BandStructure, other: MeshFrequencies | BandStructure, subject: str
) -> None:
    """Refuse what cannot be compared point by point."""
    n_q = len(other.q_points)
    shapes = {one.frequencies_thz.shape, other.frequencies_thz.shape}
    branches = other.frequencies_thz.shape[-1]
    fits = shapes == {(n_q, branches)} and n_q > 0 and branches > 0 and branches % 3 == 0
    if not fits or one.q_points.shape != other.q_points.shape:
        raise InconsistentDataError(
            f"frequencies of shapes {sorted(shapes)} at {n_q} wave vectors",
            subject=subject,
            hint="Give three branches for every atom at the wave vectors of the reference",
        )
    if not all(np.all(np.isfinite(x.frequencies_thz)) for x in (one, other)):
        raise NonFiniteInputError(
            "a frequency is not finite", subject=subject, hint="Leave the crystal out"
        )
    if np.abs(one.q_points - other.q_points).max() > _SAME_Q_POINT:
        raise InconsistentDataError(
            "the two sides are at different wave vectors",
            subject=subject,
            hint="Evaluate the prediction at the wave vectors of the reference",
        )
