from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from p2p.protocol.codec import encode_message
from p2p.protocol.limits import FRAME_BYTES_MAX
from p2p.protocol.messages import AuthReject, Goodbye, Hello, Ping, Pong
from tests.support.mesh_nodes import HOST, QUICK, Node, Nodes, RawPeer, until
from tests.support.wire import (
    hello_of,
    identity_number,
    note,
    sealed_note,
    sealed_nudge,
)

NODE, EVE, BOB = (identity_number(n) for n in (1, 2, 3))
PING = encode_message(Ping(node_id=EVE.node_id, timestamp=1))


async def node_with_a_good_peer(nodes: Nodes) -> tuple[Node, Node]:
    node, good = await nodes.start(NODE), await nodes.start(BOB)
    good.mesh.dial(HOST, node.mesh.port)
    await until(lambda: node.up and good.up)
    return node, good


async def assert_only_eve_lost(node: Node, good: Node, reason: str) -> None:
    await until(lambda: node.linked() == {BOB.node_id})
    assert node.mesh.counters[reason] == 1
    assert node.down in ([], [EVE.node_id])
    good.mesh.publish(sealed_note(BOB))
    await until(lambda: (note(BOB), BOB.node_id) in node.inbox)
    assert [message for message, _ in node.inbox] == [note(BOB)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(lambda: b"not json", "not_canonical", id="not JSON"),
        pytest.param(lambda: b'{"type":6,"node_id":1}', "malformed", id="wrong field"),
        pytest.param(lambda: PING[:-1] + b',"timestamp":2}', "not_canonical", id="key twice"),
        pytest.param(lambda: sealed_note(EVE)[:-98] + b"}", "unsigned", id="unsigned record"),
        pytest.param(
            lambda: sealed_note(EVE).replace(b'"hi"', b'"ho"'), "bad_signature", id="changed record"
        ),
        pytest.param(
            lambda: sealed_note(EVE).replace(
                EVE.node_id.encode(), BOB.node_id.encode()
            ),
            "identity_mismatch",
            id="in another's name",
        ),
        pytest.param(
            lambda: sealed_nudge(EVE, NODE.node_id).replace(b'"now"', b'"not"'),
            "bad_signature",
            id="changed command",
        ),
        pytest.param(lambda: encode_message(hello_of(EVE)), "unexpected_message", id="HELLO again"),
    ],
)  # fmt: skip
async def test_a_bad_frame_costs_its_sender_only_its_connection(
    nodes: Nodes, bad: Callable[[], bytes], reason: str
) -> None:
    node, good = await node_with_a_good_peer(nodes)
    eve = await RawPeer.linked(node, EVE)

    eve.send(bad())
    messages = await eve.until_closed()

    assert isinstance(messages[-1], Goodbye)
    assert messages[-1].reason == reason
    await assert_only_eve_lost(node, good, reason)


async def test_an_oversized_frame_closes_before_it_is_read(nodes: Nodes) -> None:
    node, good = await node_with_a_good_peer(nodes)
    eve = await RawPeer.linked(node, EVE)

    eve.send_bytes((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))

    assert (await eve.until_closed())[-1] == Goodbye(
        reason="frame_too_large", detail="frame of 1048577 bytes exceeds 1048576"
    )
    await assert_only_eve_lost(node, good, "frame_too_large")


async def test_the_largest_frame_passes_once_linked(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)
    padding = b'{"type":254,"x":"' + b"a" * (FRAME_BYTES_MAX - 19) + b'"}'
    assert len(padding) == FRAME_BYTES_MAX

    eve.send(padding)
    await until(lambda: node.mesh.counters["unknown_type"] == 1)

    assert node.linked() == {EVE.node_id}
    eve.close()


