"""What each tool does: one look at the token's attempt, one service call, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.budgets.usage import record_usage
from swarm.mcp.caller import attempt_of_call
from swarm.mcp.results import Answered, Asked, AssignedTask, Noted, Planned
from swarm.models import Attempt
from swarm.plain_text import clean_text
from swarm.plan import PlannedSubtask
from swarm.services import asking, claims, planning, reports

_WORK = "Do the task in your worktree, commit, then call task_complete."
_PLAN = "Read the repository, then call task_plan. Change nothing."


def ready(attempt_id: UUID) -> AssignedTask:
    """Return the task of the calling agent."""
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, None, now=now_utc())
    return AssignedTask(
        task_id=attempt.task_id.hex,
        title=attempt.title,
        instructions=attempt.instructions,
        feedback=attempt.feedback,
        branch=attempt.branch,
        base_commit=attempt.base_commit,
        attempt=attempt.number,
        generation=attempt.generation,
        planning=attempt.planning,
        next=_PLAN if attempt.planning else _WORK,
    )


def progress(
    attempt_id: UUID,
    task_id: str,
    *,
    note: str,
    percent: int | None,
    tokens_in: int,
    tokens_out: int,
    cost_usd: float,
) -> Noted:
    """Report a line of progress, and what was used since the last one."""
    now = now_utc()
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, task_id, now=now)
        line = " ".join(clean_text("note", note, reports.SUMMARY_CHARS_MAX).split())
        if not line:
            raise DomainError("empty", "note is empty: say what you are doing", status=422)
        shown = f"{percent} %: {line}" if percent is not None else line
        if not attempt.planning:
            reports.report_progress(attempt, shown, now=now)
        if tokens_in or tokens_out or cost_usd:
            record_usage(
                attempt,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost_usd=cost_usd,
                source="task_progress",
                now=now,
            )
    return _noted(attempt, "Go on.")


def needs_input(attempt_id: UUID, task_id: str, *, question: str, choices: Sequence[str]) -> Asked:
    """Ask a person."""
    now = now_utc()
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, task_id, now=now)
        if attempt.planning:
            raise DomainError("planning", "a plan cannot ask: plan with what the goal says")
        asked = asking.ask(attempt.id, question=question, choices=choices, now=now)
    return Asked(
        task_id=asked.task_id.hex,
        number=asked.questions,
        next="End your turn: the answer will be typed into your terminal. If your program ends "
        "with your turn, call task_answer with wait_s=50 until it is answered.",
    )


def answer(attempt_id: UUID, task_id: str) -> Answered:
    """Fetch the answer to the last question."""
    now = now_utc()
    with transaction.atomic():
        attempt_of_call(attempt_id, task_id, now=now)
        attempt = asking.fetch_answer(attempt_id, now=now)
    answered = attempt.answered_at is not None
    return Answered(
        task_id=attempt.task_id.hex,
        number=attempt.questions,
        question=attempt.question,
        answered=answered,
        answer=attempt.answer,
        next="Go on with the answer." if answered else "Nobody has answered yet: call again.",
    )


def complete(attempt_id: UUID, task_id: str, *, summary: str, commit: str) -> Noted:
    """Take the claim that the work is done."""
    now = now_utc()
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, task_id, now=now)
        if attempt.planning:
            raise DomainError("planning", "a plan is wanted: call task_plan")
        claims.claim_done(attempt.id, summary=summary, commit=commit, now=now)
    return _noted(attempt, "Your work is pushed, merged and tested now. End your turn.")


def failed(attempt_id: UUID, task_id: str, *, reason: str) -> Noted:
    """Take the word that the agent gives up."""
    now = now_utc()
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, task_id, now=now)
        claims.claim_failed(attempt.id, reason=reason, now=now)
    return _noted(attempt, "Your work is saved. End your turn.")


def plan(attempt_id: UUID, task_id: str, *, subtasks: Sequence[PlannedSubtask]) -> Planned:
    """Store a plan."""
    now = now_utc()
    with transaction.atomic():
        attempt = attempt_of_call(attempt_id, task_id, now=now)
        created = planning.accept_plan(attempt, subtasks, now=now)
    given = "The plan is stored and its subtasks are given to agents. End your turn."
    waits = "The plan is stored and waits until its user approves it. End your turn."
    return Planned(
        task_id=attempt.task_id.hex, subtasks=len(subtasks), next=given if created else waits
    )


def _noted(attempt: Attempt, then: str) -> Noted:
    fields: dict[str, Any] = {"generation": attempt.generation, "next": then}
    return Noted(task_id=attempt.task_id.hex, **fields)
