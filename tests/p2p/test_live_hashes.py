"""The remembered hash is what a fresh look would give: after writes, expiry, rollbacks and more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from p2p import live_hashes, records
from p2p.local import LocalNode, acting_as
from p2p.models import NodeState
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.limits import LIVE_HASH_KEPT_S, LIVE_HASHES_MAX
from p2p.protocol.messages import Record
from p2p.protocol.signing import seal
from p2p.record_store import TopicStore
from p2p.registration import Authority, Topic
from p2p.sync.items import WHOLE, hash_of
from tests.support.sync_stores import PAIR, TOPIC, Entry
from tests.support.wire import NETWORK, identity_number

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WRITER = identity_number(1)
EMPTY = hash_of([])


@pytest.fixture(autouse=True)
def local(tmp_path: Path) -> Iterator[LocalNode]:
    node = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    live_hashes._remembered.clear()
    with acting_as(node):
        yield node


def _expires_at(record: Record) -> datetime:
    assert isinstance(record, Entry)
    return datetime.fromtimestamp(record.until_ms / 1000, tz=UTC)


def store(now: datetime = NOW) -> TopicStore:
    topic = Topic(
        name=TOPIC,
        classes=(Entry,),
        authority=lambda record: Authority.APPLY,
        apply=lambda batch, now: None,
        expires_at=_expires_at,
        sync=PAIR,
    )
    return TopicStore(topic, now)


def put(seq: int, *, lives_s: float = 86_400.0, key: int | None = None) -> None:
    record = Entry(
        origin=WRITER.node_id,
        public_key=WRITER.public_key_text,
        lamport_ts=int(NOW.timestamp() * 1000),
        incarnation=1,
        seq=seq,
        id=f"{seq if key is None else key:032x}",
        until_ms=int((NOW.timestamp() + lives_s) * 1000),
    )
    assert store().apply((), [Received(record, seal(record, WRITER, NETWORK))]).learned == 1


def fresh(now: datetime = NOW) -> str:
    return hash_of(store(now).live_items(*WHOLE))


def test_an_unchanged_topic_is_read_once(django_assert_num_queries: Any) -> None:
    put(1)
    with django_assert_num_queries(3):
        first = store().live_hash()

    with django_assert_num_queries(1):
        again = store(NOW + timedelta(seconds=LIVE_HASH_KEPT_S - 1)).live_hash()

    assert first == again == fresh()


def test_every_write_makes_the_hash_anew() -> None:
    seen = [EMPTY]
    for seq, key in ((1, 1), (2, 2), (3, 1)):
        put(seq, key=key)
        seen.append(store().live_hash())
        assert seen[-1] == fresh()
    records.discard(TOPIC, [f"{1:032x}"])
    seen.append(store().live_hash())

    assert seen[-1] == fresh()
    assert len(set(seen)) == 5


def test_a_record_that_expires_leaves_the_hash_on_time() -> None:
    put(1)
    put(2, lives_s=60)
    both = store().live_hash()

    assert store(NOW + timedelta(seconds=59)).live_hash() == both
    at_the_end = store(NOW + timedelta(seconds=60)).live_hash()

    assert at_the_end == fresh(NOW + timedelta(seconds=60))
    assert at_the_end != both


def test_a_clock_that_was_put_back_is_not_answered_from_later() -> None:
    put(1)
    put(2, lives_s=60)
    store(NOW + timedelta(seconds=61)).live_hash()

    assert store().live_hash() == fresh()


def test_a_rollback_leaves_nothing_behind() -> None:
    put(1)
    before = store().live_hash()
    with pytest.raises(OSError, match="disk full"), transaction.atomic():
        put(2)
        inside = store().live_hash()
        raise OSError("disk full")

    assert inside != before
    assert store().live_hash() == before == fresh()


def test_what_another_process_wrote_counts_here() -> None:
    put(1)
    here = dict(live_hashes._remembered)
    store().live_hash()
    remembered = live_hashes._remembered.copy()
    live_hashes._remembered.clear()  # the other process has a memory of its own
    put(2)
    live_hashes._remembered.update({**here, **remembered})

    assert store().live_hash() == fresh()


def test_a_database_that_names_no_change_yet_is_always_read() -> None:
    put(1)
    NodeState.objects.all().delete()
    before = store().live_hash()
    StoredRecord.objects.all().delete()

    assert (before, store().live_hash()) != (EMPTY, EMPTY)
    assert store().live_hash() == EMPTY


def test_rows_that_were_changed_past_us_are_noticed_in_the_end() -> None:
    put(1)
    store().live_hash()
    StoredRecord.objects.all().delete()

    assert store(NOW + timedelta(seconds=LIVE_HASH_KEPT_S)).live_hash() == EMPTY


def test_only_so_many_hashes_are_remembered() -> None:
    for seq in range(1, LIVE_HASHES_MAX + 5):
        put(seq)
        store().live_hash()

    assert len(live_hashes._remembered) == LIVE_HASHES_MAX
