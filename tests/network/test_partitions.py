"""Whole nodes on hosts of their own: what a network loses, they make good among themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from tests.network.conftest import HostedNode, Network
from tests.support.waiting import wait_for

LINKED_S = 60.0
# Beyond that only the clock's rounds of sync, every 30 to 60 s, could have brought it.
ARRIVES_S = 25.0
# Where acknowledgements are lost TCP tries again ever more rarely: as long again as the cut lasted.
AFTER_CUT_S = 60.0
LOSS_PERCENT = 10

pytestmark = [pytest.mark.timeout(240), pytest.mark.faults]


def linked(node: HostedNode) -> set[str]:
    return {each["node_id"] for each in node.items("/peers")}


def wall(node: HostedNode) -> set[str]:
    return {each["content"] for each in node.items("/posts")}


def publish(nodes: Collection[HostedNode], text: str) -> set[str]:
    """Write one post at each node and return all of them."""
    posts = {node.post("/posts", {"content": f"{text} {node.host}"})["content"] for node in nodes}
    assert len(posts) == len(nodes)
    return posts


async def until_linked(nodes: Collection[HostedNode]) -> None:
    """Wait until each of the nodes is linked to all others of them and to nobody else."""
    everybody = {node.node_id for node in nodes}
    for node in nodes:
        await wait_for(lambda node=node: linked(node) == everybody - {node.node_id}, LINKED_S)


async def until_on(
    walls: Iterable[HostedNode], posts: set[str], within_s: float = ARRIVES_S
) -> None:
    """Wait until posts are on all these walls."""
    for node in walls:
        await wait_for(lambda node=node: posts <= wall(node), within_s)


def assert_equal_walls(nodes: Collection[HostedNode]) -> None:
    first, *others = [
        {(each["id"], each["node_id"], each["content"]) for each in node.items("/posts")}
        for node in nodes
    ]
    for other in others:
        assert other == first


async def test_nodes_with_one_seed_link_and_share_what_each_writes(network: Network) -> None:
    nodes = network.nodes
    await until_linked(nodes)

    posts = publish(nodes, "hello from")
    await until_on(nodes, posts)

    assert_equal_walls(nodes)
    hosts = {each["host"] for peer in nodes[-1].items("/peers") for each in peer["addresses"]}
    assert hosts == {node.host for node in nodes[:-1]}


async def test_what_a_lossy_network_loses_arrives_all_the_same(network: Network) -> None:
    nodes = network.nodes
    await until_linked(nodes)

    network.switch.lose(LOSS_PERCENT)
    posts = publish(nodes, "through the rain from")
    await until_on(nodes, posts)
    assert network.switch.lost_packets() > 0
    network.switch.mend()

    assert_equal_walls(nodes)


async def test_both_sides_of_a_partition_are_equal_soon_after_it(network: Network) -> None:
    nodes = network.nodes
    left, right = nodes[:4], nodes[4:]
    await until_linked(nodes)

    network.switch.part([each.place for each in left], [each.place for each in right])
    of_left = publish(left, "left alone at")
    of_right = publish(right, "right alone at")
    await until_on(left, of_left)
    await until_on(right, of_right)
    for side in (left, right):
        await until_linked(side)
    assert not of_right & wall(left[0])
    assert not of_left & wall(right[0])
    network.switch.mend()
    await until_on(nodes, of_left | of_right)

    assert_equal_walls(nodes)


async def test_a_way_that_is_cut_in_one_direction_heals_by_itself(network: Network) -> None:
    nodes = network.nodes
    left, right = nodes[:4], nodes[4:]
    await until_linked(nodes)

    network.switch.cut([each.place for each in left], [each.place for each in right])
    of_left = publish(left, "nobody hears")
    # The left may hear them at once or not: it depends on who hands on to whom at the cut.
    of_right = publish(right, "the left may hear")
    await until_on(left, of_left)
    await until_on(right, of_right)
    assert all(not of_left & wall(node) for node in right)
    network.switch.mend()
    await until_on(nodes, of_left | of_right, AFTER_CUT_S)

    assert_equal_walls(nodes)
