"""VASP through atomate2: what it would be told, and what becomes of its answers."""

import gzip
import json
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from force_field_phonons import BREAKS_IN_SUPERCELLS, ForceFieldPhononMaker
from in_process_servers import forget_gridfs, share_one_server
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from flows.catalogue import crystal_of
from flows.imports import import_structures
from flows.launch.addresses import job_store
from flows.makers import VaspPhononMaker, vasp
from flows.makers.vasp import displacements_job, prepare_job, read_job
from flows.makers.vasp_environment import check_vasp_environment, require_vasp
from flows.makers.vasp_predictor import VaspPhonons
from flows.makers.vasp_results import (
    PhononOutputs,
    StaticOutputs,
    born_of_all_sites,
    force_data_of,
)
from flows.makers.vasp_settings import Calculation, VaspSettings, incar_of
from flows.makers.vasp_times import RunTimes, run_times
from flows.materials import key_of
from flows.reserving import reserve, reserved
from flows.resources import RESOURCE_TAG
from screening.calculators import load_calculator
from screening.calculators.first_principles import kpoint_grid
from screening.errors import (
    CalculatorFailedError,
    DatabaseUnavailableError,
    ExecutableMissingError,
    InconsistentDataError,
    NonFiniteForcesError,
    PseudopotentialMissingError,
    SettingError,
    WrongShapeError,
)
from screening.phonons import PhononSettings
from screening.predictors.given_forces import GivenForces
from screening.predictors.interface import Predictor, Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings, choose_supercell
from stores.connect import open_database
from stores.documents import LaunchDocument, PhononDocument, PredictionDocument, Provenance
from stores.documents.launch import LaunchState

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in (
        "phonopy.units:DeprecationWarning",  # atomate2 imports it
        "Initial magnetic moments will not be considered:UserWarning",  # atomate2, every time
        "`task_document_kwargs` is now deprecated:DeprecationWarning",  # its force-field jobs
        "forces parameter of produce_force_constants:DeprecationWarning",  # atomate2's schema
        "Mesh .* is incompatible with the primitive-cell",  # and its mesh
    )
]

FORCE_SETS = Path(__file__).parents[3] / "shared" / "data" / "force_sets"
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
ZINCITE = Structure.from_spacegroup(
    "P6_3mc",
    Lattice.hexagonal(3.287, 5.306),
    ["Zn", "O"],
    [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.379]],
)
POTCARS = {"Na": "Na_pv", "Cl": "Cl", "Zn": "Zn", "O": "O"}
SMALL = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)


@pytest.fixture
def compounds(uri: str, tmp_path: Path) -> dict[str, str]:
    """Rock salt, wurtzite and an ordered alloy in the database; their ids by formula."""
    folder = tmp_path / "compounds"
    folder.mkdir()
    alloy = Structure(Lattice.cubic(3.74), ["Au", "Cu", "Cu", "Cu"], [
        [0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0],
    ])  # fmt: skip
    hexagonal = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(2.55, 4.17), ["Cu"], [[1 / 3, 2 / 3, 0.25]]
    )
    for name, structure in {"NaCl": SALT, "ZnO": ZINCITE, "Cu3Au": alloy, "Cu": hexagonal}.items():
        structure.to(folder / f"{name}.cif")
    names = import_structures(uri, [folder]).material_ids
    with open_database(uri) as database:
        return {crystal_of(database, name).formula: name for name in names}


def settings(**changes: object) -> ScreeningSettings:
    phonons = PhononSettings(supercell=SMALL, displacement_angstrom=0.01)
    return ScreeningSettings(**({"relaxation": None, "phonons": phonons} | changes))


def static_values(structure: Structure, gap: float | None = 5.0) -> dict[str, object]:
    return {
        "structure": structure,
        "energy_ev": -7.0,
        "forces_ev_per_angstrom": np.zeros((len(structure), 3)).tolist(),
        "stress_kbar": np.zeros((3, 3)).tolist(),
        "band_gap_ev": gap,
        "relaxation_steps": None,
    }


def vasp_flows(uri: str, name: str, gap: float = 5.0, **fields: object) -> tuple[Flow, Flow]:
    """What the first two jobs of a material put in their place."""
    maker = VaspPhononMaker(
        **({"settings": settings().as_dict()} | fields), check_environment=False
    )
    geometry = prepare_job.original(maker, uri, name).replace
    with open_database(uri) as database:
        structure = crystal_of(database, name).structure.get_sorted_structure()
    phonons = displacements_job.original(maker, uri, name, static_values(structure, gap)).replace
    return geometry, phonons


