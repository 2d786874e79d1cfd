"""Repairs in a database: children linked to parents, done once, failures kept, no chain."""

import json
import shutil
from dataclasses import replace

import pytest
from jobflow import run_locally
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure

from flows import families, repairing
from flows.catalogue import crystal_of
from flows.cli import ExitCode
from flows.families import repair, repair_materials
from flows.imports import import_structures
from flows.local import Crew
from flows.makers.batch import ScreenBatchMaker
from flows.makers.repair import RepairMaker
from flows.materials import write_prediction
from flows.predictors import cached_predictor
from flows.repairing import RepairOutcome, repair_material
from flows.results import material
from flows.retrying import forget_failures
from flows.run import screen
from flows.summaries import build_rankings
from flows.tables import payload_fields
from screening.calculators import load_calculator
from screening.errors import NotFoundError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.phonons import PhononSettings
from screening.prediction import Verdict
from screening.repair import RepairSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings
from stores.connect import open_database
from stores.documents import PredictionDocument, StructureDocument
from stores.query import by_field

EMT = "ase.calculators.emt.EMT"
HEXAGONAL = [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
ONE_PROCESS = Crew(workers=0)


SMALL = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)


@pytest.fixture(scope="module")
def maker():
    settings = ScreeningSettings(phonons=PhononSettings(supercell=SMALL))
    return ScreenBatchMaker(calculator=EMT, settings=settings.as_dict())


@pytest.fixture(scope="module")
def template(tmp_path_factory, maker):
    """A file with copper and silver in the body-centred structure, which is unstable, screened."""
    folder = tmp_path_factory.mktemp("template")
    for symbol, edge in {"Cu": 2.87, "Ag": 3.25}.items():
        crystal = Structure(Lattice.cubic(edge), [symbol] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]])
        crystal.to(folder / f"{symbol}.cif")
    uri = f"sqlite:///{folder}/screening.db"
    names = import_structures(uri, [folder]).material_ids
    screen(uri, names, maker, crew=ONE_PROCESS)
    return folder / "screening.db"


@pytest.fixture(scope="module")
def repaired_template(template):
    """The file after the first repair, and the families by formula."""
    file = template.with_name("repaired.db")
    shutil.copyfile(template, file)
    return file, by_formula(repair_all(f"sqlite:///{file}", keys_of(f"sqlite:///{file}")))


@pytest.fixture
def screened(uri, template, tmp_path):
    """Both metals, screened; their keys by formula."""
    shutil.copyfile(template, tmp_path / "screening.db")
    return keys_of(uri)


@pytest.fixture
def repaired(screened, repaired_template, tmp_path):
    """Families by formula after the first repair."""
    file, found = repaired_template
    shutil.copyfile(file, tmp_path / "screening.db")
    return {formula: found[formula] for formula in screened}


@pytest.fixture(scope="module")
def emt():
    return load_calculator(EMT)


def keys_of(uri):
    with open_database(uri) as database:
        return {row["formula_reduced"]: row["material_id"] for row in database.structures.query({})}


def screener(uri, names, maker):
    return screen(uri, names, maker, crew=ONE_PROCESS)


def repair_all(uri, screened, **options):
    return repair(uri, sorted(screened.values()), EMT, screener=screener, **options)


def by_formula(found):
    return {one.event.formula: one for one in found}


def structure_of(uri, material_id):
    with open_database(uri) as database:
        stored = database.structures.query_one(by_field("material_id", material_id))
    return StructureDocument.load(stored)


def counts(uri):
    with open_database(uri) as database:
        names = ("structures", "predictions", "failures")
        return {name: database.collection(name).count() for name in names}


