"""Writing and opening signed frames as one step."""

from __future__ import annotations

import base64

from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.identity import Identity
from p2p.protocol.limits import FRAME_BYTES_MAX, RECORD_BYTES_MAX
from p2p.protocol.messages import Record, Signed
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signatures import ENDING_BYTES, signed_bytes, verify_sealed


def seal(message: Signed, identity: Identity, network: str) -> bytes:
    """Return the payload of a message signed by its origin.

    Raises DomainError `not_origin` when `identity` is not the message's, `message_invalid`
    for a value that receivers would refuse, `frame_too_large` beyond 1 MiB, or
    beyond RECORD_BYTES_MAX for a record.
    """
    if (message.origin, message.public_key) != (identity.node_id, identity.public_key_text):
        detail = f"{identity.node_id} cannot sign for {message.origin}"
        raise DomainError("not_origin", detail)
    body = encode_message(message)[:-1]
    payload_bytes = len(body) + ENDING_BYTES
    bytes_max = RECORD_BYTES_MAX if isinstance(message, Record) else FRAME_BYTES_MAX
    if payload_bytes > bytes_max:
        raise DomainError(
            "frame_too_large", f"frame of {payload_bytes} bytes exceeds {bytes_max}", 413
        )
    signature = base64.b64encode(identity.sign(signed_bytes(body, network)))
    return body + b',"sig":"' + signature + b'"}'


def open_sealed(payload: bytes, network: str, registry: MessageRegistry) -> Received:
    """Return the decoded and verified message; ProtocolError for anything else."""
    received = decode_payload(payload, registry)
    if not isinstance(received, Received) or not isinstance(received.message, Signed):
        raise ProtocolError("unexpected_message", "the frame is not of a signed type")
    verify_sealed(received.message, payload, network)
    return received
