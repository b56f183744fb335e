"""Real nodes that find each other, and one wall for all of them."""

from __future__ import annotations

import socket

from tests.processes.conftest import MakeNode
from tests.support.nodes import HOST, RealNode, start_all
from tests.support.waiting import wait_for


def linked(node: RealNode) -> set[str]:
    return {each["node_id"] for each in node.items("/peers")}


def wall(node: RealNode) -> list[str]:
    return [each["content"] for each in node.items("/posts")]


async def test_nodes_with_one_seed_find_each_other_and_share_a_wall(make_node: MakeNode) -> None:
    hub = make_node("hub", worker=False).start()
    left, right = (make_node(name, worker=False, seeds=hub.address) for name in ("left", "right"))
    start_all(left, right)
    everybody = {node.node_id for node in (hub, left, right)}
    for node in (hub, left, right):
        await wait_for(lambda node=node: linked(node) == everybody - {node.node_id})

    hub.stop()
    first = left.post("/posts", {"content": "still here?", "author": "ada"})
    await wait_for(lambda: wall(right) == ["still here?"])
    right.post("/posts", {"content": "still here."})
    await wait_for(lambda: wall(left) == ["still here.", "still here?"])
    refused = right.api.delete(f"/posts/{first['id']}")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_ours")
    left.api.delete(f"/posts/{first['id']}").raise_for_status()
    await wait_for(lambda: wall(right) == ["still here."])

    hub.start()
    await wait_for(lambda: wall(hub) == ["still here."])


async def test_nodes_without_any_seed_meet_by_their_beacons(make_node: MakeNode) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    one, two = (make_node(name, worker=False, discovery_port=port) for name in ("one", "two"))
    stranger = make_node("stranger", worker=False, discovery_port=port, network="andromeda")

    start_all(one, two, stranger)

    await wait_for(lambda: linked(one) == {two.node_id} and linked(two) == {one.node_id})
    assert linked(stranger) == set()


async def test_a_node_that_starts_anew_dials_whom_it_met(make_node: MakeNode) -> None:
    seed = make_node("seed", worker=False).start()
    met = make_node("met", worker=False, seeds=seed.address).start()
    await wait_for(lambda: linked(met) == {seed.node_id})
    met.stop()
    met.variables.pop("seeds")

    met.start()

    await wait_for(lambda: linked(met) == {seed.node_id})
    assert met.api.get("/health").status_code == 200
