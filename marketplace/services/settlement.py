"""Executions on the buyer's side: opened by hiring, settled by the gate, then paid."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.messages import TributeVerdict
from marketplace.models import Execution, Tribute
from marketplace.services import payments, wallet
from marketplace.services.transitions import move_tribute, tell
from marketplace.states import EntryKind, ExecutionStatus, TributeStatus
from p2p import outbox
from p2p.local import local_node
from swarm.hooks import Hire, TaskMoved
from swarm.models import Task
from swarm.states import Actor, TaskStatus


def hiring_goals() -> set[UUID]:
    """Return the goals of this node that have an accepted tribute, whether or not it has room."""
    ours = Tribute.objects.filter(
        status=TributeStatus.ACCEPTED, from_node_id=local_node().node_id, goal_id__isnull=False
    )
    return {goal_id for goal_id in ours.values_list("goal_id", flat=True) if goal_id}


def hire(task: Task, now: datetime) -> Hire | None:
    """Find a place for a ready subtask under an accepted tribute of its goal, and open it.

    A task that goes back to work keeps its execution: the price covers one accepted result.
    """
    tribute = _open_execution_of(task) or _tribute_with_room(task)
    if tribute is None:
        return None
    Execution.objects.get_or_create(
        tribute=tribute, task_id=task.id, defaults={"title": task.title, "opened_at": now}
    )
    return Hire(node_id=tribute.to_node_id, tribute_id=tribute.id)


def tasks_of_strangers(goal_id: UUID) -> set[UUID]:
    """Return the tasks of a goal that were ever hired out to a seller not on the allow-list.

    Also those that another has taken over: an attempt begins where the last one stopped.
    """
    strange = Execution.objects.filter(
        tribute__goal_id=goal_id, tribute__from_node_id=local_node().node_id
    ).exclude(tribute__to_node_id__in=settings.ENVIRONMENT.allow_nodes)
    return set(strange.values_list("task_id", flat=True))


def on_task_moved(moved: TaskMoved) -> None:
    """Settle the execution of a hired task as the swarm decides about the task."""
    task = moved.task
    if task.created_by != local_node().node_id:
        return
    if moved.target == TaskStatus.CLAIMED and task.tribute_id is None:
        _refuse_open(task, "done by an agent of the buyer instead", moved.now)
    if task.tribute_id is None:
        return
    execution = Execution.objects.filter(
        tribute_id=task.tribute_id, task_id=task.id, status=ExecutionStatus.OPEN
    ).first()
    if execution is None:
        return
    if moved.target == TaskStatus.COMPLETED:
        _accept(execution, task, moved.reason, moved.now)
    elif moved.target in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        _refuse(execution, task, moved.reason, moved.now)
    elif moved.target == TaskStatus.PENDING:
        _send_back(execution, moved)


def close_if_settled(tribute: Tribute, *, now: datetime) -> None:
    """Complete a tribute when every execution is settled or given back; failed if none was good.

    Both sides call it, each with its own rows.
    """
    tribute = Tribute.objects.get(id=tribute.id)
    if tribute.status != TributeStatus.ACCEPTED:
        return
    executions = list(tribute.executions.all())
    if any(each.status == ExecutionStatus.OPEN for each in executions):
        return
    if len(executions) + tribute.released_count < tribute.task_count:
        return
    accepted = sum(each.status == ExecutionStatus.ACCEPTED for each in executions)
    if not executions:
        target, code = TributeStatus.CANCELLED, "unused"
    elif accepted:
        target, code = TributeStatus.COMPLETED, ""
    else:
        target, code = TributeStatus.FAILED, "no_accepted_result"
    move_tribute(
        tribute.id,
        target,
        now=now,
        reason_code=code,
        reason=f"{accepted} of {len(executions)} executions accepted",
    )


def _open_execution_of(task: Task) -> Tribute | None:
    execution = (
        Execution.objects.filter(
            task_id=task.id,
            status=ExecutionStatus.OPEN,
            tribute__status=TributeStatus.ACCEPTED,
            tribute__from_node_id=local_node().node_id,
        )
        .select_related("tribute")
        .first()
    )
    return execution.tribute if execution else None


def _tribute_with_room(task: Task) -> Tribute | None:
    accepted = Tribute.objects.filter(
        status=TributeStatus.ACCEPTED, goal_id=task.parent_id, from_node_id=local_node().node_id
    )
    # Who has refused or lost this very task does not get it again.
    for tribute in accepted.exclude(executions__task_id=task.id).order_by("created_at"):
        if _capable(tribute, task) and _room(tribute) > 0:
            return tribute
    return None


def _room(tribute: Tribute) -> int:
    return tribute.task_count - tribute.released_count - tribute.executions.count()


def _capable(tribute: Tribute, task: Task) -> bool:
    return set(task.required_capabilities) <= set(tribute.capabilities)


def _accept(execution: Execution, task: Task, reason: str, now: datetime) -> None:
    """Take the result and pay: capture, proposal and verdict in the gate's transaction."""
    with transaction.atomic():
        _close(execution, ExecutionStatus.ACCEPTED, task.commit, reason, now)
        _send_verdict(execution, "accepted", task.commit, reason, now)
        payments.propose(execution, now=now)
        close_if_settled(execution.tribute, now=now)


def _refuse(execution: Execution, task: Task, reason: str, now: datetime) -> None:
    """Give the price back: nothing is paid without an accepted result."""
    with transaction.atomic():
        _close(execution, ExecutionStatus.REFUSED, task.commit, reason, now)
        _send_verdict(execution, "refused", task.commit, reason, now)
        tribute = execution.tribute
        wallet.move(
            wallet.Movement(
                kind=EntryKind.RELEASE,
                reference=execution_reference(tribute.id, execution.task_id),
                amount=tribute.price_per_task,
                tribute_id=tribute.id,
                counterparty_node_id=tribute.to_node_id,
                note=f"not accepted: {execution.title}",
            ),
            now=now,
        )
        close_if_settled(tribute, now=now)


def _refuse_open(task: Task, reason: str, now: datetime) -> None:
    for execution in Execution.objects.filter(task_id=task.id, status=ExecutionStatus.OPEN):
        _refuse(execution, task, reason, now)


def _send_back(execution: Execution, moved: TaskMoved) -> None:
    # A seller that did not begin, or fell silent, has lost the execution; one whose result was
    # not accepted may try again under the same price.
    if moved.evidence.get("not_begun") or moved.by == Actor.LEASE:
        _refuse(execution, moved.task, moved.reason, moved.now)
    else:
        _send_verdict(execution, "rework", moved.task.commit, moved.reason, moved.now)


def _close(
    execution: Execution, status: ExecutionStatus, commit: str, reason: str, now: datetime
) -> None:
    execution.status = status
    execution.commit = commit
    execution.reason = reason[:500]
    execution.closed_at = now
    execution.save(update_fields=["status", "commit", "reason", "closed_at"])
    tell(execution.tribute, f"execution_{status}", now=now)


def _send_verdict(
    execution: Execution, verdict: str, commit: str, reason: str, now: datetime
) -> None:
    outbox.send_command(
        TributeVerdict,
        to_node_id=execution.tribute.to_node_id,
        now=now,
        expires_in_s=None,
        tribute_id=execution.tribute_id.hex,
        task_id=execution.task_id.hex,
        run=execution.run,
        verdict=verdict,
        commit=commit or None,
        reason=reason[:500],
    )


def execution_reference(tribute_id: UUID, task_id: UUID) -> str:
    """Return the ledger reference of one execution's price."""
    return f"{tribute_id.hex}:{task_id.hex}"