async def test_a_stranger_may_not_send_large_frames_nor_anything_but_the_handshake(
    nodes: Nodes,
) -> None:
    node, good = await node_with_a_good_peer(nodes)
    for payload, reason in (
        (PING, "unexpected_message"),
        (sealed_note(EVE), "unexpected_message"),
        (b'{"type":254,"a":1}', "unexpected_message"),
        (b"GET / HTTP/1.1", "not_canonical"),
        (b"x" * 16_385, "frame_too_large"),
    ):
        stranger = await RawPeer.connect(node)
        stranger.send(payload)

        messages = await stranger.until_closed()

        assert [type(message) for message in messages] == [AuthReject]
        assert messages[0].reason == reason  # type: ignore[attr-defined]
    assert node.linked() == {good.id} and len(node.up) == 1
    assert node.inbox == []


async def test_a_silent_stranger_is_closed_at_the_handshake_deadline(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, handshake_timeout_s=0.05))
    stranger = await RawPeer.connect(node)

    messages = await stranger.until_closed()

    assert messages == [AuthReject(reason="handshake_timeout", detail="no handshake within 0.05 s")]
    await until(lambda: node.connections() == 0)


async def test_a_half_handshake_runs_into_the_same_deadline(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, handshake_timeout_s=0.2))
    stranger = await RawPeer.connect(node)
    stranger.send(encode_message(hello_of(EVE)))

    messages = await stranger.until_closed()

    assert isinstance(messages[0], Hello)
    assert messages[-1].reason == "handshake_timeout"  # type: ignore[attr-defined]
    assert node.up == []


async def test_too_many_strangers_are_hung_up_on(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, handshakes_max=2))
    first = [await RawPeer.connect_bare(node) for _ in range(2)]
    await until(lambda: node.connections() == 2)

    third = await RawPeer.connect_bare(node)

    assert await third.until_closed() == []
    assert node.mesh.counters["refused_stranger"] == 1
    for peer in first:
        peer.close()


async def test_a_peer_that_falls_silent_is_closed_and_one_that_answers_is_not(
    nodes: Nodes,
) -> None:
    limits = replace(QUICK, ping_interval_s=0.05, idle_timeout_s=0.3)
    node, good = await nodes.start(NODE, limits=limits), await nodes.start(BOB)
    good.mesh.dial(HOST, node.mesh.port)
    await until(lambda: node.up)
    eve = await RawPeer.linked(node, EVE)

    messages = await eve.until_closed()

    assert messages[-1] == Goodbye(reason="idle", detail="nothing heard for 0.3 s")
    assert sum(isinstance(message, Ping) for message in messages) >= 3
    assert node.linked() == {BOB.node_id}


async def test_a_ping_is_answered_with_its_timestamp(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)

    eve.send(encode_message(Ping(node_id=EVE.node_id, timestamp=12_345)))

    assert await eve.next_of(Pong) == Pong(node_id=NODE.node_id, timestamp=12_345)
    eve.close()


async def test_a_peer_that_does_not_read_is_dropped_and_never_waited_for(nodes: Nodes) -> None:
    limits = replace(QUICK, write_queue_bytes_max=200_000)
    node, good = await nodes.start(NODE, limits=limits), await nodes.start(BOB)
    good.mesh.dial(HOST, node.mesh.port)
    await until(lambda: node.up)
    deaf = await RawPeer.linked(node, EVE)
    await until(lambda: len(node.linked()) == 2)

    seq = 0
    while node.mesh.counters["slow_peer"] == 0 and seq < 1_000:
        seq += 1
        node.mesh.publish(sealed_note(NODE, seq=seq, text="x" * 60_000))
        await until(lambda seen=seq: len(good.inbox) >= seen)

    await until(lambda: node.linked() == {BOB.node_id})
    assert node.mesh.counters["slow_peer"] == 1
    assert len(good.inbox) == seq
    deaf.close()


