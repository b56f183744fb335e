"""The store of replicated records: the latest signed frame of every key."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Q

from p2p.gossip.ids import RecordId
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import Record
from p2p.registration import Authority, Topic, topic_of

log = logging.getLogger(__name__)


def store_own(record: Record, frame: bytes, now: datetime) -> None:
    """Store the next version of one of this node's own records."""
    topic = topic_of(record)
    assert topic is not None, f"topic {type(record).topic} is not registered"
    _upsert([_row(topic, record, frame, now)])


def apply_records(batch: Sequence[Received[Record]], now: datetime) -> int:
    """Store and apply the records of a batch that win their keys; return how many did.

    One SELECT and one upsert per topic, whatever the size of the batch. Records that their
    topic's rule refuses, or that lose against what is stored, change nothing.
    """
    by_topic: dict[str, list[Received[Record]]] = {}
    for received in batch:
        by_topic.setdefault(type(received.message).topic, []).append(received)
    return sum(_apply_topic(group, now) for group in by_topic.values())


def live_frames(now: datetime) -> list[bytes]:
    """Return the frames of all records that still count, oldest first: for a new peer."""
    rows = StoredRecord.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    return [bytes(frame) for frame in rows.order_by("id").values_list("frame", flat=True)]


def frames_of(ids: Sequence[RecordId], now: datetime) -> list[bytes]:
    """Return the frames of those records that are stored and still count, oldest first."""
    wanted = set(ids)
    rows = StoredRecord.objects.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now),
        origin__in={each.origin for each in wanted},
        topic__in={each.topic for each in wanted},
        seq__in={each.seq for each in wanted},
    )
    return [
        bytes(row.frame)
        for row in rows.order_by("id")
        if RecordId(row.origin, row.topic, row.incarnation, row.seq) in wanted
    ]


def remove_expired(now: datetime) -> int:
    """Forget records that no longer count; returns how many."""
    return StoredRecord.objects.filter(expires_at__lte=now).delete()[0]


def _apply_topic(group: list[Received[Record]], now: datetime) -> int:
    topic = topic_of(group[0].message)
    if topic is None:
        return 0
    best: dict[str, Received[Record]] = {}
    for received in group:
        if not _may_apply(topic, received.message):
            continue
        key = received.message.key()
        if key not in best or _rank(received.message) > _rank(best[key].message):
            best[key] = received
    winners = _newer_than_stored(topic, best)
    if winners:
        _upsert([_row(topic, each.message, each.raw, now) for each in winners])
        topic.apply([each.message for each in winners], now)
    return len(winners)


def _may_apply(topic: Topic, record: Record) -> bool:
    try:
        return topic.authority(record) is Authority.APPLY
    except ProtocolError as broken:
        log.warning("record %s from %s: %s", topic.name, record.origin[:8], broken)
        return False


def _newer_than_stored(topic: Topic, best: dict[str, Received[Record]]) -> list[Received[Record]]:
    stored = {row.key: row for row in StoredRecord.objects.filter(topic=topic.name, key__in=best)}
    winners = [
        received
        for key, received in best.items()
        if key not in stored or _beats(received.message, stored[key])
    ]
    return sorted(winners, key=lambda received: received.message.lamport_ts)


def _rank(record: Record) -> tuple[int, str, int, int]:
    return (record.lamport_ts, record.origin, record.incarnation, record.seq)


def _beats(record: Record, stored: StoredRecord) -> bool:
    # One origin's versions order by (incarnation, seq); between origins the later clock wins.
    if record.origin == stored.origin:
        return (record.incarnation, record.seq) > (stored.incarnation, stored.seq)
    return (record.lamport_ts, record.origin) > (stored.lamport_ts, stored.origin)


def _row(topic: Topic, record: Record, frame: bytes, now: datetime) -> StoredRecord:
    return StoredRecord(
        topic=topic.name,
        key=record.key(),
        origin=record.origin,
        incarnation=record.incarnation,
        seq=record.seq,
        lamport_ts=record.lamport_ts,
        frame=frame,
        deleted=record.deletes,
        expires_at=topic.expires_at(record),
        received_at=now,
    )


def _upsert(rows: Iterable[StoredRecord]) -> None:
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
        ],
    )
