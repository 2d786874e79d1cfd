from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from random_cells import rattled
from scipy.stats import multivariate_normal

from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError, TooLargeError
from screening.force_constants import acoustic_sum_error, third_order_acoustic_sum_error
from screening.gaussian_process.derivative_covariance import RadialKernel
from screening.gaussian_process.derivative_kernel import cell_gradients, compact_rows
from screening.gaussian_process.symmetrised_kernel import (
    SupercellOperations,
    SymmetrisedKernelSettings,
    fit_symmetrised,
    symmetrised_force_constants,
)
from screening.supercell_symmetry import SupercellSymmetry, locate_atoms
from stores.importers.displaced_cells import read_displaced_cells

THIRD_ORDER = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "third_order"


displaced = partial(rattled, rattle_angstrom=0.02, seed=11)


@cache
def all_sodium_chloride() -> DisplacedCells:
    path = THIRD_ORDER / "NaCl-random-displacements.yaml.xz"
    if not path.exists():
        pytest.skip(f"no reference data at {path}")
    return read_displaced_cells(path)


def sodium_chloride(start, stop):
    """Return some of the real cells; tests that need them are skipped where they are absent."""
    cells = all_sodium_chloride()
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[start:stop],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[start:stop],
        energies_ev=cells.energies_ev[start:stop],
    )


@pytest.fixture
def wurtzite(crystals, pair_potential):
    return displaced(crystals["wurtzite"], [2, 2, 1], pair_potential, 4)


def symmetry_of(cells):
    where = locate_atoms(
        cells.primitive,
        cells.supercell_matrix,
        cells.supercell_scaled_positions,
        cells.supercell_numbers,
    )
    return SupercellSymmetry(cells.primitive, cells.supercell_matrix, *where)


def assert_invariant(cells, found):
    """Every operation, every order of differentiation and every translation, to 1e-10."""
    second, third = found.second_order_ev_per_angstrom2, found.third_order_ev_per_angstrom3
    symmetry, rows = symmetry_of(cells), compact_rows(cells)
    assert acoustic_sum_error(second) < 1e-10
    assert third_order_acoustic_sum_error(third) < 1e-10
    assert abs(third.sum(axis=1)).max() < 1e-10
    mirrored = second[symmetry.sites[None], symmetry.opposite(rows)].swapaxes(2, 3)
    np.testing.assert_allclose(second, mirrored, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        third, third.transpose(0, 2, 1, 3, 5, 4), rtol=0, atol=1e-10 * abs(third).max()
    )
    for site, row in enumerate(rows):
        for other_site, other in enumerate(rows):
            for rotation in symmetry.rotations_between(row, other):
                turn = symmetry.rotations_cartesian[rotation]
                goes = symmetry.permutation(rotation, row, other)
                turned = np.einsum("ai,bj,nij->nab", turn, turn, second[site], optimize=True)
                np.testing.assert_allclose(second[other_site][goes], turned, rtol=0, atol=1e-10)
                turned = np.einsum(
                    "ai,bj,ck,nmijk->nmabc", turn, turn, turn, third[site], optimize=True
                )
                moved = third[other_site][np.ix_(goes, goes)]
                bound = 1e-10 * abs(third).max()
                np.testing.assert_allclose(moved, turned, rtol=0, atol=bound)


@pytest.mark.parametrize("name", ["hcp", "wurtzite", "rutile", "triclinic"])
def test_force_constants_obey_everything(crystals, pair_potential, name):
    cells = displaced(crystals[name], [2, 2, 1], pair_potential, 2)
    assert_invariant(cells, symmetrised_force_constants(cells))


def test_force_constants_of_real_forces_obey_everything():
    cells = sodium_chloride(0, 2)
    assert_invariant(cells, symmetrised_force_constants(cells))


