"""The steps of pull sync on a simulated node's tables, as `p2p.syncing` does them on a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from p2p.protocol.codec import Received, encode_message
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS
from p2p.protocol.messages import Record
from p2p.registration import Topic
from p2p.sync import responder
from p2p.sync.messages import SyncRequest, SyncResponse
from p2p.sync.session import Session
from p2p.syncing import Answer

if TYPE_CHECKING:
    from tests.simulation.node import SimNode


@dataclass(frozen=True, slots=True)
class Finished:
    """A session that ran to its end."""

    topic: str
    begun_at: float
    learned: int
    equal: bool


class TableSteps:
    """Asking, taking an answer, answering; each call is one transaction."""

    def __init__(self, node: SimNode) -> None:
        """Take whose tables these are."""
        self._node = node
        self._begun: dict[Session, float] = {}

    def begin(self, topic: Topic, now: datetime, *, insist: bool) -> tuple[Session, SyncRequest]:
        """Begin to pull a topic."""
        assert topic.sync is not None
        self._node.discard_stale(topic)
        store = self._node.store(topic.name)
        store.retry_parked()
        session = Session(topic.sync, insist=insist)
        self._begun[session] = self._node.loop.time()
        return session, session.start(store)

    def take(
        self,
        topic: Topic,
        session: Session,
        response: SyncResponse,
        opened: Sequence[Received[Record]],
        now: datetime,
    ) -> SyncRequest | None:
        """Store what a response brought; return the next request, if any."""
        end_ms = self._node.now_ms() + CLOCK_AHEAD_MAX_MS
        stamps = [each.message.lamport_ts for each in opened if each.message.lamport_ts <= end_ms]
        if stamps:
            self._node.witness(max(stamps))
        following = session.receive(self._node.store(topic.name), response, opened)
        if following is None:
            outcome = session.outcome
            if outcome.pages_complete:
                self._node.home.database.tables[topic.name].synced_ms = self._node.now_ms()
            begun_at = self._begun.pop(session)
            self._node.finished(Finished(topic.name, begun_at, outcome.learned, outcome.equal))
        return following

    def answer(self, topic: Topic, request: SyncRequest, now: datetime) -> Answer:
        """Return the answer to a request."""
        assert topic.sync is not None
        self._node.discard_stale(topic)
        response = responder.answer(self._node.store(topic.name), topic.sync, request)
        response = self._node.changed_answer(response)
        return Answer(encode_message(response), response.behind)
