"""Both trained methods as they are, from stored forces to intervals, ladders and files."""

import json
import shutil

import numpy as np
import pytest
from random_springs import spring_hessian

from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.materials import write_prediction
from flows.predicting import LEARNED, predict_stored
from flows.run import screen
from flows.stored_models import find_model
from flows.training import TrainingTask, train_and_store
from screening.phonons import PhononSettings
from screening.prediction import ForceData, frozen_array
from screening.predictors.given_forces import GivenForces
from screening.random_packing import random_crystals
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.thermodynamics import ThermodynamicsSettings
from stores.connect import open_database
from stores.documents import PredictionDocument, StructureDocument
from stores.model_files import write_model
from stores.models import learned_by

COUNT, N_LEARNED = 28, 24
PUSH_EV_PER_ANGSTROM = 0.3
STEP_ANGSTROM = 0.01
SETTINGS = ScreeningSettings(
    relaxation=None,
    phonons=PhononSettings(mesh_length_angstrom=3.0),
    thermodynamics=ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 1000.0)),
)
METHODS = {
    "rf-ifc": {
        "variant": "tensor_ridge",
        "n_folds": 4,
        "n_inner_folds": 2,
        "n_members": 2,
        "ridge_strengths": [1e-3],
        "three_body": False,
    },
    "ldml": {
        "descriptor": "afs",
        "descriptor_settings": {"n_radial": 4, "l_max": 2},
        "n_folds": 4,
    },
}


def forces_of(structure, push_ev_per_angstrom=0.0):
    """Forces of a crystal of springs in its own cell, each atom displaced along each axis."""
    count = len(structure)
    atoms, axes = np.divmod(np.arange(3 * count), 3)
    forces = -STEP_ANGSTROM * spring_hessian(structure).reshape(3 * count, count, 3)
    rest = np.zeros((count, 3))
    rest[0, 0], rest[1, 0] = push_ev_per_angstrom, -push_ev_per_angstrom
    return ForceData(
        primitive=structure,
        supercell_matrix=np.eye(3, dtype=np.int64),
        supercell_scaled_positions=frozen_array(structure.frac_coords),
        supercell_numbers=np.array(structure.atomic_numbers),
        displaced_atoms=atoms,
        displacements_angstrom=frozen_array(STEP_ANGSTROM * np.eye(3)[axes]),
        forces_ev_per_angstrom=frozen_array(forces + rest),
        residual_forces_ev_per_angstrom=frozen_array(rest),
    )


def put(database, structure):
    crystal = canonical_crystal(structure)
    document = StructureDocument.from_crystal(crystal, source="springs")
    database.structures.update(document.to_store())
    return crystal


def put_forces(database, crystal, push_ev_per_angstrom=0.0):
    forces = forces_of(crystal.structure, push_ev_per_angstrom)
    found = GivenForces(forces, SETTINGS, source="springs").predict(crystal)
    write_prediction(database, found, crystal.material_id)


@pytest.fixture(scope="module")
def springs_file(tmp_path_factory):
    """A database of crystals of springs, to be copied, and their names in order.

    Most have forces, one is not at rest, and of the last three nothing is known.
    """
    file = tmp_path_factory.mktemp("springs") / "springs.db"
    with open_database(f"sqlite:///{file}") as database:
        drawn = random_crystals("Na2 Cl2", 84.0, COUNT, seed=1)
        crystals = [put(database, one) for one in drawn]
        for crystal in crystals[:N_LEARNED]:
            put_forces(database, crystal)
        put_forces(database, crystals[N_LEARNED], PUSH_EV_PER_ANGSTROM)
    return file, [one.material_id for one in crystals]


@pytest.fixture
def springs(tmp_path, springs_file):
    """Names of the crystals, in a database file of its own."""
    shutil.copy(springs_file[0], tmp_path / "screening.db")
    return springs_file[1]


@pytest.mark.parametrize("method", METHODS)
def test_from_stored_forces_to_intervals_and_files(method, uri, springs, tmp_path, phonoscreen):
    done = train_and_store(uri, TrainingTask(method, name="springs", settings=METHODS[method]))
    assert done.n_matching == COUNT
    assert set(done.training_ids) <= set(springs[:N_LEARNED])
    assert len(done.training_ids) + sum(done.left_out.values()) == COUNT
    assert any(reason.startswith("TRAINING_SET") and "0.3" in reason for reason in done.left_out)
    assert done.model.card["n_forces_unknown"] == len(done.training_ids)

    report = predict_stored(uri, find_model_in(uri, method), springs, settings=SETTINGS)
    assert report.n_predicted == COUNT
    assert report.outcomes["computed"] >= N_LEARNED
    assert report.n_learned == N_LEARNED
    with open_database(uri, read_only=True) as database:
        rows = [PredictionDocument.load(x) for x in database.predictions.query({"tier": 0})]
    for row in rows:
        assert (LEARNED in row.warnings) == (row.material_id in springs[:N_LEARNED])
        free = row.to_prediction().thermodynamics.free_energy_mev_per_atom
        assert np.isfinite(free).all()
    others = {row.material_id for row in rows} - set(springs[: N_LEARNED + 1])
    code, out, _ = phonoscreen("query", f"model = {method}:springs", "--json")
    assert code == 0
    assert {one["material_id"] for one in json.loads(out)["materials"]} == others
    assert others

    file = write_model(tmp_path / "springs.psm", done.model)
    other = f"sqlite:///{tmp_path}/other.db"
    assert phonoscreen("models", "import", file, database=other)[0] == 0
    assert find_model_in(other, method).digest == done.model.digest
    with open_database(other) as database:  # what it learned from travels with it
        assert learned_by(database, done.model.digest, springs) == set(springs[:N_LEARNED])
    maker = ScreenBatchMaker(calculator=f"{method}:{file}", settings=SETTINGS.as_dict())
    again = screen(uri, springs, maker, crew=Crew(workers=0))
    assert again.outcomes.keys() <= {"already_done", "failed_before"}


def find_model_in(uri, method):
    with open_database(uri, read_only=True) as database:
        return find_model(database, method, None)
