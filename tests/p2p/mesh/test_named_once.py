"""Who misbehaves is named in the log, once, and costs bounded room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p.gossip.settings import GossipLimits
from p2p.protocol.codec import encode_message
from p2p.protocol.limits import INTEGER_MAX
from p2p.protocol.messages import IHave, Ping, Pong, RecordIds
from tests.support.mesh_nodes import QUICK, Node, Nodes, RawPeer, until
from tests.support.wire import identity_number, note, sealed_note

NODE, EVE, BOB = (identity_number(n) for n in (1, 2, 3))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


async def answered(peer: RawPeer) -> None:
    """Wait until the node has read everything that the peer sent before."""
    peer.send(encode_message(Ping(node_id=EVE.node_id, timestamp=77)))
    while await peer.next_of(Pong) != Pong(node_id=NODE.node_id, timestamp=77):
        continue


async def be_slow(node: Node) -> None:
    """Link as Eve and read nothing until the node has had enough."""
    dropped = node.mesh.counters["slow_peer"]
    deaf = await RawPeer.linked(node, EVE)
    await until(lambda: node.linked() == {EVE.node_id})
    while node.mesh.send(EVE.node_id, sealed_note(NODE, text="x" * 60_000)):
        continue
    await until(lambda: node.mesh.counters["slow_peer"] == dropped + 1)
    await until(lambda: node.connections() == 0)
    deaf.close()


async def test_a_slow_reader_that_comes_again_is_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, write_queue_bytes_max=200_000))
    for _ in range(3):
        await be_slow(node)

    [named] = warnings(caplog)
    assert named.startswith(f"{EVE.node_id}: slow_peer: ")
    assert named.endswith(" bytes wait, more than 200000")


async def test_a_flooder_is_named_once(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, frames_per_s=5_000, frames_burst=10))
    eve = await RawPeer.linked(node, EVE)
    for seq in range(1, 201):
        eve.send(sealed_note(EVE, seq=seq))
        if seq % 50 == 0:
            await answered(eve)

    assert node.mesh.counters["throttled"] > 1
    [named] = warnings(caplog)
    assert named.startswith(f"{EVE.node_id}: throttled: it sends too much: not read for ")
    eve.close()


@pytest.mark.parametrize("stamp", [1_200_001, INTEGER_MAX])
async def test_a_clock_that_is_far_ahead_is_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture, stamp: int
) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)
    for seq in range(1, 21):
        eve.send(sealed_note(BOB, seq=seq, lamport_ts=stamp))
    await answered(eve)

    assert node.mesh.counters["too_far_ahead"] == 20
    assert warnings(caplog) == [
        f"{EVE.node_id}: too_far_ahead: a frame in the name of {BOB.node_id} "
        f"is {stamp - 1_000} ms ahead of our clock"
    ]
    assert node.linked() == {EVE.node_id}
    eve.close()


async def test_who_names_records_that_do_not_exist_is_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    limits = replace(QUICK, gossip=GossipLimits(missing_max=10))
    node = await nodes.start(NODE, limits=limits)
    eve = await RawPeer.linked(node, EVE)
    for first in range(1, 400, 100):
        seqs = list(range(first, first + 100))
        eve.send(encode_message(IHave(ids=[RecordIds(BOB.node_id, note(BOB).topic, 1, seqs)])))
    await answered(eve)

    assert node.mesh.counters["ihave_no_room"] == 4
    assert warnings(caplog) == [
        f"{EVE.node_id}: ihave_no_room: it names records that do not come, more than 10"
    ]
    eve.close()
