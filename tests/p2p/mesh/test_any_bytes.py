"""Any bytes, cut anywhere, cost at most the connection that they came over; sockets are in memory.

The connection, the mesh and the gossip are the real ones.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.mesh.connection import Connection
from p2p.protocol.codec import decode_payload, encode_message
from p2p.protocol.frames import FrameDecoder, encode_frame
from p2p.protocol.handshake import Handshake
from p2p.protocol.identity import Identity
from p2p.protocol.limits import FRAME_BYTES_MAX
from p2p.protocol.messages import IHave, IWant, Ping, Prune, RecordIds
from tests.fuzz.reading import cut
from tests.support.mesh_nodes import Node, Nodes
from tests.support.wire import (
    NETWORK,
    hello_of,
    identity_number,
    note,
    registry_with_test_messages,
    sealed_note,
    sealed_nudge,
)

NODE, EVE, BOB = (identity_number(n) for n in (1, 2, 3))
REGISTRY = registry_with_test_messages()
IDS = [RecordIds(BOB.node_id, "notes", 1, [1, 2, 3])]

VALID = [
    encode_frame(payload)
    for payload in (
        encode_message(Ping(node_id=EVE.node_id, timestamp=1)),
        encode_message(Prune(scope="network")),
        encode_message(IHave(ids=IDS)),
        encode_message(IWant(ids=IDS, graft=True)),
        encode_message(hello_of(EVE)),
        sealed_note(EVE),
        sealed_note(EVE, seq=2),
        sealed_nudge(EVE, NODE.node_id),
        b'{"type":254,"a":1}',
    )
]
CUTS = st.lists(st.integers(0, 4_000), max_size=6)
BYTES = st.lists(
    st.sampled_from(VALID) | st.binary(max_size=60) | st.binary(max_size=60).map(encode_frame),
    max_size=8,
).map(b"".join)


class MemoryTransport(asyncio.Transport):
    """A socket whose other end is the test."""

    def __init__(self, connection: Connection) -> None:
        super().__init__({"peername": ("192.0.2.7", 7101)})
        self.sent = bytearray()
        self._connection = connection
        self._closing = False

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        """Nothing is read by itself here."""

    def resume_reading(self) -> None:
        """Nothing is read by itself here."""

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    abort = close


def dialled(node: Node) -> tuple[Connection, MemoryTransport]:
    """Return a connection to the node on which nothing was said yet."""
    connection = node.mesh._new_connection(outbound=False)
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    return connection, transport


async def linked(node: Node, identity: Identity) -> Connection:
    """Return a connection to the node whose handshake is finished."""
    connection, transport = dialled(node)
    handshake = Handshake(
        "dialler",
        identity=identity,
        hello=hello_of(identity),
        network=NETWORK,
        nonce=identity.public_key,
    )
    said, heard = handshake.start(), FrameDecoder()
    while handshake.peer is None:
        for payload in said:
            connection.data_received(encode_frame(payload))
        await asyncio.sleep(0)
        heard.feed(bytes(transport.sent))
        transport.sent.clear()
        said = []
        while handshake.peer is None and (payload := heard.next_frame()) is not None:
            said += handshake.receive(decode_payload(payload, REGISTRY))
    return connection


async def outcome(parts: list[bytes], *, after_handshake: bool) -> tuple[object, ...]:
    """Say bytes to a node that has a good neighbour; return everything that they did."""
    nodes = Nodes(with_tls=False)
    node = await nodes.start(NODE)
    good = await linked(node, BOB)
    if after_handshake:
        bad = await linked(node, EVE)
    else:
        bad, _ = dialled(node)
    for part in parts:
        if not part:
            continue
        bad.data_received(part)
        assert bad._decoder.buffered_bytes <= FRAME_BYTES_MAX
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    good.data_received(encode_frame(sealed_note(BOB, seq=77)))

    assert good.is_open
    assert (note(BOB, seq=77), BOB.node_id) in node.inbox
    assert BOB.node_id in node.linked()
    told = (bad.close_reason, dict(node.mesh.counters), list(node.inbox), sorted(node.linked()))
    await nodes.stop()
    return told


@settings(max_examples=60)
@given(data=BYTES, places=CUTS)
def test_a_neighbour_may_say_anything(data: bytes, places: list[int]) -> None:
    whole = asyncio.run(outcome([data], after_handshake=True))

    assert asyncio.run(outcome(cut(data, places), after_handshake=True)) == whole


@settings(max_examples=60)
@given(data=BYTES, places=CUTS)
def test_a_stranger_may_say_anything(data: bytes, places: list[int]) -> None:
    whole = asyncio.run(outcome([data], after_handshake=False))

    assert whole[3] == [BOB.node_id]
    assert asyncio.run(outcome(cut(data, places), after_handshake=False)) == whole


def test_defect_20_bytes_and_frames_of_any_size_cost_only_their_connection() -> None:
    closed = {}
    for data in (
        b"\xff" * 65_536,
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big") + b"{" * 70_000,
        encode_frame(b"[" * FRAME_BYTES_MAX),
        encode_frame(b'{"type":6,' + b"[" * 100_000 + b"}"),
        encode_frame(b'{"type":6,"node_id":"' + b"\\" * 1_000_000 + b'"}'),
        encode_frame(b'{"type":3}'),
        bytes(4),
    ):
        parts = [data[at:end] for at, end in pairwise(range(0, len(data) + 65_536, 65_536))]
        reason, _, _, left = asyncio.run(outcome(parts, after_handshake=True))
        assert left == [BOB.node_id]
        closed[data[:32]] = reason

    assert list(closed.values()) == [
        "frame_too_large",
        "frame_too_large",
        "not_canonical",
        "not_canonical",
        "malformed",
        "not_canonical",
        "empty_frame",
    ]
