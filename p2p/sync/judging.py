"""What becomes of a batch of records: which win, which must wait, which count as received."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import Record
from p2p.protocol.news import News
from p2p.sync.marks import Mark, Progress, Span, span_of, without

log = logging.getLogger(__name__)

_said = News(time.monotonic)  # of the log alone: it decides nothing


class Authority(Enum):
    """What a topic's rule says of a record: apply it, never, or not yet (it is kept and waits)."""

    APPLY = "apply"
    NEVER = "never"
    NOT_YET = "not_yet"


Rank = tuple[int, ...]


def no_rank(record: Record) -> Rank:
    """Return the rank of records whose topic has no order of its own: all are equal."""
    return ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A topic's own rule: who may write a key, and what orders its versions before all else.

    Of two versions the one of higher `rank` wins, whoever wrote it. An origin's ranks must rise
    with its numbers, or stores could disagree for good.
    """

    authority: Callable[[Record], Authority]
    rank: Callable[[Record], Rank] = no_rank


@dataclass(frozen=True, slots=True)
class Stamp:
    """What orders the versions of a key."""

    origin: str
    incarnation: int
    seq: int
    lamport_ts: int
    rank: Rank = ()

    @classmethod
    def of(cls, record: Record, rank: Rank = ()) -> Stamp:
        """Return the stamp of a record that its topic's order gives this rank."""
        return cls(record.origin, record.incarnation, record.seq, record.lamport_ts, rank)

    def beats(self, other: Stamp) -> bool:
        """Tell whether this version replaces the other one.

        The topic's own order comes first. Then one origin's versions order by (incarnation, seq);
        between origins the later clock wins.
        """
        if self.rank != other.rank:
            return self.rank > other.rank
        if self.origin == other.origin:
            return (self.incarnation, self.seq) > (other.incarnation, other.seq)
        return (self.lamport_ts, self.origin) > (other.lamport_ts, other.origin)


@dataclass(slots=True)
class Judgement:
    """A batch sorted: `winners` by key; `withheld` are the places that do not count yet."""

    winners: dict[str, Received[Record]] = field(default_factory=dict)
    parked: list[Received[Record]] = field(default_factory=list)
    withheld: set[tuple[str, Mark]] = field(default_factory=set)


def judge(
    batch: Sequence[Received[Record]],
    *,
    held: Mapping[str, Stamp],
    rule: Rule,
    clock_end_ms: int,
) -> Judgement:
    """Sort a batch against what is held by key.

    A record with a clock beyond `clock_end_ms` is withheld and comes again; one that its topic
    does not admit yet is withheld and parked. Everything else counts as received, also what lost.
    """
    judged = Judgement()
    for received in batch:
        record, key = received.message, received.message.key()
        stamp = Stamp.of(record, rule.rank(record))
        winner = judged.winners.get(key)
        best = Stamp.of(winner.message, rule.rank(winner.message)) if winner else held.get(key)
        if record.lamport_ts > clock_end_ms:
            judged.withheld.add((record.origin, mark_of(record)))
            _say(record, ProtocolError("too_far_ahead", f"its clock is {record.lamport_ts}"))
        elif best is not None and not stamp.beats(best):
            continue
        else:
            _admit(judged, received, key, _verdict(record, rule.authority))
    return judged


def mark_of(record: Record) -> Mark:
    """Return the place of a record in its origin's numbering."""
    return Mark(record.incarnation, record.seq)


def advance(
    progress: Mapping[str, Progress],
    *,
    batch: Iterable[Received[Record]],
    covers: Iterable[tuple[str, Span]],
    withheld: set[tuple[str, Mark]],
) -> dict[str, Progress]:
    """Return the progress of every origin that the batch and the page's statements moved.

    A watermark moves over what was received or covered without a gap, and never over a record
    that was withheld. What is said of an origin of which we know no record is no use to us, and
    is not remembered: names of origins cost a liar nothing.
    """
    batch = list(batch)
    known = set(progress) | {each.message.origin for each in batch}
    spans: dict[str, list[Span]] = {}
    for received in batch:
        place = (received.message.origin, mark_of(received.message))
        if place not in withheld:
            spans.setdefault(place[0], []).append(span_of(place[1]))
    for origin, span in covers:
        if origin not in known:
            continue
        holes = [mark for held_back, mark in withheld if held_back == origin]
        spans.setdefault(origin, []).extend(without(span, holes))
    moved = {
        origin: progress.get(origin, Progress()).with_spans(new) for origin, new in spans.items()
    }
    return {origin: each for origin, each in moved.items() if each != progress.get(origin)}


def _verdict(record: Record, authority: Callable[[Record], Authority]) -> Authority:
    try:
        return authority(record)
    except ProtocolError as broken:
        _say(record, broken)
        return Authority.NEVER


def _say(record: Record, broken: ProtocolError) -> None:
    """Name a topic's first record with a fault of this kind; identities cost a liar nothing."""
    topic = type(record).topic
    if _said.is_news(topic, broken.reason):
        log.warning("record of %s from %s: %s", topic, record.origin, broken)


def _admit(judged: Judgement, received: Received[Record], key: str, verdict: Authority) -> None:
    if verdict is Authority.APPLY:
        judged.winners[key] = received
    elif verdict is Authority.NOT_YET:
        judged.parked.append(received)
        judged.withheld.add((received.message.origin, mark_of(received.message)))
