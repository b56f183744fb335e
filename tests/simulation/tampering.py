"""A neighbour that mishandles frames: drops, doubles, delays and reorders them whole.

TCP does none of this. It is what a relay with a bug, or with bad intent, does to its peers.
"""

from __future__ import annotations

import random
import weakref
from dataclasses import dataclass, field
from typing import Any

from p2p.protocol.canonical import peek_number
from p2p.protocol.errors import ProtocolError
from p2p.protocol.frames import FrameDecoder, encode_frame
from p2p.protocol.numbers import MessageNumber

# Without these there is no link to mishandle.
_SPARED = frozenset(
    {
        MessageNumber.HELLO,
        MessageNumber.AUTH_CHALLENGE,
        MessageNumber.AUTH_RESPONSE,
        MessageNumber.AUTH_REJECT,
    }
)


@dataclass
class Tamper:
    """What happens to each frame of one direction, by probability."""

    chance: random.Random
    drop: float = 0.0
    double: float = 0.0
    late: float = 0.0
    late_s: float = 5.0
    _decoders: weakref.WeakKeyDictionary[Any, FrameDecoder] = field(
        default_factory=weakref.WeakKeyDictionary
    )

    def feed(self, stream: Any, data: bytes) -> list[tuple[float, bytes]]:
        """Return what arrives instead of some bytes of a stream: (seconds later, bytes)."""
        decoder = self._decoders.get(stream)
        if decoder is None:
            if not _begins_a_frame(data):
                return [(0.0, data)]  # in the middle of a frame: let it pass
            decoder = self._decoders[stream] = FrameDecoder()
        decoder.feed(data)
        arriving: list[tuple[float, bytes]] = []
        while (payload := decoder.next_frame()) is not None:
            arriving += self._mishandled(payload)
        return arriving

    def _mishandled(self, payload: bytes) -> list[tuple[float, bytes]]:
        frame = encode_frame(payload)
        try:
            if peek_number(payload) in _SPARED:
                return [(0.0, frame)]
        except ProtocolError:
            return [(0.0, frame)]
        if self.chance.random() < self.drop:
            return []
        copies = 2 if self.chance.random() < self.double else 1
        return [(self._delay_s(), frame) for _ in range(copies)]

    def _delay_s(self) -> float:
        if self.chance.random() >= self.late:
            return 0.0
        return self.chance.uniform(0.05, self.late_s)


def _begins_a_frame(data: bytes) -> bool:
    return data[4:12] == b'{"type":'
