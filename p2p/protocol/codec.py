"""Payload bytes to typed messages and back; nothing but ProtocolError ever comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from p2p.protocol.canonical import check_keys, peek_number
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.limits import RECORD_BYTES_MAX, TOKENS_MAX
from p2p.protocol.messages import Message, Record, Signed
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signatures import ENDING_BYTES, check_ending

M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Received(Generic[M_co]):
    """A decoded message with the exact bytes it came in; its signature may still be unchecked."""

    message: M_co
    raw: bytes


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A well-formed head whose number nobody registered: ignored and counted."""

    number: int


def decode_payload(payload: bytes, registry: MessageRegistry) -> Received[Message] | UnknownMessage:
    """Return the typed message of a payload, or UnknownMessage for a number nobody registered.

    Any byte string gives one of the two or a ProtocolError: `not_canonical`, `malformed`,
    `record_too_large`, or `unsigned` when a class that must be signed has no signature at its
    end. Cheap on purpose: the signature itself is left to `signatures.verify_sealed`.
    """
    number = peek_number(payload)
    if not registry.knows(number):
        return UnknownMessage(number)
    try:
        payload.decode()  # the decoder looks at no text of fields that it does not know
        message = registry.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        check_keys(payload)
        raise ProtocolError("malformed", f"type 0x{number:02X}: {str(error)[:300]}") from error
    if not _is_as_we_write(message, payload):
        check_keys(payload)
    if isinstance(message, Signed):
        check_ending(payload)
    if isinstance(message, Record) and len(payload) > RECORD_BYTES_MAX:
        detail = f"record of {len(payload)} bytes exceeds {RECORD_BYTES_MAX}"
        raise ProtocolError("record_too_large", detail)
    return Received(message, payload)


def encode_message(message: Message) -> bytes:
    """Return the payload of an unsigned message.

    Raises DomainError `message_invalid` for a value that its receiver would refuse.
    """
    try:
        payload = msgspec.json.encode(message)
        _decoder_of(type(message)).decode(payload)
    except (msgspec.MsgspecError, UnicodeError, OverflowError) as error:
        name = type(message).__name__
        raise DomainError("message_invalid", f"{name}: {str(error)[:300]}", 422) from error
    return payload


def _is_as_we_write(message: Message, payload: bytes) -> bool:
    """Tell whether our encoder makes these very bytes: then no key can be doubled or escaped.

    That is so for nearly every frame, and takes a tenth of the time of looking at each key. No
    message has keys of the sender's choice, and so few bytes cannot hold too many tokens.
    """
    if len(payload) > TOKENS_MAX:
        return False
    written = _encoder.encode(message)
    if isinstance(message, Signed):
        return len(payload) == len(written) - 1 + ENDING_BYTES and payload.startswith(written[:-1])
    return written == payload


_encoder = msgspec.json.Encoder()


@cache
def _decoder_of(message_class: type[Message]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(message_class)
