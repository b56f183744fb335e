"""What two neighbours say of others: peer exchange."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from p2p.protocol.fields import Host, Name, NodeId, Port, about
from p2p.protocol.limits import PEX_ENTRIES_MAX
from p2p.protocol.messages import NeighbourMessage
from p2p.protocol.numbers import MessageNumber


class PexEntry(Struct, frozen=True, kw_only=True):
    """A node that the sender has met, and where it saw it."""

    node_id: Annotated[NodeId, about("the node; the later handshake decides")]
    host: Annotated[Host, about("IP address that the sender saw; names are ignored")]
    port: Annotated[Port, about("TCP port that the node says it listens at")]
    swarm: Annotated[Name, about("swarm that the node says it belongs to")]


class Pex(NeighbourMessage, frozen=True, kw_only=True, tag=MessageNumber.PEX.value):
    """Some nodes whose handshake the sender finished in the last 24 hours."""

    peers: Annotated[
        list[PexEntry],
        Meta(max_length=PEX_ENTRIES_MAX),
        about("a random choice, neither sender nor receiver"),
    ]
