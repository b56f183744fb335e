"""Reports of executors to the assigner: sent over the mesh, or applied here when it is us."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError, ExternalError
from swarm import hooks
from swarm.budgets import spent
from swarm.budgets.limits import TASK_BUDGET
from swarm.errors import StaleGeneration
from swarm.git.names import attempt_branch
from swarm.messages import TaskClaim, TaskComplete, TaskFail, TaskProgress
from swarm.models import Attempt, RemoteAgent, Task
from swarm.replication.heartbeats import beat
from swarm.replication.tasks import publish_task
from swarm.services import planned_goals
from swarm.services.goals import enqueue_gate, get_task, requeue_or_fail
from swarm.services.taking_over import may_be_taken_over, take_over_run
from swarm.services.transitions import move_task
from swarm.states import TASK_WITH_AGENT, Actor, TaskStatus

SUMMARY_CHARS_MAX = 4000
PROGRESS_CHARS_MAX = 500
# Refusals before any work was done: the dispatch does not count as an attempt.
NOT_BEGUN = frozenset(
    {
        "agent_busy",
        "agent_gone",
        "expired",
        "lapsed",
        "no_idle_agents",
        "no_room",
        "not_allowed",
        "stale_generation",
        "stale_term",
        "unknown_term",
        "unsupported",
    }
)
_REPORTED = (TaskStatus.PENDING_REVIEW, TaskStatus.MERGING, TaskStatus.COMPLETED)
REFUSED_PAUSE = timedelta(seconds=10)  # before an agent of another member is asked again


def lease_end(now: datetime) -> datetime:
    """Return when a lease that is renewed now runs out."""
    return now + timedelta(seconds=settings.ENVIRONMENT.lease_s)


def report_claim(attempt: Attempt, *, now: datetime) -> None:
    """Tell the assigner which agent took the task."""
    assert attempt.agent is not None
    name = attempt.agent.name
    if is_ours(attempt):
        apply_claim(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            agent_id=attempt.agent.id,
            agent_name=name,
            branch=attempt.branch,
            now=now,
        )
        return
    send_report(
        TaskClaim,
        attempt,
        now,
        node_id=local_node().node_id,
        agent_name=name,
        git_branch=attempt.branch,
    )


def report_progress(attempt: Attempt, progress: str, *, now: datetime) -> None:
    """Give the assigner a sign of life with the last line of output."""
    line = progress[:PROGRESS_CHARS_MAX]
    # Who watches a run holds its row for long, and the emperor may have changed meanwhile.
    attempt.refresh_from_db(fields=["assigner_node_id"])
    if is_ours(attempt):
        apply_progress(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            progress=line,
            now=now,
        )
        return
    if attempt.tribute_id is None:
        _note_for_heartbeat(attempt, line, now)
        return
    # A sign of life that arrives late is worthless; the next one follows.
    send_report(
        TaskProgress,
        attempt,
        now,
        expires_in_s=settings.ENVIRONMENT.lease_s,
        status="in_progress",
        progress=line,
        git_branch=attempt.branch,
    )


def report_completion(attempt: Attempt, *, now: datetime) -> None:
    """Name the pushed commit to the assigner."""
    result = (attempt.summary or attempt.output_tail)[-SUMMARY_CHARS_MAX:]
    if is_ours(attempt):
        apply_completion(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            branch=attempt.branch,
            commit=attempt.commit,
            result=result,
            now=now,
        )
        return
    row = send_report(
        TaskComplete,
        attempt,
        now,
        expires_in_s=None,
        git_branch=attempt.branch,
        commit=attempt.commit,
        result=result,
    )
    for listener in hooks.report_listeners:
        listener(attempt, bytes(row.frame), now)


def report_failure(attempt: Attempt, *, code: str, error: str, pushed: bool, now: datetime) -> None:
    """Tell the assigner why the run ended without a result."""
    if attempt.planning:
        planned_goals.note_planning_failed(attempt.task_id, code=code, error=error, now=now)
        return
    branch = attempt.branch if pushed else None
    if is_ours(attempt):
        apply_failure(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            code=code,
            error=error,
            branch=branch,
            now=now,
        )
        return
    send_report(
        TaskFail,
        attempt,
        now,
        expires_in_s=None,
        code=code,
        error=error[-SUMMARY_CHARS_MAX:],
        git_branch=branch,
    )


def refuse_assignment(
    task_id: UUID, *, generation: int, to_node_id: str, code: str, error: str, now: datetime
) -> None:
    """Answer a TASK_ASSIGN that this node does not take."""
    outbox.send_command(
        TaskFail,
        to_node_id=to_node_id,
        now=now,
        task_id=task_id.hex,
        agent_id=None,
        generation=generation,
        code=code,
        error=error[:SUMMARY_CHARS_MAX],
    )


def apply_claim(
    task_id: UUID,
    *,
    generation: int,
    from_node_id: str,
    agent_id: UUID,
    agent_name: str,
    branch: str,
    now: datetime,
) -> None:
    """Note which agent works on a task of ours and on which branch.

    Also a run that the emperor before began and did not tell of; it goes on.
    """
    take_over_run(
        task_id,
        generation=generation,
        from_node_id=from_node_id,
        branch=branch,
        lease_until=lease_end(now),
        now=now,
    )
    task = task_of_report(task_id, generation, from_node_id)
    require_branch_of(task, branch)
    noted = Task.objects.filter(
        id=task.id, generation=generation, status__in=TASK_WITH_AGENT
    ).update(
        assigned_agent=agent_name[:64],
        assigned_agent_id=agent_id,
        git_branch=branch,
        lease_expires_at=lease_end(now),
        updated_at=now,
    )
    if noted:
        publish_task(get_task(task.id), now)


def apply_progress(
    task_id: UUID, *, generation: int, from_node_id: str, progress: str, now: datetime
) -> None:
    """Renew a task's lease and show its progress; the first one moves it to in_progress."""
    with transaction.atomic():
        task = task_of_report(task_id, generation, from_node_id)
        Task.objects.filter(id=task.id, status__in=TASK_WITH_AGENT, generation=generation).update(
            lease_expires_at=lease_end(now), progress=progress, updated_at=now
        )
        if task.status == TaskStatus.CLAIMED:
            move_task(
                task.id,
                TaskStatus.IN_PROGRESS,
                by=Actor.REPORT,
                reason=f"{task.assigned_agent or 'agent'} at {from_node_id[:8]} works",
                now=now,
            )


