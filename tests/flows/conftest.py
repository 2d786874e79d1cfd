"""Crystals that a toy potential knows, a database file, and the maker of the batches."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from springy_models import SPRINGS

from flows.cli import main
from flows.imports import import_structures
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.run import screen
from flows.trained import METHODS
from screening.phonons import PhononSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings
from stores.connect import open_database

EDGES_ANGSTROM = {"Al": 4.05, "Cu": 3.61, "Ag": 4.09}
FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
BCC = [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    """A folder with three metals in two structures each."""
    return write_crystals(tmp_path / "crystals")


def write_crystals(folder: Path) -> Path:
    folder.mkdir()
    for symbol, edge in EDGES_ANGSTROM.items():
        Structure(Lattice.cubic(edge), [symbol] * 4, FCC).to(folder / f"{symbol}-fcc.cif")
        bcc = Lattice.cubic(edge / 2 ** (1 / 3))
        Structure(bcc, [symbol] * 2, BCC).to(folder / f"{symbol}-bcc.cif")
    return folder


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A database file of its own."""
    return f"sqlite:///{tmp_path}/screening.db"


@pytest.fixture
def names(uri: str, crystals: Path) -> tuple[str, ...]:
    """The crystals, imported."""
    return import_structures(uri, [crystals]).material_ids


@pytest.fixture
def small() -> ScreeningSettings:
    """Settings for small supercells: quick, and of no other use."""
    return small_settings()


def small_settings() -> ScreeningSettings:
    supercell = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
    return ScreeningSettings(phonons=PhononSettings(supercell=supercell))


@pytest.fixture
def quick(small: ScreeningSettings) -> ScreeningSettings:
    """Settings for what is about decisions, not about phonons."""
    return quick_settings(small)


def quick_settings(small: ScreeningSettings) -> ScreeningSettings:
    return replace(
        small,
        relaxation=None,
        phonons=replace(small.phonons, mesh_length_angstrom=20.0),
        thermodynamics=ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 600.0, 1000.0)),
    )


@pytest.fixture
def maker(small: ScreeningSettings) -> ScreenBatchMaker:
    """Maker with ASE's effective-medium potential."""
    return ScreenBatchMaker(calculator="ase.calculators.emt.EMT", settings=small.as_dict())


@pytest.fixture(scope="session")
def screened_file(tmp_path_factory) -> Path:
    """A database file with the crystals and their phonons by quick settings, to be copied."""
    return screen_to_file(tmp_path_factory.mktemp("screened"), quick_settings(small_settings()))


@pytest.fixture(scope="session")
def relaxed_file(tmp_path_factory) -> Path:
    """The same, of relaxed crystals and with curves on the usual temperatures."""
    return screen_to_file(tmp_path_factory.mktemp("relaxed"), small_settings())


def screen_to_file(folder: Path, settings: ScreeningSettings) -> Path:
    uri = f"sqlite:///{folder}/screened.db"
    names = import_structures(uri, [write_crystals(folder / "crystals")]).material_ids
    maker = ScreenBatchMaker(calculator="ase.calculators.emt.EMT", settings=settings.as_dict())
    screen(uri, names, maker, crew=Crew(workers=0))
    return folder / "screened.db"


@pytest.fixture
def screened(tmp_path: Path, screened_file: Path) -> tuple[str, ...]:
    """Names of the crystals, in a database file of its own with their phonons."""
    copied = shutil.copy(screened_file, tmp_path / "screening.db")
    with open_database(f"sqlite:///{copied}") as database:
        return tuple(sorted(row["material_id"] for row in database.structures.query({})))


@pytest.fixture
def springs(monkeypatch) -> None:
    """A trained method in miniature in place of the random forest."""
    monkeypatch.setitem(METHODS, "rf-ifc", SPRINGS)


@pytest.fixture
def phonoscreen(uri, capfd, monkeypatch):
    """Run one command; returns exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments, database=uri):
        monkeypatch.setattr(sys, "argv", ["phonoscreen", "--db", database, *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
