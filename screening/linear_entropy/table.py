"""The training set as rows and targets, with the moments of its atoms for each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import Descriptor, descriptor_from, sorted_elements
from screening.errors import TrainingSetError
from screening.linear_entropy.labels import SpectralLabel, SpectrumKind
from screening.linear_entropy.regression import AtomMoments
from screening.linear_entropy.rows import (
    RowMaker,
    SystemRow,
    atom_rows,
    check_one_element,
)
from screening.linear_entropy.settings import LinearEntropySettings
from screening.prediction import FloatArray

__all__ = ["Progress", "TrainingTable", "folds_of", "rows_to_learn", "training_table"]

_OF_SEVERAL_ELEMENTS = {"n_radial": 10, "l_max": 6}  # features grow with the square of elements

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """All that is learned from, as rows and targets.

    Attributes
    ----------
    maker
        What made the rows.
    labels, rows
        One row for each of these labels.
    summed
        Summed features of each, shape (label, feature).
    targets
        Logarithm of the determinant of a row, shape (label,).
    folds
        Part of each label in cross-validation, shape (label,).
    with_traces
        Whether the traces are learned as well.
    atoms
        Moments of the atoms of each part, for the logarithm; empty where shares of atoms are
        not known.
    trace_atoms
        The same for the traces of the atoms of each element.
    """

    maker: RowMaker
    labels: Sequence[SpectralLabel]
    rows: Sequence[SystemRow]
    summed: FloatArray
    targets: FloatArray
    folds: NDArray[np.int64]
    with_traces: bool
    atoms: Mapping[int, AtomMoments] = field(default_factory=dict)
    trace_atoms: Sequence[Mapping[int, AtomMoments]] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def truth(self) -> FloatArray:
        """Logarithm of the determinant of each whole system, shape (label,)."""
        return np.asarray(self.targets * self.multipliers)

    @property
    def multipliers(self) -> FloatArray:
        """What the target of each row is multiplied by to be that of the system, (label,)."""
        return np.array([row.multiplier for row in self.rows])

    @property
    def features(self) -> FloatArray:
        """Features of all rows, shape (label, feature)."""
        return np.array([row.features for row in self.rows])


@dataclass(frozen=True, eq=False)
class _Bulk:
    """Features and logarithm of the determinant of an atom of a perfect crystal."""

    features: FloatArray
    target: float
    site_resolved: bool


def folds_of(groups: Sequence[str], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Share groups out at random to parts of nearly equal numbers of groups, shape (label,).

    Examples
    --------
    >>> first, second, *others = folds_of(["a", "a", "b", "c"], 3, 0).tolist()
    >>> first == second, sorted([first, *others])
    (True, [0, 1, 2])
    """
    names, index = np.unique(np.array(groups), return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(names)) % n_folds
    return np.asarray(part[index.ravel()], dtype=np.int64)


def rows_to_learn(
    training: Sequence[SpectralLabel], settings: LinearEntropySettings
) -> list[SpectralLabel]:
    """Labels that give a row: all, or those of defects.

    Raises
    ------
    TrainingSetError
        If no label is that of a defect, or the perfect crystal of one is missing or of another
        element.
    """
    if settings.target == "entropy":
        return list(training)
    by_name = {label.material_id: label for label in training}
    defects = [label for label in training if label.origin.bulk]
    if not defects:
        raise TrainingSetError(
            "no structure names its perfect crystal",
            subject="training",
            hint="Name it as bulk in the LabelOrigin of each defect, and give its label too; or"
            " choose the target entropy",
        )
    for label in defects:
        bulk = by_name.get(label.origin.bulk)
        if bulk is None:
            raise TrainingSetError(
                f"its perfect crystal {label.origin.bulk!r} is not in the training set",
                subject=label.material_id,
                hint="Add the label of the perfect cell",
            )
        check_one_element(label.system, bulk.system, label.material_id)
    return defects


