"""What any predictor must keep to, as a check that runs.

Authors of predictors call `check_predictor` in their own tests, with a crystal their method
can treat. It predicts the crystal four times, so a small one is best.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from screening.digest import digest_of
from screening.errors import ModelRefusedError, SerializationError
from screening.prediction import Prediction, Thermodynamics
from screening.predictors.interface import Predictor
from screening.quantities import Property
from screening.units import BOLTZMANN_MEV_PER_K

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells, ForceConstants
    from screening.conductivity_records import ThermalConductivity
    from screening.prediction import FloatArray
    from screening.structure import Crystal

__all__ = ["ContractTolerances", "check_prediction", "check_predictor"]

_SHIFT = (0.13, 0.21, 0.34)  # of no special position
_HIGHEST_FREQUENCY_THZ = 200.0  # the stiffest bond, hydrogen's, vibrates at 132 THz
_ROUNDING = 1e-9
_SUM_RULE_TOLERANCE = 1e-3  # of the largest force constant
_SAME_CONDUCTIVITY = 1e-3  # of its modes together
_SAME_TEMPERATURE_K = 1e-6
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_CURVES = (
    "free_energy_mev_per_atom",
    "entropy_mev_per_k_per_atom",
    "heat_capacity_mev_per_k_per_atom",
    "internal_energy_mev_per_atom",
)
_CURVE_OF = {
    Property.FREE_ENERGY: "free_energy_mev_per_atom",
    Property.ENTROPY: "entropy_mev_per_k_per_atom",
    Property.HEAT_CAPACITY: "heat_capacity_mev_per_k_per_atom",
}


@dataclass(frozen=True)
class ContractTolerances:
    """How far two predictions of the same crystal may differ.

    Attributes
    ----------
    repeat_mev_per_atom
        Free energy in meV/atom of the same input twice.
    equivalent_mev_per_atom
        Free energy in meV/atom of another description of the same crystal.
    lowest_frequency_thz
        Lowest frequency in THz of another description.
    """

    repeat_mev_per_atom: float = 1e-4
    equivalent_mev_per_atom: float = 0.02
    lowest_frequency_thz: float = 0.02


def check_predictor(
    predictor: Predictor, crystal: Crystal, tolerances: ContractTolerances | None = None
) -> None:
    """Check a predictor on one crystal.

    The input stays untouched; the result says who made it; units and shapes are right and
    all numbers finite; the same input gives the same numbers; so do a supercell of the
    crystal, its atoms in another order and its origin elsewhere.

    Raises
    ------
    ModelRefusedError
        If the predictor breaks one of these rules; the message names the rule.
    ScreeningError
        Whatever the predictor itself raises.
    """
    from screening.structure import canonical_crystal

    tolerances = tolerances or ContractTolerances()
    before = crystal.structure.copy()
    settings_before = json.dumps(predictor.settings, sort_keys=True)
    first = predictor.predict(crystal)
    _require(crystal.structure == before, "the input structure was changed")
    _require(
        json.dumps(predictor.settings, sort_keys=True) == settings_before,
        "the settings changed during a prediction",
    )
    _check_identity(predictor, crystal, first)
    check_prediction(first)
    _compare(first, predictor.predict(crystal), "the same input", tolerances.repeat_mev_per_atom)
    moved = replace(crystal, structure=_moved(crystal))
    supercell = canonical_crystal(crystal.structure * (2, 1, 1))
    _require(supercell.digest == crystal.digest, "the crystal given here is not canonical")
    for name, same in (("order and origin of the atoms", moved), ("a supercell", supercell)):
        other = predictor.predict(same)
        _compare(first, other, name, tolerances.equivalent_mev_per_atom)
        difference = first.stability.lowest_frequency_thz - other.stability.lowest_frequency_thz
        _require(
            abs(difference) <= tolerances.lowest_frequency_thz,
            f"{name}: the lowest frequency moves by {difference:.3g} THz",
        )


def check_prediction(prediction: Prediction) -> None:
    """Check one prediction by itself: shapes, units, signs, finite numbers.

    Raises
    ------
    ModelRefusedError
        If a rule is broken; the message names the rule.
    """
    _check_curves(prediction.thermodynamics)
    _check_spread(prediction)
    _check_intervals(prediction)
    stability = prediction.stability
    _require(
        abs(stability.lowest_frequency_thz) < _HIGHEST_FREQUENCY_THZ,
        f"the lowest frequency, {stability.lowest_frequency_thz}, is not in THz",
    )
    _require(stability.lowest_frequency_q_point.shape == (3,), "the q point has not shape (3,)")
    _require(
        stability.verdicts.get(stability.criterion) is stability.verdict,
        "the verdict is not that of its criterion",
    )
    energy = prediction.static_energy_ev_per_atom
    _require(energy is None or bool(np.isfinite(energy)), "the static energy is not finite")
    _require(
        (energy is None) == (prediction.static_energy_source is None),
        "a static energy needs its source, and none has none",
    )
    cost = prediction.cost
    spent = (cost.wall_seconds, cost.cpu_seconds, cost.force_seconds, cost.force_calls)
    _require(all(np.isfinite(x) and x >= 0 for x in spent), "the cost is negative or not finite")
    _check_extras(prediction)
    _check_spectral(prediction)
    _check_fit(prediction)
    _check_conductivity(prediction)


def _require(condition: object, broken: str) -> None:
    if not condition:
        raise ModelRefusedError(
            f"the predictor breaks its interface: {broken}",
            hint="See screening/predictors/interface.py",
        )


def _check_identity(predictor: Predictor, crystal: Crystal, prediction: Prediction) -> None:
    for name in ("method", "method_version", "tier", "model", "model_digest", "settings_digest"):
        stated, found = getattr(predictor, name), getattr(prediction, name)
        _require(stated == found, f"{name} is {found!r} in the result, {stated!r} in the predictor")
    _require(prediction.structure_digest == crystal.digest, "the structure's digest is another")
    try:
        recomputed = digest_of(dict(prediction.settings))
    except SerializationError as error:
        _require(condition=False, broken=f"the settings are no plain JSON: {error}")
    _require(recomputed == prediction.settings_digest, "the settings do not give their digest")
    for name in ("model_digest", "settings_digest", "structure_digest"):
        _require(_HEX_DIGEST.fullmatch(getattr(prediction, name)), f"{name} is no SHA-256")


def _check_curves(thermo: Thermodynamics) -> None:
    grid = thermo.temperatures_k
    _require(grid.ndim == 1 and grid.size > 0, "the temperature grid has not one dimension")
    _require(np.all(np.diff(grid) > 0) and grid[0] >= 0, "temperatures do not ascend from zero")
    for name in ("temperatures_k", *_CURVES):
        values = getattr(thermo, name)
        _require(values.shape == grid.shape, f"{name} has shape {values.shape}, not {grid.shape}")
        _require(np.all(np.isfinite(values)), f"{name} is not finite")
        _require(not values.flags.writeable, f"{name} can be changed")
    capacity, entropy = thermo.heat_capacity_mev_per_k_per_atom, thermo.entropy_mev_per_k_per_atom
    limit = 3.0 * BOLTZMANN_MEV_PER_K * (1 + 1e-6)
    _require(
        np.all((capacity >= 0) & (capacity <= limit)),
        "heat capacities leave 0 to 3 k_B per atom: wrong unit or normalisation",
    )
    _require(np.all(entropy >= 0) and np.all(np.diff(entropy) >= -_ROUNDING), "the entropy falls")
    free_energy, energy = thermo.free_energy_mev_per_atom, thermo.internal_energy_mev_per_atom
    _require(
        np.allclose(energy - grid * entropy, free_energy, rtol=1e-6, atol=1e-4), "F is not U - TS"
    )
    _require(
        np.all(np.diff(free_energy) <= _ROUNDING) and np.all(energy >= 0),
        "the free energy rises with temperature, or the energy is negative",
    )
    _require(
        grid[0] > 0 or np.isclose(free_energy[0], thermo.zero_point_energy_mev_per_atom),
        "the free energy at 0 K is not the zero-point energy",
    )
    fractions = (thermo.dropped_weight, thermo.imaginary_weight)
    _require(all(0.0 <= x <= 1.0 for x in fractions), "a weight of low modes is no fraction")


def _check_spread(prediction: Prediction) -> None:
    spread = prediction.spread
    if spread is None:
        return
    shape = prediction.thermodynamics.temperatures_k.shape
    for name in ("free_energy_std_mev_per_atom", "entropy_std_mev_per_k_per_atom",
                 "heat_capacity_std_mev_per_k_per_atom"):  # fmt: skip
        values = getattr(spread, name)
        _require(values.shape == shape, f"{name} has shape {values.shape}, not {shape}")
        _require(np.all(np.isfinite(values)) and np.all(values >= 0), f"{name} is negative")
    lowest = spread.lowest_frequency_std_thz
    _require(lowest is None or lowest >= 0, "the spread of the lowest frequency is negative")
    _require(spread.n_members > 1, "one member has no spread")


def _check_intervals(prediction: Prediction) -> None:
    """Check intervals that the method calibrated: of this crystal, around what it predicts."""
    for one in prediction.intervals:
        kind, kelvin, name = one.quantity.kind, one.quantity.temperature_k, one.quantity.name
        _require(not kind.is_difference, f"an interval of {name}, which needs two crystals")
        _require(0.0 < one.coverage < 1.0, f"the coverage of {name} is no probability")
        if kelvin is None:
            expected = prediction.stability.lowest_frequency_thz
        else:
            grid = prediction.thermodynamics.temperatures_k
            here = np.flatnonzero(np.isclose(grid, kelvin, rtol=0.0, atol=_SAME_TEMPERATURE_K))
            _require(here.size == 1, f"an interval of {name}, which the grid does not hold")
            expected = getattr(prediction.thermodynamics, _CURVE_OF[kind])[here[0]]
        inside = one.lower <= expected <= one.upper
        _require(inside, f"{name}, {expected}, lies outside [{one.lower}, {one.upper}]")
    named = [(one.quantity, one.coverage) for one in prediction.intervals]
    _require(len(set(named)) == len(named), "two intervals of one quantity and coverage")


def _check_extras(prediction: Prediction) -> None:
    n_modes = 3 * len(prediction.structure)
    if (dos := prediction.density_of_states) is not None:
        integral = float(np.trapezoid(dos.total_per_thz, dos.frequencies_thz))
        _require(
            abs(integral / n_modes - 1) < 0.05,  # noqa: PLR2004 - finite grids lose a little
            f"the density of states integrates to {integral:.3f} modes, not {n_modes}",
        )
        shape = (len(prediction.structure), dos.frequencies_thz.size)
        projected, std = dos.projected_per_thz, dos.total_std_per_thz
        is_right = projected is None or projected.shape == shape
        _require(is_right, "projections are not of shape (site, f)")
        is_right = std is None or (std.shape == shape[1:] and bool(np.all(std >= 0)))
        _require(is_right, "the spread of the density of states is of another shape or negative")
    if (bands := prediction.band_structure) is not None:
        shape = (len(bands.q_points), n_modes)
        _require(bands.frequencies_thz.shape == shape, f"bands are not of shape {shape}")
        _require(np.all(np.isfinite(bands.frequencies_thz)), "a band is not finite")
    if (forces := prediction.force_data) is not None:
        expected = (len(forces.displaced_atoms), len(forces.supercell_numbers), 3)
        found = forces.forces_ev_per_angstrom.shape
        _require(found == expected, f"forces have shape {found}, not {expected}")
        _require(np.all(np.isfinite(forces.forces_ev_per_angstrom)), "a force is not finite")


def _check_spectral(prediction: Prediction) -> None:
    """Check numbers of a density of states: shares, order, and intervals around the values."""
    found = prediction.spectral_properties
    if found is None:
        return
    _require(0.0 <= found.negative_fraction <= 1.0, "the share of negative modes is no share")
    frequencies = (found.lowest_frequency_thz, found.highest_frequency_thz)
    _require(
        frequencies[0] <= frequencies[1] and found.highest_frequency_thz < _HIGHEST_FREQUENCY_THZ,
        f"lowest and highest frequency are {frequencies} THz",
    )
    pairs = {
        "the share of negative modes": (found.negative_fraction, found.negative_fraction_ends),
        "the rate of isotopes": (found.isotope_rate_ghz, found.isotope_rate_ends_ghz),
        "the number of isotopes": (found.isotope_number_ghz_thz, found.isotope_number_ends_ghz_thz),
    }
    for name, (value, ends) in pairs.items():
        inside = ends is None or (value is not None and ends[0] <= value <= ends[1])
        _require(inside, f"{name}, {value}, lies outside {ends}")
        _require(ends is None or found.coverage is not None, f"{name} has no coverage")


def _check_fit(prediction: Prediction) -> None:
    """Check force constants and the cells that they were fitted to."""
    constants, cells = prediction.force_constants, prediction.displaced_cells
    if constants is not None:
        _check_force_constants(constants, len(prediction.structure))
    if cells is not None:
        shape = (cells.n_cells, cells.n_atoms, 3)
        _check_array("displacements of cells", cells.displacements_angstrom, shape)
        _check_array("forces of cells", cells.forces_ev_per_angstrom, shape)
        _check_array("residual forces", cells.residual_forces_ev_per_angstrom, shape[1:])
        _require(cells.n_cells > 0, "there is no displaced cell")
        _require(constants is not None, "displaced cells without force constants")
    if constants is not None and cells is not None:
        _require(_same_supercell(constants, cells), "force constants and cells differ in supercell")


def _check_force_constants(constants: ForceConstants, n_sites: int) -> None:
    from screening.force_constants import acoustic_sum_error

    n_atoms = len(constants.supercell_numbers)
    second, third = (
        constants.second_order_ev_per_angstrom2,
        constants.third_order_ev_per_angstrom3,
    )
    _check_array("second-order force constants", second, (n_sites, n_atoms, 3, 3))
    if third is not None:
        shape = (n_sites, n_atoms, n_atoms, 3, 3, 3)
        _check_array("third-order force constants", third, shape)
    error = acoustic_sum_error(second)
    _require(
        error <= _SUM_RULE_TOLERANCE * np.abs(second).max(),
        f"a rigid translation costs {error:.3g} eV/Å²",
    )


def _same_supercell(constants: ForceConstants, cells: DisplacedCells) -> bool:
    names = ("supercell_matrix", "supercell_scaled_positions", "supercell_numbers")
    return constants.primitive == cells.primitive and all(
        np.array_equal(getattr(constants, name), getattr(cells, name)) for name in names
    )


def _check_conductivity(prediction: Prediction) -> None:
    found, std = prediction.conductivity, prediction.conductivity_std_w_per_m_k
    _require(found is not None or std is None, "a spread of no conductivity")
    if found is None:
        return
    grid = found.temperatures_k
    _require(
        grid.ndim == 1 and grid.size > 0 and np.all(grid > 0) and len(set(grid)) == grid.size,
        "temperatures of the conductivity repeat or are not above zero",
    )
    kappa, shape = found.conductivity_w_per_m_k, (grid.size, 3, 3)
    _check_array("the conductivity", kappa, shape)
    largest = np.abs(kappa).max()
    _require(
        np.allclose(kappa, kappa.transpose(0, 2, 1), rtol=0.0, atol=_SAME_CONDUCTIVITY * largest)
        and np.linalg.eigvalsh(kappa).min() >= -_SAME_CONDUCTIVITY * largest,
        "heat flows against the temperature, or the conductivity is not symmetric",
    )
    _check_modes(found, 3 * len(prediction.structure), _SAME_CONDUCTIVITY * float(largest))
    if std is not None:
        _check_array("the spread of the conductivity", std, shape)
        _require(np.all(std >= 0), "the spread of the conductivity is negative")


def _check_modes(found: ThermalConductivity, n_branches: int, tolerance: float) -> None:
    modes = (len(found.weights), n_branches)
    every = (len(found.temperatures_k), *modes)
    _check_array("frequencies of the conductivity", found.frequencies_thz, modes)
    _check_array("linewidths", found.linewidths_thz, every)
    _check_array("lifetimes", found.lifetimes_ps, every)
    parts = found.mode_conductivities_w_per_m_k
    _check_array("conductivities of modes", parts, (*every, 3, 3))
    _require(np.all(found.linewidths_thz >= 0), "a linewidth is negative")
    _require(np.isclose(found.weights.sum(), 1.0), "weights of q points do not sum to one")
    difference = float(np.abs(parts.sum(axis=(1, 2)) - found.conductivity_w_per_m_k).max())
    _require(difference <= tolerance, "conductivities of modes do not sum to that of the crystal")


def _check_array(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    _require(np.shape(values) == shape, f"{name}: shape {np.shape(values)}, not {shape}")
    _require(np.all(np.isfinite(values)), f"{name}: a value is not finite")


def _moved(crystal: Crystal) -> Structure:
    """Return the same crystal with its atoms in another order and its origin elsewhere."""
    old = crystal.structure
    return Structure(old.lattice, old.species[::-1], (old.frac_coords + _SHIFT)[::-1])


def _compare(first: Prediction, other: Prediction, name: str, tolerance_mev: float) -> None:
    a, b = first.thermodynamics, other.thermodynamics
    _require(np.array_equal(a.temperatures_k, b.temperatures_k), f"{name}: another grid")
    difference = float(np.abs(a.free_energy_mev_per_atom - b.free_energy_mev_per_atom).max())
    _require(
        difference <= tolerance_mev,
        f"{name}: the free energy moves by {difference:.3g} meV/atom",
    )
    _require(first.structure_digest == other.structure_digest, f"{name}: another digest")
