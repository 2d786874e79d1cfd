from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import (
    MATRICES,
    changes,
    polynomial_forces,
    random_amplitudes,
    real_cells,
    some_cells,
    undisplaced,
    with_forces,
    with_potential,
)

from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    SettingError,
    WrongShapeError,
)
from screening.force_constants import acoustic_sum_error, third_order_acoustic_sum_error
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.settings import Decay, GaussianProcessSettings
from screening.harmonic import harmonic_from_force_constants, mesh_frequencies

NOISELESS = GaussianProcessSettings(noise_floor_ev_per_angstrom=1e-7)


@pytest.fixture(scope="module")
def wurtzite(crystals, pair_potential):
    return with_potential(
        undisplaced(crystals["wurtzite"], MATRICES["wurtzite"]), pair_potential, 8
    )


@pytest.fixture(scope="module")
def wurtzite_basis(wurtzite):
    return basis_for(wurtzite, GaussianProcessSettings())


@pytest.fixture(scope="module")
def wurtzite_fit(wurtzite, wurtzite_basis):
    return fit_force_constants(some_cells(wurtzite, range(4)), basis=wurtzite_basis)


def test_force_constants_of_the_basis_are_recovered_from_six_cells(crystals) -> None:
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    basis = force_constant_basis(cell, (1, 2, 3))
    truth = random_amplitudes(basis)
    moves = random_displacements(cell.n_atoms, 6, 0.05)
    fit = fit_force_constants(
        with_forces(cell, moves, polynomial_forces(basis, truth, moves)), NOISELESS, basis=basis
    )
    second, third = changes(fit.force_constants, fit.expanded(truth))
    assert second < 1e-6
    assert third < 1e-6


def test_forces_on_the_undisplaced_crystal_are_a_first_order(crystals) -> None:
    """Where symmetry permits them they are learned, and second and third order are unharmed."""
    cell = undisplaced(crystals["wurtzite"], MATRICES["wurtzite"])
    basis = force_constant_basis(cell, (1, 2, 3), 3.3)
    truth = random_amplitudes(basis)
    assert np.abs(truth[0]).max() > 0.1
    n_cells = 2 + basis.n_unknowns // (3 * cell.n_atoms)
    moves = random_displacements(cell.n_atoms, n_cells, 0.05)
    fit = fit_force_constants(
        with_forces(cell, moves, polynomial_forces(basis, truth, moves)), NOISELESS, basis=basis
    )
    assert max(changes(fit.force_constants, fit.expanded(truth))) < 1e-5
    still, _ = fit.predict_forces(np.zeros((1, cell.n_atoms, 3)))
    assert np.allclose(
        still[0], polynomial_forces(basis, truth, np.zeros_like(still))[0], atol=1e-6
    )


def test_residual_forces_are_subtracted_and_come_back(wurtzite, wurtzite_fit) -> None:
    residual = wurtzite.residual_forces_ev_per_angstrom
    assert np.abs(residual).max() > 1e-2  # the crystal is no minimum of the pair potential
    still, _ = wurtzite_fit.predict_forces(np.zeros((1, wurtzite.n_atoms, 3)))
    assert np.allclose(still[0], residual, atol=2e-3)


def test_the_fit_obeys_the_sum_rules(wurtzite_fit) -> None:
    found = wurtzite_fit.force_constants
    for one in (found, *wurtzite_fit.sample(2)):
        assert acoustic_sum_error(one.second_order_ev_per_angstrom2) < 1e-10
        assert third_order_acoustic_sum_error(one.third_order_ev_per_angstrom3) < 1e-9


def test_forces_of_other_cells_are_predicted_as_well_as_it_says(wurtzite, wurtzite_fit) -> None:
    others = some_cells(wurtzite, [6, 7])
    mean, spread = wurtzite_fit.predict_forces(others.displacements_angstrom)
    noise = wurtzite_fit.hyperparameters.noise_ev_per_angstrom
    error = mean - others.forces_ev_per_angstrom
    scores = error / np.hypot(spread, noise)
    assert np.std(error) < 0.05 * np.std(others.forces_ev_per_angstrom)
    assert 0.85 < np.mean(np.abs(scores) < 2.0) <= 1.0


