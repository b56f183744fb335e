"""What a node cannot do by connecting again and again."""

from __future__ import annotations

from dataclasses import replace

from p2p.protocol.limits import LINKS_PER_NODE_MAX
from p2p.protocol.messages import Goodbye
from tests.support.mesh_nodes import QUICK, Nodes, RawPeer, until
from tests.support.wire import MembersNote, identity_number, note, sealed_note

NODE, EVE = (identity_number(n) for n in (1, 2))
SECRET = "a secret of the crew"


async def test_a_node_holds_three_connections_at_most(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, drain_s=30))
    links = []
    for number in range(8):
        links.append(await RawPeer.linked(node, EVE, nonce=f"{number:016x}"))
        await until(lambda: node.connections() <= LINKS_PER_NODE_MAX)

    ended = [await each.until_closed() for each in links[:5]]
    node.mesh.publish(sealed_note(NODE))

    assert await links[-1].next_of(type(note(NODE))) == note(NODE)
    assert {each[-1] for each in ended} == {
        Goodbye(reason="duplicate_link", detail="this node has too many connections")
    }
    assert (node.connections(), len(node.up), node.down) == (3, 1, [])
    for each in links:
        each.close()


async def test_a_ban_ends_all_links_of_its_node(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, drain_s=30))
    links = [await RawPeer.linked(node, EVE, nonce=f"{number:016x}") for number in range(3)]
    for liar in links[:2]:
        liar.send(sealed_note(EVE).replace(b'"hi"', b'"ho"'))
        assert (await liar.until_closed())[-1].reason == "bad_signature"  # type: ignore[attr-defined]

    assert (await links[2].until_closed())[-1] == Goodbye(reason="banned")
    await until(lambda: node.down == [EVE.node_id])
    assert node.connections() == 0


async def test_a_frame_goes_over_another_link_while_one_is_closing(nodes: Nodes) -> None:
    node = await nodes.start(NODE, limits=replace(QUICK, drain_s=30))
    early = await RawPeer.linked(node, EVE, nonce="0" * 16)
    late = await RawPeer.linked(node, EVE, nonce="f" * 16)
    await until(lambda: node.connections() == 2)

    node.mesh._links.all_of(EVE.node_id)[0].close("stopping")
    assert node.mesh.send(EVE.node_id, sealed_note(NODE))

    assert await early.next_of(type(note(NODE))) == note(NODE)
    assert node.down == []
    for each in (early, late):
        each.close()


async def test_a_node_is_presented_anew_when_another_link_proves_another_membership(
    nodes: Nodes,
) -> None:
    node = await nodes.start(NODE, secret=SECRET, limits=replace(QUICK, drain_s=30))
    early, late = [await RawPeer.connect(node) for _ in range(2)]
    await early.shake_hands(EVE, nonce="0" * 16)
    await late.shake_hands(EVE, nonce="f" * 16, secret=SECRET)
    await until(lambda: len(node.up) == 2)

    assert node.mesh.publish(sealed_note(NODE, kind=MembersNote)) == 1
    await late.next_of(MembersNote)
    late.close()
    await until(lambda: len(node.up) == 3)

    assert [peer.member for peer in node.up] == [False, True, False]
    assert node.down == [EVE.node_id] * 2
    assert node.mesh.publish(sealed_note(NODE, seq=2, kind=MembersNote)) == 0
    early.close()
