"""Broken and hostile input files: seeded mutations of valid ones, and crafted attacks.

Every file that could run code would create the canary. `expected` is the code a file must be
rejected with; None where a mutation may be harmless.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

CIF = """data_rutile
_cell_length_a 4.5937
_cell_length_b 4.5937
_cell_length_c 2.9587
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 136
_space_group_name_H-M_alt 'P 42/m n m'
_chemical_formula_sum 'Ti O2'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Ti1 Ti4+ 0 0 0 1
O1 O2- 0.3053 0.3053 0 1
"""
POSCAR = """zincblende
1.0
0.0 2.7047 2.7047
2.7047 0.0 2.7047
2.7047 2.7047 0.0
Zn S
1 1
Direct
0.0 0.0 0.0
0.25 0.25 0.25
"""
_FRAME = """2
Lattice="0 2.82 2.82 2.82 0 2.82 2.82 2.82 0" Properties=species:S:1:pos:R:3:forces:R:3 energy=-7.0
Na 0 0 0 0 0 0
Cl 2.82 0 0 0 0 0
"""
EXTXYZ = _FRAME + _FRAME.replace("2.82", "2.90") + _FRAME.replace("2.82", "3.00")


def structure_dict(a: float = 4.2) -> dict:
    """A rocksalt cell as pymatgen writes it."""
    matrix = [[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": matrix, "pbc": [True, True, True]},
        "sites": [
            {"species": [{"element": "Mg", "occu": 1}], "abc": [0, 0, 0], "properties": {}},
            {"species": [{"element": "O", "occu": 1}], "abc": [0.5, 0.5, 0.5], "properties": {}},
        ],
    }


def optimade_entry(name: str, **changes: object) -> dict:
    """A rocksalt cell as an OPTIMADE provider answers."""
    attributes = {
        "lattice_vectors": [[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]],
        "cartesian_site_positions": [[0, 0, 0], [2.1, 2.1, 2.1]],
        "species_at_sites": ["Mg", "O"],
    }
    return {"id": name, "type": "structures", "attributes": attributes | changes}


def phonopy_dict(a: float = 5.64) -> dict:
    """A rocksalt primitive cell, its 2x2x2 supercell and two displacements with forces."""
    primitive = [[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]
    points = [("Na", [0.0, 0.0, 0.0]), ("Cl", [0.5, 0.5, 0.5])]
    images = [
        (symbol, [(x[0] + i) / 2, (x[1] + j) / 2, (x[2] + k) / 2])
        for symbol, x in points
        for k in range(2)
        for j in range(2)
        for i in range(2)
    ]
    displacements = []
    for atom in (0, 8):
        forces = [[0.0, 0.0, 0.0] for _ in images]
        forces[atom] = [-0.05, 0.0, 0.0]
        forces[8 - atom] = [0.05, 0.0, 0.0]
        displacements.append({"atom": atom + 1, "displacement": [0.01, 0.0, 0.0], "forces": forces})
    return {
        "phonopy": {"version": "4.8.6"},
        "physical_unit": {"length": "angstrom", "force": "eV/angstrom"},
        "primitive_cell": _yaml_cell(primitive, points),
        "supercell": _yaml_cell([[2 * x for x in row] for row in primitive], images),
        "displacements": displacements,
    }


def _yaml_cell(lattice: list, points: list) -> dict:
    return {
        "lattice": lattice,
        "points": [{"symbol": symbol, "coordinates": x} for symbol, x in points],
    }


def dump_yaml(data: object) -> str:
    """Plain yaml without aliases."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    return yaml.dump(data, Dumper=Dumper)


JSON = json.dumps([structure_dict(4.2), structure_dict(4.4)], indent=0)
YAML = dump_yaml(phonopy_dict())
SEEDS = {
    "rutile.cif": CIF,
    "zincblende.vasp": POSCAR,
    "frames.extxyz": EXTXYZ,
    "list.json": JSON,
    "phonopy.yaml": YAML,
}


@dataclass(frozen=True)
class Hostile:
    """A file, and the code it must be rejected with (None: a typed error or a structure)."""

    path: Path
    expected: str | None


# ----------------------------------------------------------------- mutations


def _delete(lines: list[str], rng: random.Random) -> list[str]:
    index = rng.randrange(len(lines))
    return lines[:index] + lines[index + 1 :]