def test_operations_are_a_group_of_orthogonal_matrices(wurtzite):
    operations = SupercellOperations.of_cells(wurtzite)
    rng = np.random.default_rng(0)
    vector, weights = rng.normal(size=48), rng.normal(size=len(operations.rotations))
    images, back = operations.images(vector), operations.inverse_images(vector)
    np.testing.assert_allclose(operations.weighted_sum(weights) @ vector, weights @ images)
    np.testing.assert_allclose(operations.weighted_sum(weights).T @ vector, weights @ back)
    np.testing.assert_allclose(operations.inverse_images(images[7])[7], vector, atol=1e-12)
    second_images = operations.images(images[5])
    distances = np.linalg.norm(second_images[:, None] - images[None], axis=2)
    assert distances.min(axis=1).max() < 1e-10  # closed: an image of an image is an image
    assert len(images) == 12 * 4  # rotations and lattice translations


def plain_average(cells, length_scale):
    """Return the covariance from its definition: every operation as a matrix."""
    operations = SupercellOperations.of_cells(cells)
    points, gradients, _ = cell_gradients(cells)
    dimension = points.shape[1]
    rigid = np.kron(np.ones((dimension // 3, dimension // 3)) / (dimension // 3), np.eye(3))
    project = np.eye(dimension) - rigid
    kernel = RadialKernel(length_scale)
    n_points, n_operations = len(points), len(operations.rotations)
    total = np.zeros((n_points, dimension, n_points, dimension))
    for index in range(n_operations):
        turn = operations.weighted_sum(np.eye(n_operations)[index])
        for first, point in enumerate(points):
            for second, other in enumerate(points):
                both = np.stack([project @ point, project @ turn @ other])
                block = kernel.covariance(both, with_energies=False)
                block = block[:dimension, dimension:]
                total[first, :, second] += project @ block @ turn @ project / n_operations
    size = n_points * dimension
    return total.reshape(size, size), gradients @ project, project


def test_fit_follows_from_the_kernel_averaged_over_the_group(crystals, pair_potential):
    cells = displaced(crystals["wurtzite"], [1, 2, 1], pair_potential, 2)
    settings = SymmetrisedKernelSettings(
        length_scale="fixed", length_scale_angstrom=0.7, noise_force_ev_per_angstrom=1e-3
    )
    covariance, gradients, project = plain_average(cells, 0.7)
    points = cell_gradients(cells)[0]
    fit = fit_symmetrised(
        points, cell_gradients(cells)[1], SupercellOperations.of_cells(cells), settings
    )
    weights = np.linalg.solve(covariance + 1e-6 * np.eye(len(covariance)), gradients.ravel())
    expected = (covariance @ weights).reshape(points.shape)
    np.testing.assert_allclose(fit.gradients(points), expected, atol=1e-8)

    seen = np.linalg.eigh(project)[1][:, 3:]  # what is no rigid translation
    seen = np.kron(np.eye(len(points)), seen)
    inside = seen.T @ (covariance + 1e-6 * np.eye(len(covariance))) @ seen
    data = seen.T @ gradients.ravel()
    height = multivariate_normal.logpdf(data, np.zeros(len(data)), fit.variance_ev2 * inside)
    assert fit.log_evidence == pytest.approx(height, rel=1e-7)


def test_second_order_is_the_slope_of_the_predicted_gradients(wurtzite):
    points, gradients, _ = cell_gradients(wurtzite)
    operations = SupercellOperations.of_cells(wurtzite)
    fit = fit_symmetrised(points, gradients, operations, SymmetrisedKernelSettings())
    step, rows = 1e-3, np.arange(6)
    up, down = (fit.gradients(sign * step * np.eye(48)[rows]) for sign in (1.0, -1.0))
    second = fit.second_derivatives(rows)
    np.testing.assert_allclose((up - down) / (2.0 * step), second, atol=1e-4)
    still = fit.gradients(np.zeros((1, 48)))  # symmetry lets the polar axis have a force
    curved = np.einsum("rjr->rj", fit.third_derivatives(rows)[:, :, rows])
    bends = (up + down - 2.0 * still) / step**2
    np.testing.assert_allclose(bends, curved, atol=1e-3 * abs(curved).max())


def test_few_cells_predict_forces_that_many_would_not_without_symmetry(wurtzite):
    points, gradients, _ = cell_gradients(wurtzite)
    operations = SupercellOperations.of_cells(wurtzite)
    fit = fit_symmetrised(points[:3], gradients[:3], operations, SymmetrisedKernelSettings())
    error = np.linalg.norm(fit.gradients(points[3:]) - gradients[3:])
    assert error < 0.1 * np.linalg.norm(gradients[3:])


def reference_second_order(cells):
    """Fit second and third order to all cells by least squares."""
    symfc = pytest.importorskip("symfc")
    from phonopy.structure.atoms import PhonopyAtoms

    supercell = PhonopyAtoms(
        numbers=cells.supercell_numbers,
        cell=cells.supercell_lattice,
        scaled_positions=cells.supercell_scaled_positions,
    )
    solver = symfc.Symfc(supercell)
    solver.displacements = cells.displacements_angstrom
    solver.forces = cells.forces_ev_per_angstrom
    solver.run(max_order=3, is_compact_fc=True)
    return solver.force_constants[2], solver.force_constants[3]


def test_one_to_eight_cells_of_sodium_chloride_against_all_hundred():
    second, third = reference_second_order(sodium_chloride(0, 100))
    settings = SymmetrisedKernelSettings(length_scale="fixed", length_scale_angstrom=3.0)
    held_out = sodium_chloride(60, 100)
    points, gradients, _ = cell_gradients(held_out)
    for n_cells, allowed, force_rms in ((1, 0.035, 3e-3), (2, 0.016, 2.5e-3), (8, 0.004, 2.2e-4)):
        cells = sodium_chloride(0, n_cells)
        found = symmetrised_force_constants(cells, settings)
        error = np.linalg.norm(found.second_order_ev_per_angstrom2 - second)
        assert error < allowed * np.linalg.norm(second)
        fit = fit_symmetrised(
            *cell_gradients(cells)[:2], SupercellOperations.of_cells(cells), settings
        )
        assert np.sqrt(np.mean((fit.gradients(points) - gradients) ** 2)) < force_rms
    error = np.linalg.norm(found.third_order_ev_per_angstrom3 - third)
    assert error < 0.07 * np.linalg.norm(third)


def test_the_evidence_is_highest_at_the_length_scale_it_finds(wurtzite):
    points, gradients, _ = cell_gradients(wurtzite)
    operations = SupercellOperations.of_cells(wurtzite)
    settings = SymmetrisedKernelSettings(
        length_scale="evidence", noise_force_ev_per_angstrom=1e-4, third_order=False
    )
    fit = fit_symmetrised(points, gradients, operations, settings)
    found = fit.kernel.length_scale_angstrom
    for factor in (0.8, 1.25):
        other = replace(settings, length_scale="fixed", length_scale_angstrom=factor * found)
        assert fit_symmetrised(points, gradients, operations, other).log_evidence < fit.log_evidence
    assert symmetrised_force_constants(wurtzite, settings).third_order_ev_per_angstrom3 is None


def test_too_many_cells_are_refused_with_the_number_that_fits(wurtzite):
    with pytest.raises(TooLargeError, match="192 force components") as error:
        symmetrised_force_constants(wurtzite, SymmetrisedKernelSettings(max_dense_rows=100))
    assert "at most 2 cells" in error.value.hint


def test_forces_that_are_not_finite_are_refused(wurtzite):
    forces = np.full_like(wurtzite.forces_ev_per_angstrom, np.nan)
    with pytest.raises(NonFiniteInputError):
        symmetrised_force_constants(replace(wurtzite, forces_ev_per_angstrom=forces))


def test_cells_that_are_only_translated_are_refused(wurtzite):
    moves = np.broadcast_to([0.1, -0.2, 0.3], wurtzite.displacements_angstrom.shape)
    with pytest.raises(InconsistentDataError, match="translated"):
        symmetrised_force_constants(replace(wurtzite, displacements_angstrom=moves))


@pytest.mark.parametrize(
    "wrong",
    [
        {"length_scale": "long"},
        {"length_scale_angstrom": 0.0},
        {"variance_ev2": np.nan},
        {"noise_force_ev_per_angstrom": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError) as error:
        SymmetrisedKernelSettings(**wrong)
    assert error.value.subject in wrong
