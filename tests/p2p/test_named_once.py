"""Records and commands that break a rule are named in the log once, however many come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from p2p import inbox
from p2p.local import LocalNode, acting_as
from p2p.models import InboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.identity import Identity
from p2p.protocol.limits import INTEGER_MAX
from p2p.protocol.messages import Record
from p2p.protocol.news import News
from p2p.sync import judging
from p2p.sync.judging import Authority
from tests.support.sync_stores import key, push, stores
from tests.support.wire import NETWORK, Nudge, identity_number, sealed_nudge

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVE = identity_number(2)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of what was said of late."""
    made = Clock()
    for module in (judging, inbox):
        monkeypatch.setattr(module, "_said", News(made))
    return made


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_records_of_a_far_future_are_named_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    victim, liar = stores(2)
    liar._lamport = INTEGER_MAX - 10
    for number in range(5):
        push(liar.publish(key(number)), victim)

    assert victim.live() == {}
    assert victim.progress == {}
    first = f"its clock is {INTEGER_MAX - 9}"
    assert warnings(caplog) == [f"record of entries from {liar.id}: too_far_ahead: {first}"]


def test_records_that_break_their_topics_rule_are_named_once_in_ten_minutes(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(record: Record) -> Authority:
        raise ProtocolError("malformed", "no such day")

    victim, liar = stores(2)
    victim.authority = refuse
    for number in range(5):
        push(liar.publish(key(number)), victim)
    assert len(warnings(caplog)) == 1
    clock.now += 601
    push(liar.publish(key(9)), victim)

    assert victim.live() == {}
    assert warnings(caplog) == 2 * [f"record of entries from {liar.id}: malformed: no such day"]


@pytest.mark.django_db
def test_commands_that_break_the_protocol_are_named_once(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def handler(received: Received, _now: datetime) -> None:
        raise ProtocolError("malformed", "no such day")

    monkeypatch.setattr(inbox, "handler_of", lambda _: handler)
    local = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    with acting_as(local):
        for number in range(3):
            inbox.apply_batch([command(local, f"{number:032x}")], NOW)

    assert InboxMessage.objects.filter(accepted=False, code="malformed").count() == 3
    assert warnings(caplog) == [f"Nudge from {EVE.node_id}: malformed: no such day"]


def command(local: LocalNode, msg_id: str) -> Received:
    nudge = Nudge(
        origin=EVE.node_id,
        public_key=EVE.public_key_text,
        lamport_ts=1_000,
        to=local.node_id,
        msg_id=msg_id,
        text="now",
    )
    return Received(nudge, sealed_nudge(EVE, local.node_id))
