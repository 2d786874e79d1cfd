"""Lattice thermal conductivity from second- and third-order force constants.

phono3py computes the scattering of phonons by each other, by isotopes and at boundaries, and
solves the Boltzmann equation; this module feeds it the force constants in their own order of
atoms and checks what goes in and comes out. Weights of the tetrahedron method are averaged
over the point group and over degenerate branches, so that the result depends neither on how
the axes lie nor on the choice of eigenvectors.

References
----------
A. Togo, L. Chaput, T. Tadano and I. Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023),
doi:10.1088/1361-648X/acd831.
L. Chaput, Phys. Rev. Lett. 110, 265506 (2013), the direct solution.
S. Tamura, Phys. Rev. B 27, 858 (1983), equation 33, isotopes.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from phono3py.conductivity.calculators import LBTECalculator, RTACalculator
from phono3py.conductivity.factory import conductivity_calculator
from phono3py.other.isotope import get_mass_variances
from phono3py.phonon3.interaction import Interaction
from phonopy.phonon.grid import BZGrid, get_ir_grid_points, length2mesh
from phonopy.structure.atomic_data import get_atomic_data
from pymatgen.core import Structure

from screening.anharmonic import ForceConstants
from screening.conductivity_checks import (
    CUTOFF_THZ,
    check_collision_memory,
    check_force_constants,
    check_frequencies,
    check_scattered,
    check_size,
)
from screening.conductivity_records import (
    DEFAULT_CONDUCTIVITY_MESH_LENGTH_ANGSTROM,
    ConductivityMethod,
    ConductivitySettings,
    CumulativeConductivity,
    ModeCoordinate,
    ThermalConductivity,
    cumulative_conductivity,
    lifetimes_ps,
)
from screening.errors import CalculatorFailedError, SettingError
from screening.harmonic import harmonic_from_force_constants
from screening.prediction import FloatArray, frozen_array
from screening.repeated_cell import nac_parameters, phonopy_cells
from screening.supercell_symmetry import SupercellSymmetry, primitive_symmetry

__all__ = [
    "DEFAULT_CONDUCTIVITY_MESH_LENGTH_ANGSTROM",
    "ConductivityMethod",
    "ConductivitySettings",
    "CumulativeConductivity",
    "ModeCoordinate",
    "ThermalConductivity",
    "check_settings",
    "cumulative_conductivity",
    "thermal_conductivity",
]

Progress = Callable[[int, int], None]

_SAME_FREQUENCY_DIGITS = 9  # of THz
_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # positions in xx, yy, zz, yz, xz, xy


def thermal_conductivity(
    force_constants: ForceConstants,
    settings: ConductivitySettings | None = None,
    *,
    second_order: ForceConstants | None = None,
    progress: Progress | None = None,
) -> ThermalConductivity:
    """Compute the lattice thermal conductivity of a crystal.

    A mode that nothing scatters would carry heat without resistance: where one has a group
    velocity the result is refused. With Born charges the dipole-dipole part is treated after
    Gonze and Lee.

    Parameters
    ----------
    force_constants
        Second- and third-order force constants.
    settings
        Mesh, temperatures, scattering and method; None takes the defaults.
    second_order
        Harmonic force constants, of a larger supercell of the same primitive cell, that
        replace those of ``force_constants``.
    progress
        Called with the number of irreducible q points done and that of all.

    Raises
    ------
    WrongShapeError, NonFiniteInputError
        If an array of force constants does not fit the cells or holds no finite numbers.
    InconsistentDataError
        If there are no third-order force constants, cells do not belong together, the sum
        rule is broken, or a mode is imaginary or never scattered.
    SettingError
        If the mesh breaks the symmetry, or natural isotopes of an element are unknown.
    TooLargeError
        If the direct solution needs too much memory.
    CalculatorFailedError
        If phono3py fails or returns numbers that are not finite.
    """
    settings = settings or ConductivitySettings()
    harmonic = _with_charges(second_order or force_constants, force_constants)
    check_force_constants(force_constants, harmonic)
    grid = _grid(force_constants.primitive, settings)
    with _silence():
        interaction = _interaction(force_constants, harmonic, grid, settings)
        _solve_modes(interaction, settings)
        solved = _solve(interaction, settings, progress)
    return _record(solved, settings)


def _with_charges(harmonic: ForceConstants, other: ForceConstants) -> ForceConstants:
    """Take the Born charges of the other force constants where these have none."""
    if harmonic.born_charges_e is not None or other.born_charges_e is None:
        return harmonic
    return replace(
        harmonic,
        born_charges_e=other.born_charges_e,
        dielectric_constant=other.dielectric_constant,
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what phono3py prints and warns of from the user; its failures become ours."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        except (RuntimeError, AssertionError, np.linalg.LinAlgError) as error:
            raise CalculatorFailedError(
                f"{type(error).__name__}: {error}",
                subject="phono3py",
                hint="Check the bands for imaginary frequencies, or give a coarser mesh",
            ) from error


def check_settings(primitive: Structure, settings: ConductivitySettings) -> None:
    """Refuse what could never work for a crystal, before any force is computed.

    Raises
    ------
    SettingError
        If the mesh breaks the symmetry, or natural isotopes of an element are unknown.
    """
    _grid(primitive, settings)
    if settings.isotopes:
        _check_isotopes([site.specie.symbol for site in primitive])


def _grid(primitive: Structure, settings: ConductivitySettings) -> BZGrid:
    """Mesh centred at the zone centre, on the conventional cell where the primitive does not do."""
    symmetry = primitive_symmetry(primitive, settings.symprec_angstrom)
    lattice = np.asarray(primitive.lattice.matrix)
    build = partial(
        BZGrid, lattice=lattice, symmetry_dataset=symmetry.dataset, store_dense_gp_map=True
    )
    length = settings.mesh_length_angstrom
    try:
        if settings.mesh is not None:
            return build(settings.mesh)
        return build(length2mesh(length, lattice, rotations=symmetry.pointgroup_operations))
    except RuntimeError as error:  # the mesh breaks the point group
        if settings.mesh is None:
            return build(length, use_grg=True)
        raise SettingError(
            f"{settings.mesh} breaks the symmetry of the crystal",
            subject="mesh",
            hint="Give equal numbers along equivalent vectors, or mesh_length_angstrom",
        ) from error


def _interaction(
    constants: ForceConstants,
    harmonic: ForceConstants,
    grid: BZGrid,
    settings: ConductivitySettings,
) -> Interaction:
    tolerance = settings.symprec_angstrom
    _, primitive, symmetry = phonopy_cells(constants, tolerance)
    third = _carried(constants, symmetry, primitive.p2s_map)
    interaction = Interaction(
        primitive,
        grid,
        primitive_symmetry(constants.primitive, tolerance),
        fc3=third,
        fc3_nonzero_indices=np.ascontiguousarray(np.any(third, axis=(3, 4, 5)), dtype=np.byte),
        cutoff_frequency=CUTOFF_THZ,
        make_r0_average=True,
        symmetrize_tetrahedra=True,
        exclude_gamma_acoustic=True,
        average_degenerate_weights=True,
    )
    modes = harmonic_from_force_constants(harmonic, tolerance)
    interaction.init_dynamical_matrix(
        modes.force_constants_ev_per_angstrom2,
        modes.dynamical_matrix.supercell,
        modes.dynamical_matrix.primitive,
        nac_params=nac_parameters(harmonic, tolerance),
    )
    return interaction


def _carried(
    constants: ForceConstants, symmetry: SupercellSymmetry, rows: NDArray[np.int64]
) -> FloatArray:
    """Third order with each row moved from the first atom of its site to the one of phonopy."""
    third = constants.third_order_ev_per_angstrom3
    assert third is not None
    moved = np.empty(third.shape)
    for site, end in enumerate(rows):
        start = int(np.flatnonzero(symmetry.sites == site)[0])
        place = symmetry.permutation(symmetry.identity, start, int(end))
        moved[site][np.ix_(place, place)] = third[site]
    return moved


def _solve_modes(interaction: Interaction, settings: ConductivitySettings) -> None:
    """Solve and check the modes of all points of the grid.

    Equal frequencies are made so to the last bit, by symmetry and by rounding: the tetrahedron
    method jumps where a corner has the very frequency that is asked for, as in scattering at
    isotopes.
    """
    grid = interaction.bz_grid
    points, _, irreducible = get_ir_grid_points(grid)
    interaction.run_phonon_solver()
    modes = interaction.phonons
    for row, sets in zip(modes.frequencies, modes.degenerate_ids, strict=True):
        row[:] = (np.bincount(sets, row) / np.maximum(np.bincount(sets), 1))[sets]
    equal = modes.frequencies[grid.grg2bzg[irreducible[grid.bzg2grg]]]
    modes.frequencies[:] = np.round(equal, _SAME_FREQUENCY_DIGITS)
    on_grid = grid.grg2bzg[points]  # each once: the grid repeats points at the border of the zone
    check_frequencies(modes.frequencies[on_grid], grid.addresses[on_grid] @ grid.QDinv.T)
    if settings.method is ConductivityMethod.DIRECT:
        n_modes = modes.frequencies[on_grid].size
        check_collision_memory(n_modes, len(settings.temperatures_k))


def _solve(
    interaction: Interaction, settings: ConductivitySettings, progress: Progress | None
) -> RTACalculator | LBTECalculator:
    direct = settings.method is ConductivityMethod.DIRECT
    calculator = conductivity_calculator(
        interaction,
        np.array(settings.temperatures_k),
        [None],
        method="std-lbte" if direct else "std-rta",
        is_isotope=settings.isotopes,
        mass_variances=_mass_variances(interaction) if settings.isotopes else None,
        boundary_mfp=settings.boundary_mean_free_path_micrometre,
    )
    n_points = len(calculator.grid_points)

    def report(index: int) -> None:
        if progress is not None:
            progress(index + 1, n_points)

    calculator.run(on_grid_point=report)
    return calculator


def _mass_variances(interaction: Interaction) -> FloatArray:
    _check_isotopes(interaction.primitive.symbols)
    return np.asarray(get_mass_variances(interaction.primitive))


def _check_isotopes(symbols: Sequence[str]) -> None:
    known = get_atomic_data().isotope_data
    for symbol in symbols:
        if not known.get(symbol):
            raise SettingError(
                f"{symbol} has no natural isotopes", subject="isotopes", hint="Leave them out"
            )


def _record(
    solved: RTACalculator | LBTECalculator, settings: ConductivitySettings
) -> ThermalConductivity:
    """Take the only smearing (none) of phono3py's arrays, and check them."""
    velocities = np.asarray(solved.group_velocities)
    isotopes = np.zeros(velocities.shape[:2])
    if solved.gamma_isotope is not None and settings.isotopes:
        isotopes = np.asarray(solved.gamma_isotope[0])
    widths = np.asarray(solved.gamma[0]) + isotopes + _boundary_widths(velocities, settings)
    frequencies = np.where(solved.frequencies < CUTOFF_THZ, 0.0, solved.frequencies)
    capacities = np.asarray(solved.mode_heat_capacities)
    check_scattered(frequencies, velocities, capacities, widths, solved.qpoints)
    direct = isinstance(solved, LBTECalculator)
    first, second, third = (int(number) for number in solved.mesh_numbers)
    arrays = {
        "temperatures_k": settings.temperatures_k,
        "conductivity_w_per_m_k": _tensor(solved.kappa[0]),
        "relaxation_time_conductivity_w_per_m_k": _tensor(
            (solved.kappa_RTA if direct else solved.kappa)[0]
        ),
        "q_points": solved.qpoints,
        "weights": solved.grid_weights / np.sum(solved.grid_weights),
        "frequencies_thz": frequencies,
        "group_velocities_angstrom_per_ps": velocities,
        "heat_capacities_ev_per_k": capacities,
        "linewidths_thz": widths,
        "isotope_linewidths_thz": isotopes,
        "lifetimes_ps": lifetimes_ps(widths),
        "mode_conductivities_w_per_m_k": _tensor(
            solved.mode_kappa[0] / np.prod(solved.mesh_numbers)
        ),
    }
    for name, values in arrays.items():
        if not np.all(np.isfinite(values)):
            raise CalculatorFailedError(
                "a value is not finite",
                subject=name,
                hint="Look for imaginary frequencies in the bands, or take another mesh",
            )
    check_size(np.array(settings.temperatures_k), arrays["conductivity_w_per_m_k"])
    return ThermalConductivity(
        method=settings.method,
        mesh=(first, second, third),
        **{name: frozen_array(values) for name, values in arrays.items()},
    )


def _boundary_widths(velocities: FloatArray, settings: ConductivitySettings) -> FloatArray:
    """Half widths in THz of modes that live until they reach the boundary."""
    length = settings.boundary_mean_free_path_micrometre
    speeds = np.linalg.norm(velocities, axis=2)
    return np.asarray(speeds / (4.0 * np.pi * length * 1e4) if length else np.zeros_like(speeds))


def _tensor(voigt: FloatArray) -> FloatArray:
    return np.asarray(voigt)[..., _VOIGT]
