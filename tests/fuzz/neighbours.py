"""A node without sockets, for what a linked neighbour may say: gossip and sync."""

from __future__ import annotations

import random

from msgspec.structs import replace

from p2p.gossip.effects import Deliver, Effect, Send
from p2p.gossip.plumtree import Plumtree
from p2p.gossip.settings import GossipLimits
from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.frames import encode_frame
from p2p.protocol.limits import MARKS_MAX
from p2p.protocol.messages import Record
from p2p.sync.messages import SyncRequest, SyncResponse
from p2p.sync.opening import open_frames
from p2p.sync.responder import answer
from p2p.sync.session import Session
from tests.fuzz.reading import Reader
from tests.support.sync_stores import PAIR, REGISTRY, TOPIC, MemoryStore, key, stores
from tests.support.wire import NETWORK

RECORDS = 40
NEIGHBOUR, OTHER = "a" * 32, "b" * 32
_MISSING_MAX = 50
_MESSAGES_MAX = 32


def _filled_store() -> MemoryStore:
    own, writer = stores(2)
    for number in range(RECORDS):
        if number % 2:
            own.publish(key(number))
        else:
            own.apply((), [writer.publish(key(number))])
    return own


_FILLED = _filled_store()


class Node:
    """A store, a gossip machine and one session of sync."""

    def __init__(self) -> None:
        self.store = MemoryStore(1, _FILLED.clock)
        self.store.kept, self.store.progress = dict(_FILLED.kept), dict(_FILLED.progress)
        self.gossip = Plumtree(
            node_id=self.store.id,
            network=NETWORK,
            scopes=REGISTRY.scopes,
            is_member=lambda node_id: False,
            latency_ms=lambda node_id: None,
            now_ms=lambda: _FILLED.clock.now_ms,
            limits=GossipLimits(missing_max=_MISSING_MAX),
            chance=random.Random(1),
        )
        for each in (NEIGHBOUR, OTHER):
            self.gossip.peer_up(each)
        self._begin()

    def hear(self, payload: bytes) -> None:
        """Take one payload; ProtocolError when its sender is to blame."""
        received = decode_payload(payload, REGISTRY)
        if not isinstance(received, Received):
            return
        if isinstance(received.message, SyncRequest):
            encode_frame(encode_message(answer(self.store, PAIR, received.message)))
        elif isinstance(received.message, SyncResponse):
            self._take(received.message)
        else:
            self._carry_out(self.gossip.receive(NEIGHBOUR, received, 0.0))

    def assert_bounded(self) -> None:
        """What the neighbour made the node remember is little."""
        assert len(self.gossip._missing) <= _MISSING_MAX
        assert len(self.store.progress) <= MARKS_MAX
        for at in range(1, 20):
            self._carry_out(self.gossip.tick(float(at)))
        assert len(self.gossip._missing) == 0

    def _take(self, response: SyncResponse) -> None:
        records = open_frames(response.frames, topic=TOPIC, network=NETWORK, registry=REGISTRY)
        asked = self.session.receive(
            self.store, replace(response, re=self.session.awaited), records
        )
        if asked is None:
            self._begin()
        else:
            encode_frame(encode_message(asked))

    def _begin(self) -> None:
        self.session = Session(PAIR, insist=True)
        self.session.start(self.store)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                encode_frame(effect.payload)
            elif isinstance(effect, Deliver) and isinstance(effect.received.message, Record):
                self._carry_out(self.gossip.accepted(effect.received, NEIGHBOUR, 0.0))  # type: ignore[arg-type]


def say_to_a_node(data: bytes) -> None:
    """Say payloads, each after its length in two bytes, until the node has enough of it."""
    node, reader = Node(), Reader(data)
    try:
        for _ in range(_MESSAGES_MAX):
            if reader.is_empty:
                break
            node.hear(reader.take(reader.number(2)))
    except ProtocolError:
        pass
    node.assert_bounded()
