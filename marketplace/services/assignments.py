"""Assignments under a tribute at the seller: which are covered, and by which agents."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketplace.models import Execution, Tribute
from marketplace.services.references import reservation_of
from marketplace.services.transitions import get_tribute, tell
from marketplace.states import ExecutionStatus, RequeuePolicy, TributeStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.messages import TaskAssign
from swarm.models import ATTEMPTS_MAX_DEFAULT, Attempt
from swarm.services.agents import prolong_reservation


def admit_assignment(command: TaskAssign, now: datetime) -> str:
    """Decide on a TASK_ASSIGN under a tribute; the first one makes the reservation last.

    DomainError `lapsed` or `not_allowed` is what the buyer will see.
    """
    tribute = Tribute.objects.filter(id=UUID(command.tribute_id)).first()
    if tribute is None or tribute.from_node_id != command.origin:
        raise DomainError("not_allowed", f"no tribute {command.tribute_id} of {command.origin[:8]}")
    if tribute.to_node_id != local_node().node_id or tribute.repository != command.task.repository:
        raise DomainError("not_allowed", "the task is not of the tribute's repository")
    if tribute.status != TributeStatus.ACCEPTED:
        raise DomainError("lapsed", f"tribute {tribute.id.hex[:8]} is {tribute.status}")
    if now >= tribute.work_deadline_at:
        raise DomainError("lapsed", f"the work deadline {tribute.work_deadline_at} has passed")
    if tribute.policy == RequeuePolicy.EXECUTION:
        _open_run(tribute, command, now)
    else:
        _open_or_continue(tribute, command, now)
    until = tribute.work_deadline_at
    prolong_reservation(reservation_of(tribute.id), until=until)
    Tribute.objects.filter(id=tribute.id).update(reserved_until=until)
    tell(get_tribute(tribute.id), "assigned", now=now)
    return reservation_of(tribute.id)


def _open_or_continue(tribute: Tribute, command: TaskAssign, now: datetime) -> None:
    """Open the execution of a first run; a further run must still be covered by its price."""
    task_id = UUID(command.task.id)
    execution = tribute.executions.filter(task_id=task_id).first()
    if execution is None:
        _open(tribute, command, 1, now)
        return
    if execution.status != ExecutionStatus.OPEN:
        raise DomainError("not_allowed", f"task {task_id} is already {execution.status}")
    runs = Attempt.objects.filter(tribute_id=tribute.id, task_id=task_id).count()
    if runs >= ATTEMPTS_MAX_DEFAULT:
        raise DomainError(
            "not_allowed",
            f"task {task_id} had {runs} runs, its price covers {ATTEMPTS_MAX_DEFAULT}",
        )


def _open_run(tribute: Tribute, command: TaskAssign, now: datetime) -> None:
    """Open an execution for this very run; the task's earlier ones must be settled."""
    task_id = UUID(command.task.id)
    earlier = tribute.executions.filter(task_id=task_id).exclude(status=ExecutionStatus.ACCEPTED)
    unpaid = earlier.exclude(status=ExecutionStatus.OPEN, reported_at__isnull=False).first()
    if unpaid is not None:
        raise DomainError("not_allowed", f"run {unpaid.run} of {task_id} is {unpaid.status}")
    _open(tribute, command, command.generation, now)


def _open(tribute: Tribute, command: TaskAssign, run: int, now: datetime) -> None:
    if tribute.executions.count() + tribute.released_count >= tribute.task_count:
        raise DomainError("not_allowed", f"all {tribute.task_count} executions are assigned")
    Execution.objects.create(
        tribute=tribute,
        task_id=UUID(command.task.id),
        run=run,
        title=command.task.title,
        opened_at=now,
    )
