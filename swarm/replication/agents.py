"""The topic `agents`: each node's own agents as records, and what members hold of others'."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from p2p import outbox
from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import from_timestamp
from p2p.registration import Authority
from swarm.models import Agent, RemoteAgent
from swarm.replication import terms
from swarm.replication.bodies import AGENT_DEFAULTS, agent_body, check_dates
from swarm.replication.messages import (
    AGENTS,
    AgentBody,
    AgentDeregister,
    AgentRegister,
    agent_key,
)


def publish_agent(agent: Agent, now: datetime) -> None:
    """Tell members of an agent of this node as it is now; nothing where there are none."""
    if terms.has_members():
        outbox.publish_record(AgentRegister, now=now, agent=agent_body(agent, now))


def publish_removal(agent_id: UUID, now: datetime) -> None:
    """Tell members that an agent of this node is gone for good."""
    if terms.has_members():
        outbox.publish_record(
            AgentDeregister, now=now, agent_id=agent_id.hex, node_id=local_node().node_id
        )


def publish_all(now: datetime) -> None:
    """Tell members of all agents of this node anew, and of those that are gone meanwhile."""
    if not terms.has_members():
        return
    agents = list(Agent.objects.select_related("attempt"))
    for agent in agents:
        publish_agent(agent, now)
    kept = {agent_key(local_node().node_id, agent.id.hex) for agent in agents}
    told = StoredRecord.objects.filter(
        topic=AGENTS, origin=local_node().node_id, deleted=False
    ).values_list("key", flat=True)
    for key in set(told) - kept:
        publish_removal(UUID(key.rpartition("-")[2]), now)


def authority_of(record: Record) -> Authority:
    """Only an agent's own node writes it, and only one of our swarm."""
    if isinstance(record, AgentRegister):
        agent = record.agent
        check_dates(agent)
        ours = agent.node_id == record.origin and agent.swarm == local_node().swarm
        return Authority.APPLY if ours else Authority.NEVER
    assert isinstance(record, AgentDeregister)
    return Authority.APPLY if record.node_id == record.origin else Authority.NEVER


def expires_at_of(record: Record) -> datetime | None:
    """Agents count until they are deregistered; tombstones last 7 days."""
    return None


def apply_records(records: Sequence[Record], now: datetime) -> None:
    """Bring the remote agents up to the records that won; many at once."""
    others = [each for each in records if each.origin != local_node().node_id]
    owners = _owners_of(others)
    registered = [each.agent for each in others if isinstance(each, AgentRegister)]
    gone = [
        UUID(each.agent_id)
        for each in others
        if isinstance(each, AgentDeregister) and owners.get(UUID(each.agent_id)) == each.origin
    ]
    removed = list(RemoteAgent.objects.filter(id__in=gone))
    RemoteAgent.objects.filter(id__in=gone).delete()
    # The id of another node's agent is not free, whoever writes it under its own key.
    rows = [
        _row_of(body)
        for body in registered
        if owners.get(UUID(body.id), body.node_id) == body.node_id
    ]
    RemoteAgent.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[
            "node_id",
            "name",
            "tool",
            "capabilities",
            "status",
            "available",
            "body",
            "status_since",
        ],
    )
    for row in removed:
        _tell(row, "removed", now)
    for row in rows:
        _tell(row, row.status, now)


def forget(keys: Sequence[str], now: datetime) -> None:
    """Drop agents whose records are discarded, because they may be out of date."""
    RemoteAgent.objects.filter(id__in=[UUID(key.rpartition("-")[2]) for key in keys]).delete()


# What a record does not carry; the node of the agent knows it.
_KEPT_AT_ITS_NODE = dict.fromkeys(
    ("dialog", "crashes", "restart_at", "paused_until", "paused_reason", "budget")
)


def describe_remote(agent: RemoteAgent, *, silent_s: float | None) -> dict[str, Any]:
    """Return an agent of another member as JSON-ready data, shaped like an own one.

    `silent_s` is how long its node was not heard of, in seconds; None: never heard.
    """
    body: dict[str, Any] = {**AGENT_DEFAULTS, **agent.body}
    return {
        "id": agent.id.hex,
        "node_id": agent.node_id,
        "own": False,
        "name": agent.name,
        "tool": agent.tool,
        "model": agent.model,
        "capabilities": body["capabilities"],
        "status": agent.status,
        "source": body["source"],
        "rule": body["rule"],
        "evidence": body["evidence"],
        "status_since": body["status_since"],
        "task_id": body["task_id"],
        "task_title": body["task_title"] or None,
        "reserved_for": "reserved at its node" if body["reserved"] else "",
        "reserved_until": None,
        **_KEPT_AT_ITS_NODE,
        "node_silent_s": None if silent_s is None else round(silent_s, 1),
    }


def _owners_of(records: Sequence[Record]) -> dict[UUID, str]:
    keys = [UUID(each.key().rpartition("-")[2]) for each in records]
    return dict(RemoteAgent.objects.filter(id__in=keys).values_list("id", "node_id"))


def _row_of(body: AgentBody) -> RemoteAgent:
    return RemoteAgent(
        id=UUID(body.id),
        node_id=body.node_id,
        name=body.name[:64],
        tool=body.tool[:32],
        capabilities=list(body.capabilities),
        status=body.status[:16],
        available=body.available,
        body=msgspec.to_builtins(body),
        status_since=from_timestamp(body.status_since),
    )


def _tell(row: RemoteAgent, event: str, now: datetime) -> None:
    described = describe_remote(row, silent_s=None)
    outbox.publish_event("agent_update", event, {"agent": described}, now=now)
