"""The asking side of pull sync: one session brings one topic up to one peer.

    hash      -> equal: done
    marks     -> pages, until there is no more; slice by slice of the origins
    hash      -> equal: done
    splits    -> the parts of the key space that differ, again and again
    holdings  -> the frames of those parts that we lack; done

The last two steps need nobody's word: whatever a liar said of its watermarks, a record that one
honest peer holds is found by its key. They are left out once when the peer is behind us, because
it pulls from us at the same time and the difference is mostly what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import (
    HOLDINGS_MAX,
    LEAF_ITEMS_MAX,
    MARKS_MAX,
    SESSION_STEPS_MAX,
    SPLITS_MAX,
    VERSIONS_MAX,
)
from p2p.protocol.messages import Record
from p2p.sync.items import WHOLE, Item, digest_of, parts_of
from p2p.sync.judging import mark_of
from p2p.sync.marks import START, Mark, Span
from p2p.sync.messages import (
    Cover,
    Holding,
    MarkSlice,
    OriginMark,
    Split,
    SyncPair,
    SyncRequest,
    SyncResponse,
    Version,
)
from p2p.sync.responder import live_hash, range_items
from p2p.sync.store import RecordStore

Range = tuple[int, int]


class Stage(Enum):
    """What the last request of a session asked."""

    HASH = "hash"
    MARKS = "marks"
    CONFIRM = "confirm"
    SPLITS = "splits"
    HOLDINGS = "holdings"
    DONE = "done"


@dataclass(slots=True)
class Outcome:
    """What a session did.

    `skipped_repair` says that key ranges are due with this peer; `hidden` is how many records
    were learned of which somebody had stated that they do not count.
    """

    learned: int = 0
    hidden: int = 0
    equal: bool = False
    skipped_repair: bool = False
    pages_complete: bool = False
    steps: int = 0


class Session:
    """One pull of one topic from one peer; every call runs on the store's thread."""

    def __init__(self, pair: SyncPair, *, insist: bool = False) -> None:
        """Take the topic's classes and whether key ranges are compared with a peer behind us."""
        self.outcome = Outcome()
        self.stage = Stage.HASH
        self.awaited = 0
        self._pair = pair
        self._insist = insist
        self._behind = False
        self._page_brought = False
        self._slice_after = ""
        self._slice_through = ""
        self._ranges: list[Range] = []
        self._leaves: list[Range] = []
        self._asked_parts: dict[Range, int] = {}  # with how many records we hold there
        self._asked_leaves: list[Range] = []

    def start(self, store: RecordStore) -> SyncRequest:
        """Return the first request: the hash of what is live here."""
        return self._ask(Stage.HASH, hash=live_hash(store))

    def receive(
        self, store: RecordStore, response: SyncResponse, records: Sequence[Received[Record]]
    ) -> SyncRequest | None:
        """Take the awaited response with its opened frames; return the next request or None.

        Raises ProtocolError for a response that no honest peer gives to what was asked.
        """
        if response.re != self.awaited:
            raise ProtocolError("malformed", f"response to {response.re}, asked {self.awaited}")
        if self.outcome.steps >= SESSION_STEPS_MAX:
            self._learn(store, response, records)
            return self._end()
        if self.stage in (Stage.HASH, Stage.CONFIRM):
            return self._on_hash(store, response)
        self._learn(store, response, records)
        if self.stage is Stage.MARKS:
            return self._on_page(store, response)
        if self.stage is Stage.SPLITS:
            self._on_parts(response)
        elif self.stage is Stage.HOLDINGS:
            self._on_holdings(response)
        return self._next_repair(store)

    def _on_hash(self, store: RecordStore, response: SyncResponse) -> SyncRequest | None:
        if response.equal:
            self.outcome.equal = True
            self.outcome.pages_complete = True
            return self._end()
        if self.stage is Stage.HASH:
            return self._ask_marks(store)
        return self._begin_repair(store)

    def _learn(
        self, store: RecordStore, response: SyncResponse, records: Sequence[Received[Record]]
    ) -> None:
        covers = [_span(each) for each in response.covers] if self.stage is Stage.MARKS else []
        if not covers and not records:
            return
        marks = store.marks() if self.stage is Stage.HOLDINGS else {}
        learned = store.apply(covers, records).learned
        below = [each for each in records if _is_below(marks, each.message)]
        self.outcome.learned += learned
        self.outcome.hidden += min(learned, len(below))

    def _on_page(self, store: RecordStore, response: SyncResponse) -> SyncRequest | None:
        brought = bool(response.covers or response.frames)
        self._page_brought |= brought
        self._behind |= response.behind
        if response.more:
            if not brought:
                raise ProtocolError("malformed", "a page brings nothing and says there is more")
            return self._ask_marks(store)
        if self._slice_through:
            self._slice_after = self._slice_through
            return self._ask_marks(store)
        self.outcome.pages_complete = True
        if self._page_brought:
            return self._ask(Stage.CONFIRM, hash=live_hash(store))
        return self._begin_repair(store)

    def _ask_marks(self, store: RecordStore) -> SyncRequest:
        marks = sorted(each for each in store.marks().items() if each[0] > self._slice_after)
        named = marks[:MARKS_MAX]
        self._slice_through = named[-1][0] if len(marks) > MARKS_MAX else ""
        entries = [
            OriginMark(origin=origin, incarnation=mark.incarnation, seq=mark.seq)
            for origin, mark in named
        ]
        asked = MarkSlice(after=self._slice_after, through=self._slice_through, marks=entries)
        return self._ask(Stage.MARKS, marks=asked)

    def _begin_repair(self, store: RecordStore) -> SyncRequest | None:
        if self._behind and not self._insist:
            self.outcome.skipped_repair = True
            return self._end()
        self._ranges = [WHOLE]
        return self._next_repair(store)

    def _next_repair(self, store: RecordStore) -> SyncRequest | None:
        if self._leaves:
            return self._ask_holdings(store)
        if self._ranges:
            return self._ask_splits(store)
        return self._end()

    def _ask_splits(self, store: RecordStore) -> SyncRequest:
        self._ranges.sort()
        asked, self._ranges = self._ranges[:SPLITS_MAX], self._ranges[SPLITS_MAX:]
        self._asked_parts = {}
        splits: list[Split] = []
        for lo, hi in asked:
            groups = range_items(store, lo, hi)
            self._asked_parts |= dict(zip(parts_of(lo, hi), map(len, groups), strict=True))
            splits.append(Split(lo=lo, hi=hi, digests=[digest_of(each) for each in groups]))
        return self._ask(Stage.SPLITS, splits=splits)

    def _on_parts(self, response: SyncResponse) -> None:
        for part in response.parts:
            place = (part.lo, part.hi)
            if place not in self._asked_parts:
                raise ProtocolError("malformed", f"part {place} was not asked for")
            ours = self._asked_parts.pop(place)
            # Where we hold little it is named at once: the rest there is news, however much it is.
            # So what a liar can make us split is bounded by what we hold.
            if ours <= LEAF_ITEMS_MAX or part.hi - part.lo == 1:
                self._leaves.append(place)
            else:
                self._ranges.append(place)

    def _ask_holdings(self, store: RecordStore) -> SyncRequest:
        self._leaves.sort()
        holdings: list[Holding] = []
        versions_left = VERSIONS_MAX
        for lo, hi in self._leaves[:HOLDINGS_MAX]:
            items = store.live_items(lo, hi)[:VERSIONS_MAX]
            if holdings and len(items) > versions_left:
                break
            versions_left -= len(items)
            holdings.append(Holding(lo=lo, hi=hi, versions=[_version(each) for each in items]))
        self._asked_leaves = self._leaves[: len(holdings)]
        self._leaves = self._leaves[len(holdings) :]
        return self._ask(Stage.HOLDINGS, holdings=holdings)

    def _on_holdings(self, response: SyncResponse) -> None:
        if response.resume is None:
            return
        if not response.frames:
            raise ProtocolError("malformed", "a page brings nothing and says there is more")
        resume = response.resume
        self._leaves += [(max(lo, resume), hi) for lo, hi in self._asked_leaves if hi > resume]

    def _ask(self, stage: Stage, **what: object) -> SyncRequest:
        self.stage = stage
        self.outcome.steps += 1
        self.awaited += 1
        return self._pair.request(id=self.awaited, **what)  # type: ignore[arg-type]

    def _end(self) -> SyncRequest | None:
        self.stage = Stage.DONE
        return None


def _is_below(marks: Mapping[str, Mark], record: Record) -> bool:
    return mark_of(record) <= marks.get(record.origin, START)


def _span(cover: Cover) -> tuple[str, Span]:
    after = Mark(cover.from_incarnation, cover.from_seq)
    through = Mark(cover.through_incarnation, cover.through_seq)
    if after >= through:
        raise ProtocolError("malformed", f"range {after} to {through} of {cover.origin} is none")
    return (cover.origin, Span(after, through))


def _version(item: Item) -> Version:
    return Version(
        position=item.position, origin=item.origin, incarnation=item.incarnation, seq=item.seq
    )
