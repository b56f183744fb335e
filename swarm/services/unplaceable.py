"""Ready subtasks that nobody could do, busy or not: they say so instead of waiting silently."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.agents.adapters import all_tools
from swarm.models import Agent, RemoteAgent, Task
from swarm.outline import PROMPTS
from swarm.queries import describe_task
from swarm.replication import terms
from swarm.services.transitions import note_event
from swarm.states import Actor, TaskStatus

GRACE = timedelta(seconds=15)  # agents are often registered just after the work for them
REASON_CHARS_MAX = 300
AT_ONCE_MAX = 200


def note_unplaceable(now: datetime) -> int:
    """Say of ready subtasks once why no agent can ever take them; returns how many changed.

    What counts is who is registered, here and at members, not who is free. A goal that hires waits
    for its sellers. The reason goes away with the first agent that could take the subtask.
    """
    ready = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False).order_by()
    if not ready.exists() or not terms.is_emperor():
        return 0
    abilities = _abilities()
    hiring = hooks.hiring_goals()
    changed = 0
    for goal_id, needs, reason in _kinds():
        wanted = "" if goal_id in hiring else _reason(needs, abilities)
        if wanted == reason:
            continue
        alike = ready.filter(parent_id=goal_id, required_capabilities=needs, waiting_reason=reason)
        old_enough = alike if reason else alike.filter(updated_at__lte=now - GRACE)
        for task in old_enough[:AT_ONCE_MAX]:
            _say(task, wanted, now)
            changed += 1
    return changed


def _kinds() -> list[tuple[UUID | None, list[str], str]]:
    ready = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False).order_by()
    rows = ready.values_list("parent_id", "required_capabilities", "waiting_reason")
    return list(rows.distinct())


def _abilities() -> list[frozenset[str]]:
    own = Agent.objects.order_by().values_list("capabilities", flat=True)
    members = RemoteAgent.objects.order_by().values_list("capabilities", flat=True)
    return [frozenset(each) for each in (*own, *members)]


def _reason(needs: Sequence[str], abilities: Sequence[frozenset[str]]) -> str:
    """Return why nobody can take a subtask with these needs; empty where somebody can."""
    if any(able.issuperset(needs) for able in abilities):
        return ""
    if not abilities and PROMPTS not in needs:
        return "there is no agent: register one" + (
            f" with the capabilities {', '.join(needs)}"[:200] if needs else ""
        )
    missing = sorted(set(needs).difference(*abilities))
    if PROMPTS in missing:
        return f"no agent takes prompts: register one with a tool of {_prompt_tools()}"
    if missing:
        return f"no agent can do {', '.join(missing)}: register one that can"[:REASON_CHARS_MAX]
    return f"no agent can do all of {', '.join(sorted(needs))}"[:REASON_CHARS_MAX]


def _prompt_tools() -> str:
    try:
        tools = all_tools().values()
    except DomainError:
        return "those that take prompts"  # a file of the operator's is wrong, as its agents say
    return ", ".join(sorted(tool.name for tool in tools if tool.deliver == "prompt"))[:200]


def _say(task: Task, reason: str, now: datetime) -> None:
    with transaction.atomic():
        said = Task.objects.filter(id=task.id, status=TaskStatus.PENDING).update(
            waiting_reason=reason
        )
        if not said:
            return
        task.refresh_from_db()
        if reason:
            status = TaskStatus.PENDING
            note_event(task, status, status, by=Actor.DISPATCHER, reason=reason, now=now)
        else:
            # Who takes it is told by its next move.
            news = {"task": describe_task(task), "reason": ""}
            outbox.publish_event("task_update", str(task.status), news, now=now)