def _swap(lines: list[str], rng: random.Random) -> list[str]:
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines = list(lines)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def _duplicate(lines: list[str], rng: random.Random) -> list[str]:
    index = rng.randrange(len(lines))
    return lines[: index + 1] + lines[index:]


def _truncate(lines: list[str], rng: random.Random) -> list[str]:
    text = "\n".join(lines)
    return text[: rng.randrange(1, len(text))].split("\n")


def _replace_word(words: tuple[str, ...]) -> Callable[[list[str], random.Random], list[str]]:
    def mutate(lines: list[str], rng: random.Random) -> list[str]:
        index = rng.choice([i for i, line in enumerate(lines) if line.split()])
        parts = lines[index].split(" ")
        parts[rng.randrange(len(parts))] = rng.choice(words)
        return [*lines[:index], " ".join(parts), *lines[index + 1 :]]

    return mutate


def _flip(lines: list[str], rng: random.Random) -> list[str]:
    text = list("\n".join(lines))
    for _ in range(3):
        text[rng.randrange(len(text))] = chr(rng.randrange(32, 127))
    return "".join(text).split("\n")


MUTATIONS: dict[str, Callable[[list[str], random.Random], list[str]]] = {
    "delete": _delete,
    "swap": _swap,
    "duplicate": _duplicate,
    "truncate": _truncate,
    "number": _replace_word(("nan", "inf", "-inf", "1e308", "99999999999", "-1", "0", "1e-300")),
    "word": _replace_word(("X", "NH3", "''", "\x1b[31m", "$(touch canary)", "é", "{", "]", "0.5")),
    "flip": _flip,
}


def mutated(folder: Path, rounds: int, seed: int = 20) -> Iterator[Hostile]:
    """Mutations of every seed."""
    rng = random.Random(seed)
    for turn in range(rounds):
        for kind, mutate in MUTATIONS.items():
            for name, text in SEEDS.items():
                path = folder / f"{kind}-{turn}-{name}"
                path.write_text("\n".join(mutate(text.split("\n"), rng)), encoding="utf-8")
                yield Hostile(path, None)


# ----------------------------------------------------------------- crafted files


def crafted(folder: Path, canary: Path) -> Iterator[Hostile]:
    """Attacks and faults that must be rejected with a certain code."""
    for name, content, code in [
        *_texts(),
        *_cifs(canary),
        *_poscars(),
        *_extxyz(),
        *_jsons(canary),
        *_yamls(canary),
        *_compressed(),
        *_archives(canary),
    ]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        yield Hostile(path, code)
    yield from _special(folder)


Case = tuple[str, str | bytes, str | None]


def _texts() -> Iterator[Case]:
    for name in SEEDS:
        yield f"empty-{name}", b"", "PARSE_ERROR"
        yield f"binary-{name}", random.Random(1).randbytes(300) + b"\0", "PARSE_ERROR"
    for name, text in SEEDS.items():
        yield f"bom-{name}", b"\xef\xbb\xbf" + text.encode(), None
        yield f"crlf-{name}", text.replace("\n", "\r\n").encode(), None
        yield f"utf16-{name}", text.encode("utf-16"), None
        yield f"other-{name}", next(t for n, t in SEEDS.items() if n != name), "PARSE_ERROR"


