"""Runs that the emperor before gave out and nobody told of: they go on instead of starting anew."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p.local import local_node
from swarm.git.names import attempt_branch
from swarm.models import MemberPulse, RemoteAgent, Task
from swarm.replication import terms
from swarm.services.transitions import move_task
from swarm.states import TASK_WITH_AGENT, Actor, TaskStatus

ATTEMPTS_LOOKED_AT = 50  # branches that are compared; more attempts than the operator can grant
_OPEN = frozenset({TaskStatus.PENDING, TaskStatus.BLOCKED, *TASK_WITH_AGENT})


def may_be_taken_over(task: Task, generation: int) -> bool:
    """Tell whether an emperor before may have given a task out under this generation.

    It is later than the one that is known, whose run is over then, and before any of ours.
    """
    return task.status in _OPEN and task.generation < generation <= task.generation_floor


def take_over_run(
    task_id: UUID,
    *,
    generation: int,
    from_node_id: str,
    branch: str,
    lease_until: datetime,
    now: datetime,
) -> bool:
    """Give a task to the member that runs it already; False where that is not the case.

    A task that is blocked here is not given: nothing says yet that its prerequisites are merged.
    """
    task = Task.objects.filter(id=task_id, parent__isnull=False).first()
    if task is None or not may_be_taken_over(task, generation) or not _is_member(from_node_id):
        return False
    number = _number_of(task, branch)
    if number is None or task.status == TaskStatus.BLOCKED:
        return False
    with transaction.atomic():
        if task.status in TASK_WITH_AGENT:
            reason = f"its run of generation {task.generation} was over before this term"
            move_task(task.id, TaskStatus.PENDING, by=Actor.REPORT, reason=reason, now=now)
        _claim(task, from_node_id, branch, generation, number, lease_until, now)
    return True


def _claim(
    task: Task,
    from_node_id: str,
    branch: str,
    generation: int,
    number: int,
    lease_until: datetime,
    now: datetime,
) -> None:
    assert task.parent is not None
    move_task(
        task.id,
        TaskStatus.CLAIMED,
        by=Actor.REPORT,
        reason=f"{from_node_id[:8]} has worked on it since before this term",
        now=now,
        evidence={"generation": generation, "branch": branch, "node_id": from_node_id},
        assigned_node=from_node_id,
        base_commit=task.parent.integration_commit or task.parent.base_commit,
        attempt=number,
        attempts_max=max(number, task.attempts_max),
        generation=generation,
        term=own.counter if (own := terms.own_row()) is not None else 0,
        lease_expires_at=lease_until,
        claimed_at=now,
        git_branch=branch,
        waiting_reason="",
        tribute_id=None,
        assigned_agent="",
        assigned_agent_id=None,
        progress="",
    )


def _is_member(node_id: str) -> bool:
    """Only members are heard in the swarm's own scope; a seller may guess a generation."""
    if node_id == local_node().node_id:
        return True
    heard = MemberPulse.objects.filter(node_id=node_id)
    return heard.exists() or RemoteAgent.objects.filter(node_id=node_id).exists()


def _number_of(task: Task, branch: str) -> int | None:
    """Return the attempt whose branch this is."""
    numbers = range(1, ATTEMPTS_LOOKED_AT + 1)
    return next((n for n in numbers if attempt_branch(task.id, n) == branch), None)
