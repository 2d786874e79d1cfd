"""How fast an ensemble predicts from database to database, and what is required of it."""

import argparse
import importlib
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from flows.predicting import BatchTimes
from screening.errors import ModelCorruptError
from screening.network_dos.model import DensityOfStatesModel
from screening.shipped_models import read_shipped

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.7), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


@pytest.fixture(scope="module")
def module():
    """The module of the benchmark; its folder at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module("networks_ensemble")
    sys.path[:] = path


@pytest.fixture(scope="module")
def installed():
    return read_shipped("alignn", "phonoscreen-dos")


def test_fewer_networks_are_the_first_and_all_else_stays(module, installed):
    whole = DensityOfStatesModel.from_trained(installed, "cpu")
    fewest = module.with_members(installed, module.FEWEST_MEMBERS)
    some = DensityOfStatesModel.from_trained(fewest, "cpu")
    ours, theirs = some.predict([SALT]).histograms, whole.predict([SALT]).histograms
    assert ours.shape[1] == module.FEWEST_MEMBERS < theirs.shape[1]
    assert ours == pytest.approx(theirs[:, : module.FEWEST_MEMBERS])
    assert some.calibration == whole.calibration
    assert fewest.card == installed.card
    one = module.with_members(installed, module.FEWEST_MEMBERS - 1)
    with pytest.raises(ModelCorruptError, match="not between 2 and"):
        DensityOfStatesModel.from_trained(one, "cpu")


def test_what_is_required_of_one_network_is_measured_and_not_shared_out(
    module, installed, monkeypatch
):
    streamed = []

    def stream(trained, _labels):
        members = int(trained.state["settings"]["n_members"])
        streamed.append(members)
        # nearly all of the time has nothing to do with the number of networks
        seconds = 10.0 + 0.1 * members + 0.01 * len(streamed)
        return argparse.Namespace(
            whole_rate=900 / seconds, n_predicted=900, times=BatchTimes(), refused={"x": members}
        )

    monkeypatch.setattr(module, "_stream_once", stream)
    label = argparse.Namespace(n_atoms=3)
    figures, _ = module.streamed_figures(installed, [label], "x", n_runs=2)
    found = {one.name.removeprefix("x, database to database: "): one for one in figures}
    fewest = "2 of its networks, the fewest that predict"
    assert streamed == [4, 2, 4, 2]
    assert found[fewest].value == pytest.approx(900 / 10.22)  # the faster run
    assert (found[fewest].required, found[fewest].met) == (">= 100", False)
    assert found["all networks"].value == pytest.approx(900 / 10.41)
    assert found["all networks"].required is None
    assert found[f"refused by {fewest}"].value == 2
