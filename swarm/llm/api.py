"""Questions to language models over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from ninja import Query, Router

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from swarm.budgets.money import usd_of
from swarm.llm.accounting import used_today
from swarm.llm.models import LlmCall, LlmOutcome, LlmPurpose

router = Router(tags=["llm"])


class CallQuery(PageQuery):
    """Which questions are wanted."""

    task_id: UUID | None = None
    purpose: LlmPurpose | None = None
    outcome: LlmOutcome | None = None


@router.get("/llm", summary="Show the language model and the day's budget")
def show(request: HttpRequest) -> dict[str, Any]:
    """Provider and models of this node, what they used today (UTC), and the limits of a day."""
    own = settings.ENVIRONMENT
    tokens, cost_micros = used_today(now_utc())
    return {
        "provider": own.llm_provider,
        "model": own.llm_model,
        "model_small": own.llm_model_small or own.llm_model,
        "model_large": own.llm_model_large or own.llm_model,
        "tokens_today": tokens,
        "token_limit": own.llm_token_limit or None,
        "cost_today_usd": usd_of(cost_micros),
        "cost_limit_usd": own.llm_cost_limit_usd or None,
    }


@router.get("/llm/calls", summary="List questions to language models")
def calls(request: HttpRequest, query: Query[CallQuery]) -> dict[str, Any]:
    """This node's questions, newest first: outcome, tokens and cost, without what was said."""
    rows = LlmCall.objects.all()
    if query.task_id:
        rows = rows.filter(task_id=query.task_id)
    if query.purpose:
        rows = rows.filter(purpose=query.purpose)
    if query.outcome:
        rows = rows.filter(outcome=query.outcome)
    return paginate(rows, query, order="-started_at", describe=describe_call)


def describe_call(call: LlmCall) -> dict[str, Any]:
    """Return a question as JSON-ready data; a cost of null: the model's price is not known."""
    return {
        "id": call.id,
        "task_id": call.task_id.hex if call.task_id else None,
        "purpose": call.purpose,
        "provider": call.provider,
        "model": call.model,
        "outcome": call.outcome,
        "error": call.error,
        "requests": call.requests,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "cost_usd": usd_of(call.cost_micros),
        "started_at": _time(call.started_at),
        "ended_at": _time(call.ended_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
