"""Pull sync on the real tables: the layer above them, its records, and what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from p2p import watermarks
from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.signing import seal
from p2p.record_store import TopicStore
from p2p.registration import Authority, Topic
from p2p.sync.marks import Mark, Span
from tests.support.sync_stores import PAIR, TOPIC, Entry
from tests.support.wire import NETWORK, identity_number

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


NOW_S = int(NOW.timestamp())


NOW_MS = NOW_S * 1000


WRITER = identity_number(1)


OTHER = identity_number(2)


@dataclass
class Layer:
    """The layer above: what it was told, and what it admits."""

    applied: list[Record] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    answer: dict[int, Authority] = field(default_factory=dict)
    topic: Topic = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.topic = Topic(
            name=TOPIC,
            classes=(Entry,),
            authority=lambda record: self.answer.get(record.seq, Authority.APPLY),
            apply=lambda batch, now: self.applied.extend(batch),
            expires_at=self._expires_at,
            sync=PAIR,
            forget=lambda keys, now: self.forgotten.extend(keys),
        )

    @staticmethod
    def _expires_at(record: Record) -> datetime | None:
        assert isinstance(record, Entry)
        if record.until_ms == 2**50:
            return None
        return datetime.fromtimestamp(record.until_ms / 1000, tz=UTC)


def entry(
    seq: int, *, by: Identity = WRITER, key: int | None = None, life: int = 1, **fields: Any
) -> Received[Record]:
    """Return a sealed record of a writer, as it is received."""
    record = Entry(
        origin=by.node_id,
        public_key=by.public_key_text,
        lamport_ts=fields.pop("lamport_ts", NOW_MS + seq),
        incarnation=life,
        seq=seq,
        id=f"{seq if key is None else key:032x}",
        **fields,
    )
    return Received(record, seal(record, by, NETWORK))


def apply(
    layer: Layer,
    *batch: Received[Record],
    covers: Sequence[tuple[str, Span]] = (),
    now: datetime = NOW,
) -> int:
    """Store a batch as a sync would; returns how many records were new."""
    return TopicStore(layer.topic, now).apply(covers, batch).learned


def mark_of(origin: Identity = WRITER) -> Mark | None:
    """Return how far a writer's records are known without a gap."""
    return watermarks.all_marks(TOPIC).get(origin.node_id)


def live(layer: Layer, now: datetime = NOW) -> list[str]:
    """Return the keys of the live records."""
    return [item.key for item in TopicStore(layer.topic, now).live_items(0, 2**48)]


def cover(through: int, *, after: int = 0, of: str = WRITER.node_id) -> tuple[str, Span]:
    """Return the proof that a writer's numbers up to `through` are complete."""
    return (of, Span(Mark(1, after), Mark(1, through)))