def apply_completion(
    task_id: UUID,
    *,
    generation: int,
    from_node_id: str,
    branch: str,
    commit: str,
    result: str,
    now: datetime,
) -> None:
    """Take note of a reported commit: a claim, which the gate proves or refuses.

    Said again, as after a change of emperor, it changes nothing.
    """
    take_over_run(
        task_id,
        generation=generation,
        from_node_id=from_node_id,
        branch=branch,
        lease_until=lease_end(now),
        now=now,
    )
    task = task_of_report(task_id, generation, from_node_id)
    require_branch_of(task, branch)
    if task.status in _REPORTED and task.commit == commit:
        return
    moved = move_task(
        task.id,
        TaskStatus.PENDING_REVIEW,
        by=Actor.REPORT,
        reason=f"{task.assigned_agent or 'agent'} at {from_node_id[:8]} reports {commit[:8]}",
        now=now,
        evidence={"branch": branch, "commit": commit, "node_id": from_node_id},
        git_branch=branch,
        commit=commit,
        result=result,
        lease_expires_at=None,
        progress="",
    )
    if moved.parent is not None:
        enqueue_gate(moved.parent, now=now)


def apply_failure(
    task_id: UUID,
    *,
    generation: int,
    from_node_id: str,
    code: str,
    error: str,
    branch: str | None,
    now: datetime,
) -> None:
    """Requeue or fail a task of ours whose run ended without a result."""
    task = task_of_report(task_id, generation, from_node_id)
    if code in NOT_BEGUN:
        hand_back(task, reason=f"{from_node_id[:8]} refused: {error}", now=now)
        return
    first_line = error.strip().splitlines()[0] if error.strip() else code
    if code == TASK_BUDGET and from_node_id == local_node().node_id:
        spent.apply_task_over_budget(task, reason=first_line, branch=branch, now=now)
        return
    if branch:
        require_branch_of(task, branch)
        Task.objects.filter(id=task.id, generation=generation).update(git_branch=branch)
    requeue_or_fail(
        task,
        by=Actor.REPORT,
        reason=f"attempt {task.attempt} failed: {first_line}",
        feedback=error,
        evidence={"code": code, "error": error, "node_id": from_node_id, "branch": branch},
        now=now,
    )


