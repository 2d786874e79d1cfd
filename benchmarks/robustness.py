"""Kill the main job at random points, restart it, and compare the database with an undisturbed one.

Every round starts with an empty database. A child process imports crystals and screens them; it
is killed with SIGKILL after a random time and started again until it ends by itself. Then every
document and every array must be there once, whole, and say what the undisturbed run says.

A second part lets several processes screen the same crystals at once and counts how often each
was computed.
"""

from __future__ import annotations

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

VOLATILE = {"last_updated", "content_digest", "input_digest", "cost", "attempts"}
"""Fields that differ between two undisturbed runs: times, and digests over times."""

COLLECTIONS = ("structures", "predictions", "phonons", "vibrational", "polymorphs", "failures")
METALS = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}
CALCULATOR = "ase.calculators.emt.EMT"
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
    """Write metals in two structures each, so that there are polymorphs to rank."""
    from pymatgen.core import Lattice, Structure

    for symbol, a in METALS.items():
        for name, edge, points in (
            ("fcc", a, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
            ("bcc", a / 2 ** (1 / 3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        ):
            crystal = Structure(Lattice.cubic(edge), [symbol] * len(points), points)
            crystal.to(folder / f"{symbol}-{name}.cif")


def main_job(folder: Path, uri: str) -> list[str]:
    """Import and screen; returns the materials that this call computed."""
    names = import_structures(uri, [folder]).material_ids
    maker = ScreenBatchMaker(calculator=CALCULATOR, settings=ScreeningSettings().as_dict())
    computed: list[str] = []

    def note(event: Any) -> None:
        if event.outcome is Outcome.COMPUTED:
            computed.append(event.material_id)

    screen(uri, names, maker, crew=Crew(workers=0), listener=note)
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


def survive(folder: Path, uri: str, longest_s: float, chance: random.Random) -> int:
    """Start the main job until it ends by itself; return how often it was killed."""
    kills = 0
    while True:
        process_id = in_child(lambda: main_job(folder, uri))
        time.sleep(chance.uniform(0.0, longest_s))
        os.kill(process_id, signal.SIGKILL)
        _, status = os.waitpid(process_id, 0)
        if os.WIFEXITED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                raise RuntimeError("the main job failed by itself")
            return kills
        kills += 1


def kill_rounds(wanted: int, seed: int) -> KillReport:
    """Kill the main job at least this often, over as many fresh databases as it takes."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "crystals"
        folder.mkdir()
        write_crystals(folder)
        started = time.monotonic()
        expected = _undisturbed(folder, f"sqlite:///{name}/undisturbed.db")
        duration = time.monotonic() - started
        total = Counter[str]()
        while total["kills"] < wanted:
            uri = f"sqlite:///{name}/round-{total['rounds']}.db"
            total["kills"] += survive(folder, uri, 0.5 * duration, chance)
            total["rounds"] += 1
            with open_database(uri) as database:
                total.update(_differences(expected, snapshot(database)))
                total["torn"] += torn(database)
            print(f"{total['kills']} kills in {total['rounds']} rounds", flush=True)
    return KillReport(*(total[x] for x in ("kills", "rounds", "lost", "extra", "changed", "torn")))


def _undisturbed(folder: Path, uri: str) -> Snapshot:
    os.waitpid(in_child(lambda: main_job(folder, uri)), 0)
    with open_database(uri) as database:
        found = snapshot(database)
    if not all(found[kind] for kind in COLLECTIONS if kind != "failures"):
        raise RuntimeError("the undisturbed run wrote nothing to compare with")
    return found


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
            missing += 2 * len(METALS) - len(computed)
    return twice, missing


def _logged(folder: Path, uri: str, log: Path) -> Callable[[], object]:
    return lambda: log.write_text("\n".join(main_job(folder, uri)))


def main() -> None:
    """Run both parts and publish the figures."""
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=1000, help="at least this many kills")
    options.add_argument("--rounds", type=int, default=5, help="rounds of processes side by side")
    options.add_argument("--seed", type=int, default=20260101, help="seed of the random times")
    chosen = options.parse_args()
    report = kill_rounds(chosen.kills, chosen.seed)
    twice, missing = side_by_side(4, chosen.rounds)
    figures = [
        Figure("kills", report.kills, "kills", f">= {chosen.kills}"),
        Figure("rounds with a fresh database", report.rounds, "rounds"),
        Figure("documents lost", report.lost, "documents", "<= 0"),
        Figure("documents that should not be there", report.extra, "documents", "<= 0"),
        Figure("documents that say something else", report.changed, "documents", "<= 0"),
        Figure("arrays torn or orphaned", report.torn, "arrays", "<= 0"),
        Figure("materials computed twice by 4 processes", twice, "materials", "<= 0"),
        Figure("materials computed by none", missing, "materials", "<= 0"),
    ]
    publish("robustness", figures, chosen.json)


if __name__ == "__main__":
    main()
