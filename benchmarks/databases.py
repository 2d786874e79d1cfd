"""Speed of the SQLite store and size of stored forces, beside what the peers do.

Documents are vibrational summaries of about 2 kB of JSON under the platform's own indexes.
maggma's MemoryStore is filled at once (through its collection), then a sample of updates is timed
while 10,000 documents are there. Stored forces are compared for every file in ``force_sets``: all
that we keep of it beside force constants as nested lists in BSON, full as atomate2 and emmet store
them, and compact. Without such files the comparison is missing, and missed.

    python benchmarks/databases.py [--data FOLDER] [--json FILE]
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bson
import numpy as np
import orjson
from maggma.stores import MemoryStore
from report import Figure, parser, publish

from screening.packed_arrays import canonical, pack
from screening.prediction import ForceData
from stores.connect import Database, open_database
from stores.documents import phonon_arrays
from stores.importers import ReadStructure, iter_structures
from stores.query import between, by_field, compare

N_DOCUMENTS = 100_000
N_IN_MEMORY = 10_000
N_MEMORY_SAMPLE = 20
BATCH = 1000
N_READS = 5000
N_PADDING = 24
REPEATS = 5
STABLE_FRACTION = 0.7
LIMIT = 100


def key_of(number: int) -> str:
    """Key of a document."""
    return f"ps-{number:016x}"


def summary(number: int) -> dict[str, Any]:
    """Return a vibrational summary of about 2 kB."""
    random.seed(number)
    elements = sorted(random.sample(["O", "Zn", "Si", "Ti", "S", "Ca", "Al", "Mg", "K"], 2))
    return {
        "_id": key_of(number),
        "material_id": key_of(number),
        "formula_reduced": "".join(elements),
        "chemsys": "-".join(elements),
        "elements": elements,
        "n_elements": 2,
        "n_atoms": number % 40 + 1,
        "space_group_number": number % 230 + 1,
        "prediction_id": f"{number:064x}",
        "method": "potential-phonons",
        "model": "chgnet:0.3.0",
        "tier": 1,
        "verdict": "stable" if random.random() < STABLE_FRACTION else "unstable",
        "thermodynamics_valid": True,
        "lowest_frequency_thz": random.gauss(0, 1),
        "zero_point_energy_mev_per_atom": random.gauss(60, 20),
        "free_energy_300k_mev_per_atom": random.gauss(-20, 40),
        "entropy_300k_mev_per_k_per_atom": random.random(),
        "heat_capacity_300k_mev_per_k_per_atom": random.random(),
        "static_energy_ev_per_atom": random.gauss(-5, 1),
        "last_updated": datetime(2026, 1, 1),  # noqa: DTZ001 - UTC without zone
        "curve": [random.random() for _ in range(N_PADDING)],
        "note": "x" * 860,
    }


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Measure seconds from the start of the block to its end."""
    start = time.perf_counter()
    end: list[float] = []
    yield lambda: end[0] - start
    end.append(time.perf_counter())


def best_of(action: Callable[[], object]) -> float:
    """Return the shortest time of several runs, in s."""
    times = []
    for _ in range(REPEATS):
        with stopwatch() as elapsed:
            action()
        times.append(elapsed())
    return min(times)


def fill(database: Database) -> float:
    """Fill the summaries and return documents per second, the making of them not counted."""
    spent = 0.0
    for first in range(0, N_DOCUMENTS, BATCH):
        batch = [summary(number) for number in range(first, first + BATCH)]
        with stopwatch() as elapsed:
            database.vibrational.update(batch)
        spent += elapsed()
    return N_DOCUMENTS / spent


def replace(database: Database) -> float:
    """Return replaced documents per second in a full collection."""
    numbers = random.sample(range(N_DOCUMENTS), BATCH)
    batch = [summary(number) for number in numbers]
    return BATCH / best_of(lambda: database.vibrational.update(batch))


def read(database: Database) -> float:
    """Return documents read by key per second."""
    keys = [key_of(number) for number in random.sample(range(N_DOCUMENTS), N_READS)]
    store = database.vibrational

    def read_all() -> None:
        for key in keys:
            if store.query_one(by_field("material_id", key)) is None:
                raise RuntimeError(key)

    return N_READS / best_of(read_all)


def queries(database: Database) -> list[Figure]:
    """Time queries with sort and limit, in ms."""
    store, sort = database.vibrational, {"free_energy_300k_mev_per_atom": 1}
    window = between("free_energy_300k_mev_per_atom", -30.0, 0.0)
    asked = {
        "range query with sort and limit 100": (window, sort, "<= 10"),
        "two conditions with sort and limit 100": (
            {**window, **by_field("verdict", "stable")},
            sort,
            "<= 10",
        ),
        "range on one field, sort by another, limit 100": (
            compare("lowest_frequency_thz", ">", -0.1),
            sort,
            "<= 10",
        ),
        "materials with an element, sort, limit 100": (
            by_field("elements", "Ti"),
            sort,
            None,
        ),
    }
    figures = []
    for name, (criteria, order, required) in asked.items():
        found = list(store.query(criteria, sort=order, limit=LIMIT))
        values = [x["free_energy_300k_mev_per_atom"] for x in found]
        if len(found) != LIMIT or values != sorted(values):
            raise RuntimeError(f"wrong result: {name}")
        seconds = best_of(lambda c=criteria, o=order: list(store.query(c, sort=o, limit=LIMIT)))
        figures.append(Figure(f"{name}, 1e5 documents", seconds * 1e3, "ms", required))
    seconds = best_of(lambda: store.count(by_field("verdict", "stable")))
    figures.append(Figure("count by an indexed field, 1e5 documents", seconds * 1e3, "ms"))
    return figures


