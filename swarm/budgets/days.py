"""What an agent may use in a day."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p import outbox
from swarm.budgets.money import micros_of
from swarm.models import Agent
from swarm.queries import describe_agent
from swarm.services.agents import get_agent


def set_agent_limits(
    agent_id: UUID, *, token_limit: int | None, cost_limit_usd: float | None, now: datetime
) -> Agent:
    """Replace an agent's limits per day (UTC), None for none; they are held at the next report."""
    cost = None if cost_limit_usd is None else micros_of(cost_limit_usd)
    with transaction.atomic():
        get_agent(agent_id)
        Agent.objects.filter(id=agent_id).update(token_limit=token_limit, cost_limit_micros=cost)
        agent = get_agent(agent_id)
        outbox.publish_event("agent_update", "budget", {"agent": describe_agent(agent)}, now=now)
    return agent
