"""What phono3py and phonopy read back from exported force constants and displaced cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import phono3py
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import read
from phono3py import Phono3py
from phono3py.file_IO import read_fc3_from_hdf5
from phonopy import load as phonopy_load
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Lattice, Structure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError
from screening.harmonic import frequencies_at, harmonic_from_force_constants
from screening.prediction import frozen_array
from stores import exporters
from stores.exporters.phono3py_files import PARAMETERS_NAME, SECOND_ORDER_NAME, THIRD_ORDER_NAME
from stores.importers.displaced_cells import read_displaced_cells

SUPERCELL = np.array([[0, 2, 0], [0, 0, 2], [2, 0, 0]])  # not symmetric: rows are vectors
THIRD_ORDER = Path(__file__).parents[2].parent / "shared" / "data" / "third_order"
Q_POINTS = np.array([[0.1, 0.2, 0.3], [0.5, 0, 0], [0.5, 0.5, 0.5]])
CHARGES = frozen_array([np.eye(3) * charge for charge in (3.0, -1.0, -1.0, -1.0)])
N_CELLS = 8


def gold_copper() -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.75), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0]]
    )


@pytest.fixture(scope="module")
def phonon() -> Phono3py:
    """phono3py's own calculation with full force constants, the reference of all exports."""
    structure = gold_copper()
    cell = PhonopyAtoms(
        symbols=[site.specie.symbol for site in structure],
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
    )
    phonon = Phono3py(cell, SUPERCELL.T, primitive_matrix="P")
    moves = np.random.default_rng(3).normal(scale=0.02, size=(N_CELLS, len(phonon.supercell), 3))
    forces, energies = [], []
    for displacements in moves:
        atoms = Atoms(
            numbers=phonon.supercell.numbers,
            cell=phonon.supercell.cell,
            positions=phonon.supercell.positions + displacements,
            pbc=True,
            calculator=EMT(),
        )
        forces.append(atoms.get_forces())
        energies.append(atoms.get_potential_energy())
    phonon.dataset = {
        "displacements": moves,
        "forces": np.array(forces),
        "supercell_energies": np.array(energies),
    }
    phonon.produce_fc3(
        fc_calculator="symfc", fc_calculator_options="cutoff = 4.0", is_compact_fc=False
    )
    return phonon


@pytest.fixture(scope="module")
def order(phonon: Phono3py) -> np.ndarray:
    """Where our atoms are in phono3py's supercell."""
    return np.random.default_rng(7).permutation(len(phonon.supercell))


@pytest.fixture(scope="module")
def crystal(phonon: Phono3py, order: np.ndarray) -> dict[str, object]:
    return {
        "primitive": gold_copper(),
        "supercell_matrix": SUPERCELL,
        "supercell_scaled_positions": frozen_array(phonon.supercell.scaled_positions[order] - 1.0),
        "supercell_numbers": phonon.supercell.numbers[order].astype(np.int64),
    }


@pytest.fixture(scope="module")
def cells(phonon: Phono3py, order: np.ndarray, crystal: dict[str, object]) -> DisplacedCells:
    """The same forces in another order of atoms, plus a residual force on every atom."""
    residual = np.random.default_rng(8).normal(scale=0.01, size=(len(order), 3))
    return DisplacedCells(
        **crystal,
        displacements_angstrom=frozen_array(phonon.dataset["displacements"][:, order]),
        forces_ev_per_angstrom=frozen_array(phonon.dataset["forces"][:, order] + residual),
        residual_forces_ev_per_angstrom=frozen_array(residual),
        energies_ev=frozen_array(phonon.dataset["supercell_energies"]),
    )


@pytest.fixture(scope="module")
def constants(phonon: Phono3py, order: np.ndarray, crystal: dict[str, object]) -> ForceConstants:
    """The same force constants in another order; rows are the first atoms of their sites."""
    site_of = phonon.primitive.p2p_map
    sites = np.array([site_of[atom] for atom in phonon.primitive.s2p_map])[order]
    rows = [order[np.flatnonzero(sites == site)[0]] for site in range(4)]
    second, third = phonon.fc2[rows], phonon.fc3[rows]
    return ForceConstants(
        **crystal,
        second_order_ev_per_angstrom2=frozen_array(second[:, order]),
        third_order_ev_per_angstrom3=frozen_array(third[:, order][:, :, order]),
    )


