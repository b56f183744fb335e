"""The mutual handshake, one object per side, without sockets or time.

    dialler                                    listener
    HELLO                              ->
                                       <-      HELLO
                                       <-      AUTH_CHALLENGE
    AUTH_CHALLENGE                     ->
    AUTH_RESPONSE                      ->
                                       <-      AUTH_RESPONSE

Each side expects exactly HELLO, AUTH_CHALLENGE, AUTH_RESPONSE in this order. A refusal is
answered by AUTH_REJECT and the connection closes. See `transcript` for what is signed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from p2p.protocol.codec import Received, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.identity import Identity, node_id_of, verify
from p2p.protocol.limits import CERT_HASH_BYTES, DETAIL_CHARS_MAX, NONCE_BYTES
from p2p.protocol.messages import (
    AuthChallenge,
    AuthReject,
    AuthResponse,
    Hello,
    Message,
)
from p2p.protocol.numbers import PROTOCOL_VERSION

Side = Literal["dialler", "listener"]
HANDSHAKE_DOMAIN = "voidlux/handshake/1"
MEMBERSHIP_DOMAIN = "voidlux/membership/1"
NO_CERTIFICATE = bytes(CERT_HASH_BYTES)
_EXPECTED: tuple[type[Message], ...] = (Hello, AuthChallenge, AuthResponse)


@dataclass(frozen=True, slots=True)
class HalfTranscript:
    """What one side brings into the transcript."""

    node_id: str
    nonce: bytes
    hello_sha256: bytes


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """The proved other side of a finished handshake; `member`: also of our own swarm."""

    node_id: str
    public_key: bytes
    hello: Hello
    member: bool = False


def transcript(
    *, signer: Side, network: str, dialler: HalfTranscript, listener: HalfTranscript, cert: bytes
) -> bytes:
    """Return the exact bytes that the `signer` signs in its AUTH_RESPONSE.

    Ten fields, each preceded by its length in bytes as a 4-byte big-endian number:

    1. `voidlux/handshake/1` in ASCII
    2. the signer's own part, `dialler` or `listener`, in ASCII
    3. the network name in UTF-8
    4. the dialler's challenge nonce, 32 raw bytes
    5. the listener's challenge nonce, 32 raw bytes
    6. the dialler's node id, 32 hex digits in ASCII
    7. the listener's node id, 32 hex digits in ASCII
    8. SHA-256 of the dialler's HELLO payload, 32 raw bytes
    9. SHA-256 of the listener's HELLO payload, 32 raw bytes
    10. SHA-256 of the listener's TLS certificate in DER, 32 raw bytes, zeros without TLS
    """
    fields = (
        HANDSHAKE_DOMAIN.encode("ascii"),
        signer.encode("ascii"),
        network.encode("utf-8"),
        dialler.nonce,
        listener.nonce,
        dialler.node_id.encode("ascii"),
        listener.node_id.encode("ascii"),
        dialler.hello_sha256,
        listener.hello_sha256,
        cert,
    )
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def membership(secret: str, signed: bytes) -> str:
    """Return the proof of a swarm's secret that accompanies a signature.

    HMAC-SHA256 in hex. The key is the secret in UTF-8; the message is `voidlux/membership/1` in
    ASCII, one byte 0x00 and the transcript that the sender of the proof signs.
    """
    covered = MEMBERSHIP_DOMAIN.encode("ascii") + b"\0" + signed
    return hmac.digest(secret.encode("utf-8"), covered, "sha256").hex()


def rejection(error: ProtocolError) -> bytes:
    """Return the AUTH_REJECT payload that tells the other side why it was refused."""
    return encode_message(AuthReject(reason=error.reason, detail=error.detail[:DETAIL_CHARS_MAX]))


class Handshake:
    """One side of one handshake: takes messages, gives payloads to send, ends in `peer`."""

    def __init__(
        self,
        side: Side,
        *,
        identity: Identity,
        hello: Hello,
        network: str,
        nonce: bytes,
        cert_hash: bytes = NO_CERTIFICATE,
        cert_key: bytes = b"",
        secret: str = "",
    ) -> None:
        """Take our part, our HELLO, a fresh 32-byte `nonce` and the certificate's SHA-256.

        `cert_key` is the public key in the certificate that a dialler was shown, `secret` that of
        our swarm, empty when it has none.
        """
        if len(nonce) != NONCE_BYTES or len(cert_hash) != CERT_HASH_BYTES:
            raise ValueError(f"nonce and certificate hash take {NONCE_BYTES} bytes each")
        self._side: Side = side
        self._identity = identity
        self._network = network
        self._hello = hello
        self._hello_payload = encode_message(hello)
        self._cert_hash = cert_hash
        self._cert_key = cert_key
        self._secret = secret
        self._own = HalfTranscript(
            identity.node_id, nonce, hashlib.sha256(self._hello_payload).digest()
        )
        self._received: list[Received] = []
        self.peer: PeerIdentity | None = None

    def start(self) -> list[bytes]:
        """Return the payloads that this side sends unasked: the dialler's HELLO."""
        return [self._hello_payload] if self._side == "dialler" else []

    def receive(self, received: Received) -> list[bytes]:
        """Take the next message and return the payloads that answer it; `peer` is set at the end.

        Raises ProtocolError: `unexpected_message`, `rejected_by_peer`, `wrong_version`,
        `wrong_network`, `self_connection`, `identity_mismatch`, `certificate_mismatch`,
        `reflected_nonce` or `bad_signature`.
        """
        message = received.message
        if isinstance(message, AuthReject):
            raise ProtocolError("rejected_by_peer", f"{message.reason}: {message.detail}")
        step = len(self._received)
        if step >= len(_EXPECTED) or not isinstance(message, _EXPECTED[step]):
            detail = f"{type(message).__name__} as message {step + 1} of the handshake"
            raise ProtocolError("unexpected_message", detail)
        self._received.append(received)
        if isinstance(message, Hello):
            return self._on_hello(message)
        if isinstance(message, AuthChallenge):
            return self._on_challenge(message)
        assert isinstance(message, AuthResponse)
        return self._on_response(message)

    def _on_hello(self, hello: Hello) -> list[bytes]:
        if hello.version != PROTOCOL_VERSION:
            detail = f"version {hello.version}, we speak {PROTOCOL_VERSION}"
            raise ProtocolError("wrong_version", detail)
        if hello.network != self._network:
            detail = f"network {hello.network!r}, ours is {self._network!r}"
            raise ProtocolError("wrong_network", detail)
        public_key = base64.b64decode(hello.public_key)
        if node_id_of(public_key) != hello.node_id:
            detail = f"node id {hello.node_id} is not the hash of its public key"
            raise ProtocolError("identity_mismatch", detail)
        if hello.node_id == self._identity.node_id:
            raise ProtocolError("self_connection", f"{hello.node_id} is our own node id")
        if self._cert_key and self._cert_key != public_key:
            detail = f"the certificate is of {node_id_of(self._cert_key)}, not of {hello.node_id}"
            raise ProtocolError("certificate_mismatch", detail)
        if self._side == "listener":
            return [self._hello_payload, self._challenge_payload()]
        return []

    def _on_challenge(self, challenge: AuthChallenge) -> list[bytes]:
        if bytes.fromhex(challenge.nonce) == self._own.nonce:
            raise ProtocolError("reflected_nonce", "the challenge is our own")
        if self._side == "dialler":
            return [self._challenge_payload(), self._response_payload()]
        return []

    def _on_response(self, response: AuthResponse) -> list[bytes]:
        hello = self._remote_hello
        if (response.node_id, response.role) != (hello.node_id, hello.role):
            detail = f"response of {response.node_id} to the HELLO of {hello.node_id}"
            raise ProtocolError("identity_mismatch", detail)
        public_key = base64.b64decode(hello.public_key)
        signature = base64.b64decode(response.signature)
        other: Side = "listener" if self._side == "dialler" else "dialler"
        signed = self._transcript(other)
        if not verify(public_key, signed, signature):
            raise ProtocolError("bad_signature", f"handshake of {hello.node_id}")
        member = self._same_swarm and hmac.compare_digest(
            response.membership, membership(self._secret, signed)
        )
        self.peer = PeerIdentity(hello.node_id, public_key, hello, member)
        return [self._response_payload()] if self._side == "listener" else []

    @property
    def _same_swarm(self) -> bool:
        return bool(self._secret) and self._remote_hello.swarm == self._hello.swarm

    @property
    def _remote_hello(self) -> Hello:
        hello = self._received[0].message
        assert isinstance(hello, Hello)
        return hello

    def _challenge_payload(self) -> bytes:
        return encode_message(AuthChallenge(nonce=self._own.nonce.hex()))

    def _response_payload(self) -> bytes:
        signed = self._transcript(self._side)
        # The listener answers last and shows its proof to members only: the fewer proofs strangers
        # collect, the fewer they can guess a weak secret from.
        proves = self._same_swarm if self.peer is None else self.peer.member
        return encode_message(
            AuthResponse(
                node_id=self._identity.node_id,
                role=self._hello.role,
                signature=base64.b64encode(self._identity.sign(signed)).decode("ascii"),
                membership=membership(self._secret, signed) if proves else "",
            )
        )

    def _transcript(self, signer: Side) -> bytes:
        challenge = self._received[1].message
        assert isinstance(challenge, AuthChallenge)
        remote = HalfTranscript(
            self._remote_hello.node_id,
            bytes.fromhex(challenge.nonce),
            hashlib.sha256(self._received[0].raw).digest(),
        )
        dialling = self._side == "dialler"
        return transcript(
            signer=signer,
            network=self._network,
            dialler=self._own if dialling else remote,
            listener=remote if dialling else self._own,
            cert=self._cert_hash,
        )
