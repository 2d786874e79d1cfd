"""Small results with every optional part, as factories."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.conductivity_records import ConductivityMethod, ThermalConductivity, lifetimes_ps
from screening.prediction import (
    BandStructure,
    Cost,
    DensityOfStates,
    ForceData,
    Prediction,
    Relaxation,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)

GRID_K = (0.0, 300.0, 1000.0)


def rocksalt():
    return Structure(
        Lattice([[0.0, 2.105, 2.105], [2.105, 0.0, 2.105], [2.105, 2.105, 0.0]]),
        ["Mg", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


def thermodynamics(**changes):
    fields = {
        "temperatures_k": frozen_array(GRID_K),
        "free_energy_mev_per_atom": frozen_array([73.1, 60.2, -151.3]),
        "entropy_mev_per_k_per_atom": frozen_array([0.0, 0.14, 0.42]),
        "heat_capacity_mev_per_k_per_atom": frozen_array([0.0, 0.19, 0.25]),
        "internal_energy_mev_per_atom": frozen_array([73.1, 102.2, 268.7]),
        "zero_point_energy_mev_per_atom": 73.1,
        "low_mode_policy": "drop",
        "cutoff_thz": 0.1,
        "dropped_weight": 0.0005,
        "imaginary_weight": 0.0,
        "valid": True,
    }
    return Thermodynamics(**fields | changes)


def forces():
    n_atoms = 4
    rng = np.random.default_rng(7)
    return ForceData(
        primitive=rocksalt(),
        supercell_matrix=np.array([[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
        supercell_scaled_positions=rng.random((n_atoms, 3)),
        supercell_numbers=np.array([12, 12, 8, 8]),
        displaced_atoms=np.array([0, 2]),
        displacements_angstrom=rng.random((2, 3)) / 100,
        forces_ev_per_angstrom=rng.random((2, n_atoms, 3)),
        residual_forces_ev_per_angstrom=np.zeros((n_atoms, 3)),
        born_charges_e=rng.random((2, 3, 3)),
        dielectric_constant=np.eye(3) * 3,
    )


SUPERCELL = {
    "primitive": rocksalt(),
    "supercell_matrix": np.array([[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "supercell_scaled_positions": frozen_array(
        [[0, 0, 0], [0.5, 0, 0], [0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]
    ),
    "supercell_numbers": np.array([12, 12, 8, 8]),
    "born_charges_e": frozen_array([2 * np.eye(3), -2 * np.eye(3)]),
    "dielectric_constant": frozen_array(3 * np.eye(3)),
}


def force_constants(**changes):
    rng = np.random.default_rng(8)
    orders = {
        "second_order_ev_per_angstrom2": frozen_array(rng.normal(size=(2, 4, 3, 3))),
        "third_order_ev_per_angstrom3": frozen_array(rng.normal(size=(2, 4, 4, 3, 3, 3))),
    }
    return ForceConstants(**SUPERCELL | orders | changes)


def displaced_cells(**changes):
    rng = np.random.default_rng(9)
    arrays = {
        "displacements_angstrom": frozen_array(rng.normal(size=(3, 4, 3)) / 100),
        "forces_ev_per_angstrom": frozen_array(rng.normal(size=(3, 4, 3))),
        "residual_forces_ev_per_angstrom": frozen_array(rng.normal(size=(4, 3)) / 100),
        "energies_ev": frozen_array([-24.0, -24.1, -24.2]),
    }
    return DisplacedCells(**SUPERCELL | arrays | changes)


def conductivity(**changes):
    """Modes of random strength, whose sum the conductivity is."""
    rng = np.random.default_rng(10)
    n_temperatures, n_q, n_branches = 3, 2, 6
    every = (n_temperatures, n_q, n_branches)
    modes = rng.random((*every, 1, 1)) * np.diag([1.0, 2.0, 3.0])
    widths = rng.random(every)
    fields = {
        "method": ConductivityMethod.RELAXATION_TIME,
        "mesh": (2, 2, 2),
        "temperatures_k": frozen_array([300.0, 1000.0, 100.0]),
        "conductivity_w_per_m_k": frozen_array(modes.sum(axis=(1, 2))),
        "relaxation_time_conductivity_w_per_m_k": frozen_array(modes.sum(axis=(1, 2))),
        "q_points": frozen_array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]),
        "weights": frozen_array([0.125, 0.875]),
        "frequencies_thz": frozen_array(rng.random((n_q, n_branches))),
        "group_velocities_angstrom_per_ps": frozen_array(rng.random((n_q, n_branches, 3))),
        "heat_capacities_ev_per_k": frozen_array(rng.random(every)),
        "linewidths_thz": frozen_array(widths),
        "isotope_linewidths_thz": frozen_array(rng.random((n_q, n_branches))),
        "lifetimes_ps": frozen_array(lifetimes_ps(widths)),
        "mode_conductivities_w_per_m_k": frozen_array(modes),
    }
    return ThermalConductivity(**fields | changes)


@pytest.fixture
def make_fitted(make_prediction):
    """Predictions of a method that fits force constants to cells with all atoms displaced."""

    def make(**changes):
        std = np.arange(27.0).reshape(3, 3, 3)
        fields = {
            "method": "gaussian-process-phonons",
            "tier": 2,
            "force_data": None,
            "force_constants": force_constants(),
            "displaced_cells": displaced_cells(),
            "conductivity": conductivity(),
            "conductivity_std_w_per_m_k": frozen_array(std),
        }
        return make_prediction(**fields | changes)

    return make


@pytest.fixture
def make_prediction():
    def make(**changes):
        fields = {
            "method": "potential-phonons",
            "method_version": 1,
            "tier": 1,
            "model": "chgnet:0.3.0",
            "model_digest": "b" * 64,
            "structure_digest": "a" * 64,
            "settings": {"mesh_length_angstrom": 60.0, "criterion": "mesh", "list": [1, 2.5, None]},
            "settings_digest": "c" * 64,
            "structure": rocksalt(),
            "thermodynamics": thermodynamics(),
            "stability": Stability(
                verdict=Verdict.STABLE,
                criterion="mesh",
                lowest_frequency_thz=1.25,
                lowest_frequency_q_point=frozen_array([0.5, 0.0, 0.0]),
                lowest_frequency_region="path",
                verdicts={"mesh": Verdict.STABLE, "path": Verdict.UNDETERMINED},
            ),
            "cost": Cost(1.5, 1.4, 1.0, 12, 3),
            "static_energy_ev_per_atom": -5.9,
            "static_energy_source": "chgnet:0.3.0",
            "spread": ThermodynamicsSpread(
                frozen_array([0.1, 0.2, 0.3]),
                frozen_array([0.0, 0.01, 0.02]),
                frozen_array([0.0, 0.01, 0.02]),
                0.05,
                3,
            ),
            "force_data": forces(),
            "density_of_states": DensityOfStates(
                frozen_array([0.0, 1.0, 2.0]),
                frozen_array([0.0, 3.0, 0.0]),
                frozen_array([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]),
            ),
            "band_structure": BandStructure(
                frozen_array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0]]),
                frozen_array([0.0, 0.1, 0.2]),
                frozen_array(np.arange(18.0).reshape(3, 6)),
                (0,),
                ((0, "Γ"), (2, "X")),
            ),
            "relaxation": Relaxation(True, 7, 1e-4, 0.01, 1.01, 225, 225),
            "warnings": ("CHGNet is soft",),
            "model_settings": {"ecut_ev": 350.0, "datasets": {"Mg": {"file": "Mg.PBE.gz"}}},
        }
        return Prediction(**fields | changes)

    return make


@pytest.fixture
def make_thermodynamics():
    return thermodynamics


@pytest.fixture
def crystal():
    """Stands in for the canonical crystal: the documents read nothing else of it."""
    return SimpleNamespace(
        structure=rocksalt(),
        digest="a" * 64,
        material_id="ps-" + "a" * 16,
        space_group_number=225,
        space_group_symbol="Fm-3m",
        formula="MgO",
        chemsys="Mg-O",
        n_atoms=2,
        prototype="AB_225_a_b",
        notes=(),
    )


@pytest.fixture
def blobs():
    """What a blob store answers for a method with forces, one reference per part."""
    return references(forces="1", density_of_states="2", band_structure="3")


@pytest.fixture
def fitted_blobs():
    """What a blob store answers for a method that fits force constants."""
    return references(
        force_constants="4",
        displaced_cells="5",
        conductivity="6",
        density_of_states="2",
        band_structure="3",
    )


def references(**digits):
    return {
        name: SimpleNamespace(sha256=digit * 64, n_bytes=10, n_raw_bytes=20)
        for name, digit in digits.items()
    }
