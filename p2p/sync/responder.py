"""Answers to sync requests, each from the store alone: nothing is remembered of the asker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import PAGE_BYTES_MAX, PAGE_COVERS_MAX, PAGE_FRAMES_MAX, POSITION_END
from p2p.sync.items import Item, digest_of, grouped, parts_of
from p2p.sync.marks import START, Mark, Span
from p2p.sync.messages import (
    Cover,
    Holding,
    MarkSlice,
    Part,
    Split,
    SyncPair,
    SyncRequest,
    SyncResponse,
)
from p2p.sync.store import RecordStore

COVER_BYTES = 184  # more than any cover takes


def answer(store: RecordStore, pair: SyncPair, request: SyncRequest) -> SyncResponse:
    """Return the response to a request; ProtocolError `malformed` when it asks nonsense."""
    asked = [bool(each) for each in (request.hash, request.marks, request.splits, request.holdings)]
    if sum(asked) != 1:
        raise ProtocolError("malformed", f"sync request asks {sum(asked)} things, not one")
    if request.hash is not None:
        return pair.response(re=request.id, equal=request.hash == live_hash(store))
    if request.marks is not None:
        return _page_above(store, pair, request.id, request.marks)
    _check_ranges([(each.lo, each.hi) for each in request.splits])
    _check_ranges([(each.lo, each.hi) for each in request.holdings])
    if request.splits:
        parts = [part for split in request.splits for part in _differing(store, split)]
        return pair.response(re=request.id, parts=parts)
    return _beyond(store, pair, request.id, request.holdings)


def live_hash(store: RecordStore) -> str:
    """Return the hash over all live records of a topic."""
    return store.live_hash()


def range_items(store: RecordStore, lo: int, hi: int) -> list[list[Item]]:
    """Return the live records of each part of a key range."""
    return grouped(store.live_items(lo, hi), parts_of(lo, hi))


@dataclass(slots=True)
class _Page:
    """A page that is being filled, within its limits of bytes, frames and ranges."""

    covers: list[Cover] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    used_bytes: int = 0

    @property
    def frames_left(self) -> int:
        return PAGE_FRAMES_MAX - len(self.frames)

    @property
    def has_room(self) -> bool:
        return (
            self.used_bytes + COVER_BYTES <= PAGE_BYTES_MAX and len(self.covers) < PAGE_COVERS_MAX
        )

    def add_frame(self, frame: bytes) -> bool:
        """Add a frame when it fits; alone on a page every record does."""
        text = frame.decode()
        frame_bytes = len(msgspec.json.encode(text)) + 1
        if (self.frames or self.covers) and (
            not self.frames_left or self.used_bytes + frame_bytes + COVER_BYTES > PAGE_BYTES_MAX
        ):
            return False
        self.frames.append(text)
        self.used_bytes += frame_bytes
        return True

    def add_cover(self, origin: str, span: Span) -> None:
        """State that a span of an origin is covered."""
        self.used_bytes += COVER_BYTES
        self.covers.append(
            Cover(
                origin=origin,
                from_incarnation=span.after.incarnation,
                from_seq=span.after.seq,
                through_incarnation=span.through.incarnation,
                through_seq=span.through.seq,
            )
        )


def _page_above(
    store: RecordStore, pair: SyncPair, request_id: int, asked: MarkSlice
) -> SyncResponse:
    own = {origin: mark for origin, mark in store.marks().items() if _within(asked, origin)}
    theirs = {each.origin: Mark(each.incarnation, each.seq) for each in asked.marks}
    live = store.live_origins()
    page, more = _Page(), False
    for origin in sorted(own):
        span = Span(theirs.get(origin, START), own[origin])
        # Of who has nothing that counts, only those need to hear who knew something of them.
        if span.after >= span.through or not (origin in live or origin in theirs):
            continue
        if not page.has_room:
            more = True
            break
        through = _fill(page, origin, span, store) if origin in live else span.through
        if through > span.after:
            page.add_cover(origin, Span(span.after, through))
        if through < span.through:
            more = True
            break
    behind = any(mark > own.get(origin, START) for origin, mark in theirs.items())
    return pair.response(
        re=request_id, covers=page.covers, frames=page.frames, more=more, behind=behind
    )


def _within(asked: MarkSlice, origin: str) -> bool:
    return asked.after < origin and (not asked.through or origin <= asked.through)


def _fill(page: _Page, origin: str, span: Span, store: RecordStore) -> Mark:
    """Add the frames of a span while they fit; return through which mark it is covered."""
    wanted = page.frames_left + 1  # one more shows whether the span ends with this page
    through = span.after
    for mark, frame in store.frames_in(origin, span, wanted):
        if not page.add_frame(frame):
            return through
        through = mark
    return span.through


def _differing(store: RecordStore, split: Split) -> list[Part]:
    parts = parts_of(split.lo, split.hi)
    if len(parts) != len(split.digests):
        detail = f"{len(split.digests)} digests for {len(parts)} parts of a key range"
        raise ProtocolError("malformed", detail)
    live = range_items(store, split.lo, split.hi)
    kept = grouped(store.kept_items(split.lo, split.hi), parts)
    # What expired here counts too: the asker may hold live what it replaced.
    return [
        Part(lo=lo, hi=hi, count=len(held))
        for (lo, hi), digest, ours, held in zip(parts, split.digests, live, kept, strict=True)
        if held and digest_of(ours) != digest
    ]


def _beyond(
    store: RecordStore, pair: SyncPair, request_id: int, holdings: Sequence[Holding]
) -> SyncResponse:
    page = _Page()
    for holding in holdings:
        resume = _fill_beyond(page, _missing(store, holding), store)
        if resume is not None:
            return pair.response(re=request_id, frames=page.frames, resume=resume)
    return pair.response(re=request_id, frames=page.frames)


def _fill_beyond(page: _Page, wanted: Sequence[Item], store: RecordStore) -> int | None:
    """Add the frames of items while they fit; return the position to resume at, if any."""
    room = page.frames_left
    frames = store.frames_of([item.key for item in wanted[:room]])
    for number, item in enumerate(wanted):
        if number >= room:
            return item.position
        if item.key in frames and not page.add_frame(frames[item.key]):
            return item.position
    return None


def _missing(store: RecordStore, holding: Holding) -> list[Item]:
    """Return what a range holds beyond the named versions.

    A record that expired lately is worth sending only to who still holds what it replaced. Where
    numbers do not tell which version wins, everything that differs is sent.
    """
    known: dict[tuple[int, str], Mark] = {}
    for each in holding.versions:
        place, mark = (each.position, each.origin), Mark(each.incarnation, each.seq)
        known[place] = max(mark, known.get(place, START))
    named = {position for position, _ in known}
    live = set(store.live_items(holding.lo, holding.hi))
    return [
        item
        for item in store.kept_items(holding.lo, holding.hi)
        if _is_beyond(item.mark, known.get((item.position, item.origin), START), store)
        and (item in live or item.position in named)
    ]


def _is_beyond(held: Mark, known: Mark, store: RecordStore) -> bool:
    return held != known if store.is_ranked else held > known


def _check_ranges(ranges: Sequence[tuple[int, int]]) -> None:
    """Refuse ranges that are empty, out of order or overlap: each record is looked at once."""
    end = 0
    for lo, hi in ranges:
        if not end <= lo < hi <= POSITION_END:
            raise ProtocolError("malformed", f"key range [{lo}, {hi}) is none, or out of order")
        end = hi
