"""Push gossip as Plumtree does it: (frame or tick, now) -> effects.

Peers are eager or lazy, for each scope by itself. A record goes to the eager ones at once
and its id, a little later, to the lazy ones. Whoever gets a record twice answers PRUNE, and that
link becomes lazy at both ends: what stays eager is a tree. Whoever hears of a record that does
not come asks for it by IWANT, and with `graft` the link becomes eager again: so the tree heals.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set

from p2p.gossip.announcements import Announcements
from p2p.gossip.answers import Answers
from p2p.gossip.effects import Count, Deliver, Effect, Fetch, OwnRecordAhead, Send
from p2p.gossip.frame_cache import FrameCache
from p2p.gossip.ids import RecordId, expanded, grouped, id_of
from p2p.gossip.missing import MissingTable
from p2p.gossip.recent import Recent
from p2p.gossip.settings import GossipLimits
from p2p.gossip.tree import Tree
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.fields import Scope
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS, GOSSIP_IDS_MAX
from p2p.protocol.messages import IHave, IWant, Message, Prune, Record, Signed, Targeted
from p2p.protocol.signatures import verify_sealed

FAR_AWAY_MS = 1e9  # the distance of a peer whose round trip is not measured yet


class Plumtree:
    """One node's gossip: the records of all topics, and the door for messages to this node.

    Whoever drives it carries the effects out in order, calls `accepted` or `refused` for each
    Deliver of a record, and `tick` when `due_at` is reached. `now` is a monotonic clock in
    seconds throughout.
    """

    def __init__(
        self,
        *,
        node_id: str,
        network: str,
        scopes: Mapping[str, Scope],
        is_member: Callable[[str], bool],
        latency_ms: Callable[[str], float | None],
        now_ms: Callable[[], int],
        limits: GossipLimits | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Take who we are and what only others know.

        `scopes` holds the scope of each known topic, `is_member` tells whether a peer is a
        proved member of our swarm, `latency_ms` its round trip if measured, `now_ms` the wall
        clock; `chance` spreads the waits.
        """
        self._node_id = node_id
        self._network = network
        self._scopes = scopes
        self._is_member = is_member
        self._latency_ms = latency_ms
        self._now_ms = now_ms
        limits = limits or GossipLimits()
        chance = chance or random.Random()
        self._limits = limits
        self._peers: dict[str, dict[Scope, float]] = {}  # when each was pruned last
        self._trees: dict[Scope, Tree] = {
            "network": Tree(limits.eager_max),
            "swarm": Tree(limits.eager_max),
        }
        self._seen: Recent[RecordId, str] = Recent(limits.seen_max)  # who gave it first
        self._pushed: Recent[tuple[str, str], tuple[int, int]] = Recent(limits.origins_max)
        self._own_highest: dict[str, tuple[int, int]] = {}
        self._cache = FrameCache(limits.cached_ids_max, limits.cached_bytes_max)
        self._answers = Answers(self._cache, limits)
        self._missing = MissingTable(limits, chance.random)
        self._announcements = Announcements(limits.ihave_delay_s, chance.random)

    @property
    def due_at(self) -> float | None:
        """When `tick` is to be called next, None when nothing waits."""
        tell_at, ask_at = self._announcements.due_at, self._missing.due_at
        if tell_at is None or ask_at is None:
            return ask_at if tell_at is None else tell_at
        return min(tell_at, ask_at)

    def eager(self, scope: Scope) -> list[str]:
        """Return the peers that get the records of a scope at once."""
        return self._trees[scope].eager

    def peer_up(self, node_id: str) -> None:
        """Take a new peer; a member of our swarm gets the swarm's records too."""
        self._peers[node_id] = {}
        self._trees["network"].add(node_id)
        if self._is_member(node_id):
            self._trees["swarm"].add(node_id)

    def peer_down(self, node_id: str) -> None:
        """Forget a peer; the tree mends itself at the next record."""
        self._peers.pop(node_id, None)
        self._answers.forget(node_id)
        for tree in self._trees.values():
            tree.remove(node_id)

    def publish(self, received: Received[Record], now: float) -> list[Effect]:
        """Spread a record of our own; nothing when it was published already."""
        record = received.message
        record_id = id_of(record)
        if record_id in self._seen:
            return []
        own_highest = self._own_highest.get(record_id.topic, (0, 0))
        self._own_highest[record_id.topic] = max(own_highest, record_id.rank)
        self._trees[record.scope].keep_one_eager(self._distance)
        return self._spread(received, self._node_id, (), now)

    def receive(self, from_node_id: str, received: Received, now: float) -> list[Effect]:
        """Decide on a frame that came after the handshake.

        Raises ProtocolError for one that an honest peer never sends: of no such type
        (`unexpected_message`), `identity_mismatch`, `bad_signature` or `malformed`.
        """
        message = received.message
        if isinstance(message, IHave):
            return self._on_ihave(from_node_id, message, now)
        if isinstance(message, IWant):
            return self._on_iwant(from_node_id, message, now)
        if isinstance(message, Prune):
            self._trees[message.scope].make_lazy(from_node_id)
            return []
        if not isinstance(message, Signed):
            name = type(message).__name__
            raise ProtocolError("unexpected_message", f"{name} after the handshake")
        return self._on_signed(from_node_id, received, message, now)

    def accepted(self, received: Received[Record], from_node_id: str, now: float) -> list[Effect]:
        """Spread a record that this node has taken."""
        record = received.message
        record_id = id_of(record)
        entry = self._missing.arrived(record_id)
        if entry is None or not entry.was_asked_for:
            # Pushed, not asked for: the way from its origin works, and goes over this link.
            self._trees[record.scope].make_eager(from_node_id)
            source = (record_id.origin, record_id.topic)
            self._pushed.add(source, max(record_id.rank, self._pushed.get(source) or (0, 0)))
        known_to = tuple(entry.announcers) if entry else ()
        return self._spread(received, from_node_id, known_to, now)

    def refused(self, received: Received[Record], from_node_id: str, now: float) -> list[Effect]:
        """Ask again later for a record that this node had no room for."""
        record_id = id_of(received.message)
        entry = self._missing.arrived(record_id)
        waits = self._missing.refused(entry, record_id, from_node_id, now)
        return [] if waits else [Count("given_up")]

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: announce, and ask for what has not come."""
        effects = self._announce(self._announcements.take_due(now))
        for node_id, ids in self._missing.take_due(now, self._distance_if_linked).items():
            effects += self._ask(node_id, ids)
        return effects

    def _on_signed(
        self, from_node_id: str, received: Received, message: Signed, now: float
    ) -> list[Effect]:
        ahead_ms = message.lamport_ts - self._now_ms()
        if ahead_ms > CLOCK_AHEAD_MAX_MS:
            detail = f"a frame in the name of {message.origin} is {ahead_ms} ms ahead of our clock"
            return [Count("too_far_ahead", from_node_id, detail)]
        if isinstance(message, Record):
            return self._on_record(from_node_id, received, message, now)
        if not isinstance(message, Targeted):
            return [Count("no_route")]
        if message.to != self._node_id:
            return [Count("not_for_us")]
        verify_sealed(message, received.raw, self._network)
        return [Deliver(received, from_node_id)]

    def _on_record(
        self, from_node_id: str, received: Received, record: Record, now: float
    ) -> list[Effect]:
        if not self._in_scope(from_node_id, record.scope):
            return [Count("not_a_member")]
        record_id = id_of(record)
        self._announcements.is_known(record_id, from_node_id)
        if record_id in self._seen:
            # Cheap checks first: a signature is verified once per node, never for a duplicate.
            event = "own_record" if record.origin == self._node_id else "seen"
            return [Count(event), *self._prune(from_node_id, record.scope, record_id, now)]
        if record.origin == self._node_id:
            return self._on_own_record(received, record, record_id)
        verify_sealed(record, received.raw, self._network)
        return [Deliver(received, from_node_id)]

    def _on_own_record(
        self, received: Received, record: Record, record_id: RecordId
    ) -> list[Effect]:
        self._missing.arrived(record_id)
        if record_id.rank <= self._own_highest.get(record_id.topic, (0, 0)):
            return [Count("own_record")]
        verify_sealed(record, received.raw, self._network)
        self._own_highest[record_id.topic] = record_id.rank
        return [Count("own_record"), OwnRecordAhead(record)]

    def _on_ihave(self, from_node_id: str, message: IHave, now: float) -> list[Effect]:
        wanted = []
        for record_id in self._of_known_scope(from_node_id, expanded(message.ids)):
            if record_id in self._seen:
                self._announcements.is_known(record_id, from_node_id)
            elif not self._is_old_and_own(record_id):
                wanted.append(record_id)
        no_room = self._missing.announced(wanted, from_node_id, now)
        detail = f"it names records that do not come, more than {self._limits.missing_max}"
        return [Count("ihave_no_room", from_node_id, detail)] if no_room else []

    def _on_iwant(self, from_node_id: str, message: IWant, now: float) -> list[Effect]:
        ids = self._of_known_scope(from_node_id, expanded(message.ids))
        if message.graft:
            for scope in {self._scopes[each.topic] for each in ids}:
                self._trees[scope].make_eager(from_node_id)
        answer = self._answers.to(from_node_id, ids, now)
        effects: list[Effect] = [Send(from_node_id, frame, True) for frame in answer.frames]
        if answer.unknown:
            effects.append(Fetch(from_node_id, tuple(answer.unknown)))
        if answer.refused:
            detail = f"it asks for too much at once, {answer.refused} records are left out"
            effects.append(Count("iwant_limited", from_node_id, detail))
        return effects

    def _spread(
        self, received: Received[Record], giver: str, known_to: Collection[str], now: float
    ) -> list[Effect]:
        record = received.message
        record_id = id_of(record)
        self._seen.add(record_id, giver)
        self._cache.add(record_id, record.key(), received.raw)
        eager = self._trees[record.scope].eager
        self._announcements.add(record_id, {giver, *known_to, *eager}, now)
        return [
            Send(node_id, received.raw, True)
            for node_id in eager
            if node_id != giver and node_id not in known_to
        ]

    def _announce(self, known_to: Mapping[RecordId, Set[str]]) -> list[Effect]:
        # Whoever asked for a superseded record would get its successor, which is announced too.
        current = [each for each in known_to if not self._cache.is_superseded(each)]
        return [
            _talk(node_id, IHave(ids=grouped(some)))
            for scope, tree in self._trees.items()
            if (in_scope := [each for each in current if self._scopes[each.topic] == scope])
            for node_id in tree.lazy
            for some in _chunks([each for each in in_scope if node_id not in known_to[each]])
        ]

    def _ask(self, node_id: str, ids: list[RecordId]) -> list[Effect]:
        cut_off = [each for each in ids if not self._is_single_loss(each)]
        lost = [each for each in ids if self._is_single_loss(each)]
        for scope in {self._scopes[each.topic] for each in cut_off}:
            self._trees[scope].make_eager(node_id)
        return [
            _talk(node_id, IWant(ids=grouped(some), graft=graft))
            for graft, wanted in ((True, cut_off), (False, lost))
            for some in _chunks(wanted)
        ]

    def _is_single_loss(self, record_id: RecordId) -> bool:
        """Tell whether later records of its origin were pushed to us: the tree needs no repair."""
        newest = self._pushed.get((record_id.origin, record_id.topic))
        return newest is not None and newest > record_id.rank

    def _prune(self, node_id: str, scope: Scope, record_id: RecordId, now: float) -> list[Effect]:
        tree, giver = self._trees[scope], self._seen.get(record_id)
        pruned_at = self._peers.get(node_id)
        if pruned_at is None or node_id not in tree or giver == node_id:
            return []
        if giver != self._node_id and not tree.is_eager(giver or ""):
            return []  # its giver was pruned meanwhile: cutting both links would cut us off
        tree.make_lazy(node_id)
        if now < pruned_at.get(scope, -self._limits.prune_every_s) + self._limits.prune_every_s:
            return []
        pruned_at[scope] = now
        return [_talk(node_id, Prune(scope=scope))]

    def _of_known_scope(self, node_id: str, ids: Iterable[RecordId]) -> list[RecordId]:
        """Return the ids whose topics we know and may talk about with a peer."""
        allowed = {scope for scope in self._trees if self._in_scope(node_id, scope)}
        return [each for each in ids if self._scopes.get(each.topic) in allowed]

    def _in_scope(self, node_id: str, scope: Scope) -> bool:
        return scope == "network" or self._is_member(node_id)

    def _is_old_and_own(self, record_id: RecordId) -> bool:
        if record_id.origin != self._node_id:
            return False
        return record_id.rank <= self._own_highest.get(record_id.topic, (0, 0))

    def _distance(self, node_id: str) -> float:
        latency_ms = self._latency_ms(node_id)
        return FAR_AWAY_MS if latency_ms is None else latency_ms

    def _distance_if_linked(self, node_id: str) -> float | None:
        return self._distance(node_id) if node_id in self._peers else None


def _talk(node_id: str, message: Message) -> Send:
    return Send(node_id, encode_message(message))


def _chunks(ids: Sequence[RecordId]) -> Iterator[Sequence[RecordId]]:
    for at in range(0, len(ids), GOSSIP_IDS_MAX):
        yield ids[at : at + GOSSIP_IDS_MAX]
