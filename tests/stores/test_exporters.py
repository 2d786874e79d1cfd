"""Exports must be read by the programs they are meant for, and mean the same there."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import read
from phonopy import Phonopy
from phonopy import load as phonopy_load
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Lattice, Structure

from screening.errors import InconsistentDataError, SerializationError, SettingError
from screening.harmonic import frequencies_at, harmonic_from_forces
from screening.prediction import BandStructure, DensityOfStates, ForceData, frozen_array
from stores import exporters

SUPERCELL = np.array([[0, 2, 0], [0, 0, 2], [2, 0, 0]])  # not symmetric: rows are vectors
FORCE_SETS = Path(__file__).parents[2].parent / "shared" / "data" / "force_sets"
Q_POINTS = np.array([[0.0, 0, 0], [0.1, 0.2, 0.3], [0.5, 0, 0], [0.5, 0.5, 0.5]])


def gold_copper() -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.75), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0]]
    )


def force_data_of(phonon: Phonopy) -> ForceData:
    """Forces of a phonopy calculation, on phonopy's own primitive cell."""
    primitive, supercell = phonon.primitive, phonon.supercell
    first_atoms = phonon.dataset["first_atoms"]
    return ForceData(
        primitive=Structure(primitive.cell, primitive.symbols, primitive.scaled_positions),
        supercell_matrix=np.rint(supercell.cell @ np.linalg.inv(primitive.cell)).astype(np.int64),
        supercell_scaled_positions=frozen_array(supercell.scaled_positions),
        supercell_numbers=supercell.numbers.astype(np.int64),
        displaced_atoms=np.array([entry["number"] for entry in first_atoms]),
        displacements_angstrom=frozen_array([entry["displacement"] for entry in first_atoms]),
        forces_ev_per_angstrom=frozen_array([entry["forces"] for entry in first_atoms]),
        residual_forces_ev_per_angstrom=frozen_array(np.zeros((len(supercell), 3))),
        born_charges_e=frozen_array(phonon.nac_params["born"]),
        dielectric_constant=frozen_array(phonon.nac_params["dielectric"]),
    )


def emt_forces(numbers: np.ndarray, cell: np.ndarray, positions: np.ndarray) -> np.ndarray:
    atoms = Atoms(numbers=numbers, cell=cell, positions=positions, pbc=True, calculator=EMT())
    return np.asarray(atoms.get_forces())


@pytest.fixture(scope="module")
def phonon() -> Phonopy:
    """Phonopy's own calculation, the reference of all exports."""
    structure = gold_copper()
    cell = PhonopyAtoms(
        symbols=[site.specie.symbol for site in structure],
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
    )
    phonon = Phonopy(cell, supercell_matrix=SUPERCELL.T, primitive_matrix="P")
    phonon.generate_displacements(distance=0.02)
    phonon.forces = [
        emt_forces(image.numbers, image.cell, image.positions)
        for image in phonon.supercells_with_displacements
    ]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return phonon


@pytest.fixture(scope="module")
def force_data(phonon: Phonopy) -> ForceData:
    """The same forces in another order of atoms, plus a residual force on every atom."""
    rng = np.random.default_rng(7)
    order = rng.permutation(len(phonon.supercell))
    place = np.argsort(order)
    residual = rng.normal(scale=0.01, size=(len(order), 3))
    first_atoms = phonon.dataset["first_atoms"]
    return ForceData(
        primitive=gold_copper(),
        supercell_matrix=SUPERCELL,
        supercell_scaled_positions=frozen_array(phonon.supercell.scaled_positions[order] - 1.0),
        supercell_numbers=phonon.supercell.numbers[order].astype(np.int64),
        displaced_atoms=np.array([place[entry["number"]] for entry in first_atoms]),
        displacements_angstrom=frozen_array([entry["displacement"] for entry in first_atoms]),
        forces_ev_per_angstrom=frozen_array(
            [entry["forces"][order] + residual for entry in first_atoms]
        ),
        residual_forces_ev_per_angstrom=frozen_array(residual),
    )


@pytest.fixture(scope="module")
def bands(phonon: Phonopy) -> BandStructure:
    """Gamma - X | M - R with five points per segment."""
    gamma, x, m, r = np.zeros(3), [0, 0.5, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]
    steps = np.linspace(0, 1, 5)[:, None]
    q_points = np.concatenate(
        [gamma + steps * np.subtract(x, gamma), np.array(m) + steps * np.subtract(r, m)]
    )
    along = np.linspace(0, 0.5 / 3.75, 5)
    return BandStructure(
        q_points=frozen_array(q_points),
        distances_per_angstrom=frozen_array(np.concatenate([along, along[-1] + along])),
        frequencies_thz=frozen_array(phonon.run_qpoints(q_points).frequencies),
        segment_starts=(0, 5),
        labels=((0, "GAMMA"), (4, "X"), (5, "M"), (9, "R")),
    )


