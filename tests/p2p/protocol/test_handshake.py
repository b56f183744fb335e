from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.handshake import HalfTranscript, Handshake, rejection, transcript
from p2p.protocol.identity import Identity, verify
from p2p.protocol.messages import AuthChallenge, AuthReject, AuthResponse, Ping
from tests.support.wire import NETWORK, hello_of, identity_number, registry_with_test_messages

REGISTRY = registry_with_test_messages()
ALICE, BOB, EVE = identity_number(1), identity_number(2), identity_number(3)
DIALLER_NONCE, LISTENER_NONCE = b"\x0d" * 32, b"\x01" * 32


def received(payload: bytes) -> Received:
    decoded = decode_payload(payload, REGISTRY)
    assert isinstance(decoded, Received)
    return decoded


def side(
    name: Any,
    identity: Identity,
    *,
    nonce: bytes | None = None,
    cert: bytes = bytes(32),
    cert_key: bytes = b"",
    secret: str = "",
    **hello: Any,
) -> Handshake:
    return Handshake(
        name,
        identity=identity,
        hello=hello_of(identity, **hello),
        network=hello.get("network", NETWORK),
        nonce=nonce or (DIALLER_NONCE if name == "dialler" else LISTENER_NONCE),
        cert_hash=cert,
        cert_key=cert_key,
        secret=secret,
    )


def run(
    dialler: Handshake, listener: Handshake, tamper: Callable[[str, bytes], bytes] = lambda _, p: p
) -> None:
    """Carry payloads between both until nobody has anything to say; `tamper` sits between."""
    to_listener, to_dialler = dialler.start(), listener.start()
    while to_listener or to_dialler:
        if to_listener:
            to_dialler += listener.receive(received(tamper("dialler", to_listener.pop(0))))
        else:
            to_listener += dialler.receive(received(tamper("listener", to_dialler.pop(0))))


def test_both_sides_prove_themselves() -> None:
    dialler, listener = side("dialler", ALICE), side("listener", BOB, role="emperor")

    run(dialler, listener)

    assert dialler.peer is not None and listener.peer is not None
    assert dialler.peer.node_id == BOB.node_id
    assert dialler.peer.public_key == BOB.public_key
    assert dialler.peer.hello == hello_of(BOB, role="emperor")
    assert listener.peer.node_id == ALICE.node_id


def test_the_order_of_frames_on_the_wire() -> None:
    wire: list[tuple[str, str]] = []

    def note(sender: str, payload: bytes) -> bytes:
        wire.append((sender, type(received(payload).message).__name__))
        return payload

    run(side("dialler", ALICE), side("listener", BOB), note)

    assert wire == [
        ("dialler", "Hello"),
        ("listener", "Hello"),
        ("listener", "AuthChallenge"),
        ("dialler", "AuthChallenge"),
        ("dialler", "AuthResponse"),
        ("listener", "AuthResponse"),
    ]


def test_the_transcript_byte_by_byte() -> None:
    signed = transcript(
        signer="dialler",
        network="galaxy",
        dialler=HalfTranscript("a" * 32, b"\x01" * 32, b"\x03" * 32),
        listener=HalfTranscript("b" * 32, b"\x02" * 32, b"\x04" * 32),
        cert=b"\x05" * 32,
    )

    length = b"\0\0\0\x20"
    assert signed == (
        b"\0\0\0\x13voidlux/handshake/1\0\0\0\x07dialler\0\0\0\x06galaxy"
        + length + b"\x01" * 32 + length + b"\x02" * 32
        + length + b"a" * 32 + length + b"b" * 32
        + length + b"\x03" * 32 + length + b"\x04" * 32
        + length + b"\x05" * 32
    )  # fmt: skip


def test_the_response_signs_that_transcript() -> None:
    dialler, listener = side("dialler", ALICE), side("listener", BOB)
    hello_a, hello_b = encode_message(hello_of(ALICE)), encode_message(hello_of(BOB))
    challenge = encode_message(AuthChallenge(nonce=LISTENER_NONCE.hex()))
    listener.receive(received(dialler.start()[0]))
    dialler.receive(received(hello_b))

    _, response = dialler.receive(received(challenge))

    message = received(response).message
    assert isinstance(message, AuthResponse)
    expected = transcript(
        signer="dialler",
        network=NETWORK,
        dialler=HalfTranscript(ALICE.node_id, DIALLER_NONCE, hashlib.sha256(hello_a).digest()),
        listener=HalfTranscript(BOB.node_id, LISTENER_NONCE, hashlib.sha256(hello_b).digest()),
        cert=bytes(32),
    )
    assert verify(ALICE.public_key, expected, base64.b64decode(message.signature))


