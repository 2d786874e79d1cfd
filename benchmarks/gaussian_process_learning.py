"""Learning curves: fits of few cells beside other ways to use the same cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gaussian_process_cases import Case, Split, divide, some_cells
from gaussian_process_measures import (
    HeldOut,
    Measures,
    add_conductivity,
    add_frequencies,
    add_uncertainty,
    compare,
    forces_of,
    held_out_of,
    rms,
)
from gaussian_process_reference import (
    LeastSquares,
    Reference,
    expanded,
    frequencies_of,
    reference_of,
)

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import ScreeningError
from screening.gaussian_process.fit import GaussianProcessFit, fit_force_constants
from screening.gaussian_process.settings import Decay
from screening.prediction import FloatArray

__all__ = ["OURS", "Learning", "Plan", "learn"]

OURS = "Gaussian process"
LEAST_SQUARES = "least squares"
SYMMETRISED = "symmetrised RBF"
FAITHFUL = "faithful RBF"
NO_LOCALITY = "GP, no locality"
EXPONENTIAL = "GP, exponential decay"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is fitted.

    Attributes
    ----------
    counts, n_draws
        Numbers of cells, and draws of each.
    peer_counts, n_peer_draws
        The same for other ways to use the cells.
    least_squares_counts
        More numbers of cells for least squares, which needs them.
    seconds, conductivity_seconds, peer_seconds
        After so much time per set no further draws, conductivities and draws of peers are
        begun, but for sets with requirements.
    seed
        Of the draws.
    """

    counts: tuple[int, ...] = (1, 2, 3, 4, 5)
    n_draws: int = 5
    peer_counts: tuple[int, ...] = (1, 2, 4)
    n_peer_draws: int = 3
    least_squares_counts: tuple[int, ...] = (5, 6, 8, 16, 32)
    seconds: float = 300.0
    conductivity_seconds: float = 120.0
    peer_seconds: float = 90.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Learning:
    """All measures of one set.

    Attributes
    ----------
    case, split, reference
        What was measured, and against what.
    trivial_mev_per_angstrom, harmonic_mev_per_angstrom
        Errors on them of no force at all, and of the best harmonic force constants.
    noise_mev_per_angstrom
        Error of the reference, which knows them, per degree of freedom.
    measures
        One for each fit.
    """

    case: Case
    split: Split
    reference: Reference
    trivial_mev_per_angstrom: float
    harmonic_mev_per_angstrom: float | None
    noise_mev_per_angstrom: float
    measures: tuple[Measures, ...]

    def of(self, method: str, n_cells: int) -> list[Measures]:
        """All draws of one method and number of cells."""
        return [x for x in self.measures if x.method == method and x.n_cells == n_cells]

    def counts_of(self, method: str) -> list[int]:
        """Numbers of cells that a method was measured with."""
        return sorted({x.n_cells for x in self.measures if x.method == method})

    def methods(self) -> list[str]:
        """Names in the order in which they were measured."""
        return list(dict.fromkeys(x.method for x in self.measures))


@dataclass(eq=False)
class _Bench:
    """One set with its reference and held-out cells, and the time that is left."""

    case: Case
    split: Split
    reference: Reference
    held_out: HeldOut
    complete: bool
    seconds_left: float
    found: list[Measures] = field(default_factory=list)

    def training(self, draw: int, n_cells: int) -> DisplacedCells:
        return some_cells(self.case.cells, self.split.draws[draw][:n_cells])

    def counts(self, wanted: Sequence[int]) -> list[int]:
        longest = len(self.split.draws[0])
        return [one for one in wanted if one <= longest]

    def draws(self, n_draws: int) -> range:
        return range(min(n_draws, len(self.split.draws)))


def learn(case: Case, plan: Plan, progress: Progress, *, complete: bool = False) -> Learning:
    """Measure all methods on one set of randomly displaced cells.

    Parameters
    ----------
    case
        The set.
    plan
        What is fitted.
    progress
        Told what is being done.
    complete
        Whether every fit and every conductivity is computed, whatever it takes.
    """
    longest = max(*plan.counts, *plan.peer_counts, *plan.least_squares_counts)
    split = divide(case.cells.n_cells, plan.n_draws, longest, plan.seed)
    reference = reference_of(case)
    seconds = reference.conductivity_seconds
    progress(f"reference: {reference.source}; a conductivity takes {seconds:.1f} s")
    held_out = held_out_of(case, split.held_out)
    bench = _Bench(case, split, reference, held_out, complete, plan.conductivity_seconds)
    _measure_ours(bench, plan, progress)
    _measure_peers(bench, plan, progress)
    noise = 1e3 * reference.noise_ev_per_angstrom
    harmonic = reference.harmonic_amplitudes
    known = None if harmonic is None else held_out.rmse(held_out.predicted(harmonic))
    trivial = 1e3 * rms(held_out.forces_ev_per_angstrom)
    return Learning(case, split, reference, trivial, known, noise, tuple(bench.found))