@pytest.fixture(scope="module")
def eigenvectors(force_data: ForceData, bands: BandStructure) -> np.ndarray:
    return exporters.path_eigenvectors(harmonic_from_forces(force_data), bands)


@pytest.fixture
def dos() -> DensityOfStates:
    grid = np.linspace(0, 8, 81)
    projected = np.array([np.exp(-((grid - center) ** 2)) for center in (2, 4, 5, 6)])
    return DensityOfStates(
        frozen_array(grid), frozen_array(projected.sum(axis=0)), frozen_array(projected)
    )


class TestPhonopyYaml:
    def test_phonopy_load_finds_the_same_frequencies(
        self, tmp_path: Path, phonon: Phonopy, force_data: ForceData
    ) -> None:
        path = exporters.write_phonopy_yaml(
            tmp_path / "a.yaml", force_data, provenance={"model": 'a "quoted" \\ name'}
        )
        loaded = phonopy_load(path)
        loaded.symmetrize_force_constants()
        np.testing.assert_allclose(
            loaded.run_qpoints(Q_POINTS).frequencies,
            phonon.run_qpoints(Q_POINTS).frequencies,
            atol=1e-6,
        )
        assert len(loaded.primitive) == 4

    def test_our_own_force_constants_agree(self, tmp_path: Path, force_data: ForceData) -> None:
        loaded = phonopy_load(exporters.write_phonopy_yaml(tmp_path / "a.yaml", force_data))
        np.testing.assert_allclose(
            frequencies_at(harmonic_from_forces(force_data), Q_POINTS),
            loaded.run_qpoints(Q_POINTS).frequencies,
            atol=1e-5,
        )

    @pytest.mark.parametrize("name", ["MgO", "TiO2-anatase"])
    def test_polar_crystals_from_dft_keep_their_frequencies(
        self, tmp_path: Path, name: str
    ) -> None:
        source = FORCE_SETS / f"{name}.yaml.xz"
        if not source.exists():
            pytest.skip("the DFT force sets are not here")
        original = phonopy_load(source)
        written = phonopy_load(
            exporters.write_phonopy_yaml(tmp_path / "a.yaml", force_data_of(original))
        )
        assert original.nac_params is not None
        np.testing.assert_allclose(
            written.run_qpoints(Q_POINTS[1:]).frequencies,
            original.run_qpoints(Q_POINTS[1:]).frequencies,
            atol=1e-4,  # the file's Coulomb constant has fewer digits
        )

    def test_born_charges_travel(self, tmp_path: Path, force_data: ForceData) -> None:
        charges = np.array([np.eye(3) * charge for charge in (3.0, -1.0, -1.0, -1.0)])
        polar = ForceData(
            **{
                **force_data.__dict__,
                "born_charges_e": charges,
                "dielectric_constant": np.eye(3) * 4.0,
            }
        )
        loaded = phonopy_load(exporters.write_phonopy_yaml(tmp_path / "a.yaml", polar))
        np.testing.assert_allclose(loaded.nac_params["born"], charges, atol=1e-9)
        np.testing.assert_allclose(loaded.nac_params["dielectric"], np.eye(3) * 4.0)
        assert loaded.nac_params["factor"] == pytest.approx(14.3996, rel=1e-4)

    def test_foreign_supercell_is_refused(self, force_data: ForceData) -> None:
        moved = np.array(force_data.supercell_scaled_positions)
        moved[3] += 0.1
        wrong = ForceData(**{**force_data.__dict__, "supercell_scaled_positions": moved})
        with pytest.raises(InconsistentDataError, match="not a repetition"):
            exporters.phonopy_yaml(wrong)

    def test_missing_forces_are_refused(self, force_data: ForceData) -> None:
        wrong = ForceData(
            **{
                **force_data.__dict__,
                "forces_ev_per_angstrom": force_data.forces_ev_per_angstrom[:, :-1],
            }
        )
        with pytest.raises(InconsistentDataError, match="shapes"):
            exporters.phonopy_yaml(wrong)


