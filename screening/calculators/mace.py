"""MACE models, by published name or by file.

A MACE file is a pickled module: reading it runs whatever it holds. A file is therefore read
only when the specification carries the start of its SHA-256, which the first refusal prints;
whoever types it vouches for the file. The bytes that were hashed are the bytes that are read.
Published models are downloaded by the ``mace`` package from its own releases, which name no
digests; they are files like any other.
A potential that was trained here is a file of plain numbers, which needs no such care.

References
----------
I. Batatia et al., arXiv:2206.07697 (the architecture); arXiv:2401.00096 (MACE-MP-0).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from screening.calculators.checks import CheckedCalculator, refuse_isolated_atoms
from screening.calculators.committee import Committee
from screening.calculators.interface import IndexArray
from screening.calculators.mace_package import default_type, import_mace
from screening.calculators.shipped import load_shipped
from screening.calculators.trained_mace import (
    load_sampled_potentials,
    load_trained_file,
    number_of_samples,
)
from screening.digest import digest_of
from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    TooLargeError,
)
from screening.model_files import read_model
from screening.prediction import FloatArray
from screening.shipped_models import read_shipped, shipped_name
from screening.trained_model import TrainedModel

__all__ = [
    "MaceEngine",
    "MaceModule",
    "load_mace",
    "load_mace_or_samples",
    "model_heads",
    "published_names",
    "read_mace_module",
]

_MIN_DIGITS = 16
_MAX_BYTES = 4 * 1024**3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_HEAD = re.compile(r"(?P<rest>.+)#(?P<head>[^#@/]+)")
_TRAINED = re.compile(r"(?P<path>.+\.psm)(?:@(?:sha256=)?(?P<digits>\w+))?")
_SAMPLED = re.compile(r"(?P<model>.+\.psm(?:@[^#]*)?|[^#]+)#(?P<count>.*)")
_PINNED = re.compile(r"(?P<path>.+)@(?:sha256=)?(?P<digits>[0-9a-fA-F]{16,64})")


class MaceEngine:
    """A MACE model in float64, one cell at a time (batches do not pay on a CPU).

    Parameters
    ----------
    model
        The unpickled module.
    head
        Which of its heads to use, one of `model_heads`; None for the only one.
    """

    def __init__(self, model: Any, head: str | None = None) -> None:
        self._model = model.double().eval()
        for parameter in self._model.parameters():
            parameter.requires_grad = False
        self.numbers = tuple(int(number) for number in model.atomic_numbers)
        self._order = np.argsort(self.numbers)
        self._sorted = np.array(self.numbers)[self._order]
        self.cutoff_angstrom = float(model.r_max)
        self.heads = model_heads(model)
        self.head = head or self.heads[0]

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        return _numpy(self._evaluate(cell, positions, numbers, stress=False)["forces"])

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        found = self._evaluate(cell, positions, numbers, stress=False)
        return float(_numpy(found["energy"]).reshape(-1)[0])

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        found = self._evaluate(cell, positions, numbers, stress=True)
        energy = float(_numpy(found["energy"]).reshape(-1)[0])
        return energy, _numpy(found["forces"]), _numpy(found["stress"]).reshape(3, 3)

    def invariants(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> FloatArray:
        """Compute the scalar features of the nodes after all layers, shape (atom, feature)."""
        features = self._evaluate(cell, positions, numbers, stress=False)["node_feats"]
        return _numpy(features)[:, self._scalars()]

    @property
    def n_invariants(self) -> int:
        """Number of scalar features of a node."""
        return len(self._scalars())

    def _scalars(self) -> list[int]:
        """Which of the features of a node, layer after layer, are scalars."""
        layers = [product.linear.irreps_out for product in self._model.products]
        kinds = [str(one.ir) for layer in layers for one in layer for _ in range(one.dim)]
        return [index for index, kind in enumerate(kinds) if kind == "0e"]

    def _species(self, numbers: IndexArray) -> IndexArray:
        """Index of the element of each atom in the model's list."""
        places = np.searchsorted(self._sorted, numbers).clip(max=len(self._sorted) - 1)
        unknown = sorted({int(one) for one in numbers[self._sorted[places] != numbers]})
        if unknown:
            raise ElementNotInModelError(
                f"the model does not know Z = {', '.join(map(str, unknown))}",
                subject="mace",
                hint="Choose another calculator for this structure",
            )
        found: IndexArray = self._order[places]
        return found

    def _evaluate(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray, *, stress: bool
    ) -> dict[str, Any]:
        """Run the module."""
        import torch
        from vesin import NeighborList

        species = self._species(numbers)
        finder = NeighborList(cutoff=self.cutoff_angstrom, full_list=True, sorted=False)
        receivers, senders, shifts = finder.compute(positions, cell, True, "ijS")
        refuse_isolated_atoms(len(species), receivers, self.cutoff_angstrom, "mace")
        edges = np.stack([senders, receivers]).astype(np.int64)
        graph = {
            "positions": torch.tensor(positions),
            "cell": torch.tensor(cell),
            "node_attrs": torch.eye(len(self.numbers), dtype=torch.float64)[species],
            "edge_index": torch.from_numpy(edges),
            "unit_shifts": torch.tensor(-shifts, dtype=torch.float64),
            "shifts": torch.tensor(-shifts @ cell),
            "batch": torch.zeros(len(species), dtype=torch.int64),
            "ptr": torch.tensor([0, len(species)]),
            "head": torch.tensor([self.heads.index(self.head)]),
        }
        with default_type(torch.float64):
            found: dict[str, Any] = self._model(graph, compute_force=True, compute_stress=stress)
        return found