def _measure_ours(bench: _Bench, plan: Plan, progress: Progress) -> None:
    """Fit all draws of one number of cells after the other, powers of two first."""
    end = time.perf_counter() + plan.seconds
    for count in sorted(bench.counts(plan.counts), key=lambda one: (one & (one - 1) != 0, one)):
        for draw in bench.draws(plan.n_draws):
            if bench.complete or time.perf_counter() < end:
                bench.found.append(_guarded(_ours, bench, Measures(OURS, count, draw)))
        progress(f"{count} of at most {max(plan.counts)} cells")


def _measure_peers(bench: _Bench, plan: Plan, progress: Progress) -> None:
    end = time.perf_counter() + plan.peer_seconds
    more = {LEAST_SQUARES: plan.least_squares_counts}
    for draw in bench.draws(plan.n_peer_draws):
        for method in _PEERS:
            for count in bench.counts(more.get(method, plan.peer_counts)):
                if bench.complete or time.perf_counter() < end:
                    name = Measures(method, count, draw)
                    bench.found.append(_guarded(_peer, bench, name))
        progress(f"peers, draw {draw + 1}")


def _guarded(
    measure: Callable[[_Bench, Measures], Measures], bench: _Bench, name: Measures
) -> Measures:
    """Let one fit that fails not stop the others."""
    try:
        return measure(bench, name)
    except ScreeningError as error:
        return replace(name, note=f"{error.code}: {error}")


def _ours(bench: _Bench, name: Measures) -> Measures:
    case, reference = bench.case, bench.reference
    start = time.perf_counter()
    cells = bench.training(name.draw, name.n_cells)
    fit = fit_force_constants(cells, case.settings, basis=case.basis)
    measures = replace(name, seconds=time.perf_counter() - start)
    constants = fit.force_constants
    predicted = bench.held_out.predicted(fit.posterior.amplitudes())
    measures = compare(measures, constants, predicted, bench.held_out, reference)
    measures = add_frequencies(measures, frequencies_of(constants), case, reference)
    measures = add_uncertainty(measures, fit, bench.held_out, reference)
    if not bench.complete and bench.seconds_left < reference.conductivity_seconds:
        return replace(measures, note="conductivity left out: no time")
    start = time.perf_counter()
    measures = add_conductivity(measures, constants, case, reference)
    bench.seconds_left -= time.perf_counter() - start
    return measures


Trained = tuple[ForceConstants, FloatArray]
"""Force constants, and the forces of the held-out cells."""


def _peer(bench: _Bench, name: Measures) -> Measures:
    start = time.perf_counter()
    cells = bench.training(name.draw, name.n_cells)
    trained = _PEERS[name.method](bench, cells)
    measures = replace(name, seconds=time.perf_counter() - start)
    if trained is None:
        return replace(measures, seconds=None, note="not determined")
    measures = compare(measures, *trained, bench.held_out, bench.reference)
    if name.method == FAITHFUL:  # its force constants obey no symmetry
        return measures
    mesh = frequencies_of(trained[0])
    return add_frequencies(measures, mesh, bench.case, bench.reference)


def _least_squares(bench: _Bench, cells: DisplacedCells) -> Trained | None:
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    solved = LeastSquares(bench.case.basis, cells.displacements_angstrom, forces)
    if not solved.determined():
        return None
    amplitudes = solved.amplitudes()
    return expanded(bench.case, amplitudes), bench.held_out.predicted(amplitudes)


def _with_decay(decay: Decay) -> Callable[[_Bench, DisplacedCells], Trained]:
    def train(bench: _Bench, cells: DisplacedCells) -> Trained:
        settings = replace(bench.case.settings, decay=decay)
        fit: GaussianProcessFit = fit_force_constants(cells, settings, basis=bench.case.basis)
        predicted = bench.held_out.predicted(fit.posterior.amplitudes())
        return fit.force_constants, predicted

    return train


def _symmetrised(bench: _Bench, cells: DisplacedCells) -> Trained:
    from screening.gaussian_process.symmetrised_kernel import symmetrised_force_constants

    return _with_forces(bench, symmetrised_force_constants(cells))


def _faithful(bench: _Bench, cells: DisplacedCells) -> Trained:
    from screening.gaussian_process.derivative_kernel import derivative_force_constants

    return _with_forces(bench, derivative_force_constants(cells))


def _with_forces(bench: _Bench, constants: ForceConstants) -> Trained:
    moves = bench.held_out.displacements_angstrom
    return constants, forces_of(constants, bench.case.basis, moves)


_PEERS: dict[str, Callable[[_Bench, DisplacedCells], Trained | None]] = {
    NO_LOCALITY: _with_decay(Decay.NONE),
    EXPONENTIAL: _with_decay(Decay.EXPONENTIAL),
    LEAST_SQUARES: _least_squares,
    SYMMETRISED: _symmetrised,
    FAITHFUL: _faithful,
}