def memory_store() -> float:
    """Return seconds per updated document of maggma's MemoryStore that holds 10,000."""
    store = MemoryStore(key="material_id")
    store.connect()
    # one by one through the store it would take minutes
    documents = [summary(number) for number in range(N_IN_MEMORY)]
    store._collection.insert_many(documents)  # noqa: SLF001 - the store has no bulk insert
    numbers = random.sample(range(N_IN_MEMORY), N_MEMORY_SAMPLE)
    batch = [summary(number) for number in numbers]
    with stopwatch() as elapsed:
        store.update(batch)
    return elapsed() / N_MEMORY_SAMPLE


def small_sqlite(folder: Path) -> float:
    """Return seconds per updated document of the SQLite store that holds 10,000."""
    with open_database(f"sqlite:///{folder}/small.db") as database:
        for first in range(0, N_IN_MEMORY, BATCH):
            documents = [summary(number) for number in range(first, first + BATCH)]
            database.vibrational.update(documents)
        return 1.0 / replace_small(database)


def replace_small(database: Database) -> float:
    """Return replaced documents per second in a collection of 10,000."""
    numbers = random.sample(range(N_IN_MEMORY), BATCH)
    batch = [summary(number) for number in numbers]
    return BATCH / best_of(lambda: database.vibrational.update(batch))


def force_sizes(data: Path) -> list[Figure]:
    """Compare stored sizes for every file of forces; the worst ratio counts."""
    figures: list[Figure] = []
    full, compact, failures = [], [], []
    folder = data / "force_sets"
    for file in sorted(x for x in folder.glob("*") if x.is_file()):
        try:
            found, ratios = sizes_of(file)
        except ValueError as error:
            failures.append(f"FAILED {file.name}: {error}")
            continue
        figures += found
        full.append(ratios[0])
        compact.append(ratios[1])
    if not full:
        print(f"no forces in {folder}: what they take cannot be compared", flush=True)
    worst = "worst of all files"
    return [
        *figures,
        Figure("files of forces", len(full), "", ">= 1"),
        Figure(f"full nested lists / blob, {worst}", min(full, default=None), "times", ">= 20"),
        Figure(f"compact nested lists / blob, {worst}", min(compact, default=None), "times"),
        *(Figure(name, 1, "", "<= 0") for name in failures),
    ]


def sizes_of(file: Path) -> tuple[list[Figure], tuple[float, float]]:
    """Return stored sizes of one file in kB, and of full and compact lists over our blob."""
    force_data = read_forces(file)
    arrays = arrays_of(force_data)
    blob = len(pack(canonical(arrays)))
    n_primitive, n_supercell = len(force_data.primitive), len(force_data.supercell_numbers)
    full = nested_bytes((n_supercell, n_supercell, 3, 3))
    compact = nested_bytes((n_primitive, n_supercell, 3, 3))
    name = f"{file.name.partition('.')[0]}, {n_supercell} atoms"
    figures = [
        Figure(f"{name}: blob of forces", blob / 1e3, "kB"),
        Figure(f"{name}: compact force constants, nested lists", compact / 1e3, "kB"),
        Figure(f"{name}: full force constants, nested lists", full / 1e3, "kB"),
        Figure(f"{name}: full nested lists / blob", full / blob, "times"),
        Figure(f"{name}: compact nested lists / blob", compact / blob, "times"),
    ]
    return figures, (full / blob, compact / blob)


def read_forces(file: Path) -> ForceData:
    """Read the forces of a file as an import does, which executes nothing that is in it."""
    items = list(iter_structures([file]))
    found = [item for item in items if isinstance(item, ReadStructure)]
    if len(found) != 1 or found[0].force_data is None:
        refused = [str(item) for item in items if not isinstance(item, ReadStructure)]
        raise ValueError("; ".join(refused) or "the file does not hold one crystal with forces")
    return found[0].force_data


def arrays_of(force_data: ForceData) -> dict[str, np.ndarray]:
    """Return every array that is stored with a prediction from forces."""
    prediction: Any = SimpleNamespace(
        force_data=force_data, density_of_states=None, band_structure=None, structure_digest=""
    )
    return dict(phonon_arrays(prediction)["forces"])


def nested_bytes(shape: tuple[int, ...]) -> int:
    """Bytes in BSON of nested lists of this shape; every double takes eight, whatever it says."""
    return len(bson.encode({"force_constants": np.zeros(shape).tolist()}))


def main() -> int:
    """Measure, print, and write the report."""
    options = parser(__doc__ or "").parse_args()
    random.seed(1)
    documents = [summary(number) for number in range(BATCH)]
    shortest = min(len(orjson.dumps(document)) for document in documents)
    figures = [
        Figure(f"shortest of {BATCH} documents as JSON", shortest / 1e3, "kB", ">= 2"),
        Figure("first document as BSON", len(bson.encode(documents[0])) / 1e3, "kB"),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_database(f"sqlite:///{folder}/large.db") as database:
            figures += [
                Figure("batch upserts while filling to 1e5", fill(database), "per s", ">= 5000"),
                Figure("batch replacements at 1e5", replace(database), "per s", ">= 5000"),
                Figure("reads by key at 1e5", read(database), "per s", ">= 10000"),
                *queries(database),
            ]
        size = (folder / "large.db").stat().st_size / N_DOCUMENTS / 1e3
        figures.append(Figure("file per document", size, "kB"))
        ours, theirs = small_sqlite(folder), memory_store()
    figures += [
        Figure("upsert at 1e4, SQLite store", ours * 1e3, "ms"),
        Figure("upsert at 1e4, maggma MemoryStore", theirs * 1e3, "ms"),
        Figure("upsert at 1e4, MemoryStore / ours", theirs / ours, "times", ">= 100"),
        *force_sizes(options.data),
    ]
    return publish("Stores", figures, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
