from __future__ import annotations

from typing import ClassVar

import pytest

from p2p.protocol.fields import Scope
from p2p.protocol.messages import LINK_MESSAGES, Ack, Message, Record
from p2p.protocol.numbers import MessageNumber
from p2p.protocol.registry import MessageRegistry
from tests.support.wire import Note


class Rival(Message, frozen=True, kw_only=True, tag=MessageNumber.POST.value):
    a: int


class Tagless(Message, frozen=True, kw_only=True):
    a: int


class Keyless(Record, frozen=True, kw_only=True, tag=MessageNumber.TASK_CREATE.value):
    topic: ClassVar[str] = "tasks"


class Topicless(Record, frozen=True, kw_only=True, tag=MessageNumber.TASK_CREATE.value):
    def key(self) -> str:
        return ""


class Contrarian(Note, frozen=True, kw_only=True, tag=MessageNumber.TASK_UPDATE.value):
    scope: ClassVar[Scope] = "swarm"


class Worldwide(Note, frozen=True, kw_only=True, tag=MessageNumber.TASK_UPDATE.value):
    topic: ClassVar[str] = "elsewhere"
    scope: ClassVar[str] = "world"  # type: ignore[assignment]


class Forger(Message, frozen=True, kw_only=True, tag=MessageNumber.PEX.value):
    sig: str


def test_every_registry_speaks_the_link_messages() -> None:
    assert set(MessageRegistry().classes) == {*LINK_MESSAGES, Ack}


def test_two_classes_cannot_share_a_number_but_one_may_come_twice() -> None:
    registry = MessageRegistry()
    registry.register(Note, Note)

    with pytest.raises(ValueError, match="number 0x02 of Rival is taken by Note"):
        registry.register(Rival)


@pytest.mark.parametrize(
    ("message_class", "complaint"),
    [
        (Tagless, "Tagless has no number"),
        (Keyless, "record Keyless has no key"),
        (Topicless, "record Topicless has no topic"),
        (Worldwide, "scope world of Worldwide is not that of elsewhere"),
        (Forger, "Forger has a field `sig`"),
    ],
)
def test_incomplete_classes_are_refused(message_class: type[Message], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MessageRegistry().register(message_class)


def test_a_topic_has_one_scope() -> None:
    registry = MessageRegistry()
    registry.register(Note)

    with pytest.raises(ValueError, match="scope swarm of Contrarian is not that of notes"):
        registry.register(Contrarian)

    assert registry.scopes == {"notes": "network"}


def test_a_frozen_registry_takes_no_more_and_an_open_one_decodes_nothing() -> None:
    registry = MessageRegistry()
    with pytest.raises(ValueError, match="not frozen yet"):
        registry.decode(b'{"type":6}')

    registry.freeze()
    registry.freeze()

    with pytest.raises(ValueError, match="frozen"):
        registry.register(Note)


def test_the_numbers_that_the_marketplace_counts_on() -> None:
    numbers = {number.name: int(number) for number in MessageNumber}

    assert len(numbers) == len(set(numbers.values()))
    assert (numbers["ACK"], numbers["GOODBYE"], numbers["TASK_PROGRESS"]) == (0x08, 0x09, 0x18)
    assert (numbers["OFFERING_ANNOUNCE"], numbers["TRIBUTE_REJECT"]) == (0xC0, 0xC4)
    assert (numbers["MARKETPLACE_SYNC_REQ"], numbers["MARKETPLACE_SYNC_RSP"]) == (0xC5, 0xC6)
    assert (numbers["TRIBUTE_CANCEL"], numbers["TRIBUTE_VERDICT"]) == (0xC7, 0xC8)
