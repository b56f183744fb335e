"""What the fuzzer begins with: one valid input of every kind, made by the code that is fuzzed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from p2p.protocol.codec import encode_message
from p2p.protocol.documentation.examples import example_handshake
from p2p.protocol.frames import encode_frame
from p2p.protocol.identity import Identity
from p2p.protocol.messages import IHave, IWant, Message, Prune, RecordIds, Signed
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal
from p2p.registration import registry
from p2p.sync.items import parts_of
from p2p.sync.messages import Holding, MarkSlice, OriginMark, Split
from tests.support.sync_stores import PAIR, TOPIC, key, stores
from tests.support.wire import NETWORK, identity_number, sealed_note

_WRITER = identity_number(1)
_TEXTS = (
    *("a" * size for size in (1, 16, 32, 40, 64)),
    *("0" * size for size in (16, 32, 40, 64)),
    "0x" + "0" * 64,
    "2026-01-01T00:00:00Z",
    "A" * 43 + "=",
    "A" * 86 + "==",
    "",
)


def corpus_of(target: str) -> list[bytes]:
    """Return the first inputs of a target."""
    return list(_CORPORA[target]())


def words() -> list[bytes]:
    """Return what messages are made of, for a fuzzer to put together anew."""
    keys = {f'"{name}":' for each in registry.classes for name in each.__struct_fields__}
    signs = [
        '{"type":',
        "{",
        "}",
        "[",
        "]",
        ",",
        ',"sig":"',
        "null",
        "true",
        "-1",
        "1e9",
        "\\u0000",
    ]
    limits = [str(2**power - less) for power in (31, 53, 63, 64) for less in (0, 1)]
    return [each.encode() for each in (*sorted(keys), *signs, *limits)]


def sample_payloads(messages: MessageRegistry) -> list[bytes]:
    """Return a valid payload of every class, signed where it must be."""
    return [_payload_of(message_class) for message_class in messages.classes]


def _payloads() -> Iterable[bytes]:
    yield from sample_payloads(registry)
    yield sealed_note(_WRITER)
    yield b'{"type":254,"a":[1,{"a":2}],"b":"\\u00e9"}'


def _frames() -> Iterable[bytes]:
    for payload in _payloads():
        yield b"\x00" + encode_frame(payload)
        yield b"\x02\x00\x02\x00\x30" + 2 * encode_frame(payload)


def _handshakes() -> Iterable[bytes]:
    yield b""
    for action in range(1, 8):
        for place in range(6):
            yield bytes(place) + bytes([action])
    for _, payload in example_handshake(_WRITER, identity_number(2)):
        yield b"\x05" + len(payload).to_bytes(2, "big") + payload


def _neighbours() -> Iterable[bytes]:
    store, _ = stores(2)
    record = store.publish(key(1)).raw
    ids = [RecordIds(_WRITER.node_id, TOPIC, 1, [1, 2, 99])]
    mark = OriginMark(origin=store.id, incarnation=1, seq=1)
    parts = len(parts_of(0, 2**48))
    said: list[Message] = [
        IHave(ids=ids),
        IWant(ids=ids, graft=True),
        Prune(scope="network"),
        PAIR.request(id=1, hash="0" * 64),
        PAIR.request(id=2, marks=MarkSlice(marks=[mark])),
        PAIR.request(id=3, splits=[Split(lo=0, hi=2**48, digests=[""] * parts)]),
        PAIR.request(id=4, holdings=[Holding(lo=0, hi=2**48)]),
        PAIR.response(re=1),
        PAIR.response(re=2, frames=[record.decode()], more=True),
        PAIR.response(re=3, resume=5),
    ]
    payloads = [record, *(encode_message(each) for each in said)]
    for payload in payloads:
        yield _said(payload)
    yield b"".join(_said(payload) for payload in payloads)


def _said(payload: bytes) -> bytes:
    return len(payload).to_bytes(2, "big") + payload


_CORPORA = {
    "frames": _frames,
    "payload": _payloads,
    "handshake": _handshakes,
    "neighbour": _neighbours,
}


def _payload_of(message_class: type[Message]) -> bytes:
    fields = _fields_of(inspect.type_info(message_class))
    if not issubclass(message_class, Signed):
        return encode_message(msgspec.convert(fields, message_class))
    fields |= {"origin": _WRITER.node_id, "public_key": _WRITER.public_key_text}
    return _sealed(msgspec.convert(fields, message_class), _WRITER)


def _sealed(message: Signed, identity: Identity) -> bytes:
    return seal(message, identity, NETWORK)


def _fields_of(struct: Any) -> dict[str, Any]:
    fields = {each.encode_name: _value_of(each.type) for each in struct.fields}
    return fields if struct.tag_field is None else {struct.tag_field: struct.tag, **fields}


def _value_of(kind: Any) -> Any:
    match kind:
        case inspect.StrType():
            return _text_of(kind)
        case inspect.IntType():
            return kind.ge or 0
        case inspect.BoolType():
            return True
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.ListType() | inspect.VarTupleType():
            return [_value_of(kind.item_type)]
        case inspect.StructType():
            return _fields_of(kind)
        case inspect.UnionType():
            return _value_of(
                next(each for each in kind.types if not isinstance(each, inspect.NoneType))
            )
        case inspect.Metadata():
            return _value_of(kind.type)
    raise TypeError(f"no sample of {kind}")


def _text_of(kind: inspect.StrType) -> str:
    for text in _TEXTS:
        fits = (kind.min_length or 0) <= len(text) <= (kind.max_length or len(text))
        if fits and re.search(kind.pattern or "", text):
            return text
    raise TypeError(f"no sample of {kind}")
