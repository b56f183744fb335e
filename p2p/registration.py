"""Where the layers above register themselves downwards: messages, handlers and topics.

Each application calls these from its `AppConfig.ready`, so that the arrow of imports stays
downwards and every handler can be found with grep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p2p.models import OutboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.fields import Scope
from p2p.protocol.messages import Command, Flooded, Record
from p2p.protocol.registry import MessageRegistry
from p2p.sync.judging import Authority, Rank, Rule, no_rank
from p2p.sync.messages import SyncPair

CommandHandler = Callable[[Received[Any], datetime], None]
RefusalListener = Callable[[Received[Any], str, str, datetime], None]
AnswerHandler = Callable[[OutboxMessage, bool, str, str, datetime], None]


@dataclass(frozen=True)
class Topic:
    """A kind of replicated record: its classes, who may write a key and how to apply a batch.

    `apply` gets the records that won their key, oldest first, and runs inside the batch's
    transaction; `expires_at` says when a record stops to count (None: never). `sync` is the pair
    of message classes that pulls the topic. `forget` is told the keys of other nodes' records
    that are discarded, because they may be out of date, before they are pulled anew. A topic whose
    rule looks at its own rows gives `authority_in` as well: the rule for one batch, which reads
    once what all its records need. `rank` orders the versions of a key before all else, where a
    topic has an order of its own.
    """

    name: str
    classes: tuple[type[Record], ...]
    authority: Callable[[Record], Authority]
    apply: Callable[[Sequence[Record], datetime], None]
    expires_at: Callable[[Record], datetime | None]
    sync: SyncPair | None = None
    forget: Callable[[Sequence[str], datetime], None] | None = None
    authority_in: Callable[[Sequence[Record]], Callable[[Record], Authority]] | None = None
    rank: Callable[[Record], Rank] = no_rank

    def rule_for(self, batch: Sequence[Record]) -> Rule:
        """Return who may write the keys of a batch, and what orders their versions."""
        authority = self.authority if self.authority_in is None else self.authority_in(batch)
        return Rule(authority, self.rank)

    @property
    def scope(self) -> Scope:
        """How far the topic reaches, the same for all its classes."""
        return self.classes[0].scope


registry = MessageRegistry()
_handlers: dict[type[Command], CommandHandler] = {}
_flooded_handlers: dict[type[Flooded], CommandHandler] = {}
_answer_handlers: dict[int, AnswerHandler] = {}
_refusal_listeners: list[RefusalListener] = []
_topics: dict[str, Topic] = {}


def register_command(
    command: type[Command], handler: CommandHandler, on_answer: AnswerHandler | None = None
) -> None:
    """Register a command class, who handles it and who learns how ours were answered.

    `on_answer(outbox row, accepted, code, detail, now)` is called once: when the ACK came, or
    with accepted False and code `expired` when none came in time.
    """
    registry.register(command)
    _handlers[command] = handler
    if on_answer is not None:
        _answer_handlers[number_of(command)] = on_answer


def listen_to_refusals(listener: RefusalListener) -> None:
    """Register who learns of refused commands: (received, code, detail, now), with the answer."""
    _refusal_listeners.append(listener)


def refusal_listeners() -> Sequence[RefusalListener]:
    """Return all who learn of refused commands."""
    return tuple(_refusal_listeners)


def register_flooded(message: type[Flooded], handler: CommandHandler) -> None:
    """Register a class of flooded messages and who hears them; a refusal changes nothing."""
    registry.register(message)
    _flooded_handlers[message] = handler


def register_topic(topic: Topic) -> None:
    """Register a topic, its record classes and the messages of its sync."""
    registry.register(*topic.classes)
    _topics[topic.name] = topic
    if topic.sync is not None:
        registry.register(topic.sync.request, topic.sync.response)


def handler_of(command: Command) -> CommandHandler | None:
    """Return the handler of a command, or None when no layer wants it."""
    return _handlers.get(type(command))


def flooded_handler_of(message: Flooded) -> CommandHandler | None:
    """Return who hears a flooded message, or None when no layer wants it."""
    return _flooded_handlers.get(type(message))


def answer_handler_of(number: int) -> AnswerHandler | None:
    """Return who learns of the answers to commands with this message number."""
    return _answer_handlers.get(number)


def topic_of(record: Record) -> Topic | None:
    """Return the topic of a record, or None when no layer registered it."""
    return _topics.get(type(record).topic)


def topic_named(name: str) -> Topic:
    """Return a registered topic; KeyError for an unknown name."""
    return _topics[name]


def synced_topics() -> list[Topic]:
    """Return the topics that are pulled, by name."""
    return [topic for _, topic in sorted(_topics.items()) if topic.sync is not None]


def number_of(message_class: type[Any]) -> int:
    """Return the message number of a class, as in the wire table."""
    return int(message_class.__struct_config__.tag)