def _cifs(canary: Path) -> Iterator[Case]:
    def changed(old: str, new: str) -> str:
        assert old in CIF
        return CIF.replace(old, new)

    attack = (
        "_space_group_magn.transform_BNS_Pp_abc 'a,b,[d for d in ().__class__.__mro__[1]"
        f'.__getattribute__ ( *[().__class__.__mro__[1]]+["__sub" + "classes__"]) () if d.__name__ '
        f'== "BuiltinImporter"][0].load_module ("os").system ("touch {canary}");0,0,0\'\n'
        "_space_group_magn.number_BNS 62.448\n_space_group_magn.name_BNS \"P n' m a' \"\n"
    )
    yield "code.cif", CIF + attack, None
    yield (
        "code-symop.cif",
        CIF + f"_symmetry_equiv_pos_as_xyz \"__import__('os').system('touch {canary}'),y,z\"\n",
        "PARSE_ERROR",
    )
    yield "partial.cif", changed("0 1\nO1", "0 0.5\nO1"), "DISORDERED"
    yield "shared.cif", CIF + "Zr1 Zr4+ 0 0 0 1\n", "DISORDERED"
    yield "nh3.cif", changed("Ti1 Ti4+", "NH3 NH3"), "SUSPICIOUS_SPECIES"
    yield "water.cif", changed("O1 O2-", "OW OW"), "SUSPICIOUS_SPECIES"
    yield "dummy.cif", changed("O1 O2-", "X1 X"), "SUSPICIOUS_SPECIES"
    yield "deuterium.cif", changed("O1 O2-", "D1 D").replace("'Ti O2'", "?"), "SUSPICIOUS_SPECIES"
    yield "uppercase.cif", changed("Ti1 Ti4+", "TI1 TI"), "SUSPICIOUS_SPECIES"
    yield "missing.cif", changed("O1 O2- 0.3053 0.3053 0 1\n", ""), "INCONSISTENT_DATA"
    yield "formula.cif", changed("Ti O2", "Ti O2 H"), "INCONSISTENT_DATA"
    yield "no-cell.cif", changed("_cell_length_b 4.5937\n", ""), "PARSE_ERROR"
    yield "no-position.cif", changed("0.3053 0.3053 0", "? ? ?"), "PARSE_ERROR"
    yield "nan.cif", changed("0.3053 0.3053", "nan 0.3053"), "NONFINITE_INPUT"
    yield "zero.cif", changed("_cell_length_c 2.9587", "_cell_length_c 0"), "CELL_DEGENERATE"
    yield "needle.cif", changed("_cell_length_c 2.9587", "_cell_length_c 1e5"), None
    yield "angle.cif", changed("_cell_angle_gamma 90", "_cell_angle_gamma 180"), "CELL_DEGENERATE"
    yield "group.cif", changed("'P 42/m n m'", "'P 99/x'"), "PARSE_ERROR"
    yield "origin.cif", changed("'P 42/m n m'", "'F d -3 m'"), "PARSE_ERROR"
    yield "misfit.cif", changed("_cell_length_b 4.5937", "_cell_length_b 4.9"), "INCONSISTENT_DATA"
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,z'\n'x+1/2,-y,z'\n"
    yield "no-group.cif", CIF + operations, "INCONSISTENT_DATA"
    yield "quote.cif", changed("'Ti O2'", "'Ti O2"), "PARSE_ERROR"
    yield "text.cif", CIF + ";\nnever closed\n", "PARSE_ERROR"
    yield "loop.cif", changed("O1 O2- 0.3053 0.3053 0 1", "O1 O2- 0.3053 0.3053 0"), "PARSE_ERROR"
    yield "twice.cif", CIF + "_cell_length_a 5.0\n", "PARSE_ERROR"
    yield "long.cif", CIF + "# " + "x" * 100_000 + "\n", "TOO_LARGE"
    yield "quotes.cif", CIF + ("_a " + "'" * 15_000 + "x\n") * 50, "TOO_LARGE"
    yield "parentheses.cif", changed("Ti O2", "(" * 5000 + "TiO2" + ")2" * 5000), None
    rows = "".join(f"O{i} O 0.{i:05d} 0.1 0.2 1\n" for i in range(1, 30_000))
    yield "many.cif", CIF + rows, "TOO_LARGE"
    yield "blank.cif", CIF + "\n" * 2_000_000 + "_a 1\n", None
    yield "lines.cif", CIF + "loop_\n_a\n" + "x\n" * 1_100_000, "TOO_LARGE"


