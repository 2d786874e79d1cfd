"""A prediction with fitted force constants is written, read, summarised, asked for and exported."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace

import numpy as np
import phono3py
import pytest
from ase.io import read
from phonopy import load as phonopy_load

from flows.catalogue import crystal_of, summaries_where
from flows.exports import ExportFormat, export
from flows.imports import import_structures
from flows.materials import write_prediction
from flows.results import phonons_of
from screening.anharmonic import DisplacedCells
from screening.calculators import load_calculator
from screening.conductivity import ConductivitySettings, thermal_conductivity
from screening.errors import CorruptDataError, NotFoundError
from screening.gaussian_process.fit import fit_force_constants
from screening.harmonic import (
    frequencies_at,
    harmonic_from_force_constants,
    harmonic_from_forces,
)
from screening.prediction import frozen_array
from screening.predictors.contract import check_prediction
from screening.predictors.potential_phonons import PotentialPhonons
from screening.supercell import SupercellSettings
from stores.blob_backends import SQLiteBlobs
from stores.builders import build_vibrational
from stores.connect import open_database
from stores.documents import PredictionDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
Q_POINTS = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.0]])
KAPPA = "thermal_conductivity_300k_w_per_m_k"


def displaced(forces, n_cells):
    """Cells of the same supercell with all atoms displaced."""
    emt = load_calculator(EMT)
    lattice = forces.supercell_matrix @ forces.primitive.lattice.matrix
    numbers = forces.supercell_numbers
    moves = np.random.default_rng(4).normal(scale=0.02, size=(n_cells, len(numbers), 3))
    places = forces.supercell_scaled_positions @ lattice + moves
    pulls = emt.forces(lattice, places, numbers)
    return DisplacedCells(
        primitive=forces.primitive,
        supercell_matrix=forces.supercell_matrix,
        supercell_scaled_positions=forces.supercell_scaled_positions,
        supercell_numbers=numbers,
        displacements_angstrom=frozen_array(moves),
        forces_ev_per_angstrom=frozen_array(pulls),
        residual_forces_ev_per_angstrom=frozen_array(np.zeros((len(numbers), 3))),
    )


@pytest.fixture
def fitted(uri, crystals, quick):
    """Two predictions of copper, one by a potential and one fitted to cells with forces."""
    (name,) = import_structures(uri, [crystals / "Cu-fcc.cif"]).material_ids
    with open_database(uri) as database:
        crystal = crystal_of(database, name)
        supercell = SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64)
        settings = replace(quick, phonons=replace(quick.phonons, supercell=supercell))
        solved = PotentialPhonons(load_calculator(EMT), settings).predict(crystal)
        cells = displaced(solved.force_data, 4)
        constants = fit_force_constants(cells).force_constants
        heat = ConductivitySettings(mesh=(4, 4, 4), temperatures_k=(300.0, 600.0))
        kappa = thermal_conductivity(constants, heat)
        fit = replace(
            solved,
            method="gaussian-process-phonons",
            tier=2,
            force_data=None,
            force_constants=constants,
            displaced_cells=cells,
            conductivity=kappa,
            conductivity_std_w_per_m_k=frozen_array(0.1 * np.abs(kappa.conductivity_w_per_m_k)),
        )
        check_prediction(fit)
        for one in (solved, fit):
            write_prediction(database, one, name)
        build_vibrational(database)
    return name, solved, fit


def test_every_part_comes_back(uri, fitted):
    _, solved, fit = fitted
    with open_database(uri) as database:
        (row,) = database.predictions.query(by_field("tier", 2))
        stored = phonons_of(database, row["prediction_id"])
        found = stored.force_constants
        for order in ("second_order_ev_per_angstrom2", "third_order_ev_per_angstrom3"):
            np.testing.assert_array_equal(
                getattr(found, order), getattr(fit.force_constants, order)
            )
        np.testing.assert_array_equal(
            stored.displaced_cells.forces_ev_per_angstrom,
            fit.displaced_cells.forces_ev_per_angstrom,
        )
        np.testing.assert_array_equal(
            stored.conductivity.mode_conductivities_w_per_m_k,
            fit.conductivity.mode_conductivities_w_per_m_k,
        )
        np.testing.assert_array_equal(
            stored.conductivity_std_w_per_m_k, fit.conductivity_std_w_per_m_k
        )
        assert stored.force_data is None
        assert (stored.has_forces, stored.has_harmonic) == (True, True)
        # EMT is anharmonic, so that finite and random displacements do not quite agree
        np.testing.assert_allclose(
            frequencies_at(stored.harmonic(), Q_POINTS),
            frequencies_at(harmonic_from_forces(solved.force_data), Q_POINTS),
            rtol=0.03,
        )


@pytest.mark.usefixtures("fitted")
def test_only_what_is_asked_for_is_read(uri):
    with open_database(uri) as database:
        (row,) = database.predictions.query(by_field("tier", 2))
        stored = phonons_of(database, row["prediction_id"])
        digest = stored.document.force_constants_blob.sha256
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        cut = f"UPDATE {SQLiteBlobs.TABLE} SET data = substr(data, 1, 50) WHERE sha256 = ?"
        connection.execute(cut, [digest])
        connection.commit()
    with open_database(uri) as database:
        stored = phonons_of(database, row["prediction_id"])
        assert stored.band_structure is not None
        assert stored.displaced_cells.n_cells == 4
        with pytest.raises(CorruptDataError):
            _ = stored.force_constants


def test_the_summary_tells_the_conductivity(uri, fitted):
    name, _, fit = fitted
    mean = float(fit.conductivity.mean_conductivity_w_per_m_k[0])
    with open_database(uri) as database:
        (row,) = summaries_where(database, f"{KAPPA} > {0.9 * mean}")
        assert row["material_id"] == name
        assert row[KAPPA] == pytest.approx(mean, rel=1e-12)
        std = row["thermal_conductivity_300k_std_w_per_m_k"]
        assert std == pytest.approx(0.1 * mean, rel=1e-12)
        assert summaries_where(database, f"{KAPPA} > {1.1 * mean}") == []
        document = PredictionDocument.load(
            database.predictions.query_one(
                by_field("prediction_id", row["thermal_conductivity_prediction_id"])
            )
        )
    assert (document.tier, document.force_constants.n_cells) == (2, 4)


def test_every_format_of_one_material_is_written(uri, fitted, tmp_path):
    name, _, fit = fitted
    frequencies = frequencies_at(harmonic_from_force_constants(fit.force_constants), Q_POINTS)
    with open_database(uri) as database:
        paths = {
            kind: export(database, kind, [name], tmp_path / kind.value)[0]
            for kind in ExportFormat
            if kind is not ExportFormat.PARQUET
        }
    loaded = phonopy_load(paths[ExportFormat.PHONOPY])
    np.testing.assert_allclose(loaded.run_qpoints(Q_POINTS).frequencies, frequencies, atol=1e-5)
    assert len(read(paths[ExportFormat.FORCES], index=":")) == 4
    folder = paths[ExportFormat.PHONO3PY]
    third = phono3py.load(
        folder / "phono3py_params.yaml",
        fc2_filename=folder / "fc2.hdf5",
        fc3_filename=folder / "fc3.hdf5",
        produce_fc=False,
    )
    assert third.fc3.shape == fit.force_constants.third_order_ev_per_angstrom3.shape
    assert third.forces.shape == fit.displaced_cells.forces_ev_per_angstrom.shape
    emmet = json.loads(paths[ExportFormat.EMMET].read_text())
    assert np.shape(emmet["force_constants"]) == third.fc2.shape
    modes = json.loads(paths[ExportFormat.PHONONWEBSITE].read_text())
    assert np.all(np.isfinite(modes["eigenvalues"]))


def test_phono3py_needs_fitted_force_constants(uri, fitted, tmp_path):
    name, *_ = fitted
    with open_database(uri) as database:
        database.predictions.remove_docs(by_field("tier", 2))
        build_vibrational(database)
        with pytest.raises(NotFoundError, match="anharmonic"):
            export(database, ExportFormat.PHONO3PY, [name], tmp_path / "out")
        assert export(database, ExportFormat.PHONOPY, [name], tmp_path / "out")