def test_draws_predict_what_the_closed_form_predicts(wurtzite, wurtzite_fit) -> None:
    moves = wurtzite.displacements_angstrom[6:7]
    mean, spread = wurtzite_fit.predict_forces(moves)
    designs = wurtzite_fit.designs(moves)
    drawn = wurtzite_fit.posterior.sample(3000, 1)
    forces = sum(design @ values for design, values in zip(designs, drawn, strict=True))
    forces = forces + wurtzite.residual_forces_ev_per_angstrom.reshape(-1, 1)
    assert np.allclose(forces.std(axis=1), spread.ravel(), rtol=0.15)
    assert np.abs((forces.mean(axis=1) - mean.ravel()) / spread.ravel()).max() < 0.1


def test_another_order_of_atoms_gives_the_same_physics(wurtzite, wurtzite_fit) -> None:
    order = np.random.default_rng(5).permutation(wurtzite.n_atoms)
    shuffled = replace(
        some_cells(wurtzite, range(4)),
        supercell_scaled_positions=wurtzite.supercell_scaled_positions[order],
        supercell_numbers=wurtzite.supercell_numbers[order],
        displacements_angstrom=wurtzite.displacements_angstrom[:4, order],
        forces_ev_per_angstrom=wurtzite.forces_ev_per_angstrom[:4, order],
        residual_forces_ev_per_angstrom=wurtzite.residual_forces_ev_per_angstrom[order],
    )
    fit = fit_force_constants(shuffled)
    moves = wurtzite.displacements_angstrom[6:]
    expected, spread = wurtzite_fit.predict_forces(moves)
    found, found_spread = fit.predict_forces(moves[:, order])
    assert fit.log_evidence == pytest.approx(wurtzite_fit.log_evidence, rel=1e-4)
    assert np.allclose(found, expected[:, order], atol=1e-4)
    assert np.allclose(found_spread, spread[:, order], rtol=0.01)
    first, other = (
        mesh_frequencies(harmonic_from_force_constants(one.force_constants), 15.0)
        for one in (wurtzite_fit, fit)
    )
    assert np.allclose(first.frequencies_thz, other.frequencies_thz, atol=1e-3)


def test_more_cells_make_it_surer_and_better(wurtzite, wurtzite_basis, wurtzite_fit) -> None:
    one = fit_force_constants(some_cells(wurtzite, [0]), basis=wurtzite_basis)
    moves = wurtzite.displacements_angstrom[6:]
    truth = wurtzite.forces_ev_per_angstrom[6:]
    few, many = (fit.predict_forces(moves) for fit in (one, wurtzite_fit))
    assert np.mean(many[1]) < 0.5 * np.mean(few[1])
    assert np.std(many[0] - truth) < 0.5 * np.std(few[0] - truth)
    assert one.unknowns_per_equation == pytest.approx(4 * wurtzite_fit.unknowns_per_equation)


def test_a_true_prior_mean_leaves_nothing_to_learn(wurtzite, wurtzite_basis, wurtzite_fit) -> None:
    blind = fit_force_constants(some_cells(wurtzite, [7]), basis=wurtzite_basis)
    expected = wurtzite_fit.force_constants
    told = fit_force_constants(some_cells(wurtzite, [7]), prior_mean=expected, basis=wurtzite_basis)
    assert told.posterior.mean_factors() == pytest.approx([1.0, 1.0], abs=0.3)
    assert (
        changes(told.force_constants, expected)[1]
        < 0.5 * changes(blind.force_constants, expected)[1]
    )


def test_a_harmonic_fit_has_no_third_order(wurtzite) -> None:
    fit = fit_force_constants(some_cells(wurtzite, [0, 1]), GaussianProcessSettings(max_order=2))
    assert fit.force_constants.third_order_ev_per_angstrom3 is None
    assert fit.sample(1)[0].third_order_ev_per_angstrom3 is None


def test_too_many_unknowns_shorten_the_cutoff_and_are_noted(wurtzite) -> None:
    whole = basis_for(wurtzite, GaussianProcessSettings())
    short = basis_for(wurtzite, GaussianProcessSettings(max_unknowns=60))
    assert short.order(3).n_unknowns < whole.order(3).n_unknowns
    fit = fit_force_constants(some_cells(wurtzite, [0]), basis=whole)
    assert any("unknowns per equation" in note for note in fit.notes) == (
        fit.unknowns_per_equation > 5.0
    )
    assert any("Born charges" in note for note in fit.notes)


