"""FireWorks: a flow with an escalation and a failing job runs, and is submitted once."""

import sys

import pytest

from flows.launch.launching import launch
from flows.launch.queues import Destination, Engine, open_queue
from flows.makers import RoutedScreenMaker, ScreenMaker
from screening.errors import EngineUnavailableError, ScreeningError
from stores.connect import open_database
from stores.documents import FailureDocument


def rockets(launchpad, tmp_path, category):
    """Run what a worker of this category can run; return the names of the jobs."""
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import rapidfire

    rapidfire(launchpad, FWorker(category=category), m_dir=str(tmp_path), strm_lvl="CRITICAL")


def fireworks(launchpad):
    """State and category of every job by its name."""
    found = [launchpad.get_fw_by_id(number) for number in launchpad.get_fw_ids()]
    return sorted((fw.name, fw.state, fw.spec["_category"]) for fw in found)


def test_a_flow_escalates_fails_in_part_and_is_not_submitted_again(
    server, metals, escalating, launchpad, tmp_path
):
    pad, destination = launchpad
    first = launch(server.database_uri, metals, escalating, destination)
    assert set(first.submitted) == set(metals)
    assert (first.n_jobs, len(first.identifiers)) == (4, 4)
    again = launch(server.database_uri, metals, escalating, destination)
    assert (again.launch_id, again.submitted, set(again.waiting)) == (None, (), set(metals))
    rockets(pad, tmp_path, "gpu")
    assert ("fall back", "READY", "dft") in fireworks(pad)  # not for this worker
    rockets(pad, tmp_path, "dft")
    rockets(pad, tmp_path, "gpu")
    assert fireworks(pad) == [
        ("build summaries", "COMPLETED", "gpu"),
        ("escalate", "COMPLETED", "gpu"),
        ("fail", "FIZZLED", "gpu"),
        ("fall back", "COMPLETED", "dft"),
        ("screen a batch", "COMPLETED", "gpu"),
        ("store_inputs", "COMPLETED", "gpu"),
    ]
    with open_database(server.database_uri) as database:
        summaries = {row["formula_reduced"]: row for row in database.vibrational.query({})}
        assert {symbol: row["model"] for symbol, row in summaries.items()} == {
            "Al": "faulty_calculators.NanForSilver",
            "Cu": "faulty_calculators.NanForSilver",
            "Ag": "ase.calculators.emt.EMT",
        }
    after = launch(server.database_uri, metals, escalating, destination)
    assert (after.submitted, after.waiting, after.launch_id) == ((), (), None)
    assert (len(after.done), len(after.failed)) == (2, 1)
    assert any("is broken" in note for note in after.notes)
    assert len(pad.get_wf_ids()) == 1


def test_a_fizzled_flow_is_submitted_again(server, metals, maker, launchpad):
    pad, destination = launchpad
    whole = ScreenMaker(batch_maker=maker)
    first = launch(server.database_uri, metals, whole, destination)
    for number in first.identifiers:
        pad.defuse_fw(int(number))
    again = launch(server.database_uri, metals, whole, destination)
    assert set(again.submitted) == set(metals)
    pad.delete_wf(int(again.identifiers[0]))
    third = launch(server.database_uri, metals, whole, destination)
    assert set(third.submitted) == set(metals)
    assert "lost" in third.notes[-1]


def test_a_file_comes_with_a_warning(tmp_path, launchpad):
    _, destination = launchpad
    queue = open_queue(destination)
    assert "other hosts" in queue.check_reach(f"sqlite:///{tmp_path}/s.db")[0]
    assert queue.check_reach("mongodb://host/name") == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such LaunchPad file"),
        ("host: [unclosed, secret", "is no LaunchPad file"),
        ("just text with secret", "is no LaunchPad file"),
        ("name: fireworks\npassword: secret\n", "is no LaunchPad file"),
        ("host: nonsense://secret\nname: x\nuri_mode: true\n", "my_launchpad"),
    ],
)
def test_a_bad_launchpad_file_is_named_without_what_it_says(tmp_path, content, message):
    file = tmp_path / "my_launchpad.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ScreeningError, match=message) as caught:
        open_queue(Destination(Engine.FIREWORKS, launchpad=file))
    assert str(file) in str(caught.value)
    assert not content or "password: secret" not in str(caught.value)


def test_without_a_file_the_hint_says_how_to_make_one(monkeypatch):
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", None)
    with pytest.raises(EngineUnavailableError, match="lpad init"):
        open_queue(Destination(Engine.FIREWORKS))


def test_without_fireworks_the_hint_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fireworks", None)
    with pytest.raises(EngineUnavailableError, match="extra 'fireworks'"):
        open_queue(Destination(Engine.FIREWORKS))


def test_a_routed_screen_goes_to_the_workers_of_its_methods(
    server, metals, escalating, launchpad, tmp_path
):
    pad, destination = launchpad
    settings = escalating.batch_maker.settings
    ladder = [
        {"calculator": "faulty_calculators.NanForSilver", "settings": settings},
        {"calculator": "pretended_dft.FailsForSilver", "settings": settings},
    ]
    routed = RoutedScreenMaker(
        ladder=ladder, questions=["free_energy at 300 K within 5 meV/atom"], alpha=0.1
    )
    assert set(launch(server.database_uri, metals, routed, destination).submitted) == set(metals)
    assert launch(server.database_uri, metals, routed, destination).submitted == ()
    for category in ("gpu", "dft") * 3:  # in turns: each makes work for the other
        rockets(pad, tmp_path, category)
    found = fireworks(pad)
    assert {state for _, state, _ in found} == {"COMPLETED"}
    assert {category for _, _, category in found} == {"gpu", "dft"}
    assert ("screen a batch", "COMPLETED", "gpu") in found
    with open_database(server.database_uri) as database:
        tiers = {row["formula_reduced"]: row["tier"] for row in database.vibrational.query({})}
        failed = [FailureDocument.load(row) for row in database.failures.query({})]
    assert tiers == {"Cu": 3, "Al": 3}
    assert {one.code for one in failed} == {"NONFINITE_FORCES", "CALCULATOR_FAILED"}
    assert launch(server.database_uri, metals, routed, destination).submitted == ()
