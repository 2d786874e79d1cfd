"""From forces to the physics of a prediction, the same for all predictors that have forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells
from screening.harmonic import frequencies_at, mesh_modes
from screening.phonons import Harmonic, MeshFrequencies, harmonic_from_forces, mesh_frequencies
from screening.prediction import (
    BandStructure,
    DensityOfStates,
    FloatArray,
    ForceData,
    Relaxation,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.settings import ScreeningSettings
from screening.spectra import band_structure, density_of_states_from_modes
from screening.stability import (
    CRITERIA,
    DEFAULT_CRITERION,
    assess_stability,
    assess_zone_centre,
)
from screening.supercell import SupercellSettings, image_distance_angstrom
from screening.thermodynamics import thermodynamics

__all__ = [
    "Physics",
    "cells_warnings",
    "force_warnings",
    "knows_zone_centre_alone",
    "member_spread",
    "net_force_ratio",
    "physics_from_forces",
    "physics_from_harmonic",
    "physics_warnings",
    "relaxation_warnings",
    "settings_for",
    "spread_warnings",
]

_LARGE_RESIDUAL_FORCE_EV_PER_ANGSTROM = 0.05
_LARGE_NET_FORCE_RATIO = 0.03
_LARGE_VOLUME_CHANGE = 0.05
_SINGLE_CELL = (
    "forces of a single small cell: the modes of the zone centre alone are known, and the verdict "
    "is theirs; all others, in curves and in the thermodynamics, are interpolated"
)


@dataclass(frozen=True)
class Physics:
    """What follows from one set of forces.

    Of a single small cell (`knows_zone_centre_alone`) the modes beside the zone centre are no more
    than an interpolation, in curves and sums; the verdict is that of the zone centre.
    """

    harmonic: Harmonic
    mesh: MeshFrequencies
    bands: BandStructure
    density_of_states: DensityOfStates
    thermodynamics: Thermodynamics
    stability: Stability


def physics_from_forces(forces: ForceData, settings: ScreeningSettings) -> Physics:
    """Run the harmonic part of a prediction.

    Raises
    ------
    ScreeningError
        Where forces are not finite, of a wrong shape or do not determine the force constants.
    """
    harmonic = harmonic_from_forces(forces, settings.phonons.symprec_angstrom)
    return physics_from_harmonic(harmonic, settings)


def knows_zone_centre_alone(harmonic: Harmonic) -> bool:
    """Whether force constants are those of a cell that was not repeated, nor large enough.

    A cell whose periodic images are as far apart as those of supercells are by default is as good
    as one.
    """
    if len(harmonic.force_constants_ev_per_angstrom2[0]) > harmonic.n_atoms:
        return False
    lattice = np.asarray(harmonic.primitive.lattice.matrix)
    distance = image_distance_angstrom(lattice, harmonic.supercell_matrix)
    return distance < SupercellSettings().min_length_angstrom


def _stability(
    harmonic: Harmonic,
    mesh: MeshFrequencies,
    bands: BandStructure | None,
    criterion: str = DEFAULT_CRITERION,
) -> Stability:
    """Judge by what the force constants know."""
    if knows_zone_centre_alone(harmonic):
        return assess_zone_centre(frequencies_at(harmonic, np.zeros((1, 3)))[0], criterion)
    return assess_stability(mesh, bands, criterion)


def physics_from_harmonic(harmonic: Harmonic, settings: ScreeningSettings) -> Physics:
    """Run the harmonic part of a prediction from force constants."""
    modes = mesh_modes(harmonic, settings.phonons.mesh_length_angstrom)
    mesh = modes.frequencies
    bands = band_structure(harmonic)
    return Physics(
        harmonic=harmonic,
        mesh=mesh,
        bands=bands,
        density_of_states=density_of_states_from_modes(modes),
        thermodynamics=_thermodynamics(harmonic, mesh, settings),
        stability=_stability(harmonic, mesh, bands, settings.stability_criterion),
    )


def _thermodynamics(
    harmonic: Harmonic, mesh: MeshFrequencies, settings: ScreeningSettings
) -> Thermodynamics:
    return thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        harmonic.n_atoms,
        settings.thermodynamics,
        is_gamma=mesh.is_gamma,
    )


def member_spread(
    members: Sequence[ForceData], settings: ScreeningSettings
) -> ThermodynamicsSpread | None:
    """Sample standard deviation over a committee at one geometry, None for one member."""
    if len(members) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    results, lowest = [], []
    for forces in members:
        harmonic = harmonic_from_forces(forces, settings.phonons.symprec_angstrom)
        mesh = mesh_frequencies(harmonic, settings.phonons.mesh_length_angstrom)
        results.append(_thermodynamics(harmonic, mesh, settings))
        lowest.append(_stability(harmonic, mesh, None).lowest_frequency_thz)
    curves = {
        name: frozen_array(np.std([getattr(result, name) for result in results], axis=0, ddof=1))
        for name in (
            "free_energy_mev_per_atom",
            "entropy_mev_per_k_per_atom",
            "heat_capacity_mev_per_k_per_atom",
        )
    }
    return ThermodynamicsSpread(
        free_energy_std_mev_per_atom=curves["free_energy_mev_per_atom"],
        entropy_std_mev_per_k_per_atom=curves["entropy_mev_per_k_per_atom"],
        heat_capacity_std_mev_per_k_per_atom=curves["heat_capacity_mev_per_k_per_atom"],
        lowest_frequency_std_thz=float(np.std(lowest, ddof=1)),
        n_members=len(members),
    )


def net_force_ratio(forces: ForceData) -> float:
    """Largest net force on a displaced supercell over the force on its displaced atom.

    Forces that are a gradient of a translation-invariant energy sum to zero. What is left
    breaks the acoustic sum rule before any symmetrisation hides it.
    """
    change = forces.forces_ev_per_angstrom - forces.residual_forces_ev_per_angstrom
    net = np.linalg.norm(change.sum(axis=1), axis=1)
    index = np.arange(len(forces.displaced_atoms))
    own = np.linalg.norm(change[index, forces.displaced_atoms], axis=1)
    return float((net / np.maximum(own, np.finfo(float).tiny)).max())


def force_warnings(forces: ForceData) -> list[str]:
    """Say where the forces break what forces must obey, or belong to no minimum."""
    return [
        *_residual_warnings(forces.residual_forces_ev_per_angstrom),
        *_net_force_warnings(net_force_ratio(forces), "the force on the displaced atom"),
        *_polarity_warnings(forces.primitive, forces.born_charges_e),
    ]


def cells_warnings(cells: DisplacedCells, net_force: float) -> list[str]:
    """Say the same of cells with all atoms displaced.

    Parameters
    ----------
    cells
        Forces of the cells.
    net_force
        Net force on a cell over what independent forces would add up to, as
        `screening.gaussian_process.checks.check_cells` reports it.
    """
    return [
        *_residual_warnings(cells.residual_forces_ev_per_angstrom),
        *_net_force_warnings(net_force, "what independent forces would add up to"),
        *_polarity_warnings(cells.primitive, cells.born_charges_e),
    ]


def _residual_warnings(residual_forces_ev_per_angstrom: FloatArray) -> list[str]:
    largest = float(np.linalg.norm(residual_forces_ev_per_angstrom, axis=1).max())
    if largest <= _LARGE_RESIDUAL_FORCE_EV_PER_ANGSTROM:
        return []
    return [
        f"the undisplaced crystal is no minimum: forces up to {largest:.3f} eV/Å were subtracted"
    ]


def _net_force_warnings(ratio: float, what: str) -> list[str]:
    if ratio <= _LARGE_NET_FORCE_RATIO:
        return []
    text = (
        f"forces do not sum to zero ({100 * ratio:.1f} % of {what}): "
        "the acoustic sum rule is broken and was imposed"
    )
    return [text]


def _polarity_warnings(primitive: Structure, born_charges_e: FloatArray | None) -> list[str]:
    if born_charges_e is not None or len(primitive.composition) == 1:
        return []
    return ["no non-analytical correction: the LO-TO splitting at Gamma is missing"]


def physics_warnings(physics: Physics) -> list[str]:
    """Say what is wrong with thermodynamics and stability."""
    thermo, stability = physics.thermodynamics, physics.stability
    found = [_SINGLE_CELL] if knows_zone_centre_alone(physics.harmonic) else []
    if not thermo.valid:
        found.append(
            f"thermodynamics not valid: {100 * thermo.dropped_weight:.3g} % of the modes are at or "
            f"below {thermo.cutoff_thz:g} THz ({100 * thermo.imaginary_weight:.3g} % imaginary)"
        )
    if stability.verdict is not Verdict.STABLE:
        q_point = ", ".join(f"{x:.3f}" for x in stability.lowest_frequency_q_point)
        found.append(
            f"dynamical stability {stability.verdict.value}: lowest frequency "
            f"{stability.lowest_frequency_thz:.3f} THz at q = ({q_point})"
        )
    return found


def spread_warnings(spread: ThermodynamicsSpread | None, stability: Stability) -> list[str]:
    """Say where a committee scatters over the limit of the verdict."""
    if spread is None or spread.lowest_frequency_std_thz is None:
        return []
    limit = CRITERIA[stability.criterion].threshold_thz
    distance = abs(stability.lowest_frequency_thz - limit)
    if distance > spread.lowest_frequency_std_thz:
        return []
    text = (
        f"the verdict lies within the scatter of {spread.n_members} members: their lowest "
        f"frequencies have a standard deviation of {spread.lowest_frequency_std_thz:.3f} THz, and "
        f"the limit of {limit:g} THz is {distance:.3f} THz away"
    )
    return [text]


def relaxation_warnings(relaxation: Relaxation | None) -> list[str]:
    """Say where a relaxation went far; one that went wrong is an error."""
    if relaxation is None:
        return []
    found = []
    change = relaxation.volume_ratio - 1.0
    if abs(change) > _LARGE_VOLUME_CHANGE:
        found.append(f"the relaxation changed the volume by {100 * change:+.1f} %")
    before, after = relaxation.space_group_number_before, relaxation.space_group_number_after
    if after != before:
        found.append(
            f"the relaxation changed the space group from number {before} to {after}: the result "
            "is that of the more symmetric crystal"
        )
    return found


def settings_for(settings: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    """Return the settings of a calculator, of its datasets only those of these elements.

    Those of the members of a committee are under ``members``.
    """
    found = dict(settings)
    if "members" in found:
        found["members"] = [settings_for(one, structure) for one in found["members"]]
    if "datasets" in found:
        symbols = {site.specie.symbol for site in structure}
        found["datasets"] = {
            symbol: one for symbol, one in found["datasets"].items() if symbol in symbols
        }
    return found
