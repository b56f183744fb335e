"""One gossip machine by itself, to which frames are given by hand."""

from __future__ import annotations

import random
from typing import Any

from p2p.gossip.effects import Deliver, Effect, Send
from p2p.gossip.ids import grouped, id_of
from p2p.gossip.plumtree import Plumtree
from p2p.gossip.settings import GossipLimits
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.messages import Message, Record
from tests.support.gossip_net import REGISTRY, WALL_MS, decoded
from tests.support.wire import NETWORK, identity_number

OWN, ORIGIN = 1, 2
A, B, C, STRANGER = "a" * 32, "b" * 32, "c" * 32, "d" * 32


def machine(*peers: str, **changes: Any) -> Plumtree:
    made = Plumtree(
        node_id=identity_number(OWN).node_id,
        network=NETWORK,
        scopes=REGISTRY.scopes,
        is_member=lambda node_id: node_id != STRANGER,
        latency_ms=changes.pop("latency_ms", lambda node_id: None),
        now_ms=lambda: WALL_MS,
        limits=GossipLimits(**changes),
        chance=random.Random(1),
    )
    for each in peers:
        made.peer_up(each)
    return made


def take(node: Plumtree, received: Received[Any], giver: str, now: float = 0.0) -> list[Effect]:
    """Let a new record arrive and be taken; return what follows."""
    assert node.receive(giver, received, now) == [Deliver(received, giver)]
    return node.accepted(received, giver, now)


def say(node: Plumtree, giver: str, message: Message, now: float = 0.0) -> list[Effect]:
    return node.receive(giver, decoded(encode_message(message)), now)


def ids_of(*records: Received[Record]) -> list[Any]:
    return grouped(id_of(each.message) for each in records)


def sent(effects: list[Effect]) -> list[tuple[str, Any]]:
    """Return to whom which records (by seq) or messages go."""
    found = []
    for each in effects:
        if isinstance(each, Send):
            message = decoded(each.payload).message
            found.append((each.node_id, message.seq if isinstance(message, Record) else message))
    return found
