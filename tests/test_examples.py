"""The shipped crystals are what their labels and citations say.

Space groups are the ones of the cited papers. Densities in g/cm^3 are those of the CRC Handbook
of Chemistry and Physics and of the Handbook of Mineralogy where the phase exists at room
temperature, else the X-ray density of the published cell; neither was computed by this package.
"""

from __future__ import annotations

import csv
import warnings
from functools import cache
from pathlib import Path

import pytest
import spglib
from ase.data import covalent_radii
from pymatgen.core import Composition, Structure

from flows.asking import fallback_step
from screening.settings import ScreeningSettings

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDER = EXAMPLES / "polymorphs"
ESCALATION = EXAMPLES / "escalation" / "crystals"
COLUMNS = (
    "file",
    "label",
    "static_energy_ev_per_atom",
    "energy_source",
    "citation",
    "experiment",
)
DENSITY_TOLERANCE = 0.03
SYMPREC_ANGSTROM = 1e-3

EXPECTED: dict[str, tuple[int, float]] = {
    "AgI-wurtzite": (186, 5.68),
    "AgI-zincblende": (216, 5.68),
    "AlN-wurtzite": (186, 3.26),
    "AlN-zincblende": (216, 3.24),
    "BN-cubic": (216, 3.49),
    "BN-hexagonal": (194, 2.27),
    "BN-wurtzite": (186, 3.49),
    "BaTiO3-cubic": (221, 5.99),
    "BeO-beta": (136, 2.69),
    "BeO-wurtzite": (186, 3.01),
    "C-diamond": (227, 3.515),
    "C-graphite": (194, 2.26),
    "C-lonsdaleite": (194, 3.51),
    "CaTiO3-cubic": (221, 4.04),
    "CaTiO3-orthorhombic": (62, 4.04),
    "CdS-greenockite": (186, 4.82),
    "CdS-hawleyite": (216, 4.87),
    "CsPbBr3-cubic": (221, 4.75),
    "CsPbI3-cubic": (221, 4.81),
    "FeS2-marcasite": (58, 4.89),
    "FeS2-pyrite": (205, 5.02),
    "GaAs-wurtzite": (186, 5.31),
    "GaAs-zincblende": (216, 5.318),
    "GaN-wurtzite": (186, 6.15),
    "GaN-zincblende": (216, 6.1),
    "GeO2-quartz": (154, 4.25),
    "GeO2-rutile": (136, 6.24),
    "HfO2-cubic": (225, 10.43),
    "HfO2-monoclinic": (14, 10.1),
    "KMgF3-cubic": (221, 3.15),
    "KNbO3-cubic": (221, 4.6),
    "KNbO3-rhombohedral": (160, 4.62),
    "KTaO3-cubic": (221, 7.02),
    "KZnF3-cubic": (221, 4.02),
    "LiNbO3-ferroelectric": (161, 4.64),
    "LiNbO3-paraelectric": (167, 4.4),
    "NiTi-B19p": (11, 6.47),
    "NiTi-B2": (221, 6.45),
    "PbTiO3-cubic": (221, 8.1),
    "PbTiO3-tetragonal": (99, 7.96),
    "Si-bc8": (206, 2.553),
    "Si-diamond": (227, 2.329),
    "Si-hexagonal": (194, 2.375),
    "SiC-2H": (186, 3.22),
    "SiC-3C": (216, 3.21),
    "SiC-4H": (186, 3.21),
    "SiC-6H": (186, 3.21),
    "SiO2-cristobalite-alpha": (92, 2.33),
    "SiO2-cristobalite-beta": (227, 2.17),
    "SiO2-quartz-alpha": (154, 2.65),
    "SiO2-quartz-beta": (180, 2.53),
    "SiO2-stishovite": (136, 4.29),
    "SiO2-tridymite-hp": (194, 2.18),
    "Sn-alpha": (227, 5.77),
    "Sn-beta": (141, 7.29),
    "SrTiO3-cubic": (221, 5.12),
    "SrTiO3-tetragonal": (140, 5.15),
    "Ti-alpha": (194, 4.506),
    "Ti-beta": (229, 4.4),
    "Ti-omega": (191, 4.58),
    "TiO2-anatase": (141, 3.89),
    "TiO2-brookite": (61, 4.13),
    "TiO2-rutile": (136, 4.25),
    "ZnO-rocksalt": (225, 6.91),
    "ZnO-wurtzite": (186, 5.67),
    "ZnS-sphalerite": (216, 4.09),
    "ZnS-wurtzite": (186, 4.09),
    "ZnSe-wurtzite": (186, 5.35),
    "ZnSe-zincblende": (216, 5.27),
    "Zr-alpha": (194, 6.51),
    "Zr-beta": (229, 6.39),
    "Zr-omega": (191, 6.65),
    "ZrO2-cubic": (225, 6.2),
    "ZrO2-monoclinic": (14, 5.82),
    "ZrO2-tetragonal": (137, 5.86),
}
"""Space group number and density in g/cm^3 by file stem."""

ESCALATED: dict[str, tuple[int, float]] = {
    "AlSb-zincblende": (216, 4.26),
    "CaS-rocksalt": (225, 2.59),
    "NaCl-rocksalt": (225, 2.17),
    "SiC-2H": (186, 3.22),
    "SiC-3C": (216, 3.21),
    "ZnS-sphalerite": (216, 4.09),
}
"""The same of the crystals that are screened with a fallback."""