class TestEmmet:
    def test_emmet_validates_and_gives_the_same_numbers(
        self, tmp_path: Path, force_data: ForceData, bands: BandStructure, dos: DensityOfStates
    ) -> None:
        from emmet.core.phonon import PhononBSDOSDoc

        path = exporters.write_emmet_json(
            tmp_path / "a.json",
            exporters.emmet_document(
                gold_copper(),
                last_updated=datetime(2026, 1, 2, tzinfo=UTC),
                material_id="ps-0123456789abcdef",
                band_structure=bands,
                density_of_states=dos,
                supercell=force_data,
                static_energy_ev_per_atom=-3.5,
                space_group=(221, "Pm-3m"),
                model="emt",
            ),
        )
        document = PhononBSDOSDoc.model_validate_json(path.read_text())
        band_object = document.phonon_bandstructure.to_pmg
        np.testing.assert_allclose(band_object.bands, bands.frequencies_thz.T)
        assert [branch["name"] for branch in band_object.branches] == ["GAMMA-X", "M-R"]
        lengths = np.diff(band_object.distance)[:4]
        np.testing.assert_allclose(
            lengths, 2 * np.pi * np.diff(bands.distances_per_angstrom)[:4], atol=1e-9
        )
        complete = document.phonon_dos.to_pmg
        np.testing.assert_allclose(complete.densities, dos.total_per_thz)
        projected = [complete.pdos[site] for site in complete.structure]
        np.testing.assert_allclose(projected, dos.projected_per_thz)
        assert document.formula_pretty == "Cu3Au"
        assert document.total_dft_energy == -3.5
        assert document.symmetry.number == 221
        assert document.identifier is None
        assert document.calc_meta[0].identifier == "ps-0123456789abcdef"
        np.testing.assert_array_equal(document.supercell_matrix, SUPERCELL.T)

    def test_without_bands_it_is_still_valid(self) -> None:
        from emmet.core.phonon import PhononBSDOSDoc

        document = exporters.emmet_document(
            gold_copper(), last_updated=datetime(2026, 1, 2, tzinfo=UTC), material_id="mp-2258"
        )
        validated = PhononBSDOSDoc.model_validate(document)
        assert validated.phonon_dos is None
        assert validated.identifier == "mp-2258"

    def test_non_finite_numbers_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SerializationError, match="JSON"):
            exporters.write_emmet_json(tmp_path / "a.json", {"total_dft_energy": float("nan")})
        assert list(tmp_path.iterdir()) == []


class TestPhononWebsite:
    def test_agrees_with_pymatgen(self, bands: BandStructure, eigenvectors: np.ndarray) -> None:
        from pymatgen.phonon.bandstructure import PhononBandStructureSymmLine

        structure = gold_copper()
        masses = np.array([float(site.specie.atomic_mass) for site in structure])
        phases = np.exp(2j * np.pi * bands.q_points @ structure.frac_coords.T)
        displacements = (
            eigenvectors * phases[:, None, :, None] / np.sqrt(masses)[None, None, :, None]
        )
        peer = PhononBandStructureSymmLine(
            bands.q_points,
            bands.frequencies_thz.T,
            structure.lattice.reciprocal_lattice,
            eigendisplacements=displacements.transpose(1, 0, 2, 3),
            structure=structure,
            labels_dict={name: bands.q_points[index] for index, name in bands.labels},
        ).as_phononwebsite()
        ours = exporters.phononwebsite_document(structure, bands, eigenvectors)
        assert set(ours) == set(peer)
        assert ours["line_breaks"] == [list(pair) for pair in peer["line_breaks"]]
        assert ours["highsym_qpts"] == [list(pair) for pair in peer["highsym_qpts"]]
        np.testing.assert_allclose(ours["eigenvalues"], peer["eigenvalues"], rtol=1e-6)
        np.testing.assert_allclose(ours["atom_pos_car"], peer["atom_pos_car"])
        mine, theirs = (np.array(document["vectors"]) for document in (ours, peer))
        scale = np.sqrt(np.sum(theirs**2, axis=(-3, -2, -1), keepdims=True))
        np.testing.assert_allclose(mine, theirs / scale, atol=1e-12)

    def test_is_plain_json(
        self, tmp_path: Path, bands: BandStructure, eigenvectors: np.ndarray
    ) -> None:
        path = exporters.write_phononwebsite(
            tmp_path / "a.json", gold_copper(), bands, eigenvectors, name="AuCu3 (EMT)"
        )
        document = json.loads(path.read_text())
        assert document["name"] == "AuCu3 (EMT)"
        assert np.shape(document["vectors"]) == (10, 12, 4, 3, 2)

    def test_wrong_eigenvectors_are_refused(
        self, bands: BandStructure, eigenvectors: np.ndarray
    ) -> None:
        with pytest.raises(InconsistentDataError, match="shape"):
            exporters.phononwebsite_document(gold_copper(), bands, eigenvectors[1:])


