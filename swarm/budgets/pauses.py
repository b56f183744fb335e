"""Pauses: dispatch passes an agent over until a time, such as the end of a usage window."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.doorbell import ring_on_commit
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.models import Agent
from swarm.plain_text import clean_text
from swarm.queries import describe_agent
from swarm.replication.agents import publish_agent
from swarm.services.agents import get_agent

REASON_CHARS_MAX = 300


def pause_agent(agent_id: UUID, *, until: datetime, reason: str, now: datetime) -> Agent:
    """Keep an agent from new work until a time; its present run goes on.

    DomainError `bad_pause` for a time that is over, and what get_agent raises.
    """
    if until <= now:
        raise DomainError("bad_pause", f"a pause until {until.isoformat()} is over", status=422)
    shown = clean_text("reason", reason, REASON_CHARS_MAX)
    return _set(agent_id, "paused", now, paused_until=until, paused_reason=shown)


def resume_agent(agent_id: UUID, *, now: datetime) -> Agent:
    """End an agent's pause; nothing changes for one that is not paused."""
    return _set(agent_id, "resumed", now, paused_until=None, paused_reason="")


def end_pauses(now: datetime) -> int:
    """End the pauses whose time has come, so that all who give work know; returns how many."""
    over = list(Agent.objects.filter(paused_until__lte=now).values_list("id", flat=True))
    for agent_id in over:
        resume_agent(agent_id, now=now)
    return len(over)


def _set(agent_id: UUID, event: str, now: datetime, **columns: object) -> Agent:
    with transaction.atomic():
        get_agent(agent_id)
        Agent.objects.filter(id=agent_id).update(**columns)
        agent = get_agent(agent_id)
        outbox.publish_event("agent_update", event, {"agent": describe_agent(agent)}, now=now)
        publish_agent(agent, now)
        hooks.agents_changed(now)
        ring_on_commit()
    return agent
