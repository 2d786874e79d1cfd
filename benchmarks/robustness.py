"""Kill the main job at random points, restart it, and compare the database with an undisturbed one.

Every round starts with an empty database. A child process imports crystals and screens them; it
is killed with SIGKILL after a random time and started again until it ends by itself. Then every
document and every array must be there once, whole, and say what the undisturbed run says. In every
second round two worker processes compute: their parent is killed, and they must die with it.

A second part lets several processes screen the same crystals at once and counts how often each
was computed.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Figure, parser, publish

from flows.events import Outcome
from flows.imports import import_structures
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.run import screen
from screening.settings import ScreeningSettings
from stores.connect import Database, open_database
from stores.documents import PhononDocument
from stores.owner import Liveness, Owner

VOLATILE = {"last_updated", "content_digest", "input_digest", "cost", "attempts"}
"""Fields that differ between two undisturbed runs: times, and digests over times."""

COLLECTIONS = (
    "structures", "predictions", "phonons", "vibrational", "polymorphs", "hulls", "failures",
)  # fmt: skip
METALS = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}
ALLOYS = {
    "Cu3Au": (3.75, 3.75, ["Au", "Cu", "Cu", "Cu"]),
    "Ni3Al": (3.57, 3.57, ["Al", "Ni", "Ni", "Ni"]),
    "CuAu": (3.97, 3.67, ["Au", "Au", "Cu", "Cu"]),
}
"""Two lattice parameters in Å and the sites of a face-centred cell; they make hulls."""
FACE_CENTRED = ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))
N_CRYSTALS = 2 * len(METALS) + len(ALLOYS)
WORKERS = 2
DIE_WITHIN_S = 20.0
MOST_KILLS, MOST_KILLS_OF_CREW = 12, 4  # of a round; then it may end
LATEST_KILL, LATEST_KILL_OF_CREW = 0.5, 0.9  # of a run; workers spend half of theirs on starting
CALCULATOR_MODULE = "ase.calculators.emt"
CALCULATOR = f"{CALCULATOR_MODULE}.EMT"
Snapshot = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class KillReport:
    """What many kills did to the databases."""

    kills: int
    rounds: int
    lost: int
    extra: int
    changed: int
    torn: int


def write_crystals(folder: Path) -> None:
    """Write metals in two structures each, so that there are polymorphs to rank, and alloys."""
    from pymatgen.core import Lattice, Structure

    for symbol, a in METALS.items():
        for name, edge, points in (
            ("fcc", a, FACE_CENTRED),
            ("bcc", a / 2 ** (1 / 3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        ):
            crystal = Structure(Lattice.cubic(edge), [symbol] * len(points), points)
            crystal.to(folder / f"{symbol}-{name}.cif")
    for name, (a, c, symbols) in ALLOYS.items():
        crystal = Structure(Lattice.tetragonal(a, c), symbols, FACE_CENTRED)
        crystal.to(folder / f"{name}.cif")


def main_job(folder: Path, uri: str, workers: int = 0) -> list[str]:
    """Import and screen; returns the materials that this call computed."""
    names = import_structures(uri, [folder]).material_ids
    maker = ScreenBatchMaker(calculator=CALCULATOR, settings=ScreeningSettings().as_dict())
    computed: list[str] = []

    def note(event: Any) -> None:
        if event.outcome is Outcome.COMPUTED:
            computed.append(event.material_id)

    screen(uri, names, maker, crew=Crew(workers=workers), listener=note)
    return computed


def snapshot(database: Database) -> Snapshot:
    """Return every document without what differs between two undisturbed runs."""
    return {
        name: {
            str(document["_id"]): _stable(document)
            for document in database.collection(name).query({})
        }
        for name in COLLECTIONS
    }


def _stable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    return [_stable(item) for item in value] if isinstance(value, list | tuple) else value


def torn(database: Database) -> int:
    """Count phonon documents whose arrays are missing or damaged, and arrays nobody names."""
    broken, named = 0, set()
    for stored in database.phonons.query({}):
        for sha256 in PhononDocument.load(stored).blob_digests.values():
            named.add(sha256)
            try:
                database.blobs.get(sha256)
            except Exception:  # noqa: BLE001 - any error is the finding
                broken += 1
    return broken + len(list(database.blobs.orphans(named, min_age_s=0.0)))


def in_child(task: Callable[[], object]) -> int:
    """Run a task in a forked process and return its process id."""
    process_id = os.fork()
    if process_id:
        return process_id
    code = 1
    try:
        task()
        code = 0
    except BaseException:  # noqa: BLE001 - the child must not go on as a second parent
        traceback.print_exc()
    finally:
        os._exit(code)


def survive(folder: Path, uri: str, workers: int, longest_s: float, chance: random.Random) -> int:
    """Start the main job until it ends by itself; return how often it was killed."""
    kills = 0
    while True:
        process_id = in_child(lambda: main_job(folder, uri, workers))
        if kills < (MOST_KILLS_OF_CREW if workers else MOST_KILLS):
            time.sleep(chance.uniform(0.0, longest_s))
            os.kill(process_id, signal.SIGKILL)
        _, status = os.waitpid(process_id, 0)
        if os.WIFEXITED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                raise RuntimeError("the main job failed by itself")
            return kills
        kills += 1
        if workers:
            wait_for_workers(uri)


def wait_for_workers(uri: str) -> None:
    """Wait until no claim is held by a living process."""
    give_up = time.monotonic() + DIE_WITHIN_S
    with open_database(uri) as database:
        while holders := living_holders(database):
            if time.monotonic() > give_up:
                raise RuntimeError(f"workers outlived their parent: {holders}")
            time.sleep(0.02)


def living_holders(database: Database) -> list[int]:
    """Return the processes that hold claims and are not known to be dead."""
    owners = [document.get("owner") for document in database.collection("claims").query({})]
    held = [Owner.from_document(owner) for owner in owners if owner is not None]
    return [owner.process_id for owner in held if owner.liveness() is not Liveness.DEAD]


def import_ahead() -> None:
    """Import what a forked main job needs, so that it is killed at work; call nothing of it.

    Libraries whose threads have started do not survive a fork.
    """
    for name in ("screening.predictors.potential_phonons", "stores.sqlite", CALCULATOR_MODULE):
        importlib.import_module(name)


def kill_rounds(wanted: int, seed: int) -> KillReport:
    """Kill the main job at least this often, over as many fresh databases as it takes."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "crystals"
        folder.mkdir()
        write_crystals(folder)
        import_ahead()
        expected, seconds = _undisturbed(folder, f"sqlite:///{name}/alone.db", 0)
        found, seconds_of_crew = _undisturbed(folder, f"sqlite:///{name}/crew.db", WORKERS)
        if any(_differences(expected, found).values()):
            raise RuntimeError("two undisturbed runs differ")
        longest = {0: LATEST_KILL * seconds, WORKERS: LATEST_KILL_OF_CREW * seconds_of_crew}
        total = Counter[str]()
        while total["kills"] < wanted or not total["crew"]:
            workers = WORKERS * (total["rounds"] % 2)
            uri = f"sqlite:///{name}/round-{total['rounds']}.db"
            kills = survive(folder, uri, workers, longest[workers], chance)
            total["kills"] += kills
            total["crew"] += kills if workers else 0
            total["rounds"] += 1
            with open_database(uri) as database:
                total.update(_differences(expected, snapshot(database)))
                total["torn"] += torn(database)
            shown = f"{total['kills']} kills in {total['rounds']} rounds"
            print(f"{shown}, {kills} in this one with {workers} workers", flush=True)
    return KillReport(*(total[x] for x in ("kills", "rounds", "lost", "extra", "changed", "torn")))


