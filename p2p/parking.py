"""Records that their topic does not admit yet: kept for a while, bounded, and tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from p2p.models import ParkedRecord
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.limits import PARKED_MAX
from p2p.protocol.messages import Record
from p2p.registration import registry
from p2p.sync.judging import mark_of
from p2p.sync.marks import Mark

PARKED_KEPT = timedelta(hours=1)


def park(topic: str, records: Sequence[Received[Record]], now: datetime) -> None:
    """Keep records while there is room; what finds none comes again with a later sync."""
    if not records:
        return
    room = PARKED_MAX - ParkedRecord.objects.filter(topic=topic).count()
    ParkedRecord.objects.bulk_create(
        [_row(topic, each, now) for each in records[: max(0, room)]], ignore_conflicts=True
    )


def parked(topic: str) -> list[Received[Record]]:
    """Return all parked records of a topic, which were verified when they came, oldest first."""
    frames = ParkedRecord.objects.filter(topic=topic).order_by("id").values_list("frame", flat=True)
    received = [decode_payload(bytes(frame), registry) for frame in frames]
    return [
        Received(each.message, each.raw)
        for each in received
        if isinstance(each, Received) and isinstance(each.message, Record)
    ]


def release(topic: str, tried: Sequence[Received[Record]], withheld: set[tuple[str, Mark]]) -> None:
    """Forget those of the tried records that need not wait any longer."""
    for record in (each.message for each in tried):
        if (record.origin, mark_of(record)) not in withheld:
            ParkedRecord.objects.filter(
                topic=topic, origin=record.origin, incarnation=record.incarnation, seq=record.seq
            ).delete()


def clear(topic: str) -> None:
    """Forget all parked records of a topic."""
    ParkedRecord.objects.filter(topic=topic).delete()


def forget_old(now: datetime) -> int:
    """Forget what waited too long; returns how many."""
    return ParkedRecord.objects.filter(parked_at__lte=now - PARKED_KEPT).delete()[0]


def _row(topic: str, received: Received[Record], now: datetime) -> ParkedRecord:
    record = received.message
    return ParkedRecord(
        topic=topic,
        origin=record.origin,
        incarnation=record.incarnation,
        seq=record.seq,
        frame=received.raw,
        parked_at=now,
    )
