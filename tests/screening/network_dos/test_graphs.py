from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from screening.errors import ElementNotInModelError, OutOfDomainError, SettingError
from screening.network_dos.graphs import (
    GraphBuilder,
    batch_of,
    batches_by_size,
    check_bonds,
    check_elements,
    element_features,
)

CPU = torch.device("cpu")


def ordered(start, end, lengths) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Bonds in an order that does not depend on who found them."""
    start, end, lengths = (np.asarray(one) for one in (start, end, lengths))
    order = np.lexsort([lengths, end, start])
    return list(zip(start[order], end[order], strict=True)), lengths[order]


@pytest.mark.parametrize("name", ["rocksalt", "wurtzite", "rutile", "triclinic", "fcc"])
def test_the_graph_is_that_of_alignn_without_a_cap(crystals, name: str) -> None:
    from alignn.torch_graph_builder import build_pure_torch_graph
    from jarvis.core.atoms import Atoms

    crystal: Structure = crystals[name]
    symbols = [site.specie.symbol for site in crystal]
    atoms = Atoms(crystal.lattice.matrix, crystal.frac_coords, symbols)
    theirs, angles = build_pure_torch_graph(
        atoms, two_body_cutoff=5.1, three_body_cutoff=3.3, max_neighbors=None
    )
    ours = GraphBuilder(5.1, 3.3).graph(crystal)
    lengths = theirs.edata["r"].norm(dim=1)
    bonds, own_lengths = ordered(ours.start, ours.end, ours.lengths_angstrom)
    their_bonds, their_lengths = ordered(theirs.src, theirs.dst, lengths)
    assert bonds == their_bonds
    np.testing.assert_allclose(own_lengths, their_lengths, rtol=1e-5)
    shared = list(zip(lengths[angles.src], lengths[angles.dst], angles.edata["h"], strict=True))
    own = zip(
        ours.lengths_angstrom[ours.first],
        ours.lengths_angstrom[ours.second],
        ours.cosines,
        strict=True,
    )
    assert len(shared) == len(ours.first)
    # equal lengths have no order, sums of powers need none
    np.testing.assert_allclose(moments(own), moments(shared), rtol=1e-4)
    features = element_features()[ours.numbers]
    np.testing.assert_array_equal(features, theirs.ndata["atom_features"].numpy())


def moments(triples) -> list[float]:
    a, b, c = np.array([[float(x) for x in one] for one in triples]).reshape(-1, 3).T
    return [float(np.sum(a**i * b**j * (2.0 + c) ** k)) for i in (0, 1) for j in (0, 2)
            for k in range(4)]  # fmt: skip


def test_pairs_share_the_atom_in_the_middle_and_are_short(crystals) -> None:
    graph = GraphBuilder(5.0, 3.0).graph(crystals["corundum"])
    np.testing.assert_array_equal(graph.end[graph.first], graph.start[graph.second])
    assert graph.lengths_angstrom[graph.first].max() <= 3.0
    turned_back = graph.cosines[
        (graph.start[graph.first] == graph.end[graph.second])
        & np.isclose(graph.lengths_angstrom[graph.first], graph.lengths_angstrom[graph.second])
    ]
    assert turned_back.max() == pytest.approx(1.0)  # a bond and its own way back


def test_a_crystal_without_angles_or_bonds_has_a_graph(crystals) -> None:
    graph = GraphBuilder(1.0, 1.0).graph(crystals["rocksalt"])
    assert graph.size == 0
    batch = batch_of([graph, graph], torch.from_numpy(element_features().copy()), CPU)
    assert batch.crystal.tolist() == [0, 0, 1, 1]


def test_batches_count_atoms_and_bonds_through(crystals) -> None:
    builder = GraphBuilder(4.0, 3.0)
    graphs = [builder.graph(crystals[name]) for name in ("rocksalt", "wurtzite", "fcc")]
    batch = batch_of(graphs, torch.from_numpy(element_features().copy()), CPU)
    assert batch.crystal.tolist() == [0, 0, 1, 1, 1, 1, 2]
    np.testing.assert_array_equal(batch.crystal[batch.start], batch.crystal[batch.end])
    np.testing.assert_array_equal(batch.end[batch.first], batch.start[batch.second])
    assert batch.features.shape == (7, 92)
    assert batch.scales.shape == (3, 2)


def test_batches_obey_both_limits_and_lose_nothing() -> None:
    sizes = np.random.default_rng(0).integers(1, 60, 200).tolist()
    batches = list(batches_by_size(sizes, 100, 5))
    assert [place for batch in batches for place in batch] == list(range(200))
    assert max(len(batch) for batch in batches) == 5
    assert all(sum(sizes[k] for k in batch) <= 100 for batch in batches if len(batch) > 1)


def test_unknown_elements_are_named(crystals) -> None:
    check_elements([crystals["rocksalt"]], [11, 17])
    with pytest.raises(ElementNotInModelError, match=r"TiO2.*not trained on O, Ti"):
        check_elements([crystals["rocksalt"], crystals["rutile"]], [11, 17])


@pytest.mark.parametrize("cutoffs", [(0.0, 0.0), (4.0, 5.0), (100.0, 3.0), (float("nan"), 3.0)])
def test_cutoffs_that_cannot_be_are_refused(cutoffs) -> None:
    with pytest.raises(SettingError):
        GraphBuilder(*cutoffs)


def test_an_atom_without_a_neighbour_in_reach_is_refused(crystals) -> None:
    check_bonds(crystals["rocksalt"], 5.0)
    caesium = Structure(Lattice.cubic(6.14), ["Cs", "Cs"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    check_bonds(caesium, 5.4)
    with pytest.raises(OutOfDomainError, match="Cs has no neighbour within 5 Å"):
        check_bonds(caesium, 5.0)
