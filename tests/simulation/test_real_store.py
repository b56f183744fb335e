"""The tables in memory are equal to the database's: the same calls leave the same behind.

Everything that a run asked of the stores of its nodes is asked of the real one too, on SQLite,
call by call, and after each both must show the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from p2p import watermarks
from p2p.local import LocalNode, acting_as, incarnation
from p2p.models import ParkedRecord, TopicSequence
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received
from p2p.protocol.messages import Record
from p2p.record_rows import row_of, upsert
from p2p.record_store import TopicStore
from p2p.registration import Topic
from p2p.sync.items import WHOLE
from p2p.sync.judging import mark_of
from p2p.sync.marks import Mark, Span
from tests.simulation.plan import Kind, plan_of
from tests.simulation.store import TableStore, moment
from tests.simulation.topics import NETWORK, REGISTRY, TASKS, topics_of
from tests.simulation.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.faults]

SEEDS = (1, 2, 4)
NODES_REPLAYED = 2
# After these a store is another one.
_LEFT_OUT = {Kind.RESTORE, Kind.LOSE_DATABASE}


@dataclass(frozen=True)
class Call:
    """One change of a store, and what it showed afterwards."""

    what: str
    topic: str
    now_ms: int
    arguments: tuple[Any, ...]
    shown: tuple[Any, ...]


class Journal:
    """Writes down the calls to the stores of some nodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, node_ids: Sequence[str]) -> None:
        self.calls: dict[str, list[Call]] = {node_id: [] for node_id in node_ids}
        self.depth = 0  # a call inside of another is part of it
        for what in ("apply", "retry_parked", "store_own"):
            self._follow(monkeypatch, what)

    def _follow(self, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        original, journal = getattr(TableStore, what), self.calls

        def followed(store: TableStore, *arguments: Any) -> Any:
            self.depth += 1
            try:
                result = original(store, *arguments)
            finally:
                self.depth -= 1
            calls = journal.get(store._home.id)
            if calls is not None and not self.depth:
                shown = shown_by(store, store.marks(), sorted(store.table.parked))
                calls.append(Call(what, store.topic_name, store._now_ms, arguments, shown))
            return result

        monkeypatch.setattr(TableStore, what, followed)


def shown_by(store: Any, marks: dict[str, Mark], parked: list[Any]) -> tuple[Any, ...]:
    """Return everything that pull sync can see of a store."""
    keys = [item.key for item in store.kept_items(*WHOLE)]
    frames = {
        origin: list(store.frames_in(origin, Span(Mark(1, 1), Mark(1, 7)), 5))
        for origin in sorted(store.live_origins())
    }
    return (
        store.live_hash(),
        store.live_items(*WHOLE),
        store.kept_items(*WHOLE),
        store.kept_items(2**45, 2**47),
        marks,
        dict(store.frames_of(keys)),
        frames,
        parked,
    )


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Topic]]:
    def holds(key: str) -> bool:
        return StoredRecord.objects.filter(topic=TASKS, key=key).exists()

    monkeypatch.setattr("p2p.parking.registry", REGISTRY)
    monkeypatch.setattr("p2p.record_rows.registry", REGISTRY)
    return topics_of("swarm-0", holds)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_database_shows_what_the_tables_in_memory_show(
    seed: int, topics: dict[str, Topic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(seed, 8)
    plan.operations = [each for each in plan.operations if each.kind not in _LEFT_OUT]
    world = World(plan)
    nodes = world.honest[:NODES_REPLAYED]
    with monkeypatch.context() as context:
        journal = Journal(context, [node.id for node in nodes])
        world.run()

    for node in nodes:
        calls = journal.calls[node.id]
        assert len(calls) > 50
        with transaction.atomic():
            home = LocalNode(tmp_path / node.id, node.home.identity, NETWORK, "home")
            home.home.mkdir()
            with acting_as(home):
                incarnation()
                for number, call in enumerate(calls):
                    replay(call, topics[call.topic])
                    assert shown_by_database(call, topics) == call.shown, f"call {number}: {call}"
            transaction.set_rollback(True)


def replay(call: Call, topic: Topic) -> None:
    store = TopicStore(topic, moment(call.now_ms))
    if call.what == "store_own":
        write_own(topic, *call.arguments, call.now_ms)
    else:
        result = getattr(store, call.what)(*call.arguments)
        if any(type(each.message).__name__ == "Victory" for each in _winners(call)):
            TopicStore(topic, moment(call.now_ms)).retry_parked()
        assert result.learned >= 0


def _winners(call: Call) -> list[Received[Record]]:
    return list(call.arguments[1]) if call.what == "apply" else []


def write_own(topic: Topic, record: Record, raw: bytes, now_ms: int) -> None:
    upsert([row_of(topic, record, raw, moment(now_ms))])
    place = mark_of(record)
    TopicSequence.objects.update_or_create(
        topic=topic.name, defaults={"incarnation": place.incarnation, "seq": place.seq}
    )


def shown_by_database(call: Call, topics: dict[str, Topic]) -> tuple[Any, ...]:
    store = TopicStore(topics[call.topic], moment(call.now_ms))
    parked = ParkedRecord.objects.filter(topic=call.topic)
    places = parked.values_list("origin", "incarnation", "seq")
    return shown_by(
        store,
        watermarks.all_marks(call.topic),
        sorted((origin, Mark(life, seq)) for origin, life, seq in places),
    )
