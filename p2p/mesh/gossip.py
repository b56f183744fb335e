"""What becomes of a signed frame: delivered, handed on, dropped, or the link is to blame.

Without sockets, database or time of its own. Cheap checks come first: a signature is verified
once per node, and never for a record that was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from p2p.mesh.seen import SeenSet
from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS
from p2p.protocol.messages import Record, Signed, Targeted
from p2p.protocol.signatures import verify_sealed


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a frame; `dropped` names the reason, under which it is counted."""

    deliver: bool
    forward: bool = False
    dropped: str = ""


_DELIVER = Decision(deliver=True)
_SPREAD = Decision(deliver=True, forward=True)


class Gossip:
    """The flood of records with dedup, and the door for messages to this node."""

    def __init__(
        self, *, node_id: str, network: str, now_ms: Callable[[], int], seen_max: int
    ) -> None:
        """Take our id, the network's name, the wall clock in ms and the size of the memory."""
        self._node_id = node_id
        self._network = network
        self._now_ms = now_ms
        self._seen = SeenSet(seen_max)

    def receive(self, received: Received) -> Decision:
        """Decide on a frame that came after the handshake.

        Raises ProtocolError for a frame that an honest neighbour never sends: unsigned
        (`unexpected_message`), `identity_mismatch` or `bad_signature`.
        """
        message = received.message
        if not isinstance(message, Signed):
            name = type(message).__name__
            raise ProtocolError("unexpected_message", f"{name} after the handshake")
        if message.lamport_ts - self._now_ms() > CLOCK_AHEAD_MAX_MS:
            return Decision(deliver=False, dropped="too_far_ahead")
        if isinstance(message, Record):
            return self._on_record(message, received)
        if isinstance(message, Targeted):
            return self._on_targeted(message, received)
        return Decision(deliver=False, dropped="no_route")

    def forget(self, record: Record) -> None:
        """Let a record that could not be delivered come again."""
        self._seen.discard(_seen_key(record))

    def _on_record(self, record: Record, received: Received) -> Decision:
        if record.origin == self._node_id:
            return Decision(deliver=False, dropped="own_record")
        key = _seen_key(record)
        if key in self._seen:
            return Decision(deliver=False, dropped="seen")
        verify_sealed(record, received.raw, self._network)
        self._seen.add(key)
        return _SPREAD

    def _on_targeted(self, message: Targeted, received: Received) -> Decision:
        if message.to != self._node_id:
            return Decision(deliver=False, dropped="not_for_us")
        verify_sealed(message, received.raw, self._network)
        return _DELIVER


def _seen_key(record: Record) -> tuple[str, str, int, int]:
    return (record.origin, type(record).topic, record.incarnation, record.seq)
