"""Agents explained: why a state is what it is, and who is stuck; plain data for the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.judging import Judgement, would_change
from swarm.agents.models import Delivery
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.descriptions import describe_attempt
from swarm.models import Agent
from swarm.queries import describe_agent
from swarm.services.deliveries import OPEN, describe_delivery
from swarm.states import AgentStatus

SCREEN_LINES = 20
DELIVERIES_SHOWN = 10
UNKNOWN_AFTER = timedelta(seconds=60)


def explain_agent(agent: Agent, now: datetime) -> dict[str, Any]:
    """Return all evidence of an agent's state with ages (seconds), and what would change it."""
    latest = agent.deliveries.order_by("-queued_at")[:DELIVERIES_SHOWN]
    return {
        **describe_agent(agent),
        "age_s": _age_s(agent.status_since, now),
        "session": agent.session,
        "attempt": describe_attempt(agent.attempt) if agent.attempt else None,
        "considered": [_aged(each, now) for each in agent.considered],
        "would_change": what_would_change(agent),
        "screen": last_lines(agent),
        "deliveries": [describe_delivery(each) for each in latest],
    }


def what_would_change(agent: Agent) -> str:
    """Tell in one sentence what evidence would change an agent's state."""
    return would_change(
        Judgement(
            state=AgentStatus(agent.status),
            source=agent.source,
            rule=agent.rule,
            evidence=agent.evidence,
            since=agent.status_since,
            considered=(),
        )
    )


def last_lines(agent: Agent, lines: int = SCREEN_LINES) -> list[str]:
    """Return the last filled lines of the agent's screen; none without a session."""
    try:
        screen = TmuxServer(socket_name()).capture_screen(agent.session)
    except (DomainError, ExternalError):
        return []
    return [line.rstrip() for line in screen.splitlines() if line.strip()][-lines:]


def wellness(now: datetime) -> dict[str, Any]:
    """Return which agents need a person and why; an empty list is good news."""
    agents = list(Agent.objects.select_related("attempt"))
    stalled = {
        row.agent_id: row
        for row in Delivery.objects.filter(status__in=OPEN, stalled_at__isnull=False)
    }
    stuck = [
        {**describe_agent(agent), "why": why, "age_s": _age_s(agent.status_since, now)}
        for agent in agents
        if (why := _why_stuck(agent, stalled.get(agent.id), now))
    ]
    return {"agents": len(agents), "well": len(agents) - len(stuck), "stuck": stuck}


def _why_stuck(agent: Agent, stalled: Delivery | None, now: datetime) -> str:
    if stalled is not None:
        return f"a {stalled.kind} does not arrive: {stalled.reason}"
    if agent.status == AgentStatus.BLOCKED:
        return f"{'a dialog is open' if agent.dialog else 'it waits'}: {agent.evidence}"
    if agent.status == AgentStatus.EXITED:
        return agent.evidence
    if agent.status == AgentStatus.WAITING_INPUT:
        return "it has ended its turn without a claim and waits for a text"
    if agent.status == AgentStatus.UNKNOWN and now - agent.status_since > UNKNOWN_AFTER:
        return f"nothing is known of it: {agent.evidence}"
    return ""


def _aged(evidence: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {**evidence, "age_s": _age_s(datetime.fromisoformat(evidence["at"]), now)}


def _age_s(since: datetime, now: datetime) -> float:
    return max(0.0, round((now - since).total_seconds(), 1))
