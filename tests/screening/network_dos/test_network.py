from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from screening.errors import ModelCorruptError
from screening.network_dos.graphs import GraphBuilder, batch_of, element_features
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.network import (
    build_network,
    network_from_arrays,
    network_to_arrays,
    rebinned,
)
from screening.network_dos.settings import DosArchitecture

CPU = torch.device("cpu")
SMALL = DosArchitecture(hidden=16, embedding=16, angle_cutoff_angstrom=3.4)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.from_numpy(element_features().copy())


def output(structures, features, architecture=SMALL, prior=None):
    builder = GraphBuilder(architecture.bond_cutoff_angstrom, architecture.angle_cutoff_angstrom)
    network = build_network(architecture, PAPER_GRID, 92, seed=3).eval()
    with torch.inference_mode():
        return network(batch_of([builder.graph(one) for one in structures], features, CPU), prior)


def test_the_layers_do_what_those_of_alignn_do(crystals, features) -> None:
    """Our pass through the layers gives what the package's own class gives."""
    from alignn.torch_graph_builder import batch_torch_graph_pairs, build_pure_torch_graph
    from jarvis.core.atoms import Atoms

    architecture = replace(SMALL, axis="absolute", link="log")
    network = build_network(architecture, PAPER_GRID, 92, seed=3).eval()
    chosen = [crystals[name] for name in ("rocksalt", "wurtzite", "triclinic")]
    pairs = [
        build_pure_torch_graph(
            Atoms(one.lattice.matrix, one.frac_coords, [site.specie.symbol for site in one]),
            two_body_cutoff=architecture.bond_cutoff_angstrom,
            three_body_cutoff=architecture.angle_cutoff_angstrom,
            max_neighbors=None,
        )
        for one in chosen
    ]
    with torch.inference_mode():
        theirs = network.core([*batch_torch_graph_pairs(pairs), None])["out"].exp()
    torch.testing.assert_close(output(chosen, features, architecture), theirs, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("axis", ["scaled", "absolute"])
def test_the_choice_of_the_cell_does_not_matter(crystals, features, axis: str) -> None:
    crystal = crystals["wurtzite"]
    turned = crystal.copy()
    turned.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    turned.translate_sites(range(len(turned)), [0.13, 0.4, 0.9])
    permuted = turned.get_sorted_structure(key=lambda site: -site.specie.Z)
    found = output([crystal, permuted], features, replace(SMALL, axis=axis))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_a_batch_gives_what_single_crystals_give(crystals, features) -> None:
    chosen = [crystals[name] for name in ("rocksalt", "corundum", "fcc")]
    together = output(chosen, features)
    for one, found in zip(chosen, together, strict=True):
        torch.testing.assert_close(output([one], features)[0], found, rtol=1e-4, atol=1e-6)


def test_rebinning_keeps_all_weight_and_multiplies_frequencies() -> None:
    centres = torch.from_numpy(PAPER_GRID.centres_thz.copy())
    weights = torch.exp(-0.5 * ((centres - 8.0) / 1.5) ** 2)[None]
    for factor in (0.4, 1.0, 1.7):
        edges = torch.from_numpy(PAPER_GRID.edges_thz.copy())[None] / factor
        places = edges / PAPER_GRID.width_thz + PAPER_GRID.zero + 0.5
        found = rebinned(weights, places)
        assert float(found.sum()) == pytest.approx(float(weights.sum()))
        mean = float((found @ centres) / found.sum())
        assert mean == pytest.approx(8.0 * factor, abs=1e-2)
    beyond = rebinned(weights, places * 0.1 + 200.0)  # all of it lies below the first edge
    assert float(beyond[0, 0]) == pytest.approx(float(weights.sum()))


@pytest.mark.parametrize("link", ["softplus", "log"])
def test_beside_a_potential_a_network_begins_at_the_potential(made_labels, features, link) -> None:
    labels = made_labels[:5]
    prior = torch.from_numpy(np.array([one.histogram for one in labels])).float()
    architecture = replace(SMALL, with_prior=True, link=link)
    found = output([one.structure for one in labels], features, architecture, prior)
    wanted = prior / prior.amax(dim=1, keepdim=True)
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=1e-3)
    assert bool((found > 0.0).all())


def test_a_scaled_network_begins_near_spectra_that_scale(made_labels, features) -> None:
    """Labels of one shape whose scale is a power law of mass and volume are matched at once."""
    network = build_network(SMALL, PAPER_GRID, 92, seed=1).eval()
    builder = GraphBuilder(5.0, 3.4)
    graphs = [builder.graph(one.structure) for one in made_labels]
    labels = torch.from_numpy(np.array([one.histogram for one in made_labels]))
    network.start_from(labels, torch.from_numpy(np.stack([one.scales for one in graphs])))
    with torch.inference_mode():
        found = network(batch_of(graphs, features, CPU)).double()
    difference = found / found.sum(1, keepdim=True) - labels / labels.sum(1, keepdim=True)
    distance = difference.cumsum(1).abs().sum(1) * PAPER_GRID.width_thz
    assert float(distance.max()) < 0.15  # THz, a fourth of a bin


def test_weights_survive_as_arrays_and_damage_is_refused() -> None:
    network = build_network(SMALL, PAPER_GRID, 92, seed=5)
    arrays = network_to_arrays(network)
    again = network_to_arrays(network_from_arrays(SMALL, PAPER_GRID, 92, arrays))
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    name = "core.fc.bias"
    for damage in (
        {name: arrays[name][:-1]},
        {name: arrays[name] * np.nan},
        {"core.fc.more": arrays[name]},
    ):
        with pytest.raises(ModelCorruptError):
            network_from_arrays(SMALL, PAPER_GRID, 92, arrays | damage)
    del arrays[name]
    with pytest.raises(ModelCorruptError, match=r"fc\.bias"):
        network_from_arrays(SMALL, PAPER_GRID, 92, arrays)


def test_seeds_make_networks_and_nothing_global_changes() -> None:
    torch.manual_seed(0)
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        first, same, other = (
            network_to_arrays(build_network(SMALL, PAPER_GRID, 92, seed)) for seed in (1, 1, 2)
        )
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(dtype)
    name = "core.fc.weight"
    assert first[name].dtype == np.float32
    assert np.array_equal(first[name], same[name])
    assert not np.array_equal(first[name], other[name])
    assert torch.equal(torch.get_rng_state(), before)
