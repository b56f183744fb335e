"""Tasks to their end: cascades, what the operator does, and every state after a restart."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.errors import NotEmperor, WrongState
from swarm.models import Agent, Attempt, Job, Task
from swarm.services import goals, reports
from swarm.services.dependencies import check_acyclic
from swarm.services.dispatch import dispatch_ready
from swarm.services.lifecycle import archive_task, requeue_task
from swarm.services.transitions import move_task
from swarm.states import (
    TASK_TERMINAL,
    Actor,
    AttemptStatus,
    Complexity,
    TaskStatus,
)
from tests.swarm.chained_goals import DEPTH, a_goal, a_subtask, chain
from tests.swarm.planned_goals import BASE, NOW, an_agent, statuses

pytestmark = pytest.mark.django_db


LATER = NOW + timedelta(hours=1)


SWARM = Path(__file__).parents[2] / "swarm"


def test_defect_02_a_failure_fails_everything_behind_it_however_deep() -> None:
    goal = a_goal()
    first = goal.subtasks.get(number=1)
    Task.objects.filter(id=first.id).update(attempt=3, status=TaskStatus.CLAIMED)

    first.refresh_from_db()
    goals.requeue_or_fail(
        first, by=Actor.REPORT, reason="it broke", feedback="", evidence={}, now=NOW
    )

    assert statuses(goal) == ["failed"] * DEPTH
    errors = list(goal.subtasks.order_by("number").values_list("error", flat=True))
    assert errors[1:] == [f"prerequisite {n} (Step {n}) failed" for n in range(1, DEPTH)]
    goal.refresh_from_db()
    assert goal.status == TaskStatus.FAILED


def test_defect_02_a_cancelled_prerequisite_fails_everything_behind_it() -> None:
    goal = a_goal()

    goals.cancel_task(goal.subtasks.get(number=3).id, reason="no", now=NOW)

    assert statuses(goal) == ["pending", "blocked", "cancelled", *["failed"] * (DEPTH - 3)]
    assert goal.subtasks.get(number=4).error == "prerequisite 3 (Step 3) cancelled"


def test_defect_17_what_was_read_before_a_cancellation_cannot_revive_the_task() -> None:
    goal = a_goal(chain(1))
    an_agent()
    dispatch_ready(NOW)
    stale = goal.subtasks.get()
    goals.cancel_task(goal.id, reason="stop", now=NOW)
    me = local_node().node_id

    def everybody_who_still_holds_it() -> list[object]:
        same = {"generation": stale.generation, "from_node_id": me, "now": LATER}
        late: list[object] = []
        for write in (
            lambda: reports.apply_claim(
                stale.id, agent_id=stale.id, agent_name="two", branch=f"task/{stale.id8}", **same
            ),
            lambda: reports.apply_progress(stale.id, progress="working", **same),
            lambda: reports.apply_completion(
                stale.id, branch=f"task/{stale.id8}", commit="c" * 40, result="", **same
            ),
            lambda: reports.apply_failure(
                stale.id, code="exit_code", error="e", branch=None, **same
            ),
            lambda: goals.requeue_or_fail(
                stale, by=Actor.LEASE, reason="r", feedback="", evidence={}, now=LATER
            ),
        ):
            try:
                write()
            except DomainError as refused:
                late.append(refused.code)
        return late

    before = Task.objects.filter(id=stale.id).values().get()
    everybody_who_still_holds_it()
    assert Task.objects.filter(id=stale.id).values().get() == before
    assert before["status"] == TaskStatus.CANCELLED


def test_defect_17_no_row_of_the_swarm_is_ever_written_whole() -> None:
    saves = [
        f"{path.name}:{node.lineno}"
        for path in SWARM.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("save", "bulk_update")
    ]

    assert saves == []


def test_a_plan_must_not_wait_for_itself() -> None:
    check_acyclic({1: [], 2: [1], 3: [1, 2]})

    with pytest.raises(DomainError, match=r"wait for each other: \d after \d after \d") as refused:
        check_acyclic({1: [2], 2: [1]})
    assert (refused.value.code, refused.value.status) == ("bad_plan", 422)
    with pytest.raises(DomainError, match="1 waits for 7"):
        check_acyclic({1: [7]})


@pytest.mark.parametrize(
    "status",
    [
        TaskStatus.CLAIMED,
        TaskStatus.IN_PROGRESS,
        TaskStatus.WAITING_INPUT,
        TaskStatus.PENDING_REVIEW,
    ],
)
def test_the_operator_takes_a_task_back(status: TaskStatus) -> None:
    task = a_subtask(status, attempt=3, assigned_node="a" * 32, assigned_agent="x")

    moved = requeue_task(task.id, reason="take it back", now=LATER)

    assert (moved.status, moved.assigned_node, moved.assigned_agent) == ("pending", "", "")
    assert (moved.attempt, moved.attempts_max) == (3, 4)
    last = moved.events.last()
    assert last is not None
    assert (last.by, last.reason, last.source) == (Actor.OPERATOR, "take it back", status)


@pytest.mark.parametrize(
    "status", sorted({TaskStatus.PENDING, TaskStatus.BLOCKED, TaskStatus.MERGING} | TASK_TERMINAL)
)
def test_what_waits_merges_or_has_ended_is_not_taken_back(status: TaskStatus) -> None:
    task = a_subtask(status)
    before = Task.objects.filter(id=task.id).values().get()

    with pytest.raises(WrongState):
        requeue_task(task.id, reason="r", now=LATER)

    assert Task.objects.filter(id=task.id).values().get() == before


def test_a_goal_in_planning_is_planned_again_and_another_is_not() -> None:
    goal = goals.create_goal(
        goals.GoalRequest(description=chain(1), repository="/srv/r.git"), now=NOW
    )
    Job.objects.all().delete()

    requeue_task(goal.id, reason="the remote is back", now=LATER)

    assert Job.objects.get().kind == goals.PREPARE_GOAL
    with pytest.raises(WrongState):
        requeue_task(a_goal().id, reason="r", now=LATER)


def test_only_what_has_ended_is_archived_with_its_subtasks() -> None:
    goal = a_goal(chain(2))
    with pytest.raises(WrongState):
        archive_task(goal.id, now=NOW)
    goals.cancel_task(goal.id, reason="no", now=NOW)

    archive_task(goal.id, now=LATER)
    archive_task(goal.id, now=LATER + timedelta(hours=1))

    assert set(Task.objects.values_list("archived_at", flat=True)) == {LATER}
    assert goal.events.filter(reason="archived").count() == 1


def test_only_the_emperor_moves_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = a_goal(chain(1))
    an_agent()
    worker = goals.settings.ENVIRONMENT.model_copy(update={"role": "worker"})
    monkeypatch.setattr(goals.settings, "ENVIRONMENT", worker)

    assert dispatch_ready(NOW) == 0
    for write in (
        lambda: goals.cancel_task(goal.id, reason="r", now=NOW),
        lambda: requeue_task(goal.id, reason="r", now=NOW),
        lambda: archive_task(goal.id, now=NOW),
    ):
        with pytest.raises(NotEmperor, match="no emperor is known"):
            write()


def test_an_agent_that_knows_the_repository_is_preferred() -> None:
    first = a_goal(chain(1))
    stranger, expert = an_agent("stranger"), an_agent("expert")
    Attempt.objects.create(
        task_id=first.id,
        assigner_node_id="a" * 32,
        title="t",
        number=1,
        generation=1,
        agent=expert,
        repository=first.repository,
        base_commit=BASE,
        branch="task/x",
        status=AttemptStatus.SUCCEEDED,
        created_at=NOW,
    )
    Agent.objects.filter(id=stranger.id).update(status_since=NOW - timedelta(days=1))

    dispatch_ready(NOW)

    assert first.subtasks.get().assigned_agent_id == expert.id


def test_what_a_task_asks_for_travels_into_its_run() -> None:
    goal = a_goal(chain(1))
    goal.subtasks.update(
        acceptance_criteria="the tests are green", complexity=Complexity.XL, time_limit_s=60
    )
    an_agent()

    dispatch_ready(NOW)

    run = Attempt.objects.get()
    assert (run.acceptance_criteria, run.complexity, run.time_limit_s, run.term) == (
        "the tests are green",
        "xl",
        60,
        1,
    )
    assert goal.subtasks.get().term == 1


def test_every_transition_is_told_with_who_and_why() -> None:
    goal = a_goal(chain(1))
    move_task(
        goal.subtasks.get().id,
        TaskStatus.CLAIMED,
        by=Actor.DISPATCHER,
        reason="because",
        now=NOW,
        evidence={"a": 1},
    )

    told = [
        (event.source, event.target, event.by, event.reason, event.evidence)
        for event in goal.subtasks.get().events.all()
    ]
    assert told == [
        ("", "pending", "planner", "planned", {}),
        ("pending", "claimed", "dispatcher", "because", {"a": 1}),
    ]
