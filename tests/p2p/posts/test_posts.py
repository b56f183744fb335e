"""The wall: what this node writes, what it believes of others, and that order does not matter."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p import inbox, outbox, records, retention
from p2p.local import incarnation, local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.posts import services, topic
from p2p.posts.messages import Post, PostBody, PostRemove
from p2p.posts.models import WallPost
from p2p.posts.queries import live_posts
from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.signing import open_sealed, seal
from p2p.protocol.timestamps import to_timestamp
from p2p.record_store import EXPIRED_KEPT
from p2p.registration import Authority, registry

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NETWORK = "galaxy"
ADA, EVE = (Identity.from_seed(bytes([n]) * 32) for n in (1, 2))


@pytest.fixture(autouse=True)
def _frozen_registry() -> None:
    registry.freeze()


def a_post(
    seq: int, *, by: Identity = ADA, at: datetime = NOW, text: str = "hello", **changes: Any
) -> Post:
    body = {
        "id": f"{seq:032x}",
        "content": text,
        "author": "ada",
        "node_id": by.node_id,
        "created_at": to_timestamp(at),
    }
    return Post(**_head(by, seq, at), post=PostBody(**{**body, **changes}))


def a_removal(
    seq: int, of: int, *, by: Identity = ADA, at: datetime = NOW, **changes: Any
) -> PostRemove:
    fields = {
        "post_id": f"{of:032x}",
        "node_id": by.node_id,
        "created_at": to_timestamp(at),
    }
    return PostRemove(**_head(by, seq, at), **{**fields, **changes})


def _head(by: Identity, seq: int, at: datetime) -> dict[str, Any]:
    return {
        "origin": by.node_id,
        "public_key": by.public_key_text,
        "lamport_ts": int(at.timestamp() * 1000) + seq,
        "incarnation": 1,
        "seq": seq,
    }


def receive(*messages: Record, now: datetime = NOW) -> None:
    inbox.apply_batch([received(each) for each in messages], now)


def received(message: Record) -> Received:
    signer = ADA if message.origin == ADA.node_id else EVE
    return open_sealed(seal(message, signer, NETWORK), NETWORK, registry)


def on_the_wall(now: datetime = NOW) -> list[str]:
    return [post.content for post in live_posts(now)]


def stored() -> set[tuple[str, int]]:
    return set(StoredRecord.objects.filter(topic="posts").values_list("origin", "seq"))


def events() -> list[tuple[str, str]]:
    rows = OutboxMessage.objects.filter(kind=OutboxKind.EVENT).order_by("id")
    told = [row.event for row in rows if row.event and row.event["type"] == "post_update"]
    return [(event["event"], event["post"]["content"]) for event in told]


def test_a_post_is_written_signed_and_told() -> None:
    post = services.publish_post(content=" hello\r\nworld \n", author=" ada ", now=NOW)

    row = WallPost.objects.get()
    assert (row.content, row.author, row.node_id) == (
        "hello\nworld",
        "ada",
        local_node().node_id,
    )
    assert (row.created_at, row.expires_at) == (NOW, NOW + timedelta(days=30))
    frame = bytes(OutboxMessage.objects.get(kind=OutboxKind.RECORD).frame)
    message = open_sealed(frame, local_node().network, registry).message
    assert isinstance(message, Post)
    assert message.key() == f"{local_node().node_id}-{post.post_id.hex}" == row.key
    assert (message.incarnation, message.seq) == (incarnation(), 1)
    assert events() == [("posted", "hello\nworld")]


def test_a_post_without_an_author_is_signed_by_the_swarm() -> None:
    assert services.publish_post(content="hello", author="", now=NOW).author == "home"


@pytest.mark.parametrize(
    ("content", "author", "code", "detail"),
    [
        (" \n ", "ada", "bad_content", "a post of 0 characters: 1 to 500 without NUL are allowed"),
        ("x" * 501, "ada", "bad_content", "a post of 501 characters: 1 to 500 without NUL"),
        ("a\0b", "ada", "bad_content", "a post of 3 characters: 1 to 500 without NUL"),
        ("hi", "a" * 65, "bad_author", "1 to 64 printable characters are allowed"),
        ("hi", "a\nb", "bad_author", "author 'a\\nb': 1 to 64 printable characters are allowed"),
        ("hi", "\u202eada", "bad_author", "author '\\u202eada': 1 to 64 printable"),
    ],
)
def test_a_bad_post_is_refused_and_nothing_happens(
    content: str, author: str, code: str, detail: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        services.publish_post(content=content, author=author, now=NOW)

    assert (refusal.value.code, refusal.value.status) == (code, 422)
    assert detail in refusal.value.message
    assert not WallPost.objects.exists()
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("content", ["x" * 500, "\u00e4" * 500, "\U0001f320" * 500, "a\tb\n\nc"])
def test_every_text_of_the_right_length_fits_the_wire(content: str) -> None:
    services.publish_post(content=content, author="\u03b1\u03b2\u03b3", now=NOW)

    assert WallPost.objects.get().content == content


def test_a_node_writes_ten_times_a_minute() -> None:
    for n in range(9):
        services.publish_post(content=f"post {n}", author="ada", now=NOW + timedelta(seconds=n))
    last = services.publish_post(content="post 9", author="ada", now=NOW + timedelta(seconds=9))
    services.remove_post(last.post_id, now=NOW + timedelta(seconds=10))

    with pytest.raises(DomainError) as refusal:
        services.publish_post(content="again", author="ada", now=NOW + timedelta(seconds=59))

    assert (refusal.value.code, refusal.value.status) == ("too_many_posts", 429)
    assert refusal.value.message == "10 posts and removals within a minute, 10 are allowed"
    assert WallPost.objects.count() == 9
    services.publish_post(content="later", author="ada", now=NOW + timedelta(seconds=60))
    assert on_the_wall()[0] == "later"


def test_a_failing_last_write_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(outbox, "publish_event", fail)
    with pytest.raises(RuntimeError):
        services.publish_post(content="hello", author="ada", now=NOW)

    assert not WallPost.objects.exists()
    assert not StoredRecord.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_removed_post_stays_removed_for_as_long_as_it_would_have_lived() -> None:
    post = services.publish_post(content="oops", author="ada", now=NOW)
    at = NOW + timedelta(days=3)

    services.remove_post(post.post_id, now=at)

    assert on_the_wall() == []
    record = StoredRecord.objects.get(topic="posts")
    assert (record.deleted, record.seq) == (True, 2)
    assert record.expires_at == NOW + timedelta(days=30)
    assert events() == [("posted", "oops"), ("removed", "oops")]
    with pytest.raises(DomainError) as refusal:
        services.remove_post(post.post_id, now=at)
    assert (refusal.value.code, refusal.value.status) == ("not_found", 404)


def test_only_ones_own_posts_can_be_removed() -> None:
    receive(a_post(1))

    with pytest.raises(DomainError) as refusal:
        services.remove_post(UUID(int=1), now=NOW)

    assert (refusal.value.code, refusal.value.status) == ("not_ours", 403)
    assert on_the_wall() == ["hello"]
    assert not OutboxMessage.objects.filter(kind=OutboxKind.RECORD).exists()


def test_a_post_of_another_node_is_shown_once() -> None:
    receive(a_post(1), a_post(1))
    receive(a_post(1))

    assert on_the_wall() == ["hello"]
    assert events() == [("posted", "hello")]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("batches", [1, 2])
def test_a_removal_wins_whenever_it_comes(order: list[int], batches: int) -> None:
    both = [a_post(1), a_removal(2, of=1)]
    in_order = [both[n] for n in order]

    for batch in [in_order] if batches == 1 else [[each] for each in in_order]:
        receive(*batch)

    assert on_the_wall() == []
    assert stored() == {(ADA.node_id, 2)}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(a_post(1, by=EVE, node_id=ADA.node_id), id="in another's name"),
        pytest.param(a_removal(1, of=1, by=EVE, node_id=ADA.node_id), id="removes another's"),
        pytest.param(
            a_post(1, by=EVE, created_at=to_timestamp(NOW + timedelta(seconds=1))),
            id="dated after its own clock",
        ),
        pytest.param(a_post(1, by=EVE, created_at="9999-12-31T23:59:59Z"), id="at the end of time"),
    ],
)
def test_what_a_node_may_not_write_changes_nothing(message: Record) -> None:
    receive(a_post(1, by=ADA))

    assert topic.authority_of(message) is Authority.NEVER
    receive(message)

    assert on_the_wall() == ["hello"]
    assert stored() == {(ADA.node_id, 1)}


def test_an_impossible_date_changes_nothing() -> None:
    message = a_post(1, created_at="2026-02-30T00:00:00Z")

    with pytest.raises(ProtocolError):
        topic.authority_of(message)
    receive(message)

    assert stored() == set()


def test_nobody_can_occupy_the_id_of_anothers_post() -> None:
    receive(a_post(1, by=EVE, text="first!"))
    receive(a_post(1, by=ADA, text="mine"))
    receive(a_removal(2, of=1, by=EVE))

    assert on_the_wall() == ["mine"]


def test_posts_end_by_themselves() -> None:
    receive(a_post(1))
    at = NOW + timedelta(days=30)

    assert on_the_wall(at - timedelta(seconds=1)) == ["hello"]
    assert on_the_wall(at) == []
    retention.forget_old(at)
    assert not WallPost.objects.exists()
    retention.forget_old(at + EXPIRED_KEPT)
    assert stored() == set()


@pytest.mark.parametrize("content", ["", " \n ", "x" * 501, "a\0b"])
def test_a_text_that_does_not_fit_breaks_the_protocol(content: str) -> None:
    good = encode_message(a_post(1, text="PLACEHOLDER"))
    text = content.replace("\n", "\\n").replace("\0", "\\u0000").encode()

    with pytest.raises(ProtocolError) as refusal:
        decode_payload(good.replace(b"PLACEHOLDER", text), registry)

    assert refusal.value.reason == "malformed"


def test_the_first_ten_of_a_minute_count_in_whatever_order_they_come() -> None:
    posts = [a_post(n, text=f"post {n}") for n in range(1, 13)]
    other_minute = a_post(13, at=NOW + timedelta(minutes=1), text="next minute")
    everything = [*posts, other_minute, *(a_post(n, by=EVE, text=f"eve {n}") for n in (1, 2))]
    expected = {(ADA.node_id, n) for n in (*range(1, 11), 13)} | {(EVE.node_id, n) for n in (1, 2)}

    for seed in range(20):
        StoredRecord.objects.all().delete()
        WallPost.objects.all().delete()
        random.Random(seed).shuffle(everything)
        for batch in _batches(everything, size=1 + seed % 4):
            receive(*batch, now=NOW + timedelta(minutes=2))

        assert stored() == expected, seed
        assert WallPost.objects.count() == len(expected)


def test_the_newest_five_hundred_of_a_node_count() -> None:
    ages = [timedelta(minutes=n) for n in range(600)]
    for batch in _batches([a_post(n + 1, at=NOW + age) for n, age in enumerate(ages)], size=100):
        receive(*batch, now=NOW + ages[-1])
    receive(a_post(1, by=EVE, text="eve"), now=NOW + ages[-1])

    assert stored() == {(ADA.node_id, n) for n in range(101, 601)} | {(EVE.node_id, 1)}
    assert WallPost.objects.filter(node_id=ADA.node_id).count() == 500
    receive(a_post(100, at=NOW + ages[99]), now=NOW + ages[-1])
    assert (ADA.node_id, 100) not in stored()
    assert ("posted", "eve") in events()


def test_a_removal_takes_its_place_among_the_five_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "POSTS_PER_ORIGIN_MAX", 3)
    ages = [timedelta(minutes=n) for n in range(3)]
    receive(*(a_post(n + 1, at=NOW + age, text=f"{n + 1}") for n, age in enumerate(ages)))
    receive(a_removal(4, of=1), a_post(5, at=NOW + timedelta(minutes=4), text="5"))

    assert stored() == {(ADA.node_id, n) for n in (3, 4, 5)}
    assert on_the_wall() == ["5", "3"]
    receive(a_post(1, text="1"), a_post(2, at=NOW + ages[1], text="2"))
    assert on_the_wall() == ["5", "3"]


@settings(max_examples=60)
@given(st.data())
def test_any_order_of_the_same_records_gives_the_same_wall(data: st.DataObject) -> None:
    everything: list[Record] = [
        *(a_post(n, text=f"{n}", at=NOW + timedelta(seconds=20 * n)) for n in range(1, 6)),
        *(a_removal(n + 5, of=n, at=NOW + timedelta(seconds=20 * n)) for n in (2, 4)),
        *(a_post(n, by=EVE, text=f"eve {n}") for n in (1, 2)),
    ]
    order = data.draw(st.permutations(everything))
    repeated = data.draw(st.lists(st.sampled_from(everything), max_size=6))
    StoredRecord.objects.all().delete()
    WallPost.objects.all().delete()

    for batch in _batches([*order, *repeated], size=data.draw(st.integers(1, 12))):
        receive(*batch, now=NOW + timedelta(minutes=5))

    assert set(on_the_wall()) == {"1", "3", "5", "eve 1", "eve 2"}
    assert records.apply_records([received(each) for each in everything], NOW) == 0


def _batches(messages: Sequence[Record], *, size: int) -> list[list[Record]]:
    return [list(messages[n : n + size]) for n in range(0, len(messages), size)]