async def test_a_flooding_peer_is_slowed_down_and_loses_nothing(nodes: Nodes) -> None:
    limits = replace(QUICK, frames_per_s=400, frames_burst=100)
    node = await nodes.start(NODE, limits=limits)
    eve = await RawPeer.linked(node, EVE)

    began = time.monotonic()
    for seq in range(1, 301):
        eve.send(sealed_note(EVE, seq=seq))
    await until(lambda: len(node.inbox) == 300)
    eve.send(encode_message(Ping(node_id=EVE.node_id, timestamp=7)))
    await eve.next_of(Pong)

    # The PING is read when 300 frames are paid for: (300 - 100) / 400 = 0.5 s.
    assert time.monotonic() - began > 0.49
    assert node.mesh.counters["throttled"] >= 1
    assert len(node.inbox) == 300
    assert node.linked() == {EVE.node_id}
    eve.close()


async def test_a_frame_too_far_ahead_is_neither_applied_nor_remembered(nodes: Nodes) -> None:
    wall = [1_000]
    node = await nodes.start(NODE, now_ms=lambda: wall[0])
    eve = await RawPeer.linked(node, EVE)
    ahead = sealed_note(EVE, lamport_ts=601_001)

    eve.send(ahead)
    eve.send(sealed_nudge(EVE, NODE.node_id, lamport_ts=601_001))
    await until(lambda: node.mesh.counters["too_far_ahead"] == 2)
    assert node.inbox == []
    wall[0] = 1_001
    eve.send(ahead)
    await until(lambda: node.inbox)

    assert node.linked() == {EVE.node_id}
    eve.close()


async def test_a_command_for_somebody_else_is_dropped_and_counted(nodes: Nodes) -> None:
    node, good = await node_with_a_good_peer(nodes)
    eve = await RawPeer.linked(node, EVE)

    eve.send(sealed_nudge(EVE, BOB.node_id))
    await until(lambda: node.mesh.counters["not_for_us"] == 1)

    assert (node.inbox, good.inbox) == ([], [])
    assert node.linked() == {EVE.node_id, BOB.node_id}
    eve.close()


async def test_an_echo_of_our_own_record_is_not_delivered(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)

    eve.send(sealed_note(NODE))
    await until(lambda: node.mesh.counters["own_record"] == 1)

    assert node.inbox == []
    eve.close()


async def test_of_two_dials_of_one_node_the_later_counts(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    late = await RawPeer.linked(node, EVE, nonce="f" * 16)
    early = await RawPeer.linked(node, EVE, nonce="0" * 16)

    early_messages = await early.until_closed()
    node.mesh.publish(sealed_note(NODE))
    await late.next_of(type(note(NODE)))

    assert early_messages[-1] == Goodbye(reason="duplicate_link")
    assert (len(node.up), node.down) == (1, [])
    late.close()
    await until(lambda: node.down == [EVE.node_id])


async def test_the_loser_is_used_again_when_the_winner_dies(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, drain_s=30))
    early = await RawPeer.linked(node, EVE, nonce="0" * 16)
    late = await RawPeer.linked(node, EVE, nonce="f" * 16)
    await until(lambda: node.connections() == 2)

    late.close()
    await until(lambda: node.connections() == 1)
    assert node.mesh.send(EVE.node_id, sealed_note(NODE))

    assert await early.next_of(type(note(NODE))) == note(NODE)
    assert node.down == []
    early.close()


async def test_goodbye_is_the_last_frame_of_a_stopping_node_even_to_a_deaf_peer(
    nodes: Nodes,
) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)
    deaf = await RawPeer.linked(node, BOB)
    for seq in range(1, 60):
        node.mesh.send(BOB.node_id, sealed_note(NODE, seq=seq, text="x" * 60_000))

    began = time.monotonic()
    await node.mesh.stop("stopping")

    assert time.monotonic() - began < 3
    assert (await eve.until_closed())[-1] == Goodbye(reason="stopping")
    assert node.connections() == 0
    assert sorted(node.down) == sorted([EVE.node_id, BOB.node_id])
    deaf.close()
