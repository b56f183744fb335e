"""What a node does that speaks the protocol well and means ill."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from p2p.gossip.ids import RecordId, grouped
from p2p.protocol.codec import encode_message
from p2p.protocol.limits import INTEGER_MAX
from p2p.protocol.messages import IHave, IWant, Message, Prune
from p2p.protocol.signing import seal
from p2p.sync.messages import Cover, SyncResponse
from tests.simulation.chronicle import AHEAD_MS, Chronicle, Written
from tests.simulation.node import SimNode
from tests.simulation.topics import NETWORK, NOTES, Note


class Liar:
    """Lets a running node lie to its peers."""

    def __init__(self, node: SimNode, chronicle: Chronicle, chance: random.Random) -> None:
        """Take the node, whose frames the chronicle knows."""
        self._node = node
        self._chronicle = chronicle
        self._chance = chance
        self._seq = 0
        self._lies: list[Callable[[str], list[bytes]]] = [
            self._in_another_name,
            self._forged,
            self._from_the_future,
            self._at_the_end_of_time,
            self._old_frames,
            self._invented_ids,
            self._many_wants,
            self._prunes,
        ]

    def lie(self, victim: str, amount: float) -> None:
        """Tell all peers one lie; `victim` is a node id."""
        payloads = self._lies[int(amount * len(self._lies))](victim)
        for peer in self._node.mesh.peers():
            for payload in payloads:
                self._node.mesh.send(peer.node_id, payload)

    def answer_falsely(self, *, about_marks: bool) -> None:
        """Answer every request of sync with something that an honest node could say."""
        self._node.changed_answer = lambda response: self._changed(response, about_marks)

    def _changed(self, response: SyncResponse, about_marks: bool) -> SyncResponse:
        choice = self._chance.random()
        if choice < 0.3:
            return replace(response, equal=True, covers=[], frames=[], more=False)
        if choice < 0.6 or not about_marks or response.equal:
            return replace(response, behind=not response.behind)
        covers = [replace(each, through_seq=each.through_seq + 5) for each in response.covers]
        return replace(response, covers=covers + self._invented_covers(), frames=[])

    def _invented_covers(self) -> list[Cover]:
        origins = self._chance.sample(sorted(self._chronicle.origins()), 1)
        return [
            Cover(
                origin=origin,
                from_incarnation=1,
                from_seq=0,
                through_incarnation=1,
                through_seq=self._chance.randrange(1, 40),
            )
            for origin in origins
        ]

    def _note(self, **changes: Any) -> bytes:
        self._seq += 1
        fields: dict[str, Any] = {
            "origin": self._node.id,
            "public_key": self._node.home.identity.public_key_text,
            "lamport_ts": self._node.now_ms(),
            "incarnation": 1,
            "seq": self._seq,
            "owner": self._node.id,
            "id": f"{self._chance.getrandbits(128):032x}",
            **changes,
        }
        record = Note(**fields)
        raw = seal(record, self._node.home.identity, NETWORK)
        self._chronicle.register(Written(record, raw, self._node.number, self._seq, True))
        return raw

    def _in_another_name(self, victim: str) -> list[bytes]:
        return [self._note(owner=victim, text="this was said by somebody else")]

    def _forged(self, victim: str) -> list[bytes]:
        frame = self._chronicle.any_frame(self._chance)
        return [frame.replace(b'"text":"', b'"text":"not ', 1)] if frame else []

    def _from_the_future(self, victim: str) -> list[bytes]:
        return [self._note(lamport_ts=self._node.now_ms() + AHEAD_MS)]

    def _at_the_end_of_time(self, victim: str) -> list[bytes]:
        return [self._note(lamport_ts=INTEGER_MAX)]

    def _old_frames(self, victim: str) -> list[bytes]:
        frames = [self._chronicle.any_frame(self._chance) for _ in range(5)]
        return [frame for frame in frames if frame]

    def _invented_ids(self, victim: str) -> list[bytes]:
        ids = [RecordId(victim, NOTES, 1, 10_000 + each) for each in range(100)]
        return [_said(IHave(ids=grouped(ids)))]

    def _many_wants(self, victim: str) -> list[bytes]:
        ids = [RecordId(victim, NOTES, 1, each) for each in range(1, 100)]
        return [_said(IWant(ids=grouped(ids), graft=True))]

    def _prunes(self, victim: str) -> list[bytes]:
        return [_said(Prune(scope="network")), _said(Prune(scope="swarm"))]


def _said(message: Message) -> bytes:
    return encode_message(message)
