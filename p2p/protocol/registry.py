"""Which classes travel on the wire; each app adds its own before the node starts."""

from __future__ import annotations

from typing import Any, Union, get_args

import msgspec

from p2p.protocol.fields import Scope
from p2p.protocol.messages import LINK_MESSAGES, Ack, Message, Record


class MessageRegistry:
    """A table from numbers to classes that becomes one decoder when it is frozen."""

    def __init__(self) -> None:
        """Start with the link messages and ACK, which every node speaks."""
        self.scopes: dict[str, Scope] = {}  # of each topic that has record classes
        self._classes: dict[int, type[Message]] = {}
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self.register(*LINK_MESSAGES, Ack)

    def register(self, *classes: type[Message]) -> None:
        """Add message classes; ValueError when a number is taken or a class is incomplete."""
        if self._decoder is not None:
            raise ValueError("the registry is frozen: register in AppConfig.ready")
        for message_class in classes:
            number = _number(message_class)
            taken_by = self._classes.setdefault(number, message_class)
            if taken_by is not message_class:
                raise ValueError(
                    f"number 0x{number:02X} of {message_class.__name__} "
                    f"is taken by {taken_by.__name__}"
                )
            if issubclass(message_class, Record):
                self._check_scope(message_class)

    def freeze(self) -> None:
        """Build the decoder; registering ends here. Calling it again changes nothing."""
        if self._decoder is None:
            self._decoder = msgspec.json.Decoder(Union[self.classes])  # noqa: UP007

    @property
    def classes(self) -> tuple[type[Message], ...]:
        """All registered classes in the order of their numbers."""
        return tuple(self._classes[number] for number in sorted(self._classes))

    def knows(self, number: int) -> bool:
        """Tell whether a class is registered for the number."""
        return number in self._classes

    def decode(self, payload: bytes) -> Message:
        """Return the typed message; raises what msgspec raises, ValueError before `freeze`."""
        if self._decoder is None:
            raise ValueError("the registry is not frozen yet")
        message: Message = self._decoder.decode(payload)
        return message

    def _check_scope(self, record_class: type[Record]) -> None:
        topic, scope = record_class.topic, record_class.scope
        if scope not in get_args(Scope) or self.scopes.setdefault(topic, scope) != scope:
            raise ValueError(f"scope {scope} of {record_class.__name__} is not that of {topic}")


def _number(message_class: type[Message]) -> int:
    tag = message_class.__struct_config__.tag
    if not isinstance(tag, int):
        raise ValueError(f"{message_class.__name__} has no number (tag=MessageNumber.X.value)")
    if "sig" in message_class.__struct_fields__:
        raise ValueError(f"{message_class.__name__} has a field `sig`, which is the signature's")
    if issubclass(message_class, Record):
        if not getattr(message_class, "topic", ""):
            raise ValueError(f"record {message_class.__name__} has no topic")
        if message_class.key is Record.key:
            raise ValueError(f"record {message_class.__name__} has no key()")
    return tag
