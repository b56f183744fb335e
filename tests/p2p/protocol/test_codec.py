from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2p.protocol import codec
from p2p.protocol.codec import Received, UnknownMessage, decode_payload, encode_message
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.messages import Ping, Pong
from tests.support.wire import identity_number, registry_with_test_messages, sealed_note

REGISTRY = registry_with_test_messages()
ALICE = identity_number(1)
NODE = ALICE.node_id
PING = b'{"type":6,"node_id":"%s","timestamp":5}' % NODE.encode()


def reason_of(payload: bytes) -> str:
    with pytest.raises(ProtocolError) as refusal:
        decode_payload(payload, REGISTRY)
    return refusal.value.reason


def test_a_message_is_decoded_with_its_exact_bytes() -> None:
    assert decode_payload(PING, REGISTRY) == Received(Ping(node_id=NODE, timestamp=5), PING)
    assert encode_message(Ping(node_id=NODE, timestamp=5)) == PING


def test_an_unknown_number_is_no_error_whatever_follows() -> None:
    payload = b'{"type":254,"a":[1,{"a":2}],"a":3}'

    assert decode_payload(payload, REGISTRY) == UnknownMessage(254)


def test_an_unknown_field_is_ignored() -> None:
    received = decode_payload(PING[:-1] + b',"later":[{"x":1},{"x":2}]}', REGISTRY)

    assert isinstance(received, Received)
    assert received.message == Ping(node_id=NODE, timestamp=5)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", "not_canonical", id="nothing"),
        pytest.param(b"[]", "not_canonical", id="a list"),
        pytest.param(b"{}", "not_canonical", id="no type"),
        pytest.param(b" " + PING, "not_canonical", id="white space before"),
        pytest.param(PING + b"\n", "not_canonical", id="white space after"),
        pytest.param(PING.replace(b"6", b"06", 1), "not_canonical", id="leading zero"),
        pytest.param(PING.replace(b":6", b": 6", 1), "not_canonical", id="space in the head"),
        pytest.param(PING.replace(b":6", b':"6"', 1), "not_canonical", id="type as text"),
        pytest.param(PING.replace(b":6", b":-6", 1), "not_canonical", id="negative type"),
        pytest.param(PING.replace(b"type", b"typ\\u0065", 1), "not_canonical", id="escaped type"),
        pytest.param(PING[:-1] + b',"type":7}', "not_canonical", id="type twice"),
        pytest.param(PING[:-1] + b',"timestamp":9}', "not_canonical", id="key twice"),
        pytest.param(PING[:-1] + b',"timestamp" :9}', "not_canonical", id="twice, with a space"),
        pytest.param(PING[:-1] + b',"x":{"a":1,"a":2}}', "not_canonical", id="inner key twice"),
        pytest.param(PING[:-1] + b',"\\u0078":1}', "not_canonical", id="escaped key"),
        pytest.param(PING[:-1] + b',"x":' + b"[" * 99 + b"]" * 99 + b"}", "not_canonical",
                     id="nested too deep"),
        pytest.param(PING[:-1] + b',"x":[' + b"{}," * 70_000 + b"{}]}", "not_canonical",
                     id="too many tokens"),
        pytest.param(PING[:-1] + b',"x":"' + b'\\"' * 300_000 + b"}", "malformed",
                     id="string without end"),
        pytest.param(PING + b"}", "malformed", id="closes twice"),
        pytest.param(PING + PING, "malformed", id="two objects"),
        pytest.param(PING.replace(b"5}", b"-1}"), "malformed", id="number too small"),
        pytest.param(PING.replace(b"5}", b"9007199254740992}"), "malformed", id="beyond 2**53-1"),
        pytest.param(PING.replace(b"5}", b"5.5}"), "malformed", id="fraction"),
        pytest.param(PING.replace(b"5}", b"true}"), "malformed", id="boolean for a number"),
        pytest.param(PING.replace(b"5}", b'"5"}'), "malformed", id="text for a number"),
        pytest.param(PING.replace(b"5}", b"NaN}"), "malformed", id="not JSON"),
        pytest.param(PING.replace(NODE.encode(), b"ABC"), "malformed", id="bad node id"),
        pytest.param(PING.replace(NODE.encode(), NODE[:31].encode() + b"\\n"), "malformed",
                     id="node id with a line end"),
        pytest.param(b'{"type":6,"timestamp":5}', "malformed", id="field missing"),
        pytest.param(b'{"type":6,"node_id":"\xff","timestamp":5}', "malformed", id="not UTF-8"),
        pytest.param(PING[:-1] + b',"later":"\xff"}', "malformed", id="unknown field not UTF-8"),
        pytest.param(PING[:-1] + b',"\xff":1}', "malformed", id="unknown key not UTF-8"),
        pytest.param(PING[:-1] + b',"later":"\xed\xa0\x80"}', "malformed", id="a lone surrogate"),
    ],
)  # fmt: skip
def test_refused_payloads(payload: bytes, reason: str) -> None:
    assert reason_of(payload) == reason


