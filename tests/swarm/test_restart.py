"""What becomes of every task when its node starts again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swarm.models import Attempt, Job, Task
from swarm.services import goals, reports
from swarm.services.dispatch import dispatch_ready
from swarm.services.reconciliation import reconcile_tasks
from swarm.states import (
    JobStatus,
    TaskStatus,
)
from tests.swarm.chained_goals import a_goal, a_subtask, chain
from tests.swarm.planned_goals import NOW, an_agent, statuses

pytestmark = pytest.mark.django_db


LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "status", [TaskStatus.CLAIMED, TaskStatus.IN_PROGRESS, TaskStatus.WAITING_INPUT]
)
def test_restart_a_task_at_another_node_gets_a_fresh_lease(status: TaskStatus) -> None:
    task = a_subtask(status, assigned_node="a" * 32, lease_expires_at=NOW)

    reconcile_tasks(LATER)

    task.refresh_from_db()
    assert (task.status, task.lease_expires_at) == (status, reports.lease_end(LATER))


def test_restart_a_task_without_lease_gets_one() -> None:
    task = a_subtask(TaskStatus.CLAIMED, assigned_node="a" * 32, lease_expires_at=None)

    reconcile_tasks(LATER)

    task.refresh_from_db()
    assert task.lease_expires_at == reports.lease_end(LATER)


def test_restart_an_own_task_whose_run_goes_on_is_left_alone() -> None:
    goal = a_goal(chain(1))
    an_agent()
    dispatch_ready(NOW)

    reconcile_tasks(LATER)

    assert statuses(goal) == ["claimed"]


def test_restart_an_own_task_without_a_run_is_queued_anew() -> None:
    goal = a_goal(chain(1))
    an_agent()
    dispatch_ready(NOW)
    Attempt.objects.all().delete()

    reconcile_tasks(LATER)

    task = goal.subtasks.get()
    assert (task.status, task.error) == ("pending", "no run of it was left when the node started")


def test_restart_a_goal_in_planning_is_prepared_once() -> None:
    goal = goals.create_goal(
        goals.GoalRequest(description=chain(1), repository="/srv/r.git"), now=NOW
    )
    reconcile_tasks(LATER)
    assert Job.objects.count() == 1
    Job.objects.all().delete()

    reconcile_tasks(LATER)

    job = Job.objects.get()
    assert (job.kind, job.key, job.status) == (goals.PREPARE_GOAL, goal.id.hex, JobStatus.QUEUED)


@pytest.mark.parametrize("status", [TaskStatus.PENDING_REVIEW, TaskStatus.MERGING])
def test_restart_a_reported_task_is_judged(status: TaskStatus) -> None:
    task = a_subtask(status)

    reconcile_tasks(LATER)

    assert task.parent_id is not None
    assert [(job.kind, job.key) for job in Job.objects.all()] == [(goals.GATE, task.parent_id.hex)]


def test_restart_a_merging_goal_is_decided() -> None:
    goal = a_goal(chain(1))
    Task.objects.filter(id=goal.id).update(status=TaskStatus.MERGING)
    goal.subtasks.update(status=TaskStatus.COMPLETED)

    reconcile_tasks(LATER)

    assert [(job.kind, job.key) for job in Job.objects.all()] == [(goals.GATE, goal.id.hex)]


def test_restart_blocked_tasks_follow_their_prerequisites() -> None:
    goal = a_goal(chain(2))
    goal.subtasks.filter(number=1).update(status=TaskStatus.COMPLETED)
    other = a_goal(chain(2))
    other.subtasks.filter(number=1).update(status=TaskStatus.FAILED)

    reconcile_tasks(LATER)

    assert statuses(goal) == ["completed", "pending"]
    assert statuses(other) == ["failed", "failed"]


def test_restart_pending_tasks_wait_unless_their_goal_has_ended() -> None:
    waiting, ended = a_goal(chain(1)), a_goal(chain(1))
    Task.objects.filter(id=ended.id).update(status=TaskStatus.FAILED)

    reconcile_tasks(LATER)

    assert (statuses(waiting), statuses(ended)) == (["pending"], ["cancelled"])


def test_restart_a_goal_whose_subtasks_have_ended_is_decided() -> None:
    done, lost = a_goal(chain(1)), a_goal(chain(1))
    done.subtasks.update(status=TaskStatus.COMPLETED)
    lost.subtasks.update(status=TaskStatus.FAILED)

    reconcile_tasks(LATER)

    assert [(job.kind, job.key) for job in Job.objects.all()] == [(goals.GATE, done.id.hex)]
    lost.refresh_from_db()
    assert lost.status == TaskStatus.FAILED
