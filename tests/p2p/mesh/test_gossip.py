"""The gossip on real sockets, seen by a peer that speaks it by hand."""

from __future__ import annotations

from p2p.gossip.ids import RecordId, grouped, id_of
from p2p.protocol.codec import encode_message
from p2p.protocol.messages import Goodbye, IHave, IWant, Prune
from tests.support.mesh_nodes import HOST, Nodes, RawPeer, until
from tests.support.wire import Note, identity_number, note, sealed_note, sealed_nudge

NODE, EVE, BOB = (identity_number(number) for number in (1, 2, 3))


def ids_of(*notes: Note) -> list:  # type: ignore[type-arg]
    return grouped(id_of(each) for each in notes)


async def test_an_announced_record_is_asked_for_and_taken(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)

    eve.send(encode_message(IHave(ids=ids_of(note(BOB, seq=5)))))
    want = await eve.next_of(IWant)
    eve.send(sealed_note(BOB, seq=5))
    await until(lambda: node.inbox)

    assert want == IWant(ids=ids_of(note(BOB, seq=5)), graft=True)
    assert node.inbox == [(note(BOB, seq=5), EVE.node_id)]
    eve.close()


async def test_who_pruned_gets_ids_and_on_demand_the_bytes_that_were_signed(nodes: Nodes) -> None:
    node, good = await nodes.start(NODE), await nodes.start(BOB)
    good.mesh.dial(HOST, node.mesh.port)
    await until(lambda: good.up)
    eve = await RawPeer.linked(node, EVE)
    eve.send(encode_message(Prune(scope="network")))
    eve.send(sealed_nudge(EVE, NODE.node_id))
    await until(lambda: len(node.inbox) == 1)

    good.mesh.publish(sealed_note(BOB))
    told = await eve.next_of(IHave)
    eve.send(encode_message(IWant(ids=told.ids, graft=False)))  # type: ignore[attr-defined]
    while not isinstance((received := await eve.next()).message, Note):
        continue

    assert told == IHave(ids=ids_of(note(BOB)))
    assert received.raw == sealed_note(BOB)
    eve.close()


async def test_what_the_gossip_no_longer_holds_is_left_to_the_store(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)

    eve.send(encode_message(IWant(ids=ids_of(note(BOB)), graft=False)))
    await until(lambda: node.fetches)

    assert node.fetches == [(EVE.node_id, (id_of(note(BOB)),))]
    eve.close()


async def test_a_record_of_ours_that_we_do_not_know_is_told(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)

    eve.send(sealed_note(NODE, seq=3))
    await until(lambda: node.own_ahead)

    assert (node.own_ahead, node.inbox) == ([note(NODE, seq=3)], [])
    eve.close()


async def test_too_many_ids_in_a_frame_cost_the_sender_its_connection(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)
    ids = [RecordId("e" * 32, "notes", 1, seq) for seq in range(1, 1_001)]
    groups = [*grouped(ids), *grouped([RecordId("f" * 32, "notes", 1, 1)])]

    eve.send(encode_message(IHave(ids=groups)))
    messages = await eve.until_closed()

    assert isinstance(messages[-1], Goodbye)
    assert messages[-1].detail == "1001 ids in one frame, at most 1000"


async def test_a_stopped_node_leaves_no_timer_behind(nodes: Nodes) -> None:
    node = await nodes.start(NODE)
    eve = await RawPeer.linked(node, EVE)
    eve.send(encode_message(IHave(ids=ids_of(note(BOB)))))
    await until(lambda: node.mesh._gossip._timer is not None)

    await node.mesh.stop()

    assert node.mesh._gossip._timer is None
    eve.close()
