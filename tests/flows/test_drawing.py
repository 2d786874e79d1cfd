"""Pictures of stored results of a method that learns force constants from displaced cells."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text

from flows import drawing, plots
from flows.catalogue import summaries_where
from flows.cli import ExitCode
from flows.results import spectra_of
from screening.conductivity_records import ConductivitySettings
from screening.few_cells import FewCellSettings
from stores.connect import open_database
from stores.documents import PredictionDocument

EMT = "ase.calculators.emt.EMT"
KELVIN = (200.0, 400.0, 800.0)


@pytest.fixture
def learned(phonoscreen, uri, quick, crystals, tmp_path):
    """The key of copper whose conductivity was learned from two cells."""
    few_cells = FewCellSettings(
        max_cells=2,
        n_samples=4,
        n_conductivity_samples=2,
        n_candidates=1,
        conductivity=ConductivitySettings(mesh=(3, 3, 3), temperatures_k=KELVIN),
    )
    supercell = replace(quick.phonons.supercell, min_length_angstrom=7.0)  # 8 atoms have no FC3
    phonons = replace(quick.phonons, supercell=supercell)
    settings = replace(quick, phonons=phonons, few_cells=few_cells)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings.as_dict()))
    code, out, err = phonoscreen(
        "screen", crystals / "Cu-fcc.cif", "-c", EMT, "-w", 0, "--settings", file
    )
    assert code == ExitCode.DONE, out + err
    with open_database(uri, read_only=True) as database:
        (row,) = summaries_where(database, "formula_reduced = Cu")
    return row["material_id"]


def test_plot_draws_everything_that_the_method_gave(phonoscreen, learned, tmp_path):
    code, out, _ = phonoscreen("plot", learned, "--out", tmp_path / "pictures")
    assert code == ExitCode.DONE
    written = [Path(file) for file in out.split()]
    stem = f"Cu-{learned}-"
    assert [file.stem.removeprefix(stem) for file in written] == [
        "phonons",
        "thermodynamics",
        "conductivity",
        "conductivity-modes",
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in written)


def test_figures_say_what_their_bands_are(uri, learned, tmp_path, monkeypatch):
    kept = {}

    def keep(figure, path):
        kept[path.name.removeprefix(f"Cu-{learned}-")] = [
            text.get_text() for text in figure.findobj(Text)
        ]
        return path

    monkeypatch.setattr(plots, "save_figure", keep)
    with open_database(uri, read_only=True) as database:
        drawing.draw_material(database, learned, tmp_path, ".svg")
    assert any("±2 std of 4 draws" in text for text in kept["thermodynamics.svg"])
    assert any("±2 standard deviations" in text for text in kept["conductivity.svg"])
    assert any("at 200 K" in text for text in kept["conductivity-modes.svg"])  # next to 300 K
    titles = [text for texts in kept.values() for text in texts if "gaussian-process" in text]
    assert len(titles) == 4


def test_bands_may_be_of_another_prediction_of_the_crystal_by_the_same_model(uri, screened):
    with open_database(uri, read_only=True) as database:
        row = database.predictions.query_one({"material_id": screened[0]})
        one = PredictionDocument.load(row)
        found, source = spectra_of(database, one)
        assert source is one
        summed = one.model_copy(update={"prediction_id": "0" * 64})  # keeps no phonons
        found, source = spectra_of(database, summed)
        assert found.document.prediction_id == source.prediction_id == one.prediction_id
        made = one.provenance.model_copy(update={"model_digest": "0" * 64})
        assert spectra_of(database, summed.model_copy(update={"provenance": made})) is None