def jobs_of(flow: Flow) -> dict[str, object]:
    found = {}
    for part in flow.jobs:
        found |= jobs_of(part) if isinstance(part, Flow) else {part.name: part}
    return found


def inputs_of(generator, structure: Structure):
    return generator.get_input_set(structure, potcar_spec=True)


COMMON = {
    "ENCUT": 520.0, "EDIFF": 1e-8, "PREC": "Accurate", "LREAL": False, "ADDGRID": False,
    "ISMEAR": 0, "SIGMA": 0.05, "GGA": "Pe", "ISPIN": 1, "ALGO": "Normal", "LASPH": True,
    "LWAVE": False, "LCHARG": False,
}  # fmt: skip
STILL = {"IBRION": -1, "NSW": 0, "ISIF": 2}


@pytest.mark.parametrize(
    ("formula", "mesh", "potcars"), [("NaCl", (8, 8, 8), "Na_pv\nCl"), ("ZnO", (9, 9, 5), "Zn\nO")]
)
def test_the_inputs_of_every_calculation_are_ours(uri, compounds, formula, mesh, potcars):
    geometry, phonons = vasp_flows(uri, compounds[formula], settings=ScreeningSettings().as_dict())
    with open_database(uri) as database:
        primitive = crystal_of(database, compounds[formula]).structure.get_sorted_structure()
    before, after = jobs_of(geometry), jobs_of(phonons)
    supercell = choose_supercell(primitive, SupercellSettings())
    assert before["tight relax 1"].function_args[0] == primitive
    assert [site.specie.symbol for site in before["tight relax 1"].function_args[0]] == [
        site.specie.symbol for site in primitive
    ]  # in the order in which VASP writes forces
    makers = {
        Calculation.RELAXATION: before["tight relax 2"].maker,
        Calculation.STATIC: before["static"].maker,
        Calculation.DIELECTRIC: after["dielectric"].maker,
        Calculation.DISPLACEMENT: after["run_phonon_displacements"].function_kwargs["phonon_maker"],
    }
    own = {
        Calculation.RELAXATION: {"IBRION": 2, "NSW": 99, "ISIF": 3, "EDIFFG": -1e-3},
        Calculation.STATIC: STILL,
        Calculation.DIELECTRIC: STILL | {"LEPSILON": True, "LPEAD": True},
        Calculation.DISPLACEMENT: STILL,
    }
    for kind, maker in makers.items():
        displaced = kind is Calculation.DISPLACEMENT
        cell = primitive.copy()
        if displaced:
            cell = cell.make_supercell(supercell, in_place=False)
        written = inputs_of(maker.input_set_generator, cell)
        incar = dict(written["INCAR"])
        assert incar.pop("LMAXMIX", 4) == 4  # d electrons, as pymatgen sees them
        assert incar == COMMON | {"NELM": 200, "NELMIN": 5} | own[kind]
        expected = kpoint_grid(supercell @ primitive.lattice.matrix, 0.25) if displaced else mesh
        assert tuple(written["KPOINTS"].kpts[0]) == expected
        assert written["KPOINTS"].style.name == "Gamma"
        assert str(written["POTCAR.spec" if "POTCAR.spec" in written else "POTCAR"]) == potcars
        assert maker.input_set_generator.potcar_functional == "PBE_54"
        assert maker.write_input_set_kwargs == {"apply_incar_updates": False}
        assert list(written["POSCAR"].structure.species) == list(cell.species)


@pytest.mark.parametrize("formula", ["NaCl", "ZnO"])
def test_supercell_and_displacement_are_ours(uri, compounds, formula):
    _, phonons = vasp_flows(uri, compounds[formula], settings=ScreeningSettings().as_dict())
    jobs = jobs_of(phonons)
    with open_database(uri) as database:
        structure = crystal_of(database, compounds[formula]).structure.get_sorted_structure()
    ours = choose_supercell(structure, SupercellSettings())
    for name in ("generate_phonon_displacements", "generate_frequencies_eigenvectors"):
        given = jobs[name].function_kwargs
        assert np.array_equal(np.transpose(given["supercell_matrix"]), ours)
        assert given["displacement"] == 0.01
        assert given["structure"] == structure
    made = jobs["generate_phonon_displacements"]
    displaced = made.function(**made.function_kwargs)
    outputs = PhononOutputs(
        {"structure": structure, "supercell_matrix": ours.T.tolist()},
        displaced,
        np.zeros((len(displaced), len(displaced[0]), 3)),
    )
    data = force_data_of(outputs)
    assert np.array_equal(data.supercell_matrix, ours)
    assert np.allclose(np.linalg.norm(data.displacements_angstrom, axis=1), 0.01, atol=1e-12)
    assert jobs["generate_frequencies_eigenvectors"].function_kwargs["total_dft_energy"].uuid in {
        job.uuid for job in jobs.values()
    }


