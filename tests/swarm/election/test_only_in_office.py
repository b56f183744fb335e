"""What only an emperor does is left alone by every other member, and by one that doubts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from p2p.clock import now_utc
from swarm import jobs as runner
from swarm.election.state import DOUBTFUL
from swarm.errors import NotEmperor
from swarm.models import ElectionState, Job, KnownTerm, Task, TaskEvent
from swarm.replication import terms
from swarm.services import jobs
from swarm.services.dispatch import dispatch_ready
from swarm.services.planning import dispatch_planning
from swarm.services.transitions import move_task
from swarm.states import Actor, JobStatus, TaskStatus
from tests.support.factories import make_agent, make_task
from voidlux_site.node.chores import IN_OFFICE

OTHER = "0123" * 8
OF_EMPERORS = (*IN_OFFICE, dispatch_ready, dispatch_planning)
KINDS = sorted(name for name, kind in jobs._kinds.items() if kind.in_office)


@pytest.fixture
def tasks(db: None) -> None:
    """Tasks for which each sweep has something to do, and a planner."""
    old = now_utc() - timedelta(hours=1)
    goal = make_task("goal", TaskStatus.IN_PROGRESS, now=old)
    lapsed = make_task("lapsed", TaskStatus.IN_PROGRESS, parent=goal, number=1, now=old)
    Task.objects.filter(id=lapsed.id).update(lease_expires_at=old, assigned_node=OTHER)
    make_task("ready", TaskStatus.PENDING, parent=goal, number=2, now=old)
    odd = make_task("odd", TaskStatus.PENDING, parent=goal, number=3, now=old)
    Task.objects.filter(id=odd.id).update(required_capabilities=["alchemy"])
    planned = make_task("planned", TaskStatus.PLANNING, now=old)
    Task.objects.filter(id=planned.id).update(base_commit="a" * 40, attempts_max=3)
    make_agent("one", now=old)
    TaskEvent.objects.all().delete()


def snapshot() -> list[Any]:
    return [*Task.objects.order_by("id").values(), TaskEvent.objects.count()]


def follow_another() -> None:
    KnownTerm.objects.create(node_id=OTHER, counter=9, known_at=now_utc())


@pytest.mark.parametrize("sweep", OF_EMPERORS, ids=lambda sweep: sweep.__name__)
def test_a_sweep_leaves_tasks_alone_elsewhere(tasks: None, sweep: Callable[[Any], object]) -> None:
    follow_another()
    before = snapshot()

    sweep(now_utc())

    assert snapshot() == before


@pytest.mark.parametrize(
    "sweep",
    [each for each in OF_EMPERORS if each.__name__ != "adopt_late"],
    ids=lambda sweep: sweep.__name__,
)
def test_the_same_sweep_has_something_to_do_in_office(
    tasks: None, sweep: Callable[[Any], object]
) -> None:
    before = snapshot()

    sweep(now_utc())

    assert snapshot() != before


def a_job(kind: str) -> Job:
    goal = make_task("goal", TaskStatus.PLANNING)
    return jobs.enqueue(kind, key=goal.id.hex, lane="here", now=now_utc())


def test_every_kind_of_job_about_the_swarms_tasks_is_of_emperors() -> None:
    assert KINDS == [
        "deliver_follow_up",
        "gate",
        "look_at_pull_request",
        "open_pull_request",
        "plan_goal",
        "prepare_goal",
        "review",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_left_to_another_emperor(
    db: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    job = a_job(kind)
    monkeypatch.setitem(jobs._kinds, kind, jobs.JobKind(_must_not_run, _must_not_fail, True))
    follow_another()

    runner.run_job(job.id)

    job.refresh_from_db()
    assert (job.status, job.error) == (JobStatus.DONE, "left to another emperor")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_waits_while_the_emperor_doubts(
    db: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    job = a_job(kind)
    monkeypatch.setitem(jobs._kinds, kind, jobs.JobKind(_must_not_run, _must_not_fail, True))
    terms.take_office(now_utc())
    terms.leave_office(now_utc())
    ElectionState.objects.create(standing=DOUBTFUL, since=now_utc())

    runner.run_job(job.id)

    job.refresh_from_db()
    assert (job.status, job.claims, job.attempts) == (JobStatus.QUEUED, 0, 0)


def test_a_job_that_loses_the_office_on_its_way_fails_nothing(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses(job: Job) -> None:
        follow_another()
        terms.require_emperor()

    job = a_job("gate")
    monkeypatch.setitem(jobs._kinds, "gate", jobs.JobKind(loses, _must_not_fail, True))

    runner.run_job(job.id)

    job.refresh_from_db()
    assert job.status == JobStatus.DONE


@pytest.mark.parametrize(
    "by", [Actor.DISPATCHER, Actor.GATE, Actor.LEASE, Actor.OPERATOR, Actor.PLANNER]
)
def test_no_task_is_moved_by_who_is_no_emperor(db: None, by: Actor) -> None:
    targets = {
        Actor.DISPATCHER: (TaskStatus.PENDING, TaskStatus.CLAIMED),
        Actor.GATE: (TaskStatus.PENDING_REVIEW, TaskStatus.MERGING),
        Actor.LEASE: (TaskStatus.CLAIMED, TaskStatus.PENDING),
        Actor.OPERATOR: (TaskStatus.PENDING, TaskStatus.CANCELLED),
        Actor.PLANNER: (TaskStatus.PLANNING, TaskStatus.IN_PROGRESS),
    }
    source, target = targets[by]
    task = make_task("task", source)
    follow_another()

    with pytest.raises(NotEmperor):
        move_task(task.id, target, by=by, reason="it tries", now=now_utc())


def _must_not_run(job: Job) -> None:
    raise AssertionError("it ran")


def _must_not_fail(job: Job, now: Any) -> None:
    raise AssertionError("it was failed")