def _poscars() -> Iterator[Case]:
    def changed(old: str, new: str) -> str:
        assert old in POSCAR
        return POSCAR.replace(old, new, 1)

    yield "count.vasp", changed("1 1\n", "1 99999999999\n"), "TOO_LARGE"
    yield "negative.vasp", changed("1 1\n", "1 -1\n"), "PARSE_ERROR"
    yield "few.vasp", changed("1 1\n", "1 2\n"), "PARSE_ERROR"
    yield "more.vasp", changed("1 1\n", "1 0\n"), "PARSE_ERROR"
    yield "vasp4.vasp", changed("Zn S\n", ""), "PARSE_ERROR"
    yield "nh3.vasp", changed("Zn S", "Zn NH3"), "SUSPICIOUS_SPECIES"
    yield "nihonium.vasp", changed("Zn S", "Zn Nh"), "SUSPICIOUS_SPECIES"
    yield "nan.vasp", changed("0.25 0.25 0.25", "nan 0.25 0.25"), "NONFINITE_INPUT"
    yield "inf.vasp", changed("0.0 2.7047 2.7047", "inf 2.7047 2.7047"), "NONFINITE_INPUT"
    yield "scale.vasp", changed("1.0\n", "0.0\n"), "CELL_DEGENERATE"
    yield "bohr.vasp", changed("1.0\n", "1e-3\n"), "CELL_DEGENERATE"
    yield "huge.vasp", changed("1.0\n", "1e200\n"), "CELL_DEGENERATE"
    yield "flat.vasp", changed("2.7047 2.7047 0.0", "2.7047 2.7047 5.4094"), "CELL_DEGENERATE"
    yield "overlap.vasp", changed("0.25 0.25 0.25", "0.99 0.0 0.0"), "OVERLAP"
    yield "same.vasp", changed("0.25 0.25 0.25", "1.0 0.0 -1.0"), "OVERLAP"
    yield "far.vasp", changed("0.25 0.25 0.25", "1e300 0.25 0.25"), "TOO_LARGE"
    yield "slab.vasp", changed("0.0 2.7047 2.7047", "0.0 27.047 27.047"), None
    box = "box\n1\n20 0 0\n0 20 0\n0 0 20\nO H\n1 2\nCartesian\n0 0 0\n0.76 0.59 0\n-0.76 0.59 0\n"
    yield "molecule.vasp", box, "NOT_PERIODIC"


def _extxyz() -> Iterator[Case]:
    def changed(old: str, new: str) -> str:
        assert old in _FRAME
        return _FRAME.replace(old, new, 1)

    yield "count.extxyz", changed("2\n", "99999999999\n"), "TOO_LARGE"
    yield "digits.extxyz", changed("2\n", "9" * 5000 + "\n"), "PARSE_ERROR"
    yield "few.extxyz", changed("2\n", "3\n"), "PARSE_ERROR"
    yield "columns.extxyz", changed("pos:R:3", "pos:R:999999999"), "PARSE_ERROR"
    yield "no-lattice.extxyz", changed("Lattice", "Latice"), "NOT_PERIODIC"
    yield "slab.extxyz", changed("energy", 'pbc="T T F" energy'), "NOT_PERIODIC"
    yield "nan.extxyz", changed("Cl 2.82", "Cl nan"), "NONFINITE_INPUT"
    yield "nan-force.extxyz", changed("Na 0 0 0 0", "Na 0 0 0 nan"), "NONFINITE_INPUT"
    yield "nan-energy.extxyz", changed("energy=-7.0", "energy=nan"), "NONFINITE_INPUT"
    yield "dummy.extxyz", changed("Na", "X"), "SUSPICIOUS_SPECIES"
    yield "monoxide.extxyz", changed("Na", "CO"), "SUSPICIOUS_SPECIES"
    yield "zero.extxyz", changed("0 2.82 2.82 2.82 0 2.82 2.82 2.82 0", "0 " * 9), "CELL_DEGENERATE"
    yield "overlap.extxyz", changed("Cl 2.82", "Cl 0.1"), "OVERLAP"
    yield "json.extxyz", changed("energy=-7.0", 'a="_JSON ' + "[" * 50_000 + '"'), None
    yield "comment.extxyz", changed("energy=-7.0", "a=" + "(" * 200_000), "TOO_LARGE"


