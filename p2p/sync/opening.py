"""Opening the frames of a response: decoded and verified, before any of them is believed."""

from __future__ import annotations

from collections.abc import Sequence

from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import Record
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import open_sealed


def open_frames(
    frames: Sequence[str], *, topic: str, network: str, registry: MessageRegistry
) -> list[Received[Record]]:
    """Return the records of a response.

    Raises ProtocolError for the first frame that is not a well-formed record of the topic with a
    right signature: whoever serves frames has verified them before.
    """
    return [_open(frame, topic, network, registry) for frame in frames]


def _open(frame: str, topic: str, network: str, registry: MessageRegistry) -> Received[Record]:
    try:
        payload = frame.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("malformed", "a frame of the page is not UTF-8") from error
    received = open_sealed(payload, network, registry)
    if not isinstance(received.message, Record) or type(received.message).topic != topic:
        detail = f"{type(received.message).__name__} in a page of topic {topic}"
        raise ProtocolError("unexpected_message", detail)
    return received
