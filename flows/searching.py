"""Searching for metastable polymorphs at random: crystals drawn, relaxed and told apart.

The n-th crystal of a seed is always the same, so that a search that was interrupted goes on, and
a longer one keeps what a shorter one computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flows.catalogue import in_chunks, prediction_keys
from flows.makers.batch import ScreenBatchMaker
from flows.predictors import cached_predictor
from flows.trained import Progress
from screening.errors import NotFoundError, SettingError
from screening.phonons import PhononSettings
from screening.relaxation import RelaxationSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings
from stores.connect import Database, open_database
from stores.documents import PredictionDocument
from stores.importers import ImportReport, Parsed, ReadLimits, import_structures, iter_blocks
from stores.query import by_field, in_values
from stores.training_sources import source_of

if TYPE_CHECKING:
    from screening.predictors.interface import Predictor
    from stores.importers.records import Block

__all__ = [
    "Minima",
    "SearchTask",
    "search_maker",
    "search_settings",
    "store_minima",
    "store_minima_of",
    "store_random_crystals",
]

DRAWING = "drawing crystals"
_MESH_LENGTH_ANGSTROM = 10.0
"""A cell that is not repeated says nothing of the modes between the points of a finer mesh."""


@dataclass(frozen=True)
class SearchTask:
    """Which crystals are drawn.

    Attributes
    ----------
    composition
        Content of one cell, such as ``K2 Zn2 F6``.
    volume_angstrom3
        Mean volume of the cells in Å³.
    count
        How many.
    seed
        Other crystals for another one.

    Raises
    ------
    SettingError
        If the composition cannot be read, or another value is of no use.
    """

    composition: str
    volume_angstrom3: float
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.volume_angstrom3 > 0.0 or self.seed < 0:
            raise SettingError(
                f"{self.count} crystals of {self.volume_angstrom3} Å³ with the seed {self.seed}",
                subject="search",
                hint="Give a positive count and volume, and a seed of 0 or more",
            )
        self.n_atoms  # noqa: B018 - reads the composition

    @property
    def n_atoms(self) -> int:
        """Atoms of one cell."""
        from pymatgen.core import Composition, Element

        try:
            content = Composition(self.composition)
        except ValueError:
            content = Composition()
        if not content or not all(isinstance(one, Element) for one in content):
            raise SettingError(
                f"{self.composition!r} is no composition",
                subject="composition",
                hint="Write the content of one cell, such as 'K2 Zn2 F6'",
            )
        return round(content.num_atoms)

    @property
    def source(self) -> str:
        """Name of the search among the sources of structures."""
        return (
            f"random {self.composition}, {self.volume_angstrom3:g} cubic angstrom, seed {self.seed}"
        )


def search_settings(n_atoms: int) -> ScreeningSettings:
    """Return settings for relaxing random crystals and taking their Hessians at the zone centre.

    Forces are relaxed far below what a Hessian feels, from far away: cells may double their
    volume. Supercells are the cells themselves.

    Parameters
    ----------
    n_atoms
        Atoms of one cell.
    """
    return ScreeningSettings(
        relaxation=RelaxationSettings(
            force_tolerance_ev_per_angstrom=5e-4,
            stress_tolerance_gpa=3e-3,
            max_steps=400,
            max_volume_ratio=2.0,
            max_asymmetry_ev_per_angstrom=0.05,
        ),
        phonons=PhononSettings(
            supercell=SupercellSettings(
                min_length_angstrom=1.0, min_atoms=1, max_atoms=max(1, n_atoms)
            ),
            mesh_length_angstrom=_MESH_LENGTH_ANGSTROM,
        ),
    )


def search_maker(
    task: SearchTask, calculator: str, settings: ScreeningSettings | None = None
) -> ScreenBatchMaker:
    """Return the maker of what relaxes the crystals of a search and takes their Hessians.

    Parameters
    ----------
    task
        The search.
    calculator
        As :func:`screening.calculators.load_calculator` reads it.
    settings
        None for those of `search_settings`.
    """
    chosen = settings or search_settings(task.n_atoms)
    return ScreenBatchMaker(calculator=calculator, settings=chosen.as_dict())


def store_random_crystals(
    database_uri: str,
    task: SearchTask,
    start: int = 0,
    stop: int | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Draw crystals and store those that are not there yet.

    Parameters
    ----------
    database_uri
        Where.
    task
        Which.
    start, stop
        Only these of them, the stop not included; by default all.
    progress
        Told of every crystal.

    Returns
    -------
    tuple of str
        Materials that stand for them, sorted, without repetition.

    Raises
    ------
    SettingError
        If the composition is not of whole atoms.
    """
    end = task.count if stop is None else min(stop, task.count)
    with open_database(database_uri) as database:
        known = _known(database, task)
        missing = _missing(task, start, end, known, progress)
        report = _stored(database, task.source, missing, end - start)
    found = {known[number] for number in range(start, end) if number in known}
    return tuple(sorted(found.union(report.material_ids)))


