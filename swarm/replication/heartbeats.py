"""Signs of life that this node gives to the other members."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings

from p2p import outbox
from p2p.local import local_node
from p2p.models import NodeState
from p2p.protocol.errors import DomainError
from swarm.models import Agent, Attempt
from swarm.replication import agents, terms
from swarm.replication.messages import (
    AGENTS_OF_NODE_MAX,
    PROGRESS_CHARS_MAX,
    AgentBeat,
    AgentHeartbeat,
    CensusRequest,
)
from swarm.states import ATTEMPT_TERMINAL

HEARTBEAT_EVERY_S = 10.0
CENSUS_EVERY = timedelta(seconds=10)
_COUNTED_AT = "census_answered_at"


def heartbeat_every_s() -> float:
    """Return the seconds between two heartbeats: several fit into a lease."""
    return min(HEARTBEAT_EVERY_S, settings.ENVIRONMENT.lease_s / 4)


def beat(now: datetime) -> None:
    """Tell members that this node and its runs live; nothing where there are no members."""
    if not terms.has_members():
        return
    own = Agent.objects.select_related("attempt").order_by("name")[:AGENTS_OF_NODE_MAX]
    outbox.flood(
        AgentHeartbeat,
        now=now,
        node_id=local_node().node_id,
        agents=[_beat_of(agent, now) for agent in own],
    )


def ask_census(now: datetime) -> None:
    """Ask members to tell of their agents anew."""
    if terms.has_members():
        outbox.flood(CensusRequest, now=now, node_id=local_node().node_id)


def answer_census(request: CensusRequest, now: datetime) -> None:
    """Tell of this node's agents anew, at most every CENSUS_EVERY whoever asks."""
    if request.node_id != request.origin:
        raise DomainError("not_allowed", f"census of {request.node_id[:8]} by another")
    row, _ = NodeState.objects.get_or_create(
        key=_COUNTED_AT, defaults={"value": datetime.min.replace(tzinfo=UTC).isoformat()}
    )
    if now - datetime.fromisoformat(row.value) < CENSUS_EVERY:
        return
    NodeState.objects.filter(key=_COUNTED_AT).update(value=now.isoformat())
    agents.publish_all(now)
    beat(now)


def _beat_of(agent: Agent, now: datetime) -> AgentBeat:
    attempt = agent.attempt
    if attempt is None or not _lives(attempt, now):
        return AgentBeat(agent_id=agent.id.hex, status=agent.status)
    line = "".join(each if each.isprintable() else " " for each in attempt.progress)
    return AgentBeat(
        agent_id=agent.id.hex,
        status=agent.status,
        task_id=attempt.task_id.hex,
        generation=attempt.generation,
        progress=line[:PROGRESS_CHARS_MAX],
    )


def _lives(attempt: Attempt, now: datetime) -> bool:
    # The node lives, or it would not speak; the run does when its runner has said so lately.
    if attempt.status in ATTEMPT_TERMINAL or attempt.progress_at is None:
        return False
    return now - attempt.progress_at < timedelta(seconds=settings.ENVIRONMENT.lease_s)
