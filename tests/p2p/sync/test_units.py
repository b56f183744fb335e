"""Marks, spans, orders and the schedule, one by one."""

from __future__ import annotations

import random

import pytest

from p2p.protocol.limits import (
    SPANS_MAX,
    SYNC_INTERVAL_MAX_S,
    SYNC_INTERVAL_MIN_S,
    SYNC_PAUSE_S,
)
from p2p.sync.judging import Stamp
from p2p.sync.marks import START, Mark, Progress, Span, span_of, without
from p2p.sync.messages import Holding, Version
from p2p.sync.responder import answer
from p2p.sync.schedule import Pace, Schedule
from tests.support.sync_stores import PAIR, key, stores


def span(after: int, through: int, *, life: int = 1) -> Span:
    return Span(Mark(life, after), Mark(life, through))


def test_the_first_record_is_contiguous_with_nothing() -> None:
    assert Progress().with_spans([span_of(Mark(1, 1))]) == Progress(Mark(1, 1))


def test_a_later_incarnation_is_a_gap_until_a_page_covers_it() -> None:
    progress = Progress(Mark(1, 7)).with_spans([span_of(Mark(2, 1)), span_of(Mark(2, 2))])
    assert progress == Progress(Mark(1, 7), (span(0, 2, life=2),))

    covered = progress.with_spans([Span(Mark(1, 7), Mark(2, 1))])
    assert covered == Progress(Mark(2, 2))


def test_overlapping_and_touching_spans_become_one() -> None:
    progress = Progress().with_spans([span(4, 6), span(9, 10), span(5, 9), span(20, 21)])

    assert progress == Progress(START, (span(4, 10), span(20, 21)))
    assert progress.with_spans([span(0, 4)]) == Progress(Mark(1, 10), (span(20, 21),))


def test_what_lies_below_the_watermark_changes_nothing() -> None:
    progress = Progress(Mark(2, 5))

    assert progress.with_spans([span(0, 9), span(1, 5, life=2)]) == progress


def test_of_too_many_spans_the_last_are_forgotten() -> None:
    many = Progress().with_spans(span_of(Mark(1, 2 * n)) for n in range(1, SPANS_MAX + 10))

    assert len(many.above) == SPANS_MAX
    assert many.above[-1] == span_of(Mark(1, 2 * SPANS_MAX))


@pytest.mark.parametrize(
    ("holes", "parts"),
    [
        ([], [(0, 9)]),
        ([1], [(1, 9)]),
        ([9], [(0, 8)]),
        ([4], [(0, 3), (4, 9)]),
        ([4, 5], [(0, 3), (5, 9)]),
        ([0, 12], [(0, 9)]),
    ],
)
def test_a_span_without_its_holes(holes: list[int], parts: list[tuple[int, int]]) -> None:
    marks = {Mark(1, hole) for hole in holes}

    assert without(span(0, 9), marks) == [span(*part) for part in parts]


def test_one_origin_orders_by_number_and_two_by_clock() -> None:
    def stamp(origin: str, incarnation: int, seq: int, lamport_ts: int) -> Stamp:
        return Stamp(origin * 32, incarnation, seq, lamport_ts)

    assert stamp("a", 2, 1, 5).beats(stamp("a", 1, 9, 50))
    assert stamp("a", 1, 2, 5).beats(stamp("a", 1, 1, 50))
    assert not stamp("a", 1, 1, 5).beats(stamp("a", 1, 1, 5))
    assert stamp("a", 1, 1, 6).beats(stamp("b", 9, 9, 5))
    assert stamp("b", 1, 1, 5).beats(stamp("a", 9, 9, 5))


def test_a_new_peer_is_asked_at_once_and_once() -> None:
    schedule = Schedule(random.Random(1), now=100.0)
    schedule.peer_up("a", 101.0)

    assert schedule.next_at == 101.0
    assert schedule.due(101.0) == ["a"]
    assert schedule.due(102.0) == []


def test_rounds_come_every_30_to_60_seconds_with_one_peer_by_chance() -> None:
    schedule = Schedule(random.Random(7), now=0.0)
    for node_id in "abc":
        schedule.peer_up(node_id, 0.0)
    schedule.due(0.0)

    at, asked = 0.0, []
    for _ in range(200):
        before, at = at, schedule.next_at
        assert SYNC_INTERVAL_MIN_S <= at - before <= SYNC_INTERVAL_MAX_S
        asked += schedule.due(at)

    assert len(asked) == 200
    assert set(asked) == {"a", "b", "c"}


def test_news_is_passed_on_at_once_to_everybody_else() -> None:
    schedule = Schedule(random.Random(1), now=0.0)
    for node_id in "abc":
        schedule.peer_up(node_id, 0.0)
    schedule.due(0.0)
    schedule.learned_from("a", 1.0)

    assert schedule.due(1.0) == ["b", "c"]
    schedule.learned_from("b", 1.5)
    assert schedule.next_at == 1.0 + SYNC_PAUSE_S
    assert schedule.due(1.0 + SYNC_PAUSE_S) == ["a", "c"]


def test_a_peer_that_knows_more_is_asked_but_not_too_often() -> None:
    schedule = Schedule(random.Random(1), now=0.0)
    schedule.peer_up("a", 0.0)
    schedule.due(0.0)
    schedule.ask_soon("a", 1.0)
    schedule.ask_soon("stranger", 1.0)

    assert schedule.due(1.0) == []
    assert schedule.due(SYNC_PAUSE_S) == ["a"]


def test_pauses_grow_while_it_goes_on_and_shrink_after_quiet() -> None:
    pace = Pace()
    at, times = 100.0, []
    for _ in range(7):
        times.append(pace.next_at(at))
        assert pace.next_at(times[-1] - 0.01) == times[-1]  # it is pending: the same
        at = times[-1] + 0.1

    assert times == [100.0, 105.0, 115.0, 135.0, 175.0, 235.0, 295.0]
    assert pace.next_at(1_000.0) == 1_000.0
    assert pace.next_at(1_000.5) == 1_005.0


def test_a_peer_that_is_gone_is_not_asked() -> None:
    schedule = Schedule(random.Random(1), now=0.0)
    schedule.peer_up("a", 0.0)
    schedule.peer_down("a")

    assert schedule.due(100.0) == []


@pytest.mark.parametrize(
    ("is_ranked", "known_seq", "is_sent"),
    [
        (False, 1, True),
        (False, 2, False),
        (False, 3, False),
        (True, 1, True),
        (True, 2, False),
        (True, 3, True),
    ],
)
def test_numbers_tell_what_a_holder_lacks_unless_the_topic_has_its_own_order(
    is_ranked: bool, known_seq: int, is_sent: bool
) -> None:
    (store,) = stores(1)
    store.is_ranked = is_ranked
    store.publish(key(1))
    second = store.publish(key(1))
    item = store.live_items(0, 2**48)[0]
    known = Version(position=item.position, origin=store.id, incarnation=1, seq=known_seq)
    holding = Holding(lo=0, hi=2**48, versions=[known])

    response = answer(store, PAIR, PAIR.request(id=1, holdings=[holding]))

    assert response.frames == ([second.raw.decode()] if is_sent else [])
