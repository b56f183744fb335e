"""What one pull costs, what it brings, and what a peer cannot do with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from p2p.protocol.codec import encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import (
    FRAME_BYTES_MAX,
    INTEGER_MAX,
    LEAF_ITEMS_MAX,
    PAGE_FRAMES_MAX,
    RECORD_BYTES_MAX,
)
from p2p.sync.items import digest_of, parts_of
from p2p.sync.judging import Authority
from p2p.sync.marks import Mark
from p2p.sync.messages import (
    Cover,
    Holding,
    MarkSlice,
    OriginMark,
    Part,
    Split,
    SyncRequest,
    SyncResponse,
)
from p2p.sync.opening import open_frames
from p2p.sync.responder import answer
from p2p.sync.session import Session
from tests.support.sync_stores import (
    PAIR,
    REGISTRY,
    TOPIC,
    Clock,
    Exchange,
    MemoryStore,
    equal,
    pull,
    push,
)
from tests.support.wire import NETWORK, sealed_note

ORIGINS = 20
RECORDS = 10_000
WEEK_MS = 7 * 24 * 3_600_000


def stores(count: int = 3) -> list[MemoryStore]:
    clock = Clock()
    return [MemoryStore(number + 1, clock) for number in range(count)]


def key(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture(scope="module")
def full() -> tuple[list[MemoryStore], list[object]]:
    """Twenty writers with 500 records each, and everything that they wrote."""
    writers = stores(ORIGINS)
    written: list[object] = []
    for number in range(RECORDS):
        writer = writers[number % ORIGINS]
        written.append(writer.publish(key(number), f"record {number} of a busy network"))
    return writers, written


def holding_all(
    full: tuple[list[MemoryStore], list[object]], *, but: tuple[int, ...] = ()
) -> MemoryStore:
    """Return a store of its own with everything that was written, but for some."""
    writers, written = full
    store = MemoryStore(900, writers[0].clock)
    store.apply((), [each for n, each in enumerate(written) if n not in but])  # type: ignore[misc]
    return store


def test_equal_stores_cost_at_most_500_bytes(
    full: tuple[list[MemoryStore], list[object]],
) -> None:
    exchange = pull(holding_all(full), holding_all(full))

    assert exchange.outcome.equal
    assert (exchange.messages, exchange.wire_bytes) == (2, 131)


def test_one_missing_record_of_10_000_costs_at_most_8_kb(
    full: tuple[list[MemoryStore], list[object]],
) -> None:
    asker = holding_all(full, but=(RECORDS - 1,))

    exchange = pull(asker, holding_all(full))

    assert (exchange.outcome.learned, exchange.outcome.equal) == (1, True)
    assert exchange.messages == 6
    assert exchange.wire_bytes <= 3_000


def test_one_record_hidden_below_the_watermark_costs_at_most_8_kb(
    full: tuple[list[MemoryStore], list[object]],
) -> None:
    asker = holding_all(full)
    del asker.kept[key(77)]

    exchange = pull(asker, holding_all(full))

    assert exchange.outcome.learned == 1
    assert equal([asker, holding_all(full)])
    assert exchange.wire_bytes <= 8_000


def test_a_large_difference_comes_in_pages_below_the_frame_limit() -> None:
    asker, other = stores(2)
    text = 'a "quoted" text \\ ' * 250
    for number in range(600):
        other.publish(key(number), text)

    exchange = pull(asker, other)

    assert exchange.outcome.learned == 600
    assert equal([asker, other])
    assert exchange.wire_bytes > 3 * FRAME_BYTES_MAX
    assert exchange.frames_bytes_max < FRAME_BYTES_MAX


def test_the_largest_record_fits_into_a_page_however_it_is_escaped() -> None:
    (store,) = stores(1)
    for number in range(3):
        store.publish(key(number))
    store.kept[key(1)].raw = b"\\" * RECORD_BYTES_MAX  # every byte is escaped

    marks = MarkSlice(marks=[OriginMark(origin=store.id, incarnation=1, seq=1)])
    response = answer(store, PAIR, PAIR.request(id=1, marks=marks))

    assert (len(response.frames), response.more) == (2, False)
    assert len(encode_message(response)) < FRAME_BYTES_MAX


def test_superseded_and_expired_records_are_covered_without_a_frame() -> None:
    asker, other = stores(2)
    for text in ("first", "second", "third"):
        other.publish(key(1), text)
    other.publish(key(2), until_ms=other.clock.now_ms)
    other.publish(key(3))

    response = answer(other, PAIR, PAIR.request(id=1, marks=MarkSlice(marks=[])))
    exchange = pull(asker, other)

    assert len(response.frames) == 2
    assert [each.through_seq for each in response.covers] == [5]
    assert exchange.outcome.equal
    assert asker.marks() == {other.id: Mark(1, 5)}


def test_a_pushed_record_over_a_gap_moves_the_watermark_when_the_gap_closes() -> None:
    asker, other = stores(2)
    first, second, third = (other.publish(key(number)) for number in (1, 2, 3))

    push(third, asker)
    assert asker.marks() == {}
    push(first, asker)
    assert asker.marks() == {other.id: Mark(1, 1)}
    push(second, asker)
    assert asker.marks() == {other.id: Mark(1, 3)}


def test_a_peer_that_is_behind_is_spared_the_comparison_once() -> None:
    ahead, behind = stores(2)
    for number in range(500):
        ahead.publish(key(number))

    first = pull(ahead, behind)
    second = pull(ahead, behind, insist=True)

    assert (first.outcome.skipped_repair, first.messages) == (True, 4)
    assert (second.outcome.skipped_repair, second.messages) == (False, 6)


@pytest.mark.parametrize("writer_goes_on", [False, True])
def test_a_liar_about_watermarks_cannot_hide_a_record_for_good(writer_goes_on: bool) -> None:
    victim, liar, honest = stores(3)
    push(honest.publish(key(9), "known to all"), victim)
    push(honest.publish(key(1), "the truth"), liar)

    def lie(response: SyncResponse) -> SyncResponse:
        covers = [replace(each, through_seq=1_000) for each in response.covers]
        return replace(response, frames=[], covers=covers)

    pull(liar, honest)
    pull(victim, liar, change=lie)
    assert victim.live() == {key(9): Mark(1, 1)}
    assert victim.marks() == {honest.id: Mark(1, 1_000)}
    if writer_goes_on:
        honest.publish(key(2))

    first = pull(victim, honest)
    assert first.outcome.skipped_repair
    pull(victim, honest, insist=True)

    assert victim.live() == honest.live()


@pytest.mark.parametrize("lie", ["no digest differs", "everything is equal"])
def test_a_lying_answer_is_undone_by_the_next_honest_peer(lie: str) -> None:
    victim, liar, honest = stores(3)
    for number in range(100):
        push(honest.publish(key(number)), liar)
    for each in (liar, honest):
        pull(victim, each)
    del victim.kept[key(5)]

    def change(response: SyncResponse) -> SyncResponse:
        return replace(response, parts=[], equal=lie == "everything is equal")

    pull(victim, liar, change=change)
    assert key(5) not in victim.live()
    pull(victim, honest)

    assert victim.live() == honest.live()


def test_tombstones_do_not_resurrect() -> None:
    deleter, late, third = stores(3)
    old = deleter.publish(key(1), "old")
    for each in (late, third):
        push(old, each)
    deleter.publish(key(1), gone=True)
    pull(third, deleter)

    pull(third, late, insist=True)  # the stale node offers what was deleted
    pull(late, third)
    push(old, late)

    for each in (deleter, late, third):
        assert each.kept[key(1)].record.gone
        assert each.live() == {key(1): Mark(1, 2)}


def test_what_expired_still_keeps_out_what_it_replaced() -> None:
    writer, late, third = stores(3)
    old = writer.publish(key(1), "old")
    for each in (late, third):
        push(old, each)
    until_ms = writer.clock.now_ms + 1_000
    push(writer.publish(key(1), "new", until_ms=until_ms), third)
    writer.clock.now_ms += 2_000
    assert late.live() == {key(1): Mark(1, 1)}

    exchange = pull(third, late, insist=True)
    assert (exchange.outcome.learned, third.live()) == (0, {})

    pull(late, third, insist=True)
    assert late.live() == {}
    assert equal([late, third])


def test_a_record_that_must_wait_leaves_the_watermark_where_it_is() -> None:
    asker, other = stores(2)
    for number in range(4):
        other.publish(key(number))
    asker.authority = lambda record: Authority.NOT_YET if record.seq == 2 else Authority.APPLY

    pull(asker, other)
    assert asker.marks() == {other.id: Mark(1, 1)}
    assert len(asker.live()) == 3

    asker.authority = lambda _: Authority.APPLY
    pull(asker, other)
    assert asker.marks() == {other.id: Mark(1, 4)}
    assert asker.live() == other.live()


def test_a_record_that_is_refused_counts_as_received() -> None:
    asker, other = stores(2)
    for number in range(3):
        other.publish(key(number))
    asker.authority = lambda record: Authority.NEVER if record.seq == 2 else Authority.APPLY

    pull(asker, other)

    assert asker.marks() == {other.id: Mark(1, 3)}
    assert sorted(asker.live()) == [key(0), key(2)]


def test_colliding_positions_are_paged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.sync_stores.position_of", lambda _: 7)
    asker, other = stores(2)
    for number in range(PAGE_FRAMES_MAX + LEAF_ITEMS_MAX):
        push(other.publish(key(number)), asker)
    asker.kept.clear()

    pull(asker, other)

    assert asker.live() == other.live()


def cover(**changes: int) -> Cover:
    fields = {"from_incarnation": 1, "from_seq": 0, "through_incarnation": 1, "through_seq": 1}
    return Cover(origin="a" * 32, **{**fields, **changes})


@pytest.mark.parametrize(
    "change",
    [
        lambda response: replace(response, re=99),
        lambda response: replace(response, covers=[cover(through_seq=0)]),
        lambda response: replace(response, covers=[], frames=[], more=True),
        lambda response: replace(response, parts=response.parts and [Part(lo=3, hi=4, count=1)]),
        lambda response: replace(response, resume=5, frames=[]),
    ],
)
def test_an_answer_that_nobody_honest_gives_is_refused(
    change: Callable[[SyncResponse], SyncResponse],
) -> None:
    asker, other = stores(2)
    push(other.publish(key(1)), asker)
    del asker.kept[key(1)]

    with pytest.raises(ProtocolError, match="malformed"):
        pull(asker, other, change=change)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"hash": "a" * 64, "marks": MarkSlice(marks=[])},
        {"splits": [Split(lo=5, hi=5, digests=[])]},
        {"splits": [Split(lo=0, hi=16, digests=["a" * 32])]},
        {"splits": [Split(lo=0, hi=1, digests=[""]), Split(lo=0, hi=1, digests=[""])]},
        {"splits": [Split(lo=4, hi=5, digests=[""]), Split(lo=2, hi=3, digests=[""])]},
        {"holdings": [Holding(lo=9, hi=3)]},
        {"holdings": [Holding(lo=0, hi=9), Holding(lo=5, hi=12)]},
    ],
)
def test_a_request_that_asks_nonsense_is_refused(asked: dict[str, object]) -> None:
    (store,) = stores(1)
    request = PAIR.request(id=1, **asked)  # type: ignore[arg-type]

    with pytest.raises(ProtocolError, match="malformed"):
        answer(store, PAIR, request)


def test_ranges_of_unknown_origins_are_not_remembered() -> None:
    asker, other = stores(2)
    other.publish(key(1))
    names = [f"{number:032x}" for number in range(500)]

    def invent(response: SyncResponse) -> SyncResponse:
        invented = [replace(cover(), origin=name) for name in names]
        return replace(response, covers=[*response.covers, *invented])

    pull(asker, other, change=invent)

    assert asker.progress.keys() == {other.id}


def test_a_liar_cannot_make_us_split_beyond_what_we_hold() -> None:
    asker, other = stores(2)
    for number in range(300):
        push(asker.publish(key(number)), other)

    session = Session(PAIR, insist=True)
    request = session.start(asker)
    while request is not None:
        asked = [part for each in request.splits for part in parts_of(each.lo, each.hi)]
        lies = [Part(lo=lo, hi=hi, count=1_000_000) for lo, hi in asked]
        response = replace(answer(other, PAIR, request), equal=False, parts=lies)
        request = session.receive(asker, response, [])

    # 16 parts of 19 records, then 256 of one or two: all of them named in four requests
    assert session.outcome.steps == 2 + 1 + 1 + 4
    assert session.outcome.learned == 0


def test_marks_of_the_far_future_are_only_ahead() -> None:
    (store,) = stores(1)
    store.publish(key(1))
    mark = OriginMark(origin=store.id, incarnation=INTEGER_MAX, seq=INTEGER_MAX)

    response = answer(store, PAIR, PAIR.request(id=1, marks=MarkSlice(marks=[mark])))

    assert (response.covers, response.frames, response.behind) == ([], [], True)


def test_only_the_origins_of_the_slice_are_answered() -> None:
    asker, *others = stores(4)
    for number, each in enumerate(others):
        push(each.publish(key(number)), asker)
    first, second, third = sorted(each.id for each in others)

    def origins(**bounds: str) -> list[str]:
        request = PAIR.request(id=1, marks=MarkSlice(marks=[], **bounds))
        return [each.origin for each in answer(asker, PAIR, request).covers]

    assert origins() == [first, second, third]
    assert origins(through=first) == [first]
    assert origins(after=first, through=second) == [second]
    assert origins(after=second) == [third]


def test_more_origins_than_a_request_names_are_asked_for_slice_by_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p.sync.session.MARKS_MAX", 2)
    asker, other, *writers = stores(7)
    for number, writer in enumerate(writers):
        first = writer.publish(key(2 * number))
        for each in (asker, other):
            push(first, each)
        push(writer.publish(key(2 * number + 1)), other)

    exchange = pull(asker, other)

    assert exchange.outcome.learned == 5
    assert equal([asker, other])


def test_a_range_is_cut_into_equal_parts() -> None:
    assert parts_of(0, 32) == [(2 * n, 2 * n + 2) for n in range(16)]
    assert parts_of(3, 6) == [(3, 4), (4, 5), (5, 6)]
    assert parts_of(0, 17)[-1] == (16, 17)
    assert digest_of([]) == ""


def test_frames_are_opened_only_when_their_origin_signed_them() -> None:
    (store,) = stores(1)
    store.publish(key(1), "mine")
    frame = store.kept[key(1)].raw.decode()

    (opened,) = open_frames([frame], topic=TOPIC, network=NETWORK, registry=REGISTRY)
    assert opened.message == store.kept[key(1)].record

    forged = frame.replace("mine", "ours")
    for bad, reason in (
        (forged, "bad_signature"),
        (frame.replace(',"sig":', ',"gis":'), "unsigned"),
        ("{}", "not_canonical"),
        (sealed_note(store.identity).decode(), "unexpected_message"),
    ):
        with pytest.raises(ProtocolError, match=reason):
            open_frames([frame, bad], topic=TOPIC, network=NETWORK, registry=REGISTRY)


def test_the_request_says_what_it_asks(full: tuple[list[MemoryStore], list[object]]) -> None:
    asked: list[SyncRequest] = []
    asker, other = holding_all(full), holding_all(full)
    del asker.kept[key(1)]

    def noting(response: SyncResponse) -> SyncResponse:
        asked.append(PAIR.request(id=response.re))
        return response

    exchange: Exchange = pull(asker, other, change=noting)

    # hash, marks, three levels of key ranges, the frame
    assert exchange.outcome.steps == len(asked) == 6
