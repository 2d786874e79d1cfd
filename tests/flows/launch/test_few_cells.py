"""A screen that goes up through a few displaced cells, on the workers of an engine."""

from dataclasses import replace

import pytest
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire

from flows.asking import RoutingOptions, work_of
from flows.launch.launching import launch
from flows.makers import RoutedScreenMaker
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.phonons import PhononSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings
from stores.connect import open_database

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"


@pytest.fixture
def routed():
    """Maker whose second method needs two cells of every metal, and answers."""
    supercell = SupercellSettings(min_length_angstrom=5.0, min_atoms=8, max_atoms=64)
    quick = ScreeningSettings(
        relaxation=None,
        phonons=PhononSettings(supercell=supercell, mesh_length_angstrom=10.0),
        thermodynamics=ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 1000.0)),
    )
    few_cells = FewCellSettings(
        max_cells=2,
        tolerance=1e-9,
        n_samples=8,
        n_candidates=2,
        fit=GaussianProcessSettings(max_order=2),
    )
    question = ("free_energy at 300 K within 20",)
    options = RoutingOptions(question, fallback=(f"few-cells:{DFT}", DFT))
    ladder = [dict(step) for step in work_of(options, EMT, quick).ladder]
    ladder[1]["settings"] = replace(quick, few_cells=few_cells).as_dict()
    return RoutedScreenMaker(ladder=ladder, questions=list(question))


def test_every_cell_is_a_job_for_the_worker_of_first_principles(
    server, metals, routed, launchpad, tmp_path
):
    pad, destination = launchpad
    first = launch(server.database_uri, metals[:1], routed, destination)
    assert first.submitted == metals[:1]
    for category in ("gpu", "dft", "gpu", "dft", "gpu"):
        rapidfire(pad, FWorker(category=category), m_dir=str(tmp_path), strm_lvl="CRITICAL")
    found = [pad.get_fw_by_id(number) for number in pad.get_fw_ids()]
    assert {fw.state for fw in found} == {"COMPLETED"}
    cells = sorted(fw.name for fw in found if fw.spec["_category"] == "dft")
    assert cells[0].startswith("displaced cell 2 of ")
    assert cells[1:] == ["displaced_cell_job"]
    with open_database(server.database_uri) as database:
        assert sorted(row["tier"] for row in database.predictions.query({}, ["tier"])) == [1, 2]
        assert database.failures.count() == 0
        outcomes = [
            (row["tier"], row["outcome"]) for row in database.decisions.query({}, sort={"tier": 1})
        ]
    assert outcomes == [(1, "escalate"), (2, "accept")]
    again = launch(server.database_uri, metals[:1], routed, destination)
    assert (again.submitted, again.done) == ((), metals[:1])