def model_heads(model: Any) -> tuple[str, ...]:
    """Names of the heads of a model; older models have one without a name.

    Each head was trained on its own level of theory: their energies differ by electronvolts.
    """
    return tuple(str(head) for head in getattr(model, "heads", None) or ("Default",))


def load_mace(text: str) -> CheckedCalculator:
    """Load a MACE model.

    Parameters
    ----------
    text
        What follows ``mace:``: ``phonoscreen-small`` for the potential that is installed with
        the project, ``FILE.psm`` for one that was trained here, with ``@SHA256`` or without, or
        ``NAME@SHA256`` for a published model and ``FILE@SHA256`` for any other file, both with
        at least 16 digits. Models with several heads need ``#head`` at the end.

    Raises
    ------
    ModelRefusedError
        If a file or a published name comes without its digest, the name is unknown, the file
        holds no MACE, the head is unknown or missing where there are several, or the text names
        several potentials, as `load_mace_or_samples` takes it.
    ModelCorruptError
        If the file's digest is another one.
    ModelUnavailableError
        If the package is missing, or the model must be downloaded and cannot be.
    SettingError
        If what stands behind the ``@`` of a potential that was trained here is no SHA-256.
    """
    sampled = _sampled(text)
    if sampled is not None:
        raise ModelRefusedError(
            "names several potentials where one is needed",
            subject=f"mace:{text}",
            hint=f"Leave #{sampled['count']} out",
        )
    shipped = shipped_name("mace", text)
    if shipped is not None:
        return load_shipped(shipped)
    trained = _TRAINED.fullmatch(text)
    if trained:
        path = Path(trained["path"]).expanduser()
        return load_trained_file(path, (trained["digits"] or "").lower())
    from screening.calculators.mace_network import NetworkEngine  # which needs torch

    with_head = _HEAD.fullmatch(text)
    head = with_head["head"] if with_head else None
    found = read_mace_module(with_head["rest"] if with_head else text)
    _check_head(model_heads(found.module), head, found.name)
    engine = NetworkEngine(found.module, head)
    several = len(engine.heads) > 1
    own = digest_of({"weights": found.sha256, "head": engine.head})
    return CheckedCalculator(
        engine=engine,
        name=f"{found.name}#{engine.head}" if several else found.name,
        digest=own if several else found.sha256,
        elements=frozenset(engine.numbers),
    )


def load_mace_or_samples(text: str) -> CheckedCalculator | Committee:
    """Load a MACE model, or potentials that are drawn around one.

    Parameters
    ----------
    text
        As `load_mace` takes it. What was trained here may end in ``#4``: then four potentials are
        drawn from the posterior of its last layer.

    Raises
    ------
    SettingError
        If what follows ``#`` is no number that can be drawn, and as `load_mace` says.
    ModelRefusedError
        If a potential that was trained here carries no last layer.
    ModelCorruptError, ModelUnavailableError
        As `load_mace` says.
    """
    sampled = _sampled(text)
    if sampled is None:
        return load_mace(text)
    count = number_of_samples(sampled["count"])
    return load_sampled_potentials(_own_model(sampled["model"]), count)


def _sampled(text: str) -> re.Match[str] | None:
    """Tell the number behind a potential that was trained here from a head of other models."""
    found = None if _TRAINED.fullmatch(text) else _SAMPLED.fullmatch(text)
    if found is None:
        return None
    is_own = shipped_name("mace", found["model"]) or _TRAINED.fullmatch(found["model"])
    return found if is_own else None


