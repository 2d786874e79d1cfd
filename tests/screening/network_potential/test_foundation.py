"""Networks of the package as models of this project: the same energies, or a refusal."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest

pytest.importorskip("careful_mace")

import torch
from ase import Atoms
from small_networks import unusual_network
from tiny_mace import save_tiny_mace

from screening.calculators.mace import MaceModule, read_mace_module
from screening.calculators.trained_mace import load_trained_potential
from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
)
from screening.network_potential.foundation import foundation_potential, potential_of_module
from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.network import atomic_energies, network_of
from screening.network_potential.settings import MACE_PRESETS
from screening.network_potential.training import train_potential

ALUMINIUM, COPPER = 13, 29
TINY = MACE_PRESETS["tiny"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file that the package wrote, with energies of atoms alone and the text that names it."""
    path = save_tiny_mace(tmp_path_factory.mktemp("foundation") / "big.model", n_layers=2)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn's own serialisation
        module = read_mace_module(f"{path}@{digest}").module
        module.atomic_energies_fn.atomic_energies.copy_(
            torch.tensor([-1.5, 0.7], dtype=torch.float64)
        )
        module.scale_shift.shift.fill_(0.3)
        torch.save(module, path)
    return path, f"{path}@{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


@pytest.fixture(scope="module")
def potential(file):
    return foundation_potential(file[1])


def alloys(numbers=(ALUMINIUM, COPPER)) -> list[Atoms]:
    """Crooked cells of two elements."""
    found = []
    for seed in range(4):
        draw = np.random.default_rng(seed)
        atoms = Atoms(np.resize(numbers, 4), cell=np.diag([3.9, 4.1, 4.0]), pbc=True)
        atoms.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
        atoms.cell[1, 0] = 0.4
        atoms.positions += draw.normal(scale=0.1, size=(4, 3))
        found.append(atoms)
    return found


def labelled(atoms: Atoms, seed: int, forces) -> LabelledCell:
    return LabelledCell(
        material_id=f"m-{seed}",
        group=f"AlCu{seed}",
        numbers=atoms.numbers,
        cell_angstrom=atoms.cell.array,
        positions_angstrom=atoms.positions,
        forces_ev_per_angstrom=forces,
        energy_ev=-3.0 * len(atoms),
    )


def test_energies_forces_and_stresses_are_those_of_the_package(file, potential):
    from mace.calculators import MACECalculator

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # it loads without the argument
        stock = MACECalculator(model_paths=[str(file[0])], device="cpu", default_dtype="float64")
        wanted = []
        for atoms in alloys():
            atoms.calc = stock
            found = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
            wanted.append((atoms, *found))
    own = load_trained_potential(potential).engine
    for atoms, *expected in wanted:
        found = own.energy_forces_stress(atoms.cell.array, atoms.positions, atoms.numbers)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
        assert abs(expected[1]).max() > 1e-3


def test_it_says_what_it_is(file, potential):
    assert potential.elements == (ALUMINIUM, COPPER)
    assert potential.name == "big-model"
    assert potential.state["precision"] == "float64"
    assert potential.state["avg_num_neighbors"] == 12.0
    assert potential.state["architecture"] | {"elements": 0} == {
        "elements": 0,
        "channels": 4,
        "max_l": 1,
        "cutoff_angstrom": 4.0,
        "n_interactions": 2,
        "correlation": 2,
        "max_ell": 1,
        "n_bessel": 4,
        "n_polynomial": 5,
        "radial_mlp": [8],
        "mlp_channels": 4,
    }
    digest = hashlib.sha256(file[0].read_bytes()).hexdigest()
    assert potential.training_set_digest == digest
    assert potential.card["foundation"] == f"mace:big.model@{digest[:16]}"


def test_fine_tuning_starts_from_it_and_keeps_what_the_cells_do_not_know(potential):
    pulled = [(one, np.zeros((4, 3))) for one in alloys((ALUMINIUM, ALUMINIUM))]
    cells = [labelled(atoms, seed, forces) for seed, (atoms, forces) in enumerate(pulled)]
    settings = TINY.from_dict(TINY.as_dict() | {"valid_fraction": 0.3, "precision": "float64"})
    tuned = train_potential(cells, settings, "tuned", start_from=potential)
    assert tuned.elements == potential.elements
    assert tuned.state["architecture"] == potential.state["architecture"]
    losses = [one["loss"] for one in tuned.card["history"]]
    assert losses[-1] < losses[0]
    before, after = (atomic_energies(network_of(one)) for one in (potential, tuned))
    assert after[1] == before[1] == 0.7  # no cell holds copper
    assert after[0] != before[0]


def test_elements_that_it_does_not_know_are_refused_before_any_compute(potential, monkeypatch):
    from screening.network_potential import training

    monkeypatch.setattr(training, "network_of", lambda *_, **__: pytest.fail("computed"))
    cells = [labelled(one, seed, np.zeros((4, 3))) for seed, one in enumerate(alloys((13, 79)))]
    with pytest.raises(ElementNotInModelError, match="Au"):
        train_potential(cells, TINY, "tuned", start_from=potential)


def test_a_file_must_be_vouched_for(file):
    with pytest.raises(ModelRefusedError, match="runs code"):
        foundation_potential(str(file[0]))
    with pytest.raises(ModelCorruptError):
        foundation_potential(f"{file[0]}@{'0' * 16}")
    with pytest.raises(ModelRefusedError, match="no published MACE"):
        foundation_potential("huge")


def converted(**changes):
    return potential_of_module(MaceModule(unusual_network(**changes), "mace:unusual", "0" * 64))


def irreps(text):
    from e3nn import o3

    return o3.Irreps(text)


@pytest.mark.parametrize(
    ("changes", "elements"),
    [
        ({"num_interactions": 1}, {"max_l": 0}),
        ({"correlation": 3, "radial_MLP": [4, 6]}, {"radial_mlp": [4, 6]}),
        ({"hidden_irreps": "2x0e+2x1o+2x2e", "max_ell": 2}, {"max_l": 2}),
    ],
)
def test_shapes_that_are_known(changes, elements):
    if "hidden_irreps" in changes:
        changes = changes | {"hidden_irreps": irreps(changes["hidden_irreps"])}
    found = converted(**changes).state["architecture"]
    assert found | elements == found


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"heads": ["pbe", "scan"]}, "heads"),
        ({"block": "RealAgnosticDensityInteractionBlock"}, "blocks"),
        ({"kind": "MACE"}, "blocks"),
        ({"distance_transform": "Agnesi"}, "blocks"),
        ({"radial_type": "gaussian"}, "radial_type"),
        ({"hidden_irreps": "4x0e+2x1o"}, "hidden_irreps"),
        ({"correlation": [2, 3]}, "correlation"),
        ({"correlation": 4}, "correlation"),
        ({"max_ell": 4}, "max_ell"),
        ({"use_last_readout_only": True}, "readouts"),
        ({"keep_last_layer_irreps": True}, "weights"),
        ({"gate": torch.tanh}, "energies"),
        ({"atomic_numbers": [17, 11]}, "atomic_numbers"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(changes, part):
    if "hidden_irreps" in changes:
        changes = changes | {"hidden_irreps": irreps(changes["hidden_irreps"])}
    with pytest.raises(ModelRefusedError) as refused:
        converted(**changes)
    assert refused.value.subject == part
    assert refused.value.hint
