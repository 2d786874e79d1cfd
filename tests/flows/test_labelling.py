"""Displaced cells, labelled once: what was asked for, nothing twice, failures as documents."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators import emt

from flows import labelling
from flows.catalogue import crystal_of, materials_where
from flows.cli import ExitCode
from flows.labelling import (
    cell_keys,
    cells_left,
    label_batch,
    label_crystal,
    label_material,
    labelling_calculator,
    stored_settings,
)
from flows.labelling_run import label
from flows.labelling_settings import QUANTITIES, LabellingSettings, rattling_from, rattling_to
from flows.launch.launching import launch
from flows.local import Crew
from flows.makers import LabelBatchMaker, LabelMaker
from flows.results import status_of
from screening.digest import digest_of
from screening.errors import ElementNotInModelError, SettingError
from screening.network_potential.rattling import RattlingSettings, rattled_cells
from screening.network_potential.soft_displacements import SoftPairSettings, soft_cells
from stores.connect import open_database
from stores.documents import FailureDocument
from stores.labelled_cells import cell_sets_where

EMT = "ase.calculators.emt.EMT"
SMALL = LabellingSettings(RattlingSettings(n_cells=2, min_length_angstrom=4.0, max_atoms=16))
SOFT = replace(SMALL, soft=SoftPairSettings(n_pairs=1), guide=EMT)
HERE = Crew(workers=0)


def maker(calculator=EMT, settings=SMALL):
    return LabelBatchMaker(calculator=calculator, settings=settings.as_dict())


def stored(uri):
    with open_database(uri, read_only=True) as database:
        return list(cell_sets_where(database, {}))


def test_labels_are_those_of_the_calculator(uri, names):
    report = label(uri, names, maker(), crew=HERE)
    assert report.outcomes == {"computed": len(names)}
    found = stored(uri)
    assert {one.material_id for one in found} == set(names)
    for one in found:
        for cell in one.labelled():
            atoms = Atoms(cell.numbers, cell.positions_angstrom, cell=cell.cell_angstrom, pbc=True)
            atoms.calc = emt.EMT()
            np.testing.assert_allclose(cell.forces_ev_per_angstrom, atoms.get_forces(), atol=1e-10)
            assert cell.energy_ev == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
            np.testing.assert_allclose(
                cell.stress_ev_per_angstrom3, atoms.get_stress(voigt=False), atol=1e-10
            )


def test_halves_of_pairs_sum_to_twice_the_crystal_at_rest(uri, names):
    label(uri, names, maker(), crew=HERE)
    for one in stored(uri):
        with open_database(uri, read_only=True) as database:
            crystal = crystal_of(database, one.material_id)
        first, second = one.labelled()
        assert first.pair == second.pair != ""
        [cell, other] = rattled_cells(crystal.structure, SMALL.rattling, one.material_id)
        lengths = np.linalg.norm(cell.displacements_angstrom, axis=1)
        assert lengths.min() >= 0.01
        assert lengths.max() <= 0.05
        np.testing.assert_array_equal(cell.displacements_angstrom, -other.displacements_angstrom)
        np.testing.assert_array_equal(first.positions_angstrom, cell.positions_angstrom)


def test_a_second_run_computes_nothing(uri, names):
    label(uri, names[:3], maker(), crew=HERE)
    assert label(uri, names, maker(), crew=HERE).outcomes == {"already_done": 3, "computed": 3}
    again = label(uri, names, maker(), crew=HERE)
    assert again.outcomes == {"already_done": 6}
    other = LabellingSettings(replace(SMALL.rattling, seed=1))
    assert label(uri, names, maker(settings=other), crew=HERE).outcomes == {"computed": 6}
    assert len(stored(uri)) == 12


def test_forces_alone(uri, names):
    settings = replace(SMALL, quantities=QUANTITIES[:1])
    label(uri, names[:1], maker(settings=settings), crew=HERE)
    [found] = stored(uri)
    assert found.energies_ev is None
    assert found.stresses_ev_per_angstrom3 is None


@pytest.mark.parametrize(
    ("calculator", "code"),
    [("NanForSilver", "NONFINITE_FORCES"), ("RaisesForSilver", "CALCULATOR_FAILED")],
)
def test_failures_are_documents_and_the_others_go_on(uri, names, calculator, code):
    spec = f"faulty_calculators.{calculator}"
    report = label(uri, names, maker(spec), crew=HERE)
    assert report.outcomes == {"computed": 4, "failed": 2}
    with open_database(uri, read_only=True) as database:
        failures = [FailureDocument.load(row) for row in database.failures.query({})]
    assert {(one.code, one.stage) for one in failures} == {(code, "label")}
    again = label(uri, names, maker(spec), crew=HERE)
    assert again.outcomes == {"already_done": 4, "failed_before": 2}
    assert len(again.failures) == 2


def test_an_unknown_element_is_refused_before_anything_is_computed(uri, names):
    with open_database(uri) as database:
        crystal = crystal_of(database, names[0])
    calculator = replace(labelling_calculator(EMT), elements=frozenset({8}))
    with pytest.raises(ElementNotInModelError):
        label_crystal(crystal, calculator, SMALL)


def test_what_another_process_computes_is_left_to_it(uri, names):
    calculator = labelling_calculator(EMT)
    with open_database(uri) as database:
        crystal = crystal_of(database, names[0])
        found = label_crystal(crystal, calculator, SMALL)
        with database.claims.acquire(found.key):
            assert label_material(database, crystal, calculator, SMALL).outcome == "busy_elsewhere"
        events = label_batch(database, names[:1], calculator, SMALL)
        assert events[names[0]].outcome == "computed"
        assert cells_left(database, names, calculator, SMALL).pending == tuple(
            name
            for name in cells_left(database, names, calculator, SMALL).pending
            if name != names[0]
        )


def test_a_killed_worker_is_replaced_and_no_expensive_call_made_twice(uri, names, tmp_path):
    """Three calls are made, the fourth kills its process; eight cells need eight calls."""
    log = tmp_path / "calls"
    spec = f"pretended_dft.DiesOnce(log={str(log)!r}, calls=3)"
    settings = replace(SMALL, rattling=replace(SMALL.rattling, n_cells=4))
    report = label(uri, names[:2], maker(spec, settings), crew=Crew(workers=1))
    assert report.outcomes == {"computed": 2}
    lines = log.read_text().split()
    assert lines.count("died") == 1
    assert len(lines) == 8 + 1
    for one in stored(uri):
        for cell in one.labelled():
            atoms = Atoms(cell.numbers, cell.positions_angstrom, cell=cell.cell_angstrom, pbc=True)
            atoms.calc = emt.EMT()
            np.testing.assert_allclose(
                cell.forces_ev_per_angstrom, 1.2 * atoms.get_forces(), atol=1e-10
            )


def test_a_label_that_failed_is_no_prediction_and_can_be_retried(uri, names):
    from flows.retrying import forget_failures

    spec = "faulty_calculators.RaisesForSilver"
    label(uri, names, maker(spec), crew=HERE)
    with open_database(uri) as database:
        silver = materials_where(database, "chemsys = Ag")
        assert set(forget_failures(database)) == set(silver)
    assert label(uri, names, maker(spec), crew=HERE).outcomes == {"already_done": 4, "failed": 2}


def test_settings_are_the_same_however_they_were_typed():
    typed = LabellingSettings.from_dict({"rattling": {"largest_strain": 0, "n_cells": 6}})
    assert typed.digest == LabellingSettings().digest
    assert rattling_from(rattling_to(SMALL.rattling)) == SMALL.rattling


@pytest.mark.parametrize(
    "values",
    [
        {"rattling": {"cells": 6}},
        {"rattling": {"n_cells": "6"}},
        {"rattling": {"n_cells": 6.0}},
        {"rattling": {"n_cells": True}},
        {"rattling": {"antithetic": 1}},
        {"rattling": {"largest_angstrom": None}},
        {"rattling": [6]},
        {"rattling": {"n_cells": 5}},
        {"quantities": ["energy"]},
        {"guide": EMT},
        {"soft": {"n_pairs": 1}, "guide": 5},
        {"soft": {"n_pairs": 0}},
        {"soft": {"n_pairs": 1.0}},
        {"soft": {"pairs": 1}},
        {"soft": 1},
        {"seed": 3},
    ],
)
def test_settings_that_cannot_be_used_are_refused(values):
    with pytest.raises(SettingError):
        LabellingSettings.from_dict(values)


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        (
            LabellingSettings(),
            "d5d10fa72ac24cf64f19660d7587f593651e81b8061bd931d2d86d459e5a1cb0",
        ),
        (SMALL, "31479a330492f3928194a590909c316161903569f16e746df1151fba6fc439a0"),
        (
            LabellingSettings(
                RattlingSettings(n_cells=3, antithetic=False, seed=5), QUANTITIES[:1]
            ),
            "b5b214842c47b10a7b37e3fa5a287e4526ab4bf100127c2559a08b89db05aee5",
        ),
    ],
)
def test_cells_without_soft_pairs_have_the_key_they_had_before_there_were_any(settings, digest):
    """Written down before soft pairs were settings; a change computes all labels again."""
    assert settings.digest == digest
    assert digest_of(stored_settings(settings)) == digest


def test_soft_pairs_survive_json():
    settings = replace(SOFT, soft=SoftPairSettings(3, 0.05, 0.1))
    assert LabellingSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    typed = LabellingSettings.from_dict(
        {"soft": {"n_pairs": 3, "root_mean_square_angstrom": 1, "smallest_stiffness": 1}}
    )
    assert typed.soft == SoftPairSettings(3, 1.0, 1.0)
    assert typed.digest == LabellingSettings.from_dict(typed.as_dict()).digest != settings.digest


def test_soft_cells_are_labelled_with_the_random_ones(uri, names):
    assert label(uri, names, maker(settings=SOFT), crew=HERE).outcomes == {"computed": len(names)}
    calculator = labelling_calculator(EMT)
    for one in stored(uri):
        assert one.pairs == ("0", "0", "soft0", "soft0")
        assert one.settings["guide"] == f"{EMT}@{calculator.digest}"
        with open_database(uri, read_only=True) as database:
            structure = crystal_of(database, one.material_id).structure
        made = [
            *rattled_cells(structure, SOFT.rattling, one.material_id),
            *soft_cells(structure, SOFT.rattling, SOFT.soft, one.material_id, calculator),
        ]
        assert len({cell.pair for cell in one.labelled()}) == 2
        for cell, labelled in zip(made, one.labelled(), strict=True):
            np.testing.assert_array_equal(labelled.positions_angstrom, cell.positions_angstrom)
            atoms = Atoms(cell.numbers, cell.positions_angstrom, cell=cell.cell_angstrom, pbc=True)
            atoms.calc = emt.EMT()
            np.testing.assert_allclose(
                labelled.forces_ev_per_angstrom, atoms.get_forces(), atol=1e-10
            )
    again = label(uri, names, maker(settings=SOFT), crew=HERE)
    assert again.outcomes == {"already_done": len(names)}
    assert label(uri, names[:1], maker(), crew=HERE).outcomes == {"computed": 1}  # others


def test_another_guide_behind_the_same_name_makes_other_cells(uri, names, monkeypatch):
    calculator = labelling_calculator(EMT)

    def keys(settings):
        with open_database(uri, read_only=True) as database:
            return cell_keys(database, names[:1], calculator, settings)[names[0]]

    known = keys(SOFT)
    other = replace(calculator, digest="f" * 64)
    monkeypatch.setattr(labelling, "labelling_calculator", lambda _: other)
    assert len({known, keys(SOFT), keys(SMALL)}) == 3
    monkeypatch.setattr(labelling, "labelling_calculator", lambda _: calculator)
    assert keys(replace(SOFT, guide="alias")) == known


def test_a_guide_that_does_not_know_an_element_fails_before_a_label_is_computed(
    uri, names, tmp_path, monkeypatch
):
    log = tmp_path / "calls"
    spec = f"pretended_dft.DiesOnce(log={str(log)!r}, calls=1000)"
    calculator = labelling_calculator(spec)
    guide = replace(labelling_calculator(EMT), elements=frozenset({8}))
    monkeypatch.setattr(labelling, "guide_of", lambda _: guide)
    with open_database(uri) as database:
        event = label_material(database, crystal_of(database, names[0]), calculator, SOFT)
    assert event.outcome == "failed"
    assert event.detail.startswith("ELEMENT_NOT_IN_MODEL")
    assert not log.exists()


def test_a_guide_that_solves_for_electrons_is_refused(uri, names):
    dear = replace(SOFT, guide="pretended_dft.StifferEmt")
    with pytest.raises(SettingError, match="solves for the electrons"):
        label(uri, names, maker(settings=dear), crew=HERE)
    assert stored(uri) == []


@pytest.mark.usefixtures("names")
def test_soft_pairs_by_command(uri, phonoscreen):
    size = ("--min-length", 4, "--max-atoms", 16, "--cells", 2)
    soft = ("cells", "label", "-c", EMT, "-w", 0, *size, "--query", "chemsys = Cu", "--guide", EMT)
    code, _, err = phonoscreen(*soft)
    assert (code, "soft pairs" in err) == (ExitCode.WRONG_USAGE, True)
    code, out, err = phonoscreen(*soft, "--soft-pairs", 2, "--json")
    assert code == ExitCode.DONE, err
    assert json.loads(out)["outcomes"] == {"computed": 2}
    assert {one.pairs[2:] for one in stored(uri)} == {("soft0", "soft0", "soft1", "soft1")}
    _, out, _ = phonoscreen(*soft, "--soft-pairs", 2, "--json")
    assert json.loads(out)["outcomes"] == {"already_done": 2}


def test_a_launch_hands_over_what_is_missing_and_nothing_else(uri, names):
    small = maker("faulty_calculators.RaisesForSilver")
    whole = LabelMaker(batch_maker=small, batch_size=2)
    with open_database(uri, read_only=True) as database:
        first = materials_where(database, "chemsys = Cu")[:1]
    label(uri, first, small, crew=HERE)
    planned = launch(uri, names, whole, dry_run=True)
    assert set(planned.submitted) == set(names) - set(first)
    assert planned.done == first
    done = launch(uri, names, whole)
    assert (done.n_jobs, done.outcomes) == (4, {"decided": 3, "failed": 2})
    again = launch(uri, names, whole, dry_run=True)
    assert again.submitted == ()
    assert len(again.failed) == 2


def test_a_failed_label_does_not_settle_a_material(uri, names):
    label(uri, names, maker("faulty_calculators.RaisesForSilver"), crew=HERE)
    with open_database(uri, read_only=True) as database:
        status = status_of(database)
    assert status.pending == len(names)
    assert status.collections["labelled_cells"] == 4
