"""Cross-validation by group: what the models say of structures whose relatives they never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from screening.errors import TrainingSetError
from screening.linear_entropy.labels import SpectralLabel
from screening.linear_entropy.moments import Fits, Moments, estimate
from screening.linear_entropy.regression import AtomMoments, LinearFit, fit_rows
from screening.linear_entropy.rows import atom_rows
from screening.linear_entropy.table import Progress, TrainingTable
from screening.prediction import FloatArray

__all__ = ["cross_validate", "cross_validation_errors", "fit_all"]


def fit_all(table: TrainingTable, left_out: int | None = None) -> Fits:
    """Fit the logarithm, and the traces of each element, to all parts or all but one.

    Raises
    ------
    TrainingSetError
        As `screening.linear_entropy.regression.fit_rows` does.
    """
    chosen = np.flatnonzero(table.folds != left_out)
    rows, targets = table.features[chosen], table.targets[chosen]
    atoms = _moments_without(table.atoms, left_out)
    if atoms is not None:  # then whole systems are observations of the weight of an atom
        times = table.multipliers[chosen]
        rows, targets = rows * times[:, None], targets * times
    logarithm = fit_rows(rows, targets, atoms)
    if not table.with_traces:
        return Fits(logarithm)
    elements = range(len(table.maker.elements))
    return Fits(logarithm, tuple(_fit_traces(table, chosen, left_out, one) for one in elements))


def _fit_traces(
    table: TrainingTable, chosen: NDArray[np.int64], left_out: int | None, index: int
) -> LinearFit:
    """Fit the mean trace of the atoms of one element."""
    elements = table.maker.elements
    columns = table.maker.trace_columns(index)
    with_it = chosen[table.summed[chosen, columns[-1]] > 0.0]
    if not len(with_it):
        raise TrainingSetError(
            f"all structures with the atomic number {elements[index]} are of one part",
            subject="training",
            hint="Give more structures with this element, or leave them out",
        )
    rows = table.summed[np.ix_(with_it, columns)]
    traces = np.array([_trace_of(table.labels[number], elements[index]) for number in with_it])
    if table.trace_atoms:
        return fit_rows(rows, traces, _moments_without(table.trace_atoms[index], left_out))
    counts = rows[:, -1]
    return fit_rows(rows / counts[:, None], traces / counts)


def _moments_without(parts: Mapping[int, AtomMoments], left_out: int | None) -> AtomMoments | None:
    """Moments of the atoms of all parts but one; None where shares of atoms are not known."""
    if not parts:
        return None
    return AtomMoments.total(one for part, one in parts.items() if part != left_out)


def _trace_of(label: SpectralLabel, element: int) -> float:
    """Sum of the traces of an element's atoms in eV/Å², of all 3N motions."""
    assert label.site_traces_ev_per_angstrom2 is not None
    mine = label.system.numbers == element
    return float(label.site_traces_ev_per_angstrom2[mine].sum()) * label.modes_per_mode


def cross_validate(table: TrainingTable, progress: Progress | None = None) -> list[Moments]:
    """Estimate each label by fits to the other parts, in the order of the labels.

    Parameters
    ----------
    table
        Rows and targets.
    progress
        Told after each part.
    """
    found: dict[int, Moments] = {}
    parts = np.unique(table.folds).tolist()
    for done, part in enumerate(parts, start=1):
        fits = fit_all(table, part)
        for number in np.flatnonzero(table.folds == part).tolist():
            found[number] = _estimate(table, fits, number)
        if progress is not None:
            progress("cross-validation", done, len(parts))
    return [found[number] for number in range(len(table))]


def cross_validation_errors(table: TrainingTable, moments: Sequence[Moments]) -> FloatArray:
    """Estimate less truth of the logarithm of the determinant of each system, shape (label,)."""
    return np.asarray(np.array([one.log_determinant for one in moments]) - table.truth)


def _estimate(table: TrainingTable, fits: Fits, number: int) -> Moments:
    """Estimate one label; what is described as a whole has no leverages of atoms."""
    row, system = table.rows[number], table.labels[number].system
    if not table.maker.descriptor.describes_atoms:
        return estimate(fits, table.maker, table.summed[number], row)
    found = [
        fits.logarithm.atom_leverages(atoms, row.reference)
        for _, atoms in atom_rows(table.maker, system)
    ]
    newest, total = max(one[0] for one in found), sum(one[1] for one in found)
    return estimate(fits, table.maker, table.summed[number], row, (newest, total))