def test_a_matrix_that_is_not_symmetric_keeps_its_rows(uri, compounds, monkeypatch):
    skew = np.array([[2, 1, 0], [-1, 1, 0], [0, 0, 2]])
    monkeypatch.setattr(vasp, "choose_supercell", lambda *_: skew)
    _, phonons = vasp_flows(uri, compounds["ZnO"])
    made = jobs_of(phonons)["generate_phonon_displacements"]
    structure = made.function_kwargs["structure"]
    displaced = made.function(**made.function_kwargs)
    assert np.allclose(displaced[0].lattice.matrix, skew @ structure.lattice.matrix)
    document = {"structure": structure, "supercell_matrix": skew.T.tolist()}
    zeros = np.zeros((len(displaced), len(displaced[0]), 3))
    assert np.array_equal(
        force_data_of(PhononOutputs(document, displaced, zeros)).supercell_matrix, skew
    )
    with pytest.raises(InconsistentDataError, match="repeat"):
        force_data_of(
            PhononOutputs(document | {"supercell_matrix": skew.tolist()}, displaced, zeros)
        )


def test_born_charges_are_for_insulating_compounds(uri, compounds):
    names = {gap: set(jobs_of(vasp_flows(uri, compounds["NaCl"], gap)[1])) for gap in (5.0, 0.05)}
    assert "dielectric" in names[5.0]
    assert "dielectric" not in names[0.05]
    assert "dielectric" not in jobs_of(vasp_flows(uri, compounds["Cu"], 5.0)[1])
    without = vasp_flows(uri, compounds["NaCl"], 5.0, vasp={"born_charges": False})
    assert "dielectric" not in jobs_of(without[1])


def test_the_flows_travel_as_json_and_as_fireworks(uri, compounds):
    from jobflow.managers.fireworks import flow_to_workflow

    maker = VaspPhononMaker(settings=settings().as_dict(), vasp={"energy_cutoff_ev": 400.0})
    first = maker.make(uri, compounds["ZnO"])
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    for flow in (first, *vasp_flows(uri, compounds["ZnO"], vasp={"energy_cutoff_ev": 400.0})):
        again = Flow.from_dict(json.loads(json.dumps(jsanitize(flow, strict=True))))
        assert set(jobs_of(again)) == set(jobs_of(flow))
        for name, job in jobs_of(again).items():
            old = jobs_of(flow)[name]
            assert job.metadata.get(RESOURCE_TAG) == old.metadata[RESOURCE_TAG]
            makers = [(one.maker or one.function_kwargs.get("phonon_maker")) for one in (job, old)]
            if makers[1] is not None and hasattr(makers[1], "input_set_generator"):
                written = [inputs_of(m.input_set_generator, ZINCITE) for m in makers]
                assert written[0]["INCAR"] == written[1]["INCAR"]
                assert written[0]["INCAR"]["ENCUT"] == 400.0
                assert written[0]["KPOINTS"] == written[1]["KPOINTS"]
        workflow = flow_to_workflow(flow, store, allow_external_references=True)
        assert len(workflow.fws) == len(jobs_of(flow))
        assert json.dumps(workflow.to_dict(), default=str)
    assert jobs_of(first)[first.jobs[0].name].function_args[1:] == (uri, compounds["ZnO"])
    decoded = MontyDecoder().decode(json.dumps(jsanitize(maker, strict=True)))
    assert decoded == maker


