"""A trained ensemble, ready to predict the densities of states of many crystals at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import (
    InconsistentDataError,
    ModelCorruptError,
    ModelRefusedError,
    SettingError,
    TooLargeError,
)
from screening.network_dos.calibration import Calibration
from screening.network_dos.domain import Domain
from screening.network_dos.graphs import (
    CrystalGraph,
    GraphBuilder,
    batch_of,
    batches_by_size,
    check_elements,
)
from screening.network_dos.network import network_from_arrays
from screening.network_dos.settings import ANEW, Device, DosNetworkSettings
from screening.network_potential.devices import chosen_device
from screening.out_of_memory import is_out_of_memory
from screening.prediction import FloatArray
from screening.trained_model import METHOD_PREFIXES, TrainedModel

__all__ = ["DOS_NETWORK", "DensityOfStatesModel", "Ensemble", "PredictedDos", "predict_histograms"]

DOS_NETWORK = METHOD_PREFIXES["alignn"]
"""Method of models and predictions of this kind."""

_LARGEST_BATCH = {"cpu": 30_000, "cuda": 1_000_000}  # bonds and pairs: what caches and cards hold


@dataclass(frozen=True, eq=False)
class PredictedDos:
    """Densities of states of some crystals.

    Attributes
    ----------
    histograms
        Modes of the cell in each bin, 3N over all, shape (crystal, member, bin).
    latent
        Features of the last layer of the first member, shape (crystal, feature).
    """

    histograms: FloatArray
    latent: FloatArray

    @property
    def edge_fraction(self) -> FloatArray:
        """Share of the modes in the first and the last bin, mean over the members, (crystal,).

        They hold what the networks place beyond the grid: with much weight there the grid is too
        narrow for the crystal, and nothing that follows from it is right.
        """
        totals = self.histograms.sum(axis=2)
        edges = self.histograms[:, :, 0] + self.histograms[:, :, -1]
        return np.asarray((edges / totals).mean(axis=1))


class Ensemble:
    """Networks of one architecture on one device.

    Parameters
    ----------
    settings
        Architecture and grid.
    weights
        Of each member, by name.
    features
        Of the elements by atomic number, shape (atomic number, feature).

    Raises
    ------
    ModelCorruptError
        If the weights are not those of the architecture.
    ModelUnavailableError
        If a graphics processor is asked for and there is none.
    """

    def __init__(
        self,
        settings: DosNetworkSettings,
        weights: Sequence[Mapping[str, NDArray[Any]]],
        features: NDArray[np.float32],
    ) -> None:
        self._device = chosen_device(settings.device)
        self._features = torch.from_numpy(features.copy()).to(self._device)
        self._settings = settings
        own = settings.architecture
        self._networks = [
            network_from_arrays(own, settings.grid, features.shape[1], one).to(self._device).eval()
            for one in weights
        ]
        self._builder = GraphBuilder(own.bond_cutoff_angstrom, own.angle_cutoff_angstrom)

    def predict(
        self, structures: Sequence[Structure], priors: FloatArray | None = None
    ) -> PredictedDos:
        """Predict crystals of known elements.

        Parameters
        ----------
        structures
            At least one.
        priors
            Densities of states from a potential, shape (crystal, bin), for networks that correct
            one.

        Raises
        ------
        InconsistentDataError
            If they are missing, not wanted, or of another shape.
        TooLargeError
            If one crystal alone does not fit into the memory.
        """
        self._check_priors(priors, len(structures))
        graphs = [self._builder.graph(one) for one in structures]
        sizes = [one.size for one in graphs]
        found = [
            self._batch(graphs, priors, places)
            for places in batches_by_size(sizes, _LARGEST_BATCH[self._device.type], len(graphs))
        ]
        shares = np.concatenate([one for one, _ in found])
        modes = 3.0 * np.array([len(one) for one in structures])
        latent = np.concatenate([one for _, one in found])
        return PredictedDos(shares * modes[:, None, None], latent)

    def _batch(
        self, graphs: Sequence[CrystalGraph], priors: FloatArray | None, places: Sequence[int]
    ) -> tuple[FloatArray, FloatArray]:
        """Shares (crystal, member, bin) and features of some crystals, halved where memory ends."""
        try:
            return self._evaluated([graphs[k] for k in places], _rows(priors, places))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # beyond the handler, whose traceback holds tensors
        if len(places) == 1:
            raise TooLargeError(
                f"one crystal of {len(graphs[places[0]].numbers)} atoms does not fit into memory",
                subject="structures",
                hint="Leave it out, or use a potential",
            )
        middle = len(places) // 2
        halves = [self._batch(graphs, priors, one) for one in (places[:middle], places[middle:])]
        shares, latent = zip(*halves, strict=True)
        return np.concatenate(shares), np.concatenate(latent)

    def _evaluated(
        self, graphs: Sequence[CrystalGraph], priors: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode():
            batch = batch_of(graphs, self._features, self._device)
            given = None
            if priors is not None:
                given = torch.from_numpy(priors.astype(np.float32)).to(self._device)
            latents = [one.latent(batch) for one in self._networks]
            outputs = [
                network.output(latent, batch.scales, given)
                for network, latent in zip(self._networks, latents, strict=True)
            ]
            found = torch.stack(outputs, dim=1).double()
            shares = found / found.sum(dim=2, keepdim=True)
            return shares.cpu().numpy(), latents[0].double().cpu().numpy()

    def _check_priors(self, priors: FloatArray | None, n_crystals: int) -> None:
        if self._settings.architecture.with_prior != (priors is not None):
            given = "no densities of states" if priors is None else "densities of states"
            raise InconsistentDataError(
                f"{given} from a potential",
                subject="priors",
                hint="Give them to models that were trained with them, and to no others",
            )
        shape = (n_crystals, len(self._settings.grid))
        if priors is not None and not (
            priors.shape == shape and np.isfinite(priors).all() and np.all(priors.max(axis=1) > 0)
        ):
            raise InconsistentDataError(
                f"densities of states of shape {priors.shape} where {shape} is needed, or without "
                "weight, or not finite",
                subject="priors",
                hint="Make them on the grid of the model",
            )


def _rows(values: FloatArray | None, places: Sequence[int]) -> FloatArray | None:
    return None if values is None else values[list(places)]


@dataclass(frozen=True, eq=False)
class DensityOfStatesModel:
    """The parts of a trained model.

    Attributes
    ----------
    elements
        Atomic numbers that it knows, ascending.
    settings
        What it was trained with.
    ensemble
        Its networks.
    calibration
        Quantiles of its errors.
    domain
        What it can vouch for.
    """

    elements: tuple[int, ...]
    settings: DosNetworkSettings
    ensemble: Ensemble
    calibration: Calibration
    domain: Domain

    @classmethod
    def from_trained(cls, trained: TrainedModel, device: Device = "auto") -> DensityOfStatesModel:
        """Take it from its stored form.

        Raises
        ------
        ModelRefusedError
            If it is of another method.
        ModelCorruptError
            If a part of it is missing, of another type or shape, or out of its range.
        ModelUnavailableError
            If a graphics processor is asked for and there is none.
        """
        if trained.method != DOS_NETWORK:
            raise ModelRefusedError(
                f"a model of the method {trained.method!r}, not {DOS_NETWORK!r}",
                subject=trained.name,
                hint="Give a model that was trained by this method",
            )
        try:
            state = trained.state
            settings = DosNetworkSettings.from_dict({**state["settings"], "device": device})
            features = _by_number(trained.arrays["element_features"], trained.elements)
            weights = [_member(trained.arrays, one) for one in range(settings.n_members)]
            calibration = Calibration.from_dict(state["calibration"])
            domain = Domain.from_stored(state["domain"], trained.arrays)
        except (AttributeError, KeyError, TypeError, ValueError, SettingError) as error:
            raise ModelCorruptError(
                f"a part of the model cannot be read: {error!r}", subject=trained.name, hint=ANEW
            ) from error
        ensemble = Ensemble(settings, weights, features)
        return cls(tuple(trained.elements), settings, ensemble, calibration, domain)

    def predict(
        self, structures: Sequence[Structure], priors: FloatArray | None = None
    ) -> PredictedDos:
        """Predict crystals.

        Parameters
        ----------
        structures, priors
            As `Ensemble.predict` takes them.

        Raises
        ------
        ElementNotInModelError
            If an element of one is not known, before anything is computed.
        InconsistentDataError, TooLargeError
            As `Ensemble.predict`.
        """
        check_elements(structures, self.elements)
        return self.ensemble.predict(structures, priors)

    def novelty(self, predicted: PredictedDos) -> FloatArray:
        """How unlike all that was learned crystals are, as `Domain.novelty`, shape (crystal,)."""
        return self.domain.novelty(predicted.latent, predicted.histograms)


def predict_histograms(
    model: DensityOfStatesModel, structures: Sequence[Structure], priors: FloatArray | None = None
) -> FloatArray:
    """Predict modes of the cell in each bin by each member, shape (crystal, member, bin).

    Raises
    ------
    ElementNotInModelError, InconsistentDataError, TooLargeError
        As `DensityOfStatesModel.predict`.
    """
    if not structures:
        return np.zeros((0, model.settings.n_members, len(model.settings.grid)))
    return model.predict(structures, priors).histograms


def _by_number(rows: NDArray[Any], elements: Sequence[int]) -> NDArray[np.float32]:
    """Put the features of elements at the place of their atomic number."""
    values = np.asarray(rows, dtype=np.float32)
    if values.ndim != 2 or len(values) != len(elements) or not np.isfinite(values).all():  # noqa: PLR2004 - a matrix
        raise ModelCorruptError(
            f"features of shape {values.shape} for {len(elements)} elements",
            subject="element_features",
            hint=ANEW,
        )
    found = np.zeros((max(elements) + 1, values.shape[1]), dtype=np.float32)
    found[list(elements)] = values
    return found


def _member(arrays: Mapping[str, NDArray[Any]], number: int) -> dict[str, NDArray[Any]]:
    start = f"member/{number}/"
    names = [name for name in arrays if name.startswith(start)]
    return {name.removeprefix(start): arrays[name] for name in names}
