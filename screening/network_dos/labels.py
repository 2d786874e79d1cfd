"""What a model of densities of states is trained on and held against.

The histogram counts the modes of a mesh, so it holds no smearing. What lies outside the grid is
recorded and never pushed into it: renormalising the rest would move entropies by tens of
J/mol/K per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from screening.acoustic import acoustic_mask
from screening.digest import digest_of, digest_of_bytes
from screening.errors import InconsistentDataError, NonFiniteInputError, TrainingSetError
from screening.harmonic import DEFAULT_MESH_LENGTH_ANGSTROM, mesh_frequencies
from screening.network_dos.grid import FrequencyGrid, Histogram
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

if TYPE_CHECKING:
    from screening.harmonic import Harmonic, MeshFrequencies

__all__ = [
    "LABEL_TEMPERATURES_K",
    "MOST_OUTSIDE",
    "DosLabel",
    "check_labels",
    "dos_label",
    "label_of_density",
    "label_of_mesh",
    "labels_digest",
]

LABEL_TEMPERATURES_K = (0.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 1500.0)
"""Where labels hold exact thermodynamics, and where intervals are calibrated."""

MOST_OUTSIDE = 1e-3
"""Largest share of the modes of a label that may lie outside its grid."""
_NORM_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class DosLabel:
    """The density of states of one crystal on a grid.

    Attributes
    ----------
    material_id
        Key of the material.
    group
        What is never split between training and validation: the reduced formula.
    structure
        The primitive cell.
    histogram
        Modes of the cell in each bin, shape (bin,); they sum to 3N.
    weight_outside
        Fraction of the modes outside the grid, which the histogram does not know of.
    thermodynamics
        Exact sums over the modes at `LABEL_TEMPERATURES_K`, the positive ones scaled to 3N; None
        where only the histogram is known.
    prior
        The same histogram from a potential, for models that correct one; else None.
    source
        What computed it.

    Raises
    ------
    InconsistentDataError
        If a histogram is negative or does not sum to 3N, or two are not of one length.
    NonFiniteInputError
        If a value is not finite.
    """

    material_id: str
    group: str
    structure: Structure
    histogram: FloatArray
    weight_outside: float = 0.0
    thermodynamics: Thermodynamics | None = None
    prior: FloatArray | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("histogram", "prior"):
            values = getattr(self, name)
            if values is not None:
                _check_histogram(np.asarray(values), self.n_atoms, self.material_id)
                object.__setattr__(self, name, frozen_array(values))
        if self.prior is not None and self.prior.shape != self.histogram.shape:
            raise InconsistentDataError(
                f"{len(self.prior)} bins of the potential for {len(self.histogram)} of the label",
                subject=self.material_id,
                hint="Make both on one grid",
            )

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the cell."""
        return len(self.structure)


def _check_histogram(values: FloatArray, n_atoms: int, subject: str) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteInputError(
            "a density of states is not finite", subject=subject, hint="Check the phonons"
        )
    total = float(values.sum())
    if values.ndim != 1 or values.min() < 0.0 or abs(total / (3 * n_atoms) - 1) > _NORM_TOLERANCE:
        raise InconsistentDataError(
            f"a histogram of shape {values.shape} that sums to {total:.6g}, not {3 * n_atoms}, or "
            "is negative somewhere",
            subject=subject,
            hint="Make labels by dos_label, label_of_mesh or label_of_density",
        )


def dos_label(
    harmonic: Harmonic,
    material_id: str,
    grid: FrequencyGrid,
    mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM,
    source: str = "",
) -> DosLabel:
    """Make the label of force constants.

    Parameters
    ----------
    harmonic
        Force constants.
    material_id
        Key of the material.
    grid
        Bins.
    mesh_length_angstrom
        As in `screening.harmonic.mesh_frequencies`.
    source
        What computed them.
    """
    mesh = mesh_frequencies(harmonic, mesh_length_angstrom)
    return label_of_mesh(harmonic.primitive, mesh, material_id, grid, source)