def _own_model(text: str) -> TrainedModel:
    shipped = shipped_name("mace", text)
    if shipped is not None:
        return read_shipped("mace", shipped)
    trained = _TRAINED.fullmatch(text)
    assert trained is not None
    return read_model(Path(trained["path"]).expanduser(), (trained["digits"] or "").lower())


@dataclass(frozen=True, eq=False)
class MaceModule:
    """A module as it was read, what to call it, and the SHA-256 of its file."""

    module: Any
    name: str
    sha256: str


def read_mace_module(text: str) -> MaceModule:
    """Read the module of a published model, or of a file that somebody vouches for.

    Parameters
    ----------
    text
        As `load_mace` takes it, without what was trained here and without a head.

    Raises
    ------
    ModelRefusedError, ModelCorruptError, ModelUnavailableError
        As `load_mace` says.
    """
    pinned = _PINNED.fullmatch(text)
    given = pinned["path"] if pinned else text
    path = Path(given).expanduser()
    is_published = _NAME.fullmatch(given) is not None and not path.is_file()
    if is_published:
        path = _published(given)
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if pinned is None:
        raise ModelRefusedError(
            f"a MACE file runs code when it is read; this one has the SHA-256 {found}",
            subject=str(path),
            hint=f"If you trust it, write mace:{given}@{found[:_MIN_DIGITS]}",
        )
    if not found.startswith(pinned["digits"].lower()):
        raise ModelCorruptError(
            f"SHA-256 is {found}, expected {pinned['digits'].lower()}",
            subject=str(path),
            hint="The file is damaged or was replaced",
        )
    return _unpickled(data, f"mace:{given if is_published else path.name}", path)


def published_names() -> list[str]:
    """Return the names of published models.

    Raises
    ------
    ModelUnavailableError
        If the package is missing.
    """
    import_mace()
    from mace.calculators import foundations_models

    return sorted(str(item) for item in foundations_models.mace_mp_names if item)


def _published(name: str) -> Path:
    """Return the file of a published model in mace's cache, downloaded where it is not there."""
    known = published_names()
    from mace.calculators import foundations_models

    if name not in known:
        raise ModelRefusedError(
            f"no published MACE model {name!r}",
            subject="calculator",
            hint=f"Known are {', '.join(known)}; a file needs mace:FILE@SHA256, a model of the "
            "database mace:FILE.psm, which 'phonoscreen models export' writes",
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Path(foundations_models.download_mace_mp_checkpoint(name))
    except Exception as error:
        raise ModelUnavailableError(
            f"the model {name} is not on this machine and cannot be downloaded"
            f" ({type(error).__name__}: {error})",
            subject="calculator",
            hint="Run once with a network, copy its file here and use mace:FILE@SHA256,"
            " or use chgnet, whose weights are installed",
        ) from error


def _unpickled(data: bytes, name: str, path: Path) -> MaceModule:
    """Unpickle bytes that somebody vouches for."""
    import_mace()
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of e3nn's and torch's old serialisation
            model = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:
        raise ModelCorruptError(
            f"cannot be read: {type(error).__name__}: {error}", subject=str(path)
        ) from error
    if not hasattr(model, "atomic_numbers") or not hasattr(model, "r_max"):
        raise ModelRefusedError(f"holds a {type(model).__name__}, no MACE model", subject=str(path))
    return MaceModule(model, name, hashlib.sha256(data).hexdigest())


def _check_head(heads: tuple[str, ...], head: str | None, name: str) -> None:
    """Refuse to guess which of several heads is meant."""
    if head in heads or (head is None and len(heads) == 1):
        return
    found = f"the model has no head {head!r}" if head else f"the model has {len(heads)} heads"
    raise ModelRefusedError(
        f"{found}; its heads are {', '.join(heads)}",
        subject=name,
        hint=f"Name one at the end of the specification: #{heads[0]}",
    )


def _read(path: Path) -> bytes:
    """Read a regular file of acceptable size."""
    if not path.is_file():
        raise ModelUnavailableError(
            "no such file", subject=str(path), hint="Check the path of the MACE model"
        )
    if path.stat().st_size > _MAX_BYTES:
        raise TooLargeError("a model of more than 4 GiB", subject=str(path))
    return path.read_bytes()


def _numpy(tensor: Any) -> FloatArray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
