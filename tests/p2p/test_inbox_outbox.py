"""Commands are done once and answered always; records are stored when they win."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from marketplace.messages import OfferingAnnounce, OfferingBody, TributeReject
from marketplace.models import Offering
from p2p import clock, inbox, outbox, records, relay, retention
from p2p.local import LocalNode, acting_as, incarnation, local_node
from p2p.models import InboxMessage, NodeState, OutboxKind, OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Ack
from p2p.protocol.signing import open_sealed, seal
from p2p.protocol.timestamps import to_timestamp
from p2p.registration import registry
from swarm.messages import TaskProgress

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NETWORK = "galaxy"


@pytest.fixture
def stranger(tmp_path: object) -> Iterator[Identity]:
    registry.freeze()
    yield Identity.generate()


def a_command(stranger: Identity, *, msg_id: str = "1" * 32, lamport_ts: int = 1) -> Received:
    message = TaskProgress(
        origin=stranger.node_id,
        public_key=stranger.public_key_text,
        lamport_ts=lamport_ts,
        to=local_node().node_id,
        msg_id=msg_id,
        task_id="2" * 32,
        agent_id="3" * 32,
        generation=1,
        status="in_progress",
        progress="busy",
        git_branch="task/22222222",
    )
    return open_sealed(seal(message, stranger, NETWORK), NETWORK, registry)


def an_offering(
    seller: Identity,
    *,
    seq: int,
    idle: int = 1,
    incarnation: int = 1,
    offering_id: str = "4" * 32,
    node_id: str | None = None,
) -> Received:
    message = OfferingAnnounce(
        origin=seller.node_id,
        public_key=seller.public_key_text,
        lamport_ts=int(NOW.timestamp() * 1000) + seq,
        incarnation=incarnation,
        seq=seq,
        offering=OfferingBody(
            id=offering_id,
            node_id=node_id or seller.node_id,
            swarm="andromeda",
            addresses=[],
            idle_agents=idle,
            capabilities=[],
            price_per_task=1,
            currency="VOID",
            policy="accepted_result",
            isolation="worktree",
            api_keys=False,
            expires_at=to_timestamp(NOW + timedelta(seconds=300)),
            created_at=to_timestamp(NOW),
        ),
    )
    return open_sealed(seal(message, seller, NETWORK), NETWORK, registry)


def answers() -> list[Ack]:
    rows = OutboxMessage.objects.filter(kind=OutboxKind.ANSWER).order_by("id")
    return [registry.decode(bytes(row.frame)) for row in rows]  # type: ignore[misc]


def test_a_command_is_answered_with_its_refusal(stranger: Identity) -> None:
    inbox.apply_batch([a_command(stranger)], NOW)

    (ack,) = answers()
    assert (ack.to, ack.re, ack.ok, ack.code) == (stranger.node_id, "1" * 32, False, "not_found")
    assert InboxMessage.objects.get().code == "not_found"


def test_a_duplicate_gets_the_stored_answer_again(
    stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[Received] = []

    def handler(received: Received, _now: datetime) -> None:
        handled.append(received)

    monkeypatch.setattr(inbox, "handler_of", lambda _: handler)
    command = a_command(stranger)
    inbox.apply_batch([command], NOW)
    OutboxMessage.objects.update(due_at=None, done_at=NOW)

    inbox.apply_batch([command, command], NOW + timedelta(seconds=5))

    assert len(handled) == 1
    row = OutboxMessage.objects.get(kind=OutboxKind.ANSWER)
    assert (row.done_at, row.due_at) == (None, NOW + timedelta(seconds=5))


def test_a_duplicate_is_answered_though_its_answer_was_forgotten(stranger: Identity) -> None:
    received = a_command(stranger)
    inbox.apply_batch([received], NOW)
    first = answers()[0]
    OutboxMessage.objects.filter(kind=OutboxKind.ANSWER).update(done_at=NOW, due_at=None)
    retention.forget_old(NOW + timedelta(days=2))
    assert answers() == []

    for _ in range(2):
        inbox.apply_batch([received], NOW + timedelta(days=2))

    [again] = answers()
    assert (again.re, again.ok, again.code) == (first.re, first.ok, first.code)


def test_a_record_that_fails_by_a_bug_leaves_the_commands_beside_it_alone(
    stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(inbox, "apply_records", fails)

    inbox.apply_batch([an_offering(stranger, seq=1), a_command(stranger)], NOW)

    assert InboxMessage.objects.count() == 1


def test_a_failing_command_leaves_its_neighbours_alone(
    stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(received: Received, _now: datetime) -> None:
        NodeState.objects.create(key=received.message.msg_id, value="done")
        if received.message.msg_id == "b" * 32:
            raise DomainError("refused", "not this one")
        if received.message.msg_id == "c" * 32:
            raise RuntimeError("a bug")

    monkeypatch.setattr(inbox, "handler_of", lambda _: handler)
    inbox.apply_batch([a_command(stranger, msg_id=each * 32) for each in "abcd"], NOW)

    kept = set(NodeState.objects.filter(value="done").values_list("key", flat=True))
    assert kept == {"a" * 32, "d" * 32}
    assert [(ack.re[0], ack.ok, ack.code) for ack in answers()] == [
        ("a", True, ""),
        ("b", False, "refused"),
        ("d", True, ""),
    ]
    assert not InboxMessage.objects.filter(msg_id="c" * 32).exists()


def test_a_command_is_kept_until_it_is_answered(stranger: Identity) -> None:
    row = outbox.send_command(
        TributeReject,
        to_node_id=stranger.node_id,
        now=NOW,
        tribute_id="5" * 32,
        code="refused",
        reason="no",
    )
    relay.note_sent([(row, True)], NOW)
    row.refresh_from_db()
    assert (row.done_at, row.attempts) == (None, 1)
    assert row.due_at is not None and row.due_at > NOW

    ack = Ack(
        origin=stranger.node_id,
        public_key=stranger.public_key_text,
        lamport_ts=1,
        to=local_node().node_id,
        re=row.msg_id,
        ok=True,
    )
    inbox.apply_batch([open_sealed(seal(ack, stranger, NETWORK), NETWORK, registry)], NOW)

    row.refresh_from_db()
    assert (row.outcome, row.due_at) == ("accepted", None)


@pytest.mark.parametrize(("age_s", "wait_s"), [(0, 1.0), (10, 1.0), (60, 6.0), (86_400, 30.0)])
def test_a_node_that_is_long_gone_is_tried_less_often(
    stranger: Identity, age_s: int, wait_s: float
) -> None:
    row = outbox.send_command(
        TributeReject,
        to_node_id=stranger.node_id,
        now=NOW,
        expires_in_s=None,
        tribute_id="1" * 32,
        code="refused",
        reason="no",
    )
    later = NOW + timedelta(seconds=age_s)

    relay.note_sent([(row, False)], later)

    row.refresh_from_db()
    assert row.due_at == later + timedelta(seconds=wait_s)


def test_only_the_addressee_can_answer_a_command(stranger: Identity) -> None:
    row = outbox.send_command(
        TributeReject,
        to_node_id="9" * 32,
        now=NOW,
        tribute_id="5" * 32,
        code="refused",
        reason="no",
    )
    ack = Ack(
        origin=stranger.node_id,
        public_key=stranger.public_key_text,
        lamport_ts=1,
        to=local_node().node_id,
        re=row.msg_id,
        ok=True,
    )
    inbox.apply_batch([open_sealed(seal(ack, stranger, NETWORK), NETWORK, registry)], NOW)

    row.refresh_from_db()
    assert row.done_at is None


def test_an_unanswered_command_expires_once(
    stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        inbox, "answer_handler_of", lambda _: lambda row, ok, code, detail, now: told.append(code)
    )
    outbox.send_command(
        TributeReject,
        to_node_id=stranger.node_id,
        now=NOW,
        expires_in_s=60,
        tribute_id="5" * 32,
        code="refused",
        reason="no",
    )

    for _ in range(2):
        rows = relay.take_due(NOW + timedelta(seconds=61))
        assert rows == []

    assert told == ["expired"]


def test_a_newer_record_replaces_and_an_older_one_does_not(stranger: Identity) -> None:
    for seq, idle in ((2, 2), (1, 1), (3, 3), (2, 2)):
        inbox.apply_batch([an_offering(stranger, seq=seq, idle=idle)], NOW)

    assert Offering.objects.get().idle_agents == 3
    assert StoredRecord.objects.get().seq == 3


def test_a_batch_with_two_versions_keeps_the_newer(stranger: Identity) -> None:
    batch = [an_offering(stranger, seq=seq, idle=seq) for seq in (3, 1, 2)]

    assert records.apply_records(batch, NOW) == 1

    assert Offering.objects.get().idle_agents == 3


def test_a_later_incarnation_beats_a_higher_seq(stranger: Identity) -> None:
    inbox.apply_batch([an_offering(stranger, seq=9, idle=9)], NOW)
    inbox.apply_batch([an_offering(stranger, seq=1, idle=1, incarnation=2)], NOW)

    assert Offering.objects.get().idle_agents == 1


@pytest.mark.parametrize("forged", ["other seller named", "other seller's id"])
def test_nobody_writes_the_offering_of_another(stranger: Identity, forged: str) -> None:
    inbox.apply_batch([an_offering(stranger, seq=1, idle=1)], NOW)
    thief = Identity.generate()
    named = stranger.node_id if forged == "other seller named" else None

    inbox.apply_batch([an_offering(thief, seq=99, idle=50, node_id=named)], NOW)

    assert Offering.objects.get().idle_agents == 1
    assert StoredRecord.objects.get().origin == stranger.node_id


def test_an_impossible_date_in_a_record_harms_nothing(stranger: Identity) -> None:
    good = an_offering(stranger, seq=1)
    message = good.message
    body = replace(message.offering, id="6" * 32, expires_at="2026-02-31T00:00:00Z")
    bad = replace(message, seq=2, offering=body)
    inbox.apply_batch([Received(bad, b"raw"), good], NOW)

    assert [offering.id for offering in Offering.objects.all()] == [UUID("4" * 32)]


def test_the_clock_never_runs_backwards() -> None:
    first = clock.tick(NOW)
    later = clock.tick(NOW - timedelta(hours=1))
    clock.witness(later + 5, NOW)
    far_ahead = int(NOW.timestamp() * 1000) + 3_600_000
    clock.witness(far_ahead, NOW)

    assert first == int(NOW.timestamp() * 1000)
    assert later == first + 1
    assert clock.tick(NOW) == later + 6


def test_the_incarnation_rises_when_the_database_is_lost(tmp_path: object) -> None:
    node = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")  # type: ignore[arg-type]
    with acting_as(node):
        assert (incarnation(), incarnation()) == (1, 1)
        assert clock.next_seq("posts") == (1, 1)
        assert clock.next_seq("posts") == (1, 2)
        NodeState.objects.all().delete()
        assert incarnation() == 2
        assert clock.next_seq("posts") == (2, 1)


def test_events_are_pruned_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 3)
    for number in range(5):
        outbox.publish_event("status", "tick", {"number": number}, now=NOW)

    retention.forget_old(NOW)

    kept = OutboxMessage.objects.filter(kind=OutboxKind.EVENT).order_by("id")
    assert [row.event["number"] for row in kept if row.event] == [2, 3, 4]
