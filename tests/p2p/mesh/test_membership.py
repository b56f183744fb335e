from __future__ import annotations

import pytest

from tests.support.mesh_nodes import HOST, Nodes, until
from tests.support.wire import identity_number

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
