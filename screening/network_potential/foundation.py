"""Published MACE networks as models of this project: plain numbers that training can start from.

A module of the package is read once, by whoever vouches for its file. What its architecture says
is written out, its weights are put into a network that is built here, and both must give the same
energy: nothing that is not expressible here is left out in silence.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from screening.calculators.mace import MaceEngine, MaceModule, model_heads, read_mace_module
from screening.calculators.mace_blocks import is_known
from screening.errors import ModelRefusedError, SettingError
from screening.network_potential.network import (
    NETWORK_ARRAYS,
    NETWORK_POTENTIAL,
    build_network,
    learned_names,
    network_to_arrays,
)
from screening.network_potential.settings import MaceArchitecture, Precision
from screening.trained_model import TrainedModel

__all__ = ["architecture_of", "foundation_potential", "potential_of_module"]

_SAME = {"float64": 1e-10, "float32": 1e-5}
_DIGITS = 16


def foundation_potential(text: str) -> TrainedModel:
    """Read a MACE network that was trained elsewhere, as a potential to start from.

    Parameters
    ----------
    text
        What follows ``mace:``, as `screening.calculators.mace.read_mace_module` takes it: a
        published name or a file, with ``@SHA256``.

    Returns
    -------
    TrainedModel
        With the precision of the file, and nothing known of its training set.

    Raises
    ------
    ModelRefusedError
        If it comes without its digest, or the network cannot be expressed here; the
        subject is the part that cannot.
    ModelCorruptError, ModelUnavailableError
        If the file is another one, or is missing.
    """
    return potential_of_module(read_mace_module(text))


def potential_of_module(found: MaceModule) -> TrainedModel:
    """Turn a module into a potential of plain numbers.

    Raises
    ------
    ModelRefusedError
        If it cannot be expressed here.
    """
    module = found.module
    precision = _precision(module)
    architecture = architecture_of(module)
    neighbours = _only("avg_num_neighbors", [x.avg_num_neighbors for x in module.interactions])
    network = build_network(architecture, float(neighbours), precision=precision)
    _copy_weights(module, network, _SAME[precision])
    arrays = network_to_arrays(network)
    _check_energies(module, network, _SAME[precision])
    return TrainedModel(
        method=NETWORK_POTENTIAL,
        name=re.sub(r"[^A-Za-z0-9-]+", "-", found.name.removeprefix("mace:")).strip("-"),
        elements=architecture.elements,
        arrays={NETWORK_ARRAYS + name: array for name, array in arrays.items()},
        state={
            "architecture": architecture.as_dict(),
            "avg_num_neighbors": float(neighbours),
            "precision": precision,
            "frequency_scale": None,
        },
        card={"foundation": f"{found.name}@{found.sha256[:_DIGITS]}"},
        training_set_digest=found.sha256,
        n_training_samples=0,
    )


def architecture_of(module: Any) -> MaceArchitecture:
    """Read the architecture off a module.

    Raises
    ------
    ModelRefusedError
        If it cannot be expressed here; the subject is the part that cannot.
    """
    _check_blocks(module)
    channels, max_l = _hidden(module.products[0].linear.irreps_out)
    first = module.interactions[0]
    widths = _only("radial_MLP", [_widths(one.conv_tp_weights) for one in module.interactions])
    last = module.readouts[-1]
    given: dict[str, Any] = {
        "elements": _elements(module),
        "channels": channels,
        "max_l": max_l,
        "cutoff_angstrom": float(module.r_max),
        "n_interactions": len(module.interactions),
        "correlation": _only("correlation", [_correlation(one) for one in module.products]),
        "max_ell": int(first.edge_attrs_irreps.lmax),
        "n_bessel": len(module.radial_embedding.bessel_fn.bessel_weights),
        "n_polynomial": int(module.radial_embedding.cutoff_fn.p),
        "radial_mlp": widths,
    }
    if hasattr(last, "linear_1"):
        given["mlp_channels"] = int(last.linear_1.irreps_out.dim)
    try:
        return MaceArchitecture(**given)
    except SettingError as error:
        raise _refused(error.subject or "architecture", error.message) from error


def _refused(part: str, message: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"a network with other {part} than is known here: {message}",
        subject=part,
        hint="Start from another network, such as a ScaleShiftMACE with one head, or from none",
    )


def _check_blocks(module: Any) -> None:
    """Refuse what has other blocks than are built here."""
    heads = model_heads(module)
    if len(heads) != 1:
        raise _refused("heads", f"{len(heads)}, {', '.join(heads)}")
    radial = type(module.radial_embedding.bessel_fn).__name__
    if radial != "BesselBasis":
        raise _refused("radial_type", radial)
    for name in ("cueq_config", "oeq_config", "edge_irreps"):
        if getattr(module, name, None) is not None:
            raise _refused(name, str(getattr(module, name)))
    if not is_known(module):
        kinds = {type(one).__name__ for one in (module, *getattr(module, "interactions", ()))}
        raise _refused("blocks", ", ".join(sorted(kinds)))
    wanted = ["LinearReadoutBlock"] * len(module.interactions)
    if len(wanted) > 1:
        wanted[-1] = "NonLinearReadoutBlock"
    readouts = [type(one).__name__ for one in module.readouts]
    if readouts != wanted:
        raise _refused("readouts", ", ".join(readouts))


def _precision(module: Any) -> Precision:
    kinds = {one.dtype for one in module.parameters()}
    names: dict[torch.dtype, Precision] = {torch.float32: "float32", torch.float64: "float64"}
    if len(kinds) != 1 or not kinds <= names.keys():
        raise _refused("precision", ", ".join(sorted(map(str, kinds))))
    return names[kinds.pop()]


def _only(part: str, values: list[Any]) -> Any:
    """Return what all layers have in common."""
    if any(one != values[0] for one in values):
        raise _refused(part, f"one for each layer, {', '.join(map(str, values))}")
    return values[0]


def _hidden(irreps: Any) -> tuple[int, int]:
    """Return channels and highest order of the features of a node."""
    expected = [(order, (-1) ** order) for order in range(len(irreps))]
    multiplicities = {one.mul for one in irreps}
    if [(one.ir.l, one.ir.p) for one in irreps] != expected or len(multiplicities) != 1:
        raise _refused("hidden_irreps", str(irreps))
    return multiplicities.pop(), len(irreps) - 1


def _elements(module: Any) -> tuple[int, ...]:
    numbers = tuple(int(one) for one in module.atomic_numbers)
    if list(numbers) != sorted(set(numbers)):
        raise _refused("atomic_numbers", "not in ascending order")
    return numbers


def _correlation(product: Any) -> int:
    orders = {len(one.weights) + 1 for one in product.symmetric_contractions.contractions}
    return int(_only("correlation", sorted(orders)))


def _widths(layers: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers between radial functions and weights."""
    return tuple(int(one.weight.shape[1]) for one in list(layers.children())[:-1])