def test_a_child_is_linked_to_its_parent_and_screened_once(uri, screened, repaired):
    for formula, family in repaired.items():
        event = family.event
        assert event.outcome is RepairOutcome.REPAIRED
        assert event.material_id == screened[formula]
        assert family.parent_lowest_thz < -0.5
        assert family.child_verdict is Verdict.STABLE
        assert family.child_lowest_thz > 0
        child, parent = (structure_of(uri, name) for name in (event.child_id, event.material_id))
        assert child.parent_id == parent.material_id
        assert child.parent_relation == event.detail
        assert child.space_group_symbol == "P6_3/mmc"
        assert child.sources == (f"repair of {parent.material_id}",)
        (record,) = parent.repairs
        assert record.material_id == child.material_id
        assert record.gain_mev_per_atom == event.gain_mev_per_atom > 10
        with open_database(uri) as database:
            parts = [material(database, one.material_id) for one in (parent, child)]
        energies = [1e3 * part.summary.static_energy_ev_per_atom for part in parts]
        assert energies[0] - energies[1] == pytest.approx(event.gain_mev_per_atom, abs=1e-2)
        assert parts[0].prediction.settings == parts[1].prediction.settings
    assert counts(uri) == {"structures": 4, "predictions": 4, "failures": 0}


def test_a_second_repair_computes_nothing(uri, screened, repaired, monkeypatch):
    monkeypatch.setattr(repairing, "repair_structure", None)
    for formula, family in by_formula(repair_all(uri, screened)).items():
        assert family.event.outcome is RepairOutcome.REPAIRED_BEFORE
        assert family.event.child_id == repaired[formula].event.child_id
        assert family.child_verdict is Verdict.STABLE
    assert counts(uri) == {"structures": 4, "predictions": 4, "failures": 0}


def test_other_settings_are_another_repair(uri, screened, repaired):
    farther = RepairSettings(amplitudes_angstrom=(0.1, 0.2, 0.25))
    again = by_formula(repair_all(uri, screened, settings=farther))
    for formula, family in again.items():
        assert family.event.child_id == repaired[formula].event.child_id  # one minimum
        assert len(structure_of(uri, screened[formula]).repairs) == 2


def test_a_structure_that_was_there_is_linked_and_not_stored_twice(uri, screened, tmp_path, maker):
    """Its file gives other lattice parameters than the potential: it relaxes to the same."""
    file = tmp_path / "hcp.cif"
    Structure(Lattice.hexagonal(2.6, 4.1), ["Cu"] * 2, HEXAGONAL).to(file)
    (known,) = import_structures(uri, [file]).material_ids
    screen(uri, [known], maker, crew=ONE_PROCESS)
    before = counts(uri)
    (family,) = repair(uri, [screened["Cu"]], EMT, screener=screener)
    assert family.event.outcome is RepairOutcome.LED_TO_KNOWN
    assert family.event.child_id == known
    assert structure_of(uri, screened["Cu"]).repairs[0].material_id == known
    assert structure_of(uri, known).parent_id is None
    assert family.child_verdict is Verdict.STABLE
    assert counts(uri) == before