def test_every_setting_has_a_say_in_the_digest():
    base = VaspPhononMaker().predictor()
    assert isinstance(base, Predictor)
    assert (base.method, base.tier, base.model) == ("dft-phonons", Tier.SYSTEMATIC_DFT, "vasp:PBE")
    assert base.settings["phonons"]["displacement_angstrom"] == 0.01
    changes = [
        {"energy_cutoff_ev": 600.0}, {"kpoint_spacing_per_angstrom": 0.2},
        {"scf_tolerance_ev": 1e-7}, {"smearing_width_ev": 0.01}, {"spin_polarised": True},
        {"relaxed_force_ev_per_angstrom": 1e-2}, {"least_gap_ev": 0.5}, {"born_charges": False},
        {"incar": {"NCORE": 4}},
    ]  # fmt: skip
    digests = {VaspPhononMaker(vasp=c).predictor().settings_digest for c in changes}
    assert len(digests | {base.settings_digest}) == len(changes) + 1
    models = {
        VaspPhononMaker(vasp=c).predictor().model_digest
        for c in ({}, {"potcars": {"Zn": "Zn_sv_GW"}}, {"potcar_functional": "PBE_64"})
    }
    assert len(models) == 3


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"energy_cutoff_ev": -1.0}, "energy_cutoff_ev"),
        ({"cutoff": 500.0}, "cutoff"),
        ({"incar": {"GGA": "PS"}}, "GGA"),
        ({"incar": {"LSORBIT": True}}, "spin-orbit"),
        ({"incar": {"LNONCOLLINEAR": True}}, "non-collinear"),
        ({"incar": {"encut": 300}}, "capitals"),
    ],
)
def test_settings_that_would_be_another_method_are_refused(wrong, named):
    with pytest.raises(SettingError, match=named):
        VaspPhononMaker(vasp=wrong).make("sqlite:///x.db", "ps-0")


def test_incar_tags_can_be_added_everywhere():
    chosen = VaspSettings(incar={"NCORE": 8, "ADDGRID": True})
    for kind in Calculation:
        assert incar_of(chosen, kind)["NCORE"] == 8
        assert incar_of(chosen, kind)["ADDGRID"] is True


def test_a_missing_program_or_potcar_is_named_before_anything_runs(
    uri, compounds, tmp_path, monkeypatch
):
    from pymatgen.core import SETTINGS

    monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR", raising=False)
    findings = check_vasp_environment(["Na_pv"], command="mpirun-here vasp_std_here")
    assert len(findings) == 2
    assert "mpirun-here, vasp_std_here is not found" in findings[0]
    assert "PMG_VASP_PSP_DIR" in findings[1]
    with pytest.raises(ExecutableMissingError, match="VASP_CMD"):
        require_vasp({}, "PBE_54", "vasp_std_here")
    with pytest.raises(PseudopotentialMissingError, match="pmg config --add PMG_VASP_PSP_DIR"):
        require_vasp({"Na": "Na_pv"}, "PBE_54", "true")
    folder = tmp_path / "POT_GGA_PAW_PBE_54"
    folder.mkdir()
    (folder / "POTCAR.Na_pv.gz").touch()
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    require_vasp({"Na": "Na_pv"}, "PBE_54", "true")
    with pytest.raises(PseudopotentialMissingError, match="no POTCAR of Cl"):
        require_vasp({"Cl": "Cl"}, "PBE_54", "true")

    maker = VaspPhononMaker(settings=settings().as_dict(), command="vasp_std_here")
    report = prepare_job.original(maker, uri, compounds["NaCl"])
    assert report["outcome"] == "failed"
    with open_database(uri) as database:
        failure = database.failures.query_one({})
    assert failure["code"] == "EXECUTABLE_MISSING"
    assert failure["method"] == "dft-phonons"
    assert "vasp_std_here" in failure["message"]
    assert failure["next_step"]


def run(flow: Flow, uri: str, tmp_path: Path) -> dict[str, str]:
    """Run a flow with its outputs in the same database, as a launch does; return its report."""
    root = tmp_path / "jobs"
    root.mkdir(exist_ok=True)
    with open_database(uri) as database:
        store = job_store(database)
        store.connect()
        run_locally(flow, store=store, log=False, create_folders=True, root_dir=root)
        return store.get_output(flow.jobs[0].uuid)


