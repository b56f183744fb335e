"""Frames, signatures and the handshake's transcript, as docs/protocol.md describes them.

Written from that page alone and importing nothing of the project: what works with it proves that
the page says enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

FRAME_BYTES_MAX = 1_048_576
PREFIX_BYTES = 4
ENDING_BYTES = 98
NO_CERTIFICATE = bytes(32)
# RFC 8410: how a certificate in DER introduces an Ed25519 key.
ED25519_KEY_FOLLOWS = bytes.fromhex("302a300506032b6570032100")

Fields = dict[str, Any]


class NodeBroke(Exception):
    """The node did not keep to the page."""


@dataclass(frozen=True)
class Key:
    """An Ed25519 key pair with the node id that follows from it."""

    signing: SigningKey

    @property
    def public(self) -> bytes:
        return bytes(self.signing.verify_key)

    @property
    def public_text(self) -> str:
        return base64.b64encode(self.public).decode()

    @property
    def node_id(self) -> str:
        return node_id_of(self.public)

    def sign(self, message: bytes) -> str:
        """Return the signature in base64."""
        return base64.b64encode(self.signing.sign(message).signature).decode()


def node_id_of(public_key: bytes) -> str:
    """Return the first 16 bytes of SHA-256(public key) in hex."""
    return hashlib.sha256(public_key).digest()[:16].hex()


def is_signed(public_key: bytes, message: bytes, signature: str) -> bool:
    """Tell whether the base64 signature is the key's over the message."""
    try:
        VerifyKey(public_key).verify(message, base64.b64decode(signature, validate=True))
    except (BadSignatureError, ValueError):
        return False
    return True


def encode(number: int, fields: Fields) -> bytes:
    """Return a payload in canonical form: `type` first, no white space around."""
    return json.dumps({"type": number, **fields}, separators=(",", ":")).encode()


def frame(payload: bytes) -> bytes:
    """Return the payload behind its length."""
    return len(payload).to_bytes(PREFIX_BYTES, "big") + payload


def seal(number: int, fields: Fields, key: Key, network: str) -> bytes:
    """Return the payload of a signed frame; its last field is the signature."""
    signed = {"origin": key.node_id, "public_key": key.public_text, **fields}
    body = encode(number, signed)[:-1]
    return body + b',"sig":"' + key.sign(_covered(body, network)).encode() + b'"}'


def opened(payload: bytes, network: str) -> Fields:
    """Return the fields of a signed frame, or raise NodeBroke when it is not its origin's."""
    fields: Fields = json.loads(payload)
    public_key = base64.b64decode(fields["public_key"])
    if node_id_of(public_key) != fields["origin"]:
        raise NodeBroke(f"{fields['origin']} is not the hash of its key")
    body, ending = payload[:-ENDING_BYTES], payload[-ENDING_BYTES:]
    if ending != b',"sig":"' + fields["sig"].encode() + b'"}':
        raise NodeBroke("the signature is not the last field")
    if not is_signed(public_key, _covered(body, network), fields["sig"]):
        raise NodeBroke(f"frame of {fields['origin']} is not signed by it")
    return fields


def hash_of(records: list[Fields]) -> str:
    """Return the hash over the newest version of every key, as pull sync compares it."""
    newest: dict[str, list[Any]] = {}
    for each in records:
        key = each["offering"]["id"] if "offering" in each else each["offering_id"]
        position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")
        item = [position, key, each["origin"], each["incarnation"], each["seq"]]
        newest[key] = max(item, newest.get(key, item))
    text = json.dumps(sorted(newest.values()), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _covered(body: bytes, network: str) -> bytes:
    name = network.encode()
    return b"voidlux/frame/1\0" + len(name).to_bytes(4, "big") + name + body


@dataclass(frozen=True)
class Half:
    """What one side brings into the transcript."""

    node_id: str
    nonce: bytes
    hello: bytes


def tls_context() -> ssl.SSLContext:
    """Return a dialler's TLS: 1.3, and whatever certificate the listener shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certificate_hash(certificate: bytes) -> bytes:
    """Return what the transcript says of the listener's certificate in DER, empty without TLS."""
    return hashlib.sha256(certificate).digest() if certificate else NO_CERTIFICATE


def holds_key(certificate: bytes, public_key: bytes) -> bool:
    """Tell whether the certificate in DER is of this key."""
    return ED25519_KEY_FOLLOWS + public_key in certificate


def membership(secret: str, signed: bytes) -> str:
    """Return the proof of a swarm's secret, empty without one."""
    if not secret:
        return ""
    return hmac.digest(secret.encode(), b"voidlux/membership/1\0" + signed, "sha256").hex()


def transcript(signer: str, network: str, dialler: Half, listener: Half, cert_hash: bytes) -> bytes:
    """Return what the signer's AUTH_RESPONSE covers."""
    fields = (
        b"voidlux/handshake/1",
        signer.encode(),
        network.encode(),
        dialler.nonce,
        listener.nonce,
        dialler.node_id.encode(),
        listener.node_id.encode(),
        hashlib.sha256(dialler.hello).digest(),
        hashlib.sha256(listener.hello).digest(),
        cert_hash,
    )
    return b"".join(len(each).to_bytes(4, "big") + each for each in fields)