def training_table(
    training: Sequence[SpectralLabel],
    settings: LinearEntropySettings,
    progress: Progress | None = None,
) -> TrainingTable:
    """Describe all structures.

    Raises
    ------
    TrainingSetError
        As `rows_to_learn`.
    """
    labels = rows_to_learn(training, settings)
    elements = sorted_elements([z for one in training for z in set(one.system.numbers.tolist())])
    maker = RowMaker(_descriptor_of(settings, elements), elements, settings.target)
    bulks = _bulks(training, labels, maker)
    folds = folds_of([label.group for label in labels], settings.n_folds, settings.seed)
    crystals = settings.target == "entropy" and labels[0].kind is not SpectrumKind.CLUSTER
    with_traces = crystals and all(one.site_traces_ev_per_angstrom2 is not None for one in labels)
    gatherer = _Gatherer(maker, with_traces, _is_site_resolved(maker, labels, bulks, settings))
    rows, targets, every = [], [], []
    for done, (label, part) in enumerate(zip(labels, folds.tolist(), strict=True), start=1):
        bulk = bulks.get(label.origin.bulk)
        summed = gatherer.add(label, part, bulk)
        mean = None if bulk is None else bulk.features
        row = maker.row(summed, len(label.system), mean)
        excess = 0.0 if bulk is None else len(label.system) * bulk.target
        rows.append(row)
        every.append(summed)
        targets.append((label.extensive_log_determinant - excess) / row.multiplier)
        if progress is not None:
            progress("descriptors", done, len(labels))
    return TrainingTable(
        maker=maker,
        labels=labels,
        rows=rows,
        summed=np.array(every),
        targets=np.array(targets),
        folds=folds,
        with_traces=with_traces,
        atoms=gatherer.atoms,
        trace_atoms=gatherer.trace_atoms,
    )


def _descriptor_of(settings: LinearEntropySettings, elements: Sequence[int]) -> Descriptor:
    """Make the descriptor, with fewer functions for each of several elements unless told."""
    given = dict(settings.descriptor_settings)
    by_species = given.get("neighbour_channels", "species") == "species"
    is_told = bool(set(_OF_SEVERAL_ELEMENTS) & set(given))
    if settings.descriptor == "afs" and len(elements) > 1 and by_species and not is_told:
        given |= _OF_SEVERAL_ELEMENTS
    return descriptor_from(settings.descriptor, given)


def _is_site_resolved(
    maker: RowMaker,
    labels: Sequence[SpectralLabel],
    bulks: Mapping[str, _Bulk],
    settings: LinearEntropySettings,
) -> bool:
    """Whether the share of every atom is known and wanted, and every atom is described."""
    if not maker.descriptor.describes_atoms:
        return False
    known = all(label.site_log_determinants is not None for label in labels)
    return settings.site_resolved and known and all(one.site_resolved for one in bulks.values())


def _bulks(
    training: Sequence[SpectralLabel], labels: Sequence[SpectralLabel], maker: RowMaker
) -> dict[str, _Bulk]:
    """Describe the perfect crystals of the defects."""
    if maker.target == "entropy":
        return {}
    wanted = {label.origin.bulk for label in labels}
    return {
        one.material_id: _Bulk(
            maker.features(one.system) / len(one.system),
            one.extensive_log_determinant / len(one.system),
            one.site_log_determinants is not None,
        )
        for one in training
        if one.material_id in wanted
    }


class _Gatherer:
    """Sums the features of structures, and the moments of their atoms for each part."""

    def __init__(self, maker: RowMaker, with_traces: bool, site_resolved: bool) -> None:
        self._maker = maker
        self._with_traces = with_traces
        self._site_resolved = site_resolved
        self.atoms: dict[int, AtomMoments] = {}
        n_traced = len(maker.elements) if with_traces and site_resolved else 0
        self.trace_atoms: list[dict[int, AtomMoments]] = [{} for _ in range(n_traced)]

    def add(self, label: SpectralLabel, part: int, bulk: _Bulk | None) -> FloatArray:
        """Take the atoms of a structure in; returns its summed features, shape (feature,)."""
        if not self._maker.descriptor.describes_atoms:
            return self._maker.features(label.system)
        summed = np.zeros(self._maker.descriptor.n_features(self._maker.elements))
        for indices, atoms in atom_rows(self._maker, label.system):
            summed += atoms.sum(axis=0)
            if self._site_resolved:
                self._add_shares(label, part, bulk, indices, atoms)
        return summed

    def _add_shares(
        self,
        label: SpectralLabel,
        part: int,
        bulk: _Bulk | None,
        indices: NDArray[np.int64],
        atoms: FloatArray,
    ) -> None:
        assert label.site_log_determinants is not None
        shares = label.site_log_determinants[indices] * label.modes_per_mode
        reference, target = (0.0, 0.0) if bulk is None else (bulk.features, bulk.target)
        _add(self.atoms, part, AtomMoments.of(atoms - reference, shares - target))
        for index, found in enumerate(self.trace_atoms):
            assert label.site_traces_ev_per_angstrom2 is not None
            columns = self._maker.trace_columns(index)
            mine = np.flatnonzero(atoms[:, columns[-1]])
            traces = label.site_traces_ev_per_angstrom2[indices[mine]] * label.modes_per_mode
            _add(found, part, AtomMoments.of(atoms[np.ix_(mine, columns)], traces))


def _add(into: dict[int, AtomMoments], part: int, moments: AtomMoments) -> None:
    """Add moments to those of a part."""
    known = into.get(part)
    into[part] = moments if known is None else AtomMoments.total([known, moments])
