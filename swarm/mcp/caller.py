"""Whose call it is: a token speaks for one agent, about one attempt, while that is open."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from p2p.protocol.errors import DomainError
from swarm.models import Attempt, McpToken
from swarm.services.agents import note_signal
from swarm.services.asking import note_sign_of_life
from swarm.services.attempts import acknowledge, get_attempt
from swarm.states import ATTEMPT_TERMINAL, AgentStatus

_SHOWN_CHARS_MAX = 80


def attempt_of_call(attempt_id: UUID, task_id: str | None, *, now: datetime) -> Attempt:
    """Return the open attempt that a token's agent calls about, and note that it lives.

    DomainError `attempt_ended`, `not_your_attempt` or `other_task` says what the token is for.
    """
    attempt = _open_attempt(attempt_id)
    if task_id is not None:
        _require_task(attempt, task_id)
    McpToken.objects.filter(attempt_id=attempt_id).update(used_at=now)
    if attempt.agent_id is not None:
        note_signal(
            attempt.agent_id, source="mcp", state=AgentStatus.WORKING, text="called a tool", now=now
        )
    acknowledge(attempt, now=now)
    note_sign_of_life(attempt_id, now=now)
    return get_attempt(attempt_id)


def _open_attempt(attempt_id: UUID) -> Attempt:
    attempt = get_attempt(attempt_id)
    if attempt.status in ATTEMPT_TERMINAL:
        raise DomainError(
            "attempt_ended",
            f"{_purpose(attempt)}, which has ended: {attempt.status}"
            f"{f' ({attempt.error[:200]})' if attempt.error else ''}. "
            "Nothing was changed. Stop working on it.",
        )
    if attempt.agent is None or attempt.agent.attempt_id != attempt.id:
        raise DomainError(
            "not_your_attempt",
            f"{_purpose(attempt)}, which is not your open one any more. Nothing was changed.",
        )
    return attempt


def _require_task(attempt: Attempt, task_id: str) -> None:
    try:
        meant = UUID(task_id.strip())
    except ValueError:
        meant = None
    if meant != attempt.task_id:
        shown = task_id[:_SHOWN_CHARS_MAX]
        raise DomainError(
            "other_task", f"{_purpose(attempt)}, not for task {shown!r}. Nothing was changed."
        )


def _purpose(attempt: Attempt) -> str:
    agent = f" of agent {attempt.agent.name}" if attempt.agent else ""
    return (
        f"your token is for attempt {attempt.number} (generation {attempt.generation}) "
        f"of task {attempt.task_id.hex}{agent}"
    )
