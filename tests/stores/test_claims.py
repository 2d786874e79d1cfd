"""Two processes never hold the same claim."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from screening.errors import SettingError
from stores.claims import Claims
from stores.connect import open_database
from stores.owner import Liveness, Owner

IS_LINUX = Path("/proc/self/stat").exists()
pytestmark = pytest.mark.skipif(not IS_LINUX, reason="tells processes apart by /proc")


@pytest.fixture
def claims(database):
    return database.claims


def rewrite(claims, key, **changes):
    """Change what is stored of a claim, as another process would."""
    stored = claims._store.query_one({"key": key})
    owner = {**stored["owner"], **changes.pop("owner", {})}
    claims._store.update({**stored, "owner": owner, **changes})


def test_one_owner_at_a_time(claims):
    first = claims.acquire("a")
    assert first.attempts == 1
    assert first.still_mine()
    assert claims.acquire("a") is None
    assert claims.acquire("b").attempts == 1


def test_a_released_claim_leaves_the_attempts(claims):
    with claims.acquire("a"):
        pass
    stored = claims._store.query_one({"key": "a"}, {"_id": 0})
    assert stored == {"key": "a", "attempts": 1}
    second = claims.acquire("a")
    assert second.attempts == claims.attempts("a") == 2
    assert claims.attempts("never") == 0


def test_forget(claims):
    claim = claims.acquire("a")
    claims.forget("a")
    assert claim.still_mine()
    claim.release()
    claims.forget("a")
    assert claims.attempts("a") == 0


def test_a_dead_process_of_this_host_loses_its_claim_at_once(claims):
    stale = claims.acquire("a", lease_seconds=1000)
    rewrite(claims, "a", owner={"start_time": "1"})
    taken = claims.acquire("a")
    assert taken.attempts == 2
    assert not stale.still_mine()
    assert not stale.renew()
    assert not stale.release()
    assert taken.still_mine()


def test_a_boot_later_every_claim_is_free(claims):
    claims.acquire("a", lease_seconds=1000)
    rewrite(claims, "a", owner={"boot_id": "another boot"})
    assert claims.acquire("a") is not None


def test_a_silent_process_loses_its_claim_when_the_lease_lapses(claims):
    stale = claims.acquire("a", lease_seconds=0.05)
    assert claims.acquire("a") is None
    time.sleep(0.06)
    assert claims.acquire("a").token == stale.token + 1
    assert not stale.still_mine()


def test_renewal_keeps_a_claim(claims):
    claim = claims.acquire("a", lease_seconds=0.2)
    for _ in range(4):
        time.sleep(0.1)
        assert claim.renew()
        assert claims.acquire("a") is None


def test_kept_renews_by_itself(claims):
    claim = claims.acquire("a", lease_seconds=0.2)
    with claim.kept():
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            assert claims.acquire("a") is None
            time.sleep(0.05)
    assert claim.still_mine()


def test_another_host_is_believed_until_it_is_silent_for_a_lease(database):
    claims = database.claims
    claims.acquire("a", lease_seconds=0.1)
    # the clock of the other host is of no account
    rewrite(claims, "a", owner={"host": "elsewhere"}, expires_s=-1e9)
    assert claims.acquire("a") is None
    time.sleep(0.06)
    rewrite(claims, "a", beat=7)
    assert claims.acquire("a") is None
    time.sleep(0.06)
    assert claims.acquire("a") is None
    time.sleep(0.06)
    assert Claims(claims._store).acquire("a") is None
    assert claims.acquire("a").attempts == 2


def test_a_lease_has_a_length(claims):
    for seconds in (0, -1, float("nan")):
        with pytest.raises(SettingError):
            claims.acquire("a", lease_seconds=seconds)


def test_liveness():
    me = Owner.current()
    assert me.liveness() is Liveness.ALIVE
    assert replace(me, start_time="0").liveness() is Liveness.DEAD
    assert replace(me, process_id=2**22 + 1).liveness() is Liveness.DEAD
    assert replace(me, host="elsewhere").liveness() is Liveness.UNKNOWN
    assert replace(me, boot_id="").liveness() is Liveness.UNKNOWN
    assert Owner.from_document(me.as_document()) == me


def test_a_zombie_is_dead():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(Owner.current().as_document()).encode())
        os._exit(0)
    owner = Owner.from_document(json.loads(os.read(reader, 10_000)))
    os.close(reader)
    os.close(writer)
    deadline = time.monotonic() + 5
    while owner.liveness() is Liveness.ALIVE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert owner.liveness() is Liveness.DEAD
    assert owner != Owner.current()
    os.waitpid(child, 0)


def fork(work):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def test_four_processes_never_take_the_same_key(tmp_path):
    uri = f"sqlite:///{tmp_path / 'race.db'}"
    open_database(uri).close()
    keys = [f"material-{i}" for i in range(200)]

    def work(number):
        with open_database(uri) as database:
            mine = [key for key in keys if database.claims.acquire(key) is not None]
            (tmp_path / f"{number}.json").write_text(json.dumps(mine))
            # the others meet live owners until everybody is through
            deadline = time.monotonic() + 20
            while len(list(tmp_path.glob("*.json"))) < 4 and time.monotonic() < deadline:
                time.sleep(0.01)

    children = [fork(lambda number=number: work(number)) for number in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    taken = [key for file in tmp_path.glob("*.json") for key in json.loads(file.read_text())]
    assert sorted(taken) == sorted(keys)


def test_work_under_claims_is_done_once_even_if_workers_are_killed(tmp_path):
    uri = f"sqlite:///{tmp_path / 'race.db'}"
    open_database(uri).close()
    keys = [f"material-{i}" for i in range(60)]

    def work():
        with open_database(uri) as database:
            results = database.store("results", "key")
            while results.count() < len(keys):
                for key in keys:
                    if results.count({"key": key}):
                        continue
                    claim = database.claims.acquire(key)
                    if claim is None:
                        continue
                    with claim:
                        if not results.count({"key": key}) and claim.still_mine():
                            time.sleep(0.002)
                            assert results.insert_new({"key": key})

    victims = [fork(work) for _ in range(2)]
    time.sleep(0.08)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    children = [fork(work) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
    with open_database(uri) as database:
        assert sorted(database.store("results", "key").distinct("key")) == sorted(keys)
        for key in keys:  # one killed between its result and its release left a dead owner
            claim = database.claims.acquire(key)
            assert claim is not None
            assert claim.release()
        assert database.claims._store.count({"owner": {"$exists": True}}) == 0


def test_a_stopped_owner_learns_that_it_lost(tmp_path):
    uri = f"sqlite:///{tmp_path / 'race.db'}"
    open_database(uri).close()
    outcome = tmp_path / "outcome"

    def work():
        with open_database(uri) as database:
            claim = database.claims.acquire("a", lease_seconds=0.1)
            (tmp_path / "held").touch()
            while not (tmp_path / "go").exists():
                time.sleep(0.005)
            outcome.write_text(f"{claim.still_mine()} {claim.renew()}")

    child = fork(work)
    deadline = time.monotonic() + 20
    while not (tmp_path / "held").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child, signal.SIGSTOP)
    time.sleep(0.15)
    with open_database(uri) as database:
        taken = database.claims.acquire("a")
        assert taken.attempts == 2
        os.kill(child, signal.SIGCONT)
        (tmp_path / "go").touch()
        assert os.waitpid(child, 0)[1] == 0
        assert outcome.read_text() == "False False"
        assert taken.still_mine()


def test_held_claims_are_seen_without_taking_them(claims):
    kept, given_back = claims.acquire("a"), claims.acquire("b")
    given_back.release()
    assert claims.held(["a", "b", "c"]) == {"a"}
    assert kept.still_mine()
    rewrite(claims, "a", owner={"process_id": 2**22 + 1})
    assert claims.held(["a"]) == set()  # its owner is dead
    assert claims.attempts("a") == 1


def test_a_claim_of_another_host_is_watched_before_it_counts_as_free(claims):
    claims.acquire("a", lease_seconds=1.0)
    rewrite(claims, "a", owner={"host": "elsewhere"})
    assert claims.held(["a"]) == {"a"}
    started = time.monotonic()
    assert claims.held(["a"], patience_seconds=30.0) == set()
    assert 0.5 < time.monotonic() - started < 10.0


def test_a_reservation_outlives_its_process_and_holds_no_claim(claims):
    keys = [f"key {number}" for number in range(1200)]
    claims.reserve(keys[0], "flow 1")
    claims.reserve(keys[-1], "flow 1")
    claims.reserve("other", "flow 2")
    assert claims.reservations([*keys, "other"]) == {
        keys[0]: "flow 1",
        keys[-1]: "flow 1",
        "other": "flow 2",
    }
    assert claims.held(keys) == set()
    assert claims.acquire(keys[0]).attempts == 1
    claims.reserve("other", "flow 3")
    claims.withdraw("flow 2")
    claims.withdraw("flow 1", keys[0])
    assert claims.reservations([*keys, "other"]) == {keys[-1]: "flow 1", "other": "flow 3"}
    claims.withdraw("flow 1")
    assert claims.reservations(keys) == {}
