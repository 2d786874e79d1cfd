"""What the fits say of one system: moments of its spectrum, how sure, and how new it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem, atom_counts
from screening.linear_entropy.entropy import count_modes
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.masses import log_mass_term, natural_masses_amu
from screening.linear_entropy.regression import LinearFit
from screening.linear_entropy.rows import RowMaker, SystemRow, atom_rows
from screening.prediction import FloatArray
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

__all__ = [
    "Fits",
    "FrequencyMoments",
    "Moments",
    "estimate",
    "frequency_moments",
    "moments_of",
]

_LARGEST_LOG = float(np.log(1e5))  # of a frequency in THz: far beyond any mode, but no overflow


@dataclass(frozen=True, eq=False)
class Fits:
    """The linear models of one training: of the logarithm, and of the traces of each element.

    Attributes
    ----------
    logarithm
        Of the logarithm of the determinant.
    traces
        Of the mean trace of the atoms of each element, in the order of the elements; empty
        where no quantum statistics are wanted.
    """

    logarithm: LinearFit
    traces: tuple[LinearFit, ...] = ()

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """All numbers by name."""
        arrays = self.logarithm.as_arrays("logarithm")
        for index, fit in enumerate(self.traces):
            arrays.update(fit.as_arrays(f"trace_{index}"))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_traces: int) -> Fits:
        """Take them back from what `as_arrays` gave.

        Raises
        ------
        ModelCorruptError
            As `LinearFit.from_arrays`.
        """
        names = [f"trace_{index}" for index in range(n_traces)]
        return cls(
            LinearFit.from_arrays("logarithm", arrays),
            tuple(LinearFit.from_arrays(name, arrays) for name in names),
        )


@dataclass(frozen=True, eq=False)
class Moments:
    """What the linear models say of one system.

    Attributes
    ----------
    log_determinant
        The logarithm as `screening.linear_entropy.labels.SpectralLabel` has it in its extensive
        form; of the target ``formation``, its excess over the perfect crystal.
    std
        Standard deviation of it as the regression states it.
    row_leverage, atom_leverage
        How far the system, and the atom of it that is least like any, is from the training set:
        variance of its mean over that of the noise.
    total_leverage
        Sum over all atoms: of defects, how much of them there is.
    traces_ev_per_angstrom2, trace_stds_ev_per_angstrom2
        Sum of the traces of the atoms of each element in eV/Å², and standard deviation; empty
        without traces.
    """

    log_determinant: float
    std: float
    row_leverage: float
    atom_leverage: float
    total_leverage: float
    traces_ev_per_angstrom2: FloatArray
    trace_stds_ev_per_angstrom2: FloatArray


def moments_of(
    fits: Fits, maker: RowMaker, system: AtomicSystem, bulk_mean: FloatArray | None = None
) -> Moments:
    """Describe a system, block by block, and say what the fits say of it.

    Raises
    ------
    ElementNotInModelError, OverlapError
        As the descriptor does.
    """
    atom_counts(system.numbers, maker.elements)
    if not maker.descriptor.describes_atoms:
        whole = maker.features(system)
        return estimate(fits, maker, whole, maker.row(whole, len(system), bulk_mean))
    zero = np.zeros(maker.descriptor.n_features(maker.elements)) if bulk_mean is None else bulk_mean
    summed, newest, total = np.zeros_like(zero), 0.0, 0.0
    for _, atoms in atom_rows(maker, system):
        summed = summed + atoms.sum(axis=0)
        largest, together = fits.logarithm.atom_leverages(atoms, zero)
        newest, total = max(newest, largest), total + together
    row = maker.row(summed, len(system), bulk_mean)
    return estimate(fits, maker, summed, row, (newest, total))


def estimate(
    fits: Fits,
    maker: RowMaker,
    summed: FloatArray,
    row: SystemRow,
    atom_leverages: tuple[float, float] | None = None,
) -> Moments:
    """Say what the fits say of a system whose features are known.

    Parameters
    ----------
    fits, maker
        The linear models, and what made the row.
    summed, row
        Features of the system and its row.
    atom_leverages
        Largest and summed leverage of its atoms; None where the descriptor knows the whole
        alone, whose leverage then stands for both.
    """
    features, times = row.features[None], row.multiplier
    traces = np.zeros((2, len(fits.traces)))
    for index, fit in enumerate(fits.traces):
        columns = maker.trace_columns(index)
        count = summed[columns[-1]]
        if count > 0.0:
            own = summed[columns][None] / count
            traces[:, index] = count * fit.predict(own)[0], count * fit.std(own)[0]
    std, leverage = fits.logarithm.assess(features)
    newest, total = atom_leverages or (float(leverage[0]), float(leverage[0]))
    return Moments(
        log_determinant=times * float(fits.logarithm.predict(features)[0]),
        std=times * float(std[0]),
        row_leverage=float(leverage[0]),
        atom_leverage=newest,
        total_leverage=total,
        traces_ev_per_angstrom2=traces[0],
        trace_stds_ev_per_angstrom2=traces[1],
    )


@dataclass(frozen=True)
class FrequencyMoments:
    """Mean logarithm and mean square of the frequencies of a crystal, with masses.

    Attributes
    ----------
    mean_log_thz
        Mean of the logarithm of the frequency in THz.
    mean_log_std
        Standard deviation of it.
    root_mean_square_thz
        Root of the mean square in THz; not a number where the mean square is negative.
    log_root_mean_square_std
        Standard deviation of its logarithm.
    translation_share
        Share of translations among all motions: they have no frequency, and no part in the
        moments. Zero of a mesh, of whose modes they are hardly any.
    """

    mean_log_thz: float
    mean_log_std: float
    root_mean_square_thz: float
    log_root_mean_square_std: float
    translation_share: float = 0.0

    @property
    def has_spectrum(self) -> bool:
        """Whether there is a spectrum with such moments, of frequencies that can be."""
        usable = np.isfinite(self.root_mean_square_thz) and self.root_mean_square_thz > 0.0
        return bool(usable and abs(self.mean_log_thz) < _LARGEST_LOG)


def frequency_moments(
    moments: Moments,
    system: AtomicSystem,
    kind: SpectrumKind,
    masses_amu: FloatArray | None = None,
) -> FrequencyMoments:
    """Add the masses to the moments of a crystal.

    Parameters
    ----------
    moments
        Of the system, with traces.
    system
        The crystal.
    kind
        Which modes are summed.
    masses_amu
        Masses in amu, shape (atom,), equal for all atoms of an element; None takes the natural
        ones.
    """
    n_motions = 3.0 * len(system)
    n_modes, weight = count_modes(system, kind)
    masses = natural_masses_amu(system.numbers) if masses_amu is None else np.asarray(masses_amu)
    without_masses = moments.log_determinant * n_modes / n_motions
    logarithm = (without_masses + log_mass_term(system, masses, weight)) / n_modes
    elements = sorted(set(system.numbers.tolist()))
    by_element = np.array([masses[system.numbers == one].mean() for one in elements])
    present = np.flatnonzero(moments.trace_stds_ev_per_angstrom2 > 0.0)
    square = float((moments.traces_ev_per_angstrom2[present] / by_element).sum()) / n_motions
    spread = float(np.linalg.norm(moments.trace_stds_ev_per_angstrom2[present] / by_element))
    root = float(np.sqrt(square)) if square > 0.0 else float("nan")
    return FrequencyMoments(
        mean_log_thz=0.5 * logarithm + float(np.log(SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ)),
        mean_log_std=0.5 * moments.std / n_motions,
        root_mean_square_thz=root * SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ,
        log_root_mean_square_std=0.5 * spread / n_motions / abs(square) if square else np.inf,
        translation_share=1.0 - n_modes / n_motions,
    )
