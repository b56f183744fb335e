from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.identity import node_id_of, verify
from p2p.protocol.messages import Ack
from p2p.protocol.signatures import signed_bytes, split_sealed
from p2p.protocol.signing import open_sealed, seal
from tests.support.wire import (
    NETWORK,
    Note,
    identity_number,
    note,
    registry_with_test_messages,
    sealed_note,
)

REGISTRY = registry_with_test_messages()
ALICE, BOB = identity_number(1), identity_number(2)


def reason_of(payload: bytes, network: str = NETWORK) -> str:
    with pytest.raises(ProtocolError) as refusal:
        open_sealed(payload, network, REGISTRY)
    return refusal.value.reason


def test_a_sealed_frame_has_exactly_this_form() -> None:
    ack = Ack(
        origin=ALICE.node_id,
        public_key=ALICE.public_key_text,
        lamport_ts=7,
        to=BOB.node_id,
        re="0" * 32,
        ok=True,
    )

    payload = seal(ack, ALICE, NETWORK)

    body = (
        b'{"type":8,"origin":"' + ALICE.node_id.encode() + b'","public_key":"'
        + ALICE.public_key_text.encode() + b'","lamport_ts":7,"to":"' + BOB.node_id.encode()
        + b'","re":"' + b"0" * 32 + b'","ok":true,"code":"","detail":""'
    )  # fmt: skip
    assert payload.startswith(body + b',"sig":"')
    assert len(payload) == len(body) + 98
    signature = split_sealed(payload)[1]
    covered = b"voidlux/frame/1\0\0\0\0\x06galaxy" + body
    assert signed_bytes(body, NETWORK) == covered
    assert verify(ALICE.public_key, covered, signature)
    assert node_id_of(ALICE.public_key) == ALICE.node_id


@given(st.text(max_size=200).filter(lambda text: "\0" not in text), st.integers(1, 2**53 - 1))
def test_what_is_sealed_opens_to_the_same_message(text: str, lamport_ts: int) -> None:
    message = note(ALICE, text=text, lamport_ts=lamport_ts)

    payload = seal(message, ALICE, NETWORK)

    assert open_sealed(payload, NETWORK, REGISTRY).message == message
    assert open_sealed(payload, NETWORK, REGISTRY).raw == payload


def test_every_flipped_bit_of_a_sealed_frame_is_refused() -> None:
    payload = sealed_note(ALICE)

    for position in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(ProtocolError):
            open_sealed(bytes(flipped), NETWORK, REGISTRY)


def test_a_frame_of_another_network_is_refused() -> None:
    assert reason_of(sealed_note(ALICE), network="other") == "bad_signature"


def test_nobody_signs_in_the_name_of_another() -> None:
    payload = sealed_note(BOB)
    own_key_other_origin = payload.replace(BOB.node_id.encode(), ALICE.node_id.encode())

    assert reason_of(own_key_other_origin) == "identity_mismatch"
    both = own_key_other_origin.replace(
        BOB.public_key_text.encode(), ALICE.public_key_text.encode()
    )
    assert reason_of(both) == "bad_signature"
    with pytest.raises(DomainError, match=f"{BOB.node_id} cannot sign for {ALICE.node_id}"):
        seal(note(ALICE), BOB, NETWORK)


def test_a_signature_in_other_base64_is_refused() -> None:
    payload = sealed_note(ALICE)
    last = payload[-5:-4]
    uncanonical = {b"A": b"B", b"Q": b"R", b"g": b"h", b"w": b"x"}[last]

    assert reason_of(payload[:-5] + uncanonical + payload[-4:]) == "unsigned"


def test_a_key_in_other_base64_is_refused() -> None:
    text = ALICE.public_key_text
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = text[:-2] + alphabet[alphabet.index(text[-2]) + 1] + "="

    assert reason_of(sealed_note(ALICE).replace(text.encode(), twin.encode())) == "malformed"


def test_sealing_refuses_values_and_sizes_that_receivers_refuse() -> None:
    with pytest.raises(DomainError) as invalid:
        seal(note(ALICE, text="a\0b"), ALICE, NETWORK)
    assert invalid.value.code == "message_invalid"

    with pytest.raises(DomainError) as surrogate:
        seal(note(ALICE, text="\ud800"), ALICE, NETWORK)
    assert surrogate.value.code == "message_invalid"


def test_unsigned_types_do_not_open_as_signed() -> None:
    payload = b'{"type":6,"node_id":"' + ALICE.node_id.encode() + b'","timestamp":1}'

    assert reason_of(payload) == "unexpected_message"


def test_a_record_knows_its_key_and_is_no_tombstone() -> None:
    message = open_sealed(sealed_note(ALICE, seq=9), NETWORK, REGISTRY).message

    assert isinstance(message, Note)
    assert (message.topic, message.key(), message.deletes) == ("notes", f"{9:032x}", False)
