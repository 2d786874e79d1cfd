"""Rattled cells, labelled once: what was asked for, nothing twice, failures as documents."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators import emt

from flows.catalogue import crystal_of, materials_where
from flows.labelling import (
    QUANTITIES,
    LabellingSettings,
    cells_left,
    label_batch,
    label_crystal,
    label_material,
    labelling_calculator,
    rattling_from,
    rattling_to,
)
from flows.labelling_run import label
from flows.launch.launching import launch
from flows.local import Crew
from flows.makers import LabelBatchMaker, LabelMaker
from flows.results import status_of
from screening.errors import ElementNotInModelError, SettingError
from screening.network_potential.rattling import RattlingSettings, rattled_cells
from stores.connect import open_database
from stores.documents import FailureDocument
from stores.labelled_cells import cell_sets_where

EMT = "ase.calculators.emt.EMT"
SMALL = LabellingSettings(RattlingSettings(n_cells=2, min_length_angstrom=4.0, max_atoms=16))
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
        {"seed": 3},
    ],
)
def test_settings_that_cannot_be_used_are_refused(values):
    with pytest.raises(SettingError):
        LabellingSettings.from_dict(values)


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
