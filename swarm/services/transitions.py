"""The one way a task moves: a conditional UPDATE from the table, its event row and its news."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.doorbell import ring_on_commit
from swarm import hooks
from swarm.errors import NotFound, WrongState
from swarm.models import Task, TaskEvent
from swarm.queries import describe_task
from swarm.replication import terms
from swarm.replication.tasks import publish_task
from swarm.states import TASK_MOVES, TASK_TERMINAL, Actor, TaskStatus, sources_of

REASON_CHARS_MAX = 500
FOLLOWS_FROM_A_REPORT = frozenset({Actor.REPORT, Actor.DEPENDENCY, Actor.BUDGET})


def move_task(
    task_id: UUID,
    target: TaskStatus,
    *,
    by: Actor,
    reason: str,
    now: datetime,
    evidence: dict[str, Any] | None = None,
    **columns: Any,
) -> Task:
    """Move a task and set `columns` with it, or raise WrongState and change nothing.

    NotEmperor where this node does not move tasks now; what a run reports is taken all the same.
    The event row, the browsers' news and the listeners' effects are in the same transaction.
    """
    with transaction.atomic():
        source, executor, tribute_id = _source_for(task_id, target, by)
        if by not in FOLLOWS_FROM_A_REPORT:
            terms.require_emperor()
        if target in TASK_TERMINAL:
            columns.setdefault("completed_at", now)
        moved = Task.objects.filter(id=task_id, status=source).update(
            status=target, updated_at=now, **columns
        )
        if not moved:
            raise WrongState(f"task {task_id}", "moved by another", target)
        task = Task.objects.get(id=task_id)
        note_event(task, source, target, by=by, reason=reason, evidence=evidence, now=now)
        for listener in hooks.task_listeners:
            listener(
                hooks.TaskMoved(
                    task, source, target, by, reason, evidence or {}, now, executor, tribute_id
                )
            )
        ring_on_commit()
    return task


def note_event(
    task: Task,
    source: TaskStatus | str,
    target: TaskStatus,
    *,
    by: Actor,
    reason: str,
    now: datetime,
    evidence: dict[str, Any] | None = None,
) -> None:
    """Write the history row of a transition; tell the browsers and the other members."""
    TaskEvent.objects.create(
        task=task,
        source=source,
        target=target,
        by=by,
        reason=reason[:REASON_CHARS_MAX],
        evidence=evidence or {},
        at=now,
    )
    outbox.publish_event(
        "task_update",
        str(target),
        {"task": describe_task(task), "reason": reason[:REASON_CHARS_MAX]},
        now=now,
    )
    publish_task(task, now)


def _source_for(
    task_id: UUID, target: TaskStatus, by: Actor
) -> tuple[TaskStatus, str, UUID | None]:
    """Return the task's status with its executor and tribute, or raise WrongState or NotFound."""
    row = Task.objects.filter(id=task_id).values_list("status", "assigned_node", "tribute_id")
    found = row.first()
    if found is None:
        raise NotFound("task", task_id)
    status, executor, tribute_id = found
    if status not in sources_of(TASK_MOVES, target, by):
        raise WrongState(f"task {task_id}", status, target)
    return TaskStatus(status), executor, tribute_id
