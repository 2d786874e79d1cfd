"""Reading structures from files: formats, metadata, laziness, and writing them once."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.cif import CifWriter

from screening.structure import canonical_crystal
from stores.connect import open_database
from stores.documents import StructureDocument
from stores.importers import (
    ReadLimits,
    ReadStructure,
    Rejection,
    import_paths,
    import_structures,
    iter_blocks,
    iter_structures,
)
from stores.query import by_field

_spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
hostile = importlib.util.module_from_spec(_spec)
sys.modules["hostile"] = hostile
_spec.loader.exec_module(hostile)

SHARED = Path(__file__).parents[3] / "shared" / "data" / "force_sets"
ROCKSALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SILICON = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])


def read(path: Path, **options: object) -> list[ReadStructure | Rejection]:
    return list(iter_structures([path], **options))


def only(path: Path) -> ReadStructure:
    (item,) = read(path)
    assert isinstance(item, ReadStructure), item
    return item


def rejected(path: Path) -> Rejection:
    (item,) = read(path)
    assert isinstance(item, Rejection), item
    return item


# ---------------------------------------------------------------- formats


def test_the_same_crystal_in_every_format_is_one_material(tmp_path):
    (tmp_path / "a.cif").write_text(str(CifWriter(ROCKSALT, symprec=1e-3)))
    (tmp_path / "b.cif").write_text(str(CifWriter(ROCKSALT.get_primitive_structure())))
    (tmp_path / "POSCAR").write_text(ROCKSALT.to(fmt="poscar"))
    (tmp_path / "c.vasp").write_text((ROCKSALT * (2, 1, 1)).to(fmt="poscar"))
    (tmp_path / "d.json").write_text(json.dumps(ROCKSALT.as_dict()))
    ROCKSALT.to_ase_atoms().write(tmp_path / "e.extxyz", format="extxyz")
    (tmp_path / "f.yaml").write_text(hostile.YAML)
    items = read(tmp_path)
    assert len(items) == 7
    assert {item.crystal.digest for item in items} == {canonical_crystal(ROCKSALT).digest}


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
@pytest.mark.parametrize("name", sorted(hostile.SEEDS))
def test_compressed_files_are_read_like_plain_ones(tmp_path, name, suffix, compress):
    (tmp_path / name).write_text(hostile.SEEDS[name])
    (tmp_path / f"{name}{suffix}").write_bytes(compress(hostile.SEEDS[name].encode()))
    plain, packed = read(tmp_path / name), read(tmp_path / f"{name}{suffix}")
    assert [i.crystal.digest for i in plain] == [i.crystal.digest for i in packed]


def test_blocks_of_a_cif_stand_for_themselves(tmp_path):
    second = hostile.CIF.replace("data_rutile", "data_broken").replace("0.3053 0.3053", "0.3 q")
    third = hostile.CIF.replace("data_rutile", "data_wide").replace("4.5937", "4.7")
    text = "data_global\n_journal 'none'\n" + hostile.CIF + second + third
    (tmp_path / "many.cif").write_text(text)
    first, broken, wide = read(tmp_path / "many.cif")
    assert (first.block, first.label, first.source) == (
        "rutile",
        "rutile",
        f"{tmp_path / 'many.cif'}#rutile",
    )
    assert (broken.code, broken.block) == ("PARSE_ERROR", "broken")
    assert wide.crystal.digest != first.crystal.digest


def test_a_semicolon_text_that_looks_like_a_block_is_text(tmp_path):
    (tmp_path / "a.cif").write_text(hostile.CIF + "_comment\n;\ndata_fake\nloop_\n;\n")
    assert only(tmp_path / "a.cif").block == "rutile"


@pytest.mark.parametrize(
    ("symbol", "number"),
    [("'P 42/m n m'", 136), ("P4_2/mnm", 136), ("'P 42/m 21/n 2/m'", 136), ("'-P 4n 2n'", 136)],
)
def test_space_groups_go_by_many_names(tmp_path, symbol, number):
    (tmp_path / "a.cif").write_text(hostile.CIF.replace("'P 42/m n m'", symbol))
    crystal = only(tmp_path / "a.cif").crystal
    assert (crystal.space_group_number, crystal.n_atoms) == (number, 6)


def test_an_ambiguous_origin_is_refused_and_a_stated_one_is_used(tmp_path):
    silicon = (
        "data_Si\n_cell_length_a 5.431\n_cell_length_b 5.431\n_cell_length_c 5.431\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "_space_group_name_H-M_alt '{}'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
        "_atom_site_fract_y\n_atom_site_fract_z\nSi1 {}\n"
    )
    reference = canonical_crystal(SILICON).digest
    for name, position in (("F d -3 m:1", "0 0 0"), ("F d -3 m :2", "0.125 0.125 0.125")):
        (tmp_path / "a.cif").write_text(silicon.format(name, position))
        assert only(tmp_path / "a.cif").crystal.digest == reference
    (tmp_path / "a.cif").write_text(silicon.format("F d -3 m", "0 0 0"))
    assert "origin" in rejected(tmp_path / "a.cif").message


def test_a_broken_block_does_not_stop_those_after_it(tmp_path, monkeypatch):
    from stores.importers import cif

    parse, calls = cif._structure, iter([RuntimeError("a hole in the library"), None])

    def failing(text):
        if error := next(calls):
            raise error
        return parse(text)

    monkeypatch.setattr(cif, "_structure", failing)
    (tmp_path / "a.cif").write_text(hostile.CIF + hostile.CIF.replace("rutile", "two"))
    first, second = read(tmp_path / "a.cif")
    assert (first.code, first.block) == ("PARSE_ERROR", "rutile")
    assert first.message == "RuntimeError: a hole in the library"
    assert second.block == "two"


def test_blocks_of_one_name_are_all_read(tmp_path):
    (tmp_path / "a.cif").write_text(hostile.CIF + hostile.CIF.replace("4.5937", "4.7"))
    assert len({item.crystal.digest for item in read(tmp_path / "a.cif")}) == 2


ICSD = """
#(C) by a database
data_1-ICSD
_chemical_formula_sum              'O2 Ti1'
_publ_author_name
'Baur, W.H.;Khan, A.A.'
_cell_length_a                     4.5937(2)
_cell_length_b                     4.5937(2)
_cell_length_c                     2.9587(1)
_cell_angle_alpha                  90.
_cell_angle_beta                   90.
_cell_angle_gamma                  90.
_space_group_name_H-M_alt          'P 42/m n m Z'
_space_group_IT_number             136
loop_
_space_group_symop_id
_space_group_symop_operation_xyz
{numbered}
loop_
_atom_type_symbol
_atom_type_oxidation_number
O2- -2
Ti4+ 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_symmetry_multiplicity
_atom_site_Wyckoff_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_B_iso_or_equiv
_atom_site_occupancy
_atom_site_attached_hydrogens
Ti1 Ti4+ 2 a 0 0 0 0.4(1) 1. 0
O1 O2- 4 f 0.3053(2) 0.3053(2) 0 . 1. 0
#End of data_1-ICSD
"""
VESTA = """
#======================================================================
data_VESTA_phase_1