@pytest.mark.parametrize("formula", ["Cu", "Cu3Au"])
def test_a_flow_of_atomate2_becomes_the_prediction_we_would_make(uri, compounds, formula, tmp_path):
    maker = ForceFieldPhononMaker(settings=settings().as_dict())
    name = compounds[formula]
    assert run(maker.make(uri, name), uri, tmp_path)["outcome"] == "computed"
    with open_database(uri) as database:
        crystal = crystal_of(database, name)
        read = PredictionDocument.load(database.predictions.query_one({"material_id": name}))
        phonons = PhononDocument.load(database.phonons.query_one({"material_id": name}))
        assert database.failures.count() == 0
    ours = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), settings())
    expected = ours.predict(crystal)
    found = read.to_prediction()
    assert (found.method, found.tier, found.model) == ("dft-phonons", 3, "vasp:PBE")
    assert read.prediction_id == key_of(crystal.digest, maker.predictor())
    assert found.model_settings["energy_cutoff_ev"] == 520.0
    assert set(crystal.structure.symbol_set) <= set(found.model_settings["potcars"])
    assert phonons.prediction_id == read.prediction_id
    curves = [p.thermodynamics.free_energy_mev_per_atom for p in (found, expected)]
    assert np.abs(curves[0] - curves[1]).max() < 1e-6
    lowest = [p.stability.lowest_frequency_thz for p in (found, expected)]
    assert lowest[0] == pytest.approx(lowest[1], abs=1e-6)
    assert found.static_energy_ev_per_atom == pytest.approx(expected.static_energy_ev_per_atom)
    assert found.cost.force_calls == len(expected.force_data.displaced_atoms) + 1
    again = run(maker.make(uri, name), uri, tmp_path)
    assert again["outcome"] == "already_done"


def test_a_relaxation_comes_first_where_it_is_asked_for(uri, compounds, tmp_path):
    chosen = settings(relaxation=ScreeningSettings().relaxation)
    maker = ForceFieldPhononMaker(settings=chosen.as_dict())
    name = compounds["Cu3Au"]
    assert run(maker.make(uri, name), uri, tmp_path)["outcome"] == "computed"
    with open_database(uri) as database:
        crystal = crystal_of(database, name)
        document = PredictionDocument.load(database.predictions.query_one({}))
    found = document.to_prediction()
    expected = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), chosen).predict(crystal)
    assert found.relaxation.n_steps > 1
    assert found.relaxation.volume_ratio == pytest.approx(
        expected.relaxation.volume_ratio, abs=1e-4
    )
    assert found.relaxation.space_group_number_after == crystal.space_group_number
    curves = [p.thermodynamics.free_energy_mev_per_atom for p in (found, expected)]
    assert np.abs(curves[0] - curves[1]).max() < 0.05


def test_a_displacement_that_fails_leaves_a_failure_document(uri, compounds, tmp_path):
    broken = ForceFieldPhononMaker(settings=settings().as_dict(), force_field=BREAKS_IN_SUPERCELLS)
    report = run(broken.make(uri, compounds["Cu"]), uri, tmp_path)
    assert report["outcome"] == "failed"
    with open_database(uri) as database:
        failure = database.failures.query_one({})
        assert database.predictions.count() == 0
    assert failure["code"] == "CALCULATOR_FAILED"
    assert failure["message"] == "the displacements left no result: 1"
    assert failure["next_step"]


def test_under_fireworks_a_failure_is_written_down_and_a_mended_flow_finishes(
    uri, compounds, tmp_path, monkeypatch
):
    """There a job whose parents failed would wait for ever, and nothing would be on record."""
    import force_field_phonons
    from fireworks import FWorker, LaunchPad
    from fireworks.core.rocket_launcher import rapidfire
    from jobflow.managers.fireworks import flow_to_workflow

    monkeypatch.chdir(tmp_path)
    share_one_server(monkeypatch)
    # a thread tells the server every few seconds that the job lives; this server is no server
    monkeypatch.setattr("fireworks.core.rocket.start_ping_launch", lambda *_: None)
    pad = LaunchPad(host="mongodb://localhost:27017/", name="vasp", uri_mode=True, strm_lvl="ERROR")
    pad.reset("", require_password=False)
    maker = ForceFieldPhononMaker(settings=settings().as_dict(), force_field=BREAKS_IN_SUPERCELLS)
    try:
        with open_database(uri) as database:
            flow = maker.make(uri, compounds["Cu"])
            pad.add_wf(flow_to_workflow(flow, store=job_store(database)))
            rapidfire(pad, FWorker(), m_dir=str(tmp_path), strm_lvl="CRITICAL")
            assert database.predictions.count() == 0
            assert "displacements" in database.failures.query_one({})["message"]
            monkeypatch.setattr(force_field_phonons, "LARGEST_CELL", 1000)
            (broken,) = pad.get_fw_ids({"state": "FIZZLED", "name": "Force field static 1/1"})
            pad.rerun_fw(broken)
            rapidfire(pad, FWorker(), m_dir=str(tmp_path), strm_lvl="CRITICAL")
            assert database.predictions.count() == 1
            assert database.failures.count() == 0
        assert {pad.get_fw_by_id(one).state for one in pad.get_fw_ids()} == {"COMPLETED"}
    finally:
        forget_gridfs()


