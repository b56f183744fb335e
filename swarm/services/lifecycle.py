"""What the operator does to tasks beyond cancelling: take back, retry, archive."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from p2p.doorbell import ring_on_commit
from p2p.protocol.errors import DomainError
from swarm.errors import WrongState
from swarm.models import Task
from swarm.replication import terms
from swarm.services.goals import get_task
from swarm.services.plan_drafts import plan_again
from swarm.services.transitions import move_task, note_event
from swarm.states import TASK_TERMINAL, Actor, TaskStatus

ATTEMPTS_LIMIT = 20  # however often the operator asks


def requeue_task(task_id: UUID, *, reason: str, now: datetime) -> Task:
    """Take a subtask from whoever has it and queue it anew; for a goal, plan it again at once.

    The operator's word is worth one more attempt where none is left. WrongState when the task
    has ended, waits already or is being merged; DomainError `too_many_attempts` beyond
    ATTEMPTS_LIMIT.
    """
    terms.require_emperor()
    with transaction.atomic():
        task = get_task(task_id)
        if task.parent_id is None:
            return plan_again(task, f"planned again: {reason}", now)
        if task.attempts_max >= ATTEMPTS_LIMIT and task.attempt >= task.attempts_max:
            raise DomainError(
                "too_many_attempts", f"task {task_id} had {task.attempt}, {ATTEMPTS_LIMIT} at most"
            )
        _grant_attempt(task_id)
        return move_task(
            task_id,
            TaskStatus.PENDING,
            by=Actor.OPERATOR,
            reason=reason,
            now=now,
            error=reason,
            assigned_node="",
            assigned_agent="",
            assigned_agent_id=None,
            lease_expires_at=None,
            progress="",
        )


def archive_task(task_id: UUID, *, now: datetime) -> Task:
    """Hide a task that has ended, and its subtasks, from lists; again changes nothing.

    WrongState when it has not ended.
    """
    terms.require_emperor()
    with transaction.atomic():
        task = get_task(task_id)
        if task.status not in TASK_TERMINAL:
            raise WrongState(f"task {task_id}", task.status, "archived")
        family = Task.objects.filter(Q(id=task_id) | Q(parent_id=task_id))
        hidden = list(family.filter(archived_at__isnull=True).values_list("id", flat=True))
        for each_id in hidden:
            _archive_one(each_id, now)
        ring_on_commit()
        return get_task(task_id)


def _grant_attempt(task_id: UUID) -> None:
    Task.objects.filter(id=task_id, attempt__gte=F("attempts_max")).update(
        attempts_max=F("attempts_max") + 1
    )


def _archive_one(task_id: UUID, now: datetime) -> None:
    moved = Task.objects.filter(
        id=task_id, status__in=TASK_TERMINAL, archived_at__isnull=True
    ).update(archived_at=now, updated_at=now)
    if moved:
        task = get_task(task_id)
        note_event(
            task,
            task.status,
            TaskStatus(task.status),
            by=Actor.OPERATOR,
            reason="archived",
            now=now,
        )
