"""Displaced cells of others: put together, stored with their crystal, found again, written out."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from flows.catalogue import crystal_of
from flows.cell_files import first_cells, merged_cells, write_fit
from flows.cell_plans import plan_cells
from flows.given_cells import (
    cells_of_material,
    fit_cells,
    intervals_of,
    predictor_of,
    store_fit,
)
from flows.imports import import_structures
from flows.materials import screen_material
from flows.predictors import cached_predictor
from flows.results import phonons_of
from screening.calculators import load_calculator
from screening.errors import InconsistentDataError, NotFoundError, SettingError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.prior_mean import computed_cells
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.phonons import PhononSettings
from screening.prediction import frozen_array
from screening.quantities import Property
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings
from stores.connect import open_database
from stores.importers.displaced_cells import read_displaced_cells

EMT = "ase.calculators.emt.EMT"
HARMONIC = FewCellSettings(n_samples=4, fit=GaussianProcessSettings(max_order=2))
HARMONIC_ONE = replace(HARMONIC, max_cells=1)


@pytest.fixture(scope="module")
def cells():
    """Three displaced cells of copper, with forces of effective-medium theory."""
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]])
    supercell = SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64)
    settings = ScreeningSettings(phonons=PhononSettings(supercell=supercell), few_cells=HARMONIC)
    plan = plan_cells(canonical_crystal(copper), 3, settings)
    return computed_cells(plan.cells, load_calculator(EMT), plan.cells.displacements_angstrom)


@pytest.fixture(scope="module")
def predictor(cells):
    return predictor_of(cells, HARMONIC, "EMT", static_energy_ev_per_atom=-1.0)


@pytest.fixture(scope="module")
def fitted(predictor):
    return fit_cells(predictor)


def part(cells, some):
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[some],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[some],
        energies_ev=None,
    )


def test_sets_of_one_supercell_are_put_together(cells):
    whole = merged_cells([("a", part(cells, slice(0, 1))), ("b", part(cells, slice(1, 3)))])
    assert np.array_equal(whole.displacements_angstrom, cells.displacements_angstrom)
    assert np.array_equal(whole.forces_ev_per_angstrom, cells.forces_ev_per_angstrom)
    energies = frozen_array([-1.0, -2.0, -3.0])
    known = replace(cells, energies_ev=energies)
    both = merged_cells([("a", known), ("b", known)])
    assert both.energies_ev.tolist() == [-1.0, -2.0, -3.0] * 2
    assert merged_cells([("a", known), ("b", replace(cells, energies_ev=None))]).energies_ev is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"supercell_matrix": 2 * np.eye(3, dtype=int)}, "other supercells than in first.yaml"),
        ({"primitive": Structure(Lattice.cubic(9.0), ["Cu"], [[0, 0, 0]])}, "lattice vectors"),
        ({"supercell_numbers": "swapped"}, "elements or another order"),
        ({"supercell_scaled_positions": "shifted"}, "positions"),
        ({"residual_forces_ev_per_angstrom": "pulled"}, "undisplaced supercell"),
        ({"born_charges_e": np.eye(3)[None]}, "born charges"),
    ],
)
def test_sets_of_different_supercells_are_refused_by_the_difference(cells, change, said):
    values = {
        "swapped": np.array([47, *cells.supercell_numbers[1:]]),
        "shifted": np.roll(cells.supercell_scaled_positions, 1, axis=0),
        "pulled": cells.residual_forces_ev_per_angstrom + 0.1,
    }
    name, value = next(iter(change.items()))
    other = replace(cells, **{name: values[value] if isinstance(value, str) else value})
    with pytest.raises(InconsistentDataError, match=said) as caught:
        merged_cells([("first.yaml", cells), ("second.yaml", other)])
    assert caught.value.subject == "second.yaml"


def test_the_first_cells_of_a_set(cells):
    assert np.array_equal(
        first_cells(cells, 2).forces_ev_per_angstrom, cells.forces_ev_per_angstrom[:2]
    )
    with pytest.raises(SettingError, match="4 of 3 cells"):
        first_cells(cells, 4)


def test_intervals_hold_the_value_and_widen_with_the_coverage(fitted):
    names = [one.quantity.name for one in intervals_of(fitted.prediction, [300.0, 1000.0])]
    assert names[0] == "lowest_frequency_thz"
    assert "free_energy_300k_mev_per_atom" in names
    assert len(names) == 7
    narrow, wide = (intervals_of(fitted.prediction, coverage=one) for one in (0.5, 0.95))
    for one, other in zip(narrow, wide, strict=True):
        assert other.lower < one.lower < one.value < one.upper < other.upper
    curves = fitted.prediction.thermodynamics
    free = next(one for one in narrow if one.quantity.kind is Property.FREE_ENERGY)
    assert free.value == pytest.approx(
        np.interp(300.0, curves.temperatures_k, curves.free_energy_mev_per_atom)
    )
    with pytest.raises(SettingError, match="beyond 0 to 1500 K"):
        intervals_of(fitted.prediction, [2000.0])


def test_a_fit_is_stored_with_its_crystal_and_found_again(uri, cells, fitted, predictor):
    with open_database(uri) as database:
        event = store_fit(database, fitted, predictor, "copper.yaml")
        assert (event.outcome, event.detail) == ("computed", "stable")
        structure = database.structures.query_one({"material_id": event.material_id})
        assert structure["sources"] == ["copper.yaml"]
        summary = database.vibrational.query_one({"material_id": event.material_id})
        assert (summary["tier"], summary["model"]) == (2, "EMT")
        stored = cells_of_material(database, event.material_id)
        assert np.array_equal(stored.cells.forces_ev_per_angstrom, cells.forces_ev_per_angstrom)
        assert (stored.source, stored.prior, stored.fit) == ("EMT", "", HARMONIC.fit)
        assert stored.static_energy_ev_per_atom == -1.0
        constants = phonons_of(database, summary["prediction_id"]).force_constants
        assert np.array_equal(
            constants.second_order_ev_per_angstrom2,
            fitted.fit.force_constants.second_order_ev_per_angstrom2,
        )
        again = store_fit(database, fitted, predictor, "copper.yaml")
        assert (again.outcome, again.material_id) == ("already_done", event.material_id)
        assert database.structures.count() == 1


def test_cells_of_a_prediction_from_first_principles_are_found_too(uri, tmp_path, cells):
    path = tmp_path / "copper.cif"
    cells.primitive.to(path)
    [name] = import_structures(uri, [path]).material_ids
    supercell = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
    few_cells = replace(HARMONIC, max_cells=1, prior=EMT, prior_cells=2)
    settings = ScreeningSettings(
        relaxation=None,
        phonons=PhononSettings(supercell=supercell, mesh_length_angstrom=10.0),
        few_cells=few_cells,
    )
    predictor = cached_predictor("pretended_dft.StifferEmt", settings.as_dict())
    with open_database(uri) as database:
        with pytest.raises(NotFoundError, match="has displaced cells"):
            cells_of_material(database, name)
        screen_material(database, crystal_of(database, name), predictor)
        stored = cells_of_material(database, name)
    assert stored.source == "pretended_dft.StifferEmt"
    assert (stored.tier, stored.model_digest) == (2, predictor.model_digest)
    assert (stored.prior, stored.fit) == (EMT, HARMONIC.fit)
    assert stored.static_energy_ev_per_atom is not None


def test_forces_of_a_potential_stay_so_and_those_of_single_displacements_are_used_too(
    uri, tmp_path, cells, quick
):
    path = tmp_path / "copper.cif"
    cells.primitive.to(path)
    [name] = import_structures(uri, [path]).material_ids
    predictor = cached_predictor(EMT, replace(quick, few_cells=None).as_dict())
    with open_database(uri) as database:
        screen_material(database, crystal_of(database, name), predictor)
        single = cells_of_material(database, name)
    moved = np.any(single.cells.displacements_angstrom, axis=2).sum(axis=1)
    assert moved.tolist() == [1] * single.cells.n_cells
    assert (single.source, single.tier) == (EMT, 1)
    assert single.model_digest == predictor.model_digest
    made = predictor_of(single.cells, HARMONIC, single.source, tier=single.tier)
    fitted = fit_cells(made)
    assert fitted.prediction.tier == 1
    with open_database(uri) as database:
        # cells with all atoms displaced come first, for they hold the third order
        random = cached_predictor(EMT, replace(quick, few_cells=HARMONIC_ONE).as_dict())
        screen_material(database, crystal_of(database, name), random)
        stored = cells_of_material(database, name)
        assert stored.cells.n_cells == 1
        assert np.any(stored.cells.displacements_angstrom, axis=2).all()
        assert stored.tier == 1
        store_fit(database, fitted, made, "copper", name)
        rows = database.predictions.query({"material_id": name}, ["tier"])
        assert [row["tier"] for row in rows] == [1, 1, 1]


def test_a_conductivity_from_forces_of_a_potential_is_that_of_a_potential(
    phonoscreen, uri, tmp_path, cells, small
):
    path = tmp_path / "copper.cif"
    cells.primitive.to(path)
    [name] = import_structures(uri, [path]).material_ids
    larger = SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64)
    phonons = replace(small.phonons, supercell=larger)
    settings = replace(small, relaxation=None, phonons=phonons).as_dict()
    with open_database(uri) as database:
        screen_material(database, crystal_of(database, name), cached_predictor(EMT, settings))
    command = ("gp", "kappa", "-m", name, "--mesh", 3, 3, 3, "--samples", 2)
    code, out, err = phonoscreen(*command)
    assert code == 0, err
    assert "W/m/K" in out
    with open_database(uri) as database:
        rows = list(database.predictions.query({"material_id": name}, ["tier", "warnings"]))
    assert [row["tier"] for row in rows] == [1, 1]
    assert any("unknowns per equation" in one for row in rows for one in row["warnings"])


def test_what_is_written_is_read_by_phonopy_and_by_ourselves(fitted, cells, tmp_path):
    import phonopy

    harmonic, anharmonic = write_fit(fitted, tmp_path / "out")
    assert (harmonic.name, anharmonic.name) == ("Cu-phonopy.yaml", "Cu-phono3py")
    phonon = phonopy.load(harmonic, log_level=0, symmetrize_fc=False)
    expected = fitted.fit.force_constants.second_order_ev_per_angstrom2
    shape = phonon.force_constants.shape
    assert shape == expected.shape
    assert np.sort(phonon.force_constants.ravel()) == pytest.approx(np.sort(expected.ravel()))
    again = read_displaced_cells(anharmonic)
    assert again.n_cells == cells.n_cells