_chemical_name_common                  'Titanium dioxide (rutile)'
_cell_length_a                         4.593700
_cell_length_b                         4.593700
_cell_length_c                         2.958700
_cell_angle_alpha                      90.000000
_cell_angle_beta                       90.000000
_cell_angle_gamma                      90.000000
_space_group_name_H-M_alt              'P 42/m n m'
_space_group_IT_number                 136

loop_
_space_group_symop_operation_xyz
{quoted}

loop_
   _atom_site_label
   _atom_site_occupancy
   _atom_site_fract_x
   _atom_site_fract_y
   _atom_site_fract_z
   _atom_site_adp_type
   _atom_site_U_iso_or_equiv
   _atom_site_type_symbol
   Ti1        1.0     0.000000     0.000000     0.000000    Uiso  ? Ti
   O1         1.0     0.305300     0.305300     0.000000    Uiso  ? O
"""
COD = """data_9007432
loop_
_publ_author_name
'Baur, W. H.'
"O'Keeffe, M."
_publ_section_title
;
 The rutile type # and some derivatives
 data_in_the_title 'and an open quote
;
_journal_year                    1971
_chemical_formula_sum            'O2 Ti'
_chemical_name_mineral           Rutile
_space_group_IT_number           136
_symmetry_space_group_name_Hall  '-P 4n 2n'
_symmetry_space_group_name_H-M   'P 42/m n m'
_cell_angle_alpha                90
_cell_angle_beta                 90
_cell_angle_gamma                90
_cell_length_a                   4.5937
_cell_length_b                   4.5937
_cell_length_c                   2.9587
loop_
_symmetry_equiv_pos_as_xyz
{plain}
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Ti 0.00000 0.00000 0.00000 ?
O .30530 .30530 -0.00000 0.00500
"""


@pytest.mark.parametrize("dialect", ["ICSD", "VESTA", "COD"])
def test_dialects_of_the_databases_are_one_crystal(tmp_path, dialect):
    from stores.importers.cif_symmetry import _settings_named

    operations = _settings_named("P42/mnm")[0]["symops"]
    text = globals()[dialect].format(
        numbered="\n".join(f"{i} '{x.replace(',', ', ')}'" for i, x in enumerate(operations, 1)),
        quoted="\n".join(f"   '{x.replace(',', ', ')}'" for x in operations),
        plain="\n".join(operations),
    )
    (tmp_path / "a.cif").write_text(text)
    (tmp_path / "b.cif").write_text(hostile.CIF)
    item, reference = read(tmp_path)
    assert isinstance(item, ReadStructure), item
    assert item.crystal.digest == reference.crystal.digest
    assert item.notes == ()
    names = {"ICSD": "1-ICSD", "VESTA": "Titanium dioxide (rutile)", "COD": "Rutile"}
    assert item.label == names[dialect]


def test_what_pymatgen_writes_is_read(tmp_path):
    oxidised = ROCKSALT.copy()
    oxidised.relabel_sites()
    oxidised.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    (tmp_path / "a.cif").write_text(str(CifWriter(oxidised)))
    assert only(tmp_path / "a.cif").crystal.digest == canonical_crystal(ROCKSALT).digest


def test_a_cif_with_magnetic_symmetry_alone_is_refused(tmp_path):
    text = hostile.CIF.replace("_space_group_IT_number 136", "_space_group_magn.number_BNS 136.1")
    text = text.replace("_space_group_name_H-M_alt 'P 42/m n m'\n", "")
    (tmp_path / "a.mcif").write_text(text)
    assert "magnetic symmetry" in rejected(tmp_path / "a.mcif").message


def test_thirds_with_three_digits_find_their_special_position(tmp_path):
    text = (
        "data_ZnO\n_cell_length_a 3.250\n_cell_length_b 3.250\n_cell_length_c 5.207\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 120\n"
        "_space_group_name_H-M_alt 'P 63 m c'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
        "_atom_site_fract_y\n_atom_site_fract_z\nZn1 0.333 0.667 0\nO1 0.333 0.667 0.382\n"
    )
    (tmp_path / "a.cif").write_text(text)
    crystal = only(tmp_path / "a.cif").crystal
    assert (crystal.space_group_symbol, crystal.n_atoms) == ("P6_3mc", 4)


def test_a_cif_without_symmetry_says_so(tmp_path):
    text = hostile.CIF.replace("_space_group_IT_number 136\n", "")
    text = text.replace("_space_group_name_H-M_alt 'P 42/m n m'\n", "")
    text = text.replace("_chemical_formula_sum 'Ti O2'\n", "")
    (tmp_path / "a.cif").write_text(text)
    assert "no symmetry is given: read as P1" in only(tmp_path / "a.cif").notes


def test_frames_of_extxyz_keep_energies_and_forces(tmp_path):
    broken = hostile._FRAME.replace("Na 0 0 0 0", "Na 0 0 q 0")
    (tmp_path / "a.extxyz").write_text(hostile._FRAME + broken + hostile.EXTXYZ)
    items = read(tmp_path / "a.extxyz")
    assert [type(item) for item in items] == [ReadStructure, Rejection, *[ReadStructure] * 3]
    assert items[0].static_energy_ev_per_atom == -3.5
    assert items[0].static_energy_source == f"extxyz {tmp_path / 'a.extxyz'}"
    assert items[0].parsed.forces_ev_per_angstrom.shape == (2, 3)
    assert (items[1].block, items[1].message[:14]) == ("frame 2", "lines 5 to 8: ")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Na 0 0", "CO 0 0", "SUSPICIOUS_SPECIES"),  # carbon monoxide is no cobalt
        ("Na 0 0", "NA 0 0", "SUSPICIOUS_SPECIES"),
        ("Cl 2.82 0 0 0 0 0", "Cl 2.82 0 0 0 0 0 9", "PARSE_ERROR"),
        ("pos:R:3", "place:R:3", "PARSE_ERROR"),
        ("energy=-7.0", "energy=low", "PARSE_ERROR"),
        ("energy=-7.0", 'energy="1 2"', "PARSE_ERROR"),
    ],
)
def test_what_ase_would_misread_is_refused(tmp_path, old, new, code):
    (tmp_path / "a.extxyz").write_text(hostile._FRAME.replace(old, new) + hostile._FRAME)
    first, second = read(tmp_path / "a.extxyz")
    assert (first.code, first.block) == (code, "frame 1")
    assert first.message.startswith("lines 1 to 4: ")
    assert second.static_energy_ev_per_atom == -3.5


def test_poscar_with_elements_on_many_lines(tmp_path):
    supercell = ROCKSALT * (2, 2, 1)
    sites = [site for pair in zip(supercell[:16], supercell[16:], strict=True) for site in pair]
    lines = Structure.from_sites(sites).to(fmt="poscar").splitlines()
    lines[5:7] = [*["Na Cl " * 8] * 2, *["1 " * 16] * 2]
    assert only_text(tmp_path, "\n".join(lines)).digest == canonical_crystal(ROCKSALT).digest
    lines[5] = "Na Cl " * 9
    (tmp_path / "POSCAR").write_text("\n".join(lines))
    assert "34 elements, 32 numbers" in rejected(tmp_path / "POSCAR").message


def test_poscar_variants(tmp_path):
    direct = only_text(tmp_path, hostile.POSCAR)
    volume = hostile.POSCAR.replace("1.0\n", f"-{2 * 2.7047**3}\n", 1)
    assert only_text(tmp_path, volume).digest == direct.digest
    scaled = hostile.POSCAR.replace("1.0\n", "5.4094\n", 1).replace("2.7047", "0.5")
    assert only_text(tmp_path, scaled).digest == direct.digest
    cartesian = scaled.replace("Direct", "Cartesian")
    assert only_text(tmp_path, cartesian).digest == direct.digest
    selective = hostile.POSCAR.replace("Direct", "Selective dynamics\nDirect")
    selective = selective.replace("0.25 0.25 0.25", "0.25 0.25 0.25 T T F")
    assert only_text(tmp_path, selective).digest == direct.digest
    potcar = hostile.POSCAR.replace("Zn S", "Zn_pv/0a1b S_h")
    assert only_text(tmp_path, potcar).digest == direct.digest
    velocities = hostile.POSCAR + "\n0.0 0.0 0.0\n0.0 0.0 0.0\n"
    assert only_text(tmp_path, velocities).digest == direct.digest


def only_text(folder: Path, text: str):
    (folder / "POSCAR").write_text(text)
    return only(folder / "POSCAR").crystal


def test_left_handed_axes_do_not_mirror_the_crystal(tmp_path):
    quartz = Structure.from_spacegroup(
        "P3_121",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4522]],
    )
    swapped = Structure(
        Lattice(quartz.lattice.matrix[[1, 0, 2]]), quartz.species, quartz.frac_coords[:, [1, 0, 2]]
    )
    assert np.linalg.det(swapped.lattice.matrix) < 0
    given, left = only_text(tmp_path, quartz.to(fmt="poscar")), canonical_crystal(swapped)
    assert given.space_group_number == left.space_group_number == 152
    assert given.digest == left.digest


def test_entries_keep_their_energy_and_lose_nothing_else(tmp_path):
    entry = ComputedStructureEntry(ROCKSALT, -27.2, correction=-1.0, entry_id="mp-1")
    (tmp_path / "a.json").write_text(json.dumps({"one": entry.as_dict(), "two": entry.as_dict()}))
    items = read(tmp_path / "a.json")
    assert [item.block for item in items] == ["one", "two"]
    assert items[0].static_energy_ev_per_atom == pytest.approx(-3.4)
    assert items[0].static_energy_source == str(tmp_path / "a.json")
    assert items[0].label == "mp-1"


def test_magnetic_moments_are_dropped_and_said_so(tmp_path):
    magnetic = ROCKSALT.copy(site_properties={"magmom": [2.0] * len(ROCKSALT)})
    (tmp_path / "a.json").write_text(json.dumps(magnetic.as_dict()))
    item = only(tmp_path / "a.json")
    assert item.notes == ("magnetic moments were dropped",)
    assert item.crystal.digest == canonical_crystal(ROCKSALT).digest
    assert canonical_crystal(magnetic).notes == ("magnetic moments were dropped",)


def test_phonopy_yaml_gives_forces(tmp_path):
    (tmp_path / "phonopy_params.yaml").write_text(hostile.YAML)
    item = only(tmp_path / "phonopy_params.yaml")
    assert item.force_data.forces_ev_per_angstrom.shape == (2, 16, 3)
    assert canonical_crystal(item.force_data.primitive).digest == item.crystal.digest
    data = hostile.phonopy_dict()
    del data["displacements"]
    (tmp_path / "phonopy.yaml").write_text(hostile.dump_yaml(data))
    assert only(tmp_path / "phonopy.yaml").force_data is None


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ({}, None),
        ({"configuration": {"model": "chgnet:0.3.0"}}, "chgnet:0.3.0"),
        ({"configuration": {"model": "a\x1b[31m"}}, "a\\x1b[31m"),
        ({"configuration": {"model": 7}}, None),
        ({"configuration": []}, None),
        ("4.8", None),
    ],
)
def test_a_phonopy_header_may_say_what_computed_the_forces(tmp_path, header, source):
    data = hostile.phonopy_dict() | {"phonopy": header}
    (tmp_path / "phonopy.yaml").write_text(hostile.dump_yaml(data))
    assert only(tmp_path / "phonopy.yaml").parsed.forces_source == source


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference force sets are not here")
def test_real_force_sets_are_read():
    items = read(SHARED)
    assert {item.crystal.formula for item in items} == {
        "Al2O3",
        "MgB2",
        "MgO",
        "NaCl",
        "TiO2",
        "ZnO",
    }
    assert all(item.force_data is not None for item in items)


def test_archives_are_read_in_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("sub/a.cif", hostile.CIF)
        archive.writestr("b.json.gz", gzip.compress(hostile.JSON.encode()))
        archive.writestr("README.txt", "text")
    with tarfile.open(tmp_path / "b.tar.xz", "w:xz") as archive:
        data = hostile.POSCAR.encode()
        member = tarfile.TarInfo("run/CONTCAR")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    skipped: list[str] = []
    items = read(tmp_path, skipped=skipped.append)
    assert [item.file.removeprefix(f"{tmp_path}/") for item in items] == [
        "a.zip/sub/a.cif",
        "a.zip/b.json.gz",
        "a.zip/b.json.gz",
        "b.tar.xz/run/CONTCAR",
    ]
    assert skipped == [f"{tmp_path}/a.zip/README.txt"]


def test_folders_are_walked_in_order_and_strangers_named(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/c.cif", "b.cif", "a.cif", ".hidden.cif"):
        (tmp_path / name).write_text(hostile.CIF)
    (tmp_path / "notes.txt").write_text("x")
    skipped: list[str] = []
    items = read(tmp_path, skipped=skipped.append)
    assert [Path(item.file).name for item in items] == ["a.cif", "b.cif", "c.cif"]
    assert [Path(name).name for name in skipped] == ["notes.txt"]


def test_a_stranger_named_directly_and_a_missing_file_are_rejected(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert "no format" in rejected(tmp_path / "notes.txt").message
    assert "no such file" in rejected(tmp_path / "nothing.cif").message
    assert rejected(tmp_path / "nul\0.cif").code == "PARSE_ERROR"


def test_reading_is_lazy(tmp_path):
    paths = iter([tmp_path / "a.cif", None])
    (tmp_path / "a.cif").write_text(hostile.CIF)
    items = iter_structures(paths)
    assert isinstance(next(items), ReadStructure)
    assert next(paths) is None  # not asked for yet


def test_limits_are_the_callers(tmp_path):
    (tmp_path / "a.extxyz").write_text(hostile.EXTXYZ)
    items = read(tmp_path / "a.extxyz", limits=ReadLimits(max_structures_per_file=2))
    assert [getattr(item, "code", "read") for item in items] == ["read", "read", "TOO_LARGE"]
    items = read(tmp_path / "a.extxyz", limits=ReadLimits(max_file_bytes=100))
    assert [item.code for item in items] == ["TOO_LARGE"]


# ---------------------------------------------------------------- metadata


def test_metadata_gives_names_energies_and_citations(tmp_path):
    (tmp_path / "a.cif").write_text(hostile.CIF)
    (tmp_path / "b.extxyz").write_text(hostile.EXTXYZ)
    (tmp_path / "metadata.csv").write_text(
        "file,label,static_energy_ev_per_atom,energy_source,citation,experiment,notes\n"
        'a.cif,rutile,-8.9,PBE,"Baur, 1971",stable,room temperature\n'
        "b.extxyz#frame 2,middle,,,,,\n"
    )
    item, first, second, _ = read(tmp_path)
    assert (item.label, item.citation, item.static_energy_ev_per_atom) == (
        "rutile",
        "Baur, 1971",
        -8.9,
    )
    assert item.static_energy_source == "PBE"
    assert item.notes[-2:] == ("experiment: stable", "room temperature")
    assert (first.label, second.label) == (None, "middle")
    assert second.static_energy_ev_per_atom == -3.5


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a.cif,rutile,-8.9,,,", "INCONSISTENT_DATA"),
        ("a.cif,rutile,nan,PBE,,", "NONFINITE_INPUT"),
        ("a.cif,rutile,low,PBE,,", "PARSE_ERROR"),
        ("b.cif,rutile,,,,", "PARSE_ERROR"),
        ("../a.cif,rutile,,,,", "PARSE_ERROR"),
        ("a.cif,rutile,,,,,,", "PARSE_ERROR"),
    ],
)
def test_a_bad_row_is_rejected_and_its_file_read(tmp_path, row, code):
    (tmp_path / "a.cif").write_text(hostile.CIF)
    (tmp_path / "metadata.csv").write_text(
        f"file,label,static_energy_ev_per_atom,energy_source,citation,notes\n{row}\n"
    )
    rejection, item = read(tmp_path)
    assert (rejection.code, rejection.block) == (code, "line 2")
    assert item.crystal.formula == "TiO2"


# ---------------------------------------------------------------- the database


def folder_with_duplicates(tmp_path: Path) -> Path:
    """Three copies of one crystal, one of them with other last digits, and another crystal."""
    folder = tmp_path / "crystals"
    folder.mkdir()
    (folder / "a.cif").write_text(hostile.CIF)
    (folder / "b.cif").write_text(hostile.CIF)
    (folder / "c.cif").write_text(hostile.CIF.replace("4.5937", "4.5949"))
    (folder / "d.vasp").write_text(hostile.POSCAR)
    (folder / "e.cif").write_text("data_x\n")
    (folder / "f.yaml").write_text(hostile.YAML)
    return folder


def test_an_import_stores_each_crystal_once_and_links_duplicates(database_uri, tmp_path):
    folder = folder_with_duplicates(tmp_path)
    seen: list[object] = []
    with open_database(database_uri) as database:
        report = import_paths(database, [folder], progress=seen.append)
        stored = list(database.structures.query({}))
        rutile = StructureDocument.load(
            database.structures.query_one(by_field("material_id", report.material_ids[0]))
        )
    assert len(seen) == 6
    assert report.counts == {
        "new": 3,
        "duplicates": 2,
        "skipped": 0,
        "rejected": 1,
        "PARSE_ERROR": 1,
    }
    assert len(stored) == 4
    same, near = report.duplicates
    assert same.material_id == same.duplicate_of == near.duplicate_of == rutile.material_id
    assert near.material_id != rutile.material_id
    assert rutile.duplicates == (near.material_id,)
    assert rutile.sources == (f"{folder / 'a.cif'}#rutile", f"{folder / 'b.cif'}#rutile")
    (forces,) = report.given_forces
    assert forces.crystal.formula == "NaCl"


def test_importing_again_changes_nothing(database_uri, tmp_path):
    folder = folder_with_duplicates(tmp_path)
    with open_database(database_uri) as database:
        first = import_paths(database, [folder])
        before = sorted(map(repr, database.structures.query({})))
        second = import_paths(database, [folder])
        after = sorted(map(repr, database.structures.query({})))
    assert after == before
    assert second.material_ids == first.material_ids
    assert second.new_material_ids == ()


def test_an_import_killed_between_two_writes_is_completed(tmp_path):
    folder = folder_with_duplicates(tmp_path)
    with open_database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        report = import_paths(database, [folder])
        known = by_field("material_id", report.material_ids[0])
        document = StructureDocument.load(database.structures.query_one(known))
        database.structures.update([document.replaced(duplicates=()).to_store()])
        import_paths(database, [folder])
        healed = StructureDocument.load(database.structures.query_one(known))
    assert healed.duplicates == document.duplicates


def test_a_given_energy_reaches_the_document(tmp_path):
    folder = tmp_path / "crystals"
    folder.mkdir()
    (folder / "a.cif").write_text(hostile.CIF)
    (folder / "metadata.csv").write_text(
        "file,static_energy_ev_per_atom,energy_source,citation\na.cif,-8.9,PBE,Baur 1971\n"
    )
    with open_database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        (material_id,) = import_paths(database, [folder]).material_ids
        stored = database.structures.query_one(by_field("material_id", material_id))
    assert stored["static_energy_ev_per_atom"] == -8.9
    assert stored["static_energy_source"] == "PBE"
    assert stored["notes"][0] == "citation: Baur 1971"


def test_the_energy_of_a_near_duplicate_reaches_the_material_that_stands_for_it(tmp_path):
    folder = folder_with_duplicates(tmp_path)
    (folder / "metadata.csv").write_text(
        "file,static_energy_ev_per_atom,energy_source\nc.cif,-8.9,PBE\n"
    )
    with open_database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        rutile = import_paths(database, [folder]).material_ids[0]
        stored = database.structures.query_one(by_field("material_id", rutile))
        assert (stored["static_energy_ev_per_atom"], stored["static_energy_source"]) == (
            -8.9,
            "PBE",
        )
        (folder / "metadata.csv").write_text(
            "file,static_energy_ev_per_atom,energy_source\nc.cif,-8.8,SCAN\n"
        )
        import_paths(database, [folder])
        stored = database.structures.query_one(by_field("material_id", rutile))
    assert stored["static_energy_source"] == "PBE"
    assert [other["static_energy_source"] for other in stored["other_energies"]] == ["SCAN"]


def test_structures_from_elsewhere_are_stored_like_files(tmp_path):
    from stores.importers import Parsed

    blocks = iter([("one", Parsed(ROCKSALT)), ("two", Parsed(SILICON))])
    with open_database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        report = import_structures(database, iter_blocks("elsewhere", blocks))
    assert report.counts["new"] == 2


# ---------------------------------------------------------------- energies, labels, races


def test_energies_of_an_entry_are_those_of_its_functional(tmp_path):
    parameters = {"run_type": "GGA+U", "hubbards": {}}
    for name in ("mp-1", "mp-2"):
        entry = ComputedStructureEntry(ROCKSALT, -27.2, parameters=parameters, entry_id=name)
        (tmp_path / f"{name}.json").write_text(json.dumps(entry.as_dict()))
    items = read(tmp_path)
    assert [item.static_energy_source for item in items] == ["uncorrected GGA+U"] * 2


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("source='VASP 6, PBE'", "VASP 6, PBE"),
        ("calculator=vasp functional=PBE", "vasp, PBE"),
        ("config_type=rutile", None),
        ("calculator=3", None),
    ],
)
def test_frames_say_what_computed_them(tmp_path, text, source):
    frame = hostile._FRAME.replace("energy=-7.0", f"energy=-7.0 {text}")
    (tmp_path / "a.extxyz").write_text(frame + frame.replace("energy=", "free_energy="))
    energy, free_energy = read(tmp_path / "a.extxyz")
    assert energy.static_energy_source == (source or f"extxyz {tmp_path / 'a.extxyz'}")
    assert free_energy.static_energy_source in (
        source and f"{source}, free energy",
        energy.static_energy_source,
    )


@pytest.mark.parametrize(
    "name", ["TiO2", "Ti2_O4", "O2Ti", "image0", "structure", "generated", "rutile", "mp-2657"]
)
def test_formulas_and_words_of_programs_are_no_labels(tmp_path, name):
    (tmp_path / "a.cif").write_text(hostile.CIF.replace("data_rutile", f"data_{name}"))
    kept = {"rutile", "mp-2657", "generated"}
    assert only(tmp_path / "a.cif").label == (name if name in kept else None)


def test_comments_of_programs_are_no_labels(tmp_path):
    for comment in ("Zn S", "Zn1 S1", "generated by pymatgen", "POSCAR", "1"):
        (tmp_path / "POSCAR").write_text(hostile.POSCAR.replace("zincblende", comment))
        assert only(tmp_path / "POSCAR").label is None
    (tmp_path / "POSCAR").write_text(hostile.POSCAR)
    assert only(tmp_path / "POSCAR").label == "zincblende"


def test_the_table_of_a_folder_is_read_once_for_all_its_files(tmp_path, monkeypatch):
    from stores.importers import reading

    names = [f"{index}.cif" for index in range(20)]
    for name in names:
        (tmp_path / name).write_text(hostile.CIF)
    rows = "\n".join(f"{name},label of {name}" for name in names)
    (tmp_path / "metadata.csv").write_text(f"file,label\n{rows}\n")
    reads, listings = [], []
    table, listing = reading.read_metadata, Path.iterdir
    monkeypatch.setattr(reading, "read_metadata", lambda *a: reads.append(a) or table(*a))
    monkeypatch.setattr(Path, "iterdir", lambda path: listings.append(path) or listing(path))
    items = list(iter_structures([tmp_path / name for name in names]))
    assert [item.label for item in items] == [f"label of {name}" for name in names]
    assert (len(reads), len(listings)) == (1, 1)


def test_two_imports_at_once_lose_nothing(database_uri, tmp_path, monkeypatch):
    """Another process imports the same crystal between our reading and our writing."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.cif").write_text(hostile.CIF)
    (tmp_path / "metadata.csv").write_text(
        "file,static_energy_ev_per_atom,energy_source\nb.cif,-8.9,PBE\nc.cif,-8.8,SCAN\n"
    )
    with open_database(database_uri) as ours, open_database(database_uri) as theirs:
        structures = type(ours.structures)
        replace_if, insert_new = structures.replace_if, structures.insert_new
        others = iter([tmp_path / "b.cif", tmp_path / "c.cif"])

        def interrupted(write):
            def call(store, *args):
                if store is ours.structures and (other := next(others, None)):
                    import_paths(theirs, [other])
                return write(store, *args)

            return call

        monkeypatch.setattr(structures, "insert_new", interrupted(insert_new))
        monkeypatch.setattr(structures, "replace_if", interrupted(replace_if))
        (material_id,) = import_paths(ours, [tmp_path / "a.cif"]).material_ids
        known = by_field("material_id", material_id)
        document = StructureDocument.load(ours.structures.query_one(known))
    assert {Path(source).name for source in document.sources} == {
        f"{name}.cif#rutile" for name in "abc"
    }
    assert document.static_energy_source == "PBE"
    assert [other.static_energy_source for other in document.other_energies] == ["SCAN"]


def test_deep_json_is_refused_whatever_the_recursion_limit(tmp_path):
    limit = sys.getrecursionlimit()
    (tmp_path / "a.json").write_text('["[" , ' + "[" * 200_000)
    (tmp_path / "b.extxyz").write_text(
        hostile._FRAME.replace("energy=-7.0", 'a="_JSON ' + "[" * 90_000 + '"')
    )
    structure = {**hostile.structure_dict(), "note": "[" * 1000 + '\\"{'}
    (tmp_path / "c.json").write_text(json.dumps(structure))
    try:
        sys.setrecursionlimit(10**6)  # as symfc does, less far
        deep, frame, good = read(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert (deep.code, frame.code) == ("PARSE_ERROR", "PARSE_ERROR")
    assert "nested" in deep.message
    assert "nested" in frame.message
    assert good.crystal.formula == "MgO"
