"""Limits: held against what was used, and the run that is over one interrupted."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from swarm.budgets.limits import AGENT_BUDGET, TASK_BUDGET, limit_of
from swarm.budgets.money import micros_of, shown_usd
from swarm.budgets.pauses import pause_agent
from swarm.models import Agent, Attempt, Task
from swarm.services.attempts import get_attempt
from swarm.states import ATTEMPT_TERMINAL


def hold_against_limits(attempt_id: UUID, *, now: datetime) -> None:
    """Interrupt an open attempt whose task, or whose agent's day, is over its limit."""
    attempt = get_attempt(attempt_id)
    task = _own_task(attempt)
    if task is not None and (reason := _over_in_task(task, attempt, now)):
        interrupt(attempt_id, TASK_BUDGET, reason)
    if task is None and (reason := _over_in_run(attempt)):
        interrupt(attempt_id, TASK_BUDGET, reason)
    if attempt.tribute_id is not None and (reason := _over_in_hire(attempt)):
        interrupt(attempt_id, AGENT_BUDGET, reason)
    if attempt.agent is not None and (reason := _over_in_day(attempt.agent)):
        interrupt(attempt_id, AGENT_BUDGET, reason)
        pause_agent(attempt.agent.id, until=_next_day(now), reason=reason, now=now)


def enforce_time_limits(now: datetime) -> int:
    """Interrupt the runs that work longer than their task allows; returns how many.

    Time for which a run waits for a person's answer does not count.
    """
    count = 0
    open_ones = Attempt.objects.filter(stop_code="", planning=False)
    for attempt in open_ones.exclude(status__in=ATTEMPT_TERMINAL):
        if reason := _over_in_time(_own_task(attempt), attempt, now):
            interrupt(attempt.id, TASK_BUDGET, reason)
            count += 1
    return count


def interrupt(attempt_id: UUID, code: str, reason: str) -> bool:
    """Have an open run stopped, its work saved and `reason` reported; False when it is already."""
    with transaction.atomic():
        told = (
            Attempt.objects.filter(id=attempt_id, stop_code="")
            .exclude(status__in=ATTEMPT_TERMINAL)
            .update(stop_code=code, stop_reason=reason[:300])
        )
        ring_on_commit()
    return bool(told)


def worked_s(attempt: Attempt, now: datetime) -> float:
    """Return for how many seconds an attempt has worked, without its waits.

    It waits for answers, and for the end of its tool's usage window.
    """
    asked_at = attempt.asked_at if not attempt.answered_at else None
    waits_since = min(filter(None, (asked_at, attempt.window_at)), default=None)
    until = waits_since or attempt.ended_at or now
    begun_at = attempt.typed_at or attempt.created_at
    return max(0.0, (until - begun_at).total_seconds() - attempt.waited_s)


def _own_task(attempt: Attempt) -> Task | None:
    """The task of an attempt, where this node is its assigner: its limits are known here only."""
    if attempt.assigner_node_id != local_node().node_id:
        return None
    return Task.objects.select_related("parent").filter(id=attempt.task_id).first()


def _over_in_task(task: Task, attempt: Attempt, now: datetime) -> str:
    tokens, cost = limit_of(task, "token_limit"), limit_of(task, "cost_limit_micros")
    if tokens is not None and task.tokens_used > tokens:
        return f"{task.tokens_used:,} tokens used, the task's limit is {tokens:,}"
    if cost is not None and task.cost_used_micros > cost:
        used = shown_usd(task.cost_used_micros)
        return f"{used} used, the task's limit is {shown_usd(cost)}"
    return _over_in_time(task, attempt, now)


def _over_in_run(attempt: Attempt) -> str:
    """Hold a run for another node against what that node allowed for it."""
    return _over(
        attempt, attempt.token_limit, attempt.cost_limit_micros, "its assigner's limit of the run"
    )


def _over_in_hire(attempt: Attempt) -> str:
    """Hold a hired run against what this node gives for the price of one."""
    own = settings.ENVIRONMENT
    tokens, usd = own.hired_token_limit or None, own.hired_cost_limit_usd
    return _over(attempt, tokens, micros_of(usd) if usd else None, "the seller's limit of a run")


def _over(attempt: Attempt, tokens: int | None, cost_micros: int | None, whose: str) -> str:
    if tokens is not None and attempt.tokens_used > tokens:
        return f"{attempt.tokens_used:,} tokens used, {whose} is {tokens:,}"
    if cost_micros is not None and attempt.cost_used_micros > cost_micros:
        used, allowed = shown_usd(attempt.cost_used_micros), shown_usd(cost_micros)
        return f"{used} used, {whose} is {allowed}"
    return ""


def _over_in_time(task: Task | None, attempt: Attempt, now: datetime) -> str:
    # Of a task of ours what its operator says now, of another node's what came with it.
    limit_s = limit_of(task, "time_limit_s") if task is not None else attempt.time_limit_s
    if limit_s is None or worked_s(attempt, now) <= limit_s:
        return ""
    return (
        f"attempt {attempt.number} worked {worked_s(attempt, now):.0f} s, allowed are {limit_s} s"
    )


def _over_in_day(agent: Agent) -> str:
    if agent.token_limit is not None and agent.tokens_today > agent.token_limit:
        return (
            f"agent {agent.name} used {agent.tokens_today:,} tokens today, "
            f"its limit is {agent.token_limit:,}"
        )
    if agent.cost_limit_micros is not None and agent.cost_today_micros > agent.cost_limit_micros:
        return (
            f"agent {agent.name} used {shown_usd(agent.cost_today_micros)} today, "
            f"its limit is {shown_usd(agent.cost_limit_micros)}"
        )
    return ""


def _next_day(now: datetime) -> datetime:
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=UTC)