class TestExtxyz:
    def test_structures_keep_energy_and_numbers(self, tmp_path: Path) -> None:
        structure = gold_copper()
        frame = exporters.labelled_structure(
            structure,
            static_energy_ev_per_atom=-3.5,
            information={
                "material_id": "ps-0123456789abcdef",
                "lowest_frequency_thz": -0.25,
                "free_energy_mev_per_atom": [1.0, -2.0],
                "note": "two words = one value",
                "spread_thz": None,
            },
        )
        path = exporters.write_structures(tmp_path / "a.extxyz", [frame, frame])
        images = read(path, index=":")
        assert len(images) == 2
        assert images[1].get_potential_energy() == pytest.approx(-3.5 * 4)
        assert images[0].info["lowest_frequency_thz"] == -0.25
        assert images[0].info["note"] == "two words = one value"
        np.testing.assert_allclose(images[0].info["free_energy_mev_per_atom"], [1.0, -2.0])
        assert "spread_thz" not in images[0].info
        np.testing.assert_allclose(images[0].cell, structure.lattice.matrix, atol=1e-7)

    def test_supercells_hold_the_forces_of_their_positions(
        self, tmp_path: Path, force_data: ForceData
    ) -> None:
        path = exporters.write_displaced_supercells(
            tmp_path / "a.extxyz", force_data, information={"model": "emt"}
        )
        images = read(path, index=":")
        assert len(images) == len(force_data.displaced_atoms)
        for image in images:
            expected = emt_forces(image.numbers, image.cell[:], image.positions)
            given = image.get_forces() - force_data.residual_forces_ev_per_angstrom
            np.testing.assert_allclose(given, expected, atol=1e-5)
            assert image.info["model"] == "emt"

    def test_residual_forces_can_be_subtracted(self, force_data: ForceData) -> None:
        image = exporters.displaced_supercells(force_data, subtract_residual=True)[0]
        np.testing.assert_allclose(
            image.get_forces(),
            emt_forces(image.numbers, image.cell[:], image.positions),
            atol=1e-10,
        )

    def test_nothing_is_an_empty_file(self, tmp_path: Path) -> None:
        assert exporters.write_structures(tmp_path / "a.extxyz", []).read_text() == ""


DOCUMENTS = [
    {
        "_id": "ps-1",
        "material_id": "ps-1",
        "formula": "TiO2",
        "free_energy_300k_mev_per_atom": 12.5,
        "temperatures_k": [0.0, 300.0],
        "valid": True,
        "provenance": {"model": "chgnet"},
    },
    {"material_id": "ps-2", "formula": "=HYPERLINK(1)", "valid": False},
]


class TestTables:
    def test_csv_reads_back(self, tmp_path: Path) -> None:
        path = exporters.write_table(tmp_path / "a.csv", DOCUMENTS)
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        assert rows[0]["free_energy_300k_mev_per_atom"] == "12.5"
        assert json.loads(rows[0]["temperatures_k"]) == [0.0, 300.0]
        assert rows[0]["provenance.model"] == "chgnet"
        assert rows[1]["provenance.model"] == ""
        assert rows[1]["formula"].startswith("'=")
        assert "_id" not in rows[0]

    def test_parquet_reads_back(self, tmp_path: Path) -> None:
        import pandas as pd

        path = exporters.write_table(tmp_path / "a.parquet", DOCUMENTS)
        frame = pd.read_parquet(path)
        assert frame["free_energy_300k_mev_per_atom"].iloc[0] == 12.5
        assert list(frame["temperatures_k"].iloc[0]) == [0.0, 300.0]
        assert frame["formula"].iloc[1] == "=HYPERLINK(1)"

    def test_columns_are_chosen_and_ordered(self) -> None:
        text = exporters.csv_text(DOCUMENTS, ["formula", "material_id"])
        assert text.splitlines()[:2] == ["formula,material_id", "TiO2,ps-1"]

    def test_unknown_column_and_suffix_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match="no document has the column 'colour'"):
            exporters.csv_text(DOCUMENTS, ["colour"])
        with pytest.raises(SettingError, match=r"\.xlsx"):
            exporters.write_table(tmp_path / "a.xlsx", DOCUMENTS)


class TestAtomicPath:
    def test_a_failure_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = exporters.write_text(tmp_path / "a.txt", "old")
        with pytest.raises(UnicodeEncodeError):
            exporters.write_text(path, "half \ud800")  # a lone surrogate has no bytes
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_folders_are_made(self, tmp_path: Path) -> None:
        assert exporters.write_text(tmp_path / "b" / "c" / "a.txt", "x").read_text() == "x"

    def test_a_file_in_the_way_is_our_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(SettingError, match="cannot write here"):
            exporters.write_text(tmp_path / "file" / "a.txt", "x")

    def test_rights_are_those_of_a_new_file(self, tmp_path: Path) -> None:
        plain = tmp_path / "plain"
        plain.touch()
        written = exporters.write_text(tmp_path / "a.txt", "x")
        assert written.stat().st_mode == plain.stat().st_mode
