import numpy as np
import pytest
from pymatgen.core import Structure
from random_springs import spring_crystals, turned, turned_hessian

from screening.random_forest.block_models import HessianModel, TensorRidge
from screening.random_forest.blocks import kinds_of
from screening.random_forest.settings import RandomForestSettings
from screening.random_forest.tensor_sums import TensorSums, tensor_weights
from screening.random_forest.tensors import TensorCell, tensor_layout

KINDS = kinds_of([11, 17])


def layout(**changes):
    return tensor_layout([11, 17], RandomForestSettings(variant="tensor_ridge", **changes))


def model(seed=0, **changes):
    """Any coefficients at all: what is tested holds for all of them."""
    rng = np.random.default_rng(seed)
    chosen = layout(**changes)
    coefficients = {kind: rng.normal(size=(2, chosen.n_tensors(kind))) for kind in KINDS}
    return HessianModel(
        {"tensor_ridge": TensorRidge(chosen, coefficients)}, dict.fromkeys(KINDS, "tensor_ridge"), 2
    )


@pytest.fixture(scope="module", params=[{}, {"environment": True}, {"three_body": False}])
def anything(request):
    return model(**request.param)


@pytest.fixture(scope="module")
def crystal():
    return spring_crystals(1, seed=5, composition="Na2 Cl3")[0].structure


@pytest.mark.parametrize("changes", [{}, {"environment": True}, {"three_body": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_tensors_need_no_tensors(crystal, kind, changes):
    cell = TensorCell(crystal, layout(**changes))
    tensors = cell.tensors(kind)
    assert tensors.shape[1] == cell.layout.n_tensors(kind)
    coefficients = np.random.default_rng(1).normal(size=(3, tensors.shape[1]))
    expected = np.einsum("mt,ptxy->mpxy", coefficients, tensors)
    weights = {kind: tensor_weights(cell.layout, kind, coefficients)}
    np.testing.assert_allclose(TensorSums(cell, weights).blocks()[kind], expected, atol=1e-10)


@pytest.mark.parametrize("changes", [{}, {"environment": True}, {"three_body": False}])
@pytest.mark.parametrize(
    "species", [["Na"], ["Cl"], ["Na", "Na"], ["Na", "Cl"], ["Na", "Cl", "Cl"]]
)
@pytest.mark.parametrize("edge", [5.0, 40.0])
def test_pairs_out_of_reach_and_elements_that_are_absent_have_their_zeros(species, edge, changes):
    sites = [[0.1, 0.2, 0.3], [0.45, 0.6, 0.8], [0.8, 0.1, 0.5]][: len(species)]
    cell = TensorCell(Structure(np.diag([edge, 6.0, edge]), species, sites), layout(**changes))
    rng, expected, weights = np.random.default_rng(1), {}, {}
    for kind in KINDS:
        tensors = cell.tensors(kind)
        coefficients = rng.normal(size=(2, cell.layout.n_tensors(kind)))
        expected[kind] = np.einsum("mt,ptxy->mpxy", coefficients, tensors)
        weights[kind] = tensor_weights(cell.layout, kind, coefficients)
    found = TensorSums(cell, weights).blocks()
    assert found.keys() == expected.keys()
    for kind in KINDS:
        assert found[kind].shape == expected[kind].shape
        np.testing.assert_allclose(found[kind], expected[kind], atol=1e-10)


def test_predictions_turn_with_the_crystal(anything, crystal):
    rotated, rotation = turned(crystal)
    for before, after in zip(anything.hessians(crystal), anything.hessians(rotated), strict=True):
        expected = turned_hessian(before, rotation)
        np.testing.assert_allclose(after, expected, atol=1e-8 * np.abs(before).max())


def test_predictions_follow_the_order_of_atoms(anything, crystal):
    order = np.random.default_rng(2).permutation(len(crystal))
    shuffled = Structure.from_sites([crystal[int(i)] for i in order])
    rows = (3 * order[:, None] + np.arange(3)).ravel()
    expected = anything.hessians(crystal)[:, rows][:, :, rows]
    np.testing.assert_allclose(anything.hessians(shuffled), expected, atol=1e-9)


def test_which_image_of_an_atom_is_listed_does_not_matter(anything, crystal):
    shifts = np.random.default_rng(3).integers(-2, 3, (len(crystal), 3))
    moved = Structure(
        crystal.lattice, crystal.species, crystal.frac_coords + shifts, to_unit_cell=False
    )
    np.testing.assert_allclose(anything.hessians(moved), anything.hessians(crystal), atol=1e-8)


def test_a_repeated_cell_has_the_same_zone_centre(anything, crystal):
    """Sums over images of the blocks of a doubled cell are the blocks of the cell."""
    doubled = crystal * (2, 1, 1)
    nearest = [
        int(
            np.argmin([site.distance(one) if site.specie == one.specie else 9e9 for one in crystal])
        )
        for site in (
            Structure(crystal.lattice, [s.specie], [s.coords], coords_are_cartesian=True)[0]
            for s in doubled
        )
    ]
    folding = np.kron(np.eye(len(crystal))[nearest], np.eye(3))
    folded = np.stack([folding.T @ one @ folding / 2.0 for one in anything.hessians(doubled)])
    scale = np.abs(folded).max()
    np.testing.assert_allclose(folded, anything.hessians(crystal), atol=1e-8 * scale)


def test_the_block_in_reverse_is_the_transpose_and_not_symmetric(crystal):
    hessian = model().hessians(crystal)[0]
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    block = hessian[:3, 3:6]
    assert np.abs(block - block.T).max() > 1e-3 * np.abs(block).max()
    pair_only = model(three_body=False).hessians(crystal)[0][:3, 3:6]
    np.testing.assert_allclose(pair_only, pair_only.T, atol=1e-12)
