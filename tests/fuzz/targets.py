"""What must hold for any bytes: each target takes some and raises nothing, or has found a bug.

Only ProtocolError is expected of what strangers and neighbours say, and it is caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from p2p.protocol.codec import Received, UnknownMessage, decode_payload, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.frames import FrameDecoder
from p2p.protocol.handshake import Handshake, rejection
from p2p.protocol.limits import DETAIL_CHARS_MAX, FRAME_PREFIX_BYTES, HANDSHAKE_FRAME_BYTES_MAX
from p2p.protocol.messages import Goodbye, Message, Record, Signed
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signatures import verify_sealed
from p2p.registration import registry
from p2p.sync.messages import SyncResponse
from p2p.sync.opening import open_frames
from tests.fuzz.neighbours import say_to_a_node
from tests.fuzz.reading import Reader, cut
from tests.support.wire import NETWORK, hello_of, identity_number

Story = tuple[object, ...]
ALICE, BOB = identity_number(1), identity_number(2)
_CUTS_MAX = 8
_ACTIONS_MAX = 64


def frames(data: bytes) -> None:
    """A stream, cut anywhere, means the same as in one piece; little is ever buffered."""
    reader = Reader(data)
    places = [reader.number(2) for _ in range(reader.number() % _CUTS_MAX)]
    stream = reader.rest()
    whole = list(_story_of([stream], registry))
    assert whole == list(_story_of(cut(stream, places), registry))


def payload(data: bytes) -> None:
    """A payload is a message, an unknown one or refused; a message survives being said again."""
    _meaning(data, registry)


def handshake(data: bytes) -> None:
    """Whatever stands between two nodes does, a finished handshake is one between these two.

    Both sides are honest; the bytes decide what happens to each payload on its way.
    """
    reader = Reader(data)
    sides = {"dialler": _side("dialler"), "listener": _side("listener")}
    flying = [("listener", each) for each in sides["dialler"].start()]
    seen = [each for _, each in flying]
    for _ in range(_ACTIONS_MAX):
        if not flying:
            break
        to, sent = flying.pop(0)
        for whom, arrived in _on_the_way(reader, to, sent, seen):
            said = _hear(sides[whom], arrived)
            other = "listener" if whom == "dialler" else "dialler"
            flying += [(other, each) for each in said]
            seen += said
    for side, peer in ((sides["dialler"], BOB), (sides["listener"], ALICE)):
        assert side.peer is None or side.peer.node_id == peer.node_id
        assert side.peer is None or side.peer.hello == hello_of(peer)


def neighbour(data: bytes) -> None:
    """Whatever a linked neighbour says, the node answers within its limits or blames it."""
    say_to_a_node(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (frames, payload, handshake, neighbour)
}


def _story_of(chunks: list[bytes], messages: MessageRegistry) -> Iterator[Story]:
    decoder = FrameDecoder(HANDSHAKE_FRAME_BYTES_MAX)
    for chunk in chunks:
        decoder.feed(chunk)
        try:
            while (each := decoder.next_frame()) is not None:
                yield _meaning(each, messages)
        except ProtocolError as error:
            assert decoder.buffered_bytes == 0
            yield ("closed", error.reason)
            return
        assert decoder.buffered_bytes < HANDSHAKE_FRAME_BYTES_MAX + FRAME_PREFIX_BYTES


def _meaning(data: bytes, messages: MessageRegistry) -> Story:
    try:
        decoded = decode_payload(data, messages)
        if isinstance(decoded, UnknownMessage):
            return ("unknown", decoded.number)
        _look_at(decoded.message, data)
    except ProtocolError as error:
        _assert_can_be_said(error)
        return ("refused", error.reason)
    return ("message", decoded.message)


def _look_at(message: Message, data: bytes) -> None:
    if isinstance(message, Record):
        assert isinstance(message.key(), str)
        assert isinstance(message.deletes, bool)
        data.decode()  # a page of sync must be able to carry it
    if isinstance(message, Signed):
        verify_sealed(message, data, NETWORK)
        return
    assert decode_payload(encode_message(message), registry).message == message  # type: ignore[union-attr]
    if isinstance(message, SyncResponse):
        open_frames(message.frames, topic="posts", network=NETWORK, registry=registry)


def _assert_can_be_said(error: ProtocolError) -> None:
    """The peer is told why: the words must fit into a frame, whatever it said itself."""
    rejection(error)
    encode_message(Goodbye(reason=error.reason, detail=error.detail[:DETAIL_CHARS_MAX]))


def _side(name: str) -> Handshake:
    identity, nonce = (ALICE, b"\x0d" * 32) if name == "dialler" else (BOB, b"\x01" * 32)
    return Handshake(
        "dialler" if name == "dialler" else "listener",
        identity=identity,
        hello=hello_of(identity),
        network=NETWORK,
        nonce=nonce,
        secret="a secret of the crew",
    )


def _on_the_way(
    reader: Reader, to: str, sent: bytes, seen: list[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Decide what becomes of a payload: nothing at all, when the bytes are used up."""
    match reader.number() % 8:
        case 1:  # lost
            return
        case 2:  # twice
            yield from ((to, sent), (to, sent))
        case 3:  # sent back
            yield ("listener" if to == "dialler" else "dialler"), sent
        case 4:  # something said before
            yield to, seen[reader.number() % len(seen)]
        case 5:  # invented
            yield to, reader.take(reader.number(2) % 2_048)
        case 6:  # changed
            at, old = reader.number(2) % len(sent), reader.number() % 64
            yield to, sent[:at] + reader.take(reader.number() % 64) + sent[at + old :]
        case 7:  # changed in one bit
            at = reader.number(2) % (8 * len(sent))
            flipped = int.from_bytes(sent, "big") ^ (1 << at)
            yield to, flipped.to_bytes(len(sent), "big")
        case _:
            yield to, sent


def _hear(side: Handshake, arrived: bytes) -> list[bytes]:
    """Give a payload to one side; who refuses says so and hears nothing more."""
    try:
        received = decode_payload(arrived, registry)
        if isinstance(received, Received):
            return side.receive(received)
    except ProtocolError as error:
        return [] if error.reason == "rejected_by_peer" else [rejection(error)]
    return []