def test_a_kill_between_the_two_documents_is_made_good(uri, screened, emt, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(repairing, "change_structure", killed)
        with open_database(uri) as database, pytest.raises(KeyboardInterrupt):
            repair_material(database, screened["Cu"], emt)
    assert structure_of(uri, screened["Cu"]).repairs == ()
    with open_database(uri) as database:
        event = repair_material(database, screened["Cu"], emt)
    assert event.outcome is RepairOutcome.REPAIRED
    assert structure_of(uri, event.child_id).parent_id == screened["Cu"]
    assert structure_of(uri, screened["Cu"]).repairs[0].material_id == event.child_id


def test_importing_a_child_keeps_its_parent(uri, repaired, tmp_path):
    child = structure_of(uri, repaired["Cu"].event.child_id)
    file = tmp_path / "POSCAR"
    child.structure.to_pymatgen().to(file, fmt="poscar")
    assert import_structures(uri, [file]).material_ids == (child.material_id,)
    again = structure_of(uri, child.material_id)
    assert len(again.sources) == 2
    assert (again.parent_id, again.parent_relation) == (child.parent_id, child.parent_relation)


def test_only_what_is_unstable_by_this_calculator_is_repaired(uri, screened, repaired, emt):
    class Other:
        digest = "f" * 64
        name = "other"

    child = repaired["Cu"].event.child_id
    with open_database(uri) as database:
        event = repair_material(database, child, emt, again=True)
        assert (event.outcome, event.detail) == (RepairOutcome.NOT_UNSTABLE, "it is stable")
        event = repair_material(database, screened["Cu"], Other())
        assert event.outcome is RepairOutcome.NOT_SCREENED
        assert "no prediction with forces by other" in event.detail
        with pytest.raises(NotFoundError):
            repair_material(database, "ps-0", emt)


def test_a_learned_prediction_is_not_followed_and_the_event_says_why(uri, screened, maker, emt):
    dft = "pretended_dft.StifferEmt"
    few_cells = FewCellSettings(max_cells=1, n_samples=2, fit=GaussianProcessSettings(max_order=2))
    settings = replace(ScreeningSettings.from_dict(maker.settings), few_cells=few_cells)
    predictor = cached_predictor(dft, settings.as_dict())
    material_id = screened["Cu"]
    with open_database(uri) as database:
        learned = predictor.predict(crystal_of(database, material_id))
        write_prediction(database, learned, material_id)
        build_rankings(database, [material_id])
        event = repair_material(database, material_id, load_calculator(dft))
        assert event.outcome is RepairOutcome.NOT_SCREENED
        assert "gaussian-process-phonons" in event.detail
        assert f"screen it with {dft} without few cells" in event.detail
        # the potential's own forces are followed still, and no other verdict is passed over
        followed = repair_material(database, material_id, emt)
        assert followed.outcome is RepairOutcome.REPAIRED
        same = by_field("prediction_id", followed.prediction_id)
        calm = PredictionDocument.load(database.predictions.query_one(same))
        stable = calm.stability.model_copy(update={"verdict": Verdict.STABLE})
        database.predictions.update(calm.replaced(stability=stable).to_store())
        event = repair_material(database, material_id, emt)
        assert event.outcome is RepairOutcome.NOT_UNSTABLE
        assert "it is stable by potential-phonons" in event.detail
        assert "unstable by the prediction shown, gaussian-process-phonons" in event.detail


def test_what_a_repair_made_is_repaired_only_when_asked(uri, screened, emt):
    with open_database(uri) as database:
        stored = structure_of(uri, screened["Cu"])
        made = stored.replaced(parent_id="ps-0", parent_relation="followed a mode")
        database.structures.update(made.to_store())
        refused = repair_material(database, screened["Cu"], emt)
        asked = repair_material(database, screened["Cu"], emt, again=True)
    assert refused.outcome is RepairOutcome.REFUSED
    assert "--again" in refused.detail
    assert asked.outcome is RepairOutcome.REPAIRED


def test_a_failure_is_a_document_and_retried_when_forgotten(uri, screened, emt):
    hopeless = RepairSettings(amplitudes_angstrom=(0.8, 0.9))
    with open_database(uri) as database:
        first, second = (repair_material(database, screened["Cu"], emt, hopeless) for _ in "ab")
        (failure,) = database.failures.query({})
        assert first.outcome is RepairOutcome.FAILED
        assert first.detail.startswith("NO_LOWER_STRUCTURE: no lower structure along the mode")
        assert second.outcome is RepairOutcome.FAILED_BEFORE
        assert (failure["stage"], failure["material_id"]) == ("repair", screened["Cu"])
        assert failure["code"] == "NO_LOWER_STRUCTURE"
        assert failure["next_step"]
        assert forget_failures(database) == (screened["Cu"],)
        third = repair_material(database, screened["Cu"], emt, hopeless)
        assert third.outcome is RepairOutcome.FAILED
        assert counts(uri)["failures"] == 1


def test_two_processes_do_not_repair_the_same(uri, screened, emt):
    with open_database(uri) as database:
        settings = RepairSettings()
        parent = structure_of(uri, screened["Cu"])
        prediction = repairing.prediction_of(database, parent.material_id, emt.digest)
        task = repairing._Task(database, parent, prediction, emt, settings)
        with database.claims.acquire(task.repair_id):
            event = repair_material(database, screened["Cu"], emt, settings)
        assert event.outcome is RepairOutcome.BUSY_ELSEWHERE
        assert repair_material(database, screened["Cu"], emt).outcome is RepairOutcome.REPAIRED


def test_calls_from_first_principles_are_remembered(uri, screened, maker):
    """A repair that was killed before it wrote anything goes on where it was."""
    pretended = "pretended_dft.StifferEmt"
    copper = screened["Cu"]
    screen(uri, [copper], replace(maker, calculator=pretended), crew=ONE_PROCESS)
    before = structure_of(uri, copper)
    numbers = []
    for _ in range(2):
        (event,) = repair_materials(uri, [copper], pretended)
        assert event.outcome is RepairOutcome.REPAIRED
        with open_database(uri) as database:
            numbers.append(database.forces.count())
            database.structures.update(before.to_store())
            database.structures.remove_docs(by_field("material_id", event.child_id))
    assert numbers[0] == numbers[1] > 10


def test_the_maker_runs_as_one_flow(uri, screened, maker):
    made = RepairMaker(batch_maker=maker, settings={"amplitudes_angstrom": [0.1, 0.2]})
    assert MontyDecoder().decode(json.dumps(made, cls=MontyEncoder)) == made
    flow = made.make(uri, sorted(screened.values()))
    responses = run_locally(flow, log=False, ensure_success=True, raise_immediately=True)
    output = responses[flow.jobs[0].uuid][1].output
    assert output["outcomes"] == {"repaired": 2}
    assert len(output["material_ids"]) == 2
    assert counts(uri) == {"structures": 4, "predictions": 4, "failures": 0}
    found = families.families_of(uri, repair_materials(uri, list(screened.values()), EMT), EMT)
    assert {one.event.outcome for one in found} == {RepairOutcome.REPAIRED}


def test_the_command_shows_parents_children_and_verdicts(phonoscreen, uri, screened):
    code, out, err = phonoscreen("repair", "-c", EMT, "-w", 0)
    assert code == ExitCode.DONE
    assert "repaired: followed the imaginary mode" in err
    for name in screened.values():
        assert name in out
        assert structure_of(uri, name).repairs[0].material_id in out
    assert out.count("stable") == 2
    code, out, _ = phonoscreen("repair", screened["Cu"], "-c", EMT, "-w", 0, "--json")
    (one,) = json.loads(out)["repairs"]
    assert code == ExitCode.DONE
    assert (one["outcome"], one["child_verdict"]) == ("repaired_before", "stable")
    code, out, _ = phonoscreen("repair", "-q", "formula_reduced = Ag", "-c", EMT, "--json", "-w", 0)
    both = {one["outcome"]: one for one in json.loads(out)["repairs"]}
    assert both.keys() == {"repaired_before", "not_unstable"}  # the parent and its child
    assert {one["formula"] for one in both.values()} == {"Ag"}
    assert list(both["not_unstable"]) == list(payload_fields("repair"))
    _, out, _ = phonoscreen("show", screened["Cu"])
    assert "leads to" in out
    _, out, _ = phonoscreen("show", structure_of(uri, screened["Cu"]).repairs[0].material_id)
    assert "made from" in out
    assert f"{screened['Cu']}: followed the imaginary mode" in out


def test_the_command_says_what_is_wrong(phonoscreen, screened):
    options = ("-c", EMT, "-w", 0)
    code, _, err = phonoscreen("repair", screened["Cu"], *options, "--amplitudes", "0.8,0.9")
    assert code == ExitCode.SOME_FAILED
    assert "NO_LOWER_STRUCTURE" in err
    code, _, err = phonoscreen("repair", *options, "--amplitudes", "far")
    assert code == ExitCode.WRONG_USAGE
    assert "--amplitudes" in err
    code, _, _ = phonoscreen("repair", "ps-nothing", *options)
    assert code == ExitCode.WRONG_USAGE
    code, _, err = phonoscreen("repair", "-q", "verdict = stable", *options)
    assert code == ExitCode.NOTHING_USABLE
    assert "nothing to repair" in err
