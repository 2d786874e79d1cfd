"""The energy of a MACE network as a function of the vectors between neighbours.

The weights are those of a module of the package ``mace``, which stays the definition; what is
computed is the same to rounding. Features are kept with channels last and one tensor for each
order l, harmonics and coupling coefficients are merged into one matrix on the monomials of the
unit vector, and elements are looked up by index. On a processor this takes a third of the time
of the module itself, with its second derivatives, and compiles nothing.

References
----------
I. Batatia et al., Adv. Neural Inf. Process. Syst. 35, 11423 (2022).
M. Geiger and T. Smidt, arXiv:2207.09453 (the conventions of the irreducible representations).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import torch

from screening.calculators.mace_blocks import is_known
from screening.calculators.mace_harmonics import harmonic_matrix
from screening.errors import ModelRefusedError
from screening.network_potential.contraction import ProductBasis

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Graph", "NetworkForward"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Neighbours of the atoms of some cells.

    Attributes
    ----------
    species
        Index of the element of each atom, shape (atom,).
    senders, receivers
        Atoms that each bond goes from and to, shape (bond,).
    atom_cell
        Cell of each atom, shape (atom,).
    n_cells
        Number of cells.
    """

    species: torch.Tensor
    senders: torch.Tensor
    receivers: torch.Tensor
    atom_cell: torch.Tensor
    n_cells: int


class NetworkForward:
    """Energies by a network, differentiable by vectors and by weights.

    Parameters
    ----------
    network
        A module that `is_known` accepts, already of the type and on the device to run on. Its
        weights are read anew every time.

    Raises
    ------
    ModelRefusedError
        If it holds a block that is not known here.
    """

    def __init__(self, network: Any) -> None:
        if not is_known(network):
            raise ModelRefusedError(
                "holds blocks that are not known here",
                subject=type(network).__name__,
                hint="Use a ScaleShiftMACE of residual blocks, with one head and no additions",
            )
        self._network = network
        max_ell = network.interactions[0].edge_attrs_irreps.lmax
        like = network.interactions[0].linear_up.weight
        self._powers = [
            tuple(torch.tensor(one, device=like.device) for one in factors)
            for factors in _powers(max_ell)
        ]
        harmonics = torch.tensor(harmonic_matrix(max_ell))
        self._layers = [
            _Layer(interaction, product, harmonics)
            for interaction, product in zip(network.interactions, network.products, strict=True)
        ]

    def node_energies(self, graph: Graph, vectors: torch.Tensor) -> torch.Tensor:
        """Compute the energy of each atom in eV, without that of the atom alone.

        Parameters
        ----------
        graph
            Neighbours.
        vectors
            From senders to receivers in Å, shape (bond, 3).
        """
        lengths = vectors.square().sum(1, keepdim=True).sqrt()
        monomials = self._monomials(vectors / lengths)
        radial, _ = self._network.radial_embedding(lengths, None, None, None)
        features = [_embedded(self._network.node_embedding.linear, graph.species)[:, None]]
        energies = []
        for layer, readout in zip(self._layers, self._network.readouts, strict=True):
            features = layer(graph, monomials, radial, features)
            energies.append(_read_out(readout, features[0][:, 0]))
        shift = self._network.scale_shift
        found: torch.Tensor = torch.stack(energies).sum(0) * shift.scale + shift.shift
        return found

    def cell_energies(self, graph: Graph, vectors: torch.Tensor) -> torch.Tensor:
        """Compute the energy of each cell in eV, without those of its atoms alone."""
        per_atom = self.node_energies(graph, vectors)
        return per_atom.new_zeros(graph.n_cells).index_add(0, graph.atom_cell, per_atom)

    def _monomials(self, unit: torch.Tensor) -> torch.Tensor:
        """Products of the components of unit vectors, shape (bond, monomial)."""
        columns = [torch.ones_like(unit[:, :1])]
        for below, component in self._powers:
            columns.append(columns[-1].index_select(1, below) * unit.index_select(1, component))
        return torch.cat(columns, 1)


