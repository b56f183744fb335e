"""The mesh: a listener, a dialler and the links between; all calls belong on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from p2p.gossip.ids import RecordId
from p2p.gossip.plumtree import Plumtree
from p2p.mesh.conduct import Conduct
from p2p.mesh.connection import Connection
from p2p.mesh.dialler import Dialler
from p2p.mesh.doorkeeper import Doorkeeper
from p2p.mesh.gossip import Gossip, Outlets
from p2p.mesh.links import LinkTable
from p2p.mesh.presence import Presence, info_of
from p2p.mesh.settings import MeshLimits, PeerInfo, Profile
from p2p.mesh.tls import Tls
from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.fields import Address
from p2p.protocol.handshake import PeerIdentity
from p2p.protocol.identity import Identity
from p2p.protocol.limits import ACCEPT_QUEUE_MAX
from p2p.protocol.messages import Hello, NeighbourMessage, Record
from p2p.protocol.numbers import PROTOCOL_VERSION
from p2p.protocol.registry import MessageRegistry

log = logging.getLogger(__name__)


def unix_ms() -> int:
    """Return the wall clock in unix milliseconds."""
    return time.time_ns() // 1_000_000


class Mesh:
    """One node's links to other nodes: gossip of records, messages to single nodes."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        profile: Profile,
        registry: MessageRegistry,
        deliver: Callable[[Received, str], bool],
        on_peer_up: Callable[[PeerInfo], None],
        on_peer_down: Callable[[str], None],
        on_neighbour: Callable[[Received[NeighbourMessage], str], None] | None = None,
        on_fetch: Callable[[str, Sequence[RecordId]], None] | None = None,
        on_own_record_ahead: Callable[[Record], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = unix_ms,
        chance: random.Random | None = None,
        secret_bytes: Callable[[int], bytes] = secrets.token_bytes,
        limits: MeshLimits | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Take who we are, our TLS (None: without, for loopback only) and whom to tell.

        `deliver(received, from_node_id)` gets every verified signed message and answers False
        when it has no room: a record is then asked for again, a command is resent by its sender.
        `on_neighbour(received, from_node_id)` gets what a neighbour says on its link only.
        `on_peer_up` is called at a node's first link, `on_peer_down` when its last one is gone,
        both when another of its links proves another membership.
        `on_fetch(node_id, ids)` is to send what the store has of records that a peer wants and
        the gossip no longer holds; `on_own_record_ahead` learns of a record in our own name that
        is numbered higher than those published here.
        `now` is a monotonic clock in seconds, `now_ms` the wall clock; `chance` spreads waits,
        `secret_bytes(count)` makes the nonces of handshakes.
        """
        self.profile = profile
        self.port = 0
        self.counters: Counter[str] = Counter()
        self._identity = identity
        self._network = network
        self._tls = tls
        self._registry = registry
        self._deliver = deliver
        self._on_peer_up = on_peer_up
        self._on_peer_down = on_peer_down
        self._on_neighbour = on_neighbour
        self._now = now
        self._now_ms = now_ms
        self._chance = chance or random.Random()
        self._secret_bytes = secret_bytes
        self._limits = limits or MeshLimits()
        self._connections: dict[Connection, None] = {}  # in order, as they were made
        self._links: LinkTable[Connection] = LinkTable(identity.node_id)
        self._presence = Presence(self._links, on_up=self._up, on_down=self._down)
        self._conduct = Conduct(now)
        self._door = Doorkeeper(
            profile=profile,
            links_max=self._limits.connections_max,
            links=self._links,
            conduct=self._conduct,
            count=self.count,
        )
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._all_closed = asyncio.Event()
        self._gossip = self._make_gossip(on_fetch, on_own_record_ahead)
        self._dialler = Dialler(
            new_connection=lambda: self._new_connection(outbound=True),
            linked=lambda node_id: node_id in self._links,
            may_dial=lambda node_id: self._door.may_dial(node_id),
            limits=self._limits,
            jitter=self._chance.random,
        )

    async def start(self, host: str, port: int) -> int:
        """Listen at the address, before anything is dialled, and return the bound port.

        Raises OSError when the address is in use, DomainError `message_invalid` when profile
        or network name do not fit into a HELLO.
        """
        loop = asyncio.get_running_loop()
        self._registry.freeze()
        encode_message(self.hello())
        self._server = await loop.create_server(self._accept, host, port, backlog=ACCEPT_QUEUE_MAX)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self, reason: str = "stopping") -> None:
        """Say goodbye to all, send what is queued and close; takes a bounded time."""
        self._stopping = True
        self._gossip.stop()
        await self._dialler.stop()
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close(reason)
        with contextlib.suppress(TimeoutError):
            # Each connection aborts itself after the close timeout; this bound is the second.
            async with asyncio.timeout(self._limits.close_timeout_s + 1.0):
                await self._until_all_closed()
        for connection in list(self._connections):
            connection.abort(reason)

    def dial(self, host: str, port: int) -> None:
        """Keep a link to this address, with jittered exponential back-off between attempts."""
        self._dialler.keep(host, port)

    def dial_node(self, node_id: str, addresses: Sequence[Address | Mapping[str, Any]]) -> None:
        """Try each address of a node once; nothing when it is linked or being dialled.

        Takes Address or its JSON form; ProtocolError `malformed` for anything else.
        """
        try:
            wanted = [_address(each) for each in addresses]
        except msgspec.ValidationError as error:
            raise ProtocolError("malformed", f"address of {node_id}: {error}") from error
        if wanted and node_id != self._identity.node_id and not self._stopping:
            self._dialler.round(node_id, wanted)

    def know_members(self, node_ids: Iterable[str]) -> None:
        """Learn which nodes proved to be of our swarm at any time: room is kept for them."""
        self._door.known_members = frozenset(node_ids) - {self._identity.node_id}

    def send(self, node_id: str, payload: bytes) -> bool:
        """Queue a payload for a node; False when it is not linked. Queued is not delivered."""
        link = self._links.best(node_id)
        return link is not None and link.write(payload)

    def publish(self, payload: bytes) -> int:
        """Spread a signed record of this node; return to how many peers it went at once.

        The others are told its id and may ask for it; one that was published already goes to
        nobody. Raises ProtocolError when the payload is no record that peers would take.
        """
        received = decode_payload(payload, self._registry)
        if not isinstance(received, Received) or not isinstance(received.message, Record):
            raise ProtocolError("not_a_record", f"cannot publish {payload[:24]!r}")
        return self._gossip.publish(Received(received.message, payload))

    def is_member(self, node_id: str) -> bool:
        """Tell whether a linked node is of our swarm and has proved it."""
        link = self._links.best(node_id)
        return link is not None and link.is_member

    def blame(self, node_id: str, error: ProtocolError) -> None:
        """Close the link to a node for a fault that was found after its frame was taken."""
        link = self._links.best(node_id)
        if link is not None:
            link.fail(error)

    def peers(self) -> list[PeerInfo]:
        """Return the linked nodes by node id."""
        return sorted((info_of(link) for link in self._links), key=lambda peer: peer.node_id)

    # What connections ask and tell (p2p.mesh.connection.ConnectionOwner).

    def hello(self) -> Hello:
        """Return our HELLO with a fresh connection nonce: the time in ms, then 16 random bits."""
        nonce = f"{self._now_ms() & (2**48 - 1):012x}{self._secret_bytes(2).hex()}"
        return Hello(
            version=PROTOCOL_VERSION,
            network=self._network,
            node_id=self._identity.node_id,
            public_key=self._identity.public_key_text,
            swarm=self.profile.swarm,
            role=self.profile.role,
            p2p_port=self.profile.p2p_port or self.port,
            http_port=self.profile.http_port,
            addresses=list(self.profile.addresses),
            capabilities=list(self.profile.capabilities),
            nonce=nonce,
        )

    def admit(self, connection: Connection, peer: PeerIdentity) -> None:
        """Refuse a proved peer that is banned or finds no place, and everybody while stopping."""
        if self._stopping:
            raise ProtocolError("stopping", "this node is about to stop")
        self._door.admit(peer, connection.host)

    def made(self, connection: Connection) -> None:
        """Hold a connection from its first moment on, so that `stop` can end it.

        Raises ProtocolError `banned` for a dialler from a host that is.
        """
        self._connections[connection] = None
        self._all_closed.clear()
        if connection.outbound or not connection.host:
            return
        if banned_s := self._conduct.banned_s(host=connection.host):
            raise ProtocolError("banned", f"for {banned_s:.0f} more seconds")

    def opened(self, connection: Connection) -> None:
        """Take a finished link."""
        self._presence.opened(connection)

    def received(self, connection: Connection, received: Received) -> None:
        """Pass a message of a finished link on: to who hears neighbours, or to the gossip."""
        if isinstance(received.message, NeighbourMessage):
            self._hear_neighbour(received, connection.node_id)
            return
        self._gossip.receive(connection.node_id, received)

    def closed(self, connection: Connection) -> None:
        """Forget a connection; its node is down when this was its last link."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._all_closed.set()
        if connection.peer is not None:
            self._presence.closed(connection)

    def at_fault(self, connection: Connection, error: ProtocolError) -> bool:
        """Count and judge a fault; tell whether the log has not named it lately.

        With a ban all other links of the node end too.
        """
        self.counters[error.reason] += 1
        # What answers at an address that we chose ourselves says nothing about its host.
        host = "" if connection.outbound else connection.host
        self._conduct.fault(error.reason, node_id=connection.node_id, host=host)
        if self._conduct.banned_s(node_id=connection.node_id):
            for link in self._links.all_of(connection.node_id):
                if link is not connection:
                    link.close("banned")
        if error.reason == "banned":
            return False  # named when the ban began
        return self._conduct.is_news(connection.node_id or connection.host, error.reason)

    def count(self, event: str) -> None:
        """Count an event under its name."""
        self.counters[event] += 1

    def name(self, who: str, event: str, detail: str) -> None:
        """Say once in the log what a peer does; it costs it nothing by itself."""
        if self._conduct.is_news(who, event):
            log.warning("%s: %s: %s", who, event, detail)

    def _up(self, peer: PeerInfo) -> None:
        self._gossip.peer_up(peer.node_id)
        self._on_peer_up(peer)

    def _down(self, node_id: str) -> None:
        self._gossip.peer_down(node_id)
        self._dialler.peers_changed()
        self._on_peer_down(node_id)

    def _make_gossip(
        self,
        on_fetch: Callable[[str, Sequence[RecordId]], None] | None,
        on_own_record_ahead: Callable[[Record], None] | None,
    ) -> Gossip:
        machine = Plumtree(
            node_id=self._identity.node_id,
            network=self._network,
            scopes=self._registry.scopes,
            is_member=self.is_member,
            latency_ms=self._latency_ms,
            now_ms=self._now_ms,
            limits=self._limits.gossip,
            chance=self._chance,
        )
        outlets = Outlets(
            send=self.send,
            deliver=self._delivered,
            count=self.count,
            name=self.name,
            fetch=on_fetch or (lambda node_id, ids: None),
            own_record_ahead=on_own_record_ahead or (lambda record: None),
        )
        return Gossip(machine, outlets, self._now)

    def _accept(self) -> asyncio.Protocol:
        strangers = sum(1 for each in self._connections if each.peer is None)
        if self._stopping or strangers >= self._limits.handshakes_max:
            self.counters["refused_stranger"] += 1
            if not self._stopping and self._conduct.is_news("strangers", "refused"):
                log.warning("%d handshakes are under way, more strangers are refused", strangers)
            return _Refusal()
        connection = self._new_connection(outbound=False)
        self.made(connection)
        return connection

    async def _until_all_closed(self) -> None:
        if self._connections:
            await self._all_closed.wait()

    def _new_connection(self, *, outbound: bool) -> Connection:
        return Connection(
            self,
            outbound=outbound,
            identity=self._identity,
            network=self._network,
            secret=self.profile.secret,
            tls=self._tls,
            registry=self._registry,
            limits=self._limits,
            now=self._now,
            now_ms=self._now_ms,
            secret_bytes=self._secret_bytes,
        )

    def _hear_neighbour(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        hear = self._on_neighbour
        if hear is not None:
            self._tell("on_neighbour", lambda: hear(received, from_node_id))

    def _latency_ms(self, node_id: str) -> float | None:
        link = self._links.best(node_id)
        return None if link is None else link.latency_ms

    def _delivered(self, received: Received, from_node_id: str) -> bool:
        try:
            return self._deliver(received, from_node_id)
        except Exception:
            log.exception("delivery of %s failed", type(received.message).__name__)
            return False

    def _tell(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("%s failed", what)


class _Refusal(asyncio.Protocol):
    """Hangs up at once: too many strangers are in the middle of their handshakes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _address(given: Address | Mapping[str, Any]) -> Address:
    return given if isinstance(given, Address) else msgspec.convert(given, Address)
