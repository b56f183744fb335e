"""The records of one topic of a simulated node: the production rules over a table in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from p2p.protocol.codec import Received
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS, PARKED_MAX
from p2p.protocol.messages import Record
from p2p.record_rows import end_of
from p2p.registration import Topic
from p2p.sync.items import Item, hash_of, position_of
from p2p.sync.judging import Judgement, Stamp, mark_of, no_rank
from p2p.sync.marks import START, Mark, Progress, Span
from p2p.sync.own_numbers import seen_ahead
from p2p.sync.store import Applied
from p2p.sync.taking import take_batch
from tests.simulation.home import Home, Kept, Table
from tests.simulation.topics import Victory

CLAIMS_BELIEVED_EVERY_MS = 3_600_000  # as p2p.own_numbering


@dataclass(slots=True)
class Change:
    """What one transaction did to a table: versions (before, after) by key, and watermarks."""

    topic: str
    versions: dict[str, tuple[Kept | None, Kept]] = field(default_factory=dict)
    moved: dict[str, tuple[Mark, Mark]] = field(default_factory=dict)


class TableStore:
    """One topic at one moment; fulfils p2p.sync.store.RecordStore as the database's does."""

    def __init__(
        self,
        home: Home,
        topic: Topic,
        now_ms: int,
        *,
        changed: Callable[[Change], None],
        publish_again: Callable[[], None],
        cache: dict[str, tuple[int, int, list[Item]]],
    ) -> None:
        """Take a home, a topic and the time, and whom to tell of each transaction."""
        self._home = home
        self._topic = topic
        self._now_ms = now_ms
        self._changed = changed
        self._publish_again = publish_again
        self._cache = cache
        self.topic_name = topic.name
        self.table: Table = home.database.tables[topic.name]

    @property
    def is_ranked(self) -> bool:
        """Whether the topic has an order of its own."""
        return self._topic.rank is not no_rank

    def live_items(self, lo: int, hi: int) -> list[Item]:
        """Return the live records of the positions [lo, hi), ordered by position and key."""
        return _within(self._live(), lo, hi)

    def live_hash(self) -> str:
        """Return the hash of all live records."""
        return hash_of(self._live())

    def kept_items(self, lo: int, hi: int) -> list[Item]:
        """Return live records and those that expired, ordered by position and key."""
        return _within(sorted(_item(key, each) for key, each in self.table.kept.items()), lo, hi)

    def marks(self) -> dict[str, Mark]:
        """Return the contiguous watermark of every origin; our own is our last seq."""
        marks = {origin: each.mark for origin, each in self.table.progress.items()}
        marks[self._home.id] = self.own_mark()
        return {origin: mark for origin, mark in marks.items() if mark > START}

    def own_mark(self) -> Mark:
        """Return the place of our last record."""
        current = self._home.incarnation()
        own = self.table.own
        return own if own is not None and own.incarnation == current else Mark(current, 0)

    def live_origins(self) -> set[str]:
        """Return the origins of the live records."""
        return {item.origin for item in self._live()}

    def frames_in(self, origin: str, span: Span, count: int) -> Iterable[tuple[Mark, bytes]]:
        """Return the first `count` live frames of an origin in a span, oldest first."""
        found = sorted(
            (item.mark, self.table.kept[item.key].raw)
            for item in self._live()
            if item.origin == origin and span.after < item.mark <= span.through
        )
        return found[:count]

    def frames_of(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return the frames kept for these keys."""
        return {key: self.table.kept[key].raw for key in keys if key in self.table.kept}

    def apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Applied:
        """Store a page whole, as p2p.record_store does it."""
        is_anew = self._notice(covers, records)
        judged = self._apply(covers, records)
        for each in judged.parked[: max(0, PARKED_MAX - len(self.table.parked))]:
            place = (each.message.origin, mark_of(each.message))
            self.table.parked.setdefault(place, (each, self._now_ms))
        wins_a_term = any(isinstance(each.message, Victory) for each in judged.winners.values())
        # The layer above does the latter, when it learns what was missing.
        if (judged.parked and judged.winners) or wins_a_term:
            self.retry_parked()
        if is_anew:
            self._publish_again()
        return Applied(learned=len(judged.winners), parked=len(judged.parked))

    def retry_parked(self) -> Applied:
        """Try the parked records again; what must still wait stays parked."""
        waiting = [each for each, _ in self.table.parked.values()]
        if not waiting:
            return Applied()
        judged = self._apply((), waiting)
        for each in waiting:
            place = (each.message.origin, mark_of(each.message))
            if place not in judged.withheld:
                self.table.parked.pop(place, None)
        return Applied(learned=len(judged.winners), parked=len(judged.parked))

    def notice_pushed(self, seen: Mark) -> None:
        """Number anew when a pushed record of ours is ahead of us."""
        if seen > self.own_mark():
            self._home.raise_incarnation_above(seen.incarnation, self._now_ms)
            self._publish_again()

    def store_own(self, record: Record, raw: bytes) -> None:
        """Store the next version of one of our own records."""
        change = Change(self._topic.name)
        self.table.own = mark_of(record)
        self._put(Received(record, raw), change)
        self._changed(change)

    def is_over(self, record: Record) -> bool:
        """Tell whether a record counts no more."""
        ends_ms = ends_ms_of(self._topic, record)
        return ends_ms is not None and ends_ms <= self._now_ms

    def _apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Judgement:
        table, topic = self.table, self._topic
        keys = {each.message.key() for each in records}
        held = {
            key: Stamp.of(table.kept[key].record, topic.rank(table.kept[key].record))
            for key in keys
            if key in table.kept
        }
        taken = take_batch(
            records,
            covers,
            own_node_id=self._home.id,
            held=held,
            progress=self._progress_of(covers, records),
            rule=topic.rule_for([each.message for each in records]),
            clock_end_ms=self._now_ms + CLOCK_AHEAD_MAX_MS,
            is_over=self.is_over,
        )
        change = Change(topic.name)
        for winner in taken.judged.winners.values():
            self._put(winner, change)
        for origin, progress in taken.moved.items():
            before = table.progress.get(origin, Progress()).mark
            table.progress[origin] = progress
            change.moved[origin] = (before, progress.mark)
        self._changed(change)
        return taken.judged

    def _progress_of(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> dict[str, Progress]:
        origins = {each.message.origin for each in records} | {origin for origin, _ in covers}
        return {each: self.table.progress[each] for each in origins if each in self.table.progress}

    def _put(self, received: Received[Record], change: Change) -> None:
        record, key = received.message, received.message.key()
        ends_ms = ends_ms_of(self._topic, record)
        after = Kept(record, received.raw, ends_ms, position_of(key))
        change.versions[key] = (self.table.kept.get(key), after)
        self.table.kept[key] = after
        self.table.version += 1

    def _notice(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> bool:
        own_id = self._home.id
        own = self.own_mark()
        seen = seen_ahead(
            own,
            signed=[mark_of(each.message) for each in records if each.message.origin == own_id],
            claimed=[span.through for origin, span in covers if origin == own_id],
            now_s=self._now_ms // 1000,
            may_believe=self._may_believe,
        )
        if seen is None:
            return False
        self._home.raise_incarnation_above(max(seen.incarnation, own.incarnation), self._now_ms)
        return True

    def _may_believe(self) -> bool:
        before = self._home.database.believed_ms
        if before is not None and self._now_ms - before < CLAIMS_BELIEVED_EVERY_MS:
            return False
        self._home.database.believed_ms = self._now_ms
        return True

    def _live(self) -> list[Item]:
        """Return the live records in order; computed anew only when something changed."""
        version, until_ms, items = self._cache.get(self._topic.name, (-1, 0, []))
        if version == self.table.version and self._now_ms < until_ms:
            return items
        living = {
            key: each
            for key, each in self.table.kept.items()
            if each.ends_ms is None or each.ends_ms > self._now_ms
        }
        items = sorted(_item(key, each) for key, each in living.items())
        ends = [each.ends_ms for each in living.values() if each.ends_ms is not None]
        self._cache[self._topic.name] = (self.table.version, min(ends, default=2**53), items)
        return items


def ends_ms_of(topic: Topic, record: Record) -> int | None:
    """Return when a record stops to count, in unix ms."""
    ends_at = end_of(topic, record)
    return None if ends_at is None else round(ends_at.timestamp() * 1000)


def moment(unix_ms: int) -> datetime:
    """Return unix ms as the services take them."""
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC)


def _item(key: str, kept: Kept) -> Item:
    record = kept.record
    return Item(kept.position, key, record.origin, record.incarnation, record.seq)


def _within(items: list[Item], lo: int, hi: int) -> list[Item]:
    if lo == 0 and hi >= 2**48:
        return list(items)
    return [item for item in items if lo <= item.position < hi]