class _Layer:
    """One layer: messages along bonds, their sum, and its products.

    Attributes
    ----------
    _coupling
        From monomials of the unit vector to the couplings of features to messages, shape
        (monomial, order x path x component x feature).
    """

    def __init__(self, interaction: Any, product: Any, harmonics: torch.Tensor) -> None:
        self._interaction, self._product = interaction, product
        self._products = ProductBasis(product.symmetric_contractions)
        self._orders, self._n_paths, couplings = _couplings(
            interaction.conv_tp, interaction.linear_up.weight
        )
        blocks = [
            torch.einsum("ab,bpcf->apcf", harmonics.to(one), one).reshape(len(harmonics), -1)
            for one in couplings
        ]
        self._coupling = torch.cat(blocks, 1)
        self._sizes = [block.shape[1] for block in blocks]
        self._n_channels = interaction.node_feats_irreps[0].mul

    def __call__(
        self,
        graph: Graph,
        monomials: torch.Tensor,
        radial: torch.Tensor,
        features: list[torch.Tensor],
    ) -> list[torch.Tensor]:
        skipped = _skipped(self._interaction.skip_tp, features, graph.species)
        lifted = _mixed(self._interaction.linear_up, features)
        sums = self._sums(graph, monomials, radial, torch.cat(lifted, 1))
        scale = self._interaction.avg_num_neighbors
        mixed = _mixed(self._interaction.linear, sums)
        products = self._products(torch.cat(mixed, 1) / scale, graph.species)
        found = _mixed(self._product.linear, products)
        return [
            one if skip is None else one + skip for one, skip in zip(found, skipped, strict=True)
        ]

    def _sums(
        self, graph: Graph, monomials: torch.Tensor, radial: torch.Tensor, lifted: torch.Tensor
    ) -> list[torch.Tensor]:
        """Add up the messages to each atom; one tensor (atom, path, component, channel) each."""
        weights = self._interaction.conv_tp_weights(radial)
        weights = weights.view(len(weights), sum(self._n_paths), self._n_channels)
        sent = lifted.index_select(0, graph.senders)
        n_bonds, n_features, n_channels = sent.shape
        sums = []
        for order, n_paths, block, weight in zip(
            self._orders,
            self._n_paths,
            torch.split(monomials @ self._coupling, self._sizes, dim=1),
            torch.split(weights, self._n_paths, dim=1),
            strict=True,
        ):
            shape = (n_bonds, n_paths, 2 * order + 1, n_channels)
            coupled = block.view(n_bonds, block.shape[1] // n_features, n_features)
            if n_features == 1:
                messages = coupled * (sent * weight)  # one path of each order
            else:
                messages = torch.bmm(coupled, sent).view(shape) * weight[:, :, None]
            total = lifted.new_zeros(len(lifted), math.prod(shape[1:]))
            total = total.index_add(0, graph.receivers, messages.reshape(n_bonds, total.shape[1]))
            sums.append(total.view(len(lifted), *shape[1:]))
        return sums


def _embedded(linear: Any, species: torch.Tensor) -> torch.Tensor:
    """Look up the features of elements, shape (atom, channel)."""
    instruction = linear.instructions[0]
    weights: torch.Tensor = linear.weight.view(instruction.path_shape) * instruction.path_weight
    return weights.index_select(0, species)


def _mixed(linear: Any, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Mix channels, and the paths that led to one order.

    Features are of shape (atom, path, component, channel), or without paths; the result is
    without, one tensor for each order.
    """
    sizes: dict[int, int] = {}
    scales: dict[int, float] = {}
    for one in linear.instructions:  # of one result they follow one another
        sizes[one.i_out] = sizes.get(one.i_out, 0) + math.prod(one.path_shape)
        scales[one.i_out] = one.path_weight
    mixed = []
    for slot, weights in zip(sizes, linear.weight.split(list(sizes.values())), strict=True):
        values = features[slot]
        if values.ndim == 4:  # noqa: PLR2004 - with paths
            values = values.transpose(1, 2).flatten(2)
        rows = weights.view(values.shape[-1], -1) * scales[slot]
        mixed.append((values.flatten(0, -2) @ rows).view(*values.shape[:-1], -1))
    return mixed


def _skipped(
    skip: Any, features: Sequence[torch.Tensor], species: torch.Tensor
) -> list[torch.Tensor | None]:
    """Features by a map of each element's own, one tensor for each order that has them."""
    found: list[torch.Tensor | None] = [None] * len(skip.irreps_out)
    parts = skip.weight.split([math.prod(one.path_shape) for one in skip.instructions])
    for instruction, part in zip(skip.instructions, parts, strict=True):
        weights = part.view(instruction.path_shape).transpose(0, 1).index_select(0, species)
        values = features[instruction.i_in1]
        scale = instruction.path_weight / math.sqrt(values.shape[1])  # a coupling to a scalar
        found[instruction.i_out] = torch.bmm(values, weights) * scale
    return found


def _read_out(readout: Any, scalars: torch.Tensor) -> torch.Tensor:
    """Turn the scalar features of atoms into energies, shape (atom,)."""
    if hasattr(readout, "linear"):
        return _mixed(readout.linear, [scalars])[0][:, 0]
    hidden = readout.non_linearity(_mixed(readout.linear_1, [scalars])[0])
    return _mixed(readout.linear_2, [hidden])[0][:, 0]


def _powers(max_ell: int) -> list[tuple[list[int], list[int]]]:
    """Factors of the monomials of each degree: one of the degree below, and a component."""
    found = []
    below: list[tuple[int, ...]] = [()]
    for degree in range(1, max_ell + 1):
        here = list(combinations_with_replacement(range(3), degree))
        found.append(([below.index(one[:-1]) for one in here], [one[-1] for one in here]))
        below = here
    return found


def _couplings(product: Any, like: torch.Tensor) -> tuple[list[int], list[int], list[torch.Tensor]]:
    """Coupling coefficients of a tensor product of features with harmonics.

    Returns
    -------
    list, list, list
        Orders l of the results, the number of paths to each, and the coefficients of each,
        shape (harmonic, path, component, feature).
    """
    features, starts = product.irreps_in1, [one.start for one in product.irreps_in1.slices()]
    rows = [
        start + component
        for start, one in zip(starts, features, strict=True)
        for component in range(one.ir.dim)
    ]
    n_harmonics, weights = product.irreps_in2.dim, product.weight_numel
    tensor = like.new_zeros(n_harmonics * len(rows), features.dim)
    tensor[torch.arange(len(tensor)), torch.tensor(rows).repeat(n_harmonics)] = 1.0
    harmonics = torch.eye(n_harmonics).to(like).repeat_interleave(len(rows), 0)
    with torch.no_grad():
        results = product(tensor, harmonics, like.new_ones(len(tensor), weights))
    paths: dict[int, list[torch.Tensor]] = {}
    for where, one in zip(product.irreps_out.slices(), product.irreps_out, strict=True):
        block = results[:, where.start : where.start + one.ir.dim]
        paths.setdefault(one.ir.l, []).append(block.view(n_harmonics, len(rows), -1))
    orders = sorted(paths)
    stacked = [torch.stack(paths[order]).permute(1, 0, 3, 2) for order in orders]
    return orders, [len(paths[order]) for order in orders], stacked
