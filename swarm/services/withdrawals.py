"""Taking dispatched work back: the assigner's word to an executor, and the executor's obedience."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from p2p import outbox
from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.registration import number_of
from swarm.hooks import TaskMoved
from swarm.messages import TaskWithdraw
from swarm.models import SeenDispatch
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus

SWARM = "swarm"
REASON_CHARS_MAX = 500


def withdraw(
    task_id: UUID, *, generation: int, from_node_id: str, reason: str, now: datetime
) -> None:
    """Tell an executor that a dispatch is over; once while it has not answered."""
    waiting = OutboxMessage.objects.filter(
        kind=OutboxKind.COMMAND,
        number=number_of(TaskWithdraw),
        to_node_id=from_node_id,
        done_at__isnull=True,
        detail=_mark(task_id, generation),
    )
    if waiting.exists():
        return
    row = outbox.send_command(
        TaskWithdraw,
        to_node_id=from_node_id,
        now=now,
        task_id=task_id.hex,
        generation=generation,
        reason=reason[:REASON_CHARS_MAX],
    )
    OutboxMessage.objects.filter(id=row.id).update(detail=_mark(task_id, generation))


def on_task_moved(moved: TaskMoved) -> None:
    """Tell another node's executor of a task that was taken from it not by its own report.

    Of hired work the marketplace tells by its verdict, unless the task simply starts anew.
    """
    executor = moved.executor_node_id
    if executor in ("", local_node().node_id) or moved.by == Actor.REPORT:
        return
    over = moved.target in TASK_TERMINAL or moved.target == TaskStatus.PENDING
    if not over or moved.source not in TASK_WITH_AGENT:
        return
    if moved.tribute_id is None or moved.by == Actor.OPERATOR:
        withdraw(
            moved.task.id,
            generation=moved.task.generation,
            from_node_id=executor,
            reason=moved.reason,
            now=moved.now,
        )


def note_dispatch(scope: str, task_id: UUID, generation: int, now: datetime) -> bool:
    """Remember a generation that an assigner spoke of; False when it is not newer than one seen."""
    newest = {"generation": generation, "seen_at": now}
    _, created = SeenDispatch.objects.get_or_create(scope=scope, task_id=task_id, defaults=newest)
    older = SeenDispatch.objects.filter(scope=scope, task_id=task_id, generation__lt=generation)
    return created or bool(older.update(**newest))


def newest_dispatch(scope: str, task_id: UUID) -> int:
    """Return the newest generation of a task that was seen here, 0 for none."""
    row = SeenDispatch.objects.filter(scope=scope, task_id=task_id).first()
    return row.generation if row else 0


def _mark(task_id: UUID, generation: int) -> str:
    return f"{task_id.hex} {generation}"
