"""One network: ALIGNN in plain torch, a positive output, and what it makes of a potential.

Spectra of heavy and of light crystals differ most in their scale. On the scaled axis a network
gives a curve over frequencies in units of its own scale for each crystal, which begins as a power
law of mass and volume fitted to the labels; the curve is then counted into the bins of the grid,
exactly, whatever the scale. So few crystals teach a shape that all share.

With a density of states from a potential the network first stretches the frequencies by a factor of
its own for each crystal (potentials are too soft as a rule), then adds to the result or multiplies
it, through the link that keeps it positive. All three start at doing nothing.

References
----------
K. Choudhary and B. DeCost, npj Comput. Mater. 7, 185 (2021): ALIGNN.
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023): for densities of
states, in which the last activation is a ReLU.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from screening.errors import ModelCorruptError
from screening.network_dos.graphs import N_SCALES, GraphBatch
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.settings import ANEW, DosArchitecture

__all__ = [
    "DosNetwork",
    "build_network",
    "network_from_arrays",
    "network_to_arrays",
    "rebinned",
]

_LARGEST_LOG_STRETCH = 0.5
_FLOOR = 1e-3  # of the highest bin: what the potential leaves empty can still be filled
_LARGEST_LOGARITHM = 15.0
_LARGEST_LOG_SCALE = 1.0
_AXIS_STEP = 0.03  # of the scale, about the root mean square frequency of a crystal
_AXIS_ZERO = 30  # bins below zero
_AXIS_BINS = 190


class DosNetwork(nn.Module):
    """Graphs to densities of states of any positive normalisation.

    Parameters
    ----------
    architecture
        Size and shape.
    grid
        Bins of the output.
    n_features
        Number of features of an element.
    """

    def __init__(self, architecture: DosArchitecture, grid: FrequencyGrid, n_features: int) -> None:
        super().__init__()
        self.link, self.grid = architecture.link, grid
        self.with_prior = architecture.with_prior
        self.is_scaled = architecture.axis == "scaled" and not architecture.with_prior
        hidden = architecture.hidden
        n_outputs = _AXIS_BINS if self.is_scaled else len(grid)
        self.core = _core(architecture, n_outputs, n_features)
        if self.is_scaled:
            self.power_law = nn.Linear(N_SCALES, 1)
            self.scale_correction = _silent(hidden, 1)
        if self.with_prior:
            self.reading = nn.Sequential(nn.Linear(len(grid), hidden), nn.SiLU())
            self.mixing = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU())
            self.correction = _silent(hidden, len(grid) + 1)

    def latent(self, batch: GraphBatch) -> torch.Tensor:
        """Return the mean over the atoms of what the layers make of them, (crystal, feature)."""
        core, bonds = self.core, len(batch.start)
        atoms = core.atom_embedding(batch.features)
        lengths = core.edge_embedding(batch.lengths_angstrom)
        angles = core.angle_embedding(batch.cosines) if len(core.alignn_layers) else None
        ends = batch.start, batch.end, len(atoms)
        for layer in core.alignn_layers:
            atoms, lengths, angles = layer.forward_tensors(
                *ends, batch.first, batch.second, bonds, atoms, lengths, angles
            )
        for layer in core.gcn_layers:
            atoms, lengths = layer.forward_tensors(*ends, atoms, lengths)
        sums = atoms.new_zeros(batch.n_crystals, atoms.shape[1])
        counts = torch.bincount(batch.crystal, minlength=batch.n_crystals).to(atoms)
        found = sums.index_add(0, batch.crystal, atoms) / counts[:, None]
        return cast("torch.Tensor", found)

    def forward(self, batch: GraphBatch, prior: torch.Tensor | None = None) -> torch.Tensor:
        """Return densities of states, shape (crystal, bin).

        Parameters
        ----------
        batch
            Graphs.
        prior
            Histograms from a potential, of any normalisation, shape (crystal, bin), where the
            architecture has them.
        """
        return self.output(self.latent(batch), batch.scales, prior)

    def output(
        self, latent: torch.Tensor, scales: torch.Tensor, prior: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return densities of states from what `latent` gives and the scales of the batch."""
        if self.with_prior:
            assert prior is not None
            return self._corrected(latent, prior)
        found = self._linked(self.core.fc(latent))
        if not self.is_scaled:
            return found
        correction = _LARGEST_LOG_SCALE * torch.tanh(self.scale_correction(latent))
        edges = self._edges(found) / (self.power_law(scales) + correction).exp()
        return rebinned(found, edges / _AXIS_STEP + _AXIS_ZERO)

    def _corrected(self, latent: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        """Stretch and correct the density of states of a potential."""
        scaled = prior / prior.amax(dim=1, keepdim=True)
        found = self.correction(self.mixing(torch.cat([latent, self.reading(scaled)], dim=1)))
        factor = (_LARGEST_LOG_STRETCH * torch.tanh(found[:, -1:])).exp()
        places = self._edges(prior) / (factor * self.grid.width_thz) + self.grid.zero + 0.5
        moved = rebinned(scaled, places) + _FLOOR
        return self._linked(self._unlinked(moved) + found[:, :-1])

    def _edges(self, like: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.grid.edges_thz.copy()).to(like)

    @torch.no_grad()
    def start_from(self, histograms: torch.Tensor, scales: torch.Tensor) -> None:
        """Let the output begin at the mean of some labels.

        Without it the first passes go into emptying bins that hold nothing in any crystal.

        Parameters
        ----------
        histograms
            Labels of any normalisation, shape (label, bin).
        scales
            As in a batch, shape (label, scale).
        """
        if self.with_prior:
            return  # which begins at the potential
        curves = (histograms / histograms.sum(dim=1, keepdim=True)).double()
        if self.is_scaled:
            logarithm = self._fit_power_law(curves, scales.double())
            axis = torch.arange(_AXIS_BINS + 1).double() - _AXIS_ZERO
            places = axis * _AXIS_STEP * logarithm.exp() / self.grid.width_thz
            curves = rebinned(curves, places + self.grid.zero + 0.5)
        else:
            curves = curves / curves.amax(dim=1, keepdim=True)
        mean = curves.mean(dim=0)
        start = (mean / (mean.max() if self.is_scaled else 1.0)).clamp(min=_FLOOR)
        self.core.fc.bias.copy_(self._unlinked(start).float())
        self.core.fc.weight.zero_()

    def _fit_power_law(self, shares: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """Fit root mean square frequencies; return logarithms of what was fitted, (label, 1)."""
        centres = torch.from_numpy(self.grid.centres_thz.copy())
        squares = (shares @ centres**2).clamp(min=self.grid.width_thz**2)
        rows = torch.cat([scales, torch.ones(len(scales), 1).double()], dim=1)
        found = torch.linalg.lstsq(rows, 0.5 * squares.log()[:, None], driver="gelsd").solution
        self.power_law.weight.copy_(found[:-1].T.float())
        self.power_law.bias.copy_(found[-1].float())
        return cast("torch.Tensor", rows @ found)

    def _linked(self, values: torch.Tensor) -> torch.Tensor:
        if self.link == "log":
            return values.clamp(max=_LARGEST_LOGARITHM).exp()
        return functional.softplus(values)

    def _unlinked(self, positive: torch.Tensor) -> torch.Tensor:
        return positive.log() if self.link == "log" else positive.expm1().log()


def _silent(n_inputs: int, n_outputs: int) -> nn.Linear:
    """Make a layer that gives zero until it is trained."""
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def rebinned(weights: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Count the weight of bins, even within each, into other bins.

    Parameters
    ----------
    weights
        Shape (crystal, bin).
    places
        Edges of the new bins in units of the old ones, the first of which begins at zero, shape
        (crystal, new bin + 1), ascending. The first and the last new bin take all that lies
        beyond.

    Returns
    -------
    torch.Tensor
        Shape (crystal, new bin).
    """
    n_bins = weights.shape[1]
    inner = places[:, 1:-1].clamp(0.0, float(n_bins))
    low = inner.detach().floor().clamp(max=n_bins - 1).long()
    cumulative = functional.pad(weights.cumsum(dim=1), (1, 0))
    below = cumulative.gather(1, low)
    found = below + weights.gather(1, low) * (inner - low)
    return torch.cat([cumulative[:, :1], found, cumulative[:, -1:]], dim=1).diff(dim=1).clamp(min=0)


def _core(architecture: DosArchitecture, n_outputs: int, n_features: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how the package declares its settings is deprecated
        from alignn.models.alignn_atomwise_pure import (
            ALIGNNAtomWisePure,
            ALIGNNAtomWisePureConfig,
        )

    config = ALIGNNAtomWisePureConfig(
        name="alignn_atomwise_pure",
        atom_input_features=n_features,
        alignn_layers=architecture.angle_layers,
        gcn_layers=architecture.bond_layers,
        hidden_features=architecture.hidden,
        embedding_features=architecture.embedding,
        output_features=n_outputs,
        calculate_gradient=False,
        energy_mult_natoms=False,
        use_penalty=False,
        use_zbl=False,
        lg_on_fly=False,
    )
    core = ALIGNNAtomWisePure(config)
    core._species_table = torch.zeros(0)  # noqa: SLF001 - a table of another interface
    if architecture.with_prior:
        core.fc = nn.Identity()  # the correction takes its place
    return core


@contextmanager
def _single_precision(seed: int) -> Iterator[None]:
    """Make modules in single precision from a seed, and leave all else as it was."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def build_network(
    architecture: DosArchitecture, grid: FrequencyGrid, n_features: int, seed: int = 0
) -> DosNetwork:
    """Make a network with random weights, on the CPU."""
    with _single_precision(seed):
        return DosNetwork(architecture, grid, n_features)


def network_to_arrays(network: DosNetwork) -> dict[str, NDArray[Any]]:
    """Return all weights by name."""
    return {
        name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()
    }


def network_from_arrays(
    architecture: DosArchitecture,
    grid: FrequencyGrid,
    n_features: int,
    arrays: Mapping[str, NDArray[Any]],
) -> DosNetwork:
    """Make a network with given weights, on the CPU.

    Raises
    ------
    ModelCorruptError
        If a weight is missing, left over, of another shape or not finite.
    """
    network = build_network(architecture, grid, n_features)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: np.shape(value) for name, value in arrays.items()}
    if expected != given:
        different = sorted(set(expected.items()) ^ set(given.items()))
        raise ModelCorruptError(
            f"weights that are missing, left over or of another shape: {different[0][0]}",
            subject="weights",
            hint=ANEW,
        )
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ModelCorruptError("a weight is not finite", subject="weights", hint=ANEW)
    tensors = {
        name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in arrays.items()
    }
    network.load_state_dict(tensors, strict=True)
    return network
