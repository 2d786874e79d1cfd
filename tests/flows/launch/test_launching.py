"""What a launch submits and what it does not, whatever the engine."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

import pytest
from jobflow import Flow

from flows.launch import launching
from flows.launch.launching import launch
from flows.launch.queues import Destination, Engine, Progress
from flows.local import Crew
from flows.makers import ScreenBatchMaker, ScreenMaker, SummaryMaker
from flows.makers.routing import RoutedScreenMaker
from flows.materials import LEASE_SECONDS
from flows.reserving import reserve
from flows.routing import Work, route
from screening.decisions.parsing import parse_questions
from screening.errors import (
    DatabaseUriError,
    EngineUnavailableError,
    NotFoundError,
    SettingError,
)
from stores.connect import open_database
from stores.documents.launch import LaunchState

EMT = "ase.calculators.emt.EMT"
ELSEWHERE = Destination(Engine.FIREWORKS)


@dataclass
class PaperQueue:
    """An engine that notes what it gets."""

    engine: Engine = Engine.FIREWORKS
    address: str = "paper"
    flows: list[Flow] = field(default_factory=list)
    states: dict[str, Progress] = field(default_factory=dict)
    seconds: float = 0.0
    refuses: bool = False

    def check_reach(self, database_uri):
        assert not database_uri.startswith("memory:")
        return ()

    def submit(self, flow, database_uri):
        assert all(job.function_args[0] == database_uri for job in flow.jobs)
        time.sleep(self.seconds)
        if self.refuses:
            raise EngineUnavailableError("is full")
        self.flows.append(flow)
        self.states[flow.uuid] = Progress.ACTIVE
        return tuple(job.uuid for job in flow.jobs)

    def progress(self, launch_ids):
        return {name: self.states.get(name, Progress.UNKNOWN) for name in launch_ids}

    def close(self):
        pass


@pytest.fixture
def queue(monkeypatch):
    made = PaperQueue()
    here = launching.open_queue
    monkeypatch.setattr(
        launching,
        "open_queue",
        lambda destination: here(destination) if destination.engine is Engine.LOCAL else made,
    )
    return made


@pytest.fixture
def screen_maker(maker):
    return ScreenMaker(batch_maker=maker, batch_size=4)


def states(uri):
    with open_database(uri) as database:
        return sorted(row["state"] for row in database.launches.query({}))


def test_what_is_submitted_is_not_submitted_again(uri, names, screen_maker, queue):
    first = launch(uri, names[:4], screen_maker, ELSEWHERE)
    assert (set(first.submitted), first.n_jobs) == (set(names[:4]), 2)
    second = launch(uri, names, screen_maker, ELSEWHERE)
    assert set(second.submitted) == set(names[4:])
    assert set(second.waiting) == set(names[:4])
    third = launch(uri, names, screen_maker, ELSEWHERE)
    assert (third.submitted, third.launch_id, third.identifiers) == ((), None, ())
    assert len(queue.flows) == 2
    assert states(uri) == [LaunchState.SUBMITTED] * 2


def test_other_settings_are_another_launch(uri, names, screen_maker, queue, maker):
    launch(uri, names, screen_maker, ELSEWHERE)
    settings = maker.settings | {"stability_criterion": "ml_peg"}
    other = ScreenMaker(batch_maker=replace(maker, settings=settings))
    assert set(launch(uri, names, other, ELSEWHERE).submitted) == set(names)
    assert launch(uri, names, replace(screen_maker, batch_size=1), ELSEWHERE).submitted == ()
    assert len(queue.flows) == 2


@pytest.mark.parametrize(
    ("progress", "state"),
    [(Progress.BROKEN, LaunchState.BROKEN), (Progress.UNKNOWN, LaunchState.LOST)],
)
def test_what_an_engine_broke_or_lost_is_submitted_again(
    uri, names, screen_maker, queue, progress, state
):
    first = launch(uri, names, screen_maker, ELSEWHERE)
    queue.states[first.launch_id] = progress
    again = launch(uri, names, screen_maker, ELSEWHERE)
    assert set(again.submitted) == set(names)
    assert again.launch_id != first.launch_id
    assert first.launch_id in again.notes[0]
    assert state.value in again.notes[0]
    assert states(uri) == sorted([state, LaunchState.SUBMITTED])


def test_a_refused_flow_is_launched_later(uri, names, screen_maker, queue):
    queue.refuses = True
    with pytest.raises(EngineUnavailableError):
        launch(uri, names, screen_maker, ELSEWHERE)
    queue.refuses = False
    assert set(launch(uri, names, screen_maker, ELSEWHERE).submitted) == set(names)


def test_another_queue_is_not_asked_but_can_be_overruled(uri, names, screen_maker, queue):
    first = launch(uri, names, screen_maker, ELSEWHERE)
    queue.address = "another"
    second = launch(uri, names, screen_maker, ELSEWHERE)
    assert second.submitted == ()
    assert first.launch_id in second.notes[0]
    assert "--resubmit" in second.notes[0]
    assert set(launch(uri, names, screen_maker, ELSEWHERE, resubmit=True).submitted) == set(names)


@pytest.mark.usefixtures("queue")
def test_done_failed_and_running_materials_stay_out(uri, names, small):
    faulty = ScreenBatchMaker("batch", "faulty_calculators.NanForSilver", small.as_dict())
    whole = ScreenMaker(batch_maker=faulty)
    silver = names_of(uri, "Ag")
    done = launch(uri, [*silver, *names_of(uri, "Cu")], whole, crew=Crew(workers=0))  # here
    assert done.outcomes == {"failed": 2, "computed": 2}
    aluminium = names_of(uri, "Al")
    asked = launch(uri, names, whole, ELSEWHERE, dry_run=True)
    assert set(asked.submitted) == set(aluminium)
    key = key_in(uri, whole, aluminium[0])
    with open_database(uri) as database, database.claims.acquire(key):
        report = launch(uri, names, whole, ELSEWHERE)
    assert report.running == (aluminium[0],)
    assert report.submitted == (aluminium[1],)
    assert set(report.done) == set(names_of(uri, "Cu"))
    assert set(report.failed) == set(silver)


def test_a_dry_run_submits_and_writes_nothing(uri, names, screen_maker, queue):
    report = launch(uri, names, screen_maker, ELSEWHERE, dry_run=True)
    assert set(report.submitted) == set(names)
    assert (report.launch_id, queue.flows, states(uri)) == (None, [], [])


def test_launches_at_the_same_time_submit_each_material_once(uri, names, screen_maker, queue):
    queue.seconds = 0.2
    barrier = threading.Barrier(4)

    def one(_):
        barrier.wait()
        return launch(uri, names, screen_maker, ELSEWHERE)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(one, range(4)))
    assert sorted(len(report.submitted) for report in reports) == [0, 0, 0, len(names)]
    assert len(queue.flows) == 1


def test_a_launch_waits_for_another_and_says_so(uri, names, screen_maker, queue, monkeypatch):
    monkeypatch.setattr(launching, "PATIENCE_SECONDS", 0.1)
    with (
        open_database(uri) as database,
        database.claims.acquire("launch", lease_seconds=LEASE_SECONDS),
        pytest.raises(EngineUnavailableError, match="another launch"),
    ):
        launch(uri, names, screen_maker, ELSEWHERE)
    assert queue.flows == []


def test_workers_get_an_absolute_path(tmp_path, names, screen_maker, queue, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launch("sqlite:///screening.db", names, screen_maker, ELSEWHERE)
    assert queue.flows[0].jobs[0].function_args[0] == f"sqlite:///{tmp_path}/screening.db"


@pytest.mark.usefixtures("queue")
def test_a_database_in_memory_is_refused(names, screen_maker):
    with pytest.raises(DatabaseUriError, match="one process"):
        launch("memory://launching", names, screen_maker, ELSEWHERE)


@pytest.mark.usefixtures("queue")
def test_nothing_to_launch_and_unknown_makers_are_errors(uri, names, screen_maker):
    with pytest.raises(NotFoundError):
        launch(uri, [], screen_maker, ELSEWHERE)
    with pytest.raises(SettingError, match="SummaryMaker"):
        launch(uri, names, SummaryMaker(), ELSEWHERE)


def test_here_any_flow_runs_to_its_end(uri, names, small):
    from launch_jobs import EscalatingMaker

    maker = EscalatingMaker(
        batch_maker=ScreenBatchMaker("batch", "faulty_calculators.NanForSilver", small.as_dict())
    )
    report = launch(uri, names, maker)
    assert (set(report.submitted), report.n_jobs) == (set(names), 4)
    assert report.is_broken  # one of its jobs fails on purpose
    with open_database(uri) as database:
        models = [row["model"] for row in database.vibrational.query({})]
    assert (
        sorted(models) == ["ase.calculators.emt.EMT"] * 2 + ["faulty_calculators.NanForSilver"] * 4
    )
    assert launch(uri, names, maker).submitted == ()


def names_of(uri, formula):
    with open_database(uri) as database:
        rows = database.structures.query({"formula_reduced": formula}, ["material_id"])
        return sorted(row["material_id"] for row in rows)


def key_in(uri, maker, material_id):
    """Key of the prediction that a screen will make of a material."""
    from flows.catalogue import prediction_keys
    from flows.predictors import cached_predictor

    batch = maker.batch_maker
    with open_database(uri) as database:
        predictor = cached_predictor(batch.calculator, batch.settings)
        return prediction_keys(database, [material_id], predictor)[material_id]


@dataclass
class PlanningMaker:
    """It knows itself what is left: everything but what failed or is done."""

    batch_maker: ScreenBatchMaker
    left: dict[str, str]
    broken: tuple[str, ...] = ()
    max_calculations: int | None = None
    core_hours: float | None = None

    def pending(self, _database, material_ids):
        return {name: self.left[name] for name in material_ids if name in self.left}

    def failed(self, _database, material_ids):
        return {name: f"{0:064x}" for name in material_ids if name in self.broken}

    def as_dict(self):
        return asdict(self) | {"left": None, "broken": None}

    def make(self, database_uri, material_ids):
        return self.batch_maker.make(database_uri, material_ids)


@pytest.fixture
def planner(names, maker):
    _, broken, *rest = names
    keys = {name: f"{number:064x}" for number, name in enumerate(rest)}
    return PlanningMaker(maker, keys, (broken, rest[0]))


@pytest.mark.usefixtures("queue")
def test_what_failed_is_not_reported_as_done(uri, names, planner):
    report = launch(uri, names, planner, ELSEWHERE)
    assert (report.done, report.failed) == (names[:1], names[1:2])
    assert report.submitted == names[2:]


@pytest.mark.usefixtures("queue")
def test_a_flow_that_has_come_to_the_next_method_is_not_submitted_again(uri, names, planner):
    first = launch(uri, names, planner, ELSEWHERE)
    for number, name in enumerate(planner.left):
        planner.left[name] = f"{number + 1000:064x}"
    again = launch(uri, names, planner, ELSEWHERE)
    assert (again.submitted, again.waiting) == ((), first.submitted)


@pytest.mark.usefixtures("queue")
def test_another_budget_is_no_other_launch(uri, names, planner):
    first = launch(uri, names, planner, ELSEWHERE)
    for budget in ({"max_calculations": 3}, {"core_hours": 7.0}):
        again = launch(uri, names, replace(planner, **budget), ELSEWHERE)
        assert (again.submitted, again.waiting) == ((), first.submitted)


def test_what_another_flow_has_reserved_stays_out_until_that_is_given_up(
    uri, names, planner, queue, maker
):
    first = launch(uri, names, planner, ELSEWHERE)
    mine, *others = first.submitted
    key = planner.left[mine]
    other = replace(planner, batch_maker=replace(maker, calculator="gpaw"))
    with open_database(uri) as database:
        assert reserve(database, key, first.launch_id)
        dry = launch(uri, names, other, ELSEWHERE, dry_run=True)
        assert (dry.running, dry.submitted) == ((mine,), tuple(others))
        assert launch(uri, names, other, ELSEWHERE, resubmit=True).submitted == first.submitted
        assert database.claims.reservations([key]) == {}
        assert reserve(database, key, first.launch_id)
        queue.states[first.launch_id] = Progress.BROKEN
        third = replace(planner, batch_maker=replace(maker, calculator="chgnet"))
        assert launch(uri, names, third, ELSEWHERE).submitted == first.submitted


@pytest.mark.usefixtures("queue")
def test_a_routed_screen_reports_the_materials_whose_last_method_failed(uri, names, quick):
    settings = quick.as_dict()
    ladder = [
        {"calculator": EMT, "settings": settings},
        {"calculator": "pretended_dft.FailsForSilver", "settings": settings},
    ]
    questions = ["free_energy at 300 K within 5 meV/atom"]
    route(uri, names, Work(ladder, parse_questions(questions)), crew=Crew(workers=0))
    routed = RoutedScreenMaker(ladder=ladder, questions=questions)
    report = launch(uri, names, routed, ELSEWHERE)
    assert sorted(report.failed) == names_of(uri, "Ag")
    assert sorted(report.done) == sorted(names_of(uri, "Al") + names_of(uri, "Cu"))
    assert report.submitted == ()


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize("text", ["free_energy at 300 K within 5 meV/atom", "order"])
def test_done_means_that_these_questions_are_decided(uri, names, quick, text):
    settings = quick.as_dict()
    launch(uri, names, ScreenMaker(ScreenBatchMaker("batch", EMT, settings)), crew=Crew(workers=0))
    routed = RoutedScreenMaker(ladder=[{"calculator": EMT, "settings": settings}], questions=[text])
    assert set(launch(uri, names, routed, ELSEWHERE, dry_run=True).submitted) == set(names)
    report = launch(uri, names, routed)
    assert (set(report.submitted), report.outcomes) == (set(names), {"decided": len(names)})
    with open_database(uri) as database:
        decided = {row["material_id"] for row in database.decisions.query({})}
    assert decided == set(names)
    again = launch(uri, names, routed)
    assert (again.submitted, set(again.done)) == ((), set(names))
    assert set(launch(uri, names, replace(routed, alpha=0.2)).submitted) == set(names)


@pytest.mark.usefixtures("queue")
def test_a_flow_that_fails_here_says_so(uri, names, quick):
    settings = quick.as_dict()
    ladder = [
        {"calculator": EMT, "settings": settings},
        {"calculator": "pretended_dft.FailsForSilver", "settings": settings},
    ]
    questions = ["free_energy at 300 K within 5 meV/atom"]
    routed = RoutedScreenMaker(ladder=ladder, questions=questions)
    report = launch(uri, names, routed)
    assert report.outcomes == {"decided": 4, "failed": 2}
    assert "density of silver" in " ".join(report.notes)
    again = launch(uri, names, routed)
    assert (again.submitted, sorted(again.failed)) == ((), names_of(uri, "Ag"))


@pytest.mark.usefixtures("queue")
def test_a_job_that_raises_here_is_not_passed_over(uri, names, quick, monkeypatch):
    def refuse(*_arguments):
        raise RuntimeError("no decisions today")

    monkeypatch.setattr("flows.rounds.decide_round", refuse)
    ladder = [{"calculator": EMT, "settings": quick.as_dict()}]
    report = launch(uri, names, RoutedScreenMaker(ladder=ladder, questions=["stability"]))
    assert (report.is_broken, report.outcomes) == (True, {"still open": len(names)})
