"""The store of replicated records: the latest signed frame of every key."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from p2p import parking
from p2p.gossip.ids import RecordId
from p2p.live_hashes import note_change
from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.models import TopicSync, Watermark
from p2p.protocol.codec import Received
from p2p.protocol.limits import WANTED_BYTES_BURST
from p2p.protocol.messages import Record
from p2p.record_store import TopicStore
from p2p.registration import Topic, topic_named, topic_of

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 16  # a row may have half a megabyte
STALE_AFTER = timedelta(days=7)  # tombstones are live no longer


def apply_records(batch: Sequence[Received[Record]], now: datetime) -> int:
    """Store and apply the pushed records of a batch that win their keys; return how many did.

    One SELECT and one upsert per topic for the records, and again for the progress of their
    origins, whatever the size of the batch. A pushed record never moves a watermark over a gap.
    """
    by_topic: dict[str, list[Received[Record]]] = {}
    for received in batch:
        by_topic.setdefault(type(received.message).topic, []).append(received)
    learned = 0
    for group in by_topic.values():
        topic = topic_of(group[0].message)
        if topic is not None:
            learned += TopicStore(topic, now).apply((), group).learned
    return learned


def retry_parked(topic_name: str, now: datetime) -> int:
    """Try the parked records of a topic again; return how many are applied now.

    To be called by the layer whose rule said `not yet`, when it learned what was missing.
    """
    return TopicStore(topic_named(topic_name), now).retry_parked().learned


def discard(topic: str, keys: Iterable[str]) -> None:
    """Forget records that their topic's rule no longer counts."""
    with transaction.atomic():
        note_change(topic)
        StoredRecord.objects.filter(topic=topic, key__in=list(keys)).delete()


def frames_of(ids: Sequence[RecordId], now: datetime) -> list[bytes]:
    """Return the frames of those records that are stored and still count, oldest first.

    Together at most WANTED_BYTES_BURST; what is left out is asked for elsewhere.
    """
    wanted = set(ids)
    rows = StoredRecord.objects.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now),
        origin__in={each.origin for each in wanted},
        topic__in={each.topic for each in wanted},
        seq__in={each.seq for each in wanted},
    )
    fields = rows.order_by("id").values_list("origin", "topic", "incarnation", "seq", "frame")
    frames: list[bytes] = []
    left_bytes = WANTED_BYTES_BURST
    for origin, topic, incarnation, seq, frame in fields.iterator(chunk_size=_ROWS_AT_ONCE):
        if RecordId(origin, topic, incarnation, seq) not in wanted:
            continue
        left_bytes -= len(frame)
        if left_bytes < 0:
            break
        frames.append(bytes(frame))
    return frames


def discard_stale(topic: Topic, now: datetime) -> int:
    """Discard what is held of others when the topic was not synced for too long; return how many.

    Tombstones of that time may be gone everywhere: what they deleted must not come back from
    here. To be called before the first request or answer to another node.
    """
    row = TopicSync.objects.filter(topic=topic.name).first()
    if row is None:
        note_synced(topic, now)  # nothing was ever held: the time counts from here
        return 0
    if now - row.synced_at <= STALE_AFTER:
        return 0
    with transaction.atomic():
        others = StoredRecord.objects.filter(topic=topic.name).exclude(origin=local_node().node_id)
        keys = list(others.values_list("key", flat=True))
        note_change(topic.name)
        others.delete()
        Watermark.objects.filter(topic=topic.name).delete()
        parking.clear(topic.name)
        if topic.forget is not None:
            topic.forget(keys, now)
        note_synced(topic, now)
    log.warning("%s was not synced for %s: pulled anew", topic.name, now - row.synced_at)
    return len(keys)


def note_synced(topic: Topic, now: datetime) -> None:
    """Note that the topic was brought up to another node."""
    TopicSync.objects.update_or_create(topic=topic.name, defaults={"synced_at": now})
