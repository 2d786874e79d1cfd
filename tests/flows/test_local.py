"""Worker processes: the same results, nothing twice, and deaths that are survived."""

from dataclasses import replace

import pytest

from flows.local import Crew
from flows.run import MAX_DEATHS, screen
from screening.errors import SettingError
from stores.connect import open_database
from stores.documents import FailureDocument, PredictionDocument


def free_energies(uri):
    with open_database(uri) as database:
        documents = map(PredictionDocument.load, database.predictions.query({}))
        return {one.material_id: one.thermodynamics.free_energy_mev_per_atom for one in documents}


def test_two_workers_give_what_one_process_gives(uri, names, maker, tmp_path, crystals):
    from flows.imports import import_structures

    events = []
    report = screen(uri, names, maker, crew=Crew(workers=2), listener=events.append)
    assert report.outcomes == {"computed": len(names)}
    assert sum(event.outcome == "computed" for event in events) == len(names)
    alone = f"sqlite:///{tmp_path}/alone.db"
    import_structures(alone, [crystals])
    screen(alone, names, maker, crew=Crew(workers=0))
    assert free_energies(uri) == free_energies(alone)


def test_a_material_that_kills_its_workers_is_set_aside(uri, names, maker):
    killer = replace(maker, calculator="faulty_calculators.KillsForSilver")
    report = screen(uri, names, killer, crew=Crew(workers=2))
    assert report.outcomes == {"computed": 4, "failed": 2}
    with open_database(uri) as database:
        failures = list(map(FailureDocument.load, database.failures.query({})))
    assert {failure.code for failure in failures} == {"QUARANTINED"}
    assert all("SIGKILL" in failure.message for failure in failures)
    assert {failure.attempts for failure in failures} == {MAX_DEATHS}


def test_memory_belongs_to_one_process(maker, crystals):
    from flows.imports import import_structures

    uri = "memory://workers"
    names = import_structures(uri, [crystals]).material_ids
    with pytest.raises(SettingError, match="memory"):
        screen(uri, names, maker, crew=Crew(workers=2))
    assert screen(uri, names[:2], maker, crew=Crew(workers=0)).outcomes == {"computed": 2}


def test_a_material_that_hangs_is_given_up_and_the_others_go_on(uri, names, maker):
    hanging = replace(maker, calculator="faulty_calculators.HangsForSilver")
    report = screen(uri, names, hanging, crew=Crew(workers=2, time_limit_s=3.0))
    assert report.outcomes == {"computed": 4, "failed": 2}
    with open_database(uri) as database:
        assert set(database.failures.distinct("code")) == {"TIMEOUT"}


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"time_limit_s": 0.0}])
def test_an_impossible_crew_is_refused(wrong):
    with pytest.raises(SettingError):
        Crew(**wrong)


def test_a_time_limit_needs_a_process_that_can_be_killed(uri, names, maker):
    with pytest.raises(SettingError, match="time limit"):
        screen(uri, names, maker, crew=Crew(workers=0, time_limit_s=1.0))