def reference(name: str):
    """Published DFT forces, and the same as a flow of atomate2 would leave them."""
    from screening.phonons import force_data_from_phonopy_yaml
    from stores.importers.phonopy_yaml import load_yaml

    file = FORCE_SETS / f"{name}.yaml.xz"
    if not file.exists():
        pytest.skip(f"reference data not found: {file}")
    with lzma.open(file, "rt") as stream:
        data = force_data_from_phonopy_yaml(load_yaml(stream.read()))
    lattice = Lattice(data.supercell_matrix @ data.primitive.lattice.matrix)
    places = data.supercell_scaled_positions @ lattice.matrix
    displaced = []
    for atom, move in zip(data.displaced_atoms, data.displacements_angstrom, strict=True):
        moved = places.copy()
        moved[atom] += move
        displaced.append(
            Structure(lattice, data.supercell_numbers, moved, coords_are_cartesian=True)
        )
    document = {
        "structure": data.primitive.as_dict(),
        "supercell_matrix": data.supercell_matrix.T.tolist(),
        "primitive_matrix": np.eye(3).tolist(),
        "epsilon_static": data.dielectric_constant.tolist(),
        "born": data.born_charges_e.tolist(),
    }
    forces = {"forces": data.forces_ev_per_angstrom.tolist()}
    return data, PhononOutputs(document, displaced, forces, born_expected=True)


@pytest.mark.parametrize("name", ["NaCl", "ZnO"])
def test_a_stored_document_with_born_charges_gives_the_frequencies_of_its_forces(name):
    data, outputs = reference(name)
    chosen = ScreeningSettings(
        relaxation=None, phonons=PhononSettings(mesh_length_angstrom=25.0, symprec_angstrom=1e-4)
    )
    crystal = canonical_crystal(data.primitive)
    expected = GivenForces(data, chosen).predict(crystal)
    static = StaticOutputs.from_output(static_values(data.primitive))
    vasp = VaspPhonons(chosen, VaspSettings(), POTCARS).with_outputs(static, outputs)
    found = vasp.predict(crystal)
    lowest = [p.stability.lowest_frequency_thz for p in (found, expected)]
    assert lowest[0] == pytest.approx(lowest[1], abs=1e-9)
    bands = [p.band_structure.frequencies_thz for p in (found, expected)]
    assert np.abs(bands[0] - bands[1]).max() < 1e-6
    assert not [text for text in found.warnings if "LO-TO" in text]
    assert found.static_energy_ev_per_atom == pytest.approx(-7.0 / len(data.primitive))


def test_born_charges_of_inequivalent_atoms_are_spread_by_symmetry():
    data, outputs = reference("ZnO")
    firsts = [0, 2] if data.primitive[0].specie == data.primitive[1].specie else [0, 1]
    expected = force_data_of(outputs).born_charges_e
    few = np.array(data.born_charges_e)[firsts]
    assert np.abs(born_of_all_sites(few, data.primitive) - expected).max() < 1e-3
    with pytest.raises(InconsistentDataError, match="inequivalent"):
        born_of_all_sites(np.zeros((3, 3, 3)), data.primitive)


