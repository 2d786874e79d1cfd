"""Searches at random: drawn once, longer with nothing twice, minima as materials of their own."""

import pytest

from flows.local import Crew
from flows.predictors import cached_predictor
from flows.run import screen
from flows.searching import (
    SearchTask,
    search_maker,
    search_settings,
    store_minima,
    store_minima_of,
    store_random_crystals,
)
from screening.errors import NotFoundError, SettingError
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from stores.connect import open_database
from stores.documents import PredictionDocument

EMT = "ase.calculators.emt.EMT"


def test_drawing_again_adds_nothing_and_a_longer_search_keeps_the_shorter(uri):
    task = SearchTask("Cu1 Au1", 30.0, 4)
    first = store_random_crystals(uri, task)
    assert store_random_crystals(uri, task) == first
    assert store_random_crystals(uri, SearchTask("Cu1 Au1", 30.0, 6), 0, 4) == first
    halves = [store_random_crystals(uri, task, *one) for one in ((0, 2), (2, 4))]
    assert sorted(name for half in halves for name in half) == list(first)
    with open_database(uri, read_only=True) as database:
        assert database.structures.count() == 4


def test_hessians_of_a_search_are_those_of_the_cell():
    settings = search_settings(10)
    assert settings.phonons.supercell.max_atoms == 10
    assert ScreeningSettings.from_dict(settings.as_dict()) == settings


@pytest.mark.parametrize(
    "changes", [{"count": 0}, {"volume_angstrom3": -1.0}, {"composition": "Qq2"}, {"seed": -1}]
)
def test_a_search_that_makes_no_sense_is_refused(changes):
    with pytest.raises(SettingError):
        SearchTask(**{"composition": "Cu1", "volume_angstrom3": 12.0, "count": 1} | changes)


def test_only_what_is_missing_is_drawn(uri, monkeypatch):
    from screening import random_packing

    drawn = []
    sound = random_packing.random_crystal

    def counted(composition, volume, index, seed):
        drawn.append(index)
        return sound(composition, volume, index, seed)

    monkeypatch.setattr(random_packing, "random_crystal", counted)
    store_random_crystals(uri, SearchTask("Cu1 Au1", 30.0, 6), 4, 6)
    assert drawn == [4, 5]
    drawn.clear()
    store_random_crystals(uri, SearchTask("Cu1 Au1", 30.0, 6), 3, 6)
    assert drawn == [3]


def quick(n_atoms):
    plain = search_settings(n_atoms).as_dict()
    plain["relaxation"]["stress_tolerance_gpa"] = 0.1
    plain["thermodynamics"]["temperatures_k"] = [0.0, 300.0, 1000.0]
    return ScreeningSettings.from_dict(plain)


def test_relaxed_crystals_become_materials_that_lie_lower(uri):
    task = SearchTask("Cu1", 12.0, 2)
    names = store_random_crystals(uri, task)
    maker = search_maker(task, EMT, quick(1))
    screen(uri, names, maker, crew=Crew(workers=0))
    predictor = cached_predictor(maker.calculator, maker.settings)
    with open_database(uri) as database:
        found = store_minima(database, names, predictor)
        rows = [PredictionDocument.load(row) for row in database.predictions.query({})]
    relaxed = {row.material_id: row for row in rows if row.relaxation is not None}
    assert set(found.relaxed_ids) == set(relaxed)
    assert found.n_relaxed == len(relaxed) >= 1
    assert found.source == f"{predictor.model}@{predictor.model_digest[:12]}"
    at_rest = {canonical_crystal(x.structure.to_pymatgen()).material_id for x in relaxed.values()}
    assert set(found.material_ids) <= at_rest
    assert store_minima_of(uri, names, maker) == found.material_ids
    with open_database(uri, read_only=True) as database:
        stored = {row["material_id"]: row for row in database.structures.query({})}
    for one in relaxed.values():  # so that minima can be ranked
        key = canonical_crystal(one.structure.to_pymatgen()).material_id
        if key in found.material_ids:
            energy = stored[key]["static_energy_ev_per_atom"]
            assert energy == pytest.approx(one.static_energy_ev_per_atom, abs=1e-3)
            assert stored[key]["static_energy_source"] == one.static_energy_source


def test_without_a_relaxation_there_are_no_minima(uri):
    task = SearchTask("Cu1", 12.0, 1)
    names = store_random_crystals(uri, task)
    with pytest.raises(NotFoundError, match="was relaxed"):
        store_minima_of(uri, names, search_maker(task, EMT, quick(1)))
