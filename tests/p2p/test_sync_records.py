"""Pull sync on the real tables: watermarks, parked records, tombstones, staleness, backups."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from p2p import clock, records, retention, syncing, watermarks
from p2p.local import LocalNode, incarnation, raise_incarnation_above
from p2p.models import NodeState, ParkedRecord, TopicSequence, TopicSync, Watermark
from p2p.models import Record as StoredRecord
from p2p.parking import PARKED_KEPT
from p2p.protocol.limits import INCARNATION_JUMP_MAX
from p2p.record_store import TopicStore
from p2p.registration import Authority
from p2p.sync.marks import Mark, Span
from p2p.sync.responder import live_hash
from tests.p2p.synced_layer import (
    NOW,
    NOW_MS,
    NOW_S,
    OTHER,
    WRITER,
    Layer,
    apply,
    cover,
    entry,
    live,
    mark_of,
)
from tests.support.sync_stores import PAIR, TOPIC

pytestmark = pytest.mark.django_db


def test_pushed_records_wait_above_a_gap_that_a_page_closes(layer: Layer) -> None:
    apply(layer, entry(1), entry(3), entry(4))
    assert mark_of() == Mark(1, 1)
    assert Watermark.objects.get().above == [[1, 2, 1, 4]]

    apply(layer, covers=[cover(2, after=1)])
    assert mark_of() == Mark(1, 4)
    assert Watermark.objects.get().above == []


def test_a_page_is_stored_whole_or_not_at_all(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(watermarks, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        apply(layer, entry(1), covers=[cover(5)])

    assert not StoredRecord.objects.exists()
    assert not Watermark.objects.exists()


def test_the_number_of_queries_does_not_grow_with_the_batch(
    layer: Layer, django_assert_num_queries: Any
) -> None:
    apply(layer, entry(1), entry(1, by=OTHER, key=50))
    batch = [entry(seq) for seq in range(2, 90)] + [entry(2, by=OTHER, key=951)]

    with django_assert_num_queries(7):
        assert apply(layer, *batch) == 89


def test_a_record_that_must_wait_is_parked_and_tried_again(layer: Layer) -> None:
    layer.answer[2] = Authority.NOT_YET
    apply(layer, entry(1), entry(2), entry(3), covers=[cover(3)])
    assert mark_of() == Mark(1, 1)
    assert [row.seq for row in ParkedRecord.objects.all()] == [2]
    assert records.retry_parked(TOPIC, NOW) == 0
    assert ParkedRecord.objects.count() == 1

    layer.answer.clear()
    assert records.retry_parked(TOPIC, NOW) == 1

    assert mark_of() == Mark(1, 3)
    assert not ParkedRecord.objects.exists()
    assert sorted(record.seq for record in layer.applied) == [1, 2, 3]


def test_parked_records_are_bounded_and_expire(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.parking.PARKED_MAX", 2)
    layer.answer = dict.fromkeys(range(1, 9), Authority.NOT_YET)
    for seq in (1, 2, 3, 2):
        apply(layer, entry(seq))
    assert [row.seq for row in ParkedRecord.objects.order_by("seq")] == [1, 2]

    retention.forget_old(NOW + PARKED_KEPT - timedelta(seconds=1))
    assert ParkedRecord.objects.count() == 2
    retention.forget_old(NOW + PARKED_KEPT)
    assert not ParkedRecord.objects.exists()


def test_a_record_far_ahead_is_neither_stored_nor_counted(layer: Layer) -> None:
    ahead = entry(1, lamport_ts=NOW_MS + 20 * 60_000)
    apply(layer, ahead, entry(2), covers=[cover(2)])

    assert live(layer) == [f"{2:032x}"]
    assert mark_of() is None
    later = NOW + timedelta(minutes=15)
    apply(layer, ahead, now=later)
    assert mark_of() == Mark(1, 2)


def test_a_page_moves_the_clock_only_as_far_as_it_is_believed(layer: Layer) -> None:
    syncing.witness([entry(1, lamport_ts=NOW_MS + 500), entry(2, lamport_ts=2**50)], NOW)

    assert clock.tick(NOW) == NOW_MS + 501


def test_an_expired_record_is_live_no_more_but_keeps_out_what_it_replaced(layer: Layer) -> None:
    old = entry(1, key=7)
    apply(layer, old)
    apply(layer, entry(2, key=7, until_ms=NOW_MS + 1_000))
    later = NOW + timedelta(seconds=2)

    assert live(layer, later) == []
    assert apply(layer, old, now=later) == 0
    retention.forget_old(NOW + timedelta(days=7))
    assert StoredRecord.objects.count() == 1
    retention.forget_old(NOW + timedelta(days=7, seconds=1))
    assert StoredRecord.objects.count() == 0


def test_what_is_over_when_it_comes_leaves_no_row(layer: Layer) -> None:
    assert apply(layer, entry(1, until_ms=NOW_MS - 1)) == 0

    assert not StoredRecord.objects.exists()
    assert layer.applied == []
    assert mark_of() == Mark(1, 1)


def test_the_watermark_of_who_left_nothing_is_forgotten(layer: Layer) -> None:
    apply(layer, entry(1, until_ms=NOW_MS + 1_000), entry(1, by=OTHER, key=9))
    retention.forget_old(NOW + timedelta(days=7))
    assert Watermark.objects.count() == 2

    retention.forget_old(NOW + timedelta(days=7, seconds=1))

    assert (mark_of(WRITER), mark_of(OTHER)) == (None, Mark(1, 1))


def test_a_tombstone_is_live_for_seven_days(layer: Layer) -> None:
    apply(layer, entry(1, key=7))
    apply(layer, entry(2, key=7, gone=True))

    assert live(layer, NOW + timedelta(days=7)) == [f"{7:032x}"]
    assert live(layer, NOW + timedelta(days=7, seconds=1)) == []
    assert apply(layer, entry(1, key=7), now=NOW + timedelta(days=8)) == 0


def test_a_topic_not_synced_for_seven_days_is_pulled_anew(layer: Layer, local: LocalNode) -> None:
    records.note_synced(layer.topic, NOW)
    layer.answer[9] = Authority.NOT_YET
    apply(layer, entry(1), entry(9))
    own = entry(1, by=local.identity, key=70)
    store = TopicStore(layer.topic, NOW)
    store.apply((), [own])

    assert records.discard_stale(layer.topic, NOW + timedelta(days=7)) == 0
    late = NOW + timedelta(days=7, seconds=1)
    assert records.discard_stale(layer.topic, late) == 1

    assert live(layer) == [f"{70:032x}"]
    assert mark_of() is None
    assert not ParkedRecord.objects.exists()
    assert layer.forgotten == [f"{1:032x}"]
    assert TopicSync.objects.get().synced_at == late
    assert records.discard_stale(layer.topic, late) == 0


def test_a_stale_node_discards_before_it_answers(layer: Layer) -> None:
    records.note_synced(layer.topic, NOW)
    apply(layer, entry(1))

    answered = syncing.answer(
        layer.topic,
        PAIR.request(id=1, hash=live_hash(TopicStore(layer.topic, NOW))),
        NOW + timedelta(days=8),
    )

    assert answered.payload == b'{"type":149,"re":1}'
    assert live(layer) == []


def test_own_records_ahead_of_us_begin_a_new_numbering(layer: Layer, local: LocalNode) -> None:
    incarnation()
    TopicSequence.objects.create(topic=TOPIC, incarnation=1, seq=40)
    assert mark_of(local.identity) == Mark(1, 40)

    apply(layer, entry(45, by=local.identity), covers=[cover(50, after=40, of=local.node_id)])

    assert (incarnation(), clock.next_seq(TOPIC)) == (NOW_S, (NOW_S, 1))
    assert live(layer) == [f"{45:032x}"]
    assert mark_of(local.identity) == Mark(NOW_S, 1)
    assert not Watermark.objects.exists()


def test_an_unsigned_claim_about_us_is_believed_once_an_hour(
    layer: Layer, local: LocalNode
) -> None:
    claim = cover(50, of=local.node_id)
    far = (local.node_id, Span(Mark(1, 0), Mark(NOW_S + 1 + INCARNATION_JUMP_MAX, 1)))
    apply(layer, covers=[far])
    assert incarnation() == 1

    apply(layer, covers=[claim])
    assert incarnation() == NOW_S
    claim = (local.node_id, Span(Mark(1, 0), Mark(NOW_S, 50)))
    apply(layer, covers=[claim], now=NOW + timedelta(minutes=59))
    assert incarnation() == NOW_S
    apply(layer, covers=[claim], now=NOW + timedelta(minutes=60))
    assert incarnation() == NOW_S + 3_600


def test_an_incarnation_is_raised_and_never_lowered(local: LocalNode) -> None:
    assert raise_incarnation_above(4, NOW) == NOW_S
    assert raise_incarnation_above(3, NOW) == NOW_S
    assert incarnation() == NOW_S
    assert json.loads((local.home / "incarnation.json").read_text())["incarnation"] == NOW_S
    NodeState.objects.all().delete()
    assert incarnation() == NOW_S + 1
