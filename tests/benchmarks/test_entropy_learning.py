"""Labels and scores of the entropy benchmark, and its costs, on few structures."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


def test_labels_name_their_perfect_crystal_of_the_same_strain(modules):
    learning = modules("entropy_learning")
    labels = learning.labels_of("bcc_fe_250_strained", learning.IRON.number)
    by_name = {one.material_id: one for one in labels}
    bulks = [one for one in labels if not one.origin.bulk]
    assert len(bulks) == 4
    for one in labels:
        if one.origin.bulk:
            bulk = by_name[one.origin.bulk]
            np.testing.assert_allclose(one.system.cell_angstrom, bulk.system.cell_angstrom)
            assert not bulk.origin.bulk
            assert one.origin.family == bulk.origin.family
    parents = {one.group for one in labels if one.origin.bulk}
    assert len(parents) == (len(labels) - len(bulks)) / 4


def test_minima_next_to_a_saddle_point_are_softer_than_a_tenth_of_the_crystal(modules):
    learning = modules("entropy_learning")
    minima = modules("entropy_data").read_set("bcc_fe_128")
    bulk = minima[0].softest
    named = learning.near_saddle("bcc_fe_128")
    assert {f"bcc_fe_128/{k}" for k, one in enumerate(minima) if one.softest < 0.1 * bulk} == named
    assert minima[0].kind == "bulk"
    assert 0 < len(named) < 0.5 * len(minima)


def test_true_entropy_of_formation_is_that_of_the_excess(modules):
    learning = modules("entropy_learning")
    labels = learning.labels_of("lj_fcc_108", learning.ARGON)
    by_name = {one.material_id: one for one in labels}
    defect = next(one for one in labels if one.origin.bulk)
    bulk = by_name[defect.origin.bulk]
    found = learning.true_entropies([defect], [bulk])[0]
    per_atom = bulk.log_determinant / (bulk.n_modes / 3.0)
    excess = defect.log_determinant * len(defect.system) / (len(defect.system) - 1)
    assert found == pytest.approx(-0.5 * (excess - len(defect.system) * per_atom), abs=1e-9)


def test_clusters_are_predicted_with_intervals(modules):
    """Few minima: better than their mean, and most within their intervals."""
    learning = modules("entropy_learning")
    settings = modules("screening.linear_entropy.settings").LinearEntropySettings
    train = modules("screening.linear_entropy.training").train_entropy
    labels = learning.labels_of("lj13", learning.ARGON)
    chosen = {"cutoff_angstrom": learning.LENNARD_JONES_CUTOFF, "n_radial": 6, "l_max": 4}
    trained = train(labels[:100], settings(descriptor_settings=chosen, n_folds=4), "few")
    tested = learning.predict_labels(trained, labels[100:150])
    scores = tested.scores()
    assert scores["rmse"] < 0.5 * scores["rmse_mean"]
    assert scores["covered_or_refused"] > 0.7
    assert tested.scores()["count"] == len(tested.pairs()["reference"]) == 50
    halves = [learning.predict_labels(trained, labels[100:125])] * 2
    assert learning.Tested.joined(halves).scores()["rmse"] == pytest.approx(
        halves[0].scores()["rmse"]
    )


def test_tiles_of_a_relaxed_cell_are_at_rest(modules):
    scale = modules("descriptor_models_scale")
    potentials, iron = modules("entropy_potentials"), modules("entropy_configurations").BCC_IRON
    positions, cell = scale._tiled_iron((2, 1, 1))
    assert len(positions) == 2 * 248
    pairs = potentials.candidate_pairs(positions, np.diag(cell), iron.potential.cutoff)
    assert np.abs(potentials.energy_and_forces(iron.potential, positions, pairs)[1]).max() < 1e-3
    assert len(scale._tiled_iron(scale.SMALL)[0]) == 40
