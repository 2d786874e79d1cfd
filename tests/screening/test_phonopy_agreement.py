"""Thermodynamics against phonopy's own, from the same forces of effective-medium theory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import phonopy
import pytest
from phonopy.physical_units import get_physical_units, set_physical_units
from pymatgen.core import Lattice, Structure

from screening.calculators import load_calculator
from screening.harmonic import harmonic_from_forces, mesh_frequencies
from screening.phonons import PhononSettings, compute_forces
from screening.prediction import ForceData
from screening.supercell_symmetry import phonopy_cell
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

CODATA_2018 = {
    "KB_J": 1.380649e-23,
    "PlanckConstant": 6.62607015e-34 / 1.602176634e-19,  # eV s
    "Avogadro": 6.02214076e23,
    "SpeedOfLight": 299792458.0,
    "AMU": 1.66053906660e-27,
    "EV": 1.602176634e-19,
    "Me": 9.1093837015e-31,
}
TEMPERATURES_K = (0.0, 50.0, 300.0, 1000.0)
MESH_LENGTH_ANGSTROM = 30.0
CUTOFF_THZ = 0.05
PASSES = 20  # phonopy alternates between two symmetries, which one pass leaves unfinished

CRYSTALS = {
    "Cu": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]]
    ).get_primitive_structure(),
    "AuCu B2": Structure(Lattice.cubic(3.0), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "Cu3Au L1_2": Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.72), ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]]
    ),
}


@pytest.fixture
def _codata_2018() -> Iterator[None]:
    """Let phonopy, which has older constants, use those of CODATA 2018."""
    before = get_physical_units()
    set_physical_units(**CODATA_2018)
    yield
    set_physical_units(**{name: getattr(before, name) for name in CODATA_2018})


def _by_phonopy(data: ForceData) -> phonopy.Phonopy:
    """Force constants, mesh and thermodynamics by phonopy's own way from the same forces."""
    phonon = phonopy.Phonopy(
        phonopy_cell(data.primitive), data.supercell_matrix.T, np.eye(3), log_level=0
    )
    np.testing.assert_allclose(
        phonon.supercell.scaled_positions, data.supercell_scaled_positions, atol=1e-12
    )
    changes = data.forces_ev_per_angstrom - data.residual_forces_ev_per_angstrom
    rows = zip(data.displaced_atoms, data.displacements_angstrom, changes, strict=True)
    phonon.dataset = {
        "natom": len(phonon.supercell),
        "first_atoms": [
            {"number": int(atom), "displacement": shift, "forces": forces}
            for atom, shift, forces in rows
        ],
    }
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants(level=PASSES, show_drift=False)
    phonon.run_mesh(MESH_LENGTH_ANGSTROM, is_gamma_center=True)
    phonon.run_thermal_properties(
        temperatures=TEMPERATURES_K, cutoff_frequency=CUTOFF_THZ, exclude_gamma_acoustic=True
    )
    return phonon


@pytest.mark.usefixtures("_codata_2018")
@pytest.mark.parametrize("name", CRYSTALS)
def test_free_energy_entropy_and_heat_capacity_are_those_of_phonopy(name: str) -> None:
    structure = CRYSTALS[name]
    calculator = load_calculator("ase.calculators.emt.EMT")
    matrix = np.diag([3, 3, 3])
    data = compute_forces(structure, calculator, PhononSettings(), matrix)
    mesh = mesh_frequencies(harmonic_from_forces(data), MESH_LENGTH_ANGSTROM)
    ours = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        len(structure),
        ThermodynamicsSettings(temperatures_k=TEMPERATURES_K, cutoff_thz=CUTOFF_THZ),
        is_gamma=mesh.is_gamma,
    )
    reference = _by_phonopy(data).thermal_properties
    assert reference is not None
    per_atom = 1.0 / get_physical_units().EvTokJmol / len(structure)  # from kJ/mol of cells
    for found, name_in_phonopy, unit in (
        (ours.free_energy_mev_per_atom, "free_energy", 1e3),
        (ours.entropy_mev_per_k_per_atom, "entropy", 1.0),
        (ours.heat_capacity_mev_per_k_per_atom, "heat_capacity", 1.0),
    ):
        expected = np.asarray(getattr(reference, name_in_phonopy)) * unit * per_atom
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12, err_msg=name)
