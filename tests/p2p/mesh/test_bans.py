from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from p2p.mesh import conduct
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import HANDSHAKES_MAX
from p2p.protocol.messages import AuthReject
from tests.support.mesh_nodes import HOST, QUICK, Node, Nodes, RawPeer, until
from tests.support.wire import identity_number, sealed_note

NODE, EVE, BOB = (identity_number(n) for n in (1, 2, 3))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def forge(node: Node) -> None:
    """Link as Eve and send a record whose signature is wrong."""
    eve = await RawPeer.linked(node, EVE)
    eve.send(sealed_note(EVE).replace(b'"hi"', b'"ho"'))
    await eve.until_closed()


async def test_a_node_that_forges_is_banned_for_a_while_and_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    node = await nodes.start(NODE, now=clock)
    for _ in range(2):
        await forge(node)
    await until(lambda: node.connections() == 0)

    for _ in range(3):
        with pytest.raises(ProtocolError, match="rejected_by_peer: banned: for 60 more seconds"):
            await RawPeer.linked(node, EVE)
    # Many nodes share this host: nobody else is banned with her.
    bob = await RawPeer.linked(node, BOB)
    await until(lambda: node.linked() == {BOB.node_id})

    assert node.mesh.counters["banned"] == 3
    named = [each.getMessage() for each in caplog.records if EVE.node_id in each.getMessage()]
    warned = [line for line in named if "said goodbye" not in line]
    assert warned == [
        f"connection with {EVE.node_id} closed: bad_signature: Note in the name of {EVE.node_id}",
        f"{EVE.node_id} is banned for 60 s, the last fault was bad_signature",
    ]
    clock.now += 60
    eve = await RawPeer.linked(node, EVE)
    await until(lambda: node.linked() == {BOB.node_id, EVE.node_id})
    for peer in (bob, eve):
        peer.close()


async def test_a_banned_node_is_not_dialled(nodes: Nodes) -> None:
    node, eve = await nodes.start(NODE), await nodes.start(EVE)
    for _ in range(2):
        await forge(node)

    node.mesh.dial_node(EVE.node_id, [{"host": HOST, "port": eve.mesh.port}])
    await until(lambda: not node.mesh._dialler._tasks.runs(f"node {EVE.node_id}"))

    assert node.connections() == 0
    assert node.mesh.counters["banned"] == 0


async def test_a_banned_host_is_hung_up_on_before_it_says_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conduct, "host_key", lambda host: host)
    nodes = Nodes(with_tls=False)
    node = await nodes.start(NODE)
    for _ in range(5):
        noise = await RawPeer.connect(node)
        noise.send(b"noise")
        await noise.until_closed()

    refused = await RawPeer.connect(node)

    assert await refused.until_closed() == [
        AuthReject(reason="banned", detail="for 60 more seconds")
    ]
    assert node.mesh.counters["banned"] == 1
    await nodes.stop()


async def test_a_thousand_half_open_connections_are_bounded_and_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    node = await nodes.start(NODE)
    most = 0
    strangers: list[RawPeer] = []
    for _ in range(20):
        batch = [RawPeer.connect_bare(node) for _ in range(50)]
        strangers += await asyncio.gather(*batch)
        most = max(most, node.connections())
    await until(lambda: node.mesh.counters["refused_stranger"] == 1_000 - HANDSHAKES_MAX)

    assert most == HANDSHAKES_MAX
    assert [each.getMessage() for each in caplog.records] == [
        "20 handshakes are under way, more strangers are refused"
    ]
    for each in strangers:
        each.close()
    await until(lambda: node.connections() == 0)
    bob = await RawPeer.linked(node, BOB)
    await until(lambda: node.linked() == {BOB.node_id})
    bob.close()


async def test_handshakes_that_time_out_are_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, handshake_timeout_s=0.05))
    for _ in range(3):
        silent = [await RawPeer.connect_bare(node) for _ in range(5)]
        for each in silent:
            await each.until_closed()

    assert node.mesh.counters["handshake_timeout"] == 15
    assert [each.getMessage() for each in caplog.records] == [
        f"connection with {HOST} closed: handshake_timeout: no handshake within 0.05 s"
    ]
