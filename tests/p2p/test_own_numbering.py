"""A node's own records: those it has for others, and those it had before its home was copied."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketplace.messages import OfferingAnnounce, OfferingBody
from p2p import clock, outbox
from p2p.fetching import send_stored
from p2p.gossip.ids import id_of
from p2p.local import LocalNode, acting_as, incarnation, local_node, raise_incarnation_above
from p2p.models import NodeState, OutboxKind, OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.own_numbering import begin_life, notice_pushed, publish_again
from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity
from p2p.protocol.limits import WANTED_BYTES_PER_S
from p2p.protocol.signing import open_sealed
from p2p.protocol.timestamps import to_timestamp
from p2p.records import frames_of
from p2p.registration import registry

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
NETWORK = "galaxy"


def offer(number: int, expires_at: datetime) -> None:
    outbox.publish_record(
        OfferingAnnounce,
        now=NOW,
        offering=OfferingBody(
            id=f"{number:032x}",
            node_id=local_node().node_id,
            swarm="test",
            addresses=[],
            idle_agents=1,
            capabilities=[],
            price_per_task=5,
            currency="VOID",
            policy="accepted_result",
            isolation="worktree",
            api_keys=False,
            expires_at=to_timestamp(expires_at),
            created_at=to_timestamp(NOW),
        ),
    )


def sent_records() -> list[OfferingAnnounce]:
    rows = OutboxMessage.objects.filter(kind=OutboxKind.RECORD).order_by("id")
    return [open_sealed(bytes(row.frame), NETWORK, registry).message for row in rows]


@pytest.mark.parametrize(
    ("seen", "is_ahead", "next_own"),
    [
        ((1, 2), False, (1, 3)),
        ((1, 1), False, (1, 3)),
        ((1, 3), True, (NOW_S, 1)),
        ((7, 1), True, (NOW_S, 1)),
        ((NOW_S, 1), True, (NOW_S + 1, 1)),
    ],
)
def test_a_higher_own_record_at_a_peer_begins_a_new_incarnation(
    tmp_path: Path, seen: tuple[int, int], is_ahead: bool, next_own: tuple[int, int]
) -> None:
    home = LocalNode(tmp_path, Identity.generate(), NETWORK, "test")
    with acting_as(home):
        assert [clock.next_seq("t") for _ in range(2)] == [(1, 1), (1, 2)]

        assert notice_pushed("t", seen, 5, NOW) is is_ahead
        assert notice_pushed("t", seen, 5, NOW) is False

        assert clock.next_seq("t") == next_own


def test_the_incarnation_survives_being_raised_and_never_falls(tmp_path: Path) -> None:
    home = LocalNode(tmp_path, Identity.generate(), NETWORK, "test")
    with acting_as(home):
        assert raise_incarnation_above(4, NOW) == NOW_S
        assert raise_incarnation_above(2, NOW) == NOW_S
        assert incarnation() == NOW_S
        with pytest.raises(DomainError, match="no incarnation is higher than 9007199254740991"):
            raise_incarnation_above(2**53 - 1, NOW)
        NodeState.objects.filter(key="database_id").delete()
        assert incarnation() == NOW_S + 1


def test_what_still_counts_is_published_again_under_numbers_that_win(tmp_path: Path) -> None:
    registry.freeze()
    with acting_as(LocalNode(tmp_path, Identity.generate(), NETWORK, "test")):
        for number, ttl_s in ((1, 300), (2, -1), (3, 300)):
            offer(number, NOW + timedelta(seconds=ttl_s))
        before = sent_records()

        assert notice_pushed("marketplace", (1, 9), 5, NOW)

        again = sent_records()[3:]
        assert [(each.incarnation, each.seq) for each in again] == [(NOW_S, 1), (NOW_S, 2)]
        assert [each.offering for each in again] == [before[0].offering, before[2].offering]
        assert again[0].lamport_ts > before[2].lamport_ts
        stored = StoredRecord.objects.get(key=f"{1:032x}")
        assert (stored.incarnation, stored.seq) == (NOW_S, 1)
        assert clock.next_seq("marketplace") == (NOW_S, 3)


def test_what_came_with_the_backup_is_not_published_again(tmp_path: Path) -> None:
    """A removal that this home has forgotten would lose against a new copy of what it removed."""
    registry.freeze()
    with acting_as(LocalNode(tmp_path, Identity.generate(), NETWORK, "test")):
        offer(1, NOW + timedelta(seconds=300))
        offer(2, NOW + timedelta(seconds=300))
        begin_life(NOW)
        offer(3, NOW + timedelta(seconds=300))  # written by a home that may be an old copy

        assert notice_pushed("marketplace", (1, 9), 5, NOW)

        assert [each.offering.id for each in sent_records()[3:]] == [f"{3:032x}"]
        assert publish_again(NOW) == 0


def test_what_an_old_copy_writes_is_later_than_what_it_had_forgotten(tmp_path: Path) -> None:
    """Its clock may have been ahead of the wall clock by then: between origins the later wins."""
    ahead = int((NOW + timedelta(minutes=5)).timestamp() * 1000)
    registry.freeze()
    with acting_as(LocalNode(tmp_path, Identity.generate(), NETWORK, "test")):
        assert notice_pushed("marketplace", (1, 9), ahead, NOW)
        offer(1, NOW + timedelta(seconds=300))

        assert sent_records()[0].lamport_ts == ahead + 1


def test_only_wanted_records_that_still_count_are_fetched(tmp_path: Path) -> None:
    registry.freeze()
    with acting_as(LocalNode(tmp_path, Identity.generate(), NETWORK, "test")):
        for number in (1, 2, 2):
            offer(number, NOW + timedelta(seconds=300))
        frames = [bytes(row.frame) for row in OutboxMessage.objects.order_by("id")]
        first, superseded, second = (id_of(each) for each in sent_records())

        assert frames_of([first, superseded], NOW) == [frames[0]]
        assert frames_of([second, first], NOW) == [frames[0], frames[2]]
        assert frames_of([second._replace(incarnation=2)], NOW) == []
        assert frames_of([first, second], NOW + timedelta(days=1)) == []


def test_no_more_is_fetched_at_once_than_a_peer_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.freeze()
    with acting_as(LocalNode(tmp_path, Identity.generate(), NETWORK, "test")):
        for number in range(3):
            offer(number, NOW + timedelta(seconds=300))
        frames = [bytes(row.frame) for row in OutboxMessage.objects.order_by("id")]
        ids = [id_of(each) for each in sent_records()]
        monkeypatch.setattr("p2p.records.WANTED_BYTES_BURST", len(frames[0]) + len(frames[1]))

        assert frames_of(ids, NOW) == frames[:2]


async def test_who_fetches_much_waits_until_it_may_ask_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, bytes]] = []
    rests: list[float] = []

    async def on_database(*what: object) -> list[bytes]:
        return [b"x" * WANTED_BYTES_PER_S, b"y" * WANTED_BYTES_PER_S]

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr("p2p.fetching.asyncio.sleep", sleep)
    await send_stored(
        "a" * 32, [], send=lambda *what: bool(sent.append(what)), on_database=on_database
    )

    assert [(node_id, frame[:1]) for node_id, frame in sent] == [("a" * 32, b"x"), ("a" * 32, b"y")]
    assert rests == [2.0]