def _known(database: Database, task: SearchTask) -> dict[int, str]:
    """Return the materials that stand for crystals of the search, by number."""
    from pymatgen.core import Composition

    formula = Composition(task.composition).reduced_formula
    fields = ["material_id", "duplicate_of", "sources"]
    found: dict[int, str] = {}
    for row in database.structures.query(by_field("formula_reduced", formula), fields):
        for source in row["sources"]:
            search, _, number = source.rpartition("#")
            if search == task.source and number.isdigit():
                found[int(number)] = row.get("duplicate_of") or row["material_id"]
    return found


def _missing(
    task: SearchTask,
    start: int,
    stop: int,
    known: Collection[int],
    progress: Progress | None,
) -> Iterator[Block]:
    """Draw the crystals that are not there yet."""
    from screening.random_packing import random_crystal

    for number in range(start, stop):
        if number not in known:
            crystal = random_crystal(task.composition, task.volume_angstrom3, number, task.seed)
            yield f"{number:06d}", Parsed(crystal)
        if progress is not None:
            progress(DRAWING, number + 1 - start, stop - start)


def _stored(database: Database, source: str, blocks: Iterator[Block], count: int) -> ImportReport:
    limits = replace(ReadLimits(), max_structures_per_file=count + 1)
    return import_structures(database, iter_blocks(source, blocks, limits))


@dataclass(frozen=True)
class Minima:
    """Relaxed crystals as materials of their own.

    Attributes
    ----------
    material_ids
        Those that are different from each other.
    n_relaxed
        Number of predictions whose crystals they are.
    relaxed_ids
        The materials that were relaxed, whose phonons are those of the minima.
    source
        What relaxed them, as `stores.training.training_phonons` takes it.
    rejected
        Relaxed crystals that no longer are any, with code and message.
    """

    material_ids: tuple[str, ...]
    n_relaxed: int
    relaxed_ids: tuple[str, ...]
    source: str
    rejected: dict[str, str] = field(default_factory=dict)


def store_minima_of(
    database_uri: str, material_ids: Sequence[str], maker: ScreenBatchMaker
) -> tuple[str, ...]:
    """Open a database and store the minima there; see `store_minima`."""
    predictor = cached_predictor(maker.calculator, maker.settings)
    with open_database(database_uri) as database:
        return store_minima(database, material_ids, predictor).material_ids


def store_minima(database: Database, material_ids: Sequence[str], predictor: Predictor) -> Minima:
    """Store the relaxed crystals of predictions as materials, with their energies.

    So that they can be ranked, and predicted by what learned from them. Duplicates are linked.

    Parameters
    ----------
    database
        Where predictions are read and structures are written.
    material_ids
        The materials that were relaxed.
    predictor
        What relaxed them.

    Raises
    ------
    NotFoundError
        If none of them was relaxed by it.
    """
    keys = prediction_keys(database, list(material_ids), predictor)
    relaxed: list[Block] = []
    for chunk in in_chunks(list(keys.values())):
        for row in database.predictions.query(in_values("prediction_id", chunk)):
            document = PredictionDocument.load(row)
            if document.relaxation is not None:
                found = Parsed(
                    document.structure.to_pymatgen(),
                    static_energy_ev_per_atom=document.static_energy_ev_per_atom,
                    static_energy_source=document.static_energy_source,
                )
                relaxed.append((document.material_id, found))
    if not relaxed:
        raise NotFoundError(
            f"none of {len(material_ids)} materials was relaxed",
            subject=predictor.model,
            hint="Screen them first, with a relaxation",
        )
    relaxed.sort(key=lambda one: one[0])
    report = _stored(database, f"relaxed by {predictor.model}", iter(relaxed), len(relaxed))
    rejected = {one.block: f"{one.code}: {one.message}" for one in report.rejections}
    return Minima(
        material_ids=report.material_ids,
        n_relaxed=len(relaxed),
        relaxed_ids=tuple(dict.fromkeys(name for name, _ in relaxed)),
        source=source_of(predictor.model, predictor.model_digest),
        rejected=rejected,
    )