@pytest.mark.parametrize("decay", list(Decay))
def test_every_form_of_the_prior_learns(wurtzite, wurtzite_basis, decay) -> None:
    fit = fit_force_constants(
        some_cells(wurtzite, range(4)), GaussianProcessSettings(decay=decay), basis=wurtzite_basis
    )
    found, _ = fit.predict_forces(wurtzite.displacements_angstrom[6:])
    error = np.std(found - wurtzite.forces_ev_per_angstrom[6:])
    assert error < 0.2 * np.std(wurtzite.forces_ev_per_angstrom[6:])


def test_contradictory_cells_are_refused(wurtzite, wurtzite_basis) -> None:
    moves, forces = wurtzite.displacements_angstrom, wurtzite.forces_ev_per_angstrom.copy()
    forces[3, 2, 1] = np.nan
    bad = {
        WrongShapeError: replace(wurtzite, displacements_angstrom=moves[:, :-1]),
        NonFiniteForcesError: replace(wurtzite, forces_ev_per_angstrom=forces),
        InconsistentDataError: replace(wurtzite, displacements_angstrom=0.0 * moves),
    }
    for kind, cells in bad.items():
        with pytest.raises(kind) as caught:
            fit_force_constants(cells, basis=wurtzite_basis)
        assert caught.value.subject in {"displacements_angstrom", "forces_ev_per_angstrom"}


@pytest.mark.parametrize("still", [np.full((72, 3), np.nan), np.zeros(3)])
def test_residual_forces_that_do_not_fit_are_refused(wurtzite, wurtzite_basis, still) -> None:
    wrong = replace(wurtzite, residual_forces_ev_per_angstrom=still)
    with pytest.raises(WrongShapeError, match="finite values"):
        fit_force_constants(wrong, basis=wurtzite_basis)


def test_the_form_of_the_prior_may_be_a_word() -> None:
    assert GaussianProcessSettings(decay="none").decay is Decay.NONE
    with pytest.raises(SettingError, match="'foo' is no decay"):
        GaussianProcessSettings(decay="foo")


def test_a_prior_mean_of_another_supercell_is_refused(wurtzite, wurtzite_fit) -> None:
    second = wurtzite_fit.force_constants.second_order_ev_per_angstrom2
    other = replace(wurtzite_fit.force_constants, second_order_ev_per_angstrom2=second[:, :-1])
    with pytest.raises(WrongShapeError, match="prior_mean"):
        fit_force_constants(wurtzite, prior_mean=other, basis=wurtzite_fit.basis)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_order": 4},
        {"noise_floor_ev_per_angstrom": 0.0},
        {"third_order_cutoff_angstrom": -1.0},
        {"mean_scale_std": np.nan},
        {"max_unknowns": 0},
    ],
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(SettingError):
        GaussianProcessSettings(**wrong)


def held_out(fit, name):
    others = real_cells(name, range(97, 100))
    found, spread = fit.predict_forces(others.displacements_angstrom)
    error = found - others.forces_ev_per_angstrom
    scores = error / np.hypot(spread, fit.hyperparameters.noise_ev_per_angstrom)
    return float(np.sqrt(np.mean(error**2))), float(np.mean(np.abs(scores) < 2.0))


def frequency_error(fit, reference):
    first, other = (
        mesh_frequencies(harmonic_from_force_constants(one.force_constants), 40.0)
        for one in (fit, reference)
    )
    apart = np.abs(first.frequencies_thz - other.frequencies_thz)
    return float(first.weights @ apart.mean(axis=1))


def test_two_cells_of_sodium_chloride_are_enough() -> None:
    fit = fit_force_constants(real_cells("NaCl", [0, 1]))
    error, covered = held_out(fit, "NaCl")
    assert error < 3e-4
    assert covered > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_cells", "largest_error"), [("MgO", 3, 1.5e-3), ("NaCl", 2, 3e-4)]
)
def test_few_real_cells_are_enough(name, n_cells, largest_error) -> None:
    basis = basis_for(real_cells(name, [0]), GaussianProcessSettings())
    fit = fit_force_constants(real_cells(name, range(n_cells)), basis=basis)
    reference = fit_force_constants(real_cells(name, range(n_cells, 90)), basis=basis)
    second, third = changes(fit.force_constants, reference.force_constants)
    error, covered = held_out(fit, name)
    assert second < 0.005
    assert third < 0.10
    assert frequency_error(fit, reference) < 0.01
    assert error < largest_error
    assert covered > 0.9
