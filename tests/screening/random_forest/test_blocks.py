import numpy as np
from random_springs import spring_crystals

from screening.descriptors.image_bonds import atomic_numbers
from screening.random_forest.blocks import (
    atom_pairs,
    blocks_of,
    hessians_from_blocks,
    kinds_of,
    on_site_of,
    with_on_site,
)

NUMBERS = np.array([17, 11, 17, 11, 17])


def test_every_pair_of_different_atoms_belongs_to_one_pair_of_elements():
    pairs = np.concatenate([atom_pairs(NUMBERS, kind) for kind in kinds_of([11, 17])])
    assert len(pairs) == 10
    assert len({frozenset(pair) for pair in pairs.tolist()}) == 10
    first, second = NUMBERS[pairs].T
    assert np.all(first <= second)


def test_a_hessian_is_put_together_from_its_blocks():
    (one,) = spring_crystals(1)
    numbers = atomic_numbers(one.structure)
    hessian = one.hessian_ev_per_angstrom2
    blocks = {
        kind: blocks_of(hessian, atom_pairs(numbers, kind))[None] for kind in kinds_of([11, 17])
    }
    np.testing.assert_allclose(hessians_from_blocks(numbers, blocks, 1)[0], hessian, atol=1e-12)
    given = hessians_from_blocks(numbers, blocks, 1, 2.0 * on_site_of(hessian)[None])
    np.testing.assert_allclose(on_site_of(given)[0], 2.0 * on_site_of(hessian), atol=1e-12)
    again = with_on_site(given, on_site_of(hessian)[None])
    np.testing.assert_allclose(again[0], hessian, atol=1e-12)