def _undisturbed(folder: Path, uri: str, workers: int) -> tuple[Snapshot, float]:
    """Return what a run that nobody kills writes, and how long it takes in s."""
    started = time.monotonic()
    os.waitpid(in_child(lambda: main_job(folder, uri, workers)), 0)
    seconds = time.monotonic() - started
    with open_database(uri) as database:
        found = snapshot(database)
    if not all(found[kind] for kind in COLLECTIONS if kind != "failures"):
        raise RuntimeError("the undisturbed run wrote nothing to compare with")
    return found, seconds


def _differences(expected: Snapshot, found: Snapshot) -> Counter[str]:
    result = Counter[str]()
    for kind, documents in expected.items():
        result["lost"] += len(documents.keys() - found[kind].keys())
        result["extra"] += len(found[kind].keys() - documents.keys())
        result["changed"] += sum(
            found[kind][key] != value for key, value in documents.items() if key in found[kind]
        )
    return result


def side_by_side(processes: int, rounds: int) -> tuple[int, int]:
    """Let processes screen the same crystals; return computations beyond one, and missing ones."""
    twice = missing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "crystals"
        folder.mkdir()
        write_crystals(folder)
        for number in range(rounds):
            uri = f"sqlite:///{name}/{number}.db"
            import_structures(uri, [folder])
            logs = [Path(name) / f"{number}-{i}.log" for i in range(processes)]
            children = [in_child(_logged(folder, uri, log)) for log in logs]
            for child in children:
                os.waitpid(child, 0)
            computed = Counter(line for log in logs for line in log.read_text().split())
            twice += sum(count - 1 for count in computed.values())
            missing += N_CRYSTALS - len(computed)
    return twice, missing


def _logged(folder: Path, uri: str, log: Path) -> Callable[[], object]:
    return lambda: log.write_text("\n".join(main_job(folder, uri)))


def figures_of(kills: int, seed: int, rounds: int) -> list[Figure]:
    """Run both parts."""
    report = kill_rounds(kills, seed)
    twice, missing = side_by_side(4, rounds)
    return [
        Figure("kills", report.kills, "kills", f">= {kills}"),
        Figure("rounds with a fresh database", report.rounds, "rounds"),
        Figure("documents lost", report.lost, "documents", "<= 0"),
        Figure("documents that should not be there", report.extra, "documents", "<= 0"),
        Figure("documents that say something else", report.changed, "documents", "<= 0"),
        Figure("arrays torn or orphaned", report.torn, "arrays", "<= 0"),
        Figure("materials computed twice by 4 processes", twice, "materials", "<= 0"),
        Figure("materials computed by none", missing, "materials", "<= 0"),
    ]


def main() -> int:
    """Run both parts and publish the figures."""
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=1000, help="at least this many kills")
    options.add_argument("--rounds", type=int, default=5, help="rounds of processes side by side")
    options.add_argument("--seed", type=int, default=20260101, help="seed of the random times")
    chosen = options.parse_args()
    try:
        figures = figures_of(chosen.kills, chosen.seed, chosen.rounds)
    except RuntimeError as error:
        figures = [Figure(f"FAILED {error}", 1, "", "<= 0")]
    return publish("robustness", figures, chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