def _copy_weights(module: Any, network: Any, tolerance: float) -> None:
    """Put the weights of a module into a network; all else must be what it is there."""
    theirs, own = module.state_dict(), network.state_dict()
    learned = learned_names(network)
    extra = {name for name, _ in module.named_parameters()} - learned
    if odd := sorted(extra | (learned - theirs.keys())):
        raise _refused("weights", f"{odd[0]} is there or missing")
    for name in sorted(own.keys() & theirs.keys()):
        value, wanted = theirs[name], own[name]
        if name in learned and value.numel() == wanted.numel():
            own[name] = value.detach().reshape(wanted.shape).clone()
        elif value.shape != wanted.shape or not torch.allclose(
            value.to(torch.float64), wanted.to(torch.float64), rtol=tolerance, atol=tolerance
        ):
            raise _refused(name, f"of shape {tuple(value.shape)}")
    network.load_state_dict(own, strict=True)
    if not all(bool(torch.isfinite(own[name]).all()) for name in learned):
        raise _refused("weights", "they are not finite")


def _check_energies(module: Any, network: Any, tolerance: float) -> None:
    """Compare both on a crooked cell of four atoms, with activations and couplings and all."""
    engines = [MaceEngine(one) for one in (module, network)]
    reach = engines[0].cutoff_angstrom
    cell = reach * np.array([[0.9, 0.0, 0.1], [0.2, 0.8, 0.0], [0.0, 0.1, 0.7]])
    places = np.array([[0.0, 0.0, 0.0], [0.5, 0.45, 0.1], [0.1, 0.5, 0.55], [0.6, 0.1, 0.4]])
    numbers = np.resize(np.array(engines[0].numbers), len(places))
    theirs, own = (one.energy(cell, places @ cell, numbers) for one in engines)
    if not abs(own - theirs) <= tolerance * max(1.0, abs(theirs)):
        raise _refused("energies", f"{own:.9g} eV instead of {theirs:.9g} eV of a small cell")
