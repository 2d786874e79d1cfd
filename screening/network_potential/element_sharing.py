"""What chemically similar elements have in common, as coordinates that training changes.

A network has weights of its own for each element, which cells without that element teach nothing.
Where few cells hold each element, the weights are therefore written as W = L U, with L the root of
a matrix of similarities between elements: a change of one coordinate of U moves the weights of all
similar elements together, and weights whose coordinates are drawn independently are a Gaussian
process over the periodic table. The network itself stays an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from screening.electronegativity import pauling_electronegativity
from screening.network_potential.settings import MaceArchitecture
from screening.prediction import FloatArray

__all__ = ["ElementSharing", "element_similarity"]

_COMMON = 0.2  # share that all elements have in common, of what is shared
_BLOCKS = "spdf"
_F_BLOCK_GROUP = 3
_P_BLOCK_OFFSET = 10  # so that Al and Sc, Ga and Al stand in one column
_MAPS = ".skip_tp."  # of features, each element its own
_OF_ELEMENTS = ("node_embedding.", _MAPS, ".symmetric_contractions.")


def element_similarity(elements: Sequence[int]) -> FloatArray:
    """Return how alike elements are, from their places in the periodic table and their sizes.

    A Gaussian of the distance in electronegativity (0.5 on the scale of Pauling), covalent radius
    (0.3 Å), row (2), column of the main groups or of the d block (2.5), and block (0.8), and a
    constant.

    Parameters
    ----------
    elements
        Atomic numbers.

    Returns
    -------
    ndarray
        Shape (element, element), positive semidefinite, with ones on its diagonal.

    Examples
    --------
    >>> aluminium_gallium, aluminium_oxygen = element_similarity([13, 31, 8])[0, 1:]
    >>> bool(aluminium_gallium > 0.8), bool(aluminium_oxygen < 0.3)
    (True, True)
    """
    places = np.array([_place(int(one)) for one in elements])
    squares = np.square(places[:, None] - places[None]).sum(-1)
    return np.asarray(_COMMON + (1.0 - _COMMON) * np.exp(-0.5 * squares))


def _place(number: int) -> list[float]:
    """Place of an element, in units of the distances that tell elements apart."""
    from ase.data import covalent_radii
    from pymatgen.core import Element

    element = Element.from_Z(number)
    group = {"p": element.group - _P_BLOCK_OFFSET, "f": _F_BLOCK_GROUP}
    blocks = [float(element.block == one) / 0.8 for one in _BLOCKS]
    return [
        pauling_electronegativity(number) / 0.5,
        float(covalent_radii[number]) / 0.3,
        element.row / 2.0,
        group.get(element.block, element.group) / 2.5,
        *blocks,
    ]


class ElementSharing:
    """The map between the weights of a network and coordinates that elements share.

    Parameters
    ----------
    network
        A network; weights that no element has of its own are their own coordinates.
    architecture
        Its shape, with its elements.
    share
        Share of the variance of a weight that alike elements have in common, at least 0 and less
        than 1; with 0 the coordinates are the weights.
    is_random
        Whether the weights are random ones, which become those of which they are the coordinates.

    Attributes
    ----------
    coordinates
        By name of the weight, of its shape; the very weight where nothing is shared.
    """

    def __init__(
        self, network: Any, architecture: MaceArchitecture, share: float, *, is_random: bool
    ) -> None:
        self._weights = {name: one for name, one in network.named_parameters() if one.requires_grad}
        self.coordinates = dict(self._weights)
        self._n_elements = len(architecture.elements)
        self._channels = architecture.channels
        self._roots: dict[int, torch.Tensor] = {}
        if share > 0.0:
            self._share(element_similarity(architecture.elements), share, is_random=is_random)

    def _share(self, similarity: FloatArray, share: float, *, is_random: bool) -> None:
        blended = share * similarity + (1.0 - share) * np.eye(self._n_elements)
        values, vectors = np.linalg.eigh(blended)
        like = next(iter(self._weights.values()))
        for power in (1, -1):
            root = (vectors * values ** (0.5 * power)) @ vectors.T
            self._roots[power] = torch.as_tensor(root).to(like)
        for name, weight in self._weights.items():
            if any(one in name for one in _OF_ELEMENTS):
                start = weight.detach() if is_random else self._mapped(name, weight.detach(), -1)
                self.coordinates[name] = start.clone()
        self.push()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for one in (*self._weights.values(), *self.coordinates.values()):
            one.grad = None

    def pull(self) -> None:
        """Turn the gradients of the weights into those of the coordinates."""
        for name, coordinate, weight in self._shared():
            if weight.grad is not None:
                coordinate.grad = self._mapped(name, weight.grad, 1)
                weight.grad = None

    def push(self) -> None:
        """Give the network the weights that the coordinates stand for."""
        with torch.no_grad():
            for name, coordinate, weight in self._shared():
                weight.copy_(self._mapped(name, coordinate, 1))

    def _shared(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        for name, coordinate in self.coordinates.items():
            weight = self._weights[name]
            if coordinate is not weight:
                yield name, coordinate, weight

    def _mapped(self, name: str, values: torch.Tensor, power: int) -> torch.Tensor:
        """Multiply by a root of the similarity along the axis of elements."""
        # maps of features are (channel, element, channel), one block after the other
        width = self._channels if _MAPS in name else values.numel() // self._n_elements
        found = torch.einsum(
            "ef,afb->aeb", self._roots[power], values.reshape(-1, self._n_elements, width)
        )
        return found.reshape(values.shape)
