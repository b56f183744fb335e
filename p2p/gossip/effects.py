"""What the gossip asks of whoever drives it, in the order in which it is to be done."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.gossip.ids import RecordId
from p2p.protocol.codec import Received
from p2p.protocol.messages import Record, Signed


@dataclass(frozen=True, slots=True)
class Send:
    """Queue a payload for a peer; `is_record` tells frames from talk about them."""

    node_id: str
    payload: bytes
    is_record: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand a verified message to this node, then call `accepted` or `refused`."""

    received: Received[Signed]
    from_node_id: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Look in the store of records for what a peer wants and send it what is there."""

    node_id: str
    ids: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True)
class OwnRecordAhead:
    """A record that this node signed, numbered higher than any that it knows to have signed."""

    record: Record


@dataclass(frozen=True, slots=True)
class Count:
    """Count an event, mostly a frame that was dropped, under its name.

    Where `by` names a peer the log says so, once, with the `detail`.
    """

    event: str
    by: str = ""
    detail: str = ""


Effect = Send | Deliver | Fetch | OwnRecordAhead | Count