def test_charges_turn_with_the_site_and_not_with_a_mirror():
    """Two oxygen sites of rutile along different diagonals have different tensors."""
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    titanium = np.array([[6.3, 1.0, 0], [1.0, 6.3, 0], [0, 0, 7.5]])
    oxygen = np.array([[-3.1, -1.8, 0], [-1.8, -3.1, 0], [0, 0, -3.75]])
    every = born_of_all_sites(np.array([titanium, oxygen]), rutile)
    assert np.allclose(every[0], titanium)
    assert np.allclose(every[1], titanium * np.array([[1, -1, 1], [-1, 1, 1], [1, 1, 1]]))
    assert np.allclose(every.sum(axis=0)[[0, 1, 2, 0], [0, 1, 2, 1]], [0.2, 0.2, 0.0, 0.0])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda _: {"displaced": None}, CalculatorFailedError),
        (lambda _: {"document": None}, CalculatorFailedError),
        (lambda _: {"forces_ev_per_angstrom": None}, CalculatorFailedError),
        (lambda _: {"forces_ev_per_angstrom": {"forces": [None] * 2}}, CalculatorFailedError),
        (lambda o: {"document": o.document | {"born": None}}, CalculatorFailedError),
        (
            lambda o: {
                "forces_ev_per_angstrom": [f[:-1] for f in o.forces_ev_per_angstrom["forces"]]
            },
            WrongShapeError,
        ),
        (
            lambda o: {
                "forces_ev_per_angstrom": np.nan * np.array(o.forces_ev_per_angstrom["forces"])
            },
            NonFiniteForcesError,
        ),
        (
            lambda o: {"displaced": [Structure.from_sites(list(s)[::-1]) for s in o.displaced]},
            InconsistentDataError,
        ),
        (
            lambda o: {"document": o.document | {"primitive_matrix": (0.5 * np.eye(3)).tolist()}},
            InconsistentDataError,
        ),
        (
            lambda o: {"document": o.document | {"supercell_matrix": np.eye(3).tolist()}},
            InconsistentDataError,
        ),
    ],
)
def test_outputs_that_cannot_be_right_are_refused(change, error):
    _, outputs = reference("NaCl")
    with pytest.raises(error):
        force_data_of(replace(outputs, **change(outputs)))


def test_a_static_calculation_without_a_result_is_a_failure(uri, compounds):
    maker = ForceFieldPhononMaker(settings=settings().as_dict())
    nothing = dict.fromkeys(static_values(SALT))
    for job in (
        displacements_job.original(maker, uri, compounds["Cu"], nothing),
        read_job.original(maker, uri, compounds["Cu"], nothing, {}),
    ):
        assert job["outcome"] == "failed"
    with open_database(uri) as database:
        assert database.failures.query_one({})["code"] == "CALCULATOR_FAILED"


@pytest.mark.parametrize(
    ("head", "cores"),
    [
        (" running on    8 total cores", 8),
        (" running    4 mpi-ranks, with    2 threads/rank, on    1 nodes", 8),
        ("", 1),
    ],
)
def test_the_cost_is_what_vasp_says_it_was(tmp_path, head, cores):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    text = f"{head}\n   Total CPU time used (sec):  80.1\n   Elapsed time (sec):      12.500\n"
    (tmp_path / "a" / "OUTCAR").write_text(text)
    (tmp_path / "b" / "OUTCAR.gz").write_bytes(gzip.compress(text.encode()))
    folders = [f"node17:{tmp_path}/a", str(tmp_path / "b"), f"elsewhere:{tmp_path}/c", None]
    assert run_times(folders) == RunTimes(25.0, 25.0 * cores, 2)


