"""What comes with imported structures: forces become predictions, energies rank."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from flows.imports import fetch_structures, import_structures
from flows.local import Crew
from flows.run import screen
from screening.comparison import EnergyKind
from stores.connect import open_database
from stores.documents import PolymorphsDocument, PredictionDocument, StructureDocument
from stores.query import by_field

_PATH = Path(__file__).parents[1] / "stores" / "hostile.py"
_spec = importlib.util.spec_from_file_location("seeds", _PATH)
seeds = importlib.util.module_from_spec(_spec)
with pytest.MonkeyPatch.context() as _patch:
    _patch.setitem(sys.modules, "seeds", seeds)
    _spec.loader.exec_module(seeds)

EDGE_ANGSTROM = 5.64


def rocksalt(scale: float) -> Structure:
    lattice = Lattice.cubic(EDGE_ANGSTROM * scale)
    return Structure.from_spacegroup("Fm-3m", lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def forces(tmp_path: Path) -> Path:
    """Forces of displaced supercells of rocksalt."""
    path = tmp_path / "forces.yaml"
    path.write_text(seeds.dump_yaml(seeds.phonopy_dict(EDGE_ANGSTROM)))
    return path


def test_given_forces_of_a_near_duplicate_belong_to_the_material_that_stands_for_it(
    uri, tmp_path, forces
):
    rocksalt(1.0003).to(tmp_path / "scaled.cif")
    (material_id,) = import_structures(uri, [tmp_path / "scaled.cif"]).material_ids
    imported = import_structures(uri, [forces])
    assert imported.material_ids == (material_id,)
    assert [(event.material_id, str(event.outcome)) for event in imported.given] == [
        (material_id, "computed")
    ]
    with open_database(uri) as database:
        (prediction,) = map(PredictionDocument.load, database.predictions.query({}))
        twin = StructureDocument.load(
            database.structures.query_one(by_field("duplicate_of", material_id))
        )
    assert prediction.material_id == material_id != twin.material_id
    assert prediction.structure_digest == twin.structure_digest


def test_an_import_of_forces_is_summarised_at_once(uri, forces):
    (material_id,) = import_structures(uri, [forces]).material_ids
    with open_database(uri) as database:
        (summary,) = database.vibrational.query({})
    assert summary["material_id"] == material_id
    assert summary["method"] == "given-forces"
    (again,) = import_structures(uri, [forces]).given
    assert str(again.outcome) == "already_done"
    with open_database(uri) as database:
        assert list(database.vibrational.query({})) == [summary]


def test_forces_carry_the_name_of_what_computed_them(uri, tmp_path):
    data = seeds.phonopy_dict(EDGE_ANGSTROM) | {"phonopy": {"configuration": {"model": "mace:x"}}}
    (tmp_path / "forces.yaml").write_text(seeds.dump_yaml(data))
    import_structures(uri, [tmp_path / "forces.yaml"])
    with open_database(uri) as database:
        (summary,) = database.vibrational.query({})
    assert (summary["method"], summary["model"]) == ("given-forces", "mace:x")


@pytest.mark.parametrize(("distance", "n_new"), [(None, 2), (1.0, 1)])
def test_structures_that_look_alike_are_one_where_that_is_asked(
    tmp_path, phonoscreen, distance, n_new
):
    for scale in (1.0, 1.002):
        rocksalt(scale).to(tmp_path / f"{scale}.cif")
    asked = () if distance is None else ("--fingerprint-distance", distance)
    code, out, _ = phonoscreen(
        "import", tmp_path / "1.0.cif", tmp_path / "1.002.cif", *asked, "--json"
    )
    assert code == 0
    report = json.loads(out)
    assert (len(report["new_material_ids"]), len(report["duplicates"])) == (n_new, 2 - n_new)


def polymorphs() -> dict[str, tuple[Structure, float]]:
    """Three stackings of copper, all dynamically stable, and energies in eV/atom."""
    a, c = 2.553, 2.0846  # distance of neighbours and of close-packed layers, Å
    height = {"ABC": 3, "AB": 2, "ABAC": 4}
    places = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    energies = {"ABC": -3.70, "AB": -3.69, "ABAC": -3.695}
    return {
        stacking: (
            Structure(
                Lattice.hexagonal(a, c * n),
                ["Cu"] * n,
                [(*places[layer], i / n) for i, layer in enumerate(stacking)],
            ),
            energies[stacking],
        )
        for stacking, n in height.items()
    }


def from_json(uri: str, folder: Path, _: pytest.MonkeyPatch) -> tuple[str, ...]:
    for name, (structure, energy) in polymorphs().items():
        parameters = {"run_type": "GGA"}
        entry = ComputedStructureEntry(
            structure, energy * len(structure), parameters=parameters, entry_id=f"mp-{name}"
        )
        (folder / f"{name}.json").write_text(json.dumps(entry.as_dict()))
    return import_structures(uri, [folder]).material_ids


def from_extxyz(uri: str, folder: Path, _: pytest.MonkeyPatch) -> tuple[str, ...]:
    for name, (structure, energy) in polymorphs().items():
        atoms = structure.to_ase_atoms()
        atoms.info = {"source": "PBE", "energy": energy * len(structure), "config_type": name}
        atoms.write(folder / "all.extxyz", format="extxyz", append=True)
    return import_structures(uri, [folder]).material_ids


def from_materials_project(uri: str, _: Path, patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    known = {f"mp-{i}": found for i, found in enumerate(polymorphs().values(), start=1)}

    def summary(**_: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(material_id=k, structure=v[0]) for k, v in known.items()]

    def thermo(**_: object) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(material_id=k, uncorrected_energy_per_atom=v[1], energy_type="GGA")
            for k, v in known.items()
        ]

    endpoints = {"summary": summary, "thermo": thermo}
    served = {name: SimpleNamespace(search=search) for name, search in endpoints.items()}
    rester = SimpleNamespace(materials=SimpleNamespace(**served))
    patch.setattr("stores.importers.materials_project._client", lambda _: rester)
    return fetch_structures(uri, "Cu", None, "key", limit=10).material_ids


@pytest.mark.parametrize(
    ("load", "source"),
    [
        (from_json, "uncorrected GGA"),
        (from_extxyz, "PBE"),
        (from_materials_project, "Materials Project, uncorrected GGA"),
    ],
)
def test_polymorphs_of_one_source_are_ranked_by_its_energies(
    uri, tmp_path, maker, monkeypatch, load, source
):
    folder = tmp_path / "phases"
    folder.mkdir()
    names = load(uri, folder, monkeypatch)
    screen(uri, names, maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        (stored,) = database.polymorphs.query({})
    ranking = PolymorphsDocument.load(stored)
    assert (ranking.energy_kind, ranking.energy_source) == (EnergyKind.GIVEN, source)
    energies = sorted(one.relative_static_energy_mev_per_atom for one in ranking.polymorphs)
    assert energies == pytest.approx([0.0, 5.0, 10.0])