class TestPhono3py:
    def test_force_constants_come_back_in_its_own_order(
        self, tmp_path: Path, phonon: Phono3py, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        folder = exporters.write_phono3py(tmp_path / "a", constants, cells)
        rows = phonon.primitive.p2s_map
        np.testing.assert_array_equal(
            read_fc3_from_hdf5(folder / THIRD_ORDER_NAME, p2s_map=rows), phonon.fc3[rows]
        )
        loaded = phono3py.load(
            folder / PARAMETERS_NAME,
            fc2_filename=folder / SECOND_ORDER_NAME,
            fc3_filename=folder / THIRD_ORDER_NAME,
            produce_fc=False,
        )
        np.testing.assert_array_equal(loaded.fc2, phonon.fc2[rows])
        np.testing.assert_array_equal(loaded.fc3, phonon.fc3[rows])

    def test_phono3py_fits_the_same_from_the_forces(
        self, tmp_path: Path, phonon: Phono3py, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        folder = exporters.write_phono3py(
            tmp_path / "a", constants, cells, provenance={"model": 'a "quoted" \\ name'}
        )
        loaded = phono3py.load(
            folder / PARAMETERS_NAME, fc_calculator="symfc", fc_calculator_options="|cutoff = 4.0"
        )
        rows = phonon.primitive.p2s_map
        np.testing.assert_allclose(loaded.fc2, phonon.fc2[rows], atol=1e-8)
        np.testing.assert_allclose(loaded.fc3, phonon.fc3[rows], atol=1e-6)
        np.testing.assert_allclose(loaded.supercell_energies, cells.energies_ev, atol=1e-7)

    def test_our_own_importer_reads_the_folder(
        self, tmp_path: Path, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        found = read_displaced_cells(exporters.write_phono3py(tmp_path / "a", constants, cells))
        shapes = (found.n_cells, found.n_atoms)
        assert shapes == (N_CELLS, len(cells.supercell_numbers))
        np.testing.assert_array_equal(found.supercell_matrix, SUPERCELL)
        net = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
        energies = np.einsum("cai,cai->c", net, cells.displacements_angstrom)
        np.testing.assert_allclose(
            np.einsum("cai,cai->c", found.forces_ev_per_angstrom, found.displacements_angstrom),
            energies,
            atol=1e-8,
        )

    def test_born_charges_travel(
        self, tmp_path: Path, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        response = {"born_charges_e": CHARGES, "dielectric_constant": frozen_array(4 * np.eye(3))}
        text = exporters.phono3py_yaml(replace(cells, **response))
        path = exporters.write_text(tmp_path / "a.yaml", text)
        loaded = phono3py.load(path, produce_fc=False)
        np.testing.assert_allclose(loaded.nac_params["born"], CHARGES, atol=1e-9)
        assert len(loaded.forces) == N_CELLS
        polar = exporters.write_phono3py(tmp_path / "b", replace(constants, **response))
        loaded = phono3py.load(polar / PARAMETERS_NAME, produce_fc=False)
        np.testing.assert_allclose(loaded.nac_params["dielectric"], 4 * np.eye(3))
        assert loaded.dataset is None

    def test_an_old_third_order_does_not_stay(
        self, tmp_path: Path, constants: ForceConstants
    ) -> None:
        exporters.write_phono3py(tmp_path, constants)
        exporters.write_phono3py(tmp_path, replace(constants, third_order_ev_per_angstrom3=None))
        assert {path.name for path in tmp_path.iterdir()} == {PARAMETERS_NAME, SECOND_ORDER_NAME}

    def test_another_supercell_is_refused(
        self, tmp_path: Path, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        moved = np.array(constants.supercell_scaled_positions)
        moved[3] += 0.1
        wrong = replace(constants, supercell_scaled_positions=moved)
        with pytest.raises(InconsistentDataError, match="repeat"):
            exporters.write_phono3py(tmp_path, wrong)
        short = replace(cells, forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:, :-1])
        with pytest.raises(InconsistentDataError, match="shapes"):
            exporters.write_phono3py(tmp_path, constants, short)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["NaCl", "MgO"])
    def test_cells_from_dft_give_phono3py_the_same_force_constants(
        self, tmp_path: Path, name: str
    ) -> None:
        source = THIRD_ORDER / f"{name}-random-displacements.yaml.xz"
        if not source.exists():
            pytest.skip("the displaced cells are not here")
        original = phono3py.load(source, produce_fc=False)
        own = Phono3py(
            original.unitcell, original.supercell_matrix, primitive_matrix=original.primitive_matrix
        )
        own.nac_params = original.nac_params
        own.dataset = {
            "displacements": original.displacements[:4],
            "forces": original.forces[:4],
        }
        own.produce_fc3(fc_calculator="symfc", fc_calculator_options="cutoff = 3.5")
        cells = read_displaced_cells(source)
        few = replace(
            cells,
            displacements_angstrom=cells.displacements_angstrom[:4],
            forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:4],
            energies_ev=None,
        )
        written = phono3py.load(
            exporters.write_text(tmp_path / "a.yaml", exporters.phono3py_yaml(few)),
            fc_calculator="symfc",
            fc_calculator_options="|cutoff = 3.5",
        )
        # the unit cell of the file is the conventional one, so that the orders of atoms differ
        for mine, theirs in ((written.fc2, own.fc2), (written.fc3, own.fc3)):
            np.testing.assert_allclose(
                np.sort(np.abs(mine).ravel()), np.sort(np.abs(theirs).ravel()), atol=1e-6
            )


class TestPhonopyYaml:
    def test_phonopy_takes_the_force_constants(
        self, tmp_path: Path, phonon: Phono3py, constants: ForceConstants, cells: DisplacedCells
    ) -> None:
        path = exporters.write_phonopy_yaml(tmp_path / "a.yaml", constants, cells=cells)
        loaded = phonopy_load(path)
        rows = phonon.primitive.p2s_map
        np.testing.assert_allclose(loaded.force_constants, phonon.fc2[rows], atol=1e-12)
        np.testing.assert_allclose(
            loaded.run_qpoints(Q_POINTS).frequencies,
            frequencies_at(harmonic_from_force_constants(constants), Q_POINTS),
            atol=1e-6,
        )
        np.testing.assert_allclose(loaded.displacements, phonon.dataset["displacements"])
        np.testing.assert_allclose(loaded.forces, phonon.dataset["forces"], atol=1e-9)

    def test_force_constants_alone(self, tmp_path: Path, constants: ForceConstants) -> None:
        loaded = phonopy_load(exporters.write_phonopy_yaml(tmp_path / "a.yaml", constants))
        assert loaded.dataset is None
        assert loaded.force_constants.shape == (4, 32, 3, 3)


def test_emmet_gets_the_force_constants_in_phonopys_order(
    phonon: Phono3py, constants: ForceConstants
) -> None:
    from datetime import UTC, datetime

    from emmet.core.phonon import PhononBSDOSDoc

    document = exporters.emmet_document(
        gold_copper(), last_updated=datetime(2026, 1, 2, tzinfo=UTC), supercell=constants
    )
    PhononBSDOSDoc.model_validate(document)
    rows = phonon.primitive.p2s_map
    np.testing.assert_array_equal(document["force_constants"], phonon.fc2[rows])
    np.testing.assert_array_equal(document["supercell_matrix"], SUPERCELL.T)


def test_displaced_cells_as_extended_xyz(tmp_path: Path, cells: DisplacedCells) -> None:
    path = exporters.write_displaced_supercells(
        tmp_path / "a.extxyz", cells, information={"model": "emt"}
    )
    images = read(path, index=":")
    assert len(images) == N_CELLS + 1  # the residual forces come first
    assert {image.info["model"] for image in images} == {"emt"}
    np.testing.assert_allclose(
        images[0].get_forces(), cells.residual_forces_ev_per_angstrom, atol=1e-7
    )
    np.testing.assert_allclose(
        images[1].positions - images[0].positions, cells.displacements_angstrom[0], atol=1e-7
    )
    np.testing.assert_allclose(images[1].get_forces(), cells.forces_ev_per_angstrom[0], atol=1e-7)
