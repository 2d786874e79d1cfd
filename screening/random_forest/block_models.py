"""Models of the blocks of pairs of atoms, and of whole Hessians through them.

Every model answers with members: the first is the prediction, the others show its spread (parts
of the trees of a forest, or coefficients fitted without a part of the structures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.descriptors.image_bonds import BondedCrystal, atomic_numbers, structure_of
from screening.errors import ModelCorruptError, OutOfDomainError
from screening.prediction import FloatArray
from screening.random_forest.blocks import (
    Kind,
    atom_pairs,
    hessians_from_blocks,
    kind_name,
    kinds_among,
)
from screening.random_forest.features import ForestCell, row_size, rows_of, tensors_from
from screening.random_forest.settings import ANEW, RandomForestSettings, Variant
from screening.random_forest.tensor_sums import TensorSums, TensorWeights, tensor_weights
from screening.random_forest.tensors import TensorCell, TensorLayout
from screening.random_forest.trees import Forest

__all__ = ["BlockModel", "HessianModel", "PairForests", "TensorRidge"]

Arrays = dict[str, NDArray[Any]]
Blocks = dict[Kind, FloatArray]


class BlockModel(Protocol):
    """What predicts blocks."""

    def blocks(self, structure: Structure | BondedCrystal, kinds: Sequence[Kind]) -> Blocks:
        """Blocks in eV/Å² of some pairs of elements, each (member, pair, 3, 3)."""
        ...

    def on_site(self, structure: Structure | BondedCrystal) -> FloatArray | None:
        """Blocks of single atoms in eV/Å², (member, site, 3, 3); None for the sum rule."""
        ...


@dataclass(frozen=True, eq=False)
class TensorRidge:
    """Sums of tensors with learned coefficients.

    Attributes
    ----------
    layout
        Which tensors.
    coefficients
        In eV/Å² for each pair of elements, shape (member, tensor).
    """

    layout: TensorLayout
    coefficients: Mapping[Kind, FloatArray]

    def blocks(self, structure: Structure | BondedCrystal, kinds: Sequence[Kind]) -> Blocks:
        """Sum the tensors of each pair of elements."""
        cell = TensorCell(structure, self.layout)
        return TensorSums(cell, {kind: self._weights[kind] for kind in kinds}).blocks()

    @cached_property
    def _weights(self) -> dict[Kind, TensorWeights]:
        return {
            kind: tensor_weights(self.layout, kind, found)
            for kind, found in self.coefficients.items()
        }

    def on_site(self, structure: Structure | BondedCrystal) -> None:
        """Leave these blocks to the acoustic sum rule."""
        del structure

    def arrays(self) -> Arrays:
        """Return the coefficients by name."""
        return {
            f"ridge/{kind_name(kind)}": np.asarray(found)
            for kind, found in self.coefficients.items()
        }

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        layout: TensorLayout,
        kinds: Sequence[Kind],
        n_members: int,
    ) -> TensorRidge:
        """Rebuild a ridge.

        Raises
        ------
        ModelCorruptError
            If coefficients are missing or not as many as there are tensors and members.
        """
        found = {}
        for kind in kinds:
            name = f"ridge/{kind_name(kind)}"
            one = np.asarray(arrays.get(name, ()))
            if one.shape != (n_members, layout.n_tensors(kind)) or one.dtype.kind != "f":
                raise ModelCorruptError(
                    f"coefficients of shape {one.shape}", subject=name, hint=ANEW
                )
            found[kind] = one
        return cls(layout, found)


@dataclass(frozen=True, eq=False)
class PairForests:
    """One forest for each pair of elements, and where wanted one for each element.

    Attributes
    ----------
    variant
        What rows and outputs mean.
    elements
        Atomic numbers that are told apart.
    settings
        Radii and images, and how many members there are.
    pairs
        Forests of pairs of elements.
    sites
        Forests of elements for the blocks on the diagonal; empty for the sum rule.
    """

    variant: Variant
    elements: tuple[int, ...]
    settings: RandomForestSettings
    pairs: Mapping[Kind, Forest]
    sites: Mapping[int, Forest]

    def blocks(self, structure: Structure | BondedCrystal, kinds: Sequence[Kind]) -> Blocks:
        """Ask the forest of each pair of elements."""
        cell = ForestCell(structure, self.elements, self.settings, kinds)
        radii = self.settings.radii_angstrom
        found = {}
        for kind in kinds:
            features = cell.pairs(atom_pairs(cell.numbers, kind))
            rows = rows_of(features, self.variant, radii)
            outputs = self.pairs[kind].members(rows, self.settings.n_members)
            found[kind] = tensors_from(outputs, features, self.variant, radii)
        return found

    def on_site(self, structure: Structure | BondedCrystal) -> FloatArray | None:
        """Ask the forest of each element."""
        if not self.sites:
            return None
        cell = ForestCell(structure, self.elements, self.settings)
        radii = self.settings.radii_angstrom
        found = np.zeros((1 + self.settings.n_members, len(structure), 3, 3))
        for number in np.unique(cell.numbers):
            chosen = np.flatnonzero(cell.numbers == number)
            features = cell.sites(chosen)
            rows = rows_of(features, self.variant, radii)
            outputs = self.sites[int(number)].members(rows, self.settings.n_members)
            found[:, chosen] = tensors_from(outputs, features, self.variant, radii)
        return found

    def arrays(self) -> Arrays:
        """Return the forests by name."""
        found: Arrays = {}
        for kind, forest in self.pairs.items():
            found |= forest.arrays(f"forest/{kind_name(kind)}")
        for number, forest in self.sites.items():
            found |= forest.arrays(f"forest/{number}")
        return found

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        variant: Variant,
        settings: RandomForestSettings,
        elements: tuple[int, ...],
        kinds: Sequence[Kind],
    ) -> PairForests:
        """Rebuild the forests of some pairs of elements.

        Raises
        ------
        ModelCorruptError
            As `screening.random_forest.trees.Forest.from_arrays`.
        """
        own_sites = settings.on_site == "model"

        def forest(name: str, *, of_pairs: bool) -> Forest:
            n_radii = len(settings.radii_angstrom)
            n_features, n_outputs = row_size(variant, n_radii, len(elements), of_pairs=of_pairs)
            return Forest.from_arrays(
                arrays,
                f"forest/{name}",
                n_features=n_features,
                n_outputs=n_outputs,
                least_trees=settings.n_members,
            )

        return cls(
            variant,
            elements,
            settings,
            {kind: forest(kind_name(kind), of_pairs=True) for kind in kinds},
            {n: forest(str(n), of_pairs=False) for n in elements if own_sites},
        )


@dataclass(frozen=True, eq=False)
class HessianModel:
    """Models of blocks and who answers for which pair of elements.

    Attributes
    ----------
    models
        Models by variant.
    choice
        Variant that answers for each pair of elements.
    n_members
        Number of members, the prediction included.
    """

    models: Mapping[Variant, BlockModel]
    choice: Mapping[Kind, Variant]
    n_members: int

    def hessians(self, structure: Structure | BondedCrystal) -> FloatArray:
        """Predict all members, shape (member, 3 site + axis, 3 site + axis), in eV/Å².

        Symmetric, and nothing else is repaired.

        Raises
        ------
        OutOfDomainError
            As `check_kinds`.
        """
        self.check_kinds(structure)
        return self.known_part(structure)

    def check_kinds(self, structure: Structure | BondedCrystal) -> None:
        """Refuse pairs of elements that no model answers for.

        Raises
        ------
        OutOfDomainError
            Naming them.
        """
        unseen = [
            f"{Element.from_Z(a).symbol}-{Element.from_Z(b).symbol}"
            for a, b in kinds_among(atomic_numbers(structure))
            if (a, b) not in self.choice
        ]
        if unseen:
            raise OutOfDomainError(
                f"the model never saw pairs of {', '.join(unseen)}",
                subject=structure_of(structure).composition.reduced_formula,
                hint="Train on crystals that have several of these atoms in the cell",
            )

    def known_part(self, structure: Structure | BondedCrystal) -> FloatArray:
        """Predict the blocks of the pairs of elements of the choice, as `hessians`; others are 0.

        For models of some pairs of elements that are put together afterwards.
        """
        numbers = atomic_numbers(structure)
        present = [kind for kind in kinds_among(numbers) if kind in self.choice]
        blocks: Blocks = {}
        on_site = None
        for variant, model in self.models.items():
            own = [kind for kind in present if self.choice[kind] == variant]
            blocks |= model.blocks(structure, own)
            on_site = model.on_site(structure)
        return hessians_from_blocks(numbers, blocks, self.n_members, on_site)
