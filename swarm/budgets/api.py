"""Budgets and pauses of agents over REST."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import AwareDatetime, ConfigDict

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.budgets.days import set_agent_limits
from swarm.budgets.money import USD_MAX
from swarm.budgets.pauses import REASON_CHARS_MAX, pause_agent, resume_agent
from swarm.queries import describe_agent

PAUSE_MAX = timedelta(days=366)

router = Router()


class AgentBudgetIn(Schema):
    """What an agent may use in a day (UTC); null for no limit."""

    model_config = ConfigDict(extra="forbid")

    token_limit: Annotated[int, Field(ge=1, le=10**12)] | None = None
    cost_limit_usd: Annotated[float, Field(gt=0, le=USD_MAX)] | None = None


class PauseIn(Schema):
    """Until when an agent gets no new work, and why."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARS_MAX)] = "by the operator"


@router.post("/agents/{agent_id}/budget", tags=["agents"], summary="Set an agent's budget")
def set_agent_budget(request: HttpRequest, agent_id: UUID, body: AgentBudgetIn) -> dict[str, Any]:
    """Replace what the agent may use in a day; over it, it is paused until the next one."""
    return describe_agent(set_agent_limits(agent_id, **body.dict(), now=now_utc()))


@router.post("/agents/{agent_id}/pause", tags=["agents"], summary="Pause an agent")
def pause(request: HttpRequest, agent_id: UUID, body: PauseIn) -> dict[str, Any]:
    """Give the agent no new work until a time; its present run goes on."""
    now = now_utc()
    _require_near(body.until, now)
    return describe_agent(pause_agent(agent_id, until=body.until, reason=body.reason, now=now))


@router.post("/agents/{agent_id}/resume", tags=["agents"], summary="End an agent's pause")
def resume(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Let the agent take work again at once."""
    return describe_agent(resume_agent(agent_id, now=now_utc()))


def _require_near(until: datetime, now: datetime) -> None:
    if until - now > PAUSE_MAX:
        raise DomainError(
            "bad_pause", f"a pause until {until.isoformat()}: at most {PAUSE_MAX.days} days", 422
        )
