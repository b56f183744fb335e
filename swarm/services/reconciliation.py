"""Making every task's state true again when a node starts, whatever had ended it before."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from p2p.local import local_node
from swarm import hooks
from swarm.errors import WrongState
from swarm.models import Attempt, Job, Task
from swarm.services import jobs
from swarm.services.goals import (
    PREPARE_GOAL,
    cancel_left_over,
    enqueue_gate,
    lane_of,
    prolong_leases,
    requeue_or_fail,
    settle_dependants,
)
from swarm.services.reports import lease_end
from swarm.states import (
    ATTEMPT_TERMINAL,
    TASK_TERMINAL,
    TASK_WITH_AGENT,
    Actor,
    JobStatus,
    TaskStatus,
)


def reconcile_tasks(now: datetime) -> None:
    """Bring every task that has not ended to where somebody or something goes on with it.

    | State | What is done |
    |---|---|
    | planning | its preparation is queued, unless it waits already |
    | blocked | freed or failed, as its prerequisites say |
    | pending | dispatched by the next ring; cancelled where its goal has ended |
    | claimed, in_progress, waiting_input | a fresh lease; queued anew where no run of it is left |
    | pending_review, merging | the gate of its goal is queued |
    | in_progress (goal) | decided, when every subtask has ended |
    | completed (goal) | its pull request is opened, or looked at again |
    """
    with transaction.atomic():
        prolong_leases(lease_end(now))
        _requeue_without_run(now)
        _plan_goals(now)
        _judge_reported(now)
        _settle_goals(now)
        hooks.go_on(now)


def _requeue_without_run(now: datetime) -> None:
    """Queue tasks of this node's own agents anew whose run is gone, without waiting for a lease."""
    own = local_node().node_id
    held = Task.objects.filter(status__in=TASK_WITH_AGENT, parent__isnull=False, assigned_node=own)
    for task in held:
        runs = Attempt.objects.filter(
            task_id=task.id, assigner_node_id=own, generation=task.generation
        )
        if not runs.exclude(status__in=ATTEMPT_TERMINAL).exists():
            requeue_or_fail(
                task,
                by=Actor.LEASE,
                reason="no run of it was left when the node started",
                feedback=task.feedback,
                evidence={"generation": task.generation},
                now=now,
            )


def _plan_goals(now: datetime) -> None:
    for goal in Task.objects.filter(status=TaskStatus.PLANNING, parent__isnull=True):
        open_jobs = Job.objects.filter(
            kind=PREPARE_GOAL,
            key=goal.id.hex,
            status__in=[JobStatus.QUEUED, JobStatus.RUNNING],
        )
        if not open_jobs.exists():
            jobs.enqueue(PREPARE_GOAL, key=goal.id.hex, lane=lane_of(goal), now=now)


def _judge_reported(now: datetime) -> None:
    waiting = (TaskStatus.PENDING_REVIEW, TaskStatus.MERGING)
    reported = Task.objects.filter(status__in=waiting).select_related("parent")
    goals = {task.parent or task for task in reported}
    for goal in sorted(goals, key=lambda each: each.created_at):
        enqueue_gate(goal, now=now)


def _settle_goals(now: datetime) -> None:
    for goal in Task.objects.filter(status=TaskStatus.IN_PROGRESS, parent__isnull=True):
        settle_dependants(goal.id, now=now)
    ended = Task.objects.filter(status__in=TASK_TERMINAL, parent__isnull=True)
    for goal in ended.filter(subtasks__status__in=set(TaskStatus) - TASK_TERMINAL).distinct():
        try:
            cancel_left_over(goal, now=now)
        except WrongState:
            continue  # moved meanwhile
