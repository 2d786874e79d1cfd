"""Identities and limits that the modes of any crystal must obey, and a tally of the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from report import Figure

from screening.acoustic import acoustic_mask, gamma_mask
from screening.force_constants import acoustic_sum_error
from screening.harmonic import Harmonic, frequencies_at
from screening.prediction import DensityOfStates, FloatArray, Thermodynamics
from screening.spectra import density_of_states
from screening.thermodynamics import ThermodynamicsSettings, dos_thermodynamics, thermodynamics
from screening.units import (
    BOLTZMANN_MEV_PER_K,
    PLANCK_MEV_PER_THZ,
    SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ,
)

__all__ = ["CUTOFF_THZ", "Spectrum", "Tally", "check_harmonic", "check_spectrum", "curves"]

CUTOFF_THZ = 0.1
EXACT, DOS_NORM, DOS_SUMS = "<= 1e-10", "<= 1e-06", "<= 1e-05"
PANELS_K = (10.0, 15.0, 25.0, 40.0, 60.0, 100.0, 160.0, 250.0, 400.0, 650.0, 1000.0, 1500.0)
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(32)
FORMS_K = (30.0, 100.0, 300.0, 1000.0, 1500.0)
HOT_K, COLD_K, HIDDEN_BELOW_K = 1e9, 0.1, 100.0
DOS_STEP_THZ = 5e-4


@dataclass
class Tally:
    """Worst value of every check with what it is from, and what was done and failed."""

    worst: dict[str, tuple[float, str, str, str | None]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(
        self, check: str, value: float, of: str, required: str | None = None, unit: str = "relative"
    ) -> None:
        """Keep a value where it is the worst so far; what is no number is a failure."""
        if not np.isfinite(value):
            raise ArithmeticError(f"{check} is {value}")
        if check not in self.worst or value > self.worst[check][0]:
            self.worst[check] = (float(value), of, unit, required)

    def attempt(self, kind: str, name: str, work: Callable[[], None]) -> None:
        """Do the work for one crystal; whatever goes wrong is counted and named."""
        try:
            work()
            self.done[kind] += 1
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            self.failures.append(f"{name}: {type(error).__name__}: {error}")
            print(f"FAILED {kind}, {self.failures[-1]}", flush=True)

    def figures(self) -> list[Figure]:
        """One line for every check, with the crystal it is worst for, and for every failure."""
        found = [
            Figure(f"{check} [{of}]", value, unit, required)
            for check, (value, of, unit, required) in self.worst.items()
        ]
        found.append(Figure("0 failures", len(self.failures), "", "<= 0"))
        return found + [Figure(f"0 FAILED {name}", 1, "", "<= 0") for name in self.failures]


@dataclass(frozen=True)
class Spectrum:
    """The modes of one crystal: THz (q, branch), weights (q,), fractions (q, 3)."""

    frequencies_thz: FloatArray
    weights: FloatArray
    q_points: FloatArray

    @property
    def n_atoms(self) -> int:
        """Atoms of the primitive cell."""
        return int(self.frequencies_thz.shape[1]) // 3

    def thermodynamics(self, temperatures_k: Iterable[float]) -> Thermodynamics:
        """Sum the modes at these temperatures."""
        settings = ThermodynamicsSettings(tuple(temperatures_k), cutoff_thz=CUTOFF_THZ)
        return thermodynamics(
            self.frequencies_thz,
            self.weights,
            self.n_atoms,
            settings,
            is_gamma=gamma_mask(self.q_points),
        )

    def kept(self) -> tuple[FloatArray, FloatArray]:
        """Frequencies of the modes that are summed, and how many per atom each stands for."""
        keep = ~acoustic_mask(self.frequencies_thz, gamma_mask(self.q_points))
        keep &= self.frequencies_thz > CUTOFF_THZ
        shares = np.broadcast_to((self.weights / self.weights.sum())[:, None], keep.shape)
        return self.frequencies_thz[keep], shares[keep] / self.n_atoms


def curves(result: Thermodynamics) -> FloatArray:
    """F, S and C_V per atom in meV and meV/K, shape (quantity, temperature)."""
    return np.array(
        [
            result.free_energy_mev_per_atom,
            result.entropy_mev_per_k_per_atom,
            result.heat_capacity_mev_per_k_per_atom,
        ]
    )


def check_spectrum(spectrum: Spectrum, name: str, tally: Tally) -> None:
    """Check derivatives, forms and limits of the thermodynamic functions of a spectrum."""
    _check_derivatives(spectrum, name, tally)
    _check_forms(spectrum, name, tally)
    _check_cold(spectrum, name, tally)
    _check_hot(spectrum, name, tally)


def _check_derivatives(spectrum: Spectrum, name: str, tally: Tally) -> None:
    """S = -dF/dT and the like, integrated: quadrature reaches the last digits, steps do not.

    Near 0 K the thermal part is lost behind the zero-point energy: down to 1e-9 of F at 10 K,
    so that F and U cannot show their slope to 1e-10 there.
    """
    for low, high in pairwise(PANELS_K):
        half = 0.5 * (high - low)
        inside = 0.5 * (high + low) + half * NODES
        result = spectrum.thermodynamics([low, *inside, high])
        free_energy, entropy, capacity = curves(result)
        weights = half * NODE_WEIGHTS
        for label, curve, slope in (
            ("S = -dF/dT", free_energy, -entropy[1:-1]),
            ("C_V = T dS/dT", entropy, capacity[1:-1] / inside),
            ("C_V = dU/dT", result.internal_energy_mev_per_atom, capacity[1:-1]),
        ):
            integral = float(weights @ slope)
            error = abs(curve[-1] - curve[0] - integral) / abs(integral)
            hidden = curve is not entropy and low < HIDDEN_BELOW_K
            span = f"10-{HIDDEN_BELOW_K:.0f} K" if hidden else f"{HIDDEN_BELOW_K:.0f}-1500 K"
            span = "10-1500 K" if curve is entropy else span
            tally.note(f"3 {label}, {span}", error, name, None if hidden else EXACT)


def _check_forms(spectrum: Spectrum, name: str, tally: Tally) -> None:
    """Sum the other printed forms of F, S and C_V mode by mode."""
    frequencies, counts = spectrum.kept()
    result = spectrum.thermodynamics(FORMS_K)
    for i, temperature in enumerate(FORMS_K):
        x = PLANCK_MEV_PER_THZ * frequencies / (BOLTZMANN_MEV_PER_K * temperature)
        n = 1.0 / np.expm1(x)
        log_sinh = np.log(2.0 * np.sinh(0.5 * x))
        forms = {
            "F": (temperature * log_sinh, result.free_energy_mev_per_atom),
            "S": ((n + 1) * np.log1p(n) - n * np.log(n), result.entropy_mev_per_k_per_atom),
            "S ": (0.5 * x / np.tanh(0.5 * x) - log_sinh, result.entropy_mev_per_k_per_atom),
            "C_V": ((0.5 * x / np.sinh(0.5 * x)) ** 2, result.heat_capacity_mev_per_k_per_atom),
        }
        for label, (terms, ours) in forms.items():
            expected = BOLTZMANN_MEV_PER_K * float(counts @ terms)
            scale = abs(expected)
            if label == "F":
                scale = max(scale, result.zero_point_energy_mev_per_atom)
            error = abs(ours[i] - expected) / scale
            tally.note(f"3 {label.strip()} by its other printed forms", error, name, EXACT)


def _check_cold(spectrum: Spectrum, name: str, tally: Tally) -> None:
    """At and near 0 K only the zero-point energy is left."""
    frequencies, counts = spectrum.kept()
    zero_point = 0.5 * PLANCK_MEV_PER_THZ * float(frequencies @ counts)
    result = spectrum.thermodynamics([0.0, COLD_K])
    free_energy, entropy, capacity = curves(result)
    energies = [*free_energy, *result.internal_energy_mev_per_atom]
    error = float(np.abs(np.array(energies) - zero_point).max()) / zero_point
    tally.note(f"3 F, U at 0 and {COLD_K} K: zero-point energy", error, name, EXACT)
    left = float(np.abs([entropy, capacity]).max()) / BOLTZMANN_MEV_PER_K
    tally.note(f"3 S, C_V at 0 and {COLD_K} K: zero", left, name, EXACT, "k_B")


def _check_hot(spectrum: Spectrum, name: str, tally: Tally) -> None:
    """Classical limits, of the modes that are summed."""
    frequencies, counts = spectrum.kept()
    modes = float(counts.sum())
    _, entropy, capacity = curves(spectrum.thermodynamics([1500.0, HOT_K]))
    per_mode = capacity / (BOLTZMANN_MEV_PER_K * modes)
    tally.note(f"3 C_V at {HOT_K:g} K: k_B per mode", abs(per_mode[1] - 1.0), name, EXACT)
    x = PLANCK_MEV_PER_THZ * frequencies / (BOLTZMANN_MEV_PER_K * HOT_K)
    classical = BOLTZMANN_MEV_PER_K * float(counts @ (1.0 - np.log(x)))
    error = abs(entropy[1] / classical - 1.0)
    tally.note(f"3 S at {HOT_K:g} K: classical", error, name, EXACT)
    tally.note("3 C_V at 1500 K below 3 k_B", 1.0 - per_mode[0] * modes / 3.0, name)
    tally.note("3 modes left out (acoustic at Gamma, low)", 1.0 - modes / 3.0, name)


def check_harmonic(
    harmonic: Harmonic,
    spectrum: Spectrum,
    reference: FloatArray,
    temperatures_k: Sequence[float],
    name: str,
    tally: Tally,
) -> None:
    """Check sum rules of force constants and DOS, and phonopy's curves from a fine DOS."""
    error = acoustic_sum_error(harmonic.force_constants_ev_per_angstrom2)
    tally.note("3 acoustic sum of the force constants", error, name, EXACT, "eV/Å²")
    at_gamma = np.sort(np.abs(frequencies_at(harmonic, np.zeros((1, 3)))[0]))[:3]
    zero_modes = float((at_gamma[-1] / SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ) ** 2)
    tally.note("3 three zero modes at Gamma", zero_modes, name, EXACT, "eV/Å²/amu")
    n_modes = 3 * harmonic.n_atoms
    dos = density_of_states(harmonic)
    integral = float(np.trapezoid(dos.total_per_thz, dos.frequencies_thz))
    tally.note("3 DOS integrates to 3N", abs(integral / n_modes - 1.0), name, DOS_NORM)
    summed = dos.projected_per_thz.sum(axis=0)
    split = float(np.abs(summed - dos.total_per_thz).max() / dos.total_per_thz.max())
    tally.note("3 projected DOS sums to the total", split, name, DOS_NORM)
    settings = ThermodynamicsSettings(tuple(temperatures_k), cutoff_thz=CUTOFF_THZ)
    result = dos_thermodynamics(_fine_density(spectrum), harmonic.n_atoms, settings)
    scale = np.abs(reference)
    scale[0] = np.maximum(scale[0], result.zero_point_energy_mev_per_atom)
    error = float((np.abs(curves(result) - reference) / scale).max())
    tally.note("3 F, S, C_V of a fine DOS against phonopy", error, name, DOS_SUMS)


def _fine_density(spectrum: Spectrum) -> DensityOfStates:
    """Every mode shared by its two neighbours on a grid, which keeps its mean frequency."""
    frequencies = spectrum.frequencies_thz
    first = np.floor(frequencies.min() / DOS_STEP_THZ) - 1
    position = frequencies / DOS_STEP_THZ - first
    lower = np.floor(position).astype(np.int64)
    share = position - lower
    weights = np.broadcast_to((spectrum.weights / spectrum.weights.sum())[:, None], share.shape)
    size = int(lower.max()) + 3
    counts = np.bincount(lower.ravel(), (weights * (1.0 - share)).ravel(), size)
    counts += np.bincount(lower.ravel() + 1, (weights * share).ravel(), size)
    grid = (first + np.arange(size)) * DOS_STEP_THZ
    return DensityOfStates(grid, counts / DOS_STEP_THZ, np.empty((0, size)))
