"""One connection to one node: frames, handshake, limits and signs of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from p2p.mesh.settings import MeshLimits
from p2p.mesh.tls import Tls, TlsChannel, certificate_hash, speaks_tls
from p2p.mesh.vital_signs import VitalSigns
from p2p.protocol.certificates import key_in
from p2p.protocol.codec import Received, UnknownMessage, decode_payload, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.frames import FrameDecoder, encode_frame
from p2p.protocol.handshake import NO_CERTIFICATE, Handshake, PeerIdentity, rejection
from p2p.protocol.identity import Identity
from p2p.protocol.limits import (
    DETAIL_CHARS_MAX,
    FRAME_BYTES_MAX,
    HANDSHAKE_FRAME_BYTES_MAX,
    NONCE_BYTES,
)
from p2p.protocol.messages import AuthReject, Goodbye, Hello, Ping, Pong
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.token_bucket import TokenBucket

log = logging.getLogger(__name__)


class ConnectionOwner(Protocol):
    """What a connection asks of and tells the mesh."""

    def hello(self) -> Hello:
        """Return our HELLO with a fresh connection nonce."""

    def admit(self, connection: Connection, peer: PeerIdentity) -> None:
        """Raise ProtocolError when a proved peer finds no place."""

    def made(self, connection: Connection) -> None:
        """Learn that TCP is connected; ProtocolError when its host is not welcome."""

    def opened(self, connection: Connection) -> None:
        """Learn that the handshake is finished."""

    def received(self, connection: Connection, received: Received) -> None:
        """Take a frame that is no link message; ProtocolError closes the connection."""

    def closed(self, connection: Connection) -> None:
        """Learn that the connection is gone; called once for each that was made."""

    def at_fault(self, connection: Connection, error: ProtocolError) -> bool:
        """Judge what a peer did wrong; tell whether the log should name it."""

    def count(self, event: str) -> None:
        """Count an event under its name."""

    def name(self, who: str, event: str, detail: str) -> None:
        """Say once in the log what a peer does."""


class Connection(asyncio.Protocol):
    """The asyncio end of one link; every failure of the peer ends here and nowhere else."""

    def __init__(
        self,
        owner: ConnectionOwner,
        *,
        outbound: bool,
        identity: Identity,
        network: str,
        secret: str,
        tls: Tls | None,
        registry: MessageRegistry,
        limits: MeshLimits,
        now: Callable[[], float],
        now_ms: Callable[[], int],
        secret_bytes: Callable[[int], bytes],
    ) -> None:
        """Prepare one side; `now` is a monotonic clock in seconds, `now_ms` the wall clock.

        `secret` is that of our swarm, empty where it has none; `tls` None means without.
        """
        self.outbound = outbound
        self.peer: PeerIdentity | None = None
        self.host = ""
        self.connected_at = 0.0
        self.active_at = now()
        self.close_reason = ""
        self.rejected_as = ""
        self.draining = False
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._identity = identity
        self._network = network
        self._secret = secret
        self._hello = owner.hello()
        self._tls = TlsChannel(tls, outbound=outbound) if tls else None
        self._handshake: Handshake | None = None
        self._registry = registry
        self._limits = limits
        self._now = now
        self._now_ms = now_ms
        self._secret_bytes = secret_bytes
        self._decoder = FrameDecoder(HANDSHAKE_FRAME_BYTES_MAX)
        self._frames = TokenBucket(limits.frames_per_s, limits.frames_burst, now())
        self._bytes = TokenBucket(limits.bytes_per_s, limits.bytes_burst, now())
        self._transport: asyncio.Transport | None = None
        self._heard = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._signs = VitalSigns(self, limits, now, now_ms, self._hello.node_id)

    @property
    def node_id(self) -> str:
        """The proved id of the other end, empty before the handshake is finished."""
        return self.peer.node_id if self.peer else ""

    @property
    def dialler_nonce(self) -> str:
        """The nonce in the dialler's HELLO, empty before the handshake is finished."""
        if self.peer is None:
            return ""
        return self._hello.nonce if self.outbound else self.peer.hello.nonce

    @property
    def latency_ms(self) -> float | None:
        """The last measured round trip in milliseconds."""
        return self._signs.latency_ms

    @property
    def is_member(self) -> bool:
        """Whether the other end proved to be of our swarm."""
        return self.peer is not None and self.peer.member

    @property
    def is_open(self) -> bool:
        """Whether the handshake is finished and nobody has begun to close."""
        return self.peer is not None and not self.close_reason

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start TLS, or at once the handshake, and the deadline of both."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.host = str(address[0]) if isinstance(address, tuple) else ""
        self._signs.expect_handshake()
        try:
            self._owner.made(self)
        except ProtocolError as error:
            self.fail(error)
            return
        if self._tls is None:
            self._begin(NO_CERTIFICATE, cert_key=b"")
        elif self.outbound:
            self._opened(self._tls, b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers and tell the owner."""
        self.close_reason = self.close_reason or "lost"
        self._signs.stop()
        if not self.ready.done():
            self.ready.set_result(False)
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a peer that breaks the protocol loses this connection only."""
        if self.close_reason:
            return
        self._signs.heard()
        try:
            frames = self._take(self._open(data))
        except ProtocolError as error:
            self.fail(error)
            return
        if self._tls is not None and self._tls.ended:
            self._end("lost")
        self._rest(max(self._frames.take(frames, self._now()), self._pay_bytes(len(data))))

    def write(self, payload: bytes) -> bool:
        """Queue a payload for this tick; False when closing, or when the peer is too slow."""
        if self.close_reason or self._transport is None:
            return False
        frame = encode_frame(payload)
        queued_bytes = self._unsent_bytes + self._transport.get_write_buffer_size()
        if queued_bytes + len(frame) > self._limits.write_queue_bytes_max:
            self._drop_slow_peer(queued_bytes)
            return False
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        return True

    def close(self, reason: str, detail: str = "") -> None:
        """Say GOODBYE (once the handshake is finished), send what is queued, close."""
        if self.is_open:
            self.write(encode_message(Goodbye(reason=reason, detail=detail[:DETAIL_CHARS_MAX])))
        self._end(reason)

    def fail(self, error: ProtocolError) -> None:
        """Close because of the peer's fault, with one warning line."""
        if self.close_reason:
            return
        # Seeds shared by all nodes of a network name each node itself: nothing to warn of.
        own = "self_connection" in (error.reason, self.rejected_as)
        level = logging.WARNING if self._owner.at_fault(self, error) else logging.DEBUG
        level = logging.INFO if own else level
        log.log(level, "connection with %s closed: %s", self.node_id or self.host, error)
        if self.peer is not None:
            self.close(error.reason, error.detail)
            return
        if error.reason != "rejected_by_peer":
            self.write(rejection(error))
        self._end(error.reason)

    def drain(self) -> None:
        """Send nothing new here, read what still comes, then close: another link won."""
        if not self.draining:
            self.draining = True
            self._signs.drain()

    def undrain(self) -> None:
        """Use the connection after all: the winner is gone."""
        self.draining = False
        self._signs.keep()

    def abort(self, reason: str) -> None:
        """Close without sending anything more."""
        self.close_reason = self.close_reason or reason
        self._signs.stop()
        if self._transport is not None:
            self._transport.abort()

    def _open(self, data: bytes) -> bytes:
        """Return the bytes of frames that bytes of the wire hold."""
        if not self._heard:
            self._heard = True
            self._check_first(data)
        return data if self._tls is None else self._opened(self._tls, data)

    def _check_first(self, data: bytes) -> None:
        """Find out at the first byte that only one of both sides has TLS, and tell the peer."""
        theirs, ours = speaks_tls(data), self._tls is not None
        if theirs == ours:
            return
        self._tls = None  # a peer without TLS can read why it is refused
        spoken = {True: "with TLS", False: "without TLS"}
        detail = f"the peer speaks {spoken[theirs]}, this node {spoken[ours]}"
        raise ProtocolError("tls_mismatch", detail)

    def _opened(self, tls: TlsChannel, data: bytes) -> bytes:
        try:
            opened = tls.receive(data)
        finally:
            self._send(tls.outgoing())
        if tls.established and self._handshake is None:
            certificate = tls.certificate
            self._begin(
                certificate_hash(certificate),
                cert_key=key_in(certificate) if self.outbound else b"",
            )
        return opened

    def _begin(self, cert_hash: bytes, *, cert_key: bytes) -> None:
        """Begin the handshake on a channel that is ready."""
        self._handshake = Handshake(
            "dialler" if self.outbound else "listener",
            identity=self._identity,
            hello=self._hello,
            network=self._network,
            nonce=self._secret_bytes(NONCE_BYTES),
            cert_hash=cert_hash,
            cert_key=cert_key,
            secret=self._secret,
        )
        for payload in self._handshake.start():
            self.write(payload)

    def _take(self, data: bytes) -> int:
        self._decoder.feed(data)
        frames = 0
        while not self.close_reason and (payload := self._decoder.next_frame()) is not None:
            frames += 1
            self._on_payload(payload)
        return frames

    def _on_payload(self, payload: bytes) -> None:
        received = decode_payload(payload, self._registry)
        if self.peer is None:
            if isinstance(received, UnknownMessage):
                detail = f"type 0x{received.number:02X} in the handshake"
                raise ProtocolError("unexpected_message", detail)
            self._on_handshake(received)
        elif isinstance(received, UnknownMessage):
            self._owner.count("unknown_type")
        else:
            self._on_message(received)

    def _on_handshake(self, received: Received) -> None:
        assert self._handshake is not None
        if isinstance(received.message, AuthReject):
            self.rejected_as = received.message.reason
        answers = self._handshake.receive(received)
        peer = self._handshake.peer
        if peer is not None:
            self._owner.admit(self, peer)
        for payload in answers:
            self.write(payload)
        if peer is not None:
            self.peer = peer
            self.connected_at = self._now_ms() / 1000
            self._decoder.frame_bytes_max = FRAME_BYTES_MAX
            self._signs.expect_life()
            self._owner.opened(self)
            self.ready.set_result(True)

    def _on_message(self, received: Received) -> None:
        message = received.message
        if isinstance(message, Ping):
            self.write(
                encode_message(Pong(node_id=self._hello.node_id, timestamp=message.timestamp))
            )
        elif isinstance(message, Pong):
            self._signs.answered(message)
        elif isinstance(message, Goodbye | AuthReject):
            log.info("%s said goodbye: %s %s", self.node_id[:8], message.reason, message.detail)
            self._end(f"peer_{message.reason}")
        else:
            self._owner.received(self, received)
            self.active_at = self._now()

    def _end(self, reason: str) -> None:
        if self.close_reason:
            return
        self._flush()
        self.close_reason = reason
        self._signs.stop()
        if self._tls is not None and self._tls.established:
            self._tls.end()
            self._send(self._tls.outgoing())
        if self._transport is not None:
            self._transport.close()
            # A peer that does not read would keep the transport in its closing state for good.
            self._signs.after(self._limits.close_timeout_s, self._transport.abort)

    def _flush(self) -> None:
        frames, self._unsent, self._unsent_bytes = b"".join(self._unsent), [], 0
        if self._tls is None:
            self._send(frames)
        elif frames and self._tls.established:
            self._tls.send(frames)
            self._send(self._tls.outgoing())

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _drop_slow_peer(self, queued_bytes: int) -> None:
        detail = f"{queued_bytes} bytes wait, more than {self._limits.write_queue_bytes_max}"
        self._owner.name(self.node_id or self.host, "slow_peer", detail)
        self._owner.count("slow_peer")
        self.abort("slow_peer")

    def _pay_bytes(self, taken_bytes: int) -> float:
        return self._bytes.take(taken_bytes, self._now())

    def _rest(self, rest_s: float) -> None:
        if rest_s > 0 and self._transport is not None and not self.close_reason:
            detail = f"it sends too much: not read for {rest_s:.1f} s"
            self._owner.name(self.node_id or self.host, "throttled", detail)
            self._owner.count("throttled")
            self._transport.pause_reading()
            self._signs.after(rest_s, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._signs.heard()
            self._transport.resume_reading()
