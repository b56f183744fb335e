"""What questions use: a row each, the day's budget of this node, and the budget of their goal."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum

from p2p.protocol.errors import DomainError
from swarm.budgets.money import micros_of, shown_usd
from swarm.llm.models import LlmCall, LlmOutcome, LlmPurpose
from swarm.llm.providers import Endpoint
from swarm.llm.redaction import redact
from swarm.models import Task

ERROR_CHARS_MAX = 500


def begin(purpose: LlmPurpose, endpoint: Endpoint, task: Task | None, *, now: datetime) -> LlmCall:
    """Open the row of a question; one left by a worker that died over the same is closed."""
    if task is not None:
        _abandon(task.id, purpose, now)
    return LlmCall.objects.create(
        task=task,
        purpose=purpose,
        provider=endpoint.provider,
        model=endpoint.model,
        started_at=now,
    )


def note_request(call: LlmCall, *, tokens_in: int, tokens_out: int, cost_usd: float | None) -> None:
    """Count one request of a question, also in what its goal has used."""
    call.requests += 1
    call.tokens_in += tokens_in
    call.tokens_out += tokens_out
    cost = 0 if cost_usd is None else micros_of(cost_usd)
    if cost_usd is not None:
        call.cost_micros = (call.cost_micros or 0) + cost
    with transaction.atomic():
        LlmCall.objects.filter(id=call.id).update(
            requests=call.requests,
            tokens_in=call.tokens_in,
            tokens_out=call.tokens_out,
            cost_micros=call.cost_micros,
        )
        if (goal_id := _goal_of(call)) is not None:
            Task.with_released.filter(id=goal_id).update(
                tokens_used=F("tokens_used") + tokens_in + tokens_out,
                cost_used_micros=F("cost_used_micros") + cost,
            )


def require_budget(call: LlmCall, *, now: datetime) -> None:
    """Raise DomainError `llm_over_budget` when the day's or the goal's budget is used up.

    Held against what was used before, so the request that reaches a limit is the last one.
    """
    reason = _over_in_day(now) or _over_in_goal(call)
    if reason:
        raise DomainError("llm_over_budget", reason)


def used_today(now: datetime) -> tuple[int, int]:
    """Return the tokens and the millionths of a US dollar that questions used since midnight."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    used = LlmCall.objects.filter(started_at__gte=midnight).aggregate(
        tokens_in=Sum("tokens_in"), tokens_out=Sum("tokens_out"), cost=Sum("cost_micros")
    )
    return (used["tokens_in"] or 0) + (used["tokens_out"] or 0), used["cost"] or 0


def close(call: LlmCall, outcome: LlmOutcome, error: str, *, now: datetime) -> None:
    """Close the row of a question with how it ended; secrets in `error` are hidden."""
    call.outcome, call.error, call.ended_at = outcome, redact(error)[:ERROR_CHARS_MAX], now
    LlmCall.objects.filter(id=call.id).update(outcome=outcome, error=call.error, ended_at=now)


def close_abandoned(now: datetime) -> int:
    """Close the rows that no worker is at any more: for the start of a node; returns how many."""
    return _give_up(LlmCall.objects.filter(outcome=LlmOutcome.RUNNING), now)


def _abandon(task_id: UUID, purpose: LlmPurpose, now: datetime) -> None:
    same = LlmCall.objects.filter(task_id=task_id, purpose=purpose, outcome=LlmOutcome.RUNNING)
    _give_up(same, now)


def _give_up(rows: QuerySet[LlmCall], now: datetime) -> int:
    return rows.update(outcome=LlmOutcome.FAILED, error="its worker ended before it", ended_at=now)


def _goal_of(call: LlmCall) -> UUID | None:
    if call.task is None:
        return None
    return call.task.parent_id or call.task.id


def _over_in_day(now: datetime) -> str:
    own = settings.ENVIRONMENT
    tokens_max, cost_max = own.llm_token_limit, micros_of(own.llm_cost_limit_usd)
    if not tokens_max and not cost_max:
        return ""
    tokens, cost = used_today(now)
    return _over(tokens, cost, tokens_max or None, cost_max or None, "today", "the node")


def _over_in_goal(call: LlmCall) -> str:
    goal_id = _goal_of(call)
    if goal_id is None or (goal := Task.with_released.filter(id=goal_id).first()) is None:
        return ""
    return _over(
        goal.tokens_used,
        goal.cost_used_micros,
        goal.token_limit,
        goal.cost_limit_micros,
        "by it",
        "the goal",
    )


def _over(
    tokens: int, cost: int, tokens_max: int | None, cost_max: int | None, when: str, whose: str
) -> str:
    if tokens_max is not None and tokens >= tokens_max:
        return f"{tokens:,} tokens are used {when}, {whose}'s limit is {tokens_max:,}"
    if cost_max is not None and cost >= cost_max:
        return f"{shown_usd(cost)} is used {when}, {whose}'s limit is {shown_usd(cost_max)}"
    return ""
