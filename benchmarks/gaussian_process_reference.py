"""Least squares in the same basis, and what follows from the force constants of all cells."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from gaussian_process_cases import Case, some_cells

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.conductivity import ConductivitySettings, thermal_conductivity
from screening.errors import ScreeningError
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.posterior import Amplitudes
from screening.harmonic import MeshFrequencies, harmonic_from_force_constants, mesh_frequencies
from screening.phonons import PhononSettings
from screening.prediction import FloatArray
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

__all__ = [
    "TEMPERATURE_K",
    "LeastSquares",
    "Reference",
    "conductivity_of",
    "conductivity_settings",
    "expanded",
    "free_energy_of",
    "frequencies_of",
    "largest_that_fits",
    "reference_of",
    "with_properties",
]

TEMPERATURE_K = 300.0
CUBIC_MESH = (9, 9, 9)
MESH_LENGTH_ANGSTROM = 25.0
EQUATIONS_PER_UNKNOWN = 4.0
_BATCH_NUMBERS = 2**24
_SMALLEST_EIGENVALUE = 1e-11
_MOST_FITTED_NUMBERS = 2**27
_HARMONIC = 2


@dataclass(eq=False)
class LeastSquares:
    """Normal equations of the forces of some cells, in the amplitudes that symmetry permits.

    Parameters
    ----------
    basis
        Independent force constants.
    displacements_angstrom, forces_ev_per_angstrom
        Shape (cell, atom, 3); forces without the residual ones.
    """

    basis: ForceConstantBasis
    displacements_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray

    def __post_init__(self) -> None:
        self._allowed = [_allowed(one.constraints) for one in self.basis.orders]
        self._edges = np.cumsum([0, *(one.shape[1] for one in self._allowed)])
        n_unknowns = int(self._edges[-1])
        n_columns = sum(len(one) for one in self._allowed)
        self._gram, self._moment = np.zeros((n_unknowns, n_unknowns)), np.zeros(n_unknowns)
        step = max(1, _BATCH_NUMBERS // (n_columns * 3 * self.basis.n_atoms))
        for start in range(0, len(self.displacements_angstrom), step):
            design = self._design(self.displacements_angstrom[start : start + step])
            forces = self.forces_ev_per_angstrom[start : start + step].ravel()
            self._gram += design.T @ design
            self._moment += design.T @ forces

    def _design(self, displacements: FloatArray) -> FloatArray:
        parts = [
            self.basis.design(one.order, displacements) @ allowed
            for one, allowed in zip(self.basis.orders, self._allowed, strict=True)
        ]
        return np.column_stack(parts)

    @property
    def n_equations(self) -> int:
        """Independent force components: those of a cell add up to zero."""
        n_cells, n_atoms = self.forces_ev_per_angstrom.shape[:2]
        return int(n_cells * 3 * (n_atoms - 1))

    @property
    def n_unknowns(self) -> int:
        """Independent force constants of all orders."""
        return int(self._edges[-1])

    def determined(self, highest_order: int = 3, equations_per_unknown: float = 1.0) -> bool:
        """Whether the forces determine all force constants up to an order, and how often."""
        n_used = self._n_used(highest_order)
        gram = self._gram[:n_used, :n_used]
        scales = np.sqrt(np.diag(gram))
        if self.n_equations < equations_per_unknown * n_used or not scales.all():
            return False
        values = np.linalg.eigvalsh(gram / np.outer(scales, scales))
        return bool(values[0] > _SMALLEST_EIGENVALUE * values[-1])

    def _n_used(self, highest_order: int) -> int:
        """Count the independent force constants up to an order."""
        return int(self._edges[sum(one.order <= highest_order for one in self.basis.orders)])

    def amplitudes(self, highest_order: int = 3) -> Amplitudes:
        """Solve for the amplitudes of every order, zero above the highest one."""
        n_used = self._n_used(highest_order)
        gram = self._gram[:n_used, :n_used]
        scales = np.sqrt(np.diag(gram))
        solved = np.linalg.solve(gram / np.outer(scales, scales), self._moment[:n_used] / scales)
        found = np.zeros(self.n_unknowns)
        found[:n_used] = solved / scales
        return tuple(
            allowed @ found[a:b]
            for allowed, (a, b) in zip(self._allowed, pairwise(self._edges), strict=True)
        )

    def noise(self, amplitudes: Amplitudes) -> float:
        """Root mean square of what is left per degree of freedom in eV/Å."""
        free = np.concatenate([z.T @ one for z, one in zip(self._allowed, amplitudes, strict=True)])
        left = float(np.sum(self.forces_ev_per_angstrom**2))
        left += float(free @ self._gram @ free - 2.0 * free @ self._moment)
        return float(np.sqrt(max(left, 0.0) / max(self.n_equations - self.n_unknowns, 1)))


def _allowed(constraints: FloatArray) -> FloatArray:
    """Orthonormal columns orthogonal to the constraints."""
    n_columns, n_constraints = constraints.shape
    if n_constraints == 0:
        return np.eye(n_columns)
    return np.asarray(np.linalg.qr(constraints, mode="complete")[0][:, n_constraints:])


@dataclass(frozen=True, eq=False)
class Reference:
    """Force constants of all cells and what follows from them.

    Attributes
    ----------
    source
        How they were found.
    force_constants
        The force constants.
    noise_ev_per_angstrom
        What they leave of the forces, per degree of freedom.
    harmonic_amplitudes
        Best harmonic force constants alone, or None where nothing determines them.
    mesh
        Frequencies.
    free_energy_mev_per_atom
        At 300 K.
    conductivity
        Diagonal at 300 K in W/m/K, shape (3,), or None.
    refusal
        Why there is no conductivity.
    conductivity_seconds
        What a conductivity takes.
    """

    source: str
    force_constants: ForceConstants
    noise_ev_per_angstrom: float
    harmonic_amplitudes: Amplitudes | None
    mesh: MeshFrequencies
    free_energy_mev_per_atom: float
    conductivity: FloatArray | None
    refusal: str
    conductivity_seconds: float


def reference_of(case: Case, *, with_conductivity: bool = True) -> Reference:
    """Fit all cells by least squares, or by our own fit where these are not determined well.

    Third-order force constants of least squares are mostly noise with little more equations
    than unknowns.
    """
    solved = LeastSquares(case.basis, case.cells.displacements_angstrom, case.forces)
    harmonic = solved.amplitudes(_HARMONIC) if solved.determined(_HARMONIC) else None
    if solved.determined(equations_per_unknown=EQUATIONS_PER_UNKNOWN):
        amplitudes = solved.amplitudes()
        constants, source = expanded(case, amplitudes), "least squares"
        noise = solved.noise(amplitudes)
    else:
        fit = fit_force_constants(largest_that_fits(case), case.settings, basis=case.basis)
        constants, source = fit.force_constants, f"our fit of {fit.cells.n_cells} cells"
        noise = fit.hyperparameters.noise_ev_per_angstrom
    return with_properties(case, source, constants, noise, harmonic, kappa=with_conductivity)


def with_properties(
    case: Case,
    source: str,
    constants: ForceConstants,
    noise: float,
    harmonic: Amplitudes | None,
    *,
    kappa: bool,
) -> Reference:
    """Add frequencies, free energy and conductivity."""
    mesh = frequencies_of(constants)
    start, conductivity, refusal = time.perf_counter(), None, ""
    if kappa:
        try:
            conductivity = conductivity_of(constants, conductivity_settings(case.cells))
        except ScreeningError as error:
            refusal = f"{error.code}: {error}"
    return Reference(
        source, constants, noise, harmonic, mesh, free_energy_of(case.cells, mesh),
        conductivity, refusal, time.perf_counter() - start,
    )  # fmt: skip


def largest_that_fits(case: Case) -> DisplacedCells:
    """Take all cells, or at random as many as a dense design may have."""
    n_columns = sum(one.n_columns for one in case.basis.orders)
    most = max(1, _MOST_FITTED_NUMBERS // (n_columns * 3 * case.cells.n_atoms))
    if case.cells.n_cells <= most:
        return case.cells
    chosen = np.random.default_rng(0).permutation(case.cells.n_cells)[:most]
    return some_cells(case.cells, np.sort(chosen))


def expanded(case: Case, amplitudes: Amplitudes) -> ForceConstants:
    """Force constants of amplitudes."""
    cells = case.cells
    parts = {
        one.order: case.basis.expand(one.order, values)
        for one, values in zip(case.basis.orders, amplitudes, strict=True)
    }
    return ForceConstants(
        cells.primitive,
        cells.supercell_matrix,
        cells.supercell_scaled_positions,
        cells.supercell_numbers,
        parts[_HARMONIC],
        parts[_HARMONIC + 1],
        cells.born_charges_e,
        cells.dielectric_constant,
    )


def frequencies_of(constants: ForceConstants) -> MeshFrequencies:
    """Frequencies on the mesh that predictions use."""
    length = PhononSettings().mesh_length_angstrom
    return mesh_frequencies(harmonic_from_force_constants(constants), length)


def free_energy_of(cells: DisplacedCells, mesh: MeshFrequencies) -> float:
    """Free energy at 300 K in meV/atom."""
    settings = ThermodynamicsSettings((TEMPERATURE_K,))
    found = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        len(cells.primitive),
        settings,
        is_gamma=mesh.is_gamma,
    )
    return float(found.free_energy_mev_per_atom[0])


def conductivity_settings(
    cells: DisplacedCells, cubic_mesh: tuple[int, int, int] = CUBIC_MESH
) -> ConductivitySettings:
    """Relaxation times at 300 K without isotopes, on a mesh that the lattice decides."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    system = SpacegroupAnalyzer(cells.primitive, symprec=1e-3).get_crystal_system()
    cubic = system == "cubic" and len(set(np.round(cells.primitive.lattice.abc, 4))) == 1
    return ConductivitySettings(
        mesh=cubic_mesh if cubic else None,
        mesh_length_angstrom=MESH_LENGTH_ANGSTROM,
        temperatures_k=(TEMPERATURE_K,),
        isotopes=False,
    )


def conductivity_of(constants: ForceConstants, settings: ConductivitySettings) -> FloatArray:
    """Diagonal of the conductivity in W/m/K, shape (3,).

    Raises
    ------
    ScreeningError
        If it is refused, as with imaginary modes.
    """
    return np.diag(thermal_conductivity(constants, settings).conductivity_w_per_m_k[0]).copy()
