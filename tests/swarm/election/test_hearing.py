"""Heartbeats and candidacies that are not to be believed, and what they may not change."""

from __future__ import annotations

from typing import Any

import pytest

from p2p import inbox
from p2p.models import OutboxKind, OutboxMessage
from swarm.replication.messages import ElectionStart, EmperorHeartbeat, Term
from tests.support.cluster import SimNode
from tests.support.electing import Elections, signed_by


def heartbeat(node: SimNode, now_ms: int, **fields: Any) -> EmperorHeartbeat:
    facts = {
        "swarm": "home",
        "term": Term(counter=2, node_id=node.node_id),
        "addresses": [],
        "http_port": 9091,
        "lamport_ts": now_ms,
        **fields,
    }
    identity = node.local.identity
    return EmperorHeartbeat(origin=node.node_id, public_key=identity.public_key_text, **facts)


def hear(elections: Elections, node: SimNode, message: Any, by: SimNode) -> None:
    with elections.cluster.acting(node):
        inbox.apply_batch([signed_by(by, message)], elections.cluster.now)


@pytest.mark.parametrize("wrong", ["swarm", "stranger", "age", "jump"])
def test_a_heartbeat_that_is_not_to_be_believed_changes_nothing(
    elections: Elections, wrong: str
) -> None:
    emperor, hearer, speaker = elections.members
    now_ms = int(elections.cluster.now.timestamp() * 1000)
    fields = {
        "swarm": {"swarm": "elsewhere"},
        "stranger": {"term": Term(counter=2, node_id=emperor.node_id)},
        "age": {"lamport_ts": now_ms - 30_001},
        "jump": {"term": Term(counter=1002, node_id=speaker.node_id)},
    }[wrong]
    before = elections.known(hearer)

    hear(elections, hearer, heartbeat(speaker, now_ms, **fields), by=speaker)

    assert elections.known(hearer) == before
    assert elections.state(hearer).emperor_node_id == emperor.node_id
    hear(elections, hearer, heartbeat(speaker, now_ms + 1), by=speaker)
    assert elections.known(hearer) == {"emperor": 1, "second": 2}


def test_a_heartbeat_that_was_overtaken_by_its_emperors_farewell_is_not_followed(
    elections: Elections,
) -> None:
    _, hearer, speaker = elections.members
    now_ms = int(elections.cluster.now.timestamp() * 1000)
    hear(elections, hearer, heartbeat(speaker, now_ms), by=speaker)
    hear(elections, hearer, heartbeat(speaker, now_ms + 5, abdicated=True), by=speaker)
    assert elections.state(hearer).emperor_node_id == ""

    hear(elections, hearer, heartbeat(speaker, now_ms + 3), by=speaker)

    assert elections.state(hearer).emperor_node_id == ""


@pytest.mark.parametrize("fields", [{"swarm": "elsewhere"}, {"lamport_ts": 1}])
def test_a_candidacy_that_is_not_to_be_believed_is_not_answered(
    elections: Elections, fields: dict[str, Any]
) -> None:
    emperor, speaker, _ = elections.members
    facts = {
        "swarm": "home",
        "term": Term(counter=2, node_id=speaker.node_id),
        "lamport_ts": int(elections.cluster.now.timestamp() * 1000),
    }
    key = speaker.local.identity.public_key_text

    def answers(**named: Any) -> int:
        message = ElectionStart(origin=speaker.node_id, public_key=key, **{**facts, **named})
        with elections.cluster.acting(emperor):
            before = OutboxMessage.objects.filter(kind=OutboxKind.FLOODED).count()
            inbox.apply_batch([signed_by(speaker, message)], elections.cluster.now)
            return OutboxMessage.objects.filter(kind=OutboxKind.FLOODED).count() - before

    assert answers(**fields) == 0
    assert answers() == 1  # an emperor says at once that it lives
