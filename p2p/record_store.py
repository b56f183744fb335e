"""The records of one topic in the database, as pull sync sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from p2p import parking, watermarks
from p2p.live_hashes import live_hash
from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.own_numbering import notice, publish_again
from p2p.protocol.codec import Received
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS
from p2p.protocol.messages import Record
from p2p.record_rows import end_of, record_in, row_of, upsert
from p2p.registration import Topic
from p2p.sync.items import WHOLE, Item, hash_of
from p2p.sync.judging import Judgement, Stamp, no_rank
from p2p.sync.marks import Mark, Span
from p2p.sync.store import Applied
from p2p.sync.taking import take_batch

_ROWS_AT_ONCE = 16  # a row may have half a megabyte
# Beyond its life a record still shows what it replaced, so that nothing older comes back.
EXPIRED_KEPT = timedelta(days=7)


class TopicStore:
    """One topic at one moment; fulfils p2p.sync.store.RecordStore."""

    def __init__(self, topic: Topic, now: datetime) -> None:
        """Take the topic and the time at which a record is live or not."""
        self._topic = topic
        self._now = now

    @property
    def is_ranked(self) -> bool:
        """Whether the topic has an order of its own: numbers do not tell then who wins."""
        return self._topic.rank is not no_rank

    def live_items(self, lo: int, hi: int) -> list[Item]:
        """Return the live records of the positions [lo, hi), ordered by position and key."""
        return _items(self._live().filter(position__gte=lo, position__lt=hi))

    def live_hash(self) -> str:
        """Return the hash over all live records; read anew only when they have changed."""
        return live_hash(self._topic.name, self._now, lambda: hash_of(self.live_items(*WHOLE)))

    def kept_items(self, lo: int, hi: int) -> list[Item]:
        """Return live records and those that expired lately, ordered by position and key."""
        return _items(self._rows().filter(position__gte=lo, position__lt=hi))

    def marks(self) -> dict[str, Mark]:
        """Return the contiguous watermark of every origin; our own is our last seq."""
        return watermarks.all_marks(self._topic.name)

    def live_origins(self) -> set[str]:
        """Return the origins of the live records."""
        return set(self._live().order_by().values_list("origin", flat=True).distinct())

    def frames_in(self, origin: str, span: Span, count: int) -> Iterable[tuple[Mark, bytes]]:
        """Return the first `count` live frames of an origin in a span, oldest first."""
        (low_life, low_seq), (high_life, high_seq) = span
        rows = (
            self._live()
            .filter(origin=origin, incarnation__gte=low_life, incarnation__lte=high_life)
            .exclude(incarnation=low_life, seq__lte=low_seq)
            .exclude(incarnation=high_life, seq__gt=high_seq)
            .order_by("incarnation", "seq")
        )
        found = rows.values_list("incarnation", "seq", "frame")[:count]
        # Row by row: a page of large records ends long before `count` of them.
        for life, seq, frame in found.iterator(chunk_size=_ROWS_AT_ONCE):
            yield Mark(life, seq), bytes(frame)

    def frames_of(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return the frames kept for these keys."""
        rows = self._rows().filter(key__in=keys).values_list("key", "frame")
        return {key: bytes(frame) for key, frame in rows}

    def apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Applied:
        """Store a page whole: records that win, and what it covers, in one transaction."""
        with transaction.atomic():
            is_anew = notice(self._topic.name, covers, records, self._now)
            judged = self._apply(covers, records)
            parking.park(self._topic.name, judged.parked, self._now)
            if judged.parked and judged.winners:
                self.retry_parked()  # what it rests on may have come with it
            if is_anew:  # together with what the page taught us of our own records
                publish_again(self._now)
        return Applied(learned=len(judged.winners), parked=len(judged.parked))

    def retry_parked(self) -> Applied:
        """Try the parked records again; what must still wait stays parked."""
        waiting = parking.parked(self._topic.name)
        if not waiting:
            return Applied()
        with transaction.atomic():
            judged = self._apply((), waiting)
            parking.release(self._topic.name, waiting, judged.withheld)
        return Applied(learned=len(judged.winners), parked=len(judged.parked))

    def _apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Judgement:
        """One SELECT and one upsert for the records, and one of each for the progress."""
        origins = {each.message.origin for each in records} | {origin for origin, _ in covers}
        taken = take_batch(
            records,
            covers,
            own_node_id=local_node().node_id,
            held=self._held({each.message.key() for each in records}),
            progress=watermarks.load(self._topic.name, origins),
            rule=self._topic.rule_for([each.message for each in records]),
            clock_end_ms=int(self._now.timestamp() * 1000) + CLOCK_AHEAD_MAX_MS,
            is_over=self._is_over,
        )
        winners = taken.judged.winners.values()
        if winners:
            upsert([row_of(self._topic, each.message, each.raw, self._now) for each in winners])
            messages = [each.message for each in winners]
            self._topic.apply(sorted(messages, key=lambda each: each.lamport_ts), self._now)
        if taken.moved:
            watermarks.save(self._topic.name, taken.moved)
        return taken.judged

    def _held(self, keys: set[str]) -> dict[str, Stamp]:
        rows = self._rows().filter(key__in=keys)
        if self.is_ranked:
            return {row.key: self._ranked(row) for row in rows}
        found = rows.values_list("key", "origin", "incarnation", "seq", "lamport_ts")
        return {key: Stamp(*stamp) for key, *stamp in found}  # type: ignore[arg-type]

    def _ranked(self, row: StoredRecord) -> Stamp:
        """Return the stamp of a stored record whose rank only its frame tells."""
        record = record_in(bytes(row.frame))
        return Stamp.of(record, self._topic.rank(record))

    def _is_over(self, record: Record) -> bool:
        ends_at = end_of(self._topic, record)
        return ends_at is not None and ends_at <= self._now

    def _rows(self) -> QuerySet[StoredRecord]:
        return StoredRecord.objects.filter(topic=self._topic.name)

    def _live(self) -> QuerySet[StoredRecord]:
        return self._rows().filter(Q(expires_at__isnull=True) | Q(expires_at__gt=self._now))


def remove_expired(now: datetime) -> int:
    """Forget records whose life ended long ago; returns how many."""
    return StoredRecord.objects.filter(expires_at__lte=now - EXPIRED_KEPT).delete()[0]


def _items(rows: QuerySet[StoredRecord]) -> list[Item]:
    fields = rows.order_by("position").values_list(
        "position", "key", "origin", "incarnation", "seq"
    )
    # Sorted here, because databases differ in how they order text.
    return sorted(Item(*each) for each in fields)
