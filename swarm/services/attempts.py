"""Attempts: runs of a task by an agent of this node, from assignment to report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.errors import NotFound, WrongState
from swarm.git.names import attempt_branch
from swarm.hooks import TaskMoved
from swarm.models import Agent, Attempt
from swarm.services import reports
from swarm.services.agents import free_agent, take_agent
from swarm.states import (
    ATTEMPT_MOVES,
    ATTEMPT_TERMINAL,
    TASK_TERMINAL,
    TASK_WITH_AGENT,
    Actor,
    AttemptStatus,
    Complexity,
    TaskStatus,
)

OUTPUT_CHARS_MAX = 4000


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What an executor is asked to do, by this node or by another one."""

    task_id: UUID
    assigner_node_id: str
    title: str
    instructions: str
    shell: str
    feedback: str
    repository: str
    number: int
    generation: int
    base_commit: str
    previous_branch: str = ""
    tribute_id: UUID | None = None
    planning: bool = False
    term: int = 0
    acceptance_criteria: str = ""
    complexity: str = Complexity.MEDIUM
    time_limit_s: int | None = None
    token_limit: int | None = None
    cost_limit_micros: int | None = None


def start_attempt(assignment: Assignment, agents: list[Agent], *, now: datetime) -> Attempt | None:
    """Give an assignment to the first of `agents` that is still free; None when none is."""
    with transaction.atomic():
        attempt = Attempt.objects.create(
            task_id=assignment.task_id,
            assigner_node_id=assignment.assigner_node_id,
            title=assignment.title,
            number=assignment.number,
            generation=assignment.generation,
            tribute_id=assignment.tribute_id,
            term=assignment.term,
            acceptance_criteria=assignment.acceptance_criteria,
            complexity=assignment.complexity,
            time_limit_s=assignment.time_limit_s,
            token_limit=assignment.token_limit,
            cost_limit_micros=assignment.cost_limit_micros,
            instructions=assignment.instructions,
            shell=assignment.shell,
            feedback=assignment.feedback,
            repository=assignment.repository,
            base_commit=assignment.base_commit,
            previous_branch=assignment.previous_branch,
            branch=attempt_branch(assignment.task_id, assignment.number),
            planning=assignment.planning,
            created_at=now,
        )
        for agent in agents:
            if take_agent(agent, attempt, now=now):
                attempt.agent = agent
                Attempt.objects.filter(id=attempt.id).update(agent=agent)
                ring_on_commit()
                return attempt
        attempt.delete()
    return None


def move_attempt(
    attempt_id: UUID, target: AttemptStatus, *, now: datetime, **columns: Any
) -> Attempt:
    """Move an attempt by the table and set `columns` with it, or raise WrongState."""
    sources = [move.source for move in ATTEMPT_MOVES if move.target == target]
    if target in ATTEMPT_TERMINAL:
        columns.setdefault("ended_at", now)
    with transaction.atomic():
        moved = Attempt.objects.filter(id=attempt_id, status__in=sources).update(
            status=target, **columns
        )
        attempt = get_attempt(attempt_id)
        if not moved:
            raise WrongState(f"attempt {attempt_id}", attempt.status, target)
        ring_on_commit()
    return attempt


def get_attempt(attempt_id: UUID) -> Attempt:
    """Return an attempt with its agent, or raise NotFound."""
    attempt = Attempt.objects.select_related("agent").filter(id=attempt_id).first()
    if attempt is None:
        raise NotFound("attempt", attempt_id)
    return attempt


def acknowledge(attempt: Attempt, *, now: datetime) -> None:
    """Note that the run was seen to start, once, and report it."""
    with transaction.atomic():
        first = Attempt.objects.filter(id=attempt.id, acknowledged_at__isnull=True).update(
            acknowledged_at=now
        )
        if first:
            reports.report_progress(attempt, "started", now=now)


def succeed(attempt_id: UUID, *, commit: str, output: str, now: datetime) -> None:
    """End an attempt whose commit the remote shows; its report is in the same transaction."""
    with transaction.atomic():
        attempt = move_attempt(
            attempt_id,
            AttemptStatus.SUCCEEDED,
            now=now,
            commit=commit,
            output_tail=output[-OUTPUT_CHARS_MAX:],
        )
        free_agent(attempt, now=now)
        reports.report_completion(attempt, now=now)


def fail(
    attempt_id: UUID,
    *,
    code: str,
    error: str,
    now: datetime,
    pushed: bool = False,
    **columns: Any,
) -> None:
    """End an attempt that cannot go on, with its evidence; the report is in the transaction.

    `pushed` says that the branch with what was done so far is on the remote.
    """
    with transaction.atomic():
        attempt = move_attempt(attempt_id, AttemptStatus.FAILED, now=now, error=error, **columns)
        free_agent(attempt, now=now)
        reports.report_failure(attempt, code=code, error=error, pushed=pushed, now=now)


def cancel(attempt_id: UUID, *, reason: str, now: datetime) -> None:
    """End an attempt whose assigner no longer wants it; nothing is reported."""
    with transaction.atomic():
        attempt = move_attempt(attempt_id, AttemptStatus.CANCELLED, now=now, error=reason)
        free_agent(attempt, now=now)


def withdraw_agent(agent_id: UUID, *, now: datetime) -> None:
    """Take an agent from its run, which ends with the report that the agent was removed."""
    with transaction.atomic():
        held = Attempt.objects.filter(holder__id=agent_id).exclude(status__in=ATTEMPT_TERMINAL)
        for attempt in held:
            _withdraw(attempt, now)


def _withdraw(attempt: Attempt, now: datetime) -> None:
    reason = "the agent was removed"
    try:
        fail(attempt.id, code="agent_removed", error=reason, now=now)
    except DomainError as unwanted:  # the assigner wants no report of it any more
        cancel(attempt.id, reason=f"{reason}; {unwanted}", now=now)


def cancel_open(
    task_id: UUID,
    *,
    assigner_node_id: str,
    reason: str,
    now: datetime,
    through: int | None = None,
) -> int:
    """Cancel the open attempts of a task that is no longer wanted; returns how many.

    `through` spares those of a later generation.
    """
    matching = Attempt.objects.filter(task_id=task_id, assigner_node_id=assigner_node_id)
    if through is not None:
        matching = matching.filter(generation__lte=through)
    unwanted = list(matching.exclude(status__in=ATTEMPT_TERMINAL))
    for attempt in unwanted:
        cancel(attempt.id, reason=reason, now=now)
    return len(unwanted)


def on_task_moved(moved: TaskMoved) -> None:
    """Stop this node's run of a task that was taken from it other than by its own report."""
    ended = moved.target in TASK_TERMINAL or moved.target == TaskStatus.PENDING
    if ended and moved.source in TASK_WITH_AGENT and moved.by != Actor.REPORT:
        cancel_open(
            moved.task.id,
            assigner_node_id=local_node().node_id,
            reason=moved.reason,
            now=moved.now,
        )


def note_report_refused(
    task_id: UUID, *, assigner_node_id: str, generation: int, detail: str
) -> None:
    """Keep why the assigner refused the report of an attempt."""
    Attempt.objects.filter(
        task_id=task_id, assigner_node_id=assigner_node_id, generation=generation
    ).update(error=f"the assigner refused the report: {detail}")


def note_worktree_removed(attempt_id: UUID, *, now: datetime) -> None:
    """Note that the attempt's worktree is gone and its work is on the remote."""
    Attempt.objects.filter(id=attempt_id).update(worktree_removed_at=now)