@pytest.mark.parametrize(
    ("dialler", "reason"),
    [
        pytest.param(lambda: side("dialler", ALICE, version=2), "wrong_version", id="version"),
        pytest.param(lambda: side("dialler", ALICE, network="void"), "wrong_network", id="network"),
        pytest.param(lambda: side("dialler", BOB), "self_connection", id="our own id"),
        pytest.param(
            lambda: side("dialler", ALICE, public_key=EVE.public_key_text),
            "identity_mismatch",
            id="id is not the hash of the key",
        ),
        pytest.param(
            lambda: side("dialler", ALICE, nonce=LISTENER_NONCE), "reflected_nonce", id="same nonce"
        ),
        pytest.param(
            lambda: side("dialler", ALICE, cert=b"\x01" * 32), "bad_signature", id="certificate"
        ),
    ],
)
def test_refused_diallers(dialler: Callable[[], Handshake], reason: str) -> None:
    listener = side("listener", BOB)

    with pytest.raises(ProtocolError) as refusal:
        run(dialler(), listener)

    assert refusal.value.reason == reason
    assert listener.peer is None


def test_a_certificate_of_another_key_is_refused_before_anything_is_signed() -> None:
    dialler = side("dialler", ALICE, cert=b"\x01" * 32, cert_key=EVE.public_key)

    with pytest.raises(
        ProtocolError, match=f"certificate is of {EVE.node_id}, not of {BOB.node_id}"
    ):
        run(dialler, side("listener", BOB, cert=b"\x01" * 32))

    assert dialler.peer is None


SECRET = "a secret of the crew"


@pytest.mark.parametrize(
    ("dialler", "listener", "members"),
    [
        pytest.param({"secret": SECRET}, {"secret": SECRET}, (True, True), id="both prove it"),
        pytest.param({"secret": SECRET}, {"secret": SECRET[1:]}, (False, False), id="wrong"),
        pytest.param({"secret": SECRET}, {}, (False, False), id="listener has none"),
        pytest.param({}, {"secret": SECRET}, (False, False), id="dialler has none"),
        pytest.param({}, {}, (False, False), id="nobody has one"),
        pytest.param(
            {"secret": SECRET, "swarm": "lyra"}, {"secret": SECRET}, (False, False), id="swarms"
        ),
    ],
)
def test_members_are_of_one_swarm_and_prove_its_secret(
    dialler: dict[str, str], listener: dict[str, str], members: tuple[bool, bool]
) -> None:
    left, right = side("dialler", ALICE, **dialler), side("listener", BOB, **listener)

    run(left, right)

    assert left.peer is not None and right.peer is not None
    assert (left.peer.member, right.peer.member) == members


def test_the_proof_is_bound_to_the_transcript() -> None:
    proofs: list[str] = []

    def spy(sender: str, payload: bytes) -> bytes:
        message = received(payload).message
        if isinstance(message, AuthResponse):
            proofs.append(message.membership)
        return payload

    run(side("dialler", ALICE, secret=SECRET), side("listener", BOB, secret=SECRET), spy)
    run(
        side("dialler", ALICE, secret=SECRET, nonce=b"\x07" * 32),
        side("listener", BOB, secret=SECRET),
        spy,
    )

    assert len(set(proofs)) == 4
    assert all(len(proof) == 64 for proof in proofs)


@pytest.mark.parametrize("stolen", ["replayed", "reflected"])
def test_a_proof_of_another_handshake_or_side_makes_no_member(stolen: str) -> None:
    # Eve has no secret: she shows what she heard from a member before, or from Bob himself.
    heard: list[bytes] = []

    def spy(sender: str, payload: bytes) -> bytes:
        message = received(payload).message
        if isinstance(message, AuthResponse) and sender == "dialler":
            heard.append(message.membership.encode())
        return payload

    if stolen == "replayed":
        run(side("dialler", ALICE, secret=SECRET), side("listener", BOB, secret=SECRET), spy)
    else:
        run(side("dialler", BOB, secret=SECRET), side("listener", EVE), spy)

    def show(sender: str, payload: bytes) -> bytes:
        return payload.replace(b'"membership":""', b'"membership":"%s"' % heard[0])

    listener = side("listener", BOB, secret=SECRET)
    run(side("dialler", EVE), listener, show)

    assert len(heard[0]) == 64
    assert listener.peer is not None and not listener.peer.member