def test_magnetic_elements_are_pointed_out():
    from flows.makers.vasp_settings import magnetism_notes

    oxide = Structure(Lattice.cubic(4.2), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert magnetism_notes(SALT, VaspSettings()) == ()
    assert "no spin polarisation" in magnetism_notes(oxide, VaspSettings())[0]
    assert "ferromagnetic" in magnetism_notes(oxide, VaspSettings(spin_polarised=True))[0]


@pytest.mark.parametrize("symbol", ["Mn", "Pm", "Yb", "Pu", "Cm"])
def test_the_magnetic_elements_are_those_of_every_code(symbol):
    from flows.makers.vasp_settings import magnetism_notes

    metal = Structure(Lattice.cubic(3.0), [symbol], [[0, 0, 0]])
    assert symbol in magnetism_notes(metal, VaspSettings())[0]


def test_a_cost_of_which_a_part_is_unknown_is_unknown(tmp_path):
    data, outputs = reference("NaCl")
    text = " running on    8 total cores\n   Elapsed time (sec):      12.500\n"
    (tmp_path / "OUTCAR").write_text(text)
    chosen = ScreeningSettings(
        relaxation=None, phonons=PhononSettings(mesh_length_angstrom=25.0, symprec_angstrom=1e-4)
    )
    crystal = canonical_crystal(data.primitive)
    here = str(tmp_path)
    n_runs = len(outputs.displaced)
    for known, cores, said in ((n_runs, 100.0 * (n_runs + 1), 0), (n_runs - 1, 0.0, 1)):
        values = static_values(data.primitive) | {"directories": [here]}
        static = StaticOutputs.from_output(values)
        folders = outputs.document | {"jobdirs": {"displacements_job_dirs": [here] * known}}
        there = replace(outputs, document=folders, born_expected=False)
        vasp_phonons = VaspPhonons(chosen, VaspSettings(), POTCARS).with_outputs(static, there)
        found = vasp_phonons.predict(crystal)
        assert found.cost.cpu_seconds == cores
        assert len([text for text in found.warnings if "core time is not known" in text]) == said


def test_without_atomate2_a_failure_is_on_record_until_a_worker_has_it(uri, compounds, monkeypatch):
    maker = VaspPhononMaker(settings=settings().as_dict(), check_environment=False)
    name = compounds["Cu"]
    with monkeypatch.context() as patch:

        def missing():
            raise ExecutableMissingError("atomate2 is not installed")

        patch.setattr("flows.makers.vasp.atomate2_potcars", missing)
        report = prepare_job.original(maker, uri, name)
    assert report["outcome"] == "failed"
    assert report["detail"] == "EXECUTABLE_MISSING: atomate2 is not installed"
    with open_database(uri) as database:
        failure = database.failures.query_one({"material_id": name})
        assert (failure["code"], failure["tier"]) == ("EXECUTABLE_MISSING", 3)
        assert prepare_job.original(maker, uri, name).replace is not None
        assert database.failures.count() == 0


def test_attempts_are_counted_and_a_database_that_is_away_is_no_failure(
    uri, compounds, monkeypatch
):
    maker = VaspPhononMaker(settings=settings().as_dict(), command="no_vasp_here")
    name = compounds["Cu"]
    for attempt in (1, 2):
        assert prepare_job.original(maker, uri, name)["outcome"] == "failed"
        with open_database(uri) as database:
            assert database.failures.query_one({})["attempts"] == attempt
            database.failures.remove_docs({})

    def away(*_):
        raise DatabaseUnavailableError("cannot be reached")

    monkeypatch.setattr("flows.makers.vasp.write_prediction", away)
    monkeypatch.setattr(VaspPhonons, "predict", away)
    nothing = static_values(SALT)
    outputs = {"document": None, "displaced": None, "forces_ev_per_angstrom": None}
    with pytest.raises(DatabaseUnavailableError):
        read_job.original(maker, uri, name, nothing, outputs)
    with open_database(uri) as database:
        assert database.failures.count() == 0


def launched(uri, flow, name):
    """Write a launch down as `phonoscreen launch` does."""
    document = LaunchDocument.build(
        provenance=Provenance.now(),
        launch_id=flow.uuid,
        engine="fireworks",
        queue="paper",
        name="VASP",
        purpose="a" * 64,
        material_ids=(name,),
        keys=("a" * 64,),
        n_jobs=1,
        state=LaunchState.SUBMITTED,
    )
    with open_database(uri) as database:
        database.launches.update(document.to_store())
    return document


def test_two_launched_flows_do_not_make_the_same_prediction(uri, compounds, tmp_path):
    name = compounds["Cu"]
    maker = ForceFieldPhononMaker(settings=settings().as_dict())
    first, second = maker.make(uri, name), maker.make(uri, name)
    document = launched(uri, first, name)
    launched(uri, second, name)
    with open_database(uri) as database:
        key = key_of(crystal_of(database, name).digest, maker.predictor())
        assert reserve(database, key, first.uuid)  # its first job has run
        assert reserved(database, [key]) == {key}
        assert run(second, uri, tmp_path)["outcome"] == "busy_elsewhere"
        lost = document.replaced(state=LaunchState.LOST)
        database.launches.update(lost.to_store())
        assert reserved(database, [key]) == set()
        database.launches.update(document.to_store())
        assert run(first, uri, tmp_path)["outcome"] == "computed"
        assert reserved(database, [key]) == set()
        assert database.claims.reservations([key]) == {}


def test_the_reservation_of_a_flow_that_fails_is_given_up(uri, compounds, tmp_path):
    name = compounds["Cu"]
    broken = ForceFieldPhononMaker(settings=settings().as_dict(), force_field=BREAKS_IN_SUPERCELLS)
    flow = broken.make(uri, name)
    launched(uri, flow, name)
    assert run(flow, uri, tmp_path)["outcome"] == "failed"
    with open_database(uri) as database:
        assert database.collection("claims").query_one({"holder": flow.uuid}) is None
