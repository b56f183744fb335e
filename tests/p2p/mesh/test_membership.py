from __future__ import annotations

from dataclasses import replace

import pytest

from p2p.protocol.codec import encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import Goodbye, Ping
from tests.support.mesh_nodes import HOST, QUICK, Nodes, RawPeer, until
from tests.support.wire import identity_number, sealed_note

ALICE, BOB, EVE = (identity_number(n) for n in (1, 2, 3))
SECRET = "a secret of the crew"


async def test_members_know_each_other_and_a_liar_is_a_stranger_named_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await nodes.start(ALICE, secret=SECRET)
    bob = await nodes.start(BOB, secret=SECRET)
    eve = await nodes.start(EVE, secret=SECRET.upper())
    bob.mesh.dial(HOST, alice.mesh.port)
    eve.mesh.dial(HOST, alice.mesh.port)
    await until(lambda: len(alice.up) == 2 and bob.up and eve.up)

    assert {peer.node_id: peer.member for peer in alice.mesh.peers()} == {
        BOB.node_id: True,
        EVE.node_id: False,
    }
    assert bob.mesh.peers()[0].member
    await eve.mesh.stop()
    await until(lambda: alice.down == [EVE.node_id])
    again = await nodes.start(EVE, secret=SECRET.upper())
    again.mesh.dial(HOST, alice.mesh.port)
    await until(lambda: len(alice.up) == 3)

    assert alice.mesh.counters["not_a_member"] == 2
    lines = [each.getMessage() for each in caplog.records if "its secret" in each.getMessage()]
    assert [line for line in lines if line.startswith(EVE.node_id)] == [
        f"{EVE.node_id} at {HOST} names our swarm home without its secret "
        "and is treated as a stranger"
    ]
    assert SECRET not in caplog.text


async def test_without_a_secret_nobody_is_a_member_and_nobody_is_blamed(nodes: Nodes) -> None:
    alice, bob = await nodes.start(ALICE), await nodes.start(BOB, secret=SECRET)
    alice.mesh.dial(HOST, bob.mesh.port)
    await until(lambda: alice.up and bob.up)

    assert (alice.up[0].member, bob.up[0].member) == (False, False)
    assert alice.mesh.counters["not_a_member"] == 0
    assert bob.mesh.counters["not_a_member"] == 1


async def test_a_member_gets_the_place_of_the_stranger_that_said_nothing_for_longest(
    nodes: Nodes,
) -> None:
    alice = await nodes.start(ALICE, secret=SECRET, limits=replace(QUICK, connections_max=3))
    keys = [identity_number(n) for n in (11, 12, 13, 14)]
    silent, busy, also_busy = [await RawPeer.linked(alice, key) for key in keys[:3]]
    await until(lambda: len(alice.linked()) == 3)
    silent.send(encode_message(Ping(node_id=keys[0].node_id, timestamp=1)))
    busy.send(sealed_note(keys[1]))
    also_busy.send(sealed_note(keys[2]))
    await until(lambda: len(alice.inbox) == 2)

    bob = await nodes.start(BOB, secret=SECRET)
    bob.mesh.dial(HOST, alice.mesh.port)
    assert (await silent.until_closed())[-1] == Goodbye(
        reason="make_room", detail="the place is kept for a member of the swarm"
    )
    await until(lambda: alice.down == [keys[0].node_id] and bob.up)

    assert alice.linked() == {BOB.node_id, keys[1].node_id, keys[2].node_id}
    with pytest.raises(ProtocolError, match="too_many_connections"):
        await RawPeer.linked(alice, keys[3])
    for peer in (busy, also_busy):
        peer.close()


async def test_the_place_of_a_known_member_stays_free(nodes: Nodes) -> None:
    alice = await nodes.start(ALICE, secret=SECRET, limits=replace(QUICK, connections_max=2))
    alice.mesh.know_members([BOB.node_id, ALICE.node_id])
    first = await RawPeer.linked(alice, identity_number(11))
    await until(lambda: len(alice.linked()) == 1)

    with pytest.raises(ProtocolError, match="too_many_connections"):
        await RawPeer.linked(alice, identity_number(12))
    bob = await nodes.start(BOB, secret=SECRET)
    alice.mesh.dial_node(BOB.node_id, [{"host": HOST, "port": bob.mesh.port}])
    await until(lambda: BOB.node_id in alice.linked())

    assert len(alice.linked()) == 2
    first.close()
