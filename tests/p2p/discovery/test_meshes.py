"""Real meshes that find each other: by peer exchange, by beacon, and again after a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2p.discovery.beacon import beacon_of
from p2p.discovery.candidates import Contact
from p2p.discovery.messages import Pex, PexEntry
from p2p.protocol.codec import encode_message
from tests.support.discovering_nodes import DiscoveringNodes
from tests.support.mesh_nodes import HOST, RawPeer, until
from tests.support.wire import NETWORK, identity_number

A, B, C, D, EVE = (identity_number(n) for n in (1, 2, 3, 4, 5))


@pytest.fixture
async def nodes() -> AsyncIterator[DiscoveringNodes]:
    started = DiscoveringNodes()
    yield started
    await started.stop()


def entry(node_id: str, port: int, host: str = HOST) -> PexEntry:
    return PexEntry(node_id=node_id, host=host, port=port, swarm="home")


async def test_a_third_node_learns_of_the_first_and_links(nodes: DiscoveringNodes) -> None:
    a, b, c = [await nodes.start(each) for each in (A, B, C)]
    a.mesh.dial(HOST, b.mesh.port)
    await until(lambda: b.linked() == {a.id})

    c.mesh.dial(HOST, b.mesh.port)

    await until(lambda: c.linked() == {a.id, b.id} and a.linked() == {b.id, c.id})


async def test_the_older_neighbours_learn_of_a_new_one_at_the_next_exchange(
    nodes: DiscoveringNodes,
) -> None:
    b = await nodes.start(B)
    a, c = [await nodes.start(each, links_wanted=1) for each in (A, C)]
    a.mesh.dial(HOST, b.mesh.port)
    await until(lambda: b.linked() == {a.id})
    c.mesh.dial(HOST, b.mesh.port)
    await until(lambda: b.linked() == {a.id, c.id})
    assert a.linked() == {b.id}

    a.discovery._links_wanted = 2
    b.discovery._exchange_at = 0.0
    b.discovery.step()

    await until(lambda: a.linked() == {b.id, c.id})


async def test_who_has_links_enough_dials_nobody(nodes: DiscoveringNodes) -> None:
    a, b = await nodes.start(A), await nodes.start(B)
    c = await nodes.start(C, links_wanted=1)
    a.mesh.dial(HOST, b.mesh.port)
    await until(lambda: b.linked() == {a.id})
    a.discovery._links_wanted = b.discovery._links_wanted = 1

    c.mesh.dial(HOST, b.mesh.port)
    await until(lambda: len(c.discovery._candidates) == 1)
    for each in (a, b, c):
        each.discovery.step()

    assert c.linked() == {b.id}
    assert c.discovery.counters["dialled"] == 0


async def test_a_lost_node_is_dialled_again_without_seeds(nodes: DiscoveringNodes) -> None:
    a, b = await nodes.start(A), await nodes.start(B)
    a.discovery.remember([Contact(b.id, HOST, b.mesh.port)])
    await until(lambda: a.linked() == {b.id} and b.linked() == {a.id})
    assert a.discovery.counters["dialled"] == 1

    for connection in list(b.mesh._connections):
        connection.abort("cut")

    await until(lambda: a.discovery.counters["dialled"] + b.discovery.counters["dialled"] > 1)
    await until(lambda: a.linked() == {b.id} and b.linked() == {a.id})


async def test_a_beacon_leads_to_a_link_only_through_the_handshake(
    nodes: DiscoveringNodes,
) -> None:
    a, b = await nodes.start(A), await nodes.start(B)
    stranger = await nodes.start(D, network="andromeda")
    claims = ((b.id, b), (EVE.node_id, stranger))

    for node_id, node in claims:
        a.discovery.heard_beacon(
            beacon_of(network=NETWORK, node_id=node_id, p2p_port=node.mesh.port), HOST
        )

    await until(lambda: a.linked() == {b.id})
    await until(lambda: a.discovery.counters["dialled"] == 2)
    await until(lambda: a.mesh.counters["rejected_by_peer"] + a.mesh.counters["wrong_network"])
    assert a.linked() == {b.id}


async def test_a_bad_datagram_is_counted_and_dials_nobody(nodes: DiscoveringNodes) -> None:
    a = await nodes.start(A)

    a.discovery.heard_beacon(b"{", HOST)
    a.discovery.heard_beacon(beacon_of(network="andromeda", node_id=B.node_id, p2p_port=1), HOST)

    assert a.discovery.counters == {"beacon_malformed": 1, "beacon_wrong_network": 1}
    assert len(a.discovery._candidates) == 0


async def test_a_liar_is_bounded_and_loses_its_link_for_a_long_list(
    nodes: DiscoveringNodes,
) -> None:
    a = await nodes.start(A, links_wanted=0)
    eve = await RawPeer.linked(a, EVE)
    lies = [entry(f"{n:032x}", n, "10.0.0.7") for n in range(1, 601)]
    for start in range(0, 600, 30):
        eve.send(encode_message(Pex(peers=lies[start : start + 30])))
    await until(lambda: a.discovery.counters["pex_ignored"] == 17)
    assert len(a.discovery._candidates) == 30

    body = encode_message(Pex(peers=lies[:1]))[len(b'{"type":5,"peers":[') : -2]
    eve.send(b'{"type":5,"peers":[' + b",".join([body] * 10_000) + b"]}")

    assert [message for message in await eve.until_closed() if isinstance(message, Pex)] == []
    await until(lambda: a.linked() == set())
    assert a.mesh.counters["malformed"] + a.mesh.counters["not_canonical"] == 1


async def test_entries_that_may_not_travel_are_counted_and_not_kept(
    nodes: DiscoveringNodes,
) -> None:
    a = await nodes.start(A, links_wanted=0)
    eve = await RawPeer.linked(a, EVE)

    eve.send(
        encode_message(
            Pex(
                peers=[
                    entry(B.node_id, 7101, "node.example"),
                    entry(C.node_id, 7101, "0.0.0.0"),
                    entry(A.node_id, 7101, "10.0.0.7"),
                    entry(D.node_id, 7101, "10.0.0.7"),
                ]
            )
        )
    )

    await until(lambda: a.discovery.counters["pex_entries_refused"] == 2)
    assert a.discovery._candidates.contacts() == [Contact(D.node_id, "10.0.0.7", 7101)]
