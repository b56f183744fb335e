"""Worked examples from fixed keys, computed by the code that the node itself runs."""

from __future__ import annotations

import hashlib

from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.fields import Address
from p2p.protocol.frames import encode_frame
from p2p.protocol.handshake import NO_CERTIFICATE, HalfTranscript, Handshake, Side, transcript
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Ack, Hello
from p2p.protocol.numbers import PROTOCOL_VERSION
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signatures import split_sealed
from p2p.protocol.signing import seal

NETWORK = "galaxy"
SECRET = "correct horse battery staple"
DIALLER_SEED, LISTENER_SEED = b"\x01" * 32, b"\x02" * 32
DIALLER_NONCE, LISTENER_NONCE = b"\xaa" * 32, b"\xbb" * 32


def examples() -> str:
    """Return the Markdown section with both identities, a signed frame and a whole handshake."""
    dialler, listener = Identity.from_seed(DIALLER_SEED), Identity.from_seed(LISTENER_SEED)
    return "\n\n".join(
        (
            "## Worked examples",
            "Two keys made of the seeds `01` × 32 and `02` × 32 on the network `galaxy`, without "
            "TLS. Ed25519 signatures are deterministic: a client must get the same bytes.",
            _identities(dialler, listener),
            _signed_frame(dialler, listener),
            _handshake(dialler, listener),
        )
    )


def example_handshake(dialler: Identity, listener: Identity) -> list[tuple[Side, bytes]]:
    """Return the payloads of a whole handshake in order, each with the side that sends it."""
    registry = MessageRegistry()
    registry.freeze()
    sides: dict[Side, Handshake] = {
        "dialler": _side("dialler", dialler, DIALLER_NONCE),
        "listener": _side("listener", listener, LISTENER_NONCE),
    }
    sent: list[tuple[Side, bytes]] = [("dialler", each) for each in sides["dialler"].start()]
    for sender, payload in sent:  # grows while it is walked
        other: Side = "listener" if sender == "dialler" else "dialler"
        received = decode_payload(payload, registry)
        assert isinstance(received, Received)
        sent += [(other, answer) for answer in sides[other].receive(received)]
    return sent


def _identities(dialler: Identity, listener: Identity) -> str:
    rows = [
        f"| {name} | `{each.public_key.hex()}` | `{each.public_key_text}` | `{each.node_id}` |"
        for name, each in (("dialler", dialler), ("listener", listener))
    ]
    head = "| Part | Public key, hex | Public key, base64 | Node id |\n|---|---|---|---|"
    return "\n".join(("### Identities\n", head, *rows))


def _signed_frame(origin: Identity, to: Identity) -> str:
    ack = Ack(
        origin=origin.node_id,
        public_key=origin.public_key_text,
        lamport_ts=1_700_000_000_000,
        to=to.node_id,
        re="00112233445566778899aabbccddeeff",
        ok=True,
    )
    payload = seal(ack, origin, NETWORK)
    body, signature = split_sealed(payload)
    return "\n\n".join(
        (
            "### A signed frame",
            f"An ACK from the dialler. The payload ({len(payload)} bytes):",
            _code(payload.decode()),
            f'Its body, the bytes before `,"sig":`, has {len(body)} bytes and SHA-256 '
            f"`{hashlib.sha256(body).hexdigest()}`. The signature in hex:",
            _code(signature.hex()),
            f"On the wire the frame begins with the length: `{encode_frame(payload)[:4].hex()}`.",
        )
    )


def _handshake(dialler: Identity, listener: Identity) -> str:
    sent = example_handshake(dialler, listener)
    parts = ["### A handshake"]
    parts += [
        "The challenge nonces are `aa` × 32 and `bb` × 32. Both nodes are of swarm `home`, whose "
        f"secret is `{SECRET}`."
    ]
    for number, (sender, payload) in enumerate(sent, start=1):
        parts += [f"{number}. The {sender} sends:", _code(payload.decode())]
    hellos = [hashlib.sha256(payload).digest() for _, payload in sent[:2]]
    for signer in ("dialler", "listener"):
        signed = transcript(
            signer=signer,
            network=NETWORK,
            dialler=HalfTranscript(dialler.node_id, DIALLER_NONCE, hellos[0]),
            listener=HalfTranscript(listener.node_id, LISTENER_NONCE, hellos[1]),
            cert=NO_CERTIFICATE,
        )
        parts += [f"The transcript that the {signer} signs, {len(signed)} bytes in hex:"]
        parts += [_code(signed.hex())]
    return "\n\n".join(parts)


def _side(side: Side, identity: Identity, nonce: bytes) -> Handshake:
    port = 7101 if side == "dialler" else 7102
    hello = Hello(
        version=PROTOCOL_VERSION,
        network=NETWORK,
        node_id=identity.node_id,
        public_key=identity.public_key_text,
        swarm="home",
        role="worker",
        p2p_port=port,
        http_port=9091,
        addresses=[Address(host="127.0.0.1", port=port)],
        capabilities=[],
        nonce="018bcfe56800abcd",
    )
    return Handshake(
        side, identity=identity, hello=hello, network=NETWORK, nonce=nonce, secret=SECRET
    )


def _code(text: str) -> str:
    return f"```text\n{text}\n```"
