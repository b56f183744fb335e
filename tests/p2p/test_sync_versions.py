"""Which version of a record pull sync keeps and brings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from p2p import inbox, records, syncing, watermarks
from p2p.models import ParkedRecord, TopicSync, Watermark
from p2p.models import Record as StoredRecord
from p2p.record_store import TopicStore
from p2p.registration import Authority
from p2p.sync.marks import Mark, Progress, Span
from p2p.sync.messages import MarkSlice
from p2p.sync.responder import answer, live_hash
from tests.p2p.synced_layer import (
    NOW,
    NOW_MS,
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


def test_a_topics_own_order_comes_before_clock_and_number(layer: Layer) -> None:
    """As a task of a higher term replaces what an older emperor wrote later."""
    layer.topic = replace(layer.topic, rank=lambda record: (len(record.text),))  # type: ignore[attr-defined]
    apply(layer, entry(5, key=1, text="long"))

    assert apply(layer, entry(6, key=1, text="no"), entry(1, by=OTHER, key=1, text="it")) == 0
    assert apply(layer, entry(2, key=1, text="longer"), entry(9, key=1, text="short")) == 1

    stored = StoredRecord.objects.get()
    assert (stored.seq, layer.applied[-1].seq) == (2, 2)


def test_what_comes_with_its_proof_does_not_wait(layer: Layer) -> None:
    """In one page the proof may stand behind what rests on it."""
    stored = StoredRecord.objects.filter(key=f"{2:032x}")
    authority = lambda record: (  # noqa: E731
        Authority.NOT_YET if record.seq == 1 and not stored.exists() else Authority.APPLY
    )
    layer.topic = replace(layer.topic, authority=authority)

    apply(layer, entry(1), entry(2))

    assert [each.seq for each in layer.applied] == [2, 1]
    assert mark_of() == Mark(1, 2)
    assert not ParkedRecord.objects.exists()


def test_a_session_brings_another_database_up_to_this_one(layer: Layer) -> None:
    """The peer's answers are taken from our rows before these are removed."""
    apply(layer, entry(1), entry(2), entry(3, key=1), entry(1, by=OTHER, key=9))
    wanted_hash = live_hash(TopicStore(layer.topic, NOW))
    marks = watermarks.all_marks(TOPIC)
    request = PAIR.request(id=2, marks=MarkSlice(marks=[]))
    page = answer(TopicStore(layer.topic, NOW), PAIR, request)
    records.discard(TOPIC, live(layer))
    Watermark.objects.all().delete()

    session, asked = syncing.begin(layer.topic, NOW, insist=False)
    assert asked.hash != wanted_hash
    following = syncing.take(layer.topic, session, PAIR.response(re=1), [], NOW)
    assert following is not None and following.marks == MarkSlice(marks=[])
    opened = [entry(2), entry(3, key=1), entry(1, by=OTHER, key=9)]
    assert sorted(each.encode() for each in page.frames) == sorted(each.raw for each in opened)
    following = syncing.take(layer.topic, session, page, opened, NOW + timedelta(seconds=1))
    assert following is not None and following.hash == wanted_hash
    later = NOW + timedelta(seconds=2)
    done = syncing.take(layer.topic, session, PAIR.response(re=3, equal=True), [], later)

    assert done is None
    assert watermarks.all_marks(TOPIC) == marks
    assert TopicSync.objects.get().synced_at == later


def test_defect_04_every_version_of_a_record_is_told_apart(layer: Layer) -> None:
    """Dedup is by origin, topic, incarnation and seq: a second version of a key is no duplicate."""
    for seq in (1, 2, 3):
        inbox.apply_batch([entry(seq, key=7, text=f"version {seq}")], NOW)

    assert [each.seq for each in layer.applied] == [1, 2, 3]
    assert StoredRecord.objects.get().seq == 3


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_defect_05_a_stale_update_never_wins(layer: Layer, order: tuple[int, ...]) -> None:
    for seq in order:
        inbox.apply_batch([entry(seq, key=7, text=f"version {seq}")], NOW)

    assert StoredRecord.objects.get().seq == 3
    assert layer.applied[-1].seq == 3


def test_defect_06_sync_brings_updates_and_asks_by_origin(layer: Layer) -> None:
    """Anti-entropy replaces what it holds, and one origin's news hides nothing of another's."""
    apply(layer, entry(1, key=7, text="old"))
    apply(layer, entry(90, by=OTHER, key=8, lamport_ts=NOW_MS + 9_000))

    session, _ = syncing.begin(layer.topic, NOW, insist=False)
    request = syncing.take(layer.topic, session, PAIR.response(re=1), [], NOW)

    assert request is not None
    assert request.marks is not None
    asked = {each.origin: (each.incarnation, each.seq) for each in request.marks.marks}
    assert asked == {WRITER.node_id: (1, 1)}  # 90 came over a gap: everything below is asked for
    apply(layer, entry(2, key=7, text="new"), covers=[cover(2, after=1)])
    assert [record.text for record in layer.applied if record.key().endswith("7")] == [  # type: ignore[attr-defined]
        "old",
        "new",
    ]


def test_progress_survives_the_database(layer: Layer) -> None:
    progress = Progress(Mark(2, 9), (Span(Mark(2, 11), Mark(3, 4)),))
    watermarks.save(TOPIC, {WRITER.node_id: progress})

    assert watermarks.load(TOPIC, [WRITER.node_id, OTHER.node_id]) == {WRITER.node_id: progress}
