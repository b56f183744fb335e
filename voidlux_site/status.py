"""What this node is and does, in one look: for the API and the first live message."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Max

from marketplace.models import SellingPolicy
from marketplace.queries import describe_wallet
from p2p.local import local_node
from p2p.models import KnownNode, OutboxKind, OutboxMessage
from swarm.agents.capacity import describe_capacity
from swarm.election.queries import describe_standing
from swarm.models import Agent, RemoteAgent
from swarm.queries import idle_agents, task_counts, troubled_jobs
from swarm.worktrees.room import full_reason
from voidlux_site.version import VERSION

_STARTED_S = time.monotonic()


def describe_status(now: datetime) -> dict[str, Any]:
    """Return the node's identity, counts, wallet and trouble as JSON-ready data."""
    node = local_node()
    policy = SellingPolicy.objects.filter(id=1).first()
    return {
        "node_id": node.node_id,
        "swarm": node.swarm,
        "network": node.network,
        "role": settings.ENVIRONMENT.role,
        **_describe_election(now),
        "version": VERSION,
        "uptime_s": round(time.monotonic() - _STARTED_S, 1),
        "tasks": task_counts(),
        "agents": {"total": Agent.objects.count(), "ready": idle_agents(now).count()},
        "member_agents": RemoteAgent.objects.count(),
        "capacity": describe_capacity(),
        "no_room": full_reason(),
        "peers": KnownNode.objects.filter(connected=True).count(),
        "wallet": describe_wallet(),
        "selling": bool(policy and policy.selling),
        "troubled_jobs": len(troubled_jobs()),
        "event_seq": last_event_seq(),
    }


def _describe_election(now: datetime) -> dict[str, Any]:
    """Return who moves the tasks of the swarm, and how the election stands at this node."""
    standing = describe_standing(now)
    return {
        "emperor": standing.pop("emperor"),
        "election": standing,
    }


def last_event_seq() -> int:
    """Return the `seq` of the newest event for browsers, 0 when there is none."""
    events = OutboxMessage.objects.filter(kind=OutboxKind.EVENT)
    newest: int | None = events.aggregate(newest=Max("id"))["newest"]
    return newest or 0
