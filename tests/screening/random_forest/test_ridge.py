import numpy as np
import pytest
from random_springs import spring_crystals, turned, turned_hessian

from screening.descriptors.image_bonds import atomic_numbers
from screening.hessians import without_translations
from screening.random_forest.block_models import HessianModel, TensorRidge
from screening.random_forest.blocks import kinds_of
from screening.random_forest.ridge import NormalEquations, normal_equations, weighting
from screening.random_forest.settings import RandomForestSettings
from screening.random_forest.tensors import TensorCell, tensor_layout

KINDS = kinds_of([11, 17])
LAYOUT = tensor_layout([11, 17], RandomForestSettings(variant="tensor_ridge"))


def equations(structure, hessian, emphasis="soft_modes"):
    cell = TensorCell(structure, LAYOUT)
    tensors = {kind: cell.tensors(kind) for kind in KINDS}
    weights = weighting(hessian, emphasis, 0.04)
    return normal_equations(atomic_numbers(structure), tensors, KINDS, hessian, weights)


@pytest.mark.parametrize("emphasis", ["soft_modes", "components"])
def test_the_loss_is_the_weighted_error_of_the_whole_hessian(emphasis):
    """Normal equations by pairs agree with Hessians put together and weighted."""
    (one,) = spring_crystals(1)
    hessian = one.hessian_ev_per_angstrom2
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=LAYOUT.n_tensors(kind)) for kind in KINDS]
    ridge = TensorRidge(LAYOUT, {kind: part[None] for kind, part in zip(KINDS, parts, strict=True)})
    model = HessianModel({"tensor_ridge": ridge}, dict.fromkeys(KINDS, "tensor_ridge"), 1)
    weights = weighting(hessian, emphasis, 0.04)
    error = weights.T @ (model.hessians(one.structure)[0] - hessian) @ weights
    found = equations(one.structure, hessian, emphasis).loss(np.concatenate(parts))
    assert found == pytest.approx((error**2).sum(), rel=1e-9)


def test_equations_do_not_depend_on_the_orientation():
    (one,) = spring_crystals(1)
    rotated, rotation = turned(one.structure)
    before = equations(one.structure, one.hessian_ev_per_angstrom2)
    after = equations(rotated, turned_hessian(one.hessian_ev_per_angstrom2, rotation))
    scale = np.abs(before.products).max()
    np.testing.assert_allclose(after.products, before.products, atol=1e-9 * scale)
    np.testing.assert_allclose(
        after.targets, before.targets, atol=1e-9 * np.abs(before.targets).max()
    )


def test_soft_directions_weigh_more():
    hessian = without_translations(np.diag([1.0, 1.0, 1.0, 9.0, 9.0, 9.0]))
    assert np.linalg.eigvalsh(hessian)[3:].min() > 0.0
    weights = weighting(hessian, "soft_modes", 1e-9)
    assert weights.shape == (6, 3)
    np.testing.assert_allclose(weights.T @ hessian @ weights, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(weighting(hessian, "components", 0.1), np.eye(6))


def test_solving_is_least_squares_on_columns_of_equal_scale():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(40, 5)) * [1.0, 10.0, 100.0, 1e-3, 1.0]
    target = design @ [1.0, 2.0, 3.0, 4.0, 5.0] + rng.normal(size=40)
    found = NormalEquations(design.T @ design, design.T @ target, float(target @ target))
    expected = np.linalg.lstsq(design, target)[0]
    np.testing.assert_allclose(found.solve(1e-14), expected, rtol=1e-6)
    assert found.loss(expected) == pytest.approx(((design @ expected - target) ** 2).sum())
    # the penalty does not see units
    scaled = design * [7.0, 1.0, 0.1, 1.0, 1.0]
    other = NormalEquations(scaled.T @ scaled, scaled.T @ target, float(target @ target))
    np.testing.assert_allclose(
        scaled @ other.solve(0.1), design @ found.solve(0.1), rtol=1e-9, atol=1e-9
    )
    both = found + found
    np.testing.assert_allclose(both.solve(0.1), found.solve(0.1))
