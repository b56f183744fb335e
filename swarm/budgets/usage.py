"""Usage: kept as rows, summed in task, attempt and agent, and held against their limits."""

from __future__ import annotations

from datetime import date, datetime

from django.db import transaction
from django.db.models import Case, F, Value, When

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.budgets.enforcement import hold_against_limits
from swarm.budgets.money import micros_of
from swarm.models import Agent, Attempt, Task, Usage

TOKENS_MAX = 10**12  # of one report: more is a mistake, and sums still fit their columns


def record_usage(
    attempt: Attempt,
    *,
    tokens_in: int = 0,
    tokens_out: int = 0,
    cost_usd: float = 0.0,
    source: str,
    now: datetime,
) -> Usage:
    """Store what an attempt used since its report before, and interrupt it over a limit.

    DomainError `bad_usage` or `bad_cost` for figures that nothing can have used.
    """
    if not (0 <= tokens_in <= TOKENS_MAX and 0 <= tokens_out <= TOKENS_MAX):
        raise DomainError(
            "bad_usage", f"{tokens_in} and {tokens_out} tokens: 0 to {TOKENS_MAX}", status=422
        )
    cost_micros = micros_of(cost_usd)
    with transaction.atomic():
        row = Usage.objects.create(
            attempt=attempt,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_micros=cost_micros,
            source=source[:64],
            at=now,
        )
        _add(attempt, tokens_in + tokens_out, cost_micros, now.date())
        hold_against_limits(attempt.id, now=now)
    return row


def _add(attempt: Attempt, tokens: int, cost_micros: int, day: date) -> None:
    Attempt.objects.filter(id=attempt.id).update(
        tokens_used=F("tokens_used") + tokens, cost_used_micros=F("cost_used_micros") + cost_micros
    )
    if attempt.assigner_node_id == local_node().node_id:
        Task.objects.filter(id=attempt.task_id).update(
            tokens_used=F("tokens_used") + tokens,
            cost_used_micros=F("cost_used_micros") + cost_micros,
        )
    same_day = When(usage_day=day, then=F("tokens_today"))
    same_day_cost = When(usage_day=day, then=F("cost_today_micros"))
    if attempt.agent_id is None:
        return
    Agent.objects.filter(id=attempt.agent_id).update(
        tokens_today=Case(same_day, default=Value(0)) + tokens,
        cost_today_micros=Case(same_day_cost, default=Value(0)) + cost_micros,
        usage_day=day,
    )
