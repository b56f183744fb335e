"""Signed frames: the signature is the last field and covers the exact bytes before it.

    payload   = body ENDING
    ENDING    = ,"sig":"<88 characters of canonical base64>"}
    signature = Ed25519(b"voidlux/frame/1" 0x00, length of network (4 bytes, big-endian),
                        network in UTF-8, body)

Relays hand on the original payload; nobody encodes again what another has signed.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from functools import lru_cache

from p2p.protocol import identity as identities
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import KEYS_REMEMBERED_MAX
from p2p.protocol.messages import Signed

FRAME_DOMAIN = b"voidlux/frame/1\0"
ENDING_BYTES = 98
_ENDING = re.compile(rb',"sig":"([A-Za-z0-9+/]{85}[AQgw]==)"\}')


def signed_bytes(body: bytes, network: str) -> bytes:
    """Return what the signature covers: domain tag, length-prefixed network name, body."""
    return _before_body(network) + body


def check_ending(payload: bytes) -> bytes:
    """Return the signature in base64; ProtocolError `unsigned` when the ending is missing."""
    ending = _ENDING.fullmatch(payload, max(0, len(payload) - ENDING_BYTES))
    if ending is None:
        tail = payload[-24:]
        raise ProtocolError("unsigned", f"frame ends {tail!r}, not with a canonical signature")
    return ending[1]


def split_sealed(payload: bytes) -> tuple[bytes, bytes]:
    """Return (body, 64-byte signature); ProtocolError `unsigned` when the ending is missing."""
    return payload[:-ENDING_BYTES], a2b_base64(check_ending(payload))


def verify_sealed(message: Signed, payload: bytes, network: str) -> None:
    """Check that `message.origin` signed the payload that `message` was decoded from.

    Raises ProtocolError `identity_mismatch` when the origin is not the hash of the key,
    `unsigned` or `bad_signature`.
    """
    public_key, node_id = _key_and_id(message.public_key)
    if node_id != message.origin:
        detail = f"origin {message.origin} is not the hash of its public key"
        raise ProtocolError("identity_mismatch", detail)
    body, signature = split_sealed(payload)
    if not identities.verify(public_key, signed_bytes(body, network), signature):
        kind = type(message).__name__
        raise ProtocolError("bad_signature", f"{kind} in the name of {message.origin}")


@lru_cache(maxsize=8)
def _before_body(network: str) -> bytes:
    name = network.encode("utf-8")
    return FRAME_DOMAIN + len(name).to_bytes(4, "big") + name


@lru_cache(maxsize=KEYS_REMEMBERED_MAX)
def _key_and_id(public_key_text: str) -> tuple[bytes, str]:
    public_key = a2b_base64(public_key_text)
    return public_key, identities.node_id_of(public_key)
