"""Writes docs/protocol.md from the code itself: enough to write a client from that page alone."""

from __future__ import annotations

from collections.abc import Sequence

from p2p.protocol.documentation.examples import examples
from p2p.protocol.documentation.prose import (
    delivery,
    framing,
    handshaking,
    introduction,
    limits_and_numbers,
    transport,
)
from p2p.protocol.documentation.tables import message_tables
from p2p.protocol.messages import Message


def render(registry_classes: Sequence[type[Message]], upper_sections: Sequence[str] = ()) -> str:
    """Return the whole page in Markdown for the classes of a registry, ending in a line end.

    `upper_sections` are what the layers above say of their own messages.
    """
    sections = (
        introduction(),
        transport(),
        framing(),
        handshaking(),
        delivery(),
        *upper_sections,
        message_tables(registry_classes),
        examples(),
        limits_and_numbers(registry_classes),
    )
    return "\n\n".join(section.strip() for section in sections) + "\n"
