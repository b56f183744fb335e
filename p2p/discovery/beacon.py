"""The datagram by which a node says on its local network that it is there.

Unsigned, and believed for nothing: it adds a place to dial. Without sockets or time of its own.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from p2p.discovery.addresses import may_travel
from p2p.discovery.candidates import Contact
from p2p.protocol import limits
from p2p.protocol.errors import ProtocolError
from p2p.protocol.fields import Name, NodeId, Port, Sequence, about
from p2p.protocol.numbers import PROTOCOL_VERSION
from p2p.protocol.token_bucket import TokenBucket


class Beacon(Struct, frozen=True, kw_only=True):
    """What is broadcast: one JSON object of at most 512 bytes."""

    network: Annotated[Name, about("others than one's own are ignored")]
    node_id: Annotated[NodeId, about("the node; the later handshake decides")]
    p2p_port: Annotated[Port, about("TCP port that it listens at, on the datagram's source host")]
    version: Annotated[Sequence, about("protocol version; others than one's own are ignored")]


_decoder = msgspec.json.Decoder(Beacon)


class BeaconReader:
    """Turns datagrams into contacts; a flooder, or many, cost a bounded time and memory."""

    def __init__(self, *, network: str, own_node_id: str) -> None:
        """Take the name of our network and our node id."""
        self._network = network
        self._own_node_id = own_node_id
        self._sources: dict[str, TokenBucket] = {}
        self._all: TokenBucket | None = None

    def __len__(self) -> int:
        return len(self._sources)

    def read(self, data: bytes, host: str, now: float) -> Contact | None:
        """Return where a node of our network listens, None for our own beacon.

        Raises ProtocolError with the reason for anything else: `too_often`, `too_large`,
        `malformed`, `wrong_network`, `wrong_version` or `bad_address`.
        """
        if self._too_often(host, now):
            raise ProtocolError("too_often", host)
        if len(data) > limits.BEACON_BYTES_MAX:
            raise ProtocolError("too_large", f"{len(data)} bytes from {host}")
        try:
            beacon = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError("malformed", f"{host}: {str(error)[:200]}") from error
        if beacon.network != self._network:
            raise ProtocolError("wrong_network", f"{beacon.network} at {host}")
        if beacon.version != PROTOCOL_VERSION:
            raise ProtocolError("wrong_version", f"{beacon.version} at {host}")
        if beacon.node_id == self._own_node_id:
            return None
        if not may_travel(host, host):
            raise ProtocolError("bad_address", host)
        return Contact(beacon.node_id, host, beacon.p2p_port)

    def _too_often(self, host: str, now: float) -> bool:
        if self._all is None:
            self._all = TokenBucket(limits.BEACONS_PER_S, limits.BEACONS_BURST, now)
        if self._all.take(1, now) > 0:
            self._all.take(-1, now)  # what is refused costs nothing
            return True
        bucket = self._sources.get(host)
        if bucket is None:
            bucket = TokenBucket(
                limits.BEACONS_OF_SOURCE_PER_S, limits.BEACONS_OF_SOURCE_BURST, now
            )
            self._sources[host] = bucket
            if len(self._sources) > limits.BEACON_SOURCES_MAX:
                del self._sources[next(iter(self._sources))]
        if bucket.take(1, now) > 0:
            bucket.take(-1, now)
            return True
        return False


def beacon_of(*, network: str, node_id: str, p2p_port: int) -> bytes:
    """Return the datagram that a node broadcasts."""
    beacon = Beacon(network=network, node_id=node_id, p2p_port=p2p_port, version=PROTOCOL_VERSION)
    return msgspec.json.encode(beacon)
