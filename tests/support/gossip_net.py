"""Many gossiping nodes in memory, in virtual time: links with latency, loss and duplication.

The nodes run the production state machine on really signed frames; a net is its seed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import combinations, count
from typing import Any

from p2p.gossip.effects import Count, Deliver, Effect, Fetch, OwnRecordAhead, Send
from p2p.gossip.ids import RecordId, id_of
from p2p.gossip.plumtree import Plumtree
from p2p.gossip.settings import GossipLimits
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.identity import Identity
from p2p.protocol.messages import IHave, IWant, Message, Prune, Record
from tests.support.wire import (
    NETWORK,
    MembersNote,
    Note,
    identity_number,
    registry_with_test_messages,
    sealed_note,
)

WALL_MS = 1_000
_KINDS: dict[type[Message], str] = {IHave: "ihave", IWant: "iwant", Prune: "prune"}
REGISTRY = registry_with_test_messages()


@lru_cache(maxsize=50_000)
def decoded(payload: bytes) -> Received:
    """Return the decoded payload; the same one for the same bytes, as many nodes get them."""
    received = decode_payload(payload, REGISTRY)
    assert isinstance(received, Received)
    return received


@lru_cache(maxsize=50_000)
def frame(identity_at: int, seq: int, key: int = 0, scope: str = "network") -> Received[Record]:
    """Return a signed note of a numbered identity; by default every `seq` has its own key."""
    kind = MembersNote if scope == "swarm" else Note
    return decoded(sealed_note(identity_number(identity_at), seq=seq, key=key, kind=kind))


@dataclass
class GossipNode:
    """One node of a net: its machine and a diary."""

    number: int
    identity: Identity
    machine: Plumtree
    swarm: str = "home"
    peers: dict[str, GossipNode] = field(default_factory=dict)
    delivered: list[RecordId] = field(default_factory=list)
    own_ahead: list[Record] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    has_room: bool = True
    alive: bool = True
    tick_at: float | None = None

    @property
    def id(self) -> str:
        return self.identity.node_id


class GossipNet:
    """Nodes, the links between them, and everything that is on its way."""

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        latency_s: tuple[float, float] = (0.001, 0.03),
        loss: Callable[[random.Random, Send], bool] = lambda chance, send: False,
        duplicates: float = 0.0,
        reorder: bool = False,
        limits: GossipLimits | None = None,
        machine: type[Plumtree] = Plumtree,
        swarms: Callable[[int], str] = lambda number: "home",
    ) -> None:
        """Make `size` nodes without links; each link draws its latency from the range."""
        self.now = 0.0
        self.chance = random.Random(seed)
        self.sent: Counter[str] = Counter()
        self.bytes_sent = 0
        self.leaks: list[tuple[str, str]] = []  # swarm's affairs told to strangers
        self._latency_range_s = latency_s
        self._latency_s: dict[frozenset[str], float] = {}
        self._loss = loss
        self._duplicates = duplicates
        self._reorder = reorder
        self._limits = limits
        self._machine = machine
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._seq = 0
        self.nodes = [self._node(number, swarms(number)) for number in range(1, size + 1)]

    def _node(self, number: int, swarm: str) -> GossipNode:
        identity = identity_number(number)
        machine = self._machine(
            node_id=identity.node_id,
            network=NETWORK,
            scopes=REGISTRY.scopes,
            is_member=lambda other: node.peers[other].swarm == swarm,
            latency_ms=lambda other: self._latency_of(identity.node_id, other),
            now_ms=lambda: WALL_MS,
            limits=self._limits,
            chance=random.Random(self.chance.random()),
        )
        node = GossipNode(number, identity, machine, swarm)
        return node

    def _latency_of(self, one: str, other: str) -> float | None:
        latency_s = self._latency_s.get(frozenset((one, other)))
        return None if latency_s is None else latency_s * 1_000

    def link(self, one: GossipNode, other: GossipNode) -> None:
        """Link two nodes."""
        pair = frozenset((one.id, other.id))
        self._latency_s.setdefault(pair, self.chance.uniform(*self._latency_range_s))
        for here, there in ((one, other), (other, one)):
            here.peers[there.id] = there
            here.machine.peer_up(there.id)

    def link_all(self) -> None:
        """Link every node with every other, in an order that the seed decides."""
        pairs = list(combinations(self.nodes, 2))
        self.chance.shuffle(pairs)
        for one, other in pairs:
            self.link(one, other)

    def cut(self, one: GossipNode, other: GossipNode) -> None:
        """End a link; what is on its way over it is lost."""
        for here, there in ((one, other), (other, one)):
            del here.peers[there.id]
            here.machine.peer_down(there.id)

    def crash(self, node: GossipNode) -> None:
        """End a node and all its links."""
        node.alive = False
        for other in list(node.peers.values()):
            self.cut(node, other)

    def publish(self, node: GossipNode, received: Received[Record]) -> RecordId:
        """Publish a record of a node now and return its id."""
        record_id = id_of(received.message)
        self._carry_out(node, node.machine.publish(received, self.now))
        return record_id

    def inject(self, node: GossipNode, from_node_id: str, payload: bytes) -> None:
        """Let a frame arrive now, as from a peer."""
        self._carry_out(node, node.machine.receive(from_node_id, decoded(payload), self.now))

    def run(self, for_s: float = 30.0) -> None:
        """Let everything happen that happens within so many virtual seconds."""
        until = self.now + for_s
        while self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = until

    def at(self, delay_s: float, happen: Callable[[], Any]) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._numbers), happen))

    def copies(self, ids: Iterable[RecordId]) -> float:
        """Return how many frames were sent for each delivery so far."""
        wanted = set(ids)
        delivered = sum(each in wanted for node in self.nodes for each in node.delivered)
        return self.sent["record"] / delivered

    def publish_some(
        self, how_many: int, *, gap_s: float, settle_s: float = 8.0, scope: str = "network"
    ) -> list[RecordId]:
        """Let living nodes, drawn anew each time, publish; wait, and return the ids."""
        living = [node for node in self.nodes if node.alive]
        ids = []
        for number in range(how_many):
            node = self.chance.choice(living)
            self._seq += 1
            received = frame(node.number, self._seq, scope=scope)
            ids.append(id_of(received.message))
            self.at(number * gap_s, partial(self.publish, node, received))
        self.run(how_many * gap_s + settle_s)
        return ids

    def problems(self, ids: Iterable[RecordId]) -> list[str]:
        """Return where a living node delivered a record not exactly once (its own: never)."""
        found = []
        for node in self.nodes:
            times = Counter(node.delivered)
            for record_id in ids:
                wanted = 0 if record_id.origin == node.id else 1
                if node.alive and times[record_id] != wanted:
                    found.append(f"{record_id.seq} at {node.number}: {times[record_id]} times")
        return found

    def _carry_out(self, node: GossipNode, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(node, effect)
                case Deliver(received=received, from_node_id=giver):
                    self._deliver(node, received, giver)
                case Count(event=event):
                    node.counts[event] += 1
                case Fetch():
                    node.fetches.append(effect)
                case OwnRecordAhead(record=record):
                    node.own_ahead.append(record)
        self._arm(node)

    def _deliver(self, node: GossipNode, received: Received, giver: str) -> None:
        if node.has_room:
            node.delivered.append(id_of(received.message))
            decide = node.machine.accepted
        else:
            decide = node.machine.refused
        self._carry_out(node, decide(received, giver, self.now))

    def _send(self, node: GossipNode, send: Send) -> None:
        message = decoded(send.payload).message
        self.sent[_KINDS.get(type(message), "record")] += 1
        self.bytes_sent += len(send.payload)
        other = node.peers[send.node_id]
        if other.swarm != node.swarm and _is_about_swarm(message):
            self.leaks.append((node.id, other.id))
        if self._loss(self.chance, send):
            return
        copies = 2 if self.chance.random() < self._duplicates else 1
        for _ in range(copies):
            delay_s = self._latency_s[frozenset((node.id, other.id))]
            if self._reorder:
                delay_s *= self.chance.uniform(0.1, 10)
            self.at(delay_s, lambda: self._arrive(node, other, send.payload))

    def _arrive(self, node: GossipNode, other: GossipNode, payload: bytes) -> None:
        if node.id in other.peers:
            self.inject(other, node.id, payload)

    def _arm(self, node: GossipNode) -> None:
        due_at = node.machine.due_at
        if due_at is None or (node.tick_at is not None and node.tick_at <= due_at):
            return
        node.tick_at = due_at
        self.at(due_at - self.now, lambda: self._tick(node, due_at))

    def _tick(self, node: GossipNode, at: float) -> None:
        if node.alive and node.tick_at == at:
            node.tick_at = None
            self._carry_out(node, node.machine.tick(self.now))


def _is_about_swarm(message: Message) -> bool:
    if isinstance(message, Record):
        return message.scope == "swarm"
    if isinstance(message, IHave | IWant):
        return any(REGISTRY.scopes[group.topic] == "swarm" for group in message.ids)
    return False
