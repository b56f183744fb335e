"""Reports of sold work: kept with their signed frame on both sides, and proved on the remote."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.db.models import Q

from marketplace.models import Execution
from marketplace.services.settlement import accept_execution, refuse_execution
from marketplace.services.transitions import move_execution, tell
from marketplace.states import ExecutionStatus, RequeuePolicy
from p2p.local import local_node
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.registration import registry
from swarm.messages import TaskComplete
from swarm.models import Attempt
from swarm.services import handing_on, jobs, reports
from swarm.states import TASK_TERMINAL

VERIFY = "verify_execution"
VERIFY_AGAIN_AFTER = timedelta(minutes=10)


def take_report(received: Received[TaskComplete], now: datetime) -> bool:
    """Keep the report of a hired run; True when its task has ended and only the price is open.

    True as well when another emperor moves the task now: the report is handed on to it.

    DomainError `expired` after the work deadline, or why the report does not count.
    """
    command = received.message
    execution = _bought(command)
    if execution is None:
        return False
    tribute = execution.tribute
    if execution.reported_at is None and now >= tribute.work_deadline_at:
        raise DomainError("expired", f"the work had to be reported by {tribute.work_deadline_at}")
    if execution.status not in (ExecutionStatus.OPEN, ExecutionStatus.CANCELLING):
        return False
    task = handing_on.left_task(command)
    is_left = task is not None
    task = task or reports.task_of_report(UUID(command.task_id), command.generation, command.origin)
    reports.require_branch_of(task, command.git_branch)
    ended = is_left or task.status in TASK_TERMINAL
    if execution.reported_at is not None and _reported_run(execution) == command.generation:
        return ended  # the same report once more
    if execution.status == ExecutionStatus.CANCELLING:
        # It was written before the cancellation arrived, which the seller is about to refuse.
        move_execution(execution, ExecutionStatus.OPEN, now=now)
    _keep(execution, command.commit, received.raw, now)
    if is_left:
        from marketplace.services import paying  # it stands above this module

        handing_on.hand_on(received.raw, now)
        paying.settle_by_copy(execution, now)
    elif ended:
        verify_later(execution, now=now)
    return ended


def note_report_sent(attempt: Attempt, frame: bytes, now: datetime) -> None:
    """Keep the signed report of a sold run: from now on its buyer cannot take it back."""
    if attempt.tribute_id is None:
        return
    sold = Execution.objects.filter(
        tribute_id=attempt.tribute_id,
        tribute__to_node_id=local_node().node_id,
        task_id=attempt.task_id,
        status=ExecutionStatus.OPEN,
    )
    execution = sold.filter(_of_run(attempt.generation)).select_related("tribute").first()
    if execution is not None:
        _keep(execution, attempt.commit, frame, now)


def verify_later(execution: Execution, *, now: datetime, after: timedelta = timedelta(0)) -> None:
    """Have a worker look whether the remote shows what was reported for a task that has ended."""
    jobs.enqueue(
        VERIFY,
        key=str(execution.id),
        lane=f"repository:{execution.tribute.repository}",
        now=now,
        due_at=now + after,
    )


def settle_verified(execution: Execution, objection: str, *, now: datetime) -> None:
    """Pay a report whose task was cancelled after it, unless the remote speaks against it."""
    if execution.status != ExecutionStatus.OPEN:
        return
    commit = execution.commit
    if objection:
        refuse_execution(execution, commit=commit, reason=objection, now=now)
    else:
        reason = f"cancelled after the report: the remote shows {commit[:8]}"
        accept_execution(execution, commit=commit, reason=reason, now=now)


def note_not_verified(execution: Execution, error: str, *, now: datetime) -> None:
    """Look again later for a remote that does not answer; refuse at the work deadline."""
    if now < execution.tribute.work_deadline_at:
        verify_later(execution, now=now, after=VERIFY_AGAIN_AFTER)
    elif execution.status == ExecutionStatus.OPEN:
        reason = f"could not be verified: {error}"
        refuse_execution(execution, commit=execution.commit, reason=reason, now=now)


def report_of(execution: Execution) -> TaskComplete:
    """Return the signed report of an execution as it was sent."""
    return cast(TaskComplete, registry.decode(bytes(execution.report_frame)))


def _bought(command: TaskComplete) -> Execution | None:
    ours = Execution.objects.filter(
        task_id=UUID(command.task_id),
        tribute__from_node_id=local_node().node_id,
        tribute__to_node_id=command.origin,
    )
    of_run = ours.filter(_of_run(command.generation))
    return of_run.select_related("tribute").order_by("-id").first()


def _reported_run(execution: Execution) -> int:
    return report_of(execution).generation


def _of_run(generation: int) -> Q:
    return Q(tribute__policy=RequeuePolicy.ACCEPTED_RESULT) | Q(run=generation)


def _keep(execution: Execution, commit: str, frame: bytes, now: datetime) -> None:
    Execution.objects.filter(id=execution.id).update(
        reported_at=now, commit=commit, report_frame=frame
    )
    execution.refresh_from_db()
    tell(execution.tribute, "execution_reported", now=now)