def _jsons(canary: Path) -> Iterator[Case]:
    call = {"@module": "os", "@callable": "system", "args": [f"touch {canary}"]}
    init = {"@module": "subprocess", "@class": "Popen", "args": ["touch", str(canary)]}
    bound = {"@module": "builtins", "@callable": "exec", "@bound": f"open('{canary}','w')"}
    for index, attack in enumerate((call, init, bound)):
        yield f"code-{index}.json", json.dumps(attack), "PARSE_ERROR"
        structure = structure_dict()
        structure["sites"][0]["properties"] = {"magmom": attack}
        yield f"code-site-{index}.json", json.dumps(structure), None
        structure = structure_dict()
        structure["lattice"]["matrix"] = attack
        yield f"code-lattice-{index}.json", json.dumps(structure), "PARSE_ERROR"
        structure = structure_dict()
        structure["sites"][0]["species"][0]["element"] = attack
        yield f"code-element-{index}.json", json.dumps(structure), "PARSE_ERROR"
        yield f"code-entry-{index}.json", json.dumps({**attack, "structure": attack}), "PARSE_ERROR"
    yield "deep.json", "[" * 200_000, "PARSE_ERROR"
    yield "deep-object.json", '{"a":' * 100_000, "PARSE_ERROR"
    yield "digits.json", '{"lattice": ' + "9" * 10_000 + "}", "PARSE_ERROR"
    yield "nan.json", json.dumps(structure_dict(float("nan"))), "NONFINITE_INPUT"
    yield "overflow.json", json.dumps(structure_dict()).replace("4.2", "1e999"), None
    structure = structure_dict()
    structure["sites"][0]["species"][0]["occu"] = 0.5
    yield "partial.json", json.dumps(structure), "DISORDERED"
    structure = structure_dict()
    structure["lattice"]["pbc"] = [True, True, False]
    yield "slab.json", json.dumps(structure), "NOT_PERIODIC"
    structure = structure_dict()
    structure["sites"] *= 100_000
    yield "many.json", json.dumps(structure), "TOO_LARGE"
    yield "molecule.json", json.dumps({"structure": {"sites": []}}), "NOT_PERIODIC"
    structure = structure_dict()
    structure["lattice"]["matrix"] = [[1, 2], [3, 4]]
    yield "shape.json", json.dumps(structure), "PARSE_ERROR"
    structure = structure_dict()
    structure["lattice"]["pbc"] = 5
    yield "pbc.json", json.dumps([structure, structure_dict()]), None
    species = [{"name": "Mg", "chemical_symbols": 5}]
    entries = [optimade_entry("bad", species=species), optimade_entry("good")]
    yield "symbols.json", json.dumps({"data": entries}), None


def _yamls(canary: Path) -> Iterator[Case]:
    touch = f"touch {canary}"
    for index, attack in enumerate(
        (
            f"!!python/object/apply:os.system ['{touch}']",
            f"!!python/object/new:os.system ['{touch}']",
            f"!!python/object/apply:subprocess.Popen [[touch, '{canary}']]",
            f"!!python/object/apply:builtins.exec [\"open('{canary}','w')\"]",
            "!!python/name:os.system",
            "!!python/module:os",
            f"!<tag:yaml.org,2002:python/object/apply:os.system> ['{touch}']",
        )
    ):
        yield f"code-{index}.yaml", f"phonopy: {attack}\n{YAML}", "PARSE_ERROR"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    yield "bomb.yaml", bomb, "PARSE_ERROR"
    yield "merge.yaml", "base: &base {a: 1}\n<<: *base\n", "PARSE_ERROR"
    yield "self.yaml", "a: &a [*a]\n", "PARSE_ERROR"
    yield "deep.yaml", "a: " + "[" * 90_000, "PARSE_ERROR"
    yield "deep-lines.yaml", "[\n" * 100_000, "PARSE_ERROR"
    yield "deep-block.yaml", "- " * 40_000 + "a", "PARSE_ERROR"
    yield "deep-keys.yaml", "? " * 40_000 + "a", "PARSE_ERROR"
    data = phonopy_dict()
    data["physical_unit"]["length"] = "au"
    yield "bohr.yaml", dump_yaml(data), "INCONSISTENT_DATA"
    data = phonopy_dict()
    data["displacements"][0]["forces"][3][1] = float("nan")
    yield "nan-force.yaml", dump_yaml(data), None
    data = phonopy_dict()
    data["displacements"][0]["forces"].pop()
    yield "missing-force.yaml", dump_yaml(data), None
    data = phonopy_dict()
    data["primitive_cell"]["points"][0]["coordinates"][0] = float("inf")
    yield "inf.yaml", dump_yaml(data), "NONFINITE_INPUT"
    data = phonopy_dict()
    data["primitive_cell"]["points"] *= 2000
    yield "many.yaml", dump_yaml(data), "TOO_LARGE"


