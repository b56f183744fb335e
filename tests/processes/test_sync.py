"""Real nodes that were apart have the same offerings as soon as they are linked."""

from __future__ import annotations

from tests.processes.conftest import MakeNode
from tests.protocol_client.client import Client
from tests.support.nodes import HOST, RealNode, start_all
from tests.support.waiting import wait_for

ONE_ROUND_S = 10.0  # far less than the pause between two rounds


def offerings(node: RealNode) -> set[tuple[str, str]]:
    return {(each["id"], each["state"]) for each in node.items("/offerings?state=all")}


async def announce(node: RealNode, count: int) -> tuple[Client, list[str]]:
    """Announce offerings to a node by a client, and return both when they are stored."""
    client = await Client.connect(HOST, node.p2p_port)
    made = [client.announce(idle_agents=1, price_per_task=number) for number in range(count)]
    await wait_for(lambda: offerings(node) >= {(each, "live") for each in made})
    return client, made


async def test_two_nodes_that_never_met_are_equal_after_one_round(make_node: MakeNode) -> None:
    one, other = make_node("one", worker=False), make_node("other", worker=False)
    start_all(one, other)
    here, _ = await announce(one, 3)
    there, _ = await announce(other, 2)
    assert not offerings(one) & offerings(other)
    await here.close()
    await there.close()

    other.stop()
    other.variables["seeds"] = one.address
    other.start()

    await wait_for(lambda: offerings(one) == offerings(other), ONE_ROUND_S)
    assert len(offerings(one)) == 5


async def test_a_node_learns_what_came_and_went_while_it_was_dead(make_node: MakeNode) -> None:
    one = make_node("one", worker=False)
    other = make_node("other", worker=False, seeds=one.address)
    start_all(one, other)
    client, [gone, stays] = await announce(one, 2)
    await wait_for(lambda: offerings(one) == offerings(other))

    other.kill9()
    client.withdraw(gone)
    newer = client.announce(idle_agents=1, price_per_task=9)
    wanted = {(gone, "withdrawn"), (stays, "live"), (newer, "live")}
    await wait_for(lambda: offerings(one) == wanted)
    other.start()

    await wait_for(lambda: offerings(other) == wanted, ONE_ROUND_S)
    await client.close()


async def test_a_paused_node_catches_up(make_node: MakeNode) -> None:
    one = make_node("one", worker=False)
    other = make_node("other", worker=False, seeds=one.address)
    start_all(one, other)
    other.pause()
    client, made = await announce(one, 3)
    other.resume()

    await wait_for(lambda: offerings(other) == {(each, "live") for each in made}, ONE_ROUND_S)
    await client.close()
