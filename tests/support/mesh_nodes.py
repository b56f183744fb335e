"""Real meshes on loopback: nodes that note what they are told, and raw peers that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2p.gossip.ids import RecordId
from p2p.gossip.settings import GossipLimits
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import MeshLimits, PeerInfo, Profile
from p2p.mesh.tls import Tls
from p2p.protocol.codec import Received, UnknownMessage, decode_payload
from p2p.protocol.frames import FrameDecoder, encode_frame
from p2p.protocol.handshake import Handshake
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Message, Record, Signed
from tests.support.wire import NETWORK, hello_of, registry_with_test_messages

HOST = "127.0.0.1"
QUICK = MeshLimits(
    backoff_min_s=0.02,
    backoff_max_s=0.2,
    drain_s=0.2,
    close_timeout_s=0.5,
    gossip=GossipLimits(ihave_delay_s=0.01, graft_after_s=0.05, want_again_s=0.05),
)


def any_certificate() -> ssl.SSLContext:
    """Return a client's context that takes every certificate, as a dialler's must."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def until(condition: Callable[[], object], within_s: float = 8.0) -> None:
    """Wait until the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind, no event to wait for
            await asyncio.sleep(0.005)


@dataclass
class Node:
    """A mesh with a diary."""

    identity: Identity
    mesh: Mesh
    up: list[PeerInfo] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    inbox: list[tuple[Signed, str]] = field(default_factory=list)
    fetches: list[tuple[str, tuple[RecordId, ...]]] = field(default_factory=list)
    own_ahead: list[Record] = field(default_factory=list)
    has_room: bool = True

    @property
    def id(self) -> str:
        return self.identity.node_id

    def linked(self) -> set[str]:
        return {peer.node_id for peer in self.mesh.peers()}

    def connections(self) -> int:
        return len(self.mesh._connections)


class Nodes:
    """Makes nodes, with TLS or without, and ends all of them."""

    def __init__(self, *, with_tls: bool = True) -> None:
        self._nodes: list[Node] = []
        self._with_tls = with_tls

    async def start(
        self,
        identity: Identity,
        *,
        port: int = 0,
        limits: MeshLimits = QUICK,
        now: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: 1_000,
        network: str = NETWORK,
        tls: Tls | bool = True,
        swarm: str = "home",
        secret: str = "",
    ) -> Node:
        """Start a node on a free port; its wall clock stands still unless one is given.

        `tls` True means as all of these nodes; another's, or False for none, may be given.
        """
        inbox: list[tuple[Signed, str]] = []

        def deliver(received: Received, from_node_id: str) -> bool:
            assert isinstance(received.message, Signed)
            if node.has_room:
                inbox.append((received.message, from_node_id))
            return node.has_room

        if tls is True:
            tls = Tls.of(identity) if self._with_tls else None
        mesh = Mesh(
            identity=identity,
            network=network,
            tls=tls or None,
            profile=Profile(swarm=swarm, secret=secret, role="worker", http_port=9091),
            registry=registry_with_test_messages(),
            deliver=deliver,
            on_peer_up=lambda peer: node.up.append(peer),
            on_peer_down=lambda node_id: node.down.append(node_id),
            on_fetch=lambda node_id, ids: node.fetches.append((node_id, tuple(ids))),
            on_own_record_ahead=lambda record: node.own_ahead.append(record),
            limits=limits,
            now=now,
            now_ms=now_ms,
        )
        node = Node(identity, mesh, inbox=inbox)
        self._nodes.append(node)
        await mesh.start(HOST, port)
        return node

    async def stop(self) -> None:
        await asyncio.gather(*(node.mesh.stop() for node in self._nodes))


class RawPeer:
    """A peer on plain streams that can send anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._registry = registry_with_test_messages()

    @classmethod
    async def connect(cls, node: Node) -> RawPeer:
        if node.mesh._tls is None:
            return await cls.connect_bare(node)
        return cls(*await asyncio.open_connection(HOST, node.mesh.port, ssl=any_certificate()))

    @classmethod
    async def connect_bare(cls, node: Node) -> RawPeer:
        """Return a peer on TCP alone, whatever the node speaks."""
        return cls(*await asyncio.open_connection(HOST, node.mesh.port))

    @property
    def cert_hash(self) -> bytes:
        """The SHA-256 of the certificate that the node has shown, zeros without TLS."""
        tls = self._writer.get_extra_info("ssl_object")
        return hashlib.sha256(tls.getpeercert(binary_form=True)).digest() if tls else bytes(32)

    @classmethod
    async def linked(cls, node: Node, identity: Identity, nonce: str = "0" * 16) -> RawPeer:
        """Return a peer whose handshake with the node is finished."""
        peer = await cls.connect(node)
        await peer.shake_hands(identity, nonce=nonce)
        return peer

    async def shake_hands(
        self, identity: Identity, *, nonce: str = "0" * 16, **changes: Any
    ) -> None:
        """Finish the handshake as this identity; ProtocolError when the node refuses."""
        handshake = Handshake(
            "dialler",
            identity=identity,
            hello=hello_of(identity, nonce=nonce),
            network=NETWORK,
            nonce=secrets.token_bytes(32),
            **{"cert_hash": self.cert_hash, **changes},
        )
        for payload in handshake.start():
            self.send(payload)
        while handshake.peer is None:
            for payload in handshake.receive(await self.next()):
                self.send(payload)

    def send(self, payload: bytes) -> None:
        self.send_bytes(encode_frame(payload))

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def next(self) -> Received:
        """Return the next frame; EOFError when the node has closed."""
        async with asyncio.timeout(8):
            while (payload := self._decoder.next_frame()) is None:
                data = await self._reader.read(65_536)
                if not data:
                    raise EOFError("the node closed the connection")
                self._decoder.feed(data)
        decoded = decode_payload(payload, self._registry)
        assert not isinstance(decoded, UnknownMessage)
        return decoded

    async def next_of(self, kind: type[Message]) -> Message:
        """Return the next message of a class, skipping others."""
        while not isinstance(message := (await self.next()).message, kind):
            continue
        return message

    async def until_closed(self) -> list[Message]:
        """Return everything that comes until the node closes."""
        messages = []
        try:
            while True:
                messages.append((await self.next()).message)
        except (EOFError, ConnectionResetError):
            return messages

    def close(self) -> None:
        self._writer.close()
