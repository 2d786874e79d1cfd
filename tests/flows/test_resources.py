"""Tags of jobs, and the workers that jobs made at run time go to."""

import pytest
from jobflow import CURRENT_JOB, Flow, Response, job, run_locally

from flows.makers import ScreenBatchMaker, ScreenMaker
from flows.makers.repair import RepairMaker
from flows.resources import Resource, all_jobs, place, resource_of, tagged

WORKERS = {
    Resource.POTENTIAL: {"worker": "gpu"},
    Resource.DFT: {"worker": "dft", "resources": {"nodes": 2}},
    Resource.DATABASE: {"worker": "login"},
}
seen: dict[str, dict] = {}


@job
def leaf(name, after=None):
    del after
    seen[name] = dict(CURRENT_JOB.job.config.manager_config)


@job
def foreign_branch(after):
    del after
    return Response(replace=Flow([leaf("foreign")]))


@job
def branch():
    one = tagged(leaf("dft"), Resource.DFT)
    other = tagged(leaf("database", one.output), Resource.DATABASE)
    theirs = tagged(foreign_branch(one.output), Resource.DFT)
    return Response(replace=Flow([one, other, theirs], output=one.output))


def test_the_makers_tag_their_jobs(uri, names, maker):
    flow = ScreenMaker(batch_maker=maker, batch_size=4).make(uri, names)
    found = [resource_of(one) for one in all_jobs(flow)]
    assert found == [Resource.POTENTIAL, Resource.POTENTIAL, Resource.DATABASE]


def test_a_job_without_a_tag_reads_and_writes():
    assert resource_of(leaf("untagged")) is Resource.DATABASE


def test_flows_inside_flows_are_placed():
    inner = tagged(leaf("inner"), Resource.DFT)
    outer = tagged(leaf("outer"), Resource.POTENTIAL)
    place(Flow([Flow([inner]), outer]), WORKERS)
    assert inner.config.manager_config == WORKERS[Resource.DFT]
    assert outer.config.manager_config == WORKERS[Resource.POTENTIAL]


def test_jobs_made_at_run_time_go_where_their_tag_says():
    seen.clear()
    flow = Flow([tagged(branch(), Resource.POTENTIAL)])
    place(flow, WORKERS)
    responses = run_locally(flow, log=False, ensure_success=True, raise_immediately=True)
    assert seen == {
        "dft": WORKERS[Resource.DFT],
        "database": WORKERS[Resource.DATABASE],
        "foreign": WORKERS[Resource.DFT],  # its parent, another package's, made it
    }
    (root,) = flow.jobs
    (added,) = (
        one for one in responses[root.uuid][1].replace.jobs if one.name == "store_inputs"
    )  # jobflow's own, for the output of the replaced job
    assert added.config.manager_config == WORKERS[Resource.DATABASE]


def test_without_a_launch_nothing_is_placed():
    seen.clear()
    run_locally(branch(), log=False, ensure_success=True, raise_immediately=True)
    assert seen == {"dft": {}, "database": {}, "foreign": {}}


@pytest.mark.parametrize(
    ("calculator", "resource"),
    [
        ("chgnet", Resource.POTENTIAL),
        ("mace:medium,chgnet:r2scan", Resource.POTENTIAL),
        ("gpaw", Resource.DFT),
        ("espresso(born=True)", Resource.DFT),
        ("gpaw(xc='PBE'),gpaw(xc='LDA')", Resource.DFT),
        ("gpaw,chgnet", Resource.POTENTIAL),
        ("ase.calculators.emt.EMT", Resource.POTENTIAL),
        ("pretended_dft.StifferEmt", Resource.DFT),
    ],
)
def test_jobs_go_where_their_calculator_runs(calculator, resource):
    maker = ScreenBatchMaker(calculator=calculator)
    flow = RepairMaker(batch_maker=maker).make("memory://", ["ps-1"])
    assert resource_of(maker.make("memory://", ["ps-1"])) is resource
    repair, screened, summary = all_jobs(flow)
    assert [resource_of(repair), resource_of(screened)] == [resource, resource]
    assert resource_of(summary) is Resource.DATABASE