def hand_back(task: Task, *, reason: str, now: datetime) -> None:
    """Put a task that nobody began back into the queue, without counting an attempt."""
    move_task(
        task.id,
        TaskStatus.PENDING,
        by=Actor.REPORT,
        reason=reason,
        now=now,
        attempt=max(0, task.attempt - 1),
        assigned_node="",
        assigned_agent="",
        assigned_agent_id=None,
        lease_expires_at=None,
        evidence={"not_begun": True},
    )
    if task.assigned_agent_id is not None:
        RemoteAgent.objects.filter(id=task.assigned_agent_id).update(
            refused_until=now + REFUSED_PAUSE
        )


def _note_for_heartbeat(attempt: Attempt, line: str, now: datetime) -> None:
    """Keep a sign of life for the node's heartbeats; the first one does not wait for the next."""
    first = Attempt.objects.filter(id=attempt.id, progress_at__isnull=True).exists()
    Attempt.objects.filter(id=attempt.id).update(progress=line, progress_at=now)
    if first:
        beat(now)


def task_of_report(task_id: UUID, generation: int, from_node_id: str) -> Task:
    """Return the task of a report, or raise why the report does not count.

    ExternalError for a run of the emperor before that is not taken over yet: its claim may be
    under way, and the report comes again.
    """
    task = get_task(task_id)
    if may_be_taken_over(task, generation):
        raise ExternalError(f"task {task_id}: generation {generation} is not known", retryable=True)
    if generation != task.generation:
        raise StaleGeneration(str(task_id), generation, task.generation)
    if task.assigned_node != from_node_id:
        raise DomainError(
            "not_assigned",
            f"task {task_id} is assigned to {task.assigned_node[:8] or 'nobody'}, "
            f"not to {from_node_id[:8]}",
        )
    return task


def require_branch_of(task: Task, branch: str) -> None:
    """DomainError `wrong_branch` unless a report names the branch of the task's present run."""
    expected = attempt_branch(task.id, task.attempt)
    if branch != expected:
        raise DomainError("wrong_branch", f"branch {branch} reported, {expected} was assigned")


def is_ours(attempt: Attempt) -> bool:
    """Tell whether this node is itself the assigner of an attempt."""
    return attempt.assigner_node_id == local_node().node_id


def send_report(
    command: type[Any],
    attempt: Attempt,
    now: datetime,
    *,
    expires_in_s: float | None = outbox.COMMAND_EXPIRY_S,
    **fields: Any,
) -> OutboxMessage:
    """Send a report of an attempt to the node that assigned it; returns its outbox row."""
    return outbox.send_command(
        command,
        to_node_id=attempt.assigner_node_id,
        now=now,
        expires_in_s=expires_in_s,
        task_id=attempt.task_id.hex,
        agent_id=attempt.agent_id.hex if attempt.agent_id else None,
        generation=attempt.generation,
        **fields,
    )
