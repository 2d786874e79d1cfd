import warnings

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.random_forest.trees import Forest, grow_forest

SIZES = {"n_features": 7, "n_outputs": 1, "least_trees": 12}
GROWTH = {"n_trees": 12, "max_features": 0.5, "seed": 3, "n_jobs": 1}


def grown(n_outputs, n_rows=300):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_rows, 7)).round(2)  # many equal values, so that thresholds are met
    targets = np.sin(rows @ rng.normal(size=(7, n_outputs))) + 0.1 * rng.normal(
        size=(n_rows, n_outputs)
    )
    return rows, targets, grow_forest(rows, targets, **GROWTH)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_arrays_predict_what_scikit_learn_predicts(n_outputs):
    from sklearn.ensemble import RandomForestRegressor

    rows, targets, forest = grown(n_outputs)
    model = RandomForestRegressor(n_estimators=12, max_features=0.5, random_state=3)
    model.fit(rows, targets if n_outputs > 1 else targets[:, 0])
    rng = np.random.default_rng(1)
    # on thresholds, and off them by less than single precision resolves
    edges = np.resize(forest.thresholds, (500, 7)) * (1 + rng.choice([0, 1e-9, -1e-9], (500, 7)))
    queries = np.concatenate([rows, rng.normal(size=(500, 7)), edges])
    found = forest.by_tree(queries).mean(axis=0)
    expected = model.predict(queries).reshape(len(queries), -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    each = np.stack([tree.predict(queries).reshape(len(queries), -1) for tree in model.estimators_])
    np.testing.assert_array_equal(forest.by_tree(queries), each)


def test_members_average_to_the_forest():
    rows, _, forest = grown(2)
    members = forest.members(rows, 4)
    assert members.shape == (5, len(rows), 2)
    np.testing.assert_allclose(members[0], members[1:].mean(axis=0), atol=1e-12)
    assert np.ptp(members[1:], axis=0).max() > 0.0


def test_a_forest_survives_its_arrays():
    rows, _, forest = grown(3)
    again = Forest.from_arrays(
        forest.arrays("forest/9-9"), "forest/9-9", **SIZES | {"n_outputs": 3}
    )
    assert again.depth == forest.depth
    np.testing.assert_array_equal(again.by_tree(rows), forest.by_tree(rows))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("children", lambda x: x[:, ::-1][:-1]),
        ("children", lambda x: np.where(x == x.max(), 0, x)),  # back to the root: would not end
        ("children", lambda x: x + len(x)),
        ("roots", lambda x: x - 1),
        ("roots", lambda x: x[:0]),
        ("features", lambda x: x - 1),
        ("features", lambda x: x + 7),
        ("features", lambda x: x.astype(float)),
        ("children", lambda x: x.astype(float)),
        ("thresholds", lambda x: np.where(x == x.max(), np.nan, x)),
        ("values", lambda x: x[:-1]),
        ("values", lambda x: x * np.nan),
        ("values", lambda x: np.concatenate([x, x], axis=1)),
        ("roots", lambda x: x[:11]),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, spoil):
    arrays = grown(1)[2].arrays("one")
    arrays[f"one/{name}"] = spoil(arrays[f"one/{name}"])
    with pytest.raises(ModelCorruptError):
        Forest.from_arrays(arrays, "one", **SIZES)


def test_a_missing_array_is_named():
    arrays = grown(1)[2].arrays("one")
    del arrays["one/values"]
    with pytest.raises(ModelCorruptError, match="one/values"):
        Forest.from_arrays(arrays, "one", **SIZES)


def test_processes_change_neither_numbers_nor_warnings():
    rows, _, forest = grown(2)
    targets = np.sin(rows @ np.random.default_rng(5).normal(size=(7, 2)))
    with warnings.catch_warnings():
        warnings.resetwarnings()  # no filter at all: every warning would be printed
        with warnings.catch_warnings(record=True) as said:
            two = grow_forest(rows, targets, **(GROWTH | {"n_jobs": 2}))
    assert not said
    one = grow_forest(rows, targets, **GROWTH)
    np.testing.assert_array_equal(two.by_tree(rows), one.by_tree(rows))
    assert forest.n_trees == two.n_trees
