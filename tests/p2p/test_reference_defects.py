"""Defects of the program that this one replaces, each on the paths where it could come back.

More of them: `grep -rn test_defect_ tests`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2p import inbox
from p2p.local import LocalNode, acting_as
from p2p.models import InboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.sync.marks import Mark
from p2p.sync.messages import SyncResponse
from tests.support.gossip_machine import A, B, machine, sent
from tests.support.gossip_net import frame
from tests.support.sync_stores import key, open_unverified, pull, push, stores
from tests.support.wire import NETWORK, Nudge, identity_number, sealed_nudge

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVE = identity_number(2)
ORIGIN = 2


@pytest.mark.django_db
def test_defect_04_a_second_report_about_the_same_thing_is_handled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry of the work is a new command, whatever was said of the first try."""
    handled: list[str] = []
    monkeypatch.setattr(
        inbox, "handler_of", lambda _: lambda received, now: handled.append(received.message.text)
    )
    local = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    with acting_as(local):
        for msg_id in ("a" * 32, "b" * 32, "a" * 32):
            inbox.apply_batch([report(local, msg_id)], NOW)

    assert handled == ["completed", "completed"]
    assert InboxMessage.objects.count() == 2


def report(local: LocalNode, msg_id: str) -> Received:
    message = Nudge(
        origin=EVE.node_id,
        public_key=EVE.public_key_text,
        lamport_ts=1_000,
        to=local.node_id,
        msg_id=msg_id,
        text="completed",
    )
    return Received(message, sealed_nudge(EVE, local.node_id))


def test_defect_04_gossip_announces_and_asks_for_each_version_of_a_key() -> None:
    node = machine(A, B, eager_max=1)
    first, second = (frame(ORIGIN, seq, key=9) for seq in (1, 2))
    for each in (first, second):
        node.receive(A, each, 0.0)
        node.accepted(each, A, 0.0)

    [(to, told)] = sent(node.tick(1.0))

    assert (to, told.ids[0].seqs) == (B, [2])  # the one that counts, and not a silence


@pytest.mark.parametrize("by_push", [True, False])
def test_defect_05_a_stale_version_loses_however_it_comes(by_push: bool) -> None:
    writer, victim, liar = stores(3)
    versions = [writer.publish(key(1), text) for text in ("old", "new")]
    push(versions[1], victim)
    push(versions[0], liar)

    def serve_the_old(response: SyncResponse) -> SyncResponse:
        return replace(response, equal=False, frames=[versions[0].raw.decode()])

    if by_push:
        push(versions[0], victim)
    else:
        pull(victim, liar, insist=True, change=serve_the_old)

    assert victim.live() == {key(1): Mark(1, 2)}
    assert text_of(victim.kept[key(1)].raw) == "new"


def test_defect_06_sync_brings_a_change_of_what_is_held_and_of_every_origin() -> None:
    """Neither does it insert only, nor ask since one highest stamp of all origins."""
    slow, fast, puller = stores(3)
    push(slow.publish(key(1), "old"), puller)
    fast.clock.now_ms += 60_000
    push(fast.publish(key(2), "of a later time"), puller)
    fast.clock.now_ms -= 60_000
    slow.publish(key(1), "new")
    slow.publish(key(3), "below the puller's highest stamp")

    pull(puller, slow)

    assert {each: text_of(puller.kept[each].raw) for each in sorted(puller.kept)} == {
        key(1): "new",
        key(2): "of a later time",
        key(3): "below the puller's highest stamp",
    }


def text_of(raw: bytes) -> str:
    record: Record = open_unverified(raw.decode()).message
    return str(record.text)  # type: ignore[attr-defined]