def test_a_listener_shows_its_proof_to_nobody_who_has_not_proved_the_same() -> None:
    shown: dict[str, str] = {}

    def spy(sender: str, payload: bytes) -> bytes:
        message = received(payload).message
        if isinstance(message, AuthResponse):
            shown[sender] = message.membership
        return payload

    run(side("dialler", EVE), side("listener", BOB, secret=SECRET), spy)

    assert shown == {"dialler": "", "listener": ""}


def test_a_stolen_public_key_does_not_help() -> None:
    thief = Handshake(
        "dialler", identity=EVE, hello=hello_of(ALICE), network=NETWORK, nonce=DIALLER_NONCE
    )
    listener = side("listener", BOB)

    with pytest.raises(ProtocolError, match="identity_mismatch"):
        run(thief, listener)

    assert listener.peer is None


def test_a_hello_changed_on_the_way_breaks_the_signature() -> None:
    def swap_port(sender: str, payload: bytes) -> bytes:
        return payload.replace(b'"http_port":9091', b'"http_port":6666')

    dialler, listener = side("dialler", ALICE), side("listener", BOB)

    with pytest.raises(ProtocolError, match="bad_signature"):
        run(dialler, listener, swap_port)

    assert (dialler.peer, listener.peer) == (None, None)


def test_a_replayed_response_does_not_fit_new_nonces() -> None:
    tape: list[bytes] = []

    def record(sender: str, payload: bytes) -> bytes:
        if sender == "dialler":
            tape.append(payload)
        return payload

    run(side("dialler", ALICE), side("listener", BOB), record)
    listener = side("listener", BOB, nonce=b"\x77" * 32)

    with pytest.raises(ProtocolError, match="bad_signature"):
        for payload in tape:
            listener.receive(received(payload))

    assert listener.peer is None


def test_a_mirror_that_sends_everything_back_is_refused() -> None:
    dialler = side("dialler", ALICE)

    with pytest.raises(ProtocolError, match="self_connection"):
        dialler.receive(received(dialler.start()[0]))


def test_a_response_reflected_under_another_name_is_refused() -> None:
    # Eve shows Bob's HELLO and hands Alice's own signature back to her.
    dialler = side("dialler", ALICE)
    dialler.receive(received(encode_message(hello_of(BOB))))
    challenge = encode_message(AuthChallenge(nonce=LISTENER_NONCE.hex()))
    _, response = dialler.receive(received(challenge))
    message = received(response).message
    assert isinstance(message, AuthResponse)
    reflected = msgspec.structs.replace(message, node_id=BOB.node_id)

    with pytest.raises(ProtocolError, match="bad_signature"):
        dialler.receive(received(encode_message(reflected)))

    assert dialler.peer is None


def test_a_role_unlike_the_hello_is_refused() -> None:
    def crown(sender: str, payload: bytes) -> bytes:
        return payload.replace(b'"role":"worker","sig', b'"role":"emperor","sig')

    with pytest.raises(ProtocolError, match="identity_mismatch"):
        run(side("dialler", ALICE), side("listener", BOB), crown)


PING = encode_message(Ping(node_id=ALICE.node_id, timestamp=1))
CHALLENGE = encode_message(AuthChallenge(nonce="ab" * 32))


@pytest.mark.parametrize("early", [PING, CHALLENGE], ids=["ping", "challenge"])
def test_anything_but_hello_first_is_refused(early: bytes) -> None:
    with pytest.raises(ProtocolError, match="unexpected_message"):
        side("listener", BOB).receive(received(early))


def test_a_second_hello_is_refused() -> None:
    listener = side("listener", BOB)
    hello = received(encode_message(hello_of(ALICE)))
    listener.receive(hello)

    with pytest.raises(ProtocolError, match="unexpected_message"):
        listener.receive(hello)


def test_nothing_follows_a_finished_handshake() -> None:
    dialler, listener = side("dialler", ALICE), side("listener", BOB)
    run(dialler, listener)

    with pytest.raises(ProtocolError, match="unexpected_message"):
        listener.receive(received(encode_message(hello_of(ALICE))))


def test_a_rejection_names_the_reason_to_the_other_side() -> None:
    payload = rejection(ProtocolError("wrong_network", "network 'void', ours is 'galaxy'"))

    assert received(payload).message == AuthReject(
        reason="wrong_network", detail="network 'void', ours is 'galaxy'"
    )
    with pytest.raises(ProtocolError, match="rejected_by_peer: wrong_network: network 'void'"):
        side("dialler", ALICE).receive(received(payload))