def test_a_signed_class_without_a_signature_at_its_end_is_unsigned() -> None:
    sealed = sealed_note(ALICE)
    fields = json.loads(sealed)
    moved = {"type": fields.pop("type"), "sig": fields.pop("sig"), **fields}

    assert reason_of(sealed[:-98] + b"}") == "unsigned"
    assert reason_of(json.dumps(moved, separators=(",", ":")).encode()) == "unsigned"


def test_encoding_refuses_what_a_receiver_would_refuse() -> None:
    for message in (Pong(node_id="short", timestamp=1), Pong(node_id=NODE, timestamp=2**53)):
        with pytest.raises(DomainError) as refusal:
            encode_message(message)
        assert refusal.value.code == "message_invalid"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@given(st.binary(max_size=300))
@example(b'{"type":6,"x":' + b"[" * 30 + b"}")
@example(b'{"type":6,"node_id":"\\ud800","timestamp":5}')
def test_any_bytes_give_a_message_or_a_protocol_error(tail: bytes) -> None:
    for payload in (tail, b'{"type":6,' + tail + b"}", PING[:-1] + tail + b"}"):
        try:
            decoded = decode_payload(payload, REGISTRY)
        except ProtocolError:
            continue
        assert isinstance(decoded, Received | UnknownMessage)


@given(st.dictionaries(st.text(max_size=8), json_values), st.sampled_from([1, 2, 6, 8, 24, 96, 97]))
def test_any_object_gives_a_message_or_a_protocol_error(fields: dict[str, object], n: int) -> None:
    payload = msgspec.json.encode({"type": n, **{k: v for k, v in fields.items() if k != "type"}})
    try:
        decoded = decode_payload(payload, REGISTRY)
    except ProtocolError:
        return
    assert isinstance(decoded, Received)


@given(
    at=st.integers(0, len(PING) - 1),
    byte=st.integers(0, 255),
    twice=st.booleans(),
    sealed=st.booleans(),
)
@example(at=0, byte=ord("{"), twice=False, sealed=True)
def test_the_quick_look_at_our_own_form_changes_no_verdict(
    at: int, byte: int, twice: bool, sealed: bool
) -> None:
    payload = bytearray(sealed_note(ALICE) if sealed else PING)
    payload[at] = byte
    if twice:
        payload[-1:-1] = b',"timestamp":5'

    quick = verdict(bytes(payload))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_is_as_we_write", lambda message, payload: False)
        thorough = verdict(bytes(payload))

    assert quick == thorough


def verdict(payload: bytes) -> object:
    try:
        return decode_payload(payload, REGISTRY)
    except ProtocolError as error:
        return error.reason, error.detail


def test_our_own_form_is_taken_without_a_look_at_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[bytes] = []
    monkeypatch.setattr(codec, "check_keys", looked_at.append)
    strange = PING[:-1] + b',"later":1}'

    for payload in (PING, sealed_note(ALICE), strange):
        decode_payload(payload, REGISTRY)

    assert looked_at == [strange]
