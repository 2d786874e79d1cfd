"""CHGNet from the weights packaged with ``chgnet``: the offline default.

The weights are read with the restricted unpickler (``weights_only=True``), which the
packaged checkpoints allow, and after their SHA-256 has been compared with the one below, so
nothing in the file can run. The network itself is :mod:`screening.calculators.chgnet_network`;
the ``chgnet`` package is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np

from screening.calculators.checks import CheckedCalculator, refuse_isolated_atoms
from screening.calculators.chgnet_graph import (
    ATOM_CUTOFF_ANGSTROM,
    FoldedGraph,
    build_graph,
    cell_gradients,
    fold_graph,
)
from screening.calculators.chgnet_network import energy_and_gradients
from screening.calculators.chgnet_weights import Network, network_from_state
from screening.calculators.interface import IndexArray
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
)
from screening.prediction import FloatArray

__all__ = ["CHGNET_DISPLACEMENT_ANGSTROM", "DEFAULT_VERSION", "ChgnetEngine", "load_chgnet"]

DEFAULT_VERSION = "0.3.0"

CHGNET_DISPLACEMENT_ANGSTROM = 0.03
"""Finite displacement for CHGNet in Å.

Its energy surface is rough: the on-site curvature of GaAs grows from 0.14 to 0.88 eV/Å^2
between the limit and 0.03 Å. Against PBE frequencies of 30 rock-salt and zinc-blende
binaries (64-atom supercells) the mean absolute error is 2.11 / 1.94 / 1.82 / 1.78 THz and the
spread of the free energy's error at 300 K 20.2 / 18.2 / 14.7 / 14.3 meV/atom for displacements
of 0.01 / 0.03 / 0.05 / 0.1 Å; the largest ones smooth over double wells.
"""

_SOFT = "CHGNet 0.3.0 is soft: frequencies are about 26 % too low on average against PBE"
_ROUGH = (
    "CHGNet's forces are not linear in the displacement: with 0.01 instead of 0.03 Å the free "
    "energy at 300 K moves by up to 20 meV/atom"
)
_PACKAGED = {
    "0.3.0": (
        "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
        (_SOFT, _ROUGH),
        frozenset({84, 85, 86, 87, 88}),  # not in its training set
    ),
    "r2scan": (
        "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
        ("CHGNet r2SCAN is soft: frequencies about 36 % too low", _ROUGH),
        frozenset({70, 84, 85, 86, 87, 88}),
    ),
}
_LAST_ELEMENT = 94


class ChgnetEngine:
    """CHGNet on one cell at a time.

    Parameters
    ----------
    network
        The arranged weights.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        return self._evaluate(cell, positions, numbers)[1]

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        return self._evaluate(cell, positions, numbers)[0]

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        energy, forces, virial = self._evaluate(cell, positions, numbers)
        return energy, forces, virial / abs(float(np.linalg.det(cell)))

    def _evaluate(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Energy, forces and virial; the graph is built anew because pairs cross the cutoffs."""
        graph = build_graph(cell, positions, numbers)
        bonded = np.concatenate([graph.first, graph.second])
        refuse_isolated_atoms(len(numbers), bonded, ATOM_CUTOFF_ANGSTROM, "chgnet")
        folded: FoldedGraph = fold_graph(graph)
        energy, length_gradients, cosine_gradients = energy_and_gradients(self._network, folded)
        forces, virial = cell_gradients(graph, folded, length_gradients, cosine_gradients)
        return energy, forces, virial


def load_chgnet(version: str = DEFAULT_VERSION) -> CheckedCalculator:
    """Load a packaged CHGNet.

    Parameters
    ----------
    version
        ``0.3.0`` or ``r2scan``.

    Raises
    ------
    ModelRefusedError
        If the version is another one.
    ModelUnavailableError
        If the packages are not installed.
    ModelCorruptError
        If the file is not the published one.
    """
    if version not in _PACKAGED:
        raise ModelRefusedError(
            f"no packaged CHGNet {version!r}",
            subject="calculator",
            hint=f"Packaged are {', '.join(_PACKAGED)}",
        )
    name, digest, notes, unknown = _PACKAGED[version]
    data = _read_weights(_package_folder() / "pretrained" / name, digest)
    return CheckedCalculator(
        engine=ChgnetEngine(_arrange(data, name)),
        name=f"chgnet:{version}",
        digest=digest,
        elements=frozenset(range(1, _LAST_ELEMENT + 1)) - unknown,
        displacement_angstrom=CHGNET_DISPLACEMENT_ANGSTROM,
        notes=notes,
    )


def _package_folder() -> Path:
    """Where chgnet is installed, without importing it."""
    for package in ("chgnet", "torch", "vesin"):
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise ModelUnavailableError(
                f"the package {package} is not installed",
                subject="chgnet",
                hint="Install phonoscreen with its extra 'chgnet'",
            )
        if package == "chgnet":
            folder = Path(found.origin).parent
    return folder


def _read_weights(path: Path, digest: str) -> bytes:
    """Read the file once; the bytes that are checked are the bytes that are used."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelUnavailableError(
            f"cannot read the packaged weights: {error}",
            subject=path.name,
            hint="Install chgnet 0.4.2 or newer again",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ModelCorruptError(
            f"SHA-256 is {found}, expected {digest}",
            subject=path.name,
            hint="Install chgnet again",
        )
    return data


def _arrange(data: bytes, name: str) -> Network:
    """Unpack the checkpoint with the restricted unpickler."""
    import torch

    try:
        checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return network_from_state(checkpoint["model"]["state_dict"])
    except Exception as error:
        raise ModelCorruptError(
            f"holds no CHGNet: {type(error).__name__}: {error}", subject=name
        ) from error
