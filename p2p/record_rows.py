"""The rows of replicated records: one for every key, the latest signed frame."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from p2p.live_hashes import note_change
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.messages import Record
from p2p.registration import Topic, registry, topic_of
from p2p.sync.items import position_of

TOMBSTONES_KEPT = timedelta(days=7)


def store_own(record: Record, frame: bytes, now: datetime) -> None:
    """Store the next version of one of this node's own records."""
    topic = topic_of(record)
    assert topic is not None, f"topic {type(record).topic} is not registered"
    upsert([row_of(topic, record, frame, now)])


def end_of(topic: Topic, record: Record) -> datetime | None:
    """Return when a record stops to count: by its topic's rule, a tombstone after 7 days."""
    expires_at = topic.expires_at(record)
    if expires_at is not None or not record.deletes:
        return expires_at
    return datetime.fromtimestamp(record.lamport_ts / 1000, tz=UTC) + TOMBSTONES_KEPT


def record_in(frame: bytes) -> Record:
    """Return the record of a stored frame, whose signature was verified when it came."""
    received = decode_payload(frame, registry)
    assert isinstance(received, Received)
    assert isinstance(received.message, Record)
    return received.message


def row_of(topic: Topic, record: Record, frame: bytes, now: datetime) -> StoredRecord:
    """Return the row of a record, not saved yet."""
    return StoredRecord(
        topic=topic.name,
        key=record.key(),
        position=position_of(record.key()),
        origin=record.origin,
        incarnation=record.incarnation,
        seq=record.seq,
        lamport_ts=record.lamport_ts,
        frame=frame,
        deleted=record.deletes,
        expires_at=end_of(topic, record),
        received_at=now,
    )


def upsert(rows: Collection[StoredRecord]) -> None:
    """Store rows, each in the place of what its key held before; inside a transaction."""
    for topic in sorted({row.topic for row in rows}):
        note_change(topic)
    StoredRecord.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["topic", "key"],
        update_fields=[
            "origin",
            "incarnation",
            "seq",
            "lamport_ts",
            "frame",
            "deleted",
            "expires_at",
            "received_at",
            "position",
        ],
    )