def label_of_mesh(
    primitive: Structure,
    mesh: MeshFrequencies,
    material_id: str,
    grid: FrequencyGrid,
    source: str = "",
) -> DosLabel:
    """Make the label of frequencies on a mesh; the acoustic modes at its centre do not count.

    Raises
    ------
    TrainingSetError
        If no mode lies on the grid.
    InconsistentDataError, NonFiniteInputError
        If the frequencies are not those of the cell.
    """
    n_atoms, frequencies = len(primitive), mesh.frequencies_thz
    settings = ThermodynamicsSettings(
        temperatures_k=LABEL_TEMPERATURES_K, low_mode_policy="renormalise"
    )
    exact = thermodynamics(frequencies, mesh.weights, n_atoms, settings, is_gamma=mesh.is_gamma)
    weights = np.broadcast_to(mesh.weights[:, None], frequencies.shape)
    counted = ~acoustic_mask(frequencies, mesh.is_gamma)
    found = grid.histogram(frequencies[counted], weights[counted])
    return _label(primitive, found, material_id, exact, source)


def label_of_density(
    primitive: Structure,
    frequencies_thz: ArrayLike,
    density_per_thz: ArrayLike,
    material_id: str,
    grid: FrequencyGrid,
    source: str = "",
) -> DosLabel:
    """Make the label of a stored density of states, whose modes are not known.

    Parameters
    ----------
    primitive
        The cell.
    frequencies_thz, density_per_thz
        As `screening.network_dos.grid.FrequencyGrid.histogram_of_density` takes them; any
        normalisation.
    material_id
        Key of the material.
    grid
        Bins.
    source
        What computed it.

    Raises
    ------
    TrainingSetError
        If no mode lies on the grid.
    InconsistentDataError, NonFiniteInputError
        If points or density are none.
    """
    found = grid.histogram_of_density(frequencies_thz, density_per_thz)
    return _label(primitive, found, material_id, None, source)


def _label(
    primitive: Structure,
    found: Histogram,
    material_id: str,
    exact: Thermodynamics | None,
    source: str,
) -> DosLabel:
    total = float(found.weights.sum())
    if not total > 0.0:
        raise TrainingSetError(
            "no mode lies on the grid", subject=material_id, hint="Take a wider grid"
        )
    return DosLabel(
        material_id=material_id,
        group=primitive.composition.reduced_formula,
        structure=primitive,
        histogram=frozen_array(found.weights * (3 * len(primitive) / total)),
        weight_outside=found.outside,
        thermodynamics=exact,
        source=source,
    )


def check_labels(labels: Sequence[DosLabel], grid: FrequencyGrid) -> None:
    """Refuse labels that no model can be trained on.

    Raises
    ------
    TrainingSetError
        If a label is not of the grid, has modes outside it, or is given twice; if some have a
        density of states from a potential and others have none.
    """
    seen: set[str] = set()
    for label in labels:
        if problem := _problem(label, grid, seen):
            raise TrainingSetError(
                problem,
                subject=label.material_id,
                hint="Take a wider grid, make the labels on it, and give each material once",
            )
        seen.add(label.material_id)
    with_prior = sum(label.prior is not None for label in labels)
    if with_prior not in {0, len(labels)}:
        raise TrainingSetError(
            f"{with_prior} of {len(labels)} labels have a density of states from a potential",
            subject="prior",
            hint="Compute it for all of them, or leave it out",
        )


def _problem(label: DosLabel, grid: FrequencyGrid, seen: set[str]) -> str:
    if len(label.histogram) != len(grid):
        return f"a histogram of {len(label.histogram)} bins for a grid of {len(grid)}"
    if label.weight_outside > MOST_OUTSIDE:
        return f"{100 * label.weight_outside:.1f} % of the modes lie outside the grid"
    return "given twice" if label.material_id in seen else ""


def labels_digest(labels: Sequence[DosLabel]) -> str:
    """SHA-256 over structures and histograms, whatever their order."""
    return digest_of(sorted(_digest_of_label(label) for label in labels))


def _digest_of_label(label: DosLabel) -> str:
    structure = label.structure
    numbers = np.array([site.specie.Z for site in structure], dtype="<i8")
    parts = [structure.lattice.matrix, structure.frac_coords, label.histogram]
    parts += [] if label.prior is None else [label.prior]
    data = b"".join(np.ascontiguousarray(one, dtype="<f8").tobytes() for one in parts)
    name = f"{label.material_id}\n{label.group}\n{label.source}\n".encode()
    return digest_of_bytes(name + numbers.tobytes() + data)
