"""What one pull costs, what it brings, and what a peer cannot do with it."""

from __future__ import annotations

import base64

import msgspec
import pytest

from p2p.protocol.codec import encode_message
from p2p.protocol.identity import Identity
from p2p.protocol.limits import (
    FRAME_BYTES_MAX,
    INTEGER_MAX,
    LEAF_ITEMS_MAX,
    PAGE_COVERS_MAX,
    PAGE_FRAMES_MAX,
    RECORD_BYTES_MAX,
)
from p2p.protocol.signatures import ENDING_BYTES, signed_bytes
from p2p.sync.items import digest_of, parts_of
from p2p.sync.judging import Authority
from p2p.sync.marks import Mark, Progress
from p2p.sync.messages import (
    Cover,
    MarkSlice,
    OriginMark,
    SyncRequest,
    SyncResponse,
)
from p2p.sync.responder import COVER_BYTES, answer
from tests.support.sync_stores import (
    PAIR,
    Exchange,
    MemoryStore,
    equal,
    key,
    pull,
    push,
    stores,
)
from tests.support.wire import NETWORK

ORIGINS = 20
RECORDS = 10_000


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


def test_no_range_takes_more_room_than_is_counted_for_it() -> None:
    largest = Cover(
        origin="f" * 32,
        from_incarnation=INTEGER_MAX,
        from_seq=INTEGER_MAX,
        through_incarnation=INTEGER_MAX,
        through_seq=INTEGER_MAX,
    )

    assert len(msgspec.json.encode(largest)) + 1 <= COVER_BYTES


def test_defect_20_many_ranges_and_the_largest_record_do_not_share_a_page() -> None:
    (store,) = stores(1)
    store.publish(key(1))
    store.kept[key(1)].raw = b"\\" * RECORD_BYTES_MAX  # every byte is escaped
    forgotten = [f"{number:032x}" for number in range(PAGE_COVERS_MAX)]
    assert max(forgotten) < store.id
    for origin in forgotten[1:]:  # of whom nothing is live any more
        store.progress[origin] = Progress(Mark(INTEGER_MAX, INTEGER_MAX))
    known = [OriginMark(origin=origin, incarnation=1, seq=1) for origin in forgotten]

    first = answer(store, PAIR, PAIR.request(id=1, marks=MarkSlice(marks=known)))
    second = answer(store, PAIR, PAIR.request(id=2, marks=MarkSlice(marks=[], after=forgotten[-1])))

    assert (len(first.covers), len(first.frames), first.more) == (PAGE_COVERS_MAX - 1, 0, True)
    assert (len(second.covers), len(second.frames), second.more) == (1, 1, False)
    for page in (first, second):
        assert len(encode_message(page)) < FRAME_BYTES_MAX


def test_defect_20_the_largest_records_of_all_are_synced_in_frames_below_the_limit() -> None:
    asker, other = stores(2)
    for number in range(5):
        other.publish(key(number))
        other.kept[key(number)].raw = padded(other.kept[key(number)].raw, other.identity)

    exchange = pull(asker, other)

    assert exchange.outcome.learned == 5
    assert equal([asker, other])
    assert FRAME_BYTES_MAX * 0.9 < exchange.frames_bytes_max < FRAME_BYTES_MAX


def padded(frame: bytes, identity: Identity) -> bytes:
    """Return a record as large as the protocol allows, as hard to escape, and signed again."""
    room = RECORD_BYTES_MAX - len(frame) - len(b',"later":""')
    body = frame[:-ENDING_BYTES] + b',"later":"' + b"\\" * (room // 2 * 2) + b'"'
    signature = base64.b64encode(identity.sign(signed_bytes(body, NETWORK)))
    return body + b',"sig":"' + signature + b'"}'


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
