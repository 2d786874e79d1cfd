"""Random forests as plain arrays, evaluated without the library that grew them.

All trees stand one after the other; a node that splits names the feature, the threshold and its
two children, and a leaf is its own child. Features are rounded to single precision before they
are compared, as scikit-learn does, so that both take the same branch everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError
from screening.prediction import FloatArray
from screening.random_forest.settings import ANEW

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

__all__ = ["Forest", "grow_forest"]

IntArray = NDArray[np.int64]

_NAMES = ("roots", "features", "thresholds", "children", "values")


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees of a regression.

    Attributes
    ----------
    roots
        Index of the first node of every tree, shape (tree,).
    features
        Feature that a node compares, shape (node,).
    thresholds
        Rows at or below it go to the first child, shape (node,).
    children
        Index of both children; those of a leaf are the leaf, shape (node, 2).
    values
        Mean of the targets in the node, shape (node, output).
    depth
        Largest number of splits on a path.
    """

    roots: IntArray
    features: IntArray
    thresholds: FloatArray
    children: IntArray
    values: FloatArray
    depth: int

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.roots)

    def by_tree(self, rows: FloatArray) -> FloatArray:
        """Evaluate every tree, shape (tree, row, output).

        Parameters
        ----------
        rows
            Features, shape (row, feature).
        """
        single = np.ascontiguousarray(rows, dtype=np.float32)
        n_rows, n_features = single.shape
        nodes = np.repeat(self.roots, n_rows)
        starts = np.tile(np.arange(n_rows) * n_features, self.n_trees)
        flat, children = single.ravel(), self.children.ravel()
        inside = np.arange(len(nodes))  # those that have not reached a leaf
        for _ in range(self.depth):
            here = nodes[inside]
            values = flat.take(starts[inside] + self.features.take(here))
            right = values > self.thresholds.take(here)
            below = children.take(2 * here + right)
            nodes[inside] = below
            inside = inside[below != here]
        found = self.values[nodes].reshape(self.n_trees, n_rows, self.values.shape[1])
        return np.asarray(found)

    def members(self, rows: FloatArray, n_members: int) -> FloatArray:
        """Mean over all trees, then over parts of them, shape (1 + member, row, output)."""
        trees = self.by_tree(rows)
        parts = np.array_split(trees, n_members)
        return np.stack([trees.mean(axis=0), *(part.mean(axis=0) for part in parts)])

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return all numbers under names that start with a prefix."""
        return {f"{prefix}/{name}": getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        prefix: str,
        *,
        n_features: int,
        n_outputs: int,
        least_trees: int,
    ) -> Forest:
        """Rebuild a forest.

        Parameters
        ----------
        arrays
            All arrays of a model.
        prefix
            Name of the forest.
        n_features, n_outputs
            How many numbers a row has, and how many it gives.
        least_trees
            How many trees there must be.

        Raises
        ------
        ModelCorruptError
            If an array is missing or of another kind, or nodes point nowhere or back.
        """
        try:
            found = [np.asarray(arrays[f"{prefix}/{name}"]) for name in _NAMES]
        except KeyError as error:
            raise ModelCorruptError(
                f"an array of a forest is missing: {error}", hint=ANEW
            ) from error
        roots, features, thresholds, children, values = found
        _check_nodes(roots, features, thresholds, children, values)
        fits = values.shape[1] == n_outputs and len(roots) >= least_trees
        if not (fits and features.max() < n_features):
            raise ModelCorruptError(
                "a forest of other features, outputs or members", subject=prefix, hint=ANEW
            )
        return cls(
            roots.astype(np.int64),
            features.astype(np.int64),
            thresholds.astype(np.float64),
            children.astype(np.int64),
            values.astype(np.float64),
            _depth(roots, children),
        )


def _check_nodes(
    roots: IntArray,
    features: IntArray,
    thresholds: FloatArray,
    children: IntArray,
    values: FloatArray,
) -> None:
    """Refuse arrays that are no trees: a child comes after its parent, or is the leaf itself."""
    n_nodes = len(features)
    kinds = all(one.dtype.kind in "iu" for one in (roots, features, children))
    kinds = kinds and all(one.dtype.kind == "f" for one in (thresholds, values))
    shapes = features.ndim == 1 and n_nodes > 0 and thresholds.shape == (n_nodes,)
    shapes = kinds and shapes and children.shape == (n_nodes, 2)
    own = np.arange(n_nodes)[:, None]
    usable = (
        shapes
        and values.ndim == 2  # noqa: PLR2004 - a matrix
        and len(values) == n_nodes
        and roots.ndim == 1
        and roots.size > 0
        and bool(np.all((roots >= 0) & (roots < n_nodes)))
        and bool(np.all((children < n_nodes) & (children >= own)))
        and bool(np.all((children[:, :1] == own) == (children[:, 1:] == own)))
        and bool(np.all(features >= 0))
        and bool(np.all(np.isfinite(thresholds)) and np.all(np.isfinite(values)))
    )
    if not usable:
        raise ModelCorruptError("arrays of a forest do not describe trees", hint=ANEW)


def _depth(roots: IntArray, children: IntArray) -> int:
    """Count the splits on the longest path."""
    depth, level = 0, np.asarray(roots)
    while True:
        below = np.unique(children[level])
        below = below[~np.isin(below, level)]
        if not below.size:
            return depth
        depth, level = depth + 1, below


def grow_forest(
    rows: FloatArray,
    targets: FloatArray,
    *,
    n_trees: int,
    max_features: float,
    seed: int,
    n_jobs: int,
) -> Forest:
    """Grow a random forest.

    Parameters
    ----------
    rows, targets
        Shapes (row, feature) and (row, output).
    n_trees, max_features, seed, n_jobs
        As `screening.random_forest.settings.RandomForestSettings` says.
    """
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(
        n_estimators=n_trees, max_features=max_features, random_state=seed, n_jobs=n_jobs
    )
    single = len(targets.T) == 1
    with warnings.catch_warnings():
        # with no filter at all scikit-learn takes itself for misused; its threads change filters
        warnings.filterwarnings("ignore", message=r"`sklearn\.utils\.parallel\.delayed`")
        model.fit(rows, targets[:, 0] if single else targets)
    return _as_arrays(model)


def _as_arrays(model: RandomForestRegressor) -> Forest:
    """Take the numbers out of a fitted forest."""
    trees = [one.tree_ for one in model.estimators_]
    counts = [tree.node_count for tree in trees]
    roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    own = np.arange(sum(counts))
    left = np.concatenate([t.children_left + r for t, r in zip(trees, roots, strict=True)])
    right = np.concatenate([t.children_right + r for t, r in zip(trees, roots, strict=True)])
    leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    children = np.where(leaf[:, None], own[:, None], np.stack([left, right], axis=1))
    features = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))
    thresholds = np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees]))
    values = np.concatenate([tree.value[:, :, 0] for tree in trees])
    return Forest(
        roots,
        features.astype(np.int64),
        thresholds.astype(np.float64),
        children.astype(np.int64),
        values.astype(np.float64),
        int(max(tree.max_depth for tree in trees)),
    )
