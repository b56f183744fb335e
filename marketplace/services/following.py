"""What becomes of the buyer's executions as the swarm moves their tasks."""

from __future__ import annotations

from datetime import datetime

from marketplace.models import Execution
from marketplace.services import cancelling, results
from marketplace.services.settlement import accept_execution, refuse_execution, send_back
from marketplace.states import ExecutionStatus, RequeuePolicy
from p2p.local import local_node
from swarm.hooks import TaskMoved
from swarm.models import Task
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus

AFTER_THE_REPORT = "cancelled after the report"


def on_task_moved(moved: TaskMoved) -> None:
    """Settle the execution of a hired task as the swarm decides about the task."""
    task = moved.task
    if moved.target == TaskStatus.CLAIMED and task.tribute_id is None:
        _refuse_open(task, "done by an agent of the buyer instead", moved.now)
    execution = _open_execution(task)
    if execution is None:
        return
    if moved.target == TaskStatus.COMPLETED:
        _on_completed(execution, moved)
    elif moved.target == TaskStatus.MERGING:
        on_commit_verified(task, moved.now)
    elif moved.target == TaskStatus.FAILED:
        refuse_execution(execution, commit=task.commit, reason=moved.reason, now=moved.now)
    elif moved.target == TaskStatus.CANCELLED:
        _take_back(execution, moved)
    elif moved.target == TaskStatus.PENDING:
        _queued_again(execution, moved)


def on_commit_verified(task: Task, now: datetime) -> None:
    """Pay a run whose commit the remote shows, where the policy asks for nothing more."""
    execution = _open_execution(task)
    if execution is None or execution.tribute.policy != RequeuePolicy.EXECUTION:
        return
    reason = f"the remote shows {task.commit[:8]} on {task.git_branch}"
    accept_execution(execution, commit=task.commit, reason=reason, now=now)


def on_goal_moved(moved: TaskMoved) -> None:
    """Give back what a goal bought and did not use, when it ends."""
    if moved.task.parent_id is None and moved.target in TASK_TERMINAL:
        cancelling.release_unused(moved.task.id, now=moved.now)


def made_by_another(task: Task, commit: str) -> str:
    """Return the objection to a hired task's commit that was reported for another execution."""
    if task.tribute_id is None:
        return ""
    own = _open_execution(task)
    others = Execution.objects.filter(commit=commit, tribute__from_node_id=local_node().node_id)
    if own is not None:
        # Under `accepted_result` a task's earlier runs are runs of the same execution.
        others = others.exclude(id=own.id)
    other = others.first()
    return f"was reported for {other.title!r} before" if other else ""


def _open_execution(task: Task) -> Execution | None:
    """Return the execution of the task's present run while it can still be settled."""
    if task.tribute_id is None:
        return None
    ours = Execution.objects.filter(
        tribute_id=task.tribute_id,
        tribute__from_node_id=local_node().node_id,
        task_id=task.id,
        status=ExecutionStatus.OPEN,
    ).select_related("tribute")
    execution = ours.order_by("-run").first()
    if execution is None or execution.tribute.policy != RequeuePolicy.EXECUTION:
        return execution
    return ours.filter(run=task.generation).first()


def _on_completed(execution: Execution, moved: TaskMoved) -> None:
    """Pay for the result that was merged; where it is another run's, as for a task that ended.

    An emperor before may have merged it and told nobody, while this run was at work or judged.
    """
    commit, reason, now = moved.task.commit, moved.reason, moved.now
    if moved.source == TaskStatus.MERGING and "pushed_by" not in moved.evidence:
        accept_execution(execution, commit=commit, reason=reason, now=now)
    elif execution.reported_at is None:
        cancelling.ask_back(execution, reason=reason, now=now)
    elif execution.commit == commit:
        accept_execution(execution, commit=commit, reason=reason, now=now)
    elif execution.tribute.policy == RequeuePolicy.EXECUTION:
        results.verify_later(execution, now=now)  # the remote decides
    else:
        refuse_execution(execution, commit=execution.commit, reason=reason, now=now)


def _refuse_open(task: Task, reason: str, now: datetime) -> None:
    idle = Execution.objects.filter(
        task_id=task.id, status=ExecutionStatus.OPEN, reported_at__isnull=True
    )
    for execution in idle.filter(tribute__from_node_id=local_node().node_id):
        refuse_execution(execution, commit=task.commit, reason=reason, now=now)


def _take_back(execution: Execution, moved: TaskMoved) -> None:
    """Take an execution back whose task is cancelled, as far as the seller has not reported it."""
    if execution.reported_at is not None:
        if moved.source == TaskStatus.MERGING:
            reason = f"{AFTER_THE_REPORT}: {moved.reason}"
            accept_execution(execution, commit=execution.commit, reason=reason, now=moved.now)
        else:
            results.verify_later(execution, now=moved.now)
    elif moved.source in TASK_WITH_AGENT:
        cancelling.ask_back(execution, reason=moved.reason, now=moved.now)
    else:
        # Its last run was judged, and no other one has begun.
        refuse_execution(execution, commit="", reason=moved.reason, now=moved.now)


def _queued_again(execution: Execution, moved: TaskMoved) -> None:
    """Decide whether the seller has lost the execution, or may try again under the same price."""
    per_run = execution.tribute.policy == RequeuePolicy.EXECUTION
    if moved.by == Actor.OPERATOR:
        # One price covers what the operator wants done again; a paid run is another matter.
        if per_run:
            _take_back(execution, moved)
        return
    lost = bool(moved.evidence.get("not_begun")) or moved.by == Actor.LEASE
    if lost or per_run:
        refuse_execution(execution, commit=moved.task.commit, reason=moved.reason, now=moved.now)
    else:
        send_back(execution, commit=moved.task.commit, reason=moved.reason, now=moved.now)
