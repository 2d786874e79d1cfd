"""The frequency scale of a stored potential from a file of heat capacities."""

import gzip
import json
from dataclasses import replace

import pytest
from pymatgen.core import Lattice, Structure
from tiny_networks import tiny_model

from flows.cli import ExitCode
from flows.potential_heat_capacities import HeatCapacityTask, scale_potential_to_heat_capacities
from screening.calculators import load_calculator
from screening.errors import ModelRefusedError, ParseError, SettingError, TrainingSetError
from screening.harmonic import harmonic_from_forces, mesh_frequencies
from screening.network_potential.softening import frequency_scale_of
from screening.phonons import PhononSettings, compute_forces
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import MEV_TO_JOULE_PER_MOL
from stores.connect import open_database
from stores.models import load_model, store_model

FACTOR = 1.3
EMT = "ase.calculators.emt.EMT"
EDGES = {"Al": 4.0, "Cu": 3.6, "Ni": 3.5, "Pd": 3.9}


@pytest.fixture(scope="module")
def records(small_phonons):
    """Heat capacities of conventional cells whose frequencies are all 30 % higher."""
    found = []
    for symbol, edge in EDGES.items():
        cubic = Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [symbol], [[0, 0, 0]])
        primitive = canonical_crystal(cubic).structure
        forces = compute_forces(primitive, load_calculator(EMT), small_phonons)
        mesh = mesh_frequencies(harmonic_from_forces(forces), small_phonons.mesh_length_angstrom)
        heat = thermodynamics(
            FACTOR * mesh.frequencies_thz,
            mesh.weights,
            1,
            ThermodynamicsSettings(temperatures_k=(100.0,)),
            is_gamma=mesh.is_gamma,
        ).heat_capacity_mev_per_k_per_atom[0]
        given = 4.0 * MEV_TO_JOULE_PER_MOL * float(heat)
        found.append(
            {"mp_id": f"mp-{symbol}", "structure": cubic.as_dict(), "heat_capacity": given}
        )
    return found


@pytest.fixture(scope="module")
def small_phonons():
    supercell = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
    return PhononSettings(supercell=supercell, mesh_length_angstrom=20.0)


@pytest.fixture
def potential(uri, monkeypatch):
    """A stored potential that learned Ni; its forces are those of effective-medium theory."""
    monkeypatch.setattr(
        "screening.calculators.trained_mace.load_trained_potential",
        lambda _: load_calculator(EMT),
    )
    card = {"split": {"training_groups": ["Ni"], "held_out_groups": ["Cu"]}}
    model = replace(tiny_model(), n_training_samples=1, card=card)
    with open_database(uri) as database:
        store_model(database, model)
    return model


@pytest.fixture
def file(records, tmp_path):
    broken = [{"structure": records[0]["structure"], "heat_capacity": None}, {"no": "record"}]
    unknown = json.loads(json.dumps(records[0]).replace('"Al"', '"U"'))
    path = tmp_path / "heat.json.gz"
    path.write_bytes(gzip.compress(json.dumps([*records, *broken, unknown]).encode()))
    return path


def test_the_factor_is_found_by_compositions_that_nothing_was_learned_from(
    uri, potential, file, small_phonons
):
    heard = []
    task = HeatCapacityTask(str(file), "cell", temperature_k=100.0, exclude=frozenset({"Pd"}))
    done = scale_potential_to_heat_capacities(
        uri, "tiny", task, lambda *told: heard.append(told), small_phonons
    )
    assert done.scale.factor == pytest.approx(FACTOR, rel=1e-4)
    assert done.scale.kind == "heat_capacity"
    assert done.scale.n_compositions == 2  # Al and Cu
    assert done.scale.rms_after < 1e-3 * done.scale.rms_before
    assert done.left_out == {
        "NONFINITE_INPUT": 1,
        "PARSE_ERROR": 1,
        "its composition is reserved": 1,
        "its composition was learned from": 1,
        "CALCULATOR_FAILED": 1,  # this one finds out by itself that it does not know U
    }
    assert heard[-1] == ("computing phonons", 3, 3)
    with open_database(uri, read_only=True) as database:
        newest = load_model(database, "mace:tiny")
    assert newest.digest == done.model.digest != potential.digest
    assert frequency_scale_of(newest) == done.scale
    assert done.scale.note in newest.card["notes"]


@pytest.mark.usefixtures("potential")
def test_what_numbers_are_per_must_be_said_and_is_checked(uri, file, small_phonons, tmp_path):
    for changes in ({"per": ""}, {"per": "mole"}, {"unit": "cal"}, {"temperature_k": -1.0}):
        task = replace(HeatCapacityTask(str(file), "cell"), **changes)
        with pytest.raises(SettingError):
            scale_potential_to_heat_capacities(uri, "tiny", task, None, small_phonons)
    as_atoms = HeatCapacityTask(str(file), "atom", temperature_k=100.0)  # above 3 k_B: all refused
    with pytest.raises(TrainingSetError, match="INCONSISTENT"):
        scale_potential_to_heat_capacities(uri, "tiny", as_atoms, None, small_phonons)
    broken = tmp_path / "a.json"
    broken.write_text('{"a": 1}')
    with pytest.raises(ParseError, match="no list"):
        scale_potential_to_heat_capacities(uri, "tiny", HeatCapacityTask(str(broken), "cell"))
    with open_database(uri) as database:
        store_model(database, replace(tiny_model(), method="linear-descriptor-entropy", name="x",
                                      n_training_samples=1))  # fmt: skip
    with pytest.raises(ModelRefusedError):
        scale_potential_to_heat_capacities(uri, "x", HeatCapacityTask(str(file), "cell"))


@pytest.mark.usefixtures("potential")
def test_the_command(phonoscreen, file, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"phonons": {"supercell": {
        "min_length_angstrom": 5.0, "min_atoms": 8, "max_atoms": 64}}}))  # fmt: skip
    base = ("models", "scale", "tiny", "--heat-capacities", file, "--settings", settings)
    code, out, err = phonoscreen(*base, "--per", "cell", "--temperature", 100)
    assert code == ExitCode.DONE, err
    for said in ("its composition was learned from", "meV/K/atom", "heat.json.gz"):
        assert said in " ".join(out.split())
    assert phonoscreen(*base)[0] == ExitCode.WRONG_USAGE
    for foreign in (("--query", "a = b"), ("--include-learned",)):
        assert phonoscreen(*base, "--per", "cell", *foreign)[0] == ExitCode.WRONG_USAGE
    assert phonoscreen("models", "scale", "tiny", "--per", "cell")[0] == ExitCode.WRONG_USAGE
