"""OPTIMADE and the Materials Project, from stored answers; no network."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import ServiceUnavailableError
from screening.structure import canonical_crystal
from stores.importers import (
    ReadLimits,
    ReadStructure,
    fetch_materials_project,
    fetch_optimade,
    iter_blocks,
    iter_structures,
)

ROCKSALT = Structure(
    Lattice([[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]),
    ["Na", "Cl"],
    [[0, 0, 0], [0.5, 0.5, 0.5]],
)


def entry(name: str, **changes: object) -> dict:
    attributes = {
        "chemical_formula_reduced": "ClNa",
        "dimension_types": [1, 1, 1],
        "lattice_vectors": ROCKSALT.lattice.matrix.tolist(),
        "cartesian_site_positions": ROCKSALT.cart_coords.tolist(),
        "species": [
            {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]},
            {"name": "chloride", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ],
        "species_at_sites": ["Na", "chloride"],
    }
    return {"id": name, "type": "structures", "attributes": attributes | changes}


def test_a_stored_response_is_read(tmp_path):
    alloy = [{"name": "Na", "chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}]
    bad = [
        entry("alloy", species=alloy),
        entry("slab", dimension_types=[1, 1, 0]),
        entry("nan", lattice_vectors=None),
        entry("vacancy", species_at_sites=["vacancy", "Na"]),
        {"id": "empty", "type": "structures"},
        entry("odd", species=[{"name": "Na", "chemical_symbols": 5}]),
    ]
    (tmp_path / "response.json").write_text(
        json.dumps({"data": [entry("one"), *bad, entry("last")]})
    )
    good, *rejections, last = iter_structures([tmp_path / "response.json"])
    assert last.crystal.digest == good.crystal.digest
    assert good.crystal.digest == canonical_crystal(ROCKSALT).digest
    assert (good.block, good.label) == ("one", "one")
    assert [(item.block, item.code) for item in rejections] == [
        ("alloy", "DISORDERED"),
        ("slab", "NOT_PERIODIC"),
        ("nan", "PARSE_ERROR"),
        ("vacancy", "SUSPICIOUS_SPECIES"),
        ("empty", "PARSE_ERROR"),
        ("odd", "PARSE_ERROR"),
    ]


def test_pages_are_asked_for_as_they_are_consumed():
    asked = []
    pages = {
        "first": {"data": [entry("a"), entry("b")], "links": {"next": "/v1/structures?page=2"}},
        "second": {"data": [entry("c")], "links": {"next": None}},
    }

    def get(url: str) -> object:
        asked.append(url)
        return pages["second" if "page=2" in url else "first"]

    blocks = fetch_optimade("https://example.org/v1", 'elements HAS "Na"', ReadLimits(), get=get)
    items = iter_blocks("example", blocks)
    assert next(items).block == "a"
    assert len(asked) == 1
    assert "filter=elements+HAS+%22Na%22" in asked[0]
    assert [item.block for item in items] == ["b", "c"]
    assert asked[1] == "https://example.org/v1/structures?page=2"


def test_a_next_page_on_another_server_is_not_followed():
    page = {"data": [entry("a")], "links": {"next": {"href": "http://10.0.0.1/secret"}}}
    blocks = fetch_optimade("https://example.org/v1", "", ReadLimits(), get=lambda _: page)
    with pytest.raises(ServiceUnavailableError, match="another server"):
        list(blocks)


def test_without_a_network_the_error_says_so(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ServiceUnavailableError) as caught:
        next(fetch_optimade("https://example.org/v1", "", ReadLimits()))
    assert caught.value.code == "OFFLINE"
    (rejection,) = iter_blocks("x", fetch_optimade("file:///etc", "", ReadLimits()))
    assert rejection.code == "OFFLINE"


class FakeRester:
    """What `MPRester` does, for two materials."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.materials = SimpleNamespace(summary=self, thermo=SimpleNamespace(search=self.thermo))

    def search(self, **criteria: object) -> list[SimpleNamespace]:
        self.asked.append(criteria)
        ids = criteria.get("material_ids", ["mp-2", "mp-1"])
        return [SimpleNamespace(material_id=name, structure=ROCKSALT) for name in ids]

    def thermo(self, **criteria: object) -> list[SimpleNamespace]:
        assert criteria["thermo_types"] == ["GGA_GGA+U"]
        return [
            SimpleNamespace(material_id=name, uncorrected_energy_per_atom=-3.4, energy_type="GGA+U")
            for name in criteria["material_ids"]
            if name != "mp-3"
        ]


def test_the_materials_project_gives_structures_and_energies():
    rester = FakeRester()
    blocks = fetch_materials_project("key", client=rester, batch_size=1, formula="NaCl")
    items = list(iter_blocks("Materials Project", blocks))
    assert all(isinstance(item, ReadStructure) for item in items)
    assert [item.block for item in items] == ["mp-1", "mp-2"]
    # One source for all: energies of another source are not compared.
    assert {item.static_energy_source for item in items} == {"Materials Project, uncorrected GGA+U"}
    assert items[0].notes == ("Materials Project mp-1",)
    assert len(rester.asked) == 3


def test_an_energy_of_an_unknown_functional_is_left_out():
    blocks = fetch_materials_project("key", client=FakeRester(), material_ids=["mp-3"])
    (item,) = iter_blocks("Materials Project", blocks)
    assert item.label == "mp-3"
    assert item.static_energy_ev_per_atom is None


def test_the_key_is_never_in_an_error():
    class Broken(FakeRester):
        def search(self, **_: object) -> list[SimpleNamespace]:
            raise ConnectionError("no route with key SECRET")

    with pytest.raises(ServiceUnavailableError) as caught:
        list(fetch_materials_project("SECRET", client=Broken(), formula="NaCl"))
    assert "SECRET" not in str(caught.value)


def test_the_client_is_optional(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(ServiceUnavailableError, match="not installed"):
        next(fetch_materials_project("key", formula="NaCl"))