def _compressed() -> Iterator[Case]:
    bomb = b" " * 12_000_000
    yield "bomb.json.gz", gzip.compress(bomb, 9), "TOO_LARGE"
    yield "bomb.cif.bz2", bz2.compress(bomb), "TOO_LARGE"
    yield "bomb.yaml.xz", lzma.compress(bomb), "TOO_LARGE"
    yield "cut.json.gz", gzip.compress(JSON.encode())[:-20], "PARSE_ERROR"
    yield "fake.yaml.xz", YAML, "PARSE_ERROR"


def _zip(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return stream.getvalue()


def _tar(*members: tuple[str, bytes], mode: str = "w", **fields: object) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _archives(canary: Path) -> Iterator[Case]:
    good = ("rutile.cif", CIF.encode())
    out = canary.name
    for index, name in enumerate(
        (
            f"../{out}.cif",
            f"/tmp/{out}.cif",
            f"a/../../{out}.cif",
            f"C:\\{out}.cif",
            f"..\\{out}.cif",
        )
    ):
        yield f"escape-{index}.zip", _zip(good, (name, CIF.encode())), "ARCHIVE_REFUSED"
        yield (
            f"escape-{index}.tar.gz",
            _tar(good, (name, CIF.encode()), mode="w:gz"),
            "ARCHIVE_REFUSED",
        )
    yield "link.zip", _zip(("a.cif", b"/etc/passwd"), mode=0o120777), "ARCHIVE_REFUSED"
    for index, kind in enumerate(
        (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    ):
        data = _tar(("a.cif", b""), type=kind, linkname="/etc/passwd")
        yield f"link-{index}.tar", data, "ARCHIVE_REFUSED"
    yield "bomb.zip", _zip(("a.cif", b" " * 12_000_000)), "ARCHIVE_REFUSED"
    yield "bomb.tar.gz", _tar(("a.cif", b" " * 12_000_000), mode="w:gz"), "ARCHIVE_REFUSED"
    yield "bomb.tar.xz", _tar(("a.cif", b" " * 12_000_000), mode="w:xz"), "ARCHIVE_REFUSED"
    yield "nested.zip", _zip(("b.zip", _zip(good))), "ARCHIVE_REFUSED"
    many = [(f"{i}.cif", b"") for i in range(10_001)]
    yield "many.zip", _zip(*many), "ARCHIVE_REFUSED"
    yield "many.tar", _tar(*many), "ARCHIVE_REFUSED"
    yield "cut.zip", _zip(good)[:-30], "ARCHIVE_REFUSED"
    yield "cut.tar.gz", _tar(good, mode="w:gz")[:-30], "ARCHIVE_REFUSED"
    yield "fake.zip", CIF, "ARCHIVE_REFUSED"
    yield "fake.tar", CIF * 20, "ARCHIVE_REFUSED"
    lying = bytearray(_zip(("a.cif", b" " * 100_000)))
    where = lying.rfind(b"PK\x01\x02") + 24
    lying[where : where + 4] = struct.pack("<I", 10)
    yield "lying.zip", bytes(lying), "ARCHIVE_REFUSED"


def _special(folder: Path) -> Iterator[Hostile]:
    """Files that are none, and names that try to be more than names."""
    os.mkfifo(folder / "pipe.cif")
    yield Hostile(folder / "pipe.cif", "PARSE_ERROR")
    (folder / "endless.cif").symlink_to("/dev/zero")
    yield Hostile(folder / "endless.cif", "PARSE_ERROR")
    (folder / "full.json").symlink_to("/dev/full")
    yield Hostile(folder / "full.json", "PARSE_ERROR")
    (folder / "dangling.cif").symlink_to(folder / "nowhere.cif")
    yield Hostile(folder / "dangling.cif", "PARSE_ERROR")
    for name in (
        b"new\nline.cif",
        b"$(touch canary).cif",
        b"`touch canary`;.cif",
        b"\x1b[31mred.cif",
        b"\xff\xfe.cif",
        "\u202eright-to-left.cif".encode(),
        b"--option.cif",
        b"%s%n{0}.cif",
        b"n" * 250 + b".cif",
    ):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.write_text("data_x\nno cif\n")
        yield Hostile(path, "PARSE_ERROR")
