"""The network as a module of the package ``mace``, and its numbers as plain arrays.

The package is imported before ``e3nn``, which fails the other way round, and builds its modules
of the default type of torch, which is restored.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from screening.calculators.mace_package import default_type, import_mace
from screening.errors import ModelCorruptError, SettingError
from screening.network_potential.settings import MaceArchitecture, Precision

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel

__all__ = [
    "NETWORK_ARRAYS",
    "NETWORK_POTENTIAL",
    "atomic_energies",
    "build_network",
    "learned_names",
    "network_from_arrays",
    "network_of",
    "network_to_arrays",
    "set_atomic_energies",
]

NETWORK_POTENTIAL = "mace-potential"
"""Name of the method, as its models carry it."""

NETWORK_ARRAYS = "network/"
"""What the names of the network's own arrays begin with in a trained model."""

_BLOCK = "RealAgnosticResidualInteractionBlock"
_LEARNED_BUFFERS = frozenset(
    {"atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift"}
)
_TYPES = {"float32": torch.float32, "float64": torch.float64}


def build_network(
    architecture: MaceArchitecture,
    avg_num_neighbors: float = 1.0,
    scale: float = 1.0,
    *,
    seed: int = 0,
    precision: Precision = "float64",
) -> Any:
    """Build a network with random weights.

    Parameters
    ----------
    architecture
        Its shape, with its elements.
    avg_num_neighbors
        Mean number of neighbours of an atom, by which sums of messages are divided.
    scale
        Energy in eV that one unit of its output stands for.
    seed
        Of the weights; the state of torch's own generator is left as it was.
    precision
        Type of its numbers.

    Raises
    ------
    SettingError
        If there are no elements.
    ModelUnavailableError
        If the package is missing.
    """
    if not architecture.elements:
        raise SettingError("no elements", subject="elements", hint="Name the elements to learn")
    import_mace()
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes[_BLOCK]
    channels = architecture.channels
    orders = [f"{channels}x{order}{'eo'[order % 2]}" for order in range(architecture.max_l + 1)]
    with default_type(_TYPES[precision]), torch.random.fork_rng(devices=[]), _uncompiled():
        torch.manual_seed(seed)
        network = modules.ScaleShiftMACE(
            r_max=architecture.cutoff_angstrom,
            num_bessel=architecture.n_bessel,
            num_polynomial_cutoff=architecture.n_polynomial,
            max_ell=architecture.max_ell,
            num_interactions=architecture.n_interactions,
            num_elements=len(architecture.elements),
            interaction_cls=block,
            interaction_cls_first=block,
            hidden_irreps=o3.Irreps("+".join(orders)),
            MLP_irreps=o3.Irreps(f"{architecture.mlp_channels}x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros(len(architecture.elements)),
            avg_num_neighbors=avg_num_neighbors,
            atomic_numbers=list(architecture.elements),
            correlation=architecture.correlation,
            use_reduced_cg=False,  # or weights would depend on what else is installed
            radial_MLP=list(architecture.radial_mlp),
            radial_type="bessel",
            atomic_inter_scale=scale,
            atomic_inter_shift=0.0,
        )
    _spread_elements(network, len(architecture.elements))
    return network


def _spread_elements(network: Any, n_elements: int) -> None:
    """Give the first features of an element unit size, however many elements there are.

    The package divides maps from elements by the root of their number, as if all were there at
    once, and what it adds to the messages of an atom starts out as good as zero.
    """
    with torch.no_grad():
        network.node_embedding.linear.weight.mul_(n_elements**0.5)
        for interaction in network.interactions:
            interaction.skip_tp.weight.mul_(n_elements**0.5)


def network_to_arrays(network: Any) -> dict[str, NDArray[Any]]:
    """Return the numbers of a network that its architecture does not settle, by name."""
    return {name: np.array(value.detach().cpu().numpy()) for name, value in _kept(network).items()}


def atomic_energies(network: Any) -> NDArray[np.float64]:
    """Return the energies of atoms alone in eV, shape (element,)."""
    stored = network.atomic_energies_fn.atomic_energies
    return np.array(stored.detach().cpu().numpy(), dtype=np.float64).reshape(-1)


def set_atomic_energies(network: Any, energies_ev: NDArray[np.float64]) -> None:
    """Set the energies of atoms alone, shape (element,)."""
    stored = network.atomic_energies_fn.atomic_energies
    stored.copy_(torch.as_tensor(energies_ev).reshape(stored.shape))


def learned_names(network: Any) -> frozenset[str]:
    """Name all that training changes; the rest follows from the architecture."""
    return _LEARNED_BUFFERS.union(name for name, _ in network.named_parameters())


def _kept(network: Any) -> dict[str, torch.Tensor]:
    """All that training changes; the rest follows from the architecture, to full precision."""
    names = learned_names(network)
    return {name: value for name, value in network.state_dict().items() if name in names}


def network_from_arrays(
    architecture: MaceArchitecture,
    arrays: Mapping[str, NDArray[Any]],
    avg_num_neighbors: float,
    *,
    precision: Precision = "float64",
) -> Any:
    """Rebuild a network.

    Raises
    ------
    ModelCorruptError
        If an array is missing, unknown, of another shape or not finite.
    """
    network = build_network(architecture, avg_num_neighbors, precision=precision)
    wanted = _kept(network)
    if set(wanted) != set(arrays):
        odd = sorted(set(wanted) ^ set(arrays))
        raise _corrupt(f"{len(odd)} arrays are missing or unknown, {odd[0]} among them")
    loaded = {}
    for name, value in wanted.items():
        array = np.asarray(arrays[name])
        if array.shape != tuple(value.shape) or not np.isfinite(array).all():
            raise _corrupt(f"{name} of shape {array.shape}, or not finite")
        loaded[name] = torch.tensor(array).to(value.dtype)
    network.load_state_dict({**network.state_dict(), **loaded}, strict=True)
    return network


def network_of(model: TrainedModel, *, precision: Precision = "float64") -> Any:
    """Rebuild the network of a trained model.

    Raises
    ------
    ModelCorruptError
        If the model is of another method, or its state or arrays do not fit.
    """
    if model.method != NETWORK_POTENTIAL:
        raise _corrupt(f"the method of the model is {model.method}", model.name)
    try:
        architecture = MaceArchitecture.from_dict(model.state["architecture"])
        neighbours = float(model.state["avg_num_neighbors"])
    except (KeyError, TypeError, ValueError, SettingError) as error:
        raise _corrupt(f"its state does not fit: {error}", model.name) from error
    if not set(model.elements) <= set(architecture.elements):
        raise _corrupt("the elements of model and network differ", model.name)
    arrays = {
        name.removeprefix(NETWORK_ARRAYS): array
        for name, array in model.arrays.items()
        if name.startswith(NETWORK_ARRAYS)
    }
    return network_from_arrays(architecture, arrays, neighbours, precision=precision)


def _corrupt(message: str, subject: str = "network") -> ModelCorruptError:
    return ModelCorruptError(
        f"the arrays are not those of the network: {message}",
        subject=subject,
        hint="Get the model again",
    )


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """Let e3nn compile nothing, which takes seconds and is not what runs here."""
    import e3nn

    before = e3nn.get_optimization_defaults()["jit_script_fx"]
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e3nn 0.4 on a current torch
            yield
    finally:
        e3nn.set_optimization_defaults(jit_script_fx=before)
