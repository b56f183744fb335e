"""The steps of pull sync on the database thread: asking, taking an answer, answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from p2p import clock, records
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS
from p2p.protocol.messages import Record
from p2p.record_store import TopicStore
from p2p.registration import Topic
from p2p.sync import responder
from p2p.sync.messages import SyncRequest, SyncResponse
from p2p.sync.session import Session


@dataclass(frozen=True, slots=True)
class Answer:
    """A response ready to be sent, and whether the asker knows more than we do."""

    payload: bytes
    behind: bool


def begin(topic: Topic, now: datetime, *, insist: bool) -> tuple[Session, SyncRequest]:
    """Begin to pull a topic; return the session and its first request."""
    assert topic.sync is not None, f"topic {topic.name} is not synced"
    records.discard_stale(topic, now)
    store = TopicStore(topic, now)
    store.retry_parked()
    session = Session(topic.sync, insist=insist)
    return session, session.start(store)


def take(
    topic: Topic,
    session: Session,
    response: SyncResponse,
    opened: Sequence[Received[Record]],
    now: datetime,
) -> SyncRequest | None:
    """Store what a response brought, in one transaction; return the next request, if any.

    Raises ProtocolError for a response that no honest peer gives.
    """
    with transaction.atomic():
        witness(opened, now)
        following = session.receive(TopicStore(topic, now), response, opened)
        if following is None and session.outcome.pages_complete:
            records.note_synced(topic, now)
    return following


def answer(topic: Topic, request: SyncRequest, now: datetime) -> Answer:
    """Return the answer to a request; ProtocolError when it asks nonsense."""
    assert topic.sync is not None, f"topic {topic.name} is not synced"
    records.discard_stale(topic, now)
    response = responder.answer(TopicStore(topic, now), topic.sync, request)
    return Answer(encode_message(response), response.behind)


def witness(opened: Sequence[Received[Record]], now: datetime) -> None:
    """Move our clock past the records, but for those that lie too far ahead to be believed."""
    end_ms = int(now.timestamp() * 1000) + CLOCK_AHEAD_MAX_MS
    stamps = [each.message.lamport_ts for each in opened if each.message.lamport_ts <= end_ms]
    if stamps:
        clock.witness(max(stamps), now)
