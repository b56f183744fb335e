"""What a peer cannot do by lying, asking nonsense or inventing; whatever it says is bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import INTEGER_MAX
from p2p.sync.items import parts_of
from p2p.sync.marks import Mark
from p2p.sync.messages import (
    Cover,
    Holding,
    MarkSlice,
    OriginMark,
    Part,
    Split,
    SyncResponse,
)
from p2p.sync.opening import open_frames
from p2p.sync.responder import answer
from p2p.sync.session import Session
from tests.support.sync_stores import (
    PAIR,
    REGISTRY,
    TOPIC,
    key,
    pull,
    push,
    stores,
)
from tests.support.wire import NETWORK, sealed_note


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
    second = pull(victim, honest, insist=True)

    assert victim.live() == honest.live()
    # What was hidden is told from what is only new, so that the log can say so.
    assert (first.outcome.hidden, second.outcome.hidden) == (0, 2 if writer_goes_on else 1)


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
