"""Who requested a tribute stays its only payer, also while another emperor moves its tasks.

It settles its executions by that emperor's signed records of the tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from marketplace.models import Execution
from marketplace.services import cancelling, results
from marketplace.services.settlement import accept_execution, refuse_execution
from marketplace.states import ExecutionStatus, RequeuePolicy
from p2p.local import local_node
from swarm.models import Task, TaskCopy
from swarm.services import handing_on
from swarm.states import TASK_TERMINAL, TaskStatus

_VERIFIED = frozenset({TaskStatus.MERGING, TaskStatus.COMPLETED})
_WAITING = frozenset({TaskStatus.PENDING, TaskStatus.BLOCKED})


def on_copies(copies: Sequence[TaskCopy], now: datetime) -> None:
    """Settle what this node pays for, as far as another emperor's records decide it."""
    told = {copy.id: copy for copy in copies if copy.emperor_node_id != local_node().node_id}
    for execution in _open().filter(task_id__in=list(told)):
        _settle(execution, told[execution.task_id], now)
    for copy in told.values():
        if copy.parent_id is None and copy.status in TASK_TERMINAL:
            cancelling.release_unused(copy.id, now=now)


def settle_by_copy(execution: Execution, now: datetime) -> None:
    """Settle an execution that was just reported by what is known of its task already."""
    copy = TaskCopy.objects.filter(id=execution.task_id).first()
    if copy is not None and copy.emperor_node_id != local_node().node_id:
        _settle(execution, copy, now)


def on_emperor_changed(emperor_node_id: str, now: datetime) -> None:
    """Hand the reports of hired runs on to an emperor that may not know of them."""
    if emperor_node_id == local_node().node_id:
        return
    reported = _open().filter(reported_at__isnull=False)
    for execution in reported:
        left = Task.with_released.filter(id=execution.task_id, released_at__isnull=False)
        if left.exists():
            handing_on.hand_on(bytes(execution.report_frame), now)


def _open() -> QuerySet[Execution]:
    mine = Execution.objects.filter(tribute__from_node_id=local_node().node_id)
    return mine.filter(status=ExecutionStatus.OPEN).select_related("tribute")


def _settle(execution: Execution, copy: TaskCopy, now: datetime) -> None:
    """Pay, refuse, or ask back one execution; one whose run goes on stays open."""
    per_run = execution.tribute.policy == RequeuePolicy.EXECUTION
    reason = f"{copy.emperor_node_id[:8]}, emperor of term {copy.term}, has it {copy.status}"
    status = TaskStatus(copy.status)
    goes_on = _is_run_of(execution, copy) and status not in TASK_TERMINAL | _WAITING
    if execution.reported_at is None:
        if not goes_on:
            cancelling.ask_back(execution, reason=reason, now=now)
        return
    is_its_commit = copy.body.get("commit") == execution.commit
    if is_its_commit and status in (_VERIFIED if per_run else {TaskStatus.COMPLETED}):
        accept_execution(execution, commit=execution.commit, reason=reason, now=now)
    elif goes_on:
        return
    elif per_run or status == TaskStatus.CANCELLED:
        results.verify_later(execution, now=now)  # the remote decides
    else:
        refuse_execution(execution, commit=execution.commit, reason=reason, now=now)


def _is_run_of(execution: Execution, copy: TaskCopy) -> bool:
    """Tell whether the run that a copy tells of is the one that the execution pays."""
    same = copy.body.get("tribute_id") == execution.tribute_id.hex
    return same and copy.body.get("assigned_node") == execution.tribute.to_node_id