@cache
def crystal(stem: str, folder: Path = FOLDER) -> Structure:
    """Read one example; CIF readers warn about every rounded third, which is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_file(folder / f"{stem}.cif")


def rows(folder: Path = FOLDER) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def space_group(structure: Structure, symprec_angstrom: float) -> int:
    cell = (
        structure.lattice.matrix.tolist(),
        structure.frac_coords.tolist(),
        structure.atomic_numbers,
    )
    with warnings.catch_warnings():  # spglib announces another way of reporting errors
        warnings.simplefilter("ignore", DeprecationWarning)
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec_angstrom)
    assert dataset is not None
    return int(dataset.number)


def smallest_bond_ratio(structure: Structure) -> float:
    """Return the shortest contact over the sum of covalent radii of its two atoms."""
    first, second, _, distances = structure.get_neighbor_list(4.0)
    radii = covalent_radii[list(structure.atomic_numbers)]
    return float((distances / (radii[first] + radii[second])).min())


def test_metadata_files_and_table_name_the_same_crystals() -> None:
    on_disk = {path.stem for path in FOLDER.glob("*.cif")}
    assert on_disk == set(EXPECTED)
    assert [row["file"] for row in rows()] == sorted(f"{stem}.cif" for stem in EXPECTED)


def test_metadata_has_exactly_the_documented_columns() -> None:
    assert all(tuple(row) == COLUMNS for row in rows())


def test_there_are_enough_crystals_compositions_and_rankable_compositions() -> None:
    by_formula: dict[str, int] = {}
    for stem in EXPECTED:
        formula = crystal(stem).composition.reduced_formula
        by_formula[formula] = by_formula.get(formula, 0) + 1
    assert len(EXPECTED) >= 40
    assert len(by_formula) >= 15
    assert sum(count > 1 for count in by_formula.values()) >= 15


@pytest.mark.parametrize("stem", sorted(EXPECTED))
def test_space_group_is_the_published_one(stem: str) -> None:
    assert space_group(crystal(stem), SYMPREC_ANGSTROM) == EXPECTED[stem][0]


@pytest.mark.parametrize("stem", sorted(EXPECTED))
def test_cif_states_its_own_space_group(stem: str) -> None:
    text = (FOLDER / f"{stem}.cif").read_text(encoding="utf-8")
    assert f"_space_group_IT_number {EXPECTED[stem][0]}\n" in text


@pytest.mark.parametrize("stem", sorted(EXPECTED))
def test_density_is_the_handbooks(stem: str) -> None:
    assert crystal(stem).density == pytest.approx(EXPECTED[stem][1], rel=DENSITY_TOLERANCE)


@pytest.mark.parametrize("stem", sorted(EXPECTED))
def test_file_name_states_the_composition(stem: str) -> None:
    named = Composition(stem.split("-", maxsplit=1)[0])
    assert crystal(stem).composition.reduced_composition == named.reduced_composition


@pytest.mark.parametrize("stem", sorted(EXPECTED))
def test_no_bond_is_shorter_or_longer_than_any_chemistry(stem: str) -> None:
    assert 0.75 < smallest_bond_ratio(crystal(stem)) < 1.15


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_citation_stands_in_the_file_and_names_a_year(row: dict[str, str]) -> None:
    text = (FOLDER / row["file"]).read_text(encoding="utf-8")
    assert row["citation"] in text
    assert any(f"({year})" in row["citation"] for year in range(1900, 2030))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_row_has_a_label_a_note_and_no_invented_energy(row: dict[str, str]) -> None:
    assert row["label"]
    assert row["experiment"]
    assert not row["static_energy_ev_per_atom"]
    assert not row["energy_source"]


def test_labels_tell_the_polymorphs_of_a_composition_apart() -> None:
    labels = [
        (crystal(row["file"].removesuffix(".cif")).composition.reduced_formula, row["label"])
        for row in rows()
    ]
    assert len(set(labels)) == len(labels)


def test_escalated_files_and_metadata_name_the_same_crystals() -> None:
    assert {path.stem for path in ESCALATION.glob("*.cif")} == set(ESCALATED)
    found = rows(ESCALATION)
    assert [row["file"] for row in found] == sorted(f"{stem}.cif" for stem in ESCALATED)
    for row in found:
        assert tuple(row) == COLUMNS
        assert row["citation"] in (ESCALATION / row["file"]).read_text(encoding="utf-8")
        assert row["label"]
        assert row["experiment"]


@pytest.mark.parametrize("stem", sorted(ESCALATED))
def test_escalated_crystals_are_those_of_the_citations(stem: str) -> None:
    number, density = ESCALATED[stem]
    structure = crystal(stem, ESCALATION)
    assert space_group(structure, SYMPREC_ANGSTROM) == number
    assert structure.density == pytest.approx(density, rel=DENSITY_TOLERANCE)
    assert 0.75 < smallest_bond_ratio(structure) < 1.15
    named = Composition(stem.split("-", maxsplit=1)[0])
    assert structure.composition.reduced_composition == named.reduced_composition


def test_one_composition_can_be_ordered_and_the_others_are_alone() -> None:
    formulas = [crystal(stem, ESCALATION).composition.reduced_formula for stem in ESCALATED]
    assert {formula for formula in formulas if formulas.count(formula) > 1} == {"SiC"}


def test_the_folder_holds_nothing_that_an_import_would_refuse() -> None:
    assert {path.suffix for path in ESCALATION.iterdir()} == {".cif", ".csv"}


def test_settings_of_the_fallback_are_small_and_can_be_read() -> None:
    step = fallback_step("gpaw", ESCALATION.parent / "dft.json", ScreeningSettings())
    settings = ScreeningSettings.from_dict(step["settings"])
    assert settings.relaxation is None
    assert settings.phonons.supercell.max_atoms <= 32
